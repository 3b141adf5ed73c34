//! Ranking passages for a query: BM25 (Robertson and Zaragoza 2009) with stems, smoothed over neighbours,
//! plus structural cues.
//!
//! The design and its constants are the project's own measurement on conversation retrieval, where both
//! cross-validation folds chose neighbour smoothing .5, speaker .1, date .2, time .2 and prior .2.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
};

use super::{
    decisions, due,
    people::People,
    question::{Kind, Query, Term},
    tasks, tokens,
    words::{self, Vocabulary},
};

/// BM25 saturation of repeated terms.
const K1: f32 = 0.9;
/// BM25 length normalisation.
const B: f32 = 0.4;
/// Share of a neighbour's score a passage gains.
const SMOOTHING: f32 = 0.5;
/// Gain of a passage said by the one speaker the query names.
const SPEAKER: f32 = 0.1;
/// Gain of a passage dated in the month or year the query names.
const DATE: f32 = 0.2;
/// Gain of a passage that mentions a time when the query asks when.
const TIME: f32 = 0.2;
/// Gain of a passage that states a decision or a task, or names an amount, when the query asks for one.
const KIND: f32 = 0.4;
/// Gain of a passage of the meeting that the query names by its title.
const TITLE: f32 = 0.2;
/// Turns after a proposal in which somebody may agree to it.
const REPLIES: usize = 2;
/// Number words that tell an amount; "one" and "second" mostly tell none.
const NUMBERS: &[&str] = &[
    "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "fifteen", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
    "hundred", "thousand", "million", "dozen", "half",
];
const MONEY: &[&str] = &[
    "pound", "pounds", "dollar", "dollars", "euro", "euros", "pence", "penny", "cents", "quid",
    "kronor", "francs", "yen", "rupees",
];
/// Gain of a contentful passage (12 different terms) and loss of one that ends in a question.
const PRIOR: f32 = 0.2;
const PRIOR_TERMS: f32 = 12.0;

/// A calendar day, for passages of dated meetings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day {
    /// Year, such as 2026.
    pub year: i32,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day of the month, 1 to 31.
    pub day: u8,
}

/// A transcript segment or a memory that may answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage<Id> {
    /// What an answer cites.
    pub id: Id,
    /// The speaker's name as shown.
    pub speaker: String,
    /// The words.
    pub text: String,
    /// The title of its meeting; empty when it has none that helps to find it.
    pub title: String,
    /// Start in its meeting, milliseconds.
    pub start_ms: i64,
    /// The day it was said, when known.
    pub when: Option<Day>,
    /// The same for passages of one meeting; neighbours in the list with the same group are neighbours in talk.
    pub group: u64,
}

/// What is kept of one passage.
struct Entry<'p> {
    text: &'p str,
    /// Distinct terms of the text alone, ascending: for coverage.
    terms: Vec<u32>,
    /// Terms of its meeting's title that not every meeting has.
    title: Vec<u32>,
    speaker: String,
    group: u64,
    when: Option<Day>,
    asks: bool,
    length: f32,
}

/// An index over passages that can rank many queries.
pub struct Ranker<'p> {
    entries: Vec<Entry<'p>>,
    vocabulary: Vocabulary,
    /// Term to passages it occurs in, with counts; text and speaker together.
    postings: HashMap<u32, Vec<(u32, u32)>>,
    mean_length: f32,
    people: People,
    speakers: HashSet<String>,
}

impl<'p> Ranker<'p> {
    /// Indexes passages. `names` are participants' names besides the speakers'.
    pub fn new<Id>(passages: &'p [Passage<Id>], names: &[String]) -> Self {
        // Stop words of English alone: a Swedish question word costs little, "man" and "var" would cost a match.
        let mut vocabulary = Vocabulary::new(true);
        let mut postings: HashMap<u32, Vec<(u32, u32)>> = HashMap::new();
        let mut entries = Vec::with_capacity(passages.len());
        let mut total = 0.0;
        for (at, passage) in passages.iter().enumerate() {
            let terms = vocabulary.terms(&tokens::spelled(&passage.text));
            let mut all = terms.clone();
            all.extend(vocabulary.terms(&passage.speaker));
            let length = all.len() as f32;
            total += length;
            for (term, n) in super::sparse::counts(all.into_iter()) {
                postings.entry(term).or_default().push((at as u32, n));
            }
            let mut title = vocabulary.terms(&passage.title);
            title.sort_unstable();
            title.dedup();
            let mut distinct = terms;
            distinct.sort_unstable();
            distinct.dedup();
            entries.push(Entry {
                text: &passage.text,
                terms: distinct,
                title,
                speaker: passage.speaker.trim().to_owned(),
                group: passage.group,
                when: passage.when,
                asks: passage.text.trim_end().ends_with(['?', '？']),
                length,
            });
        }
        // What all titles share tells no meeting from another.
        if let Some(first) = entries.iter().find(|e| !e.title.is_empty()) {
            let shared: Vec<u32> = first.title.clone();
            let shared: Vec<u32> = shared
                .into_iter()
                .filter(|t| {
                    entries
                        .iter()
                        .all(|e| e.title.is_empty() || e.title.contains(t))
                })
                .collect();
            for entry in &mut entries {
                entry.title.retain(|t| !shared.contains(t));
            }
        }
        let speakers: HashSet<String> = entries.iter().map(|e| e.speaker.clone()).collect();
        let mut everyone: Vec<&str> = speakers.iter().map(String::as_str).collect();
        // A set has no order; names must meet in the same one every time.
        everyone.sort_unstable();
        let people = People::new(everyone.into_iter().chain(names.iter().map(String::as_str)));
        let mean_length = (total / passages.len().max(1) as f32).max(1e-6);
        Self {
            entries,
            vocabulary,
            postings,
            mean_length,
            people,
            speakers,
        }
    }

    /// Reads a query against the indexed people.
    pub(crate) fn query(&self, text: &str) -> Query {
        Query::read(text, &self.people, &self.vocabulary)
    }

    /// How much a word of a query tells: its inverse document frequency over the passages.
    pub(crate) fn idf(&self, numbers: &[u32]) -> f32 {
        self.idf_of(self.frequency(numbers))
    }

    fn idf_of(&self, frequency: usize) -> f32 {
        let (n, df) = (self.entries.len() as f32, frequency as f32);
        (1.0 + (n - df + 0.5).max(0.0) / (df + 0.5)).ln()
    }

    /// In how many passages a word of a query occurs.
    pub(crate) fn frequency(&self, numbers: &[u32]) -> usize {
        self.postings(numbers).map(Vec::len).sum()
    }

    fn postings<'s>(&'s self, numbers: &'s [u32]) -> impl Iterator<Item = &'s Vec<(u32, u32)>> {
        numbers.iter().filter_map(|term| self.postings.get(term))
    }

    /// The stem of a lower-case word, as the index makes it.
    pub(crate) fn stem_of(&self, lower: &str) -> Option<String> {
        self.vocabulary.stem_of(lower)
    }

    /// Whether a passage's text has a word.
    pub(crate) fn has(&self, passage: usize, term: &Term) -> bool {
        let terms = &self.entries[passage].terms;
        let mut numbers = term.numbers.iter();
        numbers.any(|number| terms.binary_search(number).is_ok())
    }

    /// Whether the title of a passage's meeting has a word, which tells it from the others.
    pub(crate) fn is_titled(&self, passage: usize, term: &Term) -> bool {
        let title = &self.entries[passage].title;
        let mut numbers = term.numbers.iter();
        numbers.any(|number| title.binary_search(number).is_ok())
    }

    /// Whether a passage tells all that a query asks for: a decision, a task, a time, an amount.
    pub(crate) fn is_of_kind(&self, query: &Query, passage: usize) -> bool {
        !query.kinds.is_empty() && query.kinds.iter().all(|kind| self.tells(passage, *kind))
    }

    /// Whether a passage tells something of a kind.
    pub(crate) fn tells(&self, passage: usize, kind: Kind) -> bool {
        let text = self.entries[passage].text;
        let words = lower(text);
        match kind {
            Kind::Decision => {
                let replies = self.replies(passage);
                let replies: Vec<&[String]> = replies.iter().map(Vec::as_slice).collect();
                decisions::settles(text, &words, &replies)
            }
            Kind::Task => tasks::commits(&words),
            Kind::Time => due::mentions_time(&words),
            Kind::Amount => tells_amount(&words) || tells_money(text, &words),
            Kind::Money => tells_money(text, &words),
        }
    }

    /// What others said right after a passage, in lower-case words.
    fn replies(&self, passage: usize) -> Vec<Vec<String>> {
        let said = &self.entries[passage];
        let after = self.entries.iter().skip(passage + 1).take(REPLIES);
        after
            .take_while(|entry| entry.group == said.group)
            .filter(|entry| entry.speaker != said.speaker)
            .map(|entry| lower(entry.text))
            .collect()
    }

    /// Whether two passages belong to one meeting.
    pub(crate) fn same_group(&self, a: usize, b: usize) -> bool {
        matches!((self.entries.get(a), self.entries.get(b)), (Some(x), Some(y)) if x.group == y.group)
    }

    /// Whether a word was said anywhere in the meeting of a passage.
    pub(crate) fn is_in_group_of(&self, passage: usize, term: &Term) -> bool {
        let group = self.entries[passage].group;
        let mut postings = self.postings(&term.numbers).flatten();
        postings.any(|&(at, _)| self.entries[at as usize].group == group)
    }

    /// Whether a passage is by a named participant.
    pub(crate) fn is_by(&self, passage: usize, name: &str) -> bool {
        self.entries[passage].speaker.eq_ignore_ascii_case(name)
    }

    /// Whether someone with this name speaks in any passage.
    pub(crate) fn speaks(&self, name: &str) -> bool {
        self.speakers.iter().any(|s| s.eq_ignore_ascii_case(name))
    }

    /// The passages that match, best first, with scores; a tie keeps the order given.
    ///
    /// A score is comparable within one query: 1 is the best lexical match before cues.
    #[must_use]
    pub fn rank(&self, query: &str) -> Vec<(usize, f32)> {
        self.rank_query(&self.query(query))
    }

    pub(crate) fn rank_query(&self, query: &Query) -> Vec<(usize, f32)> {
        let count = self.entries.len();
        let mut lexical = vec![0.0_f32; count];
        for numbers in &query.all {
            let idf = self.idf(numbers);
            for &(at, n) in self.postings(numbers).flatten() {
                let at = at as usize;
                let norm = K1 * (1.0 - B + B * self.entries[at].length / self.mean_length);
                lexical[at] += idf * n as f32 * (K1 + 1.0) / (n as f32 + norm);
            }
        }
        let smooth: Vec<f32> = (0..count)
            .map(|i| {
                let near = |j: usize| {
                    if self.same_group(i, j) {
                        lexical[j]
                    } else {
                        0.0
                    }
                };
                let before = i.checked_sub(1).map_or(0.0, near);
                let after = if i + 1 < count { near(i + 1) } else { 0.0 };
                lexical[i] + SMOOTHING * (before + after)
            })
            .collect();
        // Embedding similarity joins here: min-max both, `w * lexical + (1 - w) * dense` with w .4 to .5, dense
        // vectors of neighbours mixed at .5 and participants' names stripped from query and passage before
        // embedding (memory facts, section 3).
        let most = smooth.iter().copied().fold(0.0, f32::max);
        let mut named = query.named.iter().filter(|n| self.speaks(n));
        let speaker = named.next().filter(|_| named.next().is_none());
        let mut out: Vec<(usize, f32)> = Vec::new();
        for (at, entry) in self.entries.iter().enumerate() {
            // Who asks for all decisions names none.
            let is_of_kind = query.content.is_empty() && self.is_of_kind(query, at);
            if smooth[at] <= 0.0 && !is_of_kind {
                continue;
            }
            let mut score = smooth[at] / most.max(1e-9);
            if speaker.is_some_and(|s| entry.speaker.eq_ignore_ascii_case(s)) {
                score += SPEAKER;
            }
            let dated = entry.when.is_some_and(|day| {
                (query.month.is_some() || query.year.is_some())
                    && query.month.is_none_or(|m| m == day.month)
                    && query.year.is_none_or(|y| y == day.year)
            });
            if dated {
                score += DATE;
            }
            for kind in &query.kinds {
                let gain = if *kind == Kind::Time { TIME } else { KIND };
                score += if self.tells(at, *kind) { gain } else { 0.0 };
            }
            if query.content.iter().any(|term| self.is_titled(at, term)) {
                score += TITLE;
            }
            score += PRIOR * (entry.terms.len() as f32).min(PRIOR_TERMS) / PRIOR_TERMS;
            if entry.asks {
                score -= PRIOR;
            }
            out.push((at, score));
        }
        out.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        out
    }
}

/// The lower-case words of a text.
fn lower(text: &str) -> Vec<String> {
    let found = words::words(text);
    found.iter().map(|word| words::lower(word.text)).collect()
}

/// Whether a number stands in lower-case words, as digits or spelled out; "15th" is a day.
fn tells_amount(lower: &[String]) -> bool {
    lower.iter().any(|word| {
        NUMBERS.contains(&word.as_str())
            || (word.starts_with(|c: char| c.is_ascii_digit())
                && !["st", "nd", "rd", "th"].iter().any(|s| word.ends_with(s)))
    })
}

fn tells_money(text: &str, lower: &[String]) -> bool {
    text.contains(['£', '$', '€', '¥', '₹']) || lower.iter().any(|w| MONEY.contains(&w.as_str()))
}

/// Ranks passages for a query once; [`Ranker`] keeps the index for several queries.
///
/// Gives (index into `passages`, score), best first; passages that share nothing with the query are left out.
#[must_use]
pub fn rank<Id: Copy + Eq + Hash>(
    query: &str,
    passages: &[Passage<Id>],
    names: &[String],
) -> Vec<(usize, f32)> {
    Ranker::new(passages, names).rank(query)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passage(id: usize, speaker: &str, text: &str, group: u64) -> Passage<usize> {
        let when = Some(Day {
            year: 2026,
            month: if group == 0 { 3 } else { 5 },
            day: 1,
        });
        Passage {
            id,
            speaker: speaker.into(),
            text: text.into(),
            title: String::new(),
            start_ms: 0,
            when,
            group,
        }
    }

    fn first(query: &str, passages: &[Passage<usize>]) -> Option<usize> {
        rank(query, passages, &[]).first().map(|&(i, _)| i)
    }

    #[test]
    fn stems_speaker_date_and_time_count() {
        let passages = [
            passage(0, "Anna", "The batteries are expensive in this market.", 0),
            passage(1, "Bob", "The batteries are expensive in this market.", 1),
            passage(2, "Bob", "We will launch the product in the shops.", 2),
            passage(3, "Eve", "We will launch the product next Friday.", 3),
            passage(4, "Eve", "Nothing to add.", 4),
        ];
        assert_eq!(first("battery market", &passages), Some(0));
        assert_eq!(
            first("What did Bob say about the battery?", &passages),
            Some(1)
        );
        assert_eq!(first("battery costs in May 2026", &passages), Some(1));
        assert_eq!(first("When is the product launch?", &passages), Some(3));
        assert_eq!(first("zebra", &passages), None);
        assert!(
            rank("", &passages, &[]).is_empty()
                && rank("x", &Vec::<Passage<usize>>::new(), &[]).is_empty()
        );
    }

    #[test]
    fn an_answer_next_to_its_question_is_lifted() {
        let passages = [
            passage(0, "Anna", "How much does the sensor cost?", 0),
            passage(
                1,
                "Bob",
                "Twelve euros each, delivered from the factory in Lund.",
                0,
            ),
            passage(
                2,
                "Eve",
                "Twelve euros each, delivered from the factory in Lund.",
                1,
            ),
        ];
        let ranked = rank("sensor cost", &passages, &[]);
        assert!(ranked.iter().any(|&(i, _)| i == 1));
        assert!(
            ranked.iter().all(|&(i, _)| i != 2),
            "another meeting's passage is no neighbour"
        );
    }
}
