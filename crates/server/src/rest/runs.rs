//! `/api/runs` and `/api/admin/runs`.

use axum::extract::State;
use meetmind_app::App;
use meetmind_core::{Message, Page, Run, RunEvent, RunId, RunState};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Caller, Json, PageParams, Path, Query};
use crate::reply::{Envelope, Outcome, Reply};

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(get))
        .routes(routes!(events))
        .routes(routes!(say))
        .routes(routes!(mute))
        .routes(routes!(stop))
        .routes(routes!(admin_list))
}

/// Words for an agent to say.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct RunSayBody {
    #[schema(min_length = 1, max_length = 4000)]
    text: String,
}

/// Mute, or let speak again.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct RunMuteBody {
    muted: bool,
}

/// Why a run is stopped.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
struct RunStopBody {
    /// Shown in its timeline.
    #[schema(min_length = 1, max_length = 500)]
    reason: Option<String>,
}

/// What narrows the list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct RunListParams {
    /// Only in this state.
    state: Option<RunState>,
}

/// One run.
#[utoipa::path(get, path = "/api/runs/{id}", tag = "runs", params(("id" = RunId, Path)), responses((status = 200, body = Envelope<Run>)))]
async fn get(State(app): State<App>, Caller(ctx): Caller, Path(id): Path<RunId>) -> Outcome<Run> {
    Ok(Reply::ok(app.run_get(&ctx, id).await?))
}

/// The timeline of a run, oldest step first.
#[utoipa::path(get, path = "/api/runs/{id}/events", tag = "runs", params(("id" = RunId, Path), PageParams), responses((status = 200, body = Envelope<Page<RunEvent>>)))]
async fn events(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<RunId>,
    Query(page): Query<PageParams>,
) -> Outcome<Page<RunEvent>> {
    Ok(Reply::ok(app.run_events(&ctx, id, &page.query()?).await?))
}

/// Let a live agent say something in the chat.
#[utoipa::path(post, path = "/api/runs/{id}/say", tag = "runs", params(("id" = RunId, Path)), request_body = RunSayBody, responses((status = 201, body = Envelope<Message>)))]
async fn say(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<RunId>,
    Json(body): Json<RunSayBody>,
) -> Outcome<Message> {
    let message = app.run_say(&ctx, id, &body.text).await?;
    let place = format!("/api/meetings/{}/messages", message.meeting_id);
    Ok(Reply::created(place, message))
}

/// Mute a live agent, or let it speak again.
#[utoipa::path(post, path = "/api/runs/{id}/mute", tag = "runs", params(("id" = RunId, Path)), request_body = RunMuteBody, responses((status = 200, body = Envelope<Run>)))]
async fn mute(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<RunId>,
    Json(body): Json<RunMuteBody>,
) -> Outcome<Run> {
    Ok(Reply::ok(app.run_mute(&ctx, id, body.muted).await?))
}

/// Stop a run; one that is over stays as it is.
#[utoipa::path(post, path = "/api/runs/{id}/stop", tag = "runs", params(("id" = RunId, Path)), request_body = Option<RunStopBody>, responses((status = 200, body = Envelope<Run>)))]
async fn stop(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<RunId>,
    body: Option<Json<RunStopBody>>,
) -> Outcome<Run> {
    let reason = body.and_then(|Json(body)| body.reason);
    Ok(Reply::ok(app.run_stop(&ctx, id, reason.as_deref()).await?))
}

/// Everybody's runs, newest first, for administrators.
#[utoipa::path(get, path = "/api/admin/runs", tag = "admin", params(RunListParams, PageParams), responses((status = 200, body = Envelope<Page<Run>>)))]
async fn admin_list(
    State(app): State<App>,
    Caller(ctx): Caller,
    Query(params): Query<RunListParams>,
    Query(page): Query<PageParams>,
) -> Outcome<Page<Run>> {
    Ok(Reply::ok(
        app.admin_runs(&ctx, params.state, &page.query()?).await?,
    ))
}
