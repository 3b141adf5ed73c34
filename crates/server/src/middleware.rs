//! The outermost layer: request id, time limit, panics, error bodies, log line, metrics.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::FutureExt;
use http_body::{Frame, SizeHint};
use meetmind_app::App;
use meetmind_core::{Code, Error, RequestId};

use crate::extract::RequestMeta;
use crate::reply::{Pending, error_response};

/// How long one request may take, streams and sockets aside.
const TIME_LIMIT: Duration = Duration::from_secs(30);
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request's body that tells whether somebody waits for more of it.
struct Watched {
    body: Body,
    awaited: Arc<AtomicBool>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.awaited.store(polled.is_pending(), Ordering::Relaxed);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The request with a body that is watched, and whether it is waited for. One without a body stays
/// as it is.
fn watched(request: Request) -> (Request, Arc<AtomicBool>) {
    let awaited = Arc::new(AtomicBool::new(false));
    if request.body().is_end_stream() {
        return (request, awaited);
    }
    let flag = Arc::clone(&awaited);
    let request = request.map(|body| {
        Body::new(Watched {
            body,
            awaited: flag,
        })
    });
    (request, awaited)
}

/// The answer to a request that took too long; whose fault it was shows in what was waited for.
fn timed_out(body_awaited: bool, request_id: RequestId) -> Response {
    if !body_awaited {
        let error = Error::new(Code::Timeout, "the request took too long");
        return error_response(&error, request_id);
    }
    let error = Error::new(Code::RequestTimeout, "the body did not arrive in time");
    let mut response = error_response(&error, request_id);
    // The rest of the body would be read as the next request.
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

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

    let (request, body_awaited) = watched(request);
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
        Ok(Err(_)) => timed_out(body_awaited.load(Ordering::Relaxed), request_id),
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

/// Writes to the log what the caller is not told; what the caller did wrong is no matter for it.
pub(crate) fn log_failure(
    error: &Error,
    request_id: RequestId,
    method: &axum::http::Method,
    route: &str,
) {
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

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};

    use super::*;

    fn id() -> RequestId {
        meetmind_core::Id::from_uuid(uuid::Uuid::nil())
    }

    #[test]
    fn a_late_answer_is_the_fault_of_who_was_waited_for() {
        let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{"))]);
        let body = Body::from_stream(first.chain(stream::pending()));
        let (request, awaited) = watched(Request::new(body));
        assert_eq!(
            timed_out(awaited.load(Ordering::Relaxed), id()).status(),
            503
        );
        let mut read = request.into_body().into_data_stream();
        assert!(read.next().now_or_never().is_some());
        assert!(read.next().now_or_never().is_none(), "the rest never comes");
        let answer = timed_out(awaited.load(Ordering::Relaxed), id());
        assert_eq!(
            (
                answer.status().as_u16(),
                &answer.headers()[header::CONNECTION]
            ),
            (408, &HeaderValue::from_static("close"))
        );
    }

    #[test]
    fn a_body_that_came_whole_is_not_waited_for() {
        let (request, awaited) = watched(Request::new(Body::from("{}")));
        let mut read = request.into_body().into_data_stream();
        while let Some(Some(_)) = read.next().now_or_never() {}
        assert!(!awaited.load(Ordering::Relaxed));
    }
}
