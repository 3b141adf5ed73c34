//! The documents as files, and the page at `/docs`.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use meetmind_app::App;
use meetmind_core::{Code, Error};
use sha2::{Digest, Sha256};
use utoipa_swagger_ui::Config;

use super::{asyncapi_document, openapi_document};
use crate::reply::Failure;

/// The page's own scripts and styles and no others; it calls only this server.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A document as it is served.
struct File {
    bytes: Bytes,
    etag: HeaderValue,
}

impl File {
    fn new(text: serde_json::Result<String>) -> Option<Self> {
        let bytes = Bytes::from(text.ok()?);
        let hash: String = Sha256::digest(&bytes)
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let etag = HeaderValue::from_str(&format!("\"{hash}\"")).ok()?;
        Some(Self { bytes, etag })
    }

    fn answer(this: Option<&Self>, headers: &HeaderMap) -> Response {
        let Some(file) = this else {
            return Failure::from(Error::new(Code::Internal, "something went wrong here"))
                .into_response();
        };
        let known = headers
            .get(header::IF_NONE_MATCH)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| {
                value.split(',').any(|tag| {
                    tag.trim().trim_start_matches("W/").as_bytes() == file.etag.as_bytes()
                })
            });
        let mut response = if known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            Response::new(Body::from(file.bytes.clone()))
        };
        let headers = response.headers_mut();
        headers.insert(header::ETAG, file.etag.clone());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        response
    }
}

static OPENAPI: LazyLock<Option<File>> = LazyLock::new(|| File::new(openapi_document().to_json()));
static ASYNCAPI: LazyLock<Option<File>> =
    LazyLock::new(|| File::new(Ok(asyncapi_document().to_string())));
pub(crate) fn router() -> Router<App> {
    Router::new()
        .route(
            "/openapi.json",
            get(async |headers: HeaderMap| File::answer(OPENAPI.as_ref(), &headers)),
        )
        .route(
            "/asyncapi.json",
            get(async |headers: HeaderMap| File::answer(ASYNCAPI.as_ref(), &headers)),
        )
        .route("/docs", get(async || Redirect::permanent("/docs/")))
        .route("/docs/", get(async || page("index.html")))
        .route(
            "/docs/{*file}",
            get(async |Path(file): Path<String>| page(&file)),
        )
}

/// A file of the page: ours, or of the vendored Swagger UI what ours asks for.
fn page(file: &str) -> Response {
    let (kind, bytes) = match file {
        "index.html" => (
            "text/html; charset=utf-8",
            Cow::Borrowed(include_bytes!("page/index.html").as_slice()),
        ),
        "docs.js" => (
            "text/javascript; charset=utf-8",
            Cow::Borrowed(include_bytes!("page/docs.js").as_slice()),
        ),
        "docs.css" => (
            "text/css; charset=utf-8",
            Cow::Borrowed(include_bytes!("page/docs.css").as_slice()),
        ),
        "swagger-ui-bundle.js" => ("text/javascript; charset=utf-8", vendored(file)),
        "swagger-ui.css" => ("text/css; charset=utf-8", vendored(file)),
        _ => return Failure::from(Error::not_found("page")).into_response(),
    };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (header::CACHE_CONTROL, "public, max-age=300"),
    ];
    (headers, bytes).into_response()
}

/// A file of Swagger UI; a test sees that those we name are there.
fn vendored(file: &str) -> Cow<'static, [u8]> {
    match utoipa_swagger_ui::serve(file, Arc::new(Config::default())) {
        Ok(Some(found)) => found.bytes,
        _ => Cow::Borrowed(&[]),
    }
}
