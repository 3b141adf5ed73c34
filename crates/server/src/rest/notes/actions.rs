//! `/api/meetings/{id}/actions` and `/api/actions`.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use meetmind_app::{ActionNew, ActionPatch, App, OwnerFilter};
use meetmind_core::{
    Action, ActionId, ActionStatus, MeetingId, Page, PageQuery, SegmentId, SeriesId, Timestamp,
    UserId,
};
use meetmind_store::ActionFilter;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::optional_body;
use crate::extract::{Caller, IfMatch, Json, PageParams, Path, Query, patch_field};
use crate::reply::{Envelope, Failure, Outcome, Reply};

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(action_list, action_create))
        .routes(routes!(action_get, action_update))
        .routes(routes!(action_search))
}

/// In which state a new item begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NewItemStatus {
    /// For somebody to confirm.
    #[default]
    Proposed,
    /// Confirmed at once; needs the right to edit notes.
    Confirmed,
}

/// A new action.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct ActionBody {
    /// What is to be done.
    #[schema(min_length = 1, max_length = 1000)]
    text: String,
    /// Who is to do it; a participant's name finds the account.
    #[schema(min_length = 1, max_length = 200)]
    owner: Option<String>,
    /// The account of the owner; it must take part in the meeting.
    owner_user_id: Option<UserId>,
    /// Until when, in words.
    #[schema(min_length = 1, max_length = 200)]
    due: Option<String>,
    /// Until when.
    due_at: Option<Timestamp>,
    /// `proposed` when absent.
    status: Option<NewItemStatus>,
    /// Final segments of the meeting where it was said.
    #[serde(default)]
    #[schema(max_items = 100)]
    segment_ids: Vec<SegmentId>,
}

/// Changes: absent stays, null clears.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct ActionPatchBody {
    #[schema(min_length = 1, max_length = 1000)]
    text: Option<String>,
    /// A participant's name finds the account.
    #[serde(default, deserialize_with = "patch_field")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200)]
    owner: Option<Option<String>>,
    #[serde(default, deserialize_with = "patch_field")]
    #[schema(value_type = Option<UserId>)]
    owner_user_id: Option<Option<UserId>>,
    #[serde(default, deserialize_with = "patch_field")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200)]
    due: Option<Option<String>>,
    #[serde(default, deserialize_with = "patch_field")]
    #[schema(value_type = Option<Timestamp>)]
    due_at: Option<Option<Timestamp>>,
    /// Done goes back to confirmed, dismissed and superseded to proposed.
    status: Option<ActionStatus>,
}

/// What narrows the actions of a meeting.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct ActionListParams {
    /// Only in this state.
    #[param(inline)]
    status: Option<ActionStatus>,
}

/// What narrows the actions of all meetings.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct ActionSearchParams {
    /// Only in this state.
    #[param(inline)]
    status: Option<ActionStatus>,
    /// `me`, or characters of the owner's name.
    #[param(min_length = 1, max_length = 200)]
    owner: Option<String>,
    /// Only of this meeting.
    meeting_id: Option<MeetingId>,
    /// Only of this series.
    series_id: Option<SeriesId>,
    /// Due before this moment.
    due_before: Option<Timestamp>,
}

/// The actions of a meeting, in the order they were found.
#[utoipa::path(get, path = "/api/meetings/{id}/actions", tag = "notes", params(("id" = MeetingId, Path), ActionListParams, PageParams), responses((status = 200, body = Envelope<Page<Action>>)))]
async fn action_list(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    Query(params): Query<ActionListParams>,
    Query(page): Query<PageParams>,
) -> Outcome<Page<Action>> {
    let page = page.query()?;
    Ok(Reply::ok(
        app.action_list(&ctx, id, params.status, &page).await?,
    ))
}

/// Enter an action. Without a body: make the notes anew, now, and give the actions.
#[utoipa::path(post, path = "/api/meetings/{id}/actions", tag = "notes", params(("id" = MeetingId, Path)), request_body = Option<ActionBody>, responses((status = 201, body = Envelope<Action>), (status = 200, description = "Without a body: the actions after a new pass.", body = Envelope<Page<Action>>)))]
async fn action_create(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    request: Request,
) -> Result<Response, Failure> {
    let Some(body) = optional_body::<ActionBody>(request, &app).await? else {
        app.notes_regenerate(&ctx, id).await?;
        let actions = app
            .action_list(&ctx, id, None, &PageQuery::default())
            .await?;
        return Ok(Reply::ok(actions).into_response());
    };
    let new = ActionNew {
        text: body.text,
        owner: body.owner,
        owner_user_id: body.owner_user_id,
        due: body.due,
        due_at: body.due_at,
        confirmed: body.status == Some(NewItemStatus::Confirmed),
        segment_ids: body.segment_ids,
    };
    let action = app.action_create(&ctx, id, new).await?;
    let location = format!("/api/meetings/{id}/actions/{}", action.id);
    let version = action.version;
    Ok(Reply::created(location, action)
        .etag(version)
        .into_response())
}

/// One action.
#[utoipa::path(get, path = "/api/meetings/{id}/actions/{action_id}", tag = "notes", params(("id" = MeetingId, Path), ("action_id" = ActionId, Path)), responses((status = 200, body = Envelope<Action>)))]
async fn action_get(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path((id, action_id)): Path<(MeetingId, ActionId)>,
) -> Outcome<Action> {
    let action = app.action_get(&ctx, id, action_id).await?;
    let version = action.version;
    Ok(Reply::ok(action).etag(version))
}

/// Edit, confirm, tick off or dismiss an action. With `If-Match`, only if nobody changed it since.
#[utoipa::path(patch, path = "/api/meetings/{id}/actions/{action_id}", tag = "notes", params(("id" = MeetingId, Path), ("action_id" = ActionId, Path), IfMatch), request_body = ActionPatchBody, responses((status = 200, body = Envelope<Action>)))]
async fn action_update(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path((id, action_id)): Path<(MeetingId, ActionId)>,
    IfMatch(expected): IfMatch,
    Json(body): Json<ActionPatchBody>,
) -> Outcome<Action> {
    let patch = ActionPatch {
        text: body.text,
        owner: body.owner,
        owner_user_id: body.owner_user_id,
        due: body.due,
        due_at: body.due_at,
        status: body.status,
    };
    let action = app
        .action_update(&ctx, id, action_id, patch, expected)
        .await?;
    let version = action.version;
    Ok(Reply::ok(action).etag(version))
}

/// The actions of your meetings, newest first.
#[utoipa::path(get, path = "/api/actions", tag = "notes", params(ActionSearchParams, PageParams), responses((status = 200, body = Envelope<Page<Action>>)))]
async fn action_search(
    State(app): State<App>,
    Caller(ctx): Caller,
    Query(params): Query<ActionSearchParams>,
    Query(page): Query<PageParams>,
) -> Outcome<Page<Action>> {
    let filter = ActionFilter {
        status: params.status,
        meeting_id: params.meeting_id,
        series_id: params.series_id,
        due_before: params.due_before,
        ..ActionFilter::default()
    };
    let owner = params.owner.map(|owner| match owner.as_str() {
        "me" => OwnerFilter::Me,
        _ => OwnerFilter::Named(owner),
    });
    let page = page.query()?;
    Ok(Reply::ok(
        app.action_search(&ctx, filter, owner, &page).await?,
    ))
}
