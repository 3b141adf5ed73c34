//! What a plain request gets on the port that speaks TLS.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

/// Sends pages to the same address with https, and tells everybody else. A request that carries a
/// token is not sent on: the token has been on the network in the clear, and the client has to be mended.
pub(super) fn router(public_url: &str) -> Router {
    let public_url = public_url.to_owned();
    Router::new().fallback(move |request: Request| {
        let answer = answer(&public_url, &request);
        async move { answer }
    })
}

fn answer(public_url: &str, request: &Request) -> Response {
    let headers = request.headers();
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok()?.parse::<Authority>().ok())
        .filter(|host| !host.as_str().contains('@'));
    let base = host.map_or_else(
        || public_url.to_owned(),
        |host| format!("https://{}", host.as_str()),
    );
    let is_page = matches!(*request.method(), Method::GET | Method::HEAD)
        && !headers.contains_key(header::UPGRADE)
        && !headers.contains_key(header::AUTHORIZATION);
    let path = request.uri().path_and_query().map_or("/", |it| it.as_str());
    let target = HeaderValue::from_str(&format!("{base}{path}"));
    let mut response = match target {
        Ok(target) if is_page => {
            let text = format!("This port speaks HTTPS: {base}{path}\n");
            let mut response = (StatusCode::TEMPORARY_REDIRECT, text).into_response();
            response.headers_mut().insert(header::LOCATION, target);
            response
        }
        _ => {
            let message = format!("this port speaks HTTPS: use {base} (wss:// for WebSockets)");
            let body = json!({
                "success": false,
                "error": {
                    "code": "BAD_REQUEST",
                    "message": message,
                    "request_id": crate::demo::uuid_word(),
                },
            });
            let mut response = Response::new(Body::from(body.to_string()));
            *response.status_mut() = StatusCode::BAD_REQUEST;
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            response
        }
    };
    let headers = response.headers_mut();
    // A browser that remembered it would go on after TLS is switched off.
    let no_store = HeaderValue::from_static("no-store");
    headers.insert(header::CACHE_CONTROL, no_store);
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
