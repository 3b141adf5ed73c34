//! What administrators do: accounts, and the audit log. The command line does the same as
//! [`Actor::System`](meetmind_core::Actor::System).

use meetmind_core::{
    AuditEntry, Code, Ctx, Error, Page, PageQuery, Result, User, UserId, UserRole, admin_may,
};
use serde_json::json;

use crate::auth::{email_normalised, user_insert_within};
use crate::meetings::{cursor_id, cursor_of};
use crate::{App, AuthorityChange, Change, ResetLink, valid};

/// An account that an administrator makes.
#[derive(Debug, Clone)]
pub struct UserNew {
    /// The address.
    pub email: String,
    /// What others see; the address before the `@` when absent.
    pub name: Option<String>,
    /// The role on this instance.
    pub role: UserRole,
    /// A password; without one, a link is made with which the person sets it.
    pub password: Option<String>,
}

/// What an administrator changes in an account; absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserPatch {
    /// Another name.
    pub name: Option<String>,
    /// Another role.
    pub role: Option<UserRole>,
    /// Disabled or not.
    pub disabled: Option<bool>,
}

impl App {
    /// All accounts in the order they came, with these characters in address or name.
    ///
    /// # Errors
    /// `FORBIDDEN` for who is no administrator.
    pub async fn user_list(
        &self,
        ctx: &Ctx,
        text: Option<&str>,
        page: &PageQuery,
    ) -> Result<Page<User>> {
        admin_may(&ctx.actor)?;
        if let Some(text) = text {
            valid::optional_line("q", text, 200)?;
        }
        let after = cursor_id(page)?;
        let mut conn = self.store().read().await?;
        let rows = conn.user_list(text, after, page.limit + 1).await?;
        Ok(Page::from_rows(rows, page.limit, |row| cursor_of(row.id)))
    }

    /// One account.
    ///
    /// # Errors
    /// `FORBIDDEN` for who is no administrator, `NOT_FOUND`.
    pub async fn user_get(&self, ctx: &Ctx, id: UserId) -> Result<User> {
        admin_may(&ctx.actor)?;
        Ok(self.store().read().await?.user_get(id).await?)
    }

    /// The account with this address.
    ///
    /// # Errors
    /// `FORBIDDEN` for who is no administrator, `NOT_FOUND`.
    pub async fn user_by_email(&self, ctx: &Ctx, email: &str) -> Result<User> {
        admin_may(&ctx.actor)?;
        let email = email_normalised(email)?;
        let found = self.store().read().await?.user_find_email(&email).await?;
        found.ok_or_else(|| Error::not_found("user"))
    }

    /// Makes an account. Without a password there is a link with which its owner sets one.
    ///
    /// # Errors
    /// `FORBIDDEN` for who is no administrator, `EMAIL_TAKEN`, `WEAK_PASSWORD`, `VALIDATION_FAILED`.
    pub async fn user_create(&self, ctx: &Ctx, new: UserNew) -> Result<(User, Option<ResetLink>)> {
        admin_may(&ctx.actor)?;
        let user = self.user_made(ctx, &new.email, new.name.as_deref(), new.role)?;
        let hash = match new.password {
            Some(password) => Some(self.password_hashed(&user, password).await?),
            None => None,
        };
        let mut change = self.change(ctx).await?;
        user_insert_within(&mut change, &user, hash.as_deref()).await?;
        let details = json!({ "role": user.role });
        change.audit("user.created", user.id, details).await?;
        let link = match hash {
            Some(_) => None,
            None => Some(self.reset_link_within(&mut change, ctx, user.id).await?),
        };
        change.commit().await?;
        Ok((user, link))
    }

    /// Changes an account. Disabling it and changing its role act at once; disabling ends its
    /// sessions.
    ///
    /// # Errors
    /// `FORBIDDEN` for who is no administrator, `NOT_FOUND`, `CONFLICT` when no administrator
    /// would be left.
    pub async fn user_update(&self, ctx: &Ctx, id: UserId, patch: UserPatch) -> Result<User> {
        admin_may(&ctx.actor)?;
        let name = patch
            .name
            .map(|name| valid::line("name", &name, 100))
            .transpose()?;
        let mut change = self.change(ctx).await?;
        change.admin_lock().await?;
        let old = change.user_get(id).await?;
        let disabled_at = match patch.disabled {
            None => old.disabled_at,
            Some(false) => None,
            Some(true) => old.disabled_at.or(Some(ctx.now)),
        };
        let user = User {
            name: name.unwrap_or_else(|| old.name.clone()),
            role: patch.role.unwrap_or(old.role),
            disabled_at,
            updated_at: ctx.now,
            ..old.clone()
        };
        change.user_update(&user).await?;
        refuse_without_administrator(&mut change, &old).await?;
        if user.role != old.role {
            let details = json!({ "from": old.role, "to": user.role });
            change.audit("user.role_changed", id, details).await?;
        }
        if user.disabled_at.is_some() != old.disabled_at.is_some() {
            let action = match user.disabled_at {
                Some(_) => {
                    change.session_revoke_user(id, None, ctx.now).await?;
                    "user.disabled"
                }
                None => "user.enabled",
            };
            change.audit(action, id, json!({})).await?;
        }
        change.authority_changes(AuthorityChange::User(id));
        change.commit().await?;
        Ok(user)
    }

    /// Lets an account in no more; its sessions end.
    ///
    /// # Errors
    /// Those of [`App::user_update`].
    pub async fn user_disable(&self, ctx: &Ctx, id: UserId) -> Result<User> {
        let disabled = Some(true);
        self.user_update(
            ctx,
            id,
            UserPatch {
                disabled,
                ..UserPatch::default()
            },
        )
        .await
    }

    /// Lets an account in again.
    ///
    /// # Errors
    /// Those of [`App::user_update`].
    pub async fn user_enable(&self, ctx: &Ctx, id: UserId) -> Result<User> {
        let disabled = Some(false);
        self.user_update(
            ctx,
            id,
            UserPatch {
                disabled,
                ..UserPatch::default()
            },
        )
        .await
    }

    /// Makes an account an administrator's.
    ///
    /// # Errors
    /// Those of [`App::user_update`].
    pub async fn user_promote(&self, ctx: &Ctx, id: UserId) -> Result<User> {
        let role = Some(UserRole::Admin);
        self.user_update(
            ctx,
            id,
            UserPatch {
                role,
                ..UserPatch::default()
            },
        )
        .await
    }

    /// Makes an account a member's.
    ///
    /// # Errors
    /// Those of [`App::user_update`].
    pub async fn user_demote(&self, ctx: &Ctx, id: UserId) -> Result<User> {
        let role = Some(UserRole::Member);
        self.user_update(
            ctx,
            id,
            UserPatch {
                role,
                ..UserPatch::default()
            },
        )
        .await
    }

    /// Ends all sessions of an account; gives how many.
    ///
    /// # Errors
    /// `FORBIDDEN` for who is no administrator, `NOT_FOUND`.
    pub async fn user_sign_out(&self, ctx: &Ctx, id: UserId) -> Result<u64> {
        admin_may(&ctx.actor)?;
        let mut change = self.change(ctx).await?;
        change.user_get(id).await?;
        let sessions = change.session_revoke_user(id, None, ctx.now).await?;
        let details = json!({ "sessions": sessions });
        change.audit("session.revoked", id, details).await?;
        change.authority_changes(AuthorityChange::User(id));
        change.commit().await?;
        Ok(sessions)
    }

    /// The audit log, newest first.
    ///
    /// # Errors
    /// `FORBIDDEN` for who is no administrator.
    pub async fn audit_list(&self, ctx: &Ctx, page: &PageQuery) -> Result<Page<AuditEntry>> {
        admin_may(&ctx.actor)?;
        let before = cursor_id(page)?;
        let mut conn = self.store().read().await?;
        let rows = conn.audit_list(before, page.limit + 1).await?;
        Ok(Page::from_rows(rows, page.limit, |row| cursor_of(row.id)))
    }
}

/// Fails when a change to `before` left nobody who administers. Call with the lock held.
pub(crate) async fn refuse_without_administrator(
    change: &mut Change<'_>,
    before: &User,
) -> Result<()> {
    let administered = before.role == UserRole::Admin && before.disabled_at.is_none();
    if administered && change.admin_count().await? == 0 {
        return Err(Error::new(
            Code::Conflict,
            "this is the last administrator: make another one first",
        ));
    }
    Ok(())
}
