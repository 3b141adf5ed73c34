//! What is derived from transcripts, and which segments it cites.

use meetmind_core::{SegmentId, Timestamp};

use crate::db::execute;
use crate::statements::statements;
use crate::{Conn, Result};

statements! {
    TOPIC_STALE = "UPDATE topics SET stale = TRUE, updated_at = $2 WHERE NOT stale AND id IN (SELECT source_id FROM citations WHERE segment_id = $1 AND kind = 'topic')";
    HIGHLIGHT_STALE = "UPDATE highlights SET stale = TRUE WHERE NOT stale AND id IN (SELECT source_id FROM citations WHERE segment_id = $1 AND kind = 'highlight')";
    SUMMARY_STALE = "UPDATE summaries SET stale = TRUE, updated_at = $2 WHERE NOT stale AND id IN (SELECT source_id FROM citations WHERE segment_id = $1 AND kind = 'summary')";
    ACTION_STALE = "UPDATE actions SET stale = TRUE, version = version + 1, updated_at = $2 WHERE NOT stale AND id IN (SELECT source_id FROM citations WHERE segment_id = $1 AND kind = 'action')";
    DECISION_STALE = "UPDATE decisions SET stale = TRUE, version = version + 1, updated_at = $2 WHERE NOT stale AND id IN (SELECT source_id FROM citations WHERE segment_id = $1 AND kind = 'decision')";
}

impl Conn {
    /// Marks everything derived from a segment as stale; gives how many rows were not yet.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn derived_mark_stale(
        &mut self,
        segment_id: SegmentId,
        now: Timestamp,
    ) -> Result<u64> {
        let mut marked = execute!(self, HIGHLIGHT_STALE, segment_id)?;
        for statement in [TOPIC_STALE, SUMMARY_STALE, ACTION_STALE, DECISION_STALE] {
            marked += execute!(self, statement, segment_id, now)?;
        }
        Ok(marked)
    }
}
