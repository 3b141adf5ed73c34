//! `/api/meetings/{id}/highlights`.

use axum::extract::State;
use meetmind_app::{App, HighlightPatch};
use meetmind_core::{Highlight, HighlightId, HighlightStatus, MeetingId, Page};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Caller, Json, PageParams, Path, Query};
use crate::reply::{Envelope, Outcome, Reply};

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(highlight_list, highlight_regenerate))
        .routes(routes!(highlight_update))
}

/// What narrows the highlights of a meeting.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct HighlightListParams {
    /// Only in this state; all but dismissed ones when absent.
    #[param(inline)]
    status: Option<HighlightStatus>,
}

/// Changes: absent stays.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct HighlightPatchBody {
    /// Other words. They confirm the highlight, unless `status` says otherwise, and are a
    /// quotation when they stand in the first segment it cites.
    #[schema(min_length = 1, max_length = 1000)]
    text: Option<String>,
    status: Option<HighlightStatus>,
}

/// The highlights of a meeting, in the order they were said; pinned notes have a score above 1.
#[utoipa::path(get, path = "/api/meetings/{id}/highlights", tag = "notes", params(("id" = MeetingId, Path), HighlightListParams, PageParams), responses((status = 200, body = Envelope<Page<Highlight>>)))]
async fn highlight_list(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    Query(params): Query<HighlightListParams>,
    Query(page): Query<PageParams>,
) -> Outcome<Page<Highlight>> {
    let page = page.query()?;
    Ok(Reply::ok(
        app.highlight_list(&ctx, id, params.status, &page).await?,
    ))
}

/// Make the notes of a meeting anew, now, and give its highlights.
#[utoipa::path(post, path = "/api/meetings/{id}/highlights", tag = "notes", params(("id" = MeetingId, Path), PageParams), responses((status = 200, body = Envelope<Page<Highlight>>)))]
async fn highlight_regenerate(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    Query(page): Query<PageParams>,
) -> Outcome<Page<Highlight>> {
    let page = page.query()?;
    app.notes_regenerate(&ctx, id).await?;
    Ok(Reply::ok(app.highlight_list(&ctx, id, None, &page).await?))
}

/// Edit, confirm or dismiss a highlight. Later passes keep a confirmed one and do not choose a
/// dismissed one again.
#[utoipa::path(patch, path = "/api/meetings/{id}/highlights/{highlight_id}", tag = "notes", params(("id" = MeetingId, Path), ("highlight_id" = HighlightId, Path)), request_body = HighlightPatchBody, responses((status = 200, body = Envelope<Highlight>)))]
async fn highlight_update(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path((id, highlight_id)): Path<(MeetingId, HighlightId)>,
    Json(body): Json<HighlightPatchBody>,
) -> Outcome<Highlight> {
    let patch = HighlightPatch {
        text: body.text,
        status: body.status,
    };
    let highlight = app.highlight_update(&ctx, id, highlight_id, patch).await?;
    Ok(Reply::ok(highlight))
}
