//! `/api/series`; the meetings of one are at `/api/meetings?series_id=`.

use axum::extract::State;
use meetmind_app::App;
use meetmind_core::{Page, Series, SeriesId};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Caller, Json, PageParams, Path, Query};
use crate::reply::{Envelope, Outcome, Reply};

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
}

/// A new series.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct SeriesBody {
    /// What it is called.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"
    )]
    title: String,
}

/// Changes: absent stays.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct SeriesPatchBody {
    /// What it is called.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"
    )]
    title: Option<String>,
}

/// Your series and those of meetings you are in, newest first.
#[utoipa::path(get, path = "/api/series", tag = "series", params(PageParams), responses((status = 200, body = Envelope<Page<Series>>)))]
async fn list(
    State(app): State<App>,
    Caller(ctx): Caller,
    Query(page): Query<PageParams>,
) -> Outcome<Page<Series>> {
    Ok(Reply::ok(app.series_list(&ctx, &page.query()?).await?))
}

/// Make a series.
#[utoipa::path(post, path = "/api/series", tag = "series", request_body = SeriesBody, responses((status = 201, body = Envelope<Series>)))]
async fn create(
    State(app): State<App>,
    Caller(ctx): Caller,
    Json(body): Json<SeriesBody>,
) -> Outcome<Series> {
    let series = app.series_create(&ctx, &body.title).await?;
    Ok(Reply::created(format!("/api/series/{}", series.id), series))
}

/// One series.
#[utoipa::path(get, path = "/api/series/{id}", tag = "series", params(("id" = SeriesId, Path)), responses((status = 200, body = Envelope<Series>)))]
async fn get(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<SeriesId>,
) -> Outcome<Series> {
    Ok(Reply::ok(app.series_get(&ctx, id).await?))
}

/// Rename a series of yours.
#[utoipa::path(patch, path = "/api/series/{id}", tag = "series", params(("id" = SeriesId, Path)), request_body = SeriesPatchBody, responses((status = 200, body = Envelope<Series>)))]
async fn update(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<SeriesId>,
    Json(body): Json<SeriesPatchBody>,
) -> Outcome<Series> {
    let series = app.series_update(&ctx, id, body.title.as_deref()).await?;
    Ok(Reply::ok(series))
}

/// Delete a series of yours; its meetings stay.
#[utoipa::path(delete, path = "/api/series/{id}", tag = "series", params(("id" = SeriesId, Path)), responses((status = 200, body = Envelope<Series>)))]
async fn delete(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<SeriesId>,
) -> Outcome<Series> {
    Ok(Reply::ok(app.series_delete(&ctx, id).await?))
}
