//! Notes: what is derived from a transcript while the meeting runs and after it.
//!
//! [`App::notes_refresh`] is the one way in which derived rows come about: it reads all final
//! segments, lets the offline engine make notes of them (`derive`), compares these with the rows
//! at hand (`merge`) and writes the difference in one transaction (`refresh`). What a person
//! entered, edited, confirmed or dismissed is never rewritten.

mod actions;
mod context;
mod decisions;
mod derive;
mod digest;
mod highlights;
mod insights;
mod merge;
mod refresh;
mod similar;
mod summary;
mod topics;

#[cfg(test)]
mod tests;

use meetmind_core::{MeetingId, Timestamp};
use tokio::sync::{Mutex, MutexGuard};

pub use actions::{ActionNew, ActionPatch, OwnerFilter};
pub use decisions::{DecisionNew, DecisionPatch, DecisionView};
pub(crate) use digest::quoted;
pub use digest::{Digest, DigestStyle};
pub use highlights::HighlightPatch;
pub use insights::{Insights, LongestTurn, OpenQuestionView, SpeakerShare};
pub use summary::{
    NotesCoverage, NotesPersona, PersonaView, SummaryLineNew, SummaryPatch, SummaryView,
};
pub use topics::TopicDirection;
pub(crate) use topics::{place, place_after};

/// What `engine` of a summary and of an answer says while no language model is configured.
pub(crate) const ENGINE_OFFLINE: &str = "offline";
/// Says aloud what the offline engine is.
pub const ENGINE_NOTE: &str = "No language model is configured: lines are quotations from the transcript, chosen by fixed rules. Items marked `pattern` are unconfirmed.";
/// The score of a note that a person pinned among the highlights; the engine's own end at 1.
pub(crate) const PINNED_SCORE: f64 = 2.0;
/// Actions or decisions of one meeting that are read at once.
pub(crate) const ITEMS_MAX: i64 = 2_000;
/// Topics or highlights of one meeting that are read at once.
pub(crate) const DERIVED_MAX: i64 = 1_000;
/// Longest text of an action, a decision or a pinned note, in characters.
const ITEM_TEXT_MAX: usize = 1_000;

/// What one pass over a meeting did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotesPass {
    /// Final segments that were read.
    pub segments: i64,
    /// Whether anything changed.
    pub changed: bool,
}

/// Locks that keep two passes over one meeting apart in this process, so that the second one
/// finds the work done instead of doing it against the first. Correctness does not hang on
/// them: the transaction locks the meeting's row as well.
#[derive(Debug, Default)]
pub(crate) struct State {
    locks: [Mutex<()>; 32],
}

impl State {
    async fn lock(&self, id: MeetingId) -> MutexGuard<'_, ()> {
        use meetmind_core::Id;
        // The last byte is random; two meetings under one lock only wait for each other.
        let at = usize::from(id.uuid().as_bytes()[15]) % self.locks.len();
        self.locks[at].lock().await
    }
}

/// Trims the text of an item that somebody enters, and holds it to its bound.
pub(crate) fn item_text(text: &str) -> meetmind_core::Result<String> {
    let text = crate::valid::text("text", text.trim(), ITEM_TEXT_MAX * 4)?;
    if text.chars().count() > ITEM_TEXT_MAX {
        return Err(meetmind_core::Error::invalid(
            "text",
            format!("must have at most {ITEM_TEXT_MAX} characters"),
        ));
    }
    Ok(text)
}

/// `12:04`, or `1:02:03` from the first hour on.
pub(crate) fn clock(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

/// The moment from which a meeting's date is told: its start, else its plan, else its making.
pub(crate) fn meeting_moment(meeting: &meetmind_core::Meeting) -> Timestamp {
    meeting
        .started_at
        .or(meeting.starts_at)
        .unwrap_or(meeting.created_at)
}
