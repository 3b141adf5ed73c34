//! Highlights: reading, pinning a note among them, and what a person says about one.

use meetmind_core::{
    Code, Ctx, Error, EventKind, Highlight, HighlightId, HighlightStatus, Id, MeetingAction,
    MeetingId, Page, PageQuery, Result, SegmentId,
};

use super::actions::checked_segments;
use super::{PINNED_SCORE, item_text, place, place_after};
use crate::App;
use crate::meetings::{meeting_access, words_access};

/// What changes in a highlight.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HighlightPatch {
    /// Other words; at most 1,000 characters.
    pub text: Option<String>,
    /// What the caller says about it.
    pub status: Option<HighlightStatus>,
}

impl App {
    /// The highlights of a meeting in one state, in the order they were said; all but dismissed
    /// ones when no state is named.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_CURSOR`.
    pub async fn highlight_list(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        status: Option<HighlightStatus>,
        page: &PageQuery,
    ) -> Result<Page<Highlight>> {
        let mut conn = self.store().read().await?;
        meeting_access(&mut conn, ctx, meeting_id, MeetingAction::ReadTranscript).await?;
        let after = place_after(page)?.map(|(at, id)| (at, HighlightId::from_uuid(id)));
        let but = status.is_none().then_some(HighlightStatus::Dismissed);
        let rows = conn
            .highlight_list(meeting_id, status, but, after, page.limit + 1)
            .await?;
        Ok(Page::from_rows(rows, page.limit, |row| {
            place(row.start_ms, row.id)
        }))
    }

    /// Edits, confirms or dismisses a highlight. Other words confirm it, unless the change says
    /// otherwise; they are a quotation when they stand in the first segment it cites, and the
    /// caller's own when they do not.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN`, `VALIDATION_FAILED`.
    pub async fn highlight_update(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        id: HighlightId,
        patch: HighlightPatch,
    ) -> Result<Highlight> {
        let mut change = self.change(ctx).await?;
        let access = words_access(&mut change, ctx, meeting_id, MeetingAction::EditNotes).await?;
        change.notes_lock(meeting_id).await?;
        let old = change.highlight_get(meeting_id, id).await?;
        let mut made = Highlight {
            status: patch.status.unwrap_or(old.status),
            ..old.clone()
        };
        if let Some(text) = &patch.text {
            made.text = item_text(text)?;
            made.stale = false;
            made.status = patch.status.unwrap_or(HighlightStatus::Confirmed);
            let first = match made.segment_ids.first() {
                Some(first) => Some(change.segment_get(meeting_id, *first).await?),
                None => None,
            };
            made.speaker = first
                .filter(|segment| segment.text.contains(&made.text))
                .map_or(access.name, |segment| segment.speaker);
        }
        if made != old {
            change.highlight_update(&old, &made).await?;
            change
                .meeting_event(meeting_id, EventKind::HighlightUpdated, &made)
                .await?;
        }
        change.commit().await?;
        if made != old {
            // The summary quotes the highlights.
            self.notes_refresh(ctx, meeting_id, false).await?;
        }
        Ok(made)
    }

    /// Pins a note of the caller to the transcript: a highlight in the caller's words that cites
    /// the given segments, or else the one said last. Later passes keep it.
    ///
    /// # Errors
    /// `CONFLICT` while nothing has been said, `NOT_FOUND`, `FORBIDDEN`, `VALIDATION_FAILED`.
    pub async fn note_add(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        text: &str,
        segment_ids: &[SegmentId],
    ) -> Result<Highlight> {
        let mut change = self.change(ctx).await?;
        let access = meeting_access(&mut change, ctx, meeting_id, MeetingAction::EditNotes).await?;
        let text = item_text(text)?;
        let segment_ids = checked_segments(&mut change, meeting_id, segment_ids).await?;
        let at = match segment_ids.first() {
            Some(id) => change.segment_get(meeting_id, *id).await?,
            None => change.segment_latest(meeting_id).await?.ok_or_else(|| {
                Error::new(
                    Code::Conflict,
                    "nothing has been said yet that a note could be pinned to",
                )
            })?,
        };
        let note = Highlight {
            id: self.id(ctx),
            meeting_id,
            text,
            speaker: access.name,
            start_ms: at.start_ms,
            segment_ids: if segment_ids.is_empty() {
                vec![at.id]
            } else {
                segment_ids
            },
            score: PINNED_SCORE,
            status: HighlightStatus::Confirmed,
            stale: false,
            created_at: ctx.now,
        };
        change.highlight_insert(&note).await?;
        change.commit().await?;
        // The note becomes a line of the summary, and the event of that tells of it.
        self.notes_refresh(ctx, meeting_id, false).await?;
        Ok(note)
    }
}
