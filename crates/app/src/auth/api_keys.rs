//! API keys: scoped, shown once, known by a hash.

use meetmind_core::{
    ApiKey, ApiKeyId, Code, Ctx, Error, Id, Page, PageQuery, Result, Scope, Timestamp, session_may,
};
use serde_json::json;

use super::{digest, hex};
use crate::meetings::{cursor_id, cursor_of};
use crate::{App, AuthorityChange, valid};

/// Keys that one person may have at a time.
const KEYS_MAX: i64 = 100;

/// What a key is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiKeyNew {
    /// What it is for, 1 to 100 characters.
    pub name: String,
    /// What it may do; at least one.
    pub scopes: Vec<Scope>,
    /// When it stops working; in the future.
    pub expires_at: Option<Timestamp>,
}

/// A new key with its text, which is shown this once.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiKeySecret {
    /// The key.
    pub key: ApiKey,
    /// `mm_`, the id, `_`, the secret.
    pub text: String,
}

/// Splits what follows `mm_` into id and secret.
pub(super) fn parse(text: &str) -> Option<(ApiKeyId, &str)> {
    let (id, secret) = text.split_once('_')?;
    let id = format!("{}_{id}", ApiKeyId::PREFIX).parse().ok()?;
    Some((id, secret))
}

impl App {
    /// Makes a key of the caller.
    ///
    /// # Errors
    /// `VALIDATION_FAILED`, `QUOTA_EXCEEDED`, `FORBIDDEN` for who is not signed in with a session.
    pub async fn api_key_create(&self, ctx: &Ctx, new: ApiKeyNew) -> Result<ApiKeySecret> {
        let user_id = session_may(&ctx.actor)?;
        let mut scopes = new.scopes;
        scopes.sort_unstable();
        scopes.dedup();
        if scopes.is_empty() {
            return Err(Error::invalid("scopes", "must name at least one scope"));
        }
        if new.expires_at.is_some_and(|end| end <= ctx.now) {
            return Err(Error::invalid("expires_at", "must be in the future"));
        }
        let key = ApiKey {
            id: self.id(ctx),
            user_id,
            name: valid::line("name", &new.name, 100)?,
            scopes,
            created_at: ctx.now,
            expires_at: new.expires_at,
            last_used_at: None,
            revoked_at: None,
        };
        let secret = hex(&self.entropy().bytes::<32>());
        let mut change = self.change(ctx).await?;
        let current = change.api_key_count(user_id).await?;
        if current >= KEYS_MAX {
            let error = Error::new(Code::QuotaExceeded, "too many API keys: revoke one first");
            let details = json!({ "current": current, "limit": KEYS_MAX, "reset": null });
            return Err(error.with_details(details));
        }
        let hash = digest(secret.as_bytes());
        change.api_key_insert(&key, &hash).await?;
        let details = json!({ "scopes": key.scopes });
        change.audit("api_key.created", key.id, details).await?;
        change.commit().await?;
        let id = key.id.to_string();
        let text = format!("mm_{}_{secret}", id.trim_start_matches("key_"));
        Ok(ApiKeySecret { key, text })
    }

    /// The caller's keys, newest first.
    ///
    /// # Errors
    /// `FORBIDDEN` for who is not signed in with a session.
    pub async fn api_key_list(&self, ctx: &Ctx, page: &PageQuery) -> Result<Page<ApiKey>> {
        let user_id = session_may(&ctx.actor)?;
        let before = cursor_id(page)?;
        let mut conn = self.store().read().await?;
        let rows = conn.api_key_list(user_id, before, page.limit + 1).await?;
        Ok(Page::from_rows(rows, page.limit, |row| cursor_of(row.id)))
    }

    /// One of the caller's keys.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn api_key_get(&self, ctx: &Ctx, id: ApiKeyId) -> Result<ApiKey> {
        let user_id = session_may(&ctx.actor)?;
        let mut conn = self.store().read().await?;
        let found = conn.api_key_find(id, user_id).await?;
        found.ok_or_else(|| Error::not_found("API key"))
    }

    /// Revokes one of the caller's keys, at once.
    ///
    /// # Errors
    /// `NOT_FOUND` when it is not the caller's or was revoked before.
    pub async fn api_key_revoke(&self, ctx: &Ctx, id: ApiKeyId) -> Result<ApiKey> {
        let user_id = session_may(&ctx.actor)?;
        let mut change = self.change(ctx).await?;
        let found = change.api_key_find(id, user_id).await?;
        let key = found.ok_or_else(|| Error::not_found("API key"))?;
        change.api_key_revoke(id, user_id, ctx.now).await?;
        change.audit("api_key.revoked", id, json!({})).await?;
        change.authority_changes(AuthorityChange::User(user_id));
        change.commit().await?;
        Ok(ApiKey {
            revoked_at: Some(ctx.now),
            ..key
        })
    }
}
