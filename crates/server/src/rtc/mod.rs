//! LiveKit's own doors: `/rtc` and `/rtc/v1` (signalling), `/agent` (workers), `/twirp/…` (server APIs),
//! `/webhooks/livekit` (what another LiveKit server tells).
//!
//! They speak LiveKit's wire formats, not ours: no envelope, its error texts, CORS open to every origin,
//! since each request carries its own token and no cookie counts here.

mod pump;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use meetmind_app::{App, WebhookOutcome};
use meetmind_media::service::{HttpAnswer, HttpRequest, MAX_BODY_BYTES};
use meetmind_media::signal::frames::MAX_FRAME_BYTES;
use meetmind_media::signal::join::{Refusal, Route};
use meetmind_media::webhook::{self, WebhookRefused};

/// The largest frame that is read at all, in bytes: what is larger than allowed by less than this is told why it
/// is closed, more is cut off.
const FRAME_MAX: usize = 2 * MAX_FRAME_BYTES;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/rtc", get(signal_v0))
        .route("/rtc/v1", get(signal_v1))
        .route("/rtc/validate", get(validate_v0))
        .route("/rtc/v1/validate", get(validate_v1))
        .route("/agent", get(worker))
        .route("/twirp/{*method}", any(twirp))
        .layer(from_fn(open_to_all))
        .route("/webhooks/livekit", post(webhook))
}

/// Pages of any origin may read the answers: without it a browser cannot tell why a join failed.
async fn open_to_all(request: Request, next: Next) -> Response {
    let preflight = request.method() == Method::OPTIONS;
    let mut response = if preflight {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    let any = HeaderValue::from_static("*");
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any.clone());
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, any.clone());
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, any);
    response
}

fn authorization(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()
}

fn refused(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::FORBIDDEN);
    (status, refusal.text.clone()).into_response()
}

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;
type Peer = Option<axum::Extension<ConnectInfo<std::net::SocketAddr>>>;

async fn signal_v0(
    State(app): State<App>,
    peer: Peer,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Response {
    signal(app, Route::V0, peer, uri, headers, upgrade).await
}

async fn signal_v1(
    State(app): State<App>,
    peer: Peer,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Response {
    signal(app, Route::V1, peer, uri, headers, upgrade).await
}

async fn signal(
    app: App,
    route: Route,
    peer: Peer,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Response {
    let Ok(upgrade) = upgrade else {
        return (StatusCode::NOT_FOUND, "open this path as a WebSocket").into_response();
    };
    let address = peer.map(|peer| peer.0.0.ip().to_string());
    let query = uri.query().unwrap_or_default();
    match app
        .rtc_join(route, query, authorization(&headers), address)
        .await
    {
        Ok(session) => upgrade
            .max_message_size(FRAME_MAX)
            .max_frame_size(FRAME_MAX)
            .on_upgrade(move |socket| pump::signal(app, socket, session)),
        Err(refusal) => refused(&refusal),
    }
}

async fn validate_v0(State(app): State<App>, uri: Uri, headers: HeaderMap) -> Response {
    validate(app, Route::V0, uri, headers).await
}

async fn validate_v1(State(app): State<App>, uri: Uri, headers: HeaderMap) -> Response {
    validate(app, Route::V1, uri, headers).await
}

async fn validate(app: App, route: Route, uri: Uri, headers: HeaderMap) -> Response {
    let query = uri.query().unwrap_or_default();
    match app
        .rtc_check(route, query, authorization(&headers), true)
        .await
    {
        Ok(_) => "success".into_response(),
        Err(refusal) => refused(&refusal),
    }
}

async fn worker(
    State(app): State<App>,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Response {
    let Ok(upgrade) = upgrade else {
        return (StatusCode::NOT_FOUND, "open this path as a WebSocket").into_response();
    };
    let query = uri.query().unwrap_or_default();
    match app.worker_connect(query, authorization(&headers)) {
        Ok(worker) => upgrade
            .max_message_size(FRAME_MAX)
            .max_frame_size(FRAME_MAX)
            .on_upgrade(move |socket| pump::worker(app, socket, worker)),
        Err(refusal) => refused(&refusal),
    }
}

async fn twirp(State(app): State<App>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    // One byte more than allowed, so that the answer can say that it was too much.
    let Ok(body) = to_bytes(body, MAX_BODY_BYTES + 1).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let header = |name| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let answer = app
        .twirp(&HttpRequest {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or_default(),
            content_type: header(header::CONTENT_TYPE),
            authorization: header(header::AUTHORIZATION),
            body: &body,
        })
        .await;
    raw(answer)
}

/// What another LiveKit server tells us. It looks at nothing but the status.
async fn webhook(State(app): State<App>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, webhook::MAX_BODY_BYTES + 1).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    match app
        .livekit_webhook(&body, authorization(&parts.headers))
        .await
    {
        Ok(WebhookOutcome::Taken) => "ok".into_response(),
        Ok(WebhookOutcome::NotExpected) => {
            let text = "no other LiveKit server is configured here";
            (StatusCode::NOT_FOUND, text).into_response()
        }
        Ok(WebhookOutcome::Refused(refused)) => {
            let status = match refused {
                WebhookRefused::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                WebhookRefused::Malformed => StatusCode::BAD_REQUEST,
                _ => StatusCode::UNAUTHORIZED,
            };
            (status, refused.to_string()).into_response()
        }
        Err(error) => {
            tracing::warn!(%error, "a LiveKit webhook could not be applied");
            (StatusCode::SERVICE_UNAVAILABLE, "try again").into_response()
        }
    }
}

fn raw(answer: HttpAnswer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let content_type = HeaderValue::from_static(answer.content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}
