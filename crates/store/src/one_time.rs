//! Tokens that are used once, the counters of failed sign-ins, and what guests are checked by.

use meetmind_core::{MeetingId, MeetingRole, ParticipantId, ParticipantState, Timestamp, UserId};
use serde_json::Value;
use sqlx::types::Json;

use crate::db::{execute, fetch_optional};
use crate::statements::statements;
use crate::{Conn, Result};

statements! {
    ONE_TIME_INSERT = "INSERT INTO one_time_tokens (hash, purpose, user_id, payload, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)";
    ONE_TIME_GET = "SELECT user_id, payload FROM one_time_tokens WHERE hash = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > $3";
    ONE_TIME_USE = "UPDATE one_time_tokens SET used_at = $3 WHERE hash = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > $3";
    ONE_TIME_DELETE = "DELETE FROM one_time_tokens WHERE purpose = $1 AND (user_id = $2 OR $2 IS NULL)";
    ONE_TIME_TRIM = "DELETE FROM one_time_tokens WHERE hash IN (SELECT hash FROM one_time_tokens WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)";
    THROTTLE_GET = "SELECT failures, blocked_until, updated_at FROM throttles WHERE key = $1";
    THROTTLE_SET = "INSERT INTO throttles (key, failures, blocked_until, updated_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (key) DO UPDATE SET failures = excluded.failures, blocked_until = excluded.blocked_until, updated_at = excluded.updated_at";
    // The row must be there before it is read, so that two first attempts wait for one another.
    THROTTLE_LOCK = "INSERT INTO throttles (key, failures, updated_at) VALUES ($1, 0, $2) ON CONFLICT (key) DO UPDATE SET key = excluded.key";
    THROTTLE_FORGIVE = "UPDATE throttles SET failures = failures - 1, blocked_until = CASE WHEN failures - 1 < $2 THEN NULL ELSE blocked_until END
        WHERE key = $1 AND failures > 0";
    THROTTLE_DELETE = "DELETE FROM throttles WHERE key = $1";
    THROTTLE_TRIM = "DELETE FROM throttles WHERE key IN (SELECT key FROM throttles WHERE updated_at < $1 AND (blocked_until < $2 OR blocked_until IS NULL) ORDER BY key LIMIT $3)";
    GUEST_STATE_GET = "SELECT p.role, p.state, m.archived_at FROM participants p JOIN meetings m ON m.id = p.meeting_id WHERE p.id = $1 AND p.meeting_id = $2";
}

/// What a one-time token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OneTimePurpose {
    /// Making the first administrator.
    Setup,
    /// Setting a password.
    Reset,
    /// Opening a WebSocket.
    WsTicket,
}

impl OneTimePurpose {
    const fn as_str(self) -> &'static str {
        match self {
            OneTimePurpose::Setup => "setup",
            OneTimePurpose::Reset => "reset",
            OneTimePurpose::WsTicket => "ws_ticket",
        }
    }
}

/// Failed attempts of one account or address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Throttle {
    /// Attempts since the last success.
    pub failures: i64,
    /// No attempt is heard before this moment.
    pub blocked_until: Option<Timestamp>,
    /// When the last attempt came.
    pub updated_at: Timestamp,
}

/// Whether a guest is still in the meeting.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct GuestState {
    /// The guest's role now.
    pub role: MeetingRole,
    /// Where the guest stands.
    pub state: ParticipantState,
    /// When the meeting was deleted.
    pub archived_at: Option<Timestamp>,
}

impl Conn {
    /// Adds a one-time token, known by its hash.
    ///
    /// # Errors
    /// When the user is gone, or the database refuses.
    pub async fn one_time_insert(
        &mut self,
        hash: &[u8],
        purpose: OneTimePurpose,
        user_id: Option<UserId>,
        payload: &Value,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<()> {
        execute!(
            self,
            ONE_TIME_INSERT,
            hash,
            purpose.as_str(),
            user_id,
            Json(payload),
            now,
            expires_at
        )?;
        Ok(())
    }

    /// User and payload of a one-time token that can still be used.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn one_time_find(
        &mut self,
        hash: &[u8],
        purpose: OneTimePurpose,
        now: Timestamp,
    ) -> Result<Option<(Option<UserId>, Value)>> {
        let row: Option<(Option<UserId>, Json<Value>)> =
            fetch_optional!(self, ONE_TIME_GET, hash, purpose.as_str(), now)?;
        Ok(row.map(|(user_id, payload)| (user_id, payload.0)))
    }

    /// Uses a one-time token up; of several that try at once, exactly one gets `true`.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn one_time_use(
        &mut self,
        hash: &[u8],
        purpose: OneTimePurpose,
        now: Timestamp,
    ) -> Result<bool> {
        Ok(execute!(self, ONE_TIME_USE, hash, purpose.as_str(), now)? == 1)
    }

    /// Deletes the tokens of a purpose, of one user or of all.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn one_time_delete(
        &mut self,
        purpose: OneTimePurpose,
        user_id: Option<UserId>,
    ) -> Result<u64> {
        execute!(self, ONE_TIME_DELETE, purpose.as_str(), user_id)
    }

    /// Deletes up to `limit` tokens that expired before `before`.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn one_time_trim(&mut self, before: Timestamp, limit: i64) -> Result<u64> {
        execute!(self, ONE_TIME_TRIM, before, limit)
    }

    /// The counter of a key, locked until the end of the transaction.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn throttle_lock(&mut self, key: &str, now: Timestamp) -> Result<Throttle> {
        execute!(self, THROTTLE_LOCK, key, now)?;
        Ok(
            fetch_optional!(self, THROTTLE_GET, key)?.unwrap_or(Throttle {
                failures: 0,
                blocked_until: None,
                updated_at: now,
            }),
        )
    }

    /// The counter of a key, if there is one.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn throttle_find(&mut self, key: &str) -> Result<Option<Throttle>> {
        fetch_optional!(self, THROTTLE_GET, key)
    }

    /// Sets the counter of a key.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn throttle_set(&mut self, key: &str, throttle: Throttle) -> Result<()> {
        execute!(
            self,
            THROTTLE_SET,
            key,
            throttle.failures,
            throttle.blocked_until,
            throttle.updated_at
        )?;
        Ok(())
    }

    /// Takes one attempt back; below `threshold` the key is free again.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn throttle_forgive(&mut self, key: &str, threshold: i64) -> Result<()> {
        execute!(self, THROTTLE_FORGIVE, key, threshold)?;
        Ok(())
    }

    /// Forgets a key.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn throttle_delete(&mut self, key: &str) -> Result<()> {
        execute!(self, THROTTLE_DELETE, key)?;
        Ok(())
    }

    /// Deletes up to `limit` counters that were last touched before `before` and block nothing
    /// at `now`.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn throttle_trim(
        &mut self,
        before: Timestamp,
        now: Timestamp,
        limit: i64,
    ) -> Result<u64> {
        execute!(self, THROTTLE_TRIM, before, now, limit)
    }

    /// Whether a guest is still in the meeting.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn guest_state_find(
        &mut self,
        id: ParticipantId,
        meeting_id: MeetingId,
    ) -> Result<Option<GuestState>> {
        fetch_optional!(self, GUEST_STATE_GET, id, meeting_id)
    }
}
