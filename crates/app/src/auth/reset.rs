//! Setting a forgotten password, by a link that an administrator hands over.

use std::time::Duration;

use meetmind_core::{Ctx, Result, Timestamp, User, UserId, admin_may};
use meetmind_store::OneTimePurpose;
use serde_json::json;

use super::{digest, email_normalised, hex, token_invalid};
use crate::{App, AuthorityChange};

const TTL: Duration = Duration::from_secs(24 * 3600);

/// A link to set a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResetLink {
    /// The link; whoever has it can take the account over.
    pub url: String,
    /// Until when it can be used.
    pub expires_at: Timestamp,
}

/// A forgotten password, told with its link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordReset {
    /// From the link.
    pub token: String,
    /// The new password.
    pub password: String,
}

impl App {
    /// Takes note that somebody forgot a password. The answer is the same for every address:
    /// this instance sends no e-mail, an administrator hands the link over.
    ///
    /// # Errors
    /// `VALIDATION_FAILED` for what is no address.
    pub fn reset_request(&self, ctx: &Ctx, email: &str) -> Result<()> {
        email_normalised(email)?;
        tracing::info!(request_id = %ctx.request_id, "somebody asked for a password reset");
        Ok(())
    }

    /// A link to set the password of an account, good for one use within a day; an earlier link
    /// of the account stops working.
    ///
    /// # Errors
    /// `FORBIDDEN` for who is no administrator, `NOT_FOUND`.
    pub async fn user_reset_link(&self, ctx: &Ctx, id: UserId) -> Result<ResetLink> {
        admin_may(&ctx.actor)?;
        let mut change = self.change(ctx).await?;
        change.user_get(id).await?;
        let link = self.reset_link_within(&mut change, ctx, id).await?;
        change.commit().await?;
        Ok(link)
    }

    pub(crate) async fn reset_link_within(
        &self,
        change: &mut crate::Change<'_>,
        ctx: &Ctx,
        id: UserId,
    ) -> Result<ResetLink> {
        let purpose = OneTimePurpose::Reset;
        let token = hex(&self.entropy().bytes::<32>());
        let hash = digest(token.as_bytes());
        let expires_at = ctx.now.plus(TTL);
        change.one_time_delete(purpose, Some(id)).await?;
        change
            .one_time_insert(&hash, purpose, Some(id), &json!({}), ctx.now, expires_at)
            .await?;
        change
            .audit("password.reset_link_made", id, json!({}))
            .await?;
        let base = &self.settings().public_url;
        Ok(ResetLink {
            url: format!("{base}/reset?token={token}"),
            expires_at,
        })
    }

    /// The account that a reset link is for; uses nothing up.
    ///
    /// # Errors
    /// `TOKEN_INVALID` for an unknown, used or expired link.
    pub async fn reset_check(&self, ctx: &Ctx, token: &str) -> Result<User> {
        let hash = digest(token.as_bytes());
        let mut conn = self.store().read().await?;
        let found = conn
            .one_time_find(&hash, OneTimePurpose::Reset, ctx.now)
            .await?;
        let id = found.and_then(|(id, _)| id).ok_or_else(token_invalid)?;
        Ok(conn.user_get(id).await?)
    }

    /// Sets the password of the account that a link is for, and ends its sessions.
    ///
    /// # Errors
    /// `TOKEN_INVALID` for an unknown, used or expired link, `WEAK_PASSWORD`, which does not use
    /// the link up.
    pub async fn reset_confirm(&self, ctx: &Ctx, reset: PasswordReset) -> Result<User> {
        let hash = digest(reset.token.as_bytes());
        let purpose = OneTimePurpose::Reset;
        let user = self.reset_check(ctx, &reset.token).await?;
        let id = user.id;
        let password = self.password_hashed(&user, reset.password).await?;
        let mut change = self.change(ctx).await?;
        if !change.one_time_use(&hash, purpose, ctx.now).await? {
            return Err(token_invalid());
        }
        change.user_password_set(id, &password, ctx.now).await?;
        let sessions = change.session_revoke_user(id, None, ctx.now).await?;
        self.attempts_forget(&mut change, &user.email).await?;
        let details = json!({ "by": "reset link", "sessions_ended": sessions });
        change.audit("password.changed", id, details).await?;
        change.authority_changes(AuthorityChange::User(id));
        change.commit().await?;
        Ok(user)
    }
}
