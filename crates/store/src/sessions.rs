//! Sessions and their refresh tokens.

use meetmind_core::{Session, SessionId, Timestamp, UserId, UserRole};

use crate::db::{execute, fetch_all, fetch_optional};
use crate::statements::statements;
use crate::{Conn, Result};

macro_rules! session_columns {
    () => {
        "id, user_id, user_agent, address, created_at, last_used_at, expires_at, revoked_at"
    };
}

statements! {
    SESSION_INSERT = "INSERT INTO sessions (id, user_id, user_agent, address, created_at, last_used_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    SESSION_STATE_GET = "SELECT s.user_id, u.role, s.expires_at, s.revoked_at, u.disabled_at FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1";
    SESSION_GET_OWN = concat!("SELECT ", session_columns!(), " FROM sessions WHERE id = $1 AND user_id = $2");
    // One sees the sessions that still work: not ended, not past their end, not idle too long.
    SESSION_LIST = concat!("SELECT ", session_columns!(), " FROM sessions
        WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2 AND last_used_at > $3 AND (id < $4 OR $4 IS NULL) ORDER BY id DESC LIMIT $5");
    SESSION_EXPORT = concat!("SELECT ", session_columns!(), " FROM sessions WHERE user_id = $1 AND (id > $2 OR $2 IS NULL) ORDER BY id LIMIT $3");
    SESSION_TOUCH = "UPDATE sessions SET last_used_at = $2 WHERE id = $1";
    SESSION_REVOKE = "UPDATE sessions SET revoked_at = $3 WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL";
    SESSION_REVOKE_USER = "UPDATE sessions SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL AND (id <> $3 OR $3 IS NULL)";
    SESSION_TRIM = "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at < $1 OR revoked_at < $1 ORDER BY id LIMIT $2)";
    REFRESH_INSERT = "INSERT INTO refresh_tokens (hash, session_id, created_at, expires_at) VALUES ($1, $2, $3, $4)";
    REFRESH_GET = "SELECT t.session_id, s.user_id, t.expires_at, t.used_at, s.expires_at AS session_expires_at, s.revoked_at, u.disabled_at
        FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id JOIN users u ON u.id = s.user_id WHERE t.hash = $1";
    REFRESH_USE = "UPDATE refresh_tokens SET used_at = $2 WHERE hash = $1 AND used_at IS NULL";
}

/// Whether a session works, and for whom.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct SessionState {
    /// Whose it is.
    pub user_id: UserId,
    /// The user's role now.
    pub role: UserRole,
    /// When the session ends at the latest.
    pub expires_at: Timestamp,
    /// When it was ended.
    pub revoked_at: Option<Timestamp>,
    /// When the account was disabled.
    pub disabled_at: Option<Timestamp>,
}

/// A refresh token with the session and the account behind it.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct RefreshRow {
    /// The session.
    pub session_id: SessionId,
    /// Whose it is.
    pub user_id: UserId,
    /// Until when the token may be used.
    pub expires_at: Timestamp,
    /// When it was used.
    pub used_at: Option<Timestamp>,
    /// When the session ends at the latest.
    pub session_expires_at: Timestamp,
    /// When the session was ended.
    pub revoked_at: Option<Timestamp>,
    /// When the account was disabled.
    pub disabled_at: Option<Timestamp>,
}

impl Conn {
    /// Adds a session.
    ///
    /// # Errors
    /// When the user is gone, or the database refuses.
    pub async fn session_insert(&mut self, s: &Session) -> Result<()> {
        execute!(
            self,
            SESSION_INSERT,
            s.id,
            s.user_id,
            &s.user_agent,
            &s.address,
            s.created_at,
            s.last_used_at,
            s.expires_at
        )?;
        Ok(())
    }

    /// Whether a session works, and for whom.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn session_state_find(&mut self, id: SessionId) -> Result<Option<SessionState>> {
        fetch_optional!(self, SESSION_STATE_GET, id)
    }

    /// One session of a user.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn session_find(
        &mut self,
        id: SessionId,
        user_id: UserId,
    ) -> Result<Option<Session>> {
        fetch_optional!(self, SESSION_GET_OWN, id, user_id)
    }

    /// A user's working sessions, newest first: those that end after `now` and were used after
    /// `idle_since`.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn session_list(
        &mut self,
        user_id: UserId,
        now: Timestamp,
        idle_since: Timestamp,
        before: Option<SessionId>,
        limit: i64,
    ) -> Result<Vec<Session>> {
        fetch_all!(self, SESSION_LIST, user_id, now, idle_since, before, limit)
    }

    /// All sessions of a user that are still on record, oldest first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn session_export(
        &mut self,
        user_id: UserId,
        after: Option<SessionId>,
        limit: i64,
    ) -> Result<Vec<Session>> {
        fetch_all!(self, SESSION_EXPORT, user_id, after, limit)
    }

    /// Notes that a session was used.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn session_touch(&mut self, id: SessionId, now: Timestamp) -> Result<()> {
        execute!(self, SESSION_TOUCH, id, now)?;
        Ok(())
    }

    /// Ends one session of a user; gives whether it was still on.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn session_revoke(
        &mut self,
        id: SessionId,
        user_id: UserId,
        now: Timestamp,
    ) -> Result<bool> {
        Ok(execute!(self, SESSION_REVOKE, id, user_id, now)? == 1)
    }

    /// Ends all sessions of a user but one; gives how many.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn session_revoke_user(
        &mut self,
        user_id: UserId,
        except: Option<SessionId>,
        now: Timestamp,
    ) -> Result<u64> {
        execute!(self, SESSION_REVOKE_USER, user_id, now, except)
    }

    /// Deletes up to `limit` sessions that ended before `before`, with their tokens.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn session_trim(&mut self, before: Timestamp, limit: i64) -> Result<u64> {
        execute!(self, SESSION_TRIM, before, limit)
    }

    /// Adds a refresh token, known by its hash.
    ///
    /// # Errors
    /// When the session is gone, or the database refuses.
    pub async fn refresh_insert(
        &mut self,
        hash: &[u8],
        session_id: SessionId,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<()> {
        execute!(self, REFRESH_INSERT, hash, session_id, now, expires_at)?;
        Ok(())
    }

    /// The refresh token with this hash.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn refresh_find(&mut self, hash: &[u8]) -> Result<Option<RefreshRow>> {
        fetch_optional!(self, REFRESH_GET, hash)
    }

    /// Marks a refresh token as used; of several that try at once, exactly one gets `true`.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn refresh_use(&mut self, hash: &[u8], now: Timestamp) -> Result<bool> {
        Ok(execute!(self, REFRESH_USE, hash, now)? == 1)
    }
}
