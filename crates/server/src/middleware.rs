//! The outermost layer: request id, time limit, panics, error bodies, log line, metrics.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::FutureExt;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use meetmind_app::App;
use meetmind_core::{Code, Error, RequestId};

use crate::extract::RequestMeta;
use crate::reply::{Pending, error_response};

/// How long one request may take, streams and sockets aside.
const TIME_LIMIT: Duration = Duration::from_secs(30);
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a handler left of a body is read to this many bytes, so that the connection can go on.
const LEFTOVER_MAX: usize = 64 * 1024;
/// And for this long.
const LEFTOVER_TIME: Duration = Duration::from_millis(500);

/// A request's body, kept until the answer is known.
struct Kept {
    body: Mutex<Option<Body>>,
    /// Whether a handler waits for more of it.
    awaited: AtomicBool,
}

impl Kept {
    fn body(&self) -> MutexGuard<'_, Option<Body>> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what nobody read: a connection with a rest of a body on it would have to be closed, and
    /// the client's next request with it. False when that is more than is worth the wait.
    async fn finish(&self) -> bool {
        let Some(mut body) = self.body().take() else {
            return true;
        };
        let rest = async {
            let mut left = LEFTOVER_MAX;
            while !body.is_end_stream() {
                let Some(frame) = body.frame().await else {
                    return true;
                };
                let read = frame.ok().and_then(|frame| frame.into_data().ok());
                match read.and_then(|data| left.checked_sub(data.len())) {
                    Some(fewer) => left = fewer,
                    None => return false,
                }
            }
            true
        };
        tokio::time::timeout(LEFTOVER_TIME, rest)
            .await
            .unwrap_or(false)
    }
}

/// The body as handlers see it.
struct Watched(Arc<Kept>);

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut kept = self.0.body();
        let Some(body) = kept.as_mut() else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(context);
        self.0.awaited.store(polled.is_pending(), Ordering::Relaxed);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.0.body().as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let kept = self.0.body();
        kept.as_ref()
            .map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

/// The request with a body that is watched, and that body. One without a body stays as it is.
fn watched(request: Request) -> (Request, Option<Arc<Kept>>) {
    if request.body().is_end_stream() {
        return (request, None);
    }
    let (parts, body) = request.into_parts();
    let kept = Arc::new(Kept {
        body: Mutex::new(Some(body)),
        awaited: AtomicBool::new(false),
    });
    let body = Body::new(Watched(Arc::clone(&kept)));
    (Request::from_parts(parts, body), Some(kept))
}

/// The answer to a request that took too long; whose fault it was shows in what was waited for.
fn timed_out(body_awaited: bool, request_id: RequestId) -> Response {
    if !body_awaited {
        let error = Error::new(Code::Timeout, "the request took too long");
        return error_response(&error, request_id);
    }
    let error = Error::new(Code::RequestTimeout, "the body did not arrive in time");
    error_response(&error, request_id)
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

    let (request, kept) = watched(request);
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
        Ok(Err(_)) => {
            let awaited = kept
                .as_ref()
                .is_some_and(|kept| kept.awaited.load(Ordering::Relaxed));
            timed_out(awaited, request_id)
        }
        Err(_) => {
            tracing::error!(%request_id, %method, route, "a handler panicked");
            error_response(
                &Error::new(Code::Internal, "something went wrong here"),
                request_id,
            )
        }
    };
    if let Some(kept) = kept
        && !kept.finish().await
    {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
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
        let (request, kept) = watched(Request::new(body));
        let kept = kept.expect("a body");
        let awaited = || kept.awaited.load(Ordering::Relaxed);
        assert_eq!(timed_out(awaited(), id()).status(), 503);
        let mut read = request.into_body().into_data_stream();
        assert!(read.next().now_or_never().is_some());
        assert!(read.next().now_or_never().is_none(), "the rest never comes");
        assert_eq!(timed_out(awaited(), id()).status(), 408);
    }

    #[tokio::test]
    async fn what_a_handler_left_is_read_unless_it_is_much_or_never_comes() {
        let chunk = Bytes::from(vec![b'x'; 16 * 1024]);
        for (chunks, ends, goes_on) in [(4, true, true), (5, true, false), (1, false, false)] {
            let parts = stream::iter(vec![chunk.clone(); chunks]).map(Ok::<_, std::io::Error>);
            let body = match ends {
                true => Body::from_stream(parts),
                false => Body::from_stream(parts.chain(stream::pending())),
            };
            let (request, kept) = watched(Request::new(body));
            drop(request);
            let finished = kept.expect("a body").finish().await;
            assert_eq!(finished, goes_on, "{chunks} chunks, the end comes: {ends}");
        }
    }

    #[tokio::test]
    async fn a_body_that_came_whole_is_not_waited_for() {
        let (request, kept) = watched(Request::new(Body::from("{}")));
        let kept = kept.expect("a body");
        let mut read = request.into_body().into_data_stream();
        while let Some(Some(_)) = read.next().now_or_never() {}
        assert!(!kept.awaited.load(Ordering::Relaxed));
        assert!(kept.finish().await);
    }
}
