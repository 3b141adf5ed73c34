//! Answers to repeated requests.

use meetmind_core::Timestamp;

use crate::db::{execute, fetch_optional};
use crate::statements::statements;
use crate::{Conn, Result};

statements! {
    // One row per key: the first insert wins the race. A row is taken over when it has expired, or
    // when the same request began so long ago that its process must have died.
    IDEMPOTENCY_RESERVE = "INSERT INTO idempotency_keys (actor, key, request_hash, status, location, response, created_at)
        VALUES ($1, $2, $3, NULL, NULL, NULL, $4)
        ON CONFLICT (actor, key) DO UPDATE SET request_hash = excluded.request_hash, status = NULL, location = NULL, response = NULL, created_at = excluded.created_at
        WHERE idempotency_keys.created_at < $5
        OR (idempotency_keys.status IS NULL AND idempotency_keys.created_at < $6 AND idempotency_keys.request_hash = excluded.request_hash)";
    IDEMPOTENCY_GET = "SELECT request_hash, status, location, response, created_at FROM idempotency_keys WHERE actor = $1 AND key = $2";
    // Status 0: the work is committed, its answer is not written down yet.
    IDEMPOTENCY_CARRY_OUT = "UPDATE idempotency_keys SET status = 0 WHERE actor = $1 AND key = $2 AND created_at = $3 AND status IS NULL";
    IDEMPOTENCY_COMPLETE = "UPDATE idempotency_keys SET status = $4, location = $5, response = $6
        WHERE actor = $1 AND key = $2 AND created_at = $3 AND (status IS NULL OR status = 0)";
    IDEMPOTENCY_RELEASE = "DELETE FROM idempotency_keys WHERE actor = $1 AND key = $2 AND created_at = $3 AND status IS NULL";
    IDEMPOTENCY_TRIM = "DELETE FROM idempotency_keys WHERE created_at < $1";
}

/// What is known of a request that came before.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct IdempotencyRow {
    /// SHA-256 of the request.
    pub request_hash: Vec<u8>,
    /// The answer's HTTP status; `None` while the request is at work, 0 once its work is committed.
    pub status: Option<i64>,
    /// The answer's `Location`.
    pub location: Option<String>,
    /// The rest of the answer, in the form the wire chose.
    pub response: Option<String>,
    /// When the request came.
    pub created_at: Timestamp,
}

/// A request with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyClaim {
    /// Who asks.
    pub actor: String,
    /// The key.
    pub key: String,
    /// SHA-256 of the request.
    pub request_hash: Vec<u8>,
    /// When the request came; tells this claim from one that takes it over.
    pub created_at: Timestamp,
}

impl Conn {
    /// Reserves a key for a request; gives whether it is this request's now. Rows from before
    /// `expired` count as absent; an unfinished row of the same request from before `abandoned`
    /// is taken over.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn idempotency_reserve(
        &mut self,
        claim: &IdempotencyClaim,
        expired: Timestamp,
        abandoned: Timestamp,
    ) -> Result<bool> {
        let changed = execute!(
            self,
            IDEMPOTENCY_RESERVE,
            &claim.actor,
            &claim.key,
            &claim.request_hash,
            claim.created_at,
            expired,
            abandoned
        )?;
        Ok(changed == 1)
    }

    /// What is known of a key.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn idempotency_find(
        &mut self,
        actor: &str,
        key: &str,
    ) -> Result<Option<IdempotencyRow>> {
        fetch_optional!(self, IDEMPOTENCY_GET, actor, key)
    }

    /// Notes, in the transaction of the work itself, that a request was carried out.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn idempotency_carry_out(
        &mut self,
        actor: &str,
        key: &str,
        created_at: Timestamp,
    ) -> Result<()> {
        execute!(self, IDEMPOTENCY_CARRY_OUT, actor, key, created_at)?;
        Ok(())
    }

    /// Keeps the answer, if the claim is still this request's.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn idempotency_complete(
        &mut self,
        claim: &IdempotencyClaim,
        status: i64,
        location: Option<&str>,
        response: &str,
    ) -> Result<bool> {
        let changed = execute!(
            self,
            IDEMPOTENCY_COMPLETE,
            &claim.actor,
            &claim.key,
            claim.created_at,
            status,
            location,
            response
        )?;
        if changed == 1 {
            self.answer_mentions_insert(&claim.actor, &claim.key, location, response)
                .await?;
        }
        Ok(changed == 1)
    }

    /// Gives a key back, because the request failed in a way that a repetition may mend.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn idempotency_release(&mut self, claim: &IdempotencyClaim) -> Result<()> {
        execute!(
            self,
            IDEMPOTENCY_RELEASE,
            &claim.actor,
            &claim.key,
            claim.created_at
        )?;
        Ok(())
    }

    /// Deletes rows from before `before`; gives how many.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn idempotency_trim(&mut self, before: Timestamp) -> Result<u64> {
        execute!(self, IDEMPOTENCY_TRIM, before)
    }
}
