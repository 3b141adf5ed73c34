//! What holds strangers back at the door: wrong codes wait, and guests are counted.
//!
//! A guest has nothing that could be recognised but the address they come from, so that is what
//! is counted, an IPv6 network as one. A code has 80 bits; the waiting only keeps guessing from
//! costing us more than the guesser.

use std::time::Duration;

use meetmind_core::{Code, Ctx, Error, MeetingId, Participant, Result};
use meetmind_store::{IdempotencyClaim, Throttle};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::MeetingJoin;
use crate::auth::throttle::{QUIET, network, wait};
use crate::idempotency::idempotency_key;
use crate::{App, Change};

const HOUR: Duration = Duration::from_secs(3600);
/// Nobody in particular owns a guest's key, so it must be one that nobody else thinks of.
const KEY_MIN: usize = 16;
/// How long a guest's request can be repeated.
const REPEATED: Duration = Duration::from_secs(86_400);

/// The counters of wrong codes that a caller counts on.
fn code_keys(ctx: &Ctx) -> Vec<String> {
    let user = ctx.actor.user_id().map(|id| format!("code:{id}"));
    let address = ctx.address.as_deref();
    let address = address.map(|address| format!("code:{}", network(address)));
    user.into_iter().chain(address).collect()
}

impl App {
    /// Fails while the caller has to wait after wrong invitation codes.
    ///
    /// # Errors
    /// `TOO_MANY_ATTEMPTS` with current, limit and reset.
    pub(crate) async fn codes_check(&self, ctx: &Ctx) -> Result<()> {
        let mut conn = self.store().read().await?;
        for key in code_keys(ctx) {
            let Some(found) = conn.throttle_find(&key).await? else {
                continue;
            };
            if let Some(until) = found.blocked_until.filter(|until| *until > ctx.now) {
                return Err(Error::new(
                    Code::TooManyAttempts,
                    "too many wrong invitation codes: wait before trying again",
                )
                .with_details(json!({
                    "current": found.failures,
                    "limit": self.settings().auth.login_attempts,
                    "reset": until,
                    "retry_after_s": until.seconds() - ctx.now.seconds() + 1,
                })));
            }
        }
        Ok(())
    }

    /// Counts a wrong invitation code.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn code_failed(&self, ctx: &Ctx) -> Result<()> {
        let threshold = self.settings().auth.login_attempts.max(1);
        let mut change = self.change(ctx).await?;
        for key in code_keys(ctx) {
            let found = change.throttle_lock(&key, ctx.now).await?;
            let failures = if found.updated_at.plus(QUIET) < ctx.now {
                1
            } else {
                found.failures + 1
            };
            let next = Throttle {
                failures,
                blocked_until: wait(failures, threshold).map(|time| ctx.now.plus(time)),
                updated_at: ctx.now,
            };
            change.throttle_set(&key, next).await?;
            if failures == threshold {
                tracing::warn!(request_id = %ctx.request_id, failures, "a burst of wrong invitation codes");
                let details = json!({ "attempts": failures });
                change.audit("invite_code.slowed", &key, details).await?;
            }
        }
        change.commit().await
    }

    /// Whether one more guest may come in, into this meeting and from this address; counts it.
    ///
    /// # Errors
    /// `QUOTA_EXCEEDED`, `RATE_LIMITED`, both with current, limit and reset.
    pub(super) async fn guest_check(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        id: MeetingId,
    ) -> Result<()> {
        let guests = &self.settings().guests;
        let current = change.participant_count_guests(id).await?;
        if current >= guests.per_meeting {
            return Err(Error::new(
                Code::QuotaExceeded,
                format!("the meeting has as many guests as it may: {current}"),
            )
            .with_details(json!({ "quota": "guests_per_meeting", "current": current, "limit": guests.per_meeting, "reset": null })));
        }
        let Some(address) = &ctx.address else {
            return Ok(());
        };
        let key = format!("guests:{}", network(address));
        let found = change.throttle_lock(&key, ctx.now).await?;
        let (count, reset) = match found.blocked_until.filter(|end| *end > ctx.now) {
            Some(end) => (found.failures, end),
            None => (0, ctx.now.plus(HOUR)),
        };
        if count >= guests.per_address_and_hour {
            return Err(Error::new(
                Code::RateLimited,
                "too many guests came from this address: wait before trying again",
            )
            .with_details(json!({
                "quota": "guests_per_address_and_hour",
                "current": count,
                "limit": guests.per_address_and_hour,
                "reset": reset,
                "retry_after_s": reset.seconds() - ctx.now.seconds() + 1,
            })));
        }
        let next = Throttle {
            failures: count + 1,
            blocked_until: Some(reset),
            updated_at: ctx.now,
        };
        Ok(change.throttle_set(&key, next).await?)
    }

    /// The guest that this request made before, when it is a repetition and the guest is still
    /// on the list.
    ///
    /// # Errors
    /// `IDEMPOTENCY_MISMATCH`, `VALIDATION_FAILED` for a key that others could think of.
    pub(super) async fn guest_again(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        id: MeetingId,
        join: &MeetingJoin,
    ) -> Result<Option<Participant>> {
        let Some(claim) = guest_claim(ctx, id, join)? else {
            return Ok(None);
        };
        let found = change.idempotency_find(&claim.actor, &claim.key).await?;
        let Some(row) = found.filter(|row| row.created_at.plus(REPEATED) > ctx.now) else {
            return Ok(None);
        };
        if row.request_hash != claim.request_hash {
            return Err(Error::new(
                Code::IdempotencyMismatch,
                "the idempotency key was used with another request",
            ));
        }
        let made = row
            .location
            .as_deref()
            .and_then(|text| text.rsplit('/').next());
        let Some(made) = made.and_then(|text| text.parse().ok()) else {
            return Ok(None);
        };
        match change.participant_get(id, made).await {
            Ok(guest) => Ok(Some(guest)),
            Err(meetmind_store::Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps which guest a request made, in the transaction that makes the guest.
    pub(super) async fn guest_remember(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        guest: &Participant,
        join: &MeetingJoin,
    ) -> Result<()> {
        let Some(claim) = guest_claim(ctx, guest.meeting_id, join)? else {
            return Ok(());
        };
        // Whatever stood under the key is over: the meeting is locked, and it was looked at.
        let later = ctx.now.plus(Duration::from_micros(1));
        change.idempotency_reserve(&claim, later, later).await?;
        let made = format!(
            "/api/meetings/{}/participants/{}",
            guest.meeting_id, guest.id
        );
        change
            .idempotency_complete(&claim, 200, Some(&made), "")
            .await?;
        Ok(())
    }
}

/// What a guest's request is known by: a guest has no account, so the key counts per meeting.
fn guest_claim(ctx: &Ctx, id: MeetingId, join: &MeetingJoin) -> Result<Option<IdempotencyClaim>> {
    let Some(key) = &join.once else {
        return Ok(None);
    };
    idempotency_key(key, KEY_MIN)?;
    let mut hash = Sha256::new();
    for part in [&join.name, &join.invite_code] {
        hash.update(part.as_deref().unwrap_or_default().as_bytes());
        hash.update([0]);
    }
    Ok(Some(IdempotencyClaim {
        actor: format!("guests of {id}"),
        key: key.clone(),
        request_hash: hash.finalize().to_vec(),
        created_at: ctx.now,
    }))
}
