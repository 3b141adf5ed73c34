//! Pages and the headers that protect them.

pub(crate) mod cookies;
mod pages;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use meetmind_app::App;

use crate::Settings;

/// For pages that bring no policy of their own: nothing.
const PAGE_POLICY: &str =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) fn router() -> Router<App> {
    Router::new()
        .merge(pages::router())
        .route("/.well-known/jwks.json", get(jwks))
}

/// The keys that verify our tokens, for other services.
async fn jwks(State(app): State<App>) -> Response {
    let headers = [(header::CACHE_CONTROL, "public, max-age=600")];
    (headers, Json(app.jwks())).into_response()
}

/// What the headers below depend on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Protection {
    strict_transport: bool,
}

impl Protection {
    pub(crate) fn new(app: &App, settings: &Settings) -> Self {
        let is_https = app.settings().public_url.starts_with("https://");
        Self {
            strict_transport: is_https && settings.strict_transport,
        }
    }
}

/// Headers that every answer carries.
pub(crate) async fn security_headers(
    State(protection): State<Protection>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let fixed: [(HeaderName, &'static str); 3] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if protection.strict_transport {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
    let is_page = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
    if is_page {
        headers
            .entry(header::CONTENT_SECURITY_POLICY)
            .or_insert(HeaderValue::from_static(PAGE_POLICY));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}
