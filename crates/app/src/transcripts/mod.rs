//! What was said: segments, corrections, import and export.

mod correct;
mod export;
pub mod formats;
mod gather;
mod import;
mod post;
mod read;
mod speakers;
mod write;

pub use correct::{SegmentErased, SegmentPatch};
pub use export::TranscriptFile;
pub(crate) use gather::State as Posts;
pub use import::{ImportNew, Imported, MAX_IMPORT_INTO};
pub use post::{SegmentNew, SegmentPosted};

use meetmind_core::{Actor, Error, MeetingAction, Proof, Result, Scope};

/// The most characters one segment may have: with four bytes each, 64 KB.
pub const MAX_TEXT_CHARS: usize = 16_384;
/// The most segments of one call.
pub const MAX_POSTED: usize = 500;
/// The most characters of a speaker's name.
const MAX_SPEAKER_CHARS: usize = 120;

/// What to ask the policy for a write in one's own name. A recorder's key has the scope for
/// transcripts and often no other.
fn own_action(actor: &Actor, otherwise: MeetingAction) -> MeetingAction {
    match actor {
        Actor::User {
            proof: Proof::ApiKey(_, scopes),
            ..
        } if scopes.contains(&Scope::TranscriptsWrite) => MeetingAction::Attribute,
        _ => otherwise,
    }
}

/// Holds words to their bounds. They are kept as they came.
pub(crate) fn checked_text(field: &str, text: String) -> Result<String> {
    if text.chars().count() > MAX_TEXT_CHARS {
        return Err(Error::invalid(
            field,
            format!("must have at most {MAX_TEXT_CHARS} characters"),
        ));
    }
    crate::valid::text(field, &text, MAX_TEXT_CHARS * 4)
}

/// Holds a moment to the meeting's span.
fn checked_time(field: &str, ms: i64) -> Result<i64> {
    if (0..=formats::MAX_TIME_MS).contains(&ms) {
        Ok(ms)
    } else {
        Err(Error::invalid(
            field,
            format!("must be 0 to {} (7 days)", formats::MAX_TIME_MS),
        ))
    }
}

/// Fails when a segment would end before it begins.
fn check_order(field: &str, start_ms: i64, end_ms: i64) -> Result<()> {
    if end_ms < start_ms {
        Err(Error::invalid(field, "must not be before start_ms"))
    } else {
        Ok(())
    }
}
