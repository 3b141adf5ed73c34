//! ws

use axum::Router;
use meetmind_app::App;

pub(crate) fn router() -> Router<App> {
    Router::new()
}
