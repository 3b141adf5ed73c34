//! The first administrator, by a link that only the console shows. There is no default password.

use std::time::Duration;

use meetmind_core::{Code, Ctx, Error, Result, UserRole};
use meetmind_store::OneTimePurpose;
use serde_json::json;

use super::register::user_insert_within;
use super::{AccountNew, digest, hex, token_invalid};
use crate::{App, SignedIn};

const TTL: Duration = Duration::from_secs(24 * 3600);

impl App {
    /// A link that makes the first administrator, good for one use within a day; an earlier link
    /// stops working. `None` once there is an administrator.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn setup_link(&self) -> Result<Option<String>> {
        let now = self.now();
        let purpose = OneTimePurpose::Setup;
        let mut tx = self.store().begin().await?;
        tx.admin_lock().await?;
        if tx.admin_count().await? > 0 {
            return Ok(None);
        }
        let token = hex(&self.entropy().bytes::<32>());
        let hash = digest(token.as_bytes());
        tx.one_time_delete(purpose, None).await?;
        tx.one_time_insert(&hash, purpose, None, &json!({}), now, now.plus(TTL))
            .await?;
        tx.commit().await?;
        let base = &self.settings().public_url;
        Ok(Some(format!("{base}/setup?token={token}")))
    }

    /// Whether nobody administers this instance yet.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn setup_is_open(&self) -> Result<bool> {
        Ok(self.store().read().await?.admin_count().await? == 0)
    }

    /// Whether a set-up link can still be used; uses nothing up.
    ///
    /// # Errors
    /// `TOKEN_INVALID` for an unknown, used or expired link.
    pub async fn setup_check(&self, ctx: &Ctx, token: &str) -> Result<()> {
        let hash = digest(token.as_bytes());
        let mut conn = self.store().read().await?;
        let found = conn
            .one_time_find(&hash, OneTimePurpose::Setup, ctx.now)
            .await?;
        found.map(drop).ok_or_else(token_invalid)
    }

    /// Makes the first administrator and signs in.
    ///
    /// # Errors
    /// `TOKEN_INVALID` for an unknown, used or expired link, `CONFLICT` when there is an
    /// administrator, and what [`App::account_register`] says of the fields. A refused field does
    /// not use the link up.
    pub async fn setup_complete(
        &self,
        ctx: &Ctx,
        token: &str,
        new: AccountNew,
    ) -> Result<SignedIn> {
        let hash = digest(token.as_bytes());
        let purpose = OneTimePurpose::Setup;
        self.setup_check(ctx, token).await?;
        let user = self.user_made(ctx, &new.email, new.name.as_deref(), UserRole::Admin)?;
        let password = self.password_hashed(&user, new.password).await?;
        let mut change = self.change(ctx).await?;
        change.admin_lock().await?;
        if !change.one_time_use(&hash, purpose, ctx.now).await? {
            return Err(token_invalid());
        }
        if change.admin_count().await? > 0 {
            return Err(Error::new(
                Code::Conflict,
                "there is an administrator already",
            ));
        }
        user_insert_within(&mut change, &user, Some(&password)).await?;
        change.audit("setup.used", user.id, json!({})).await?;
        let agent = new.user_agent.as_deref();
        let signed_in = self
            .session_open_within(&mut change, ctx, user, agent)
            .await?;
        change.commit().await?;
        Ok(signed_in)
    }
}
