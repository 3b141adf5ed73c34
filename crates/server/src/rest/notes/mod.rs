//! Notes of a meeting under `/api/meetings/{id}`, and the lists across meetings.

mod actions;
mod decisions;
mod derived;
mod highlights;

use axum::body::HttpBody;
use axum::extract::{FromRequest, Request};
use meetmind_app::App;
use serde::de::DeserializeOwned;
use utoipa_axum::router::OpenApiRouter;

use crate::extract::Json;
use crate::reply::Failure;

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(derived::router())
        .merge(highlights::router())
        .merge(actions::router())
        .merge(decisions::router())
}

/// A JSON body that may be missing: no body, or `null`, is `None`.
async fn optional_body<T: DeserializeOwned>(
    request: Request,
    app: &App,
) -> Result<Option<T>, Failure> {
    if request.body().is_end_stream() {
        return Ok(None);
    }
    let Json(body) = Json::<Option<T>>::from_request(request, app).await?;
    Ok(body)
}
