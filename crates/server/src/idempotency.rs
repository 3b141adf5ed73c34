//! `Idempotency-Key` on POST under `/api`: the first request with a key runs, a repetition is
//! answered with what the first one was.
//!
//! That the work was done is written down in its own transaction; the answer follows. A process
//! killed in between leaves a key whose repetition is told that the work was done, and never does
//! it again. A kept answer is given only to who may still do what was allowed then.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use meetmind_app::{App, Repetition};
use meetmind_core::{Actor, Code, Ctx, Error, Grant, Once};
use meetmind_store::{IdempotencyClaim, IdempotencyRow};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::extract::{Caller, Identity};
use crate::reply::{Failure, Pending, Secret};

static KEY: HeaderName = HeaderName::from_static("idempotency-key");
static REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The largest body that is read to compare it. The routes' own limits come after it.
const BODY_MAX: usize = 32 * 1024 * 1024;
/// The largest answer that is kept, in bytes.
const ANSWER_MAX: usize = 1024 * 1024;

/// Answers a repeated POST with the first answer.
pub(crate) async fn replay(State(app): State<App>, request: Request, next: Next) -> Response {
    if !applies(&request) {
        return next.run(request).await;
    }
    match keyed(app, request, next).await {
        Ok(response) => response,
        Err(failure) => failure.into_response(),
    }
}

/// Whether the request has a key that counts. Joining sees to it itself: a repetition must give a
/// fresh token. A stream cannot be kept.
fn applies(request: &Request) -> bool {
    let path = request.uri().path();
    let streams = request
        .headers()
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("text/event-stream"));
    request.method() == Method::POST
        && path.starts_with("/api/")
        && !path.ends_with("/join")
        && !streams
        && request.headers().contains_key(&KEY)
        && matches!(
            request.extensions().get::<Identity>(),
            Some(Identity::Known(actor)) if *actor != Actor::Anonymous
        )
}

async fn keyed(app: App, request: Request, next: Next) -> Result<Response, Failure> {
    let (mut parts, body) = request.into_parts();
    let Caller(ctx) = Caller::from_request_parts(&mut parts, &app).await?;
    let key = key(&parts.headers)?.unwrap_or_default();
    let body = to_bytes(body, BODY_MAX)
        .await
        .map_err(|_| Error::new(Code::PayloadTooLarge, "the body is larger than the limit"))?;
    let hash = request_hash(&ctx.actor, &parts.method, &parts.uri, &body);
    match app.idempotency_begin(&ctx, &key, hash).await? {
        Repetition::Answered(row) => {
            let answer: Answer = row
                .response
                .as_deref()
                .and_then(|text| serde_json::from_str(text).ok())
                .unwrap_or_default();
            app.idempotency_recheck(&ctx, &answer.granted).await?;
            again(row, answer.kept)
        }
        Repetition::First(claim) => {
            let once = Once::new(claim.actor.clone(), claim.key.clone(), claim.created_at);
            let once = Arc::new(once);
            parts.extensions.insert(Arc::clone(&once));
            let request = Request::from_parts(parts, Body::from(body));
            // Its own task: when the client goes away, the work still comes to its end and its
            // answer is kept for the repetition.
            let task = tokio::spawn(first(app, ctx, claim, once, request, next));
            match task.await {
                Ok(response) => Ok(response),
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(error) => Err(Error::internal(error).into()),
            }
        }
    }
}

/// The key of a request.
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let mut values = headers.get_all(&KEY).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) if value.to_str().is_ok() => Ok(value.to_str().ok().map(str::to_owned)),
        _ => Err(Error::invalid(
            "Idempotency-Key",
            "must be one value of visible ASCII characters",
        )
        .into()),
    }
}

/// All that makes it this request. An administrator's request is another one than that of the same
/// person without the office.
fn request_hash(actor: &Actor, method: &Method, uri: &Uri, body: &Bytes) -> Vec<u8> {
    let office = if actor.is_admin() { "admin" } else { "" };
    let query = uri.query().unwrap_or_default();
    let mut hash = Sha256::new();
    for part in [office, method.as_str(), uri.path(), query] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.update(body);
    hash.finalize().to_vec()
}

/// Runs the request and keeps its answer, or gives the key back.
async fn first(
    app: App,
    ctx: Ctx,
    claim: IdempotencyClaim,
    once: Arc<Once>,
    request: Request,
    next: Next,
) -> Response {
    let response = match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            end(&app, &ctx, &claim, None).await;
            std::panic::resume_unwind(panic);
        }
    };
    if !is_kept(&response) {
        end(&app, &ctx, &claim, None).await;
        return response;
    }
    let (response, kept) = Kept::of(response).await;
    let location = response
        .headers()
        .get(header::LOCATION)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let status = response.status().as_u16();
    let granted = once.granted();
    let text = serde_json::to_string(&Answer { kept, granted }).unwrap_or_default();
    end(&app, &ctx, &claim, Some((status, location, text))).await;
    response
}

/// The answer stands whatever becomes of its copy: a copy that cannot be kept is logged.
async fn end(
    app: &App,
    ctx: &Ctx,
    claim: &IdempotencyClaim,
    answer: Option<(u16, Option<String>, String)>,
) {
    if let Err(error) = app.idempotency_end(claim, answer).await {
        tracing::warn!(request_id = %ctx.request_id, %error, "an answer could not be kept for repetitions");
    }
}

/// Whether a repetition would be answered the same. After a failure of ours or a refusal for
/// now, it may go better.
fn is_kept(response: &Response) -> bool {
    let status = response.status();
    let streams = response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.starts_with("text/event-stream"));
    !streams
        && !status.is_server_error()
        && !matches!(
            status,
            StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS
        )
}

/// What is kept of an answer besides its status and `Location`.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Answer {
    kept: Kept,
    /// What the policy allowed on the way to it.
    granted: Vec<Grant>,
}

/// The answer itself.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kept {
    /// A body with these headers.
    Body {
        content_type: Option<String>,
        etag: Option<String>,
        text: String,
    },
    /// An error, without its request id.
    Error {
        code: Code,
        message: String,
        details: Option<serde_json::Value>,
    },
    /// It held a secret, was too large, or was lost with the process.
    #[default]
    Withheld,
}

impl Kept {
    /// Copies what is kept of an answer; gives the answer back whole.
    async fn of(response: Response) -> (Response, Self) {
        if let Some(Pending(error)) = response.extensions().get::<Pending>() {
            let kept = Kept::Error {
                code: error.code,
                message: error.message.to_string(),
                details: error.details.clone(),
            };
            return (response, kept);
        }
        if response.extensions().get::<Secret>().is_some() {
            return (response, Kept::Withheld);
        }
        let (parts, body) = response.into_parts();
        // Answers of POST are made in memory: reading them again costs a copy, no wait.
        let Ok(bytes) = to_bytes(body, usize::MAX).await else {
            let failed = Failure::from(Error::new(Code::Internal, "something went wrong here"));
            return (failed.into_response(), Kept::Withheld);
        };
        let header_text = |name: HeaderName| {
            parts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let kept = match std::str::from_utf8(&bytes) {
            Ok(text) if text.len() <= ANSWER_MAX => Kept::Body {
                content_type: header_text(header::CONTENT_TYPE),
                etag: header_text(header::ETAG),
                text: text.to_owned(),
            },
            _ => Kept::Withheld,
        };
        (Response::from_parts(parts, Body::from(bytes)), kept)
    }
}

/// The answer of a request that came before.
fn again(row: IdempotencyRow, kept: Kept) -> Result<Response, Failure> {
    let mut response = match kept {
        Kept::Body {
            content_type,
            etag,
            text,
        } => {
            let mut response = Response::new(Body::from(text));
            let headers = [
                (header::CONTENT_TYPE, content_type),
                (header::ETAG, etag),
                (header::LOCATION, row.location),
            ];
            for (name, value) in headers {
                if let Some(value) = value.and_then(|text| HeaderValue::from_str(&text).ok()) {
                    response.headers_mut().insert(name, value);
                }
            }
            let status = row.status.and_then(|status| u16::try_from(status).ok());
            *response.status_mut() = status
                .and_then(|status| StatusCode::from_u16(status).ok())
                .unwrap_or(StatusCode::OK);
            response
        }
        Kept::Error {
            code,
            message,
            details,
        } => {
            let mut error = Error::new(code, message);
            error.details = details;
            Failure::from(error).into_response()
        }
        Kept::Withheld => {
            return Err(Error::new(
                Code::Conflict,
                "this request was carried out; its answer is not kept",
            )
            .with_details(serde_json::json!({ "location": row.location, "status": row.status.filter(|status| *status != 0) }))
            .into());
        }
    };
    response
        .headers_mut()
        .insert(REPLAYED.clone(), HeaderValue::from_static("true"));
    Ok(response)
}
