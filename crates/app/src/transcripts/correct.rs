//! Corrections and erasures.

use meetmind_core::{
    Code, Ctx, Error, EventKind, MeetingAction, MeetingId, MeetingStatus, Page, PageQuery, Result,
    Segment, SegmentChange, SegmentId, meeting_may,
};
use serde::Serialize;
use serde_json::json;

use super::speakers::{Speakers, consent_denied, same_name};
use super::{MAX_SPEAKER_CHARS, check_order, checked_text, checked_time, own_action};
use crate::meetings::{meeting_access, words_access};
use crate::{Access, App, valid};

/// What changes in a segment: absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SegmentPatch {
    /// Other words.
    pub text: Option<String>,
    /// Another speaker.
    pub speaker: Option<String>,
    /// Another start.
    pub start_ms: Option<i64>,
    /// Another end.
    pub end_ms: Option<i64>,
}

/// What an erasure took along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SegmentErased {
    /// The segment that was.
    pub id: SegmentId,
    /// Highlights, topics, summaries, actions and decisions that cited it.
    pub derived: u64,
    /// Memories that cited it, everybody's.
    pub memories: u64,
    /// Answers in the meeting's chat that quoted it.
    pub answers: u64,
    /// Stored events that held its words.
    pub events: u64,
}

impl App {
    /// Corrects a segment and marks what was derived from it as stale. `expected` is the version
    /// the caller last saw, when it guards. Who corrects gets to read the whole segment, so a key
    /// needs the scope for that too.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN` for segments of others without the right to edit notes,
    /// `CONSENT_DENIED` when the new speaker does not consent, `PRECONDITION_FAILED`,
    /// `VALIDATION_FAILED`.
    pub async fn segment_correct(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        id: SegmentId,
        patch: SegmentPatch,
        expected: Option<i64>,
    ) -> Result<Segment> {
        let patch = checked(patch)?;
        let mut change = self.change(ctx).await?;
        let access = words_access(
            &mut change,
            ctx,
            meeting_id,
            own_action(&ctx.actor, MeetingAction::Consent),
        )
        .await?;
        let old = change.segment_get(meeting_id, id).await?;
        let renamed = patch
            .speaker
            .as_ref()
            .is_some_and(|name| !same_name(name, &old.speaker));
        may_change(ctx, &access, &old, renamed)?;
        let stale = || {
            Error::new(
                Code::PreconditionFailed,
                "the segment changed since you read it",
            )
        };
        if expected.is_some_and(|version| version != old.version) {
            return Err(stale());
        }
        let mut segment = Segment {
            text: patch.text.unwrap_or_else(|| old.text.clone()),
            start_ms: patch.start_ms.unwrap_or(old.start_ms),
            end_ms: patch.end_ms.unwrap_or(old.end_ms),
            ..old.clone()
        };
        check_order("end_ms", segment.start_ms, segment.end_ms)?;
        if let Some(name) = &patch.speaker {
            let mut speakers = Speakers::default();
            let speaker = speakers.named(&mut change, &access.meeting, name).await?;
            if renamed
                && !speakers
                    .permits(&mut change, &ctx.actor, &access.meeting, &speaker)
                    .await?
            {
                return Err(consent_denied(0, &speaker));
            }
            segment.participant_id = speaker.participant_id;
            segment.speaker = speaker.name;
        }
        if segment == old {
            return Ok(old);
        }
        segment.corrected_at = Some(ctx.now);
        segment.updated_at = ctx.now;
        segment.version += 1;
        if !change.segment_update(&segment).await? {
            return Err(stale());
        }
        let was = SegmentChange {
            segment_id: id,
            version: old.version,
            participant_id: old.participant_id,
            speaker: old.speaker,
            text: old.text,
            start_ms: old.start_ms,
            end_ms: old.end_ms,
            actor: ctx.actor.key(),
            at: ctx.now,
        };
        change.segment_change_insert(&was).await?;
        // The words themselves stand in the history of the segment, which goes with it.
        let details = json!({ "meeting_id": meeting_id, "version": segment.version });
        change.audit("segment.corrected", id, details).await?;
        change.derived_mark_stale(id, ctx.now).await?;
        change
            .meeting_event(meeting_id, EventKind::SegmentCorrected, &segment)
            .await?;
        change.commit().await?;
        Ok(segment)
    }

    /// What a segment was before each correction, oldest first: one's own, and for who runs the
    /// meeting everybody's.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN`, `INVALID_CURSOR`.
    pub async fn segment_history(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        id: SegmentId,
        page: &PageQuery,
    ) -> Result<Page<SegmentChange>> {
        let mut conn = self.store().read().await?;
        let access =
            meeting_access(&mut conn, ctx, meeting_id, MeetingAction::ReadTranscript).await?;
        let segment = conn.segment_get(meeting_id, id).await?;
        if !is_own(&access, &segment) {
            meeting_may(
                &ctx.actor,
                Some(access.role),
                meeting_id,
                MeetingAction::ReadHistory,
            )?;
        }
        let foreign = |_| Error::new(Code::InvalidCursor, "the cursor was not made by this list");
        let after = page.after.as_deref().map(<[u8; 8]>::try_from);
        let after = after.transpose().map_err(foreign)?.map(i64::from_be_bytes);
        let rows = conn.segment_change_list(id, after, page.limit + 1).await?;
        Ok(Page::from_rows(rows, page.limit, |row| {
            row.version.to_be_bytes().to_vec()
        }))
    }

    /// Erases a segment and every copy of its words: what was derived from it, memories, quoting
    /// answers, stored events. Notes of an ended meeting are made anew.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN` for segments of others without the right to edit notes.
    pub async fn segment_erase(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        id: SegmentId,
    ) -> Result<SegmentErased> {
        let mut change = self.change(ctx).await?;
        let access = meeting_access(
            &mut change,
            ctx,
            meeting_id,
            own_action(&ctx.actor, MeetingAction::Consent),
        )
        .await?;
        let segment = change.segment_get(meeting_id, id).await?;
        may_change(ctx, &access, &segment, false)?;
        let erased = change.segment_erase(&segment).await?;
        let receipt = SegmentErased {
            id,
            derived: erased.derived,
            memories: erased.memories,
            answers: erased.answers,
            events: erased.events,
        };
        change
            .meeting_event(meeting_id, EventKind::SegmentErased, &json!({ "id": id }))
            .await?;
        change
            .audit("segment.erased", id, json!({ "meeting_id": meeting_id }))
            .await?;
        if access.meeting.status == MeetingStatus::Ended {
            self.meeting_end_queue(&mut change, ctx, &access.meeting)
                .await?;
        }
        change.commit().await?;
        Ok(receipt)
    }
}

fn is_own(access: &Access, segment: &Segment) -> bool {
    access.participant_id.is_some() && segment.participant_id == access.participant_id
}

/// One's own words are one's own to change; those of others, and who said them, are for who runs
/// the meeting, or for a recorder's key.
fn may_change(ctx: &Ctx, access: &Access, segment: &Segment, renamed: bool) -> Result<()> {
    let recorder = own_action(&ctx.actor, MeetingAction::Consent) == MeetingAction::Attribute;
    if recorder || (is_own(access, segment) && !renamed) {
        return Ok(());
    }
    meeting_may(
        &ctx.actor,
        Some(access.role),
        access.meeting.id,
        MeetingAction::Manage,
    )
}

fn checked(patch: SegmentPatch) -> Result<SegmentPatch> {
    Ok(SegmentPatch {
        text: patch
            .text
            .map(|text| checked_text("text", text))
            .transpose()?,
        speaker: patch
            .speaker
            .map(|name| valid::line("speaker", &name, MAX_SPEAKER_CHARS))
            .transpose()?,
        start_ms: patch
            .start_ms
            .map(|ms| checked_time("start_ms", ms))
            .transpose()?,
        end_ms: patch
            .end_ms
            .map(|ms| checked_time("end_ms", ms))
            .transpose()?,
    })
}
