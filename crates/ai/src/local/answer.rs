//! Extractive answers: quotes that support an answer, or none.

use std::hash::Hash;

use super::{
    question::{Kind, Query, Term},
    rank::{Passage, Ranker},
    words,
};

/// Share of the question's weight that a passage and its neighbours must cover.
const COVERAGE: f32 = 0.55;
/// A term in more than this share of the passages supports nothing alone...
const COMMON_SHARE: f32 = 0.2;
/// ...unless it is in at most so many of them.
const FEW: usize = 3;
/// What can be asked for as a whole, without a subject: "What did we decide?"
const LISTED: [Kind; 2] = [Kind::Decision, Kind::Task];
/// Passages before and after one that support it: talk spreads a thought over a few turns.
const NEAR: usize = 2;
/// Share of its weight that a word counts which was said elsewhere in the same meeting.
const ELSEWHERE: f32 = 0.2;
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
/// Support means: the words the question is about, weighted by how much of its subject they carry (nouns before
/// verbs and general words, rare before frequent), are covered to more than half by a passage and its neighbours,
/// and one of them stands there that is not common here. Words that ask for a kind of thing (what was decided, who
/// is to do what, when, how much) need not be repeated: a passage that tells such a thing covers them, and a
/// question that asks for nothing else is answered by all that was decided, or promised. When the question names someone who speaks, that person must be among those quoted
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
    let asks_for_all = query.content.is_empty() && query.kinds.iter().any(|k| LISTED.contains(k));
    if (query.content.is_empty() && !asks_for_all) || max_citations == 0 {
        return None;
    }
    // A name or place that nobody spoke of cannot be what the passages are about.
    let unheard = |term: &Term| ranker.frequency(&term.numbers) == 0;
    if query
        .content
        .iter()
        .any(|term| term.proper && unheard(term))
    {
        return None;
    }
    let support = Support::new(&ranker, &query, passages.len());
    let mut chosen: Vec<(usize, f32)> = Vec::new();
    for (at, score) in ranker.rank_query(&query).into_iter().take(LOOKED_AT) {
        if chosen.len() == max_citations {
            break;
        }
        if support.supports(passages, at) {
            chosen.push((at, score));
        }
    }
    // How much is answered by an amount, said in the quotations.
    let asks_amount = query.kinds.contains(&Kind::Amount);
    if asks_amount && !chosen.iter().any(|&(at, _)| ranker.tells(at, Kind::Amount)) {
        return None;
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

/// What a question wants supported, and how much each of its words counts.
struct Support<'q> {
    ranker: &'q Ranker<'q>,
    query: &'q Query,
    weights: Vec<f32>,
    /// The weight that must be covered.
    needed: f32,
    passages: usize,
}

impl<'q> Support<'q> {
    fn new(ranker: &'q Ranker<'q>, query: &'q Query, passages: usize) -> Self {
        // What share of the passages has a word tells much where there are many, and nothing where
        // there are two: it counts for at most half of a word's weight.
        let most = ranker.idf(&[]).max(f32::MIN_POSITIVE);
        let weigh = |term: &Term| term.weight * (0.5 + 0.5 * ranker.idf(&term.numbers) / most);
        let weights: Vec<f32> = query.content.iter().map(weigh).collect();
        let needed = COVERAGE * weights.iter().sum::<f32>();
        Self {
            ranker,
            query,
            weights,
            needed,
            passages,
        }
    }

    /// Whether the passage may be quoted for the question.
    fn supports<Id>(&self, passages: &[Passage<Id>], at: usize) -> bool {
        let (ranker, query) = (self.ranker, self.query);
        let asks = |at: usize| passages[at].text.trim_end().ends_with('?');
        if query.content.is_empty() {
            return ranker.is_of_kind(query, at);
        }
        let own = self.covered(&[at]);
        if !query.has_subject() {
            // General words alone are answered by a passage that has them all, and is of the kind asked for.
            let kind = ranker.is_of_kind(query, at);
            let few = query.content.iter().any(|term| self.is_rare(term));
            return own >= self.needed && (kind || (query.kinds.is_empty() && few && !asks(at)));
        }
        let near: Vec<usize> = (at.saturating_sub(NEAR)..=at + NEAR)
            .filter(|&i| ranker.same_group(i, at))
            .collect();
        let rare = query.content.iter().any(|term| {
            let is_near = near.iter().any(|&i| ranker.has(i, term));
            (term.is_subject() && self.is_rare(term) && is_near) || ranker.is_titled(at, term)
        });
        let elsewhere = ELSEWHERE * self.said_elsewhere(at, &near);
        if self.covered(&near) + elsewhere < self.needed || !rare {
            return false;
        }
        if asks(at) && own < self.needed {
            return false;
        }
        if query.content.iter().any(|term| ranker.has(at, term)) {
            return true;
        }
        // A neighbour that repeats nothing of the question is quoted when it tells what is asked for,
        // or can be the reply to it.
        let reply = at > 0
            && near.contains(&(at - 1))
            && asks(at - 1)
            && words::words(&passages[at].text).len() >= 3;
        reply || ranker.is_of_kind(query, at)
    }

    /// The weight of the words that some of the passages have, or tell in another way.
    fn covered(&self, places: &[usize]) -> f32 {
        let has = |term: &Term| {
            places.iter().any(|&i| {
                self.ranker.has(i, term)
                    || self.ranker.is_titled(i, term)
                    || term.told_by.is_some_and(|kind| self.ranker.tells(i, kind))
            })
        };
        let terms = self.query.content.iter().zip(&self.weights);
        terms.filter(|(term, _)| has(term)).map(|(_, w)| w).sum()
    }

    /// The weight of the words that none of `near` has, but the same meeting.
    fn said_elsewhere(&self, at: usize, near: &[usize]) -> f32 {
        let terms = self.query.content.iter().zip(&self.weights);
        let missing = terms.filter(|(term, _)| !near.iter().any(|&i| self.ranker.has(i, term)));
        let elsewhere = missing.filter(|(term, _)| self.ranker.is_in_group_of(at, term));
        elsewhere.map(|(_, w)| w).sum()
    }

    fn is_rare(&self, term: &Term) -> bool {
        let df = self.ranker.frequency(&term.numbers);
        df > 0 && (df <= FEW || (df as f32) <= COMMON_SHARE * self.passages as f32)
    }
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
fn quote_span(text: &str, ranker: &Ranker<'_>, query: &Query) -> (usize, usize) {
    let found = words::words(text);
    let trimmed = (text.len() - text.trim_start().len(), text.trim_end().len());
    if found.len() <= QUOTE_WORDS {
        return (trimmed.0.min(trimmed.1), trimmed.1);
    }
    let value: Vec<f32> = found
        .iter()
        .map(|w| {
            let stem = ranker.stem_of(&words::lower(w.text));
            stem.and_then(|s| query.content.iter().find(|term| term.stem == s))
                .map_or(0.0, |term| ranker.idf(&term.numbers))
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
#[path = "answer_tests.rs"]
mod tests;
