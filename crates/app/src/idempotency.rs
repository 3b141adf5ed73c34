//! Repeated requests: which one runs, and what the others are told.

use std::time::Duration;

use meetmind_core::{Actor, Code, Ctx, Error, Grant, Proof, Result};
use meetmind_store::{IdempotencyClaim, IdempotencyRow};

use crate::App;
use crate::meetings::meeting_access;

/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(86_400);
/// After this time an unfinished request is taken for dead: no request runs so long.
const ABANDONED: Duration = Duration::from_secs(60);
/// The longest key.
const KEY_MAX: usize = 255;

/// What becomes of a request with a key.
#[derive(Debug)]
pub enum Repetition {
    /// It is the first: run it, then call [`App::idempotency_end`].
    First(IdempotencyClaim),
    /// It was answered before.
    Answered(IdempotencyRow),
}

impl App {
    /// Reserves `key` for a request of the caller; `request_hash` is the SHA-256 of all that
    /// makes it this request.
    ///
    /// # Errors
    /// `VALIDATION_FAILED` for a key that is not 1 to 255 visible ASCII characters,
    /// `IDEMPOTENCY_MISMATCH` for another request under the key, `IDEMPOTENCY_IN_PROGRESS`.
    pub async fn idempotency_begin(
        &self,
        ctx: &Ctx,
        key: &str,
        request_hash: Vec<u8>,
    ) -> Result<Repetition> {
        idempotency_key(key, 1)?;
        let claim = IdempotencyClaim {
            actor: owner(&ctx.actor),
            key: key.to_owned(),
            request_hash,
            created_at: ctx.now,
        };
        let mut tx = self.store().begin().await?;
        let won = tx
            .idempotency_reserve(&claim, ctx.now.minus(KEPT), ctx.now.minus(ABANDONED))
            .await?;
        if won {
            tx.commit().await?;
            return Ok(Repetition::First(claim));
        }
        let row = tx.idempotency_find(&claim.actor, key).await?;
        match row {
            Some(row) if row.request_hash != claim.request_hash => Err(Error::new(
                Code::IdempotencyMismatch,
                "the idempotency key was used with another request",
            )),
            Some(row) if is_over(&row, ctx) => Ok(Repetition::Answered(row)),
            // At work, or given back this very moment: in both cases, try again.
            _ => Err(Error::new(
                Code::IdempotencyInProgress,
                "a request with this idempotency key is still at work",
            )
            .with_details(serde_json::json!({ "retry_after_s": 1 }))),
        }
    }

    /// Fails when the caller may no longer do what the policy allowed when the kept answer was
    /// given: it may hold what is not the caller's to read any more.
    ///
    /// # Errors
    /// What the request itself would be refused with now.
    pub async fn idempotency_recheck(&self, ctx: &Ctx, granted: &[Grant]) -> Result<()> {
        let mut conn = self.store().read().await?;
        for (meeting_id, action) in granted {
            meeting_access(&mut conn, ctx, *meeting_id, *action).await?;
        }
        Ok(())
    }

    /// Keeps the answer of a request (`status`, `location`, the rest), or with `None` gives the
    /// key back, because a repetition may go better; the key of a request whose work is done is
    /// never given back.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn idempotency_end(
        &self,
        claim: &IdempotencyClaim,
        answer: Option<(u16, Option<String>, String)>,
    ) -> Result<()> {
        let mut tx = self.store().begin().await?;
        match answer {
            Some((status, location, response)) => {
                tx.idempotency_complete(claim, i64::from(status), location.as_deref(), &response)
                    .await?;
            }
            None => {
                tx.idempotency_release(claim).await?;
                tx.idempotency_complete(claim, 0, None, "").await?;
            }
        }
        Ok(tx.commit().await?)
    }
}

/// Whether a request is over: answered, or done so long ago that its process must have died
/// before it could keep the answer.
fn is_over(row: &IdempotencyRow, ctx: &Ctx) -> bool {
    match row.status {
        None => false,
        Some(0) => row.response.is_some() || row.created_at.plus(ABANDONED) < ctx.now,
        Some(_) => true,
    }
}

/// Holds a key to its rules.
pub(crate) fn idempotency_key(key: &str, shortest: usize) -> Result<()> {
    let fits = (shortest..=KEY_MAX).contains(&key.len());
    if fits && key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(Error::invalid(
        "Idempotency-Key",
        format!("must be {shortest} to {KEY_MAX} visible ASCII characters"),
    ))
}

/// Whose key it is. A key for programs does not see what its owner's session was answered: it
/// may have fewer scopes.
fn owner(actor: &Actor) -> String {
    match actor {
        Actor::User {
            proof: Proof::ApiKey(id, _),
            ..
        } => format!("{}/{id}", actor.key()),
        _ => actor.key(),
    }
}
