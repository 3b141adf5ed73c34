//! Extractive answers: quotes that support an answer, or none.

use std::hash::Hash;

use super::{
    background,
    rank::{Passage, Query, Ranker},
    words,
};

/// Share of the question's weight that a passage and its neighbours must cover.
const COVERAGE: f32 = 0.55;
/// Rarity beyond this says no more: about one passage in fifty.
const MOST_WEIGHT: f32 = 4.0;
/// A term in more than this share of the passages supports nothing alone...
const COMMON_SHARE: f32 = 0.2;
/// ...unless it is in at most so many of them.
const FEW: usize = 3;
/// Passages before and after one that support it: talk spreads a thought over a few turns.
const NEAR: usize = 2;
/// Ranked passages looked at for support.
const LOOKED_AT: usize = 60;
/// A passage is quoted whole up to so many words.
const QUOTE_WORDS: usize = 45;

/// One supporting quote.
#[derive(Clone, Debug, PartialEq)]
pub struct Citation<Id> {
    /// The passage quoted.
    pub id: Id,
    /// Its rank score; comparable within one answer.
    pub score: f32,
    /// Start and end of the quote in the passage's text, bytes, on character boundaries.
    pub span: (usize, usize),
    /// The passage's text within the span, as it is.
    pub quote: String,
}

/// An answer made of quotes.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer<Id> {
    /// One line per citation: `Speaker (12:04): quote`, with the day before the time when it is known.
    pub text: String,
    /// The quotes, best first.
    pub citations: Vec<Citation<Id>>,
}

/// Answers a question from passages by quoting them; none when they do not support an answer.
///
/// Support means: the content words of the question (participants' names and words of asking left out),
/// weighted by rarity, are covered to more than half by a passage and its neighbours, and a rare one stands in
/// the passage or beside it. When the question names someone who speaks, that person must be among those quoted
/// or mentioned. `names` are participants besides the speakers.
#[must_use]
pub fn answer<Id: Copy + Eq + Hash>(
    question: &str,
    passages: &[Passage<Id>],
    names: &[String],
    max_citations: usize,
) -> Option<Answer<Id>> {
    let ranker = Ranker::new(passages, names);
    let query = ranker.query(question);
    if query.content.is_empty() || max_citations == 0 {
        return None;
    }
    // A name or place that nobody spoke of cannot be what the passages are about.
    if query.proper.iter().any(|stem| ranker.frequency(stem) == 0) {
        return None;
    }
    let weights: Vec<f32> = query
        .content
        .iter()
        .map(|stem| weight(&ranker, stem))
        .collect();
    let total: f32 = weights.iter().sum();
    let mut chosen: Vec<(usize, f32)> = Vec::new();
    for (at, score) in ranker.rank_query(&query).into_iter().take(LOOKED_AT) {
        if chosen.len() == max_citations {
            break;
        }
        let own = covered(&ranker, &query, &weights, &[at]);
        let speaks = query.content.iter().any(|stem| ranker.has(at, stem));
        let near: Vec<usize> = (at.saturating_sub(NEAR)..=at + NEAR)
            .filter(|&i| ranker.same_group(i, at))
            .collect();
        let window = covered(&ranker, &query, &weights, &near);
        let rare = query.content.iter().any(|stem| {
            (is_rare(&ranker, stem, passages.len()) && near.iter().any(|&i| ranker.has(i, stem)))
                || ranker.is_titled(at, stem)
        });
        // What was decided answers what was decided, however general its words are.
        let rare = rare || (ranker.answers_decision(&query, at) && own >= COVERAGE * total);
        let is_question = passages[at].text.trim_end().ends_with('?');
        let supported = window >= COVERAGE * total && rare;
        // A neighbour that repeats nothing of the question is quoted only when it can be the reply to it.
        let reply = !speaks
            && at > 0
            && near.contains(&(at - 1))
            && passages[at - 1].text.trim_end().ends_with('?')
            && words::words(&passages[at].text).len() >= 3;
        if supported && (speaks || reply) && !(is_question && own < COVERAGE * total) {
            chosen.push((at, score));
        }
    }
    let about_someone = query
        .named
        .iter()
        .filter(|n| ranker.speaks(n))
        .collect::<Vec<_>>();
    if !about_someone.is_empty() {
        let concerns = |at: usize| {
            about_someone
                .iter()
                .any(|n| ranker.is_by(at, n) || mentions(&passages[at].text, n))
        };
        if !chosen.iter().any(|&(at, _)| concerns(at)) {
            return None;
        }
        chosen.sort_by_key(|&(at, _)| !concerns(at));
    } else if query
        .named
        .iter()
        .any(|n| !passages.iter().any(|p| mentions(&p.text, n)))
    {
        // Someone known who neither speaks nor is spoken of here.
        return None;
    }
    if chosen.is_empty() {
        return None;
    }
    let mut lines = Vec::with_capacity(chosen.len());
    let mut citations = Vec::with_capacity(chosen.len());
    for (at, score) in chosen {
        let passage = &passages[at];
        let span = quote_span(&passage.text, &ranker, &query);
        let quote = passage.text[span.0..span.1].to_owned();
        lines.push(format!(
            "{} ({}): {quote}",
            passage.speaker,
            moment(passage)
        ));
        citations.push(Citation {
            id: passage.id,
            score,
            span,
            quote,
        });
    }
    Some(Answer {
        text: lines.join("\n"),
        citations,
    })
}

/// A question term's weight: rare ones count more, general words less.
fn weight(ranker: &Ranker, stem: &str) -> f32 {
    let known = if background::is_general(stem) {
        0.4
    } else {
        1.0
    };
    // A word that occurs nowhere may be the asker's own for what was said otherwise.
    let absent = if ranker.frequency(stem) == 0 && !ranker.is_in_a_title(stem) {
        0.6
    } else {
        1.0
    };
    ranker.idf(stem).min(MOST_WEIGHT) * known * absent
}

fn is_rare(ranker: &Ranker, stem: &str, passages: usize) -> bool {
    let df = ranker.frequency(stem);
    df > 0
        && (df <= FEW || (df as f32) <= COMMON_SHARE * passages as f32)
        && !background::is_general(stem)
}

fn covered(ranker: &Ranker, query: &Query, weights: &[f32], places: &[usize]) -> f32 {
    let found = query.content.iter().zip(weights).filter(|(stem, _)| {
        places
            .iter()
            .any(|&i| ranker.has(i, stem) || ranker.is_titled(i, stem))
    });
    found.map(|(_, w)| w).sum()
}

fn mentions(text: &str, name: &str) -> bool {
    let first = words::words(name)
        .first()
        .map(|w| words::lower(w.text))
        .unwrap_or_default();
    !first.is_empty()
        && words::words(text).iter().any(|w| {
            let lower = words::lower(w.text);
            lower.strip_suffix("'s").unwrap_or(&lower) == first
        })
}

/// `12:04`, `1:02:03`, with the day before it when known.
fn moment<Id>(passage: &Passage<Id>) -> String {
    let seconds = passage.start_ms.max(0) / 1000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let clock = if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    };
    match passage.when {
        Some(day) => format!("{:04}-{:02}-{:02}, {clock}", day.year, day.month, day.day),
        None => clock,
    }
}

/// The part of a text to quote: all of a short one, else the run of words with most of the question's weight,
/// widened to sentence boundaries where they are near.
fn quote_span(text: &str, ranker: &Ranker, query: &Query) -> (usize, usize) {
    let found = words::words(text);
    let trimmed = (text.len() - text.trim_start().len(), text.trim_end().len());
    if found.len() <= QUOTE_WORDS {
        return (trimmed.0.min(trimmed.1), trimmed.1);
    }
    let value: Vec<f32> = found
        .iter()
        .map(|w| {
            let stem = ranker.stem_of(&words::lower(w.text));
            stem.filter(|s| query.content.contains(s))
                .map_or(0.0, |s| ranker.idf(&s))
        })
        .collect();
    let ends_before = |i: usize| {
        i == 0 || text[found[i - 1].end..found[i].start].contains(['.', '?', '!', '。', '？', '！'])
    };
    // One pass with a sliding sum; the start of a sentence wins a tie.
    let mut sum: f32 = value.iter().take(QUOTE_WORDS).sum();
    let mut best = (0, sum + 0.1);
    for start in 1..=found.len() - QUOTE_WORDS {
        sum += value[start + QUOTE_WORDS - 1] - value[start - 1];
        let rated = sum + if ends_before(start) { 0.1 } else { 0.0 };
        if rated > best.1 + 1e-4 {
            best = (start, rated);
        }
    }
    let start = best.0;
    let mut end = start + QUOTE_WORDS;
    if let Some(stop) = (start + QUOTE_WORDS / 2..=end)
        .rev()
        .find(|&i| i == found.len() || ends_before(i))
    {
        let lost: f32 = value[stop..end.min(value.len())].iter().sum();
        if lost <= 0.0 {
            end = stop;
        }
    }
    let to = if end >= found.len() {
        trimmed.1
    } else {
        text[..found[end].start].trim_end().len()
    };
    (found[start].start, to.max(found[start].end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::Day;

    fn meeting() -> Vec<Passage<u32>> {
        let lines = [
            (
                "Anna Berg",
                "Good morning everyone, let's look at the remote control project.",
            ),
            (
                "Bob Stone",
                "The rubber case costs two euros more than the plastic one.",
            ),
            ("Anna Berg", "Who orders the prototype parts?"),
            ("Bob Stone", "I can do it on Monday."),
            (
                "Eve Lind",
                "Marketing wants a launch in September, before the trade fair in Berlin.",
            ),
            (
                "Anna Berg",
                "Voice recognition is too expensive for this version.",
            ),
            (
                "Eve Lind",
                "Younger buyers liked the speech input in the survey, although it failed often.",
            ),
        ];
        lines
            .iter()
            .enumerate()
            .map(|(i, (speaker, text))| Passage {
                id: i as u32,
                speaker: (*speaker).into(),
                text: (*text).into(),
                title: String::new(),
                start_ms: i as i64 * 65_000,
                when: None,
                group: 1,
            })
            .collect()
    }

    #[test]
    fn a_meeting_named_by_its_title_and_what_was_decided_come_first() {
        let passage = |id: u32, title: &str, text: &str| Passage {
            id,
            speaker: "Anna".into(),
            text: text.into(),
            title: title.into(),
            start_ms: 0,
            when: None,
            group: u64::from(id / 10),
        };
        let passages = [
            passage(0, "Brewery: kick-off", "Good morning, is the coffee ready?"),
            passage(
                1,
                "Brewery: kick-off",
                "We decided: we buy the used Hallberg.",
            ),
            passage(
                10,
                "Brewery: inspection",
                "The filler bowl leaks, the filler is too old to buy.",
            ),
            passage(
                11,
                "Brewery: inspection",
                "We decided that Wednesday is bottling day.",
            ),
            passage(
                12,
                "Brewery: inspection",
                "One bottling day a week is enough, bottling takes a day.",
            ),
        ];
        let first = |question: &str| {
            answer(question, &passages, &[], 1).map(|answer| answer.citations[0].id)
        };
        assert_eq!(first("What did we decide to buy at the kick-off?"), Some(1));
        assert_eq!(first("What did we decide to buy?"), Some(1));
        assert_eq!(first("Which day did we choose as bottling day?"), Some(11));
    }

    fn ids(question: &str) -> Vec<u32> {
        let names = vec!["Carl Holm".to_owned()];
        answer(question, &meeting(), &names, 3)
            .map(|a| a.citations.iter().map(|c| c.id).collect())
            .unwrap_or_default()
    }

    #[test]
    fn supported_questions_are_answered_with_quotes() {
        for (question, id) in [
            ("How much more does the rubber case cost?", 1),
            ("When is the launch?", 4),
            ("What did Anna say about voice recognition?", 5),
            ("Who orders the prototypes?", 2),
            ("What did buyers think of speech input?", 6),
        ] {
            assert!(
                ids(question).contains(&id),
                "{question}: {:?}",
                ids(question)
            );
        }
        let found = answer("When is the launch?", &meeting(), &[], 1).expect("answered");
        assert_eq!(
            found.text,
            "Eve Lind (4:20): Marketing wants a launch in September, before the trade fair in Berlin."
        );
    }

    #[test]
    fn unsupported_questions_get_none() {
        for question in [
            "What is the capital of France?",
            "What did we decide about the Tokyo office budget?",
            "Who is the new chief financial officer?",
            "What did Carl say about the launch?",
            "What did Eve say about the rubber case?",
            "How many servers does the database cluster need?",
            "What about it?",
            "",
            "😀 ???",
        ] {
            assert_eq!(ids(question), Vec::<u32>::new(), "{question}");
        }
    }

    #[test]
    fn the_reply_to_a_matching_question_is_quoted() {
        assert!(ids("Who orders the prototype parts?").contains(&3));
    }

    #[test]
    fn long_passages_are_quoted_in_part_on_boundaries() {
        let filler = "Vi pratade länge om vädret i går kväll — verkligen. ".repeat(40);
        let text = format!("{filler}The turbine bearing failed in Åre because of ice. {filler}");
        let day = Some(Day {
            year: 2026,
            month: 3,
            day: 5,
        });
        let passage = Passage {
            id: 9,
            speaker: "Åsa".into(),
            text: text.clone(),
            title: String::new(),
            start_ms: 3_723_000,
            when: day,
            group: 0,
        };
        let found =
            answer("Why did the turbine bearing fail?", &[passage], &[], 2).expect("answered");
        let (start, end) = found.citations[0].span;
        assert_eq!(&text[start..end], found.citations[0].quote);
        assert!(found.citations[0].quote.contains("turbine bearing failed"));
        assert!(found.citations[0].quote.len() < 500);
        assert!(found.text.starts_with("Åsa (2026-03-05, 1:02:03): "));
    }
}
