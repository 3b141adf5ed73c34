//! What segments were before they were corrected.

use meetmind_core::{SegmentChange, SegmentId};

use crate::db::{execute, fetch_all};
use crate::statements::statements;
use crate::{Conn, Result};

statements! {
    SEGMENT_CHANGE_INSERT = "INSERT INTO segment_changes (segment_id, version, participant_id, speaker, text, start_ms, end_ms, actor, at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    SEGMENT_CHANGE_LIST = "SELECT segment_id, version, participant_id, speaker, text, start_ms, end_ms, actor, at FROM segment_changes
        WHERE segment_id = $1 AND (version > $2 OR $2 IS NULL) ORDER BY version LIMIT $3";
}

impl Conn {
    /// Keeps what a segment was.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn segment_change_insert(&mut self, c: &SegmentChange) -> Result<()> {
        execute!(
            self,
            SEGMENT_CHANGE_INSERT,
            c.segment_id,
            c.version,
            c.participant_id,
            &c.speaker,
            &c.text,
            c.start_ms,
            c.end_ms,
            &c.actor,
            c.at
        )?;
        Ok(())
    }

    /// What a segment was before each correction, oldest first, after the version `after`.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn segment_change_list(
        &mut self,
        id: SegmentId,
        after: Option<i64>,
        limit: i64,
    ) -> Result<Vec<SegmentChange>> {
        fetch_all!(self, SEGMENT_CHANGE_LIST, id, after, limit)
    }
}
