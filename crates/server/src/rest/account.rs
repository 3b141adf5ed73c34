//! `/api/me`: everything of mine, and leaving.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use meetmind_app::{AccountExport, AccountReceipt, App};
use meetmind_core::{
    Agent, ApiKey, Consent, Error, Meeting, Memory, MemoryChange, Message, Participant, Segment,
    Session, User, Webhook,
};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Caller, Json};
use crate::gate::Browser;
use crate::reply::{Envelope, Failure, Outcome, Reply};
use crate::web::cookies::with_cookies;

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(export))
        .routes(routes!(erase))
}

/// Everything of one person. It is written while it is read, so this only tells its shape.
#[derive(utoipa::ToSchema)]
#[expect(
    dead_code,
    reason = "the document's word for what the use case streams"
)]
struct AccountExportView {
    profile: User,
    sessions: Vec<Session>,
    /// Without their secrets.
    api_keys: Vec<ApiKey>,
    /// That you made.
    meetings: Vec<Meeting>,
    /// Your part in meetings.
    participants: Vec<Participant>,
    memories: Vec<Memory>,
    memory_changes: Vec<MemoryChange>,
    agents: Vec<Agent>,
    /// Without their secrets.
    webhooks: Vec<Webhook>,
    consents: Vec<Consent>,
    /// That you wrote.
    messages: Vec<Message>,
    /// That you said.
    segments: Vec<Segment>,
}

/// How far the writing is.
enum Piece {
    Begin(AccountExport),
    Middle(AccountExport),
    End,
}

/// Everything of yours, in one document.
#[utoipa::path(get, path = "/api/me/export", tag = "account", responses((status = 200, body = Envelope<AccountExportView>)))]
async fn export(State(app): State<App>, Caller(ctx): Caller) -> Result<Response, Failure> {
    let export = app.account_export(&ctx).await?;
    let pieces = stream::unfold(Piece::Begin(export), async |piece| match piece {
        Piece::Begin(export) => {
            let text = Bytes::from_static(br#"{"success":true,"data":"#);
            Some((Ok::<Bytes, Error>(text), Piece::Middle(export)))
        }
        Piece::Middle(mut export) => match export.next().await {
            Some(Ok(text)) => Some((Ok(Bytes::from(text)), Piece::Middle(export))),
            // The connection breaks off: a half document must not look whole.
            Some(Err(error)) => Some((Err(error), Piece::End)),
            None => Some((Ok(Bytes::from_static(b"}")), Piece::End)),
        },
        Piece::End => None,
    });
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"meetmind-export.json\"",
        ),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// Your password, because there is no way back.
#[derive(Deserialize, utoipa::ToSchema)]
struct EraseBody {
    #[schema(format = Password)]
    password: String,
}

/// Erase your account with the meetings you made. In other people's meetings your words stay
/// without your name. The receipt says what was touched.
#[utoipa::path(delete, path = "/api/me", tag = "account", request_body = EraseBody, responses((status = 200, body = Envelope<AccountReceipt>)))]
async fn erase(
    State(app): State<App>,
    Caller(ctx): Caller,
    browser: Browser,
    Json(body): Json<EraseBody>,
) -> Outcome<AccountReceipt> {
    let reply = Reply::ok(app.account_erase(&ctx, body.password).await?);
    if browser.has_cookies() {
        return Ok(with_cookies(reply, browser.names().clear()));
    }
    Ok(reply)
}
