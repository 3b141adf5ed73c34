//! Tools on notes, and questions.

use meetmind_core::{
    Action, Code, Ctx, Error, Highlight, MeetingId, Page, Result, SeriesId, Topic,
};
use meetmind_store::{ActionFilter, DecisionFilter};
use serde::Serialize;

use super::arguments::{
    AddNote, Ask, FocusView, ListItems, OneMeeting, Summarize, TopicNavigation, page,
};
use crate::notes::{DecisionView, Digest, DigestStyle, PersonaView, SummaryView};
use crate::{Answer, App, AskScope};

#[derive(Debug, Serialize)]
pub(super) struct ActionItems {
    action_items: Vec<Action>,
}

#[derive(Debug, Serialize)]
pub(super) struct Focus {
    topic: Option<Topic>,
}

/// One of two places, not both.
fn not_both(meeting_id: Option<MeetingId>, series_id: Option<SeriesId>) -> Result<()> {
    if meeting_id.is_some() && series_id.is_some() {
        return Err(Error::invalid(
            "series_id",
            "give meeting_id or series_id, not both",
        ));
    }
    Ok(())
}

fn state<T: std::str::FromStr<Err = String>>(status: Option<&str>) -> Result<Option<T>> {
    let read = |text: &str| {
        text.parse()
            .map_err(|why: String| Error::invalid("status", why))
    };
    status.map(read).transpose()
}

pub(super) async fn summary(app: &App, ctx: &Ctx, a: OneMeeting) -> Result<SummaryView> {
    app.summary_get(ctx, a.meeting_id, None).await
}

pub(super) async fn actions(app: &App, ctx: &Ctx, a: ListItems) -> Result<Page<Action>> {
    not_both(a.meeting_id, a.series_id)?;
    let page = page(a.limit, a.cursor.as_deref())?;
    let status = state(a.status.as_deref())?;
    if let Some(id) = a.meeting_id {
        return app.action_list(ctx, id, status, &page).await;
    }
    let filter = ActionFilter {
        status,
        series_id: a.series_id,
        ..ActionFilter::default()
    };
    app.action_search(ctx, filter, None, &page).await
}

pub(super) async fn decisions(app: &App, ctx: &Ctx, a: ListItems) -> Result<Page<DecisionView>> {
    not_both(a.meeting_id, a.series_id)?;
    let page = page(a.limit, a.cursor.as_deref())?;
    let status = state(a.status.as_deref())?;
    if let Some(id) = a.meeting_id {
        return app.decision_list(ctx, id, status, &page).await;
    }
    let filter = DecisionFilter {
        status,
        meeting_id: None,
        series_id: a.series_id,
    };
    app.decision_search(ctx, &filter, &page).await
}

pub(super) async fn add(app: &App, ctx: &Ctx, a: AddNote) -> Result<Highlight> {
    app.note_add(ctx, a.meeting_id, &a.text, &a.segment_ids)
        .await
}

pub(super) async fn ask(app: &App, ctx: &Ctx, a: Ask) -> Result<Answer> {
    not_both(a.meeting_id, a.series_id)?;
    let scope = match (a.meeting_id, a.series_id) {
        (Some(id), _) => AskScope::Meeting(id),
        (None, Some(id)) => AskScope::Series(id),
        (None, None) => AskScope::All,
    };
    app.ask(ctx, &a.question, scope).await
}

pub(super) async fn digest(app: &App, ctx: &Ctx, a: Summarize) -> Result<Digest> {
    app.meeting_digest(ctx, a.meeting_id, a.style, a.persona)
        .await
}

/// Reads the transcript anew first when the caller may ask for that, as over REST; for others
/// the notes are as the last pass left them.
pub(super) async fn extract(app: &App, ctx: &Ctx, a: OneMeeting) -> Result<ActionItems> {
    match app.notes_regenerate(ctx, a.meeting_id).await {
        Ok(_) => {}
        Err(error) if matches!(error.code, Code::Forbidden | Code::ScopeMissing) => {}
        Err(error) => return Err(error),
    }
    let digest = app
        .meeting_digest(ctx, a.meeting_id, DigestStyle::Actions, None)
        .await?;
    Ok(ActionItems {
        action_items: digest.action_items,
    })
}

pub(super) async fn navigate(app: &App, ctx: &Ctx, a: TopicNavigation) -> Result<Focus> {
    let topic = app.topic_move(ctx, a.meeting_id, a.direction).await?;
    Ok(Focus { topic })
}

pub(super) async fn focus(app: &App, ctx: &Ctx, a: FocusView) -> Result<Option<PersonaView>> {
    let view = app.summary_get(ctx, a.meeting_id, Some(a.persona)).await?;
    Ok(view.view)
}
