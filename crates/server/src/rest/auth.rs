//! `/auth`: registering, signing in and out, reset, set-up.

mod own;

use std::convert::Infallible;

use axum::extract::{FromRequestParts, OptionalFromRequestParts, State};
use axum::http::request::Parts;
use meetmind_app::{AccountNew, App, LogoutScope, PasswordReset, SignedIn};
use meetmind_core::{Actor, Code, Ctx, Error, MeetingId, SessionId, User};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Caller, Json, Query};
use crate::gate::Browser;
use crate::reply::{Envelope, Outcome, Reply};
use crate::web::cookies::with_cookies;

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(own::router())
        .routes(routes!(register))
        .routes(routes!(login))
        .routes(routes!(refresh))
        .routes(routes!(logout))
        .routes(routes!(reset))
        .routes(routes!(reset_confirm))
        .routes(routes!(setup))
}

/// The circumstances of a call that needs no identity: a refused credential counts as none.
pub(crate) struct Anybody(pub(crate) Ctx);

impl FromRequestParts<App> for Anybody {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let caller =
            <Caller as OptionalFromRequestParts<App>>::from_request_parts(parts, app).await?;
        let ctx = caller.map_or_else(
            || app.ctx(Actor::Anonymous, app.entropy().id(app.now())),
            |Caller(ctx)| ctx,
        );
        Ok(Self(ctx))
    }
}

/// Whether the tokens go into cookies.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct CookieParams {
    /// For pages: put the tokens into HttpOnly cookies instead of the body. The `csrf_token` of
    /// the answer then goes into the header `X-CSRF-Token` of each change.
    cookie: Option<bool>,
}

/// Somebody who is signed in.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SignedInView {
    user: User,
    session_id: SessionId,
    /// For the header `Authorization: Bearer …`; absent in cookie mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<String>,
    /// Gives the next pair of tokens, once; absent in cookie mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    /// Always `bearer`.
    token_type: &'static str,
    /// Seconds that the access token lives.
    expires_in: i64,
    /// In cookie mode: for the header `X-CSRF-Token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    csrf_token: Option<String>,
}

fn signed_in_reply(
    app: &App,
    browser: &Browser,
    as_cookies: bool,
    signed_in: SignedIn,
    reply: impl FnOnce(SignedInView) -> Reply<SignedInView>,
) -> Reply<SignedInView> {
    let csrf = as_cookies.then(|| app.csrf_token(signed_in.session_id));
    let lines = csrf
        .as_ref()
        .map(|csrf| browser.names().set(app, &signed_in, csrf));
    let view = SignedInView {
        user: signed_in.user,
        session_id: signed_in.session_id,
        access_token: (!as_cookies).then_some(signed_in.access_token),
        refresh_token: (!as_cookies).then_some(signed_in.refresh_token),
        token_type: "bearer",
        expires_in: signed_in.expires_in,
        csrf_token: csrf,
    };
    match lines {
        Some(lines) => with_cookies(reply(view), lines),
        None => reply(view),
    }
}

/// Whether cookies are wanted; a page of somebody else may not ask for them.
fn as_cookies(params: &CookieParams, browser: &Browser) -> Result<bool, Error> {
    let wanted = params.cookie.unwrap_or(false);
    if wanted {
        browser.check_origin()?;
    }
    Ok(wanted)
}

/// A new account.
#[derive(Deserialize, utoipa::ToSchema)]
struct RegisterBody {
    #[schema(
        max_length = 254,
        pattern = r"^[^@\s\u0000-\u001f\u007f-\u009f]+@[^@\s\u0000-\u001f\u007f-\u009f]+$",
        example = "anna@example.com"
    )]
    email: String,
    /// Not easy to guess; no rules of composition.
    #[schema(min_length = 8, max_length = 256, format = Password)]
    password: String,
    /// What others see; the address before the `@` when absent.
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
    /// Where registration is by invitation: the meeting of the invitation link.
    meeting_id: Option<MeetingId>,
    /// Where registration is by invitation: the code of the invitation link.
    #[schema(max_length = 64)]
    invite_code: Option<String>,
}

/// Make an account and sign in.
#[utoipa::path(post, path = "/auth/register", tag = "auth", params(CookieParams), request_body = RegisterBody, responses((status = 201, body = Envelope<SignedInView>)))]
async fn register(
    State(app): State<App>,
    Anybody(ctx): Anybody,
    browser: Browser,
    Query(params): Query<CookieParams>,
    Json(body): Json<RegisterBody>,
) -> Outcome<SignedInView> {
    let as_cookies = as_cookies(&params, &browser)?;
    let new = AccountNew {
        email: body.email,
        password: body.password,
        name: body.name,
        invitation: body.meeting_id.zip(body.invite_code),
        user_agent: browser.user_agent(),
    };
    let signed_in = app.account_register(&ctx, new).await?;
    let created = |view| Reply::created("/auth/profile".to_owned(), view);
    Ok(signed_in_reply(
        &app, &browser, as_cookies, signed_in, created,
    ))
}

/// Address and password.
#[derive(Deserialize, utoipa::ToSchema)]
struct LoginBody {
    #[schema(
        max_length = 254,
        pattern = r"^[^@\s\u0000-\u001f\u007f-\u009f]+@[^@\s\u0000-\u001f\u007f-\u009f]+$",
        example = "anna@example.com"
    )]
    email: String,
    #[schema(format = Password)]
    password: String,
}

/// Sign in.
#[utoipa::path(post, path = "/auth/login", tag = "auth", params(CookieParams), request_body = LoginBody, responses((status = 200, body = Envelope<SignedInView>)))]
async fn login(
    State(app): State<App>,
    Anybody(ctx): Anybody,
    browser: Browser,
    Query(params): Query<CookieParams>,
    Json(body): Json<LoginBody>,
) -> Outcome<SignedInView> {
    let as_cookies = as_cookies(&params, &browser)?;
    let agent = browser.user_agent();
    let signed_in = app
        .sign_in(&ctx, &body.email, body.password, agent.as_deref())
        .await?;
    Ok(signed_in_reply(
        &app,
        &browser,
        as_cookies,
        signed_in,
        Reply::ok,
    ))
}

/// A refresh token.
#[derive(Default, Deserialize, utoipa::ToSchema)]
struct RefreshBody {
    /// Absent for pages, whose cookie has it.
    refresh_token: Option<String>,
}

/// Trade a refresh token for new tokens. Each works once; used again later, it ends the session.
#[utoipa::path(post, path = "/auth/refresh", tag = "auth", params(CookieParams), request_body = RefreshBody, responses((status = 200, body = Envelope<SignedInView>)))]
async fn refresh(
    State(app): State<App>,
    Anybody(ctx): Anybody,
    browser: Browser,
    Query(params): Query<CookieParams>,
    Json(body): Json<RefreshBody>,
) -> Outcome<SignedInView> {
    let (token, from_cookie) = match body.refresh_token {
        Some(token) => (token, as_cookies(&params, &browser)?),
        None => {
            let token = browser.refresh_token()?;
            let missing = || Error::invalid("refresh_token", "is needed");
            (token.ok_or_else(missing)?, true)
        }
    };
    let signed_in = app.session_refresh(&ctx, &token).await?;
    Ok(signed_in_reply(
        &app,
        &browser,
        from_cookie,
        signed_in,
        Reply::ok,
    ))
}

/// What to sign out.
#[derive(Default, Deserialize, utoipa::ToSchema)]
struct LogoutBody {
    /// Says which session when no access token does.
    refresh_token: Option<String>,
    /// `local` when absent.
    scope: Option<LogoutScope>,
}

/// What signing out did.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct LogoutView {
    /// Sessions that ended; their access tokens stopped working.
    sessions_ended: u64,
}

/// Sign out, at once.
#[utoipa::path(post, path = "/auth/logout", tag = "auth", request_body = LogoutBody, responses((status = 200, body = Envelope<LogoutView>)))]
async fn logout(
    State(app): State<App>,
    Anybody(ctx): Anybody,
    browser: Browser,
    Json(body): Json<LogoutBody>,
) -> Outcome<LogoutView> {
    let token = match (body.refresh_token, &ctx.actor) {
        (None, Actor::Anonymous) => browser.refresh_token()?,
        (token, _) => token,
    };
    let scope = body.scope.unwrap_or_default();
    let sessions_ended = app.sign_out(&ctx, token.as_deref(), scope).await?;
    let reply = Reply::ok(LogoutView { sessions_ended });
    if browser.has_cookies() && scope != LogoutScope::Others {
        return Ok(with_cookies(reply, browser.names().clear()));
    }
    Ok(reply)
}

/// Whose password was forgotten.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct ResetBody {
    #[schema(
        max_length = 254,
        pattern = r"^[^@\s\u0000-\u001f\u007f-\u009f]+@[^@\s\u0000-\u001f\u007f-\u009f]+$",
        example = "anna@example.com"
    )]
    email: String,
}

/// How it goes on.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ResetView {
    /// A sentence for people.
    message: &'static str,
}

/// Say that you forgot your password. The answer is the same for every address.
#[utoipa::path(post, path = "/auth/reset", tag = "auth", request_body = ResetBody, responses((status = 202, body = Envelope<ResetView>)))]
async fn reset(
    State(app): State<App>,
    Anybody(ctx): Anybody,
    Json(body): Json<ResetBody>,
) -> Outcome<ResetView> {
    app.reset_request(&ctx, &body.email)?;
    let message =
        "this server sends no e-mail: ask an administrator for a link to set a new password";
    Ok(Reply::accepted(ResetView { message }))
}

/// A new password, with the token of a reset link.
#[derive(Deserialize, utoipa::ToSchema)]
struct ResetConfirmBody {
    token: String,
    #[schema(min_length = 8, max_length = 256, format = Password)]
    password: String,
}

/// Set a new password with a reset link; all sessions of the account end.
#[utoipa::path(post, path = "/auth/reset/confirm", tag = "auth", request_body = ResetConfirmBody, responses((status = 200, body = Envelope<User>)))]
async fn reset_confirm(
    State(app): State<App>,
    Anybody(ctx): Anybody,
    Json(body): Json<ResetConfirmBody>,
) -> Outcome<User> {
    let reset = PasswordReset {
        token: body.token,
        password: body.password,
    };
    Ok(Reply::ok(app.reset_confirm(&ctx, reset).await?))
}

/// The first administrator.
#[derive(Deserialize, utoipa::ToSchema)]
struct SetupBody {
    /// From the link that the first start printed.
    token: String,
    #[schema(
        max_length = 254,
        pattern = r"^[^@\s\u0000-\u001f\u007f-\u009f]+@[^@\s\u0000-\u001f\u007f-\u009f]+$",
        example = "anna@example.com"
    )]
    email: String,
    #[schema(min_length = 8, max_length = 256, format = Password)]
    password: String,
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
}

/// Make the first administrator with the one-time link, and sign in.
#[utoipa::path(post, path = "/auth/setup", tag = "auth", params(CookieParams), request_body = SetupBody, responses((status = 201, body = Envelope<SignedInView>)))]
async fn setup(
    State(app): State<App>,
    Anybody(ctx): Anybody,
    browser: Browser,
    Query(params): Query<CookieParams>,
    Json(body): Json<SetupBody>,
) -> Outcome<SignedInView> {
    let as_cookies = as_cookies(&params, &browser)?;
    if body.token.is_empty() {
        return Err(Error::new(Code::TokenInvalid, "the link is not valid").into());
    }
    let new = AccountNew {
        email: body.email,
        password: body.password,
        name: body.name,
        invitation: None,
        user_agent: browser.user_agent(),
    };
    let signed_in = app.setup_complete(&ctx, &body.token, new).await?;
    let created = |view| Reply::created("/auth/profile".to_owned(), view);
    Ok(signed_in_reply(
        &app, &browser, as_cookies, signed_in, created,
    ))
}
