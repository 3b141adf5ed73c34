//! `/auth`: one's own profile, sessions, API keys, tickets.

use axum::extract::State;
use meetmind_app::{ApiKeyNew, App, ProfilePatch};
use meetmind_core::{
    Actor, ApiKey, ApiKeyId, Ctx, Error, Page, Proof, Scope, Session, SessionId, Timestamp, User,
};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Caller, Json, PageParams, Path, Query, patch_field};
use crate::reply::{Envelope, Outcome, Reply};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(profile, profile_update))
        .routes(routes!(me, me_update))
        .routes(routes!(sessions))
        .routes(routes!(session_delete))
        .routes(routes!(keys, key_create))
        .routes(routes!(key, key_revoke))
        .routes(routes!(ws_ticket))
}

/// Changes of one's own account: absent stays.
#[derive(Deserialize, utoipa::ToSchema)]
struct ProfilePatchBody {
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
    /// Any JSON object up to 16 KB; replaces the one before.
    #[serde(default, deserialize_with = "patch_field")]
    #[schema(value_type = Option<Object>)]
    preferences: Option<Option<serde_json::Value>>,
    /// A new password; ends all other sessions.
    #[schema(min_length = 8, max_length = 256, format = Password)]
    password: Option<String>,
    /// Needed with a new password.
    #[schema(format = Password)]
    current_password: Option<String>,
}

impl From<ProfilePatchBody> for ProfilePatch {
    fn from(body: ProfilePatchBody) -> Self {
        Self {
            name: body.name,
            preferences: body.preferences,
            password: body.password,
            current_password: body.current_password,
        }
    }
}

/// Your account.
#[utoipa::path(get, path = "/auth/profile", tag = "auth", responses((status = 200, body = Envelope<User>)))]
async fn profile(State(app): State<App>, Caller(ctx): Caller) -> Outcome<User> {
    Ok(Reply::ok(app.profile_get(&ctx).await?))
}

/// Change your account.
#[utoipa::path(patch, path = "/auth/profile", tag = "auth", request_body = ProfilePatchBody, responses((status = 200, body = Envelope<User>)))]
async fn profile_update(
    State(app): State<App>,
    Caller(ctx): Caller,
    Json(body): Json<ProfilePatchBody>,
) -> Outcome<User> {
    Ok(Reply::ok(app.profile_update(&ctx, body.into()).await?))
}

/// Your account; the same as `/auth/profile`.
#[utoipa::path(get, path = "/auth/me", tag = "auth", responses((status = 200, body = Envelope<User>)))]
async fn me(State(app): State<App>, Caller(ctx): Caller) -> Outcome<User> {
    Ok(Reply::ok(app.profile_get(&ctx).await?))
}

/// Change your account; the same as `/auth/profile`.
#[utoipa::path(patch, path = "/auth/me", tag = "auth", request_body = ProfilePatchBody, responses((status = 200, body = Envelope<User>)))]
async fn me_update(
    State(app): State<App>,
    Caller(ctx): Caller,
    Json(body): Json<ProfilePatchBody>,
) -> Outcome<User> {
    Ok(Reply::ok(app.profile_update(&ctx, body.into()).await?))
}

/// One of your sessions.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SessionView {
    #[serde(flatten)]
    session: Session,
    /// Whether it is the one you ask with.
    current: bool,
}

fn session_view(ctx: &Ctx, session: Session) -> SessionView {
    let current =
        matches!(&ctx.actor, Actor::User { proof: Proof::Session(id), .. } if *id == session.id);
    SessionView { session, current }
}

/// Your sessions that still work, newest first.
#[utoipa::path(get, path = "/auth/sessions", tag = "auth", params(PageParams), responses((status = 200, body = Envelope<Page<SessionView>>)))]
async fn sessions(
    State(app): State<App>,
    Caller(ctx): Caller,
    Query(page): Query<PageParams>,
) -> Outcome<Page<SessionView>> {
    let page = app.session_list(&ctx, &page.query()?).await?;
    Ok(Reply::ok(page.map(|session| session_view(&ctx, session))))
}

/// End one of your sessions, at once.
#[utoipa::path(delete, path = "/auth/sessions/{id}", tag = "auth", params(("id" = SessionId, Path)), responses((status = 200, body = Envelope<SessionView>)))]
async fn session_delete(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<SessionId>,
) -> Outcome<SessionView> {
    let session = app.session_delete(&ctx, id).await?;
    Ok(Reply::ok(session_view(&ctx, session)))
}

/// A new API key.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct ApiKeyBody {
    /// What it is for.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// What it may do.
    #[schema(min_items = 1, max_items = 20)]
    scopes: Vec<Scope>,
    /// When it stops working; never when absent.
    expires_at: Option<Timestamp>,
}

/// A new API key with its text, which is shown this once.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ApiKeyCreatedView {
    #[serde(flatten)]
    api_key: ApiKey,
    /// For the header `Authorization: Bearer …`. Keep it: it is not shown again.
    #[schema(example = "mm_…")]
    key: String,
}

/// Your API keys, newest first.
#[utoipa::path(get, path = "/auth/api-keys", tag = "auth", params(PageParams), responses((status = 200, body = Envelope<Page<ApiKey>>)))]
async fn keys(
    State(app): State<App>,
    Caller(ctx): Caller,
    Query(page): Query<PageParams>,
) -> Outcome<Page<ApiKey>> {
    Ok(Reply::ok(app.api_key_list(&ctx, &page.query()?).await?))
}

/// Make an API key.
#[utoipa::path(post, path = "/auth/api-keys", tag = "auth", request_body = ApiKeyBody, responses((status = 201, body = Envelope<ApiKeyCreatedView>)))]
async fn key_create(
    State(app): State<App>,
    Caller(ctx): Caller,
    Json(body): Json<ApiKeyBody>,
) -> Outcome<ApiKeyCreatedView> {
    if body.scopes.len() > 20 {
        return Err(Error::invalid("scopes", "must have at most 20 entries").into());
    }
    let new = ApiKeyNew {
        name: body.name,
        scopes: body.scopes,
        expires_at: body.expires_at,
    };
    let made = app.api_key_create(&ctx, new).await?;
    let location = format!("/auth/api-keys/{}", made.key.id);
    let view = ApiKeyCreatedView {
        api_key: made.key,
        key: made.text,
    };
    Ok(Reply::created(location, view))
}

/// One of your API keys.
#[utoipa::path(get, path = "/auth/api-keys/{id}", tag = "auth", params(("id" = ApiKeyId, Path)), responses((status = 200, body = Envelope<ApiKey>)))]
async fn key(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<ApiKeyId>,
) -> Outcome<ApiKey> {
    Ok(Reply::ok(app.api_key_get(&ctx, id).await?))
}

/// Revoke one of your API keys, at once.
#[utoipa::path(delete, path = "/auth/api-keys/{id}", tag = "auth", params(("id" = ApiKeyId, Path)), responses((status = 200, body = Envelope<ApiKey>)))]
async fn key_revoke(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<ApiKeyId>,
) -> Outcome<ApiKey> {
    Ok(Reply::ok(app.api_key_revoke(&ctx, id).await?))
}

/// A ticket for one WebSocket.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct WsTicketView {
    /// For `GET /ws?ticket=…`; works once.
    ticket: String,
    /// Until when.
    expires_at: Timestamp,
}

/// A ticket that opens one WebSocket as you, within 30 seconds.
#[utoipa::path(post, path = "/auth/ws-ticket", tag = "auth", responses((status = 200, body = Envelope<WsTicketView>)))]
async fn ws_ticket(State(app): State<App>, Caller(ctx): Caller) -> Outcome<WsTicketView> {
    let made = app.ws_ticket_create(&ctx).await?;
    Ok(Reply::ok(WsTicketView {
        ticket: made.ticket,
        expires_at: made.expires_at,
    }))
}
