//! Topics: reading, relabelling, moving on.

use meetmind_core::{
    Code, Ctx, Error, EventKind, Id, MeetingAction, MeetingId, Page, PageQuery, Result, Scope,
    SeriesId, Topic, TopicId, user_may,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::DERIVED_MAX;
use crate::meetings::{cursor_id, cursor_of, meeting_access, words_access};
use crate::{Access, App, valid};

/// Which way to go through the topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TopicDirection {
    /// On.
    Next,
    /// Back.
    Previous,
    /// Stay, and say where that is.
    Current,
}

impl App {
    /// The topics of a meeting, in order.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_CURSOR`.
    pub async fn topic_list(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        page: &PageQuery,
    ) -> Result<Page<Topic>> {
        let mut conn = self.store().read().await?;
        meeting_access(&mut conn, ctx, meeting_id, MeetingAction::ReadTranscript).await?;
        let after = match &page.after {
            None => None,
            Some(bytes) => Some(i64::from_be_bytes(
                bytes.as_slice().try_into().map_err(|_| foreign_cursor())?,
            )),
        };
        let rows = conn.topic_list(meeting_id, after, page.limit + 1).await?;
        Ok(Page::from_rows(rows, page.limit, |row| {
            row.ordinal.to_be_bytes().to_vec()
        }))
    }

    /// Topics of the caller's meetings, newest first; `text` stands in the label.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, `FORBIDDEN`, `INVALID_CURSOR`, `VALIDATION_FAILED`.
    pub async fn topic_search(
        &self,
        ctx: &Ctx,
        meeting_id: Option<MeetingId>,
        series_id: Option<SeriesId>,
        text: Option<&str>,
        page: &PageQuery,
    ) -> Result<Page<Topic>> {
        let user_id = user_may(&ctx.actor, Scope::TranscriptsRead)?;
        let text = text.map(|text| valid::line("q", text, 200)).transpose()?;
        let before = cursor_id(page)?;
        let rows = self
            .store()
            .read()
            .await?
            .topic_search(
                user_id,
                meeting_id,
                series_id,
                text.as_deref(),
                before,
                page.limit + 1,
            )
            .await?;
        Ok(Page::from_rows(rows, page.limit, |row| cursor_of(row.id)))
    }

    /// Gives a topic another label; later passes keep it.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN`, `VALIDATION_FAILED`.
    pub async fn topic_relabel(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        id: TopicId,
        label: &str,
    ) -> Result<Topic> {
        let mut change = self.change(ctx).await?;
        words_access(&mut change, ctx, meeting_id, MeetingAction::EditNotes).await?;
        let label = valid::line("label", label, 200)?;
        change.notes_lock(meeting_id).await?;
        let old = change.topic_get(meeting_id, id).await?;
        let topic = Topic {
            label,
            edited: true,
            updated_at: ctx.now,
            ..old.clone()
        };
        change.topic_update(&old, &topic).await?;
        change
            .meeting_event(meeting_id, EventKind::TopicUpdated, &topic)
            .await?;
        change.commit().await?;
        Ok(topic)
    }

    /// Moves the meeting's focus through its topics and tells where it is now; `None` while
    /// there are no topics. At either end it stays. The focus stands in the meeting's context
    /// as `topic_index` and `topic_id`; without one, the newest topic is it.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN` for viewers who would move it.
    pub async fn topic_move(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        direction: TopicDirection,
    ) -> Result<Option<Topic>> {
        if direction == TopicDirection::Current {
            let mut conn = self.store().read().await?;
            meeting_access(&mut conn, ctx, meeting_id, MeetingAction::ReadTranscript).await?;
            let topics = conn.topic_list(meeting_id, None, DERIVED_MAX).await?;
            let (_, context) = conn.meeting_secret_get(meeting_id).await?;
            return Ok(focus(&topics, &context).and_then(|at| topics.get(at).cloned()));
        }
        let mut change = self.change(ctx).await?;
        words_access(&mut change, ctx, meeting_id, MeetingAction::Speak).await?;
        change.notes_lock(meeting_id).await?;
        let topics = change.topic_list(meeting_id, None, DERIVED_MAX).await?;
        let (_, mut context) = change.meeting_secret_get(meeting_id).await?;
        let Some(at) = focus(&topics, &context) else {
            return Ok(None);
        };
        let to = match direction {
            TopicDirection::Previous => at.saturating_sub(1),
            _ => (at + 1).min(topics.len() - 1),
        };
        let topic = topics[to].clone();
        if let Value::Object(fields) = &mut context {
            fields.insert("topic_index".to_owned(), json!(to));
            fields.insert("topic_id".to_owned(), json!(topic.id));
        }
        change
            .meeting_context_set(meeting_id, &context, ctx.now)
            .await?;
        change
            .meeting_event(
                meeting_id,
                EventKind::ContextUpdated,
                &json!({ "meeting_id": meeting_id, "context": context }),
            )
            .await?;
        change
            .meeting_event(
                meeting_id,
                EventKind::TopicFocused,
                &json!({ "meeting_id": meeting_id, "topic": topic, "by": "command" }),
            )
            .await?;
        change.commit().await?;
        Ok(Some(topic))
    }

    /// Makes the notes of a meeting anew, now. Who has them made also gets to read them, so a
    /// key needs the scope for both: one without is refused before anything was done.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN`.
    pub async fn notes_regenerate(&self, ctx: &Ctx, meeting_id: MeetingId) -> Result<Access> {
        let mut conn = self.store().read().await?;
        let access = words_access(&mut conn, ctx, meeting_id, MeetingAction::EditNotes).await?;
        drop(conn);
        self.notes_refresh(ctx, meeting_id, false).await?;
        Ok(access)
    }
}

/// Which topic is in focus: the one the context names, else the one at its index, else the newest.
fn focus(topics: &[Topic], context: &Value) -> Option<usize> {
    let last = topics.len().checked_sub(1)?;
    let named = context.get("topic_id").and_then(Value::as_str);
    if let Some(at) = named.and_then(|id| topics.iter().position(|t| t.id.to_string() == id)) {
        return Some(at);
    }
    let index = context.get("topic_index").and_then(Value::as_u64);
    Some(index.map_or(last, |at| usize::try_from(at).unwrap_or(last).min(last)))
}

fn foreign_cursor() -> Error {
    Error::new(Code::InvalidCursor, "the cursor was not made by this list")
}

/// The cursor of a list in the order of the transcript.
pub(crate) fn place(start_ms: i64, id: impl Id) -> Vec<u8> {
    let mut bytes = start_ms.to_be_bytes().to_vec();
    bytes.extend_from_slice(id.uuid().as_bytes());
    bytes
}

/// Reads what [`place`] wrote.
pub(crate) fn place_after(page: &PageQuery) -> Result<Option<(i64, Uuid)>> {
    let Some(bytes) = &page.after else {
        return Ok(None);
    };
    let (ms, id) = bytes.split_at_checked(8).ok_or_else(foreign_cursor)?;
    let ms = i64::from_be_bytes(ms.try_into().map_err(|_| foreign_cursor())?);
    let id = Uuid::from_slice(id).map_err(|_| foreign_cursor())?;
    Ok(Some((ms, id)))
}
