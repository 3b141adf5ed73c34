//! Memories.

use meetmind_core::{Ctx, MeetingId, Memory, Result, UserId};

use crate::App;

impl App {
    /// A user's memories that may answer a question, best first.
    pub(crate) async fn memories_for_question(
        &self,
        _user_id: UserId,
        _question: &str,
        _limit: i64,
    ) -> Result<Vec<Memory>> {
        Ok(Vec::new())
    }

    /// Keeps memories from a meeting that ended, as its mode and the speakers' consent allow;
    /// gives how many. Idempotent.
    pub(crate) async fn memories_remember(
        &self,
        _ctx: &Ctx,
        _meeting_id: MeetingId,
    ) -> Result<usize> {
        Ok(0)
    }
}
