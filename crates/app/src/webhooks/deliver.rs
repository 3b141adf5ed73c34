//! Sending one delivery, and what follows from the answer.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use meetmind_core::{
    Ctx, Delivery, DeliveryAttempt, DeliveryId, DeliveryStatus, Error, Result, Timestamp, Webhook,
};
use serde::Deserialize;
use sha2::Sha256;

use super::SECRET_PREFIX;
use crate::App;
use crate::jobs::Lane;

/// How long after a failed try the next one comes. The first try is immediate, so there are
/// eight in all, over 27 and a half hours.
const SCHEDULE: [Duration; 7] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(10 * 3600),
    Duration::from_secs(10 * 3600),
];
/// After nothing but failures for so long, the webhook is switched off.
const PATIENCE: Duration = Duration::from_secs(5 * 86_400);

/// What the job knows.
#[derive(Debug, Deserialize)]
struct Task {
    delivery_id: DeliveryId,
    attempt: i64,
}

impl App {
    /// Makes one try of a delivery; `payload` is that of its job: `{"delivery_id", "attempt"}`.
    /// Run twice for the same try, it does nothing the second time. The next try is a new job.
    ///
    /// # Errors
    /// When the payload is not such, or the database fails; a failing endpoint is no error.
    pub async fn webhook_deliver(&self, ctx: &Ctx, payload: &serde_json::Value) -> Result<()> {
        let task = Task::deserialize(payload).map_err(Error::internal)?;
        let found = self
            .store()
            .read()
            .await?
            .delivery_target_find(task.delivery_id)
            .await?;
        let Some((delivery, endpoint)) = found else {
            return Ok(());
        };
        if delivery.status != DeliveryStatus::Pending || delivery.attempts != task.attempt {
            return Ok(());
        }
        let started = std::time::Instant::now();
        let outcome = if endpoint.webhook.enabled {
            self.delivery_send(&delivery, &endpoint.webhook, &endpoint.secret)
                .await
        } else {
            Err("the webhook is switched off".to_owned())
        };
        let duration_ms = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.delivery_settle(ctx, delivery, outcome, duration_ms)
            .await
    }

    /// Posts the signed body; gives the status, or why there is none.
    async fn delivery_send(
        &self,
        delivery: &Delivery,
        webhook: &Webhook,
        secret: &str,
    ) -> std::result::Result<u16, String> {
        let body = delivery.payload.to_string();
        let id = delivery.id.to_string();
        let timestamp = self.now().seconds();
        let signature = signature(secret, &id, timestamp, &body)
            .ok_or_else(|| "the secret cannot be read".to_owned())?;
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("webhook-id", id),
            ("webhook-timestamp", timestamp.to_string()),
            ("webhook-signature", signature),
        ];
        match self.inner.outbound.post(&webhook.url, &headers, body).await {
            Ok(answer) => {
                tracing::debug!(delivery_id = %delivery.id, status = answer.status, answer_bytes = answer.body.len(), "webhook answered");
                Ok(answer.status)
            }
            Err(error) => Err(error.message.into_owned()),
        }
    }

    /// Writes down how the try went and what comes next.
    async fn delivery_settle(
        &self,
        ctx: &Ctx,
        before: Delivery,
        outcome: std::result::Result<u16, String>,
        duration_ms: i64,
    ) -> Result<()> {
        let now = self.now().max(ctx.now);
        let mut change = self.change(ctx).await?;
        // The webhook may have changed while the answer was awaited.
        let Some((_, endpoint)) = change.delivery_target_find(before.id).await? else {
            return Ok(());
        };
        let delivered = matches!(outcome, Ok(200..=299));
        let next = next_try(before.attempts + 1, now)
            .filter(|_| !delivered && outcome != Ok(410) && endpoint.webhook.enabled);
        let delivery = Delivery {
            status: match (delivered, next) {
                (true, _) => DeliveryStatus::Delivered,
                (false, Some(_)) => DeliveryStatus::Pending,
                (false, None) => DeliveryStatus::Failed,
            },
            attempts: before.attempts + 1,
            next_attempt_at: next,
            updated_at: now,
            ..before
        };
        if !change.delivery_set(&delivery, before.attempts).await? {
            return Ok(());
        }
        let attempt = DeliveryAttempt {
            id: self.id(ctx),
            delivery_id: delivery.id,
            status_code: outcome.as_ref().ok().map(|status| i64::from(*status)),
            error: outcome.as_ref().err().cloned(),
            duration_ms,
            at: now,
        };
        change.delivery_attempt_insert(&attempt).await?;
        let health = health_after(endpoint.webhook.clone(), &outcome, now);
        if health != endpoint.webhook {
            change.webhook_health_set(&health).await?;
            if !health.enabled {
                tracing::info!(webhook_id = %health.id, "a webhook was switched off because it kept failing");
                change
                    .audit("webhook.disabled", health.id, serde_json::json!({}))
                    .await?;
            }
        }
        if let Some(at) = next {
            change
                .job_insert(&self.delivery_job(ctx, &delivery, at))
                .await?;
            change.wake_worker(Lane::Deliveries);
        }
        change.commit().await
    }
}

/// When to try again after `attempts` tries; `None` when that was the last.
fn next_try(attempts: i64, now: Timestamp) -> Option<Timestamp> {
    let index = usize::try_from(attempts).ok()?.checked_sub(1)?;
    SCHEDULE.get(index).map(|wait| now.plus(*wait))
}

/// The webhook as a try leaves it: `410 Gone` switches it off at once, failing for days in the end.
fn health_after(
    mut webhook: Webhook,
    outcome: &std::result::Result<u16, String>,
    now: Timestamp,
) -> Webhook {
    if !webhook.enabled {
        return webhook;
    }
    if matches!(outcome, Ok(200..=299)) {
        webhook.failing_since = None;
        return webhook;
    }
    let since = *webhook.failing_since.get_or_insert(now);
    if *outcome == Ok(410) || since <= now.minus(PATIENCE) {
        webhook.enabled = false;
        webhook.disabled_at = Some(now);
    }
    webhook
}

/// The `webhook-signature` header of Standard Webhooks; `None` when the secret is none of ours.
fn signature(secret: &str, id: &str, timestamp: i64, body: &str) -> Option<String> {
    let key = BASE64.decode(secret.strip_prefix(SECRET_PREFIX)?).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    Some(format!("v1,{}", BASE64.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use meetmind_core::{Id, UserId, WebhookId};

    fn webhook() -> Webhook {
        Webhook {
            id: WebhookId::from_uuid(uuid::Uuid::from_u128(1)),
            user_id: UserId::from_uuid(uuid::Uuid::from_u128(2)),
            url: "https://example.com/".to_owned(),
            events: vec!["*".to_owned()],
            enabled: true,
            disabled_at: None,
            failing_since: None,
            created_at: Timestamp::from_seconds(0),
            updated_at: Timestamp::from_seconds(0),
        }
    }

    #[test]
    fn the_signature_is_that_of_the_specification() {
        // The example of the Standard Webhooks specification and its libraries.
        let body = r#"{"test": 2432232314}"#;
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        assert_eq!(
            signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body).as_deref(),
            Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        );
        assert_eq!(signature("other", "msg_1", 0, body), None);
    }

    #[test]
    fn eight_tries_and_no_more() {
        let now = Timestamp::from_seconds(1000);
        assert_eq!(next_try(1, now), Some(Timestamp::from_seconds(1005)));
        assert_eq!(next_try(2, now), Some(Timestamp::from_seconds(1300)));
        assert_eq!(next_try(7, now), Some(Timestamp::from_seconds(37_000)));
        assert_eq!(next_try(8, now), None);
    }

    #[test]
    fn five_days_of_failures_switch_it_off_and_one_success_forgives() {
        let day = |number: i64| Timestamp::from_seconds(number * 86_400);
        let failing = health_after(webhook(), &Ok(500), day(1));
        assert_eq!(
            (failing.enabled, failing.failing_since),
            (true, Some(day(1)))
        );
        let still = health_after(failing.clone(), &Err("no answer".to_owned()), day(5));
        assert!(still.enabled);
        let off = health_after(still.clone(), &Ok(302), day(6));
        assert_eq!((off.enabled, off.disabled_at), (false, Some(day(6))));
        assert_eq!(health_after(still, &Ok(204), day(6)).failing_since, None);
        assert!(!health_after(webhook(), &Ok(410), day(1)).enabled);
    }
}
