//! The outermost layer: request id, time limit, panics, error bodies, log line, metrics.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::FutureExt;
use meetmind_app::App;
use meetmind_core::{Code, Error, RequestId};

use crate::extract::RequestMeta;
use crate::reply::{Pending, error_response};

/// How long one request may take, streams and sockets aside.
const TIME_LIMIT: Duration = Duration::from_secs(30);
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Wraps every request.
pub(crate) async fn observe(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let request_id: RequestId = app.entropy().id(app.now());
    let address = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map(|info| info.0.ip().to_string());
    request.extensions_mut().insert(RequestMeta {
        request_id,
        address,
    });
    let method = request.method().clone();
    // The template, never the path itself: ids in metrics would be labels without end.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());

    let handled = AssertUnwindSafe(tokio::time::timeout(TIME_LIMIT, next.run(request)))
        .catch_unwind()
        .await;
    let mut response = match handled {
        Ok(Ok(response)) => match response.extensions().get::<Pending>() {
            None => response,
            Some(Pending(error)) => {
                log_failure(error, request_id, &method, &route);
                let mut written = error_response(error, request_id);
                // What a handler set besides the body, such as cookies to clear, goes along.
                for (name, value) in response.headers() {
                    if name != header::CONTENT_LENGTH && name != header::CONTENT_TYPE {
                        written.headers_mut().append(name.clone(), value.clone());
                    }
                }
                written
            }
        },
        Ok(Err(_)) => error_response(
            &Error::new(Code::Timeout, "the request took too long"),
            request_id,
        ),
        Err(_) => {
            tracing::error!(%request_id, %method, route, "a handler panicked");
            error_response(
                &Error::new(Code::Internal, "something went wrong here"),
                request_id,
            )
        }
    };
    if let Ok(value) = HeaderValue::from_str(&request_id.to_string()) {
        response.headers_mut().insert(REQUEST_ID.clone(), value);
    }
    let status = response.status().as_u16();
    let elapsed = started.elapsed();
    tracing::debug!(%request_id, %method, route, status, duration_ms = elapsed.as_secs_f64() * 1000.0, "request");
    let class = format!("{}xx", status / 100);
    metrics::counter!("meetmind_http_requests_total", "method" => method.to_string(), "route" => route.clone(), "status" => class).increment(1);
    metrics::histogram!("meetmind_http_request_duration_seconds", "route" => route)
        .record(elapsed.as_secs_f64());
    response
}

fn log_failure(error: &Error, request_id: RequestId, method: &axum::http::Method, route: &str) {
    if error.code.status() < 500 {
        return;
    }
    let mut causes = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    tracing::error!(%request_id, %method, route, code = error.code.as_str(), cause = causes.join(": "), "request failed");
}
