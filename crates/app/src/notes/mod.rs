//! Notes: what is derived from a transcript while the meeting runs and after it.

use meetmind_core::{Ctx, MeetingId, Result};

use crate::App;

/// What one pass over a meeting did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotesPass {
    /// Final segments that were read.
    pub segments: i64,
    /// Whether anything changed.
    pub changed: bool,
}

impl App {
    /// Reads the final segments of a meeting and brings its notes up to date; what people
    /// edited, confirmed or dismissed stays. `is_final` marks the pass after the end. Idempotent.
    pub(crate) async fn notes_refresh(
        &self,
        _ctx: &Ctx,
        _meeting_id: MeetingId,
        _is_final: bool,
    ) -> Result<NotesPass> {
        Ok(NotesPass {
            segments: 0,
            changed: false,
        })
    }
}
