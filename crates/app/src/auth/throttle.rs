//! Waiting after failed attempts, by account and by address.

use std::net::IpAddr;
use std::time::Duration;

use meetmind_core::{Code, Ctx, Error, Result};
use meetmind_store::Throttle;
use serde_json::json;

use super::{digest, hex};
use crate::App;

/// Nobody waits longer: a lock without end would let a stranger shut an owner out.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// After this time without an attempt the count begins anew.
pub(crate) const QUIET: Duration = Duration::from_secs(15 * 60);

/// As many accounts may fail at their limit before a whole address waits: an office behind one
/// address signs in at nine, and each attempt counts until it has succeeded.
const ACCOUNTS_OF_AN_ADDRESS: i64 = 10;

/// After how many failures on a counter waiting begins; `login_attempts` is that of an account.
fn threshold(key: &str, login_attempts: i64) -> i64 {
    let attempts = login_attempts.max(1);
    if key.starts_with("account:") {
        attempts
    } else {
        attempts.saturating_mul(ACCOUNTS_OF_AN_ADDRESS)
    }
}

/// The counters that an attempt on `account` counts on. What people typed as an address is not
/// kept: the key holds its hash.
fn keys(ctx: &Ctx, account: &str) -> Vec<String> {
    let mut keys = vec![account_key(account)];
    if let Some(address) = &ctx.address {
        keys.push(format!("address:{}", network(address)));
    }
    keys
}

fn account_key(account: &str) -> String {
    format!("account:{}", hex(&digest(account.as_bytes())))
}

/// One household or office has a whole /64 of IPv6.
pub(crate) fn network(address: &str) -> String {
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) => {
            let [a, b, c, d, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        _ => address.to_owned(),
    }
}

/// How long to wait after so many failures; nothing below the threshold, then 1, 2, 4 … seconds.
pub(crate) fn wait(failures: i64, threshold: i64) -> Option<Duration> {
    let over = u64::try_from(failures.checked_sub(threshold)?).ok()?;
    let seconds = 1u64 << over.min(20);
    Some(Duration::from_secs(seconds).min(LONGEST))
}

impl App {
    /// Counts an attempt before its outcome is known, so that many at once do not slip through.
    ///
    /// # Errors
    /// `TOO_MANY_ATTEMPTS` with `retry_after_s`.
    pub(super) async fn attempt_begin(&self, ctx: &Ctx, account: &str) -> Result<()> {
        let mut change = self.change(ctx).await?;
        let mut counters = Vec::new();
        for key in keys(ctx, account) {
            let found = change.throttle_lock(&key, ctx.now).await?;
            counters.push((key, found));
        }
        let until = counters
            .iter()
            .filter_map(|(_, found)| found.blocked_until)
            .max();
        if let Some(until) = until.filter(|until| *until > ctx.now) {
            metrics::counter!("meetmind_auth_failures_total", "reason" => "TOO_MANY_ATTEMPTS")
                .increment(1);
            let seconds = (until.millis_since(ctx.now) + 999) / 1000;
            let error = Error::new(
                Code::TooManyAttempts,
                "too many failed attempts: wait before trying again",
            );
            return Err(error.with_details(json!({ "retry_after_s": seconds.max(1) })));
        }
        for (key, found) in counters {
            let threshold = threshold(&key, self.settings().auth.login_attempts);
            let counted = if found.updated_at.plus(QUIET) < ctx.now {
                1
            } else {
                found.failures + 1
            };
            let next = Throttle {
                failures: counted,
                blocked_until: wait(counted, threshold).map(|time| ctx.now.plus(time)),
                updated_at: ctx.now,
            };
            change.throttle_set(&key, next).await?;
            if counted == threshold {
                tracing::warn!(request_id = %ctx.request_id, failures = counted, "a burst of failed sign-ins");
                let details = json!({ "attempts": counted });
                change.audit("sign_in.slowed", &key, details).await?;
            }
        }
        change.commit().await
    }

    /// Takes back what [`App::attempt_begin`] counted, because the attempt succeeded.
    pub(super) async fn attempt_succeed(
        &self,
        change: &mut crate::Change<'_>,
        ctx: &Ctx,
        account: &str,
    ) -> Result<()> {
        for key in keys(ctx, account) {
            if key.starts_with("account:") {
                change.throttle_delete(&key).await?;
            } else {
                let threshold = threshold(&key, self.settings().auth.login_attempts);
                change.throttle_forgive(&key, threshold).await?;
            }
        }
        Ok(())
    }

    /// Forgets the failures of an account, because its password was set anew.
    pub(crate) async fn attempts_forget(
        &self,
        change: &mut crate::Change<'_>,
        account: &str,
    ) -> Result<()> {
        Ok(change.throttle_delete(&account_key(account)).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_doubles_and_ends() {
        let waits: Vec<_> = (8..14)
            .map(|failures| wait(failures, 10).map(|time| time.as_secs()))
            .collect();
        assert_eq!(waits, [None, None, Some(1), Some(2), Some(4), Some(8)]);
        assert_eq!(wait(1_000, 10), Some(LONGEST));
    }

    #[test]
    fn a_household_counts_as_one_address() {
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), network("2001:db8:1:2::9"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
