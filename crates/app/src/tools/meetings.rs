//! Tools on meetings, their transcripts and their chat.

use meetmind_core::{
    Ctx, Id, Meeting, MeetingAction, MeetingRole, Message, MessageKind, Page, PageQuery,
    Participant, Result, Segment, SegmentId,
};
use meetmind_store::{Excerpt, MeetingFilter};
use serde::Serialize;

use super::arguments::{
    CreateMeeting, GetTranscript, ListMeetings, OneMeeting, PostMessage, UpdateMeeting, page,
};
use crate::meetings::meeting_access;
use crate::notes::{place, place_after};
use crate::{App, MeetingNew, MeetingPatch, MessageNew, valid};

/// Participants that one answer shows.
const PARTICIPANTS_SHOWN: i64 = 200;

#[derive(Debug, Serialize)]
pub(super) struct MeetingDetail {
    #[serde(flatten)]
    meeting: Meeting,
    /// The caller's role.
    role: MeetingRole,
    participants: Vec<Participant>,
}

pub(super) async fn list(app: &App, ctx: &Ctx, a: ListMeetings) -> Result<Page<Meeting>> {
    let filter = MeetingFilter {
        status: a.status,
        series_id: a.series_id,
        from: a.from,
        to: a.to,
        text: a.q.map(|q| valid::line("q", &q, 200)).transpose()?,
    };
    let page = page(a.limit, a.cursor.as_deref())?;
    app.meeting_list(ctx, &filter, &page).await
}

pub(super) async fn get(app: &App, ctx: &Ctx, a: OneMeeting) -> Result<MeetingDetail> {
    let access = app.meeting_get(ctx, a.meeting_id).await?;
    let page = PageQuery {
        after: None,
        limit: PARTICIPANTS_SHOWN,
    };
    let participants = app.participant_list(ctx, a.meeting_id, &page).await?.items;
    Ok(MeetingDetail {
        meeting: access.meeting,
        role: access.role,
        participants,
    })
}

pub(super) async fn transcript(app: &App, ctx: &Ctx, a: GetTranscript) -> Result<Page<Segment>> {
    let page = page(a.limit, a.cursor.as_deref())?;
    let mut conn = app.store().read().await?;
    meeting_access(&mut conn, ctx, a.meeting_id, MeetingAction::ReadTranscript).await?;
    let excerpt = Excerpt {
        from_ms: a.from_ms,
        to_ms: a.to_ms,
        speaker: a
            .speaker
            .map(|speaker| valid::line("speaker", &speaker, 200))
            .transpose()?,
        after: place_after(&page)?.map(|(at, id)| (at, SegmentId::from_uuid(id))),
    };
    let rows = conn
        .segment_excerpt(a.meeting_id, &excerpt, page.limit + 1)
        .await?;
    Ok(Page::from_rows(rows, page.limit, |row| {
        place(row.start_ms, row.id)
    }))
}

pub(super) async fn create(app: &App, ctx: &Ctx, a: CreateMeeting) -> Result<Meeting> {
    let new = MeetingNew {
        title: a.title,
        description: a.description,
        starts_at: a.starts_at,
        ends_at: a.ends_at,
        time_zone: a.time_zone,
        series_id: a.series_id,
        access: a.access,
        ..MeetingNew::default()
    };
    app.meeting_create(ctx, new).await
}

pub(super) async fn update(app: &App, ctx: &Ctx, a: UpdateMeeting) -> Result<Meeting> {
    let patch = MeetingPatch {
        title: a.title,
        description: a.description.map(Some),
        starts_at: a.starts_at.map(Some),
        ends_at: a.ends_at.map(Some),
        ..MeetingPatch::default()
    };
    app.meeting_update(ctx, a.meeting_id, patch, None).await
}

pub(super) async fn post(app: &App, ctx: &Ctx, a: PostMessage) -> Result<Message> {
    let new = MessageNew {
        kind: MessageKind::Text,
        text: a.text,
        reply_to: None,
        segment_ids: Vec::new(),
    };
    app.message_post(ctx, a.meeting_id, new).await
}
