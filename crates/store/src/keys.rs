//! API keys.

use meetmind_core::{ApiKey, ApiKeyId, Scope, Timestamp, UserId, UserRole};
use sqlx::types::Json;

use crate::db::{execute, fetch_all, fetch_one, fetch_optional};
use crate::statements::statements;
use crate::{Conn, Result};

macro_rules! key_columns {
    () => {
        "id, user_id, name, scopes, created_at, expires_at, last_used_at, revoked_at"
    };
}

statements! {
    API_KEY_INSERT = "INSERT INTO api_keys (id, user_id, name, secret_hash, scopes, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    API_KEY_GET = concat!("SELECT ", key_columns!(), " FROM api_keys WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL");
    API_KEY_LIST = concat!("SELECT ", key_columns!(), " FROM api_keys WHERE user_id = $1 AND revoked_at IS NULL AND (id < $2 OR $2 IS NULL) ORDER BY id DESC LIMIT $3");
    API_KEY_EXPORT = concat!("SELECT ", key_columns!(), " FROM api_keys WHERE user_id = $1 AND (id > $2 OR $2 IS NULL) ORDER BY id LIMIT $3");
    API_KEY_COUNT = "SELECT COUNT(*) FROM api_keys WHERE user_id = $1 AND revoked_at IS NULL";
    API_KEY_STATE_GET = "SELECT k.user_id, u.role, k.secret_hash, k.scopes, k.expires_at, k.last_used_at, k.revoked_at, u.disabled_at
        FROM api_keys k JOIN users u ON u.id = k.user_id WHERE k.id = $1";
    API_KEY_TOUCH = "UPDATE api_keys SET last_used_at = $2 WHERE id = $1";
    API_KEY_REVOKE = "UPDATE api_keys SET revoked_at = $3 WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL";
}

/// Whether an API key works, for whom, and what it may do.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct ApiKeyState {
    /// Whose it is.
    pub user_id: UserId,
    /// The user's role now.
    pub role: UserRole,
    /// SHA-256 of the secret.
    pub secret_hash: Vec<u8>,
    /// What it may do.
    #[sqlx(json)]
    pub scopes: Vec<Scope>,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When the account was disabled.
    pub disabled_at: Option<Timestamp>,
}

impl Conn {
    /// Adds a key, whose secret is known by its hash.
    ///
    /// # Errors
    /// When the user is gone, or the database refuses.
    pub async fn api_key_insert(&mut self, key: &ApiKey, secret_hash: &[u8]) -> Result<()> {
        execute!(
            self,
            API_KEY_INSERT,
            key.id,
            key.user_id,
            &key.name,
            secret_hash,
            Json(&key.scopes),
            key.created_at,
            key.expires_at
        )?;
        Ok(())
    }

    /// One key of a user, unless revoked.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn api_key_find(&mut self, id: ApiKeyId, user_id: UserId) -> Result<Option<ApiKey>> {
        fetch_optional!(self, API_KEY_GET, id, user_id)
    }

    /// A user's keys that are not revoked, newest first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn api_key_list(
        &mut self,
        user_id: UserId,
        before: Option<ApiKeyId>,
        limit: i64,
    ) -> Result<Vec<ApiKey>> {
        fetch_all!(self, API_KEY_LIST, user_id, before, limit)
    }

    /// All keys of a user, revoked ones too, oldest first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn api_key_export(
        &mut self,
        user_id: UserId,
        after: Option<ApiKeyId>,
        limit: i64,
    ) -> Result<Vec<ApiKey>> {
        fetch_all!(self, API_KEY_EXPORT, user_id, after, limit)
    }

    /// How many keys a user has that are not revoked.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn api_key_count(&mut self, user_id: UserId) -> Result<i64> {
        let (count,): (i64,) = fetch_one!(self, API_KEY_COUNT, user_id)?;
        Ok(count)
    }

    /// Whether a key works, for whom, and the hash of its secret.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn api_key_state_find(&mut self, id: ApiKeyId) -> Result<Option<ApiKeyState>> {
        fetch_optional!(self, API_KEY_STATE_GET, id)
    }

    /// Notes that a key was used.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn api_key_touch(&mut self, id: ApiKeyId, now: Timestamp) -> Result<()> {
        execute!(self, API_KEY_TOUCH, id, now)?;
        Ok(())
    }

    /// Revokes a key of a user; gives whether it was still on.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn api_key_revoke(
        &mut self,
        id: ApiKeyId,
        user_id: UserId,
        now: Timestamp,
    ) -> Result<bool> {
        Ok(execute!(self, API_KEY_REVOKE, id, user_id, now)? == 1)
    }
}
