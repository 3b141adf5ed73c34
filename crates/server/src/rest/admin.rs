//! `/api/admin`: accounts and the audit log.

use axum::extract::State;
use meetmind_app::{App, ResetLink, UserNew, UserPatch};
use meetmind_core::{AuditEntry, Page, Timestamp, User, UserId, UserRole};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Caller, Json, PageParams, Path, Query};
use crate::reply::{Envelope, Outcome, Reply};

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(users, user_create))
        .routes(routes!(user, user_update))
        .routes(routes!(user_sign_out))
        .routes(routes!(user_reset_link))
        .routes(routes!(audit))
}

/// What narrows the list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct UserListParams {
    /// With these characters in address or name.
    #[param(max_length = 200)]
    q: Option<String>,
}

/// All accounts, in the order they came.
#[utoipa::path(get, path = "/api/admin/users", tag = "admin", params(UserListParams, PageParams), responses((status = 200, body = Envelope<Page<User>>)))]
async fn users(
    State(app): State<App>,
    Caller(ctx): Caller,
    Query(params): Query<UserListParams>,
    Query(page): Query<PageParams>,
) -> Outcome<Page<User>> {
    let text = params.q.filter(|q| !q.is_empty());
    let page = page.query()?;
    Ok(Reply::ok(
        app.user_list(&ctx, text.as_deref(), &page).await?,
    ))
}

/// A new account.
#[derive(Deserialize, utoipa::ToSchema)]
struct UserBody {
    #[schema(
        max_length = 254,
        pattern = r"^[^@\s\u0000-\u001f\u007f-\u009f]+@[^@\s\u0000-\u001f\u007f-\u009f]+$",
        example = "ben@example.com"
    )]
    email: String,
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
    /// `member` when absent.
    role: Option<UserRole>,
    /// Without one, the answer has a link with which the person sets it.
    #[schema(min_length = 8, max_length = 256, format = Password)]
    password: Option<String>,
}

/// A link to set a password. Whoever has it can take the account over.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ResetLinkView {
    url: String,
    expires_at: Timestamp,
}

impl From<ResetLink> for ResetLinkView {
    fn from(link: ResetLink) -> Self {
        Self {
            url: link.url,
            expires_at: link.expires_at,
        }
    }
}

/// A new account, and the link for its owner when it has no password.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct UserCreatedView {
    #[serde(flatten)]
    user: User,
    reset_link: Option<ResetLinkView>,
}

/// Make an account for somebody.
#[utoipa::path(post, path = "/api/admin/users", tag = "admin", request_body = UserBody, responses((status = 201, body = Envelope<UserCreatedView>)))]
async fn user_create(
    State(app): State<App>,
    Caller(ctx): Caller,
    Json(body): Json<UserBody>,
) -> Outcome<UserCreatedView> {
    let new = UserNew {
        email: body.email,
        name: body.name,
        role: body.role.unwrap_or(UserRole::Member),
        password: body.password,
    };
    let (user, link) = app.user_create(&ctx, new).await?;
    let location = format!("/api/admin/users/{}", user.id);
    let reset_link = link.map(ResetLinkView::from);
    let has_link = reset_link.is_some();
    let reply = Reply::created(location, UserCreatedView { user, reset_link });
    Ok(if has_link { reply.secret() } else { reply })
}

/// One account.
#[utoipa::path(get, path = "/api/admin/users/{id}", tag = "admin", params(("id" = UserId, Path)), responses((status = 200, body = Envelope<User>)))]
async fn user(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<UserId>,
) -> Outcome<User> {
    Ok(Reply::ok(app.user_get(&ctx, id).await?))
}

/// Changes of an account: absent stays.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct UserPatchBody {
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
    role: Option<UserRole>,
    /// Disabling ends its sessions.
    disabled: Option<bool>,
}

/// Change an account. Role and disabling act at once.
#[utoipa::path(patch, path = "/api/admin/users/{id}", tag = "admin", params(("id" = UserId, Path)), request_body = UserPatchBody, responses((status = 200, body = Envelope<User>)))]
async fn user_update(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<UserId>,
    Json(body): Json<UserPatchBody>,
) -> Outcome<User> {
    let patch = UserPatch {
        name: body.name,
        role: body.role,
        disabled: body.disabled,
    };
    Ok(Reply::ok(app.user_update(&ctx, id, patch).await?))
}

/// What ending the sessions did.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SignOutView {
    sessions_ended: u64,
}

/// End all sessions of an account, at once.
#[utoipa::path(delete, path = "/api/admin/users/{id}/sessions", tag = "admin", params(("id" = UserId, Path)), responses((status = 200, body = Envelope<SignOutView>)))]
async fn user_sign_out(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<UserId>,
) -> Outcome<SignOutView> {
    let sessions_ended = app.user_sign_out(&ctx, id).await?;
    Ok(Reply::ok(SignOutView { sessions_ended }))
}

/// Make a link with which an account's owner sets a new password. An earlier link stops working.
#[utoipa::path(post, path = "/api/admin/users/{id}/reset-link", tag = "admin", params(("id" = UserId, Path)), responses((status = 200, body = Envelope<ResetLinkView>)))]
async fn user_reset_link(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<UserId>,
) -> Outcome<ResetLinkView> {
    let link = app.user_reset_link(&ctx, id).await?;
    Ok(Reply::ok(link.into()).secret())
}

/// The audit log, newest first.
#[utoipa::path(get, path = "/api/admin/audit", tag = "admin", params(PageParams), responses((status = 200, body = Envelope<Page<AuditEntry>>)))]
async fn audit(
    State(app): State<App>,
    Caller(ctx): Caller,
    Query(page): Query<PageParams>,
) -> Outcome<Page<AuditEntry>> {
    Ok(Reply::ok(app.audit_list(&ctx, &page.query()?).await?))
}
