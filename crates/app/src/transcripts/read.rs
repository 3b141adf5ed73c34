//! Reading the transcript.

use meetmind_core::{
    Code, Ctx, Error, Id, MeetingAction, MeetingId, Page, PageQuery, Result, Segment, SegmentId,
};
use meetmind_store::SegmentFilter;

use super::{MAX_SPEAKER_CHARS, checked_time};
use crate::meetings::meeting_access;
use crate::{App, valid};

impl App {
    /// A page of the transcript in the order it was said.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_CURSOR`, `VALIDATION_FAILED`.
    pub async fn transcript_list(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        filter: SegmentFilter,
        page: &PageQuery,
    ) -> Result<Page<Segment>> {
        let filter = SegmentFilter {
            from_ms: filter
                .from_ms
                .map(|ms| checked_time("from_ms", ms))
                .transpose()?,
            to_ms: filter
                .to_ms
                .map(|ms| checked_time("to_ms", ms))
                .transpose()?,
            speaker: filter
                .speaker
                .map(|name| valid::line("speaker", &name, MAX_SPEAKER_CHARS))
                .transpose()?,
            is_final: filter.is_final,
        };
        let after = page.after.as_deref().map(place).transpose()?;
        let mut conn = self.store().read().await?;
        meeting_access(&mut conn, ctx, meeting_id, MeetingAction::ReadTranscript).await?;
        let rows = conn
            .segment_list(meeting_id, &filter, after, page.limit + 1)
            .await?;
        Ok(Page::from_rows(rows, page.limit, |row| {
            let mut key = row.start_ms.to_be_bytes().to_vec();
            key.extend(row.id.uuid().as_bytes());
            key
        }))
    }

    /// One segment.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn segment_get(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        id: SegmentId,
    ) -> Result<Segment> {
        let mut conn = self.store().read().await?;
        meeting_access(&mut conn, ctx, meeting_id, MeetingAction::ReadTranscript).await?;
        Ok(conn.segment_get(meeting_id, id).await?)
    }
}

/// Where a page ended: the start in milliseconds and the id of its last segment.
fn place(bytes: &[u8]) -> Result<(i64, SegmentId)> {
    let wrong = || Error::new(Code::InvalidCursor, "the cursor was not made by this list");
    let (start, id) = bytes.split_first_chunk::<8>().ok_or_else(wrong)?;
    let uuid = uuid::Uuid::from_slice(id).map_err(|_| wrong())?;
    Ok((i64::from_be_bytes(*start), SegmentId::from_uuid(uuid)))
}
