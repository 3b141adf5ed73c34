//! `/api/meetings/{id}/decisions` and `/api/decisions`.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use meetmind_app::{App, DecisionNew, DecisionPatch, DecisionView};
use meetmind_core::{
    Decision, DecisionId, DecisionStatus, MeetingId, Page, PageQuery, SegmentId, SeriesId,
};
use meetmind_store::DecisionFilter;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::actions::NewItemStatus;
use super::optional_body;
use crate::extract::{Caller, IfMatch, Json, PageParams, Path, Query};
use crate::reply::{Envelope, Failure, Outcome, Reply};

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(decision_list, decision_create))
        .routes(routes!(decision_get, decision_update))
        .routes(routes!(decision_search))
}

/// A new decision.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct DecisionBody {
    /// What was decided.
    #[schema(min_length = 1, max_length = 1000)]
    text: String,
    /// `proposed` when absent.
    status: Option<NewItemStatus>,
    /// Final segments of the meeting where it was said.
    #[serde(default)]
    #[schema(max_items = 100)]
    segment_ids: Vec<SegmentId>,
}

/// Changes: absent stays.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct DecisionPatchBody {
    #[schema(min_length = 1, max_length = 1000)]
    text: Option<String>,
    /// `superseded` is set by confirming another decision with `supersedes`.
    status: Option<DecisionStatus>,
    /// Earlier decisions of the meeting or its series whose place this confirmed one takes.
    #[serde(default)]
    #[schema(max_items = 20)]
    supersedes: Vec<DecisionId>,
}

/// What narrows the decisions of a meeting.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct DecisionListParams {
    /// Only in this state.
    #[param(inline)]
    status: Option<DecisionStatus>,
}

/// What narrows the decisions of all meetings.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct DecisionSearchParams {
    /// Only in this state.
    #[param(inline)]
    status: Option<DecisionStatus>,
    /// Only of this meeting.
    meeting_id: Option<MeetingId>,
    /// Only of this series.
    series_id: Option<SeriesId>,
}

/// The decisions of a meeting, in the order they were found.
#[utoipa::path(get, path = "/api/meetings/{id}/decisions", tag = "notes", params(("id" = MeetingId, Path), DecisionListParams, PageParams), responses((status = 200, body = Envelope<Page<DecisionView>>)))]
async fn decision_list(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    Query(params): Query<DecisionListParams>,
    Query(page): Query<PageParams>,
) -> Outcome<Page<DecisionView>> {
    let page = page.query()?;
    Ok(Reply::ok(
        app.decision_list(&ctx, id, params.status, &page).await?,
    ))
}

/// Enter a decision. Without a body: make the notes anew, now, and give the decisions.
#[utoipa::path(post, path = "/api/meetings/{id}/decisions", tag = "notes", params(("id" = MeetingId, Path)), request_body = Option<DecisionBody>, responses((status = 201, body = Envelope<Decision>), (status = 200, description = "Without a body: the decisions after a new pass.", body = Envelope<Page<DecisionView>>)))]
async fn decision_create(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    request: Request,
) -> Result<Response, Failure> {
    let Some(body) = optional_body::<DecisionBody>(request, &app).await? else {
        app.notes_regenerate(&ctx, id).await?;
        let decisions = app
            .decision_list(&ctx, id, None, &PageQuery::default())
            .await?;
        return Ok(Reply::ok(decisions).into_response());
    };
    let new = DecisionNew {
        text: body.text,
        confirmed: body.status == Some(NewItemStatus::Confirmed),
        segment_ids: body.segment_ids,
    };
    let decision = app.decision_create(&ctx, id, new).await?;
    let location = format!("/api/meetings/{id}/decisions/{}", decision.id);
    let version = decision.version;
    Ok(Reply::created(location, decision)
        .etag(version)
        .into_response())
}

/// One decision and its place in the chain.
#[utoipa::path(get, path = "/api/meetings/{id}/decisions/{decision_id}", tag = "notes", params(("id" = MeetingId, Path), ("decision_id" = DecisionId, Path)), responses((status = 200, body = Envelope<DecisionView>)))]
async fn decision_get(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path((id, decision_id)): Path<(MeetingId, DecisionId)>,
) -> Outcome<DecisionView> {
    let view = app.decision_get(&ctx, id, decision_id).await?;
    let version = view.decision.version;
    Ok(Reply::ok(view).etag(version))
}

/// Edit, confirm or dismiss a decision, or let it take the place of earlier ones. With
/// `If-Match`, only if nobody changed it since.
#[utoipa::path(patch, path = "/api/meetings/{id}/decisions/{decision_id}", tag = "notes", params(("id" = MeetingId, Path), ("decision_id" = DecisionId, Path), IfMatch), request_body = DecisionPatchBody, responses((status = 200, body = Envelope<DecisionView>)))]
async fn decision_update(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path((id, decision_id)): Path<(MeetingId, DecisionId)>,
    IfMatch(expected): IfMatch,
    Json(body): Json<DecisionPatchBody>,
) -> Outcome<DecisionView> {
    let patch = DecisionPatch {
        text: body.text,
        status: body.status,
        supersedes: body.supersedes,
    };
    let view = app
        .decision_update(&ctx, id, decision_id, patch, expected)
        .await?;
    let version = view.decision.version;
    Ok(Reply::ok(view).etag(version))
}

/// The decisions of your meetings, newest first.
#[utoipa::path(get, path = "/api/decisions", tag = "notes", params(DecisionSearchParams, PageParams), responses((status = 200, body = Envelope<Page<DecisionView>>)))]
async fn decision_search(
    State(app): State<App>,
    Caller(ctx): Caller,
    Query(params): Query<DecisionSearchParams>,
    Query(page): Query<PageParams>,
) -> Outcome<Page<DecisionView>> {
    let filter = DecisionFilter {
        status: params.status,
        meeting_id: params.meeting_id,
        series_id: params.series_id,
    };
    let page = page.query()?;
    Ok(Reply::ok(app.decision_search(&ctx, &filter, &page).await?))
}
