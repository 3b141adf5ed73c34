//! The notes of a meeting: their types and the one function that makes them.

use std::{collections::HashSet, hash::Hash};

use serde::{Deserialize, Serialize};

use super::{
    actions, decisions, highlights, people::People, phrases, questions, score, topics,
    transcript::Transcript,
};

/// One finalized transcript segment as the engine sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn<Id> {
    /// What notes cite; never looked into.
    pub id: Id,
    /// The speaker's name as shown.
    pub speaker: String,
    /// What was said, as transcribed.
    pub text: String,
    /// Start, milliseconds from the start of the meeting.
    pub start_ms: i64,
    /// End, milliseconds from the start of the meeting.
    pub end_ms: i64,
}

/// What the caller may set. The default fits a meeting of an hour.
#[derive(Clone, Debug, PartialEq)]
pub struct NotesOptions {
    /// Participants' names besides the speakers': possible owners, and kept out of key phrases.
    pub participants: Vec<String>,
    /// Words all highlights together may have.
    pub highlight_words: usize,
    /// How many highlights there may be.
    pub max_highlights: usize,
    /// How many topics there may be, at least 1.
    pub max_topics: usize,
    /// A long meeting gets one topic per so many minutes of speech, a short one more.
    pub minutes_per_topic: f32,
}

impl Default for NotesOptions {
    fn default() -> Self {
        Self {
            participants: Vec::new(),
            highlight_words: 120,
            max_highlights: 8,
            max_topics: 24,
            minutes_per_topic: 8.0,
        }
    }
}

/// A contiguous part of the meeting about one thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Topic<Id> {
    /// Up to three key phrases of the part, as said.
    pub label: String,
    /// Start of the first segment, milliseconds.
    pub start_ms: i64,
    /// End of the last segment, milliseconds.
    pub end_ms: i64,
    /// All segments of the part, in order. Topics partition the segments.
    pub segment_ids: Vec<Id>,
    /// The part's own key phrases, most telling first.
    pub key_phrases: Vec<String>,
    /// The first segment.
    pub first: Id,
    /// The last segment.
    pub last: Id,
}

/// A sentence worth reading, as it was said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Highlight<Id> {
    /// The sentence; fillers, stutters and transcription marks removed, order kept.
    pub text: String,
    /// Who said it.
    pub speaker: String,
    /// Start of the first segment it is in, milliseconds.
    pub start_ms: i64,
    /// The segments it was said in.
    pub segment_ids: Vec<Id>,
    /// From 0 to 1 within this meeting.
    pub score: f32,
}

/// How an item was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Marker {
    /// Someone marked it ("action item", "we decided", `/task`).
    Explicit,
    /// The wording suggests it; unconfirmed.
    Pattern,
}

/// A possible action item, for a person to confirm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionCandidate<Id> {
    /// What is to be done, as said, without the marker.
    pub text: String,
    /// The participant who is to do it, when that was said.
    pub owner: Option<String>,
    /// The deadline as said: "by Friday".
    pub due: Option<String>,
    /// How it was recognised.
    pub marker: Marker,
    /// The segments it was said in.
    pub segment_ids: Vec<Id>,
}

/// A possible decision, for a person to confirm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionCandidate<Id> {
    /// What was decided, as said, without the marker.
    pub text: String,
    /// How it was recognised.
    pub marker: Marker,
    /// The decisive segments and, for a pattern, the agreement that followed.
    pub segment_ids: Vec<Id>,
    /// Words that suggest an earlier decision is replaced ("instead of"), as said.
    pub reverses_hint: Option<String>,
}

/// A question that nobody answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenQuestion<Id> {
    /// The question as said.
    pub text: String,
    /// Who asked.
    pub speaker: String,
    /// The segments of the question and of the reply that left it open, if any.
    pub segment_ids: Vec<Id>,
}

/// How much of the meeting the notes rest on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Segments given.
    pub turns: usize,
    /// Words in them after cleaning; two ideographs count as one.
    pub words: usize,
    /// Sentences considered.
    pub sentences: usize,
    /// Segments cited by highlights, actions, decisions and questions.
    pub cited_turns: usize,
    /// Whether the meeting looks English; in other languages only explicit markers give items.
    pub english: bool,
}

/// The notes of a meeting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notes<Id> {
    /// Key phrases of the whole meeting, joined by " · "; empty for a meeting without content.
    pub headline: String,
    /// The parts of the meeting in order.
    pub topics: Vec<Topic<Id>>,
    /// The highlights in the order they were said.
    pub highlights: Vec<Highlight<Id>>,
    /// Possible action items in the order they were said.
    pub actions: Vec<ActionCandidate<Id>>,
    /// Possible decisions in the order they were said.
    pub decisions: Vec<DecisionCandidate<Id>>,
    /// Questions left open, in order.
    pub questions: Vec<OpenQuestion<Id>>,
    /// What the notes rest on.
    pub coverage: Coverage,
}

/// The ids of turns given by index.
pub(crate) fn ids<Id: Copy>(turns: &[Turn<Id>], indices: &[usize]) -> Vec<Id> {
    indices
        .iter()
        .filter_map(|&i| turns.get(i))
        .map(|t| t.id)
        .collect()
}

/// Makes the notes of a meeting from its segments, in the order given.
///
/// Linear in the words but for the topic boundaries, which are found among at most 400 blocks; meant to be
/// called again and again on a growing meeting. Equal input gives equal output.
pub fn notes<Id: Copy + Eq + Hash>(turns: &[Turn<Id>], options: &NotesOptions) -> Notes<Id> {
    let read = Transcript::read(turns);
    let names = turns
        .iter()
        .map(|t| t.speaker.as_str())
        .chain(options.participants.iter().map(String::as_str));
    let people = People::new(names);
    let scores = score::score(&read, None);
    let phrases = phrases::Phrases::count(&read, &people);
    let highlights = highlights::choose(turns, &read, &scores, options);
    let actions = actions::find(turns, &read, &people);
    let decisions = decisions::find(turns, &read);
    let questions = questions::find(turns, &read);
    let cited: HashSet<Id> = highlights
        .iter()
        .flat_map(|h| &h.segment_ids)
        .chain(actions.iter().flat_map(|a| &a.segment_ids))
        .chain(decisions.iter().flat_map(|d| &d.segment_ids))
        .chain(questions.iter().flat_map(|q| &q.segment_ids))
        .copied()
        .collect();
    Notes {
        headline: phrases.best(None, 5).join(" · "),
        topics: topics::find(turns, &read, &phrases, options),
        coverage: Coverage {
            turns: turns.len(),
            words: read.turn_words.iter().sum(),
            sentences: read.sentences.len(),
            cited_turns: cited.len(),
            english: read.english,
        },
        highlights,
        actions,
        decisions,
        questions,
    }
}
