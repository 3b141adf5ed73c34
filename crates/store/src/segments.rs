//! The transcript.

use meetmind_core::{MeetingId, Segment, SegmentId};

use crate::db::{execute, fetch_all, fetch_optional};
use crate::statements::statements;
use crate::{Conn, Error, Result};

macro_rules! segment_columns {
    () => {
        "id, meeting_id, participant_id, speaker, text, start_ms, end_ms, confidence, language, is_final, external_id, attribution, version, \
         corrected_at, created_at, updated_at"
    };
}

statements! {
    SEGMENT_INSERT = "INSERT INTO segments (id, meeting_id, participant_id, speaker, text, start_ms, end_ms, confidence, language, is_final,
        external_id, attribution, version, corrected_at, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
    SEGMENT_UPDATE = "UPDATE segments SET participant_id = $2, speaker = $3, text = $4, start_ms = $5, end_ms = $6, confidence = $7, language = $8,
        is_final = $9, version = $10, corrected_at = $11, updated_at = $12 WHERE id = $1";
    SEGMENT_GET = concat!("SELECT ", segment_columns!(), " FROM segments WHERE meeting_id = $1 AND id = $2");
    SEGMENT_BY_EXTERNAL = concat!("SELECT ", segment_columns!(), " FROM segments WHERE meeting_id = $1 AND external_id = $2");
    SEGMENT_FINALS = concat!("SELECT ", segment_columns!(), " FROM segments WHERE meeting_id = $1 AND is_final ORDER BY start_ms, id");
    SEGMENT_DELETE = "DELETE FROM segments WHERE id = $1";
}

impl Conn {
    /// Adds a segment.
    ///
    /// # Errors
    /// [`Error::Duplicate`] when the meeting has a segment with the same external id.
    pub async fn segment_insert(&mut self, s: &Segment) -> Result<()> {
        execute!(
            self,
            SEGMENT_INSERT,
            s.id,
            s.meeting_id,
            s.participant_id,
            &s.speaker,
            &s.text,
            s.start_ms,
            s.end_ms,
            s.confidence,
            &s.language,
            s.is_final,
            &s.external_id,
            s.attribution,
            s.version,
            s.corrected_at,
            s.created_at,
            s.updated_at
        )?;
        Ok(())
    }

    /// Writes all that may change in a segment.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn segment_update(&mut self, s: &Segment) -> Result<()> {
        execute!(
            self,
            SEGMENT_UPDATE,
            s.id,
            s.participant_id,
            &s.speaker,
            &s.text,
            s.start_ms,
            s.end_ms,
            s.confidence,
            &s.language,
            s.is_final,
            s.version,
            s.corrected_at,
            s.updated_at
        )?;
        Ok(())
    }

    /// One segment of a meeting.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database cannot be reached.
    pub async fn segment_get(&mut self, meeting_id: MeetingId, id: SegmentId) -> Result<Segment> {
        fetch_optional!(self, SEGMENT_GET, meeting_id, id)?.ok_or(Error::NotFound("segment"))
    }

    /// The segment that a caller knows under its own id.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn segment_find_external(
        &mut self,
        meeting_id: MeetingId,
        external_id: &str,
    ) -> Result<Option<Segment>> {
        fetch_optional!(self, SEGMENT_BY_EXTERNAL, meeting_id, external_id)
    }

    /// All final segments of a meeting in the order they were said.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn segment_finals(&mut self, meeting_id: MeetingId) -> Result<Vec<Segment>> {
        fetch_all!(self, SEGMENT_FINALS, meeting_id)
    }

    /// Erases a segment; gives whether it was there.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn segment_delete(&mut self, id: SegmentId) -> Result<bool> {
        Ok(execute!(self, SEGMENT_DELETE, id)? == 1)
    }
}
