//! Webhooks, the events on their way to them, and every try.

use meetmind_core::{
    Delivery, DeliveryAttempt, DeliveryId, MeetingId, Timestamp, UserId, Webhook, WebhookId,
};
use sqlx::types::Json;

use crate::db::{execute, fetch_all, fetch_one, fetch_optional};
use crate::statements::statements;
use crate::{Conn, Error, Result};

macro_rules! webhook_columns {
    () => {
        "w.id, w.user_id, w.url, w.events, w.enabled, w.disabled_at, w.failing_since, w.created_at, w.updated_at"
    };
}

macro_rules! delivery_columns {
    () => {
        "d.id, d.webhook_id, d.event_type, d.payload, d.status, d.attempts, d.next_attempt_at, d.created_at, d.updated_at"
    };
}

statements! {
    WEBHOOK_INSERT = "INSERT INTO webhooks (id, user_id, url, secret, events, enabled, disabled_at, failing_since, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    WEBHOOK_GET = concat!("SELECT ", webhook_columns!(), " FROM webhooks w WHERE w.user_id = $1 AND w.id = $2");
    WEBHOOK_LIST = concat!("SELECT ", webhook_columns!(), " FROM webhooks w WHERE w.user_id = $1 AND (w.id < $2 OR $2 IS NULL) ORDER BY w.id DESC LIMIT $3");
    WEBHOOK_COUNT = "SELECT COUNT(*) FROM webhooks WHERE user_id = $1";
    WEBHOOK_UPDATE = "UPDATE webhooks SET url = $2, events = $3, enabled = $4, disabled_at = $5, failing_since = $6, updated_at = $7 WHERE id = $1";
    WEBHOOK_HEALTH_SET = "UPDATE webhooks SET enabled = $2, disabled_at = $3, failing_since = $4 WHERE id = $1";
    WEBHOOK_SECRET_SET = "UPDATE webhooks SET secret = $2, updated_at = $3 WHERE id = $1";
    WEBHOOK_DELETE = "DELETE FROM webhooks WHERE id = $1";
    WEBHOOK_ANY = "SELECT 1 FROM webhooks WHERE enabled LIMIT 1";
    WEBHOOKS_OF_USER = "SELECT id, events FROM webhooks WHERE user_id = $1 AND enabled ORDER BY id";
    // Who waits at the door sees nothing of what is behind it, unless it is their own meeting.
    WEBHOOKS_OF_MEETING = "SELECT w.id, w.events FROM webhooks w JOIN participants p ON p.user_id = w.user_id
        WHERE p.meeting_id = $1 AND w.enabled AND p.state <> 'removed' AND (p.state <> 'waiting' OR p.role IN ('host', 'cohost')) ORDER BY w.id";
    DELIVERY_INSERT = "INSERT INTO deliveries (id, webhook_id, event_type, payload, status, attempts, next_attempt_at, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    DELIVERY_GET = concat!("SELECT ", delivery_columns!(), " FROM deliveries d WHERE d.webhook_id = $1 AND d.id = $2");
    DELIVERY_LIST = concat!("SELECT ", delivery_columns!(), " FROM deliveries d WHERE d.webhook_id = $1 AND (d.id < $2 OR $2 IS NULL) ORDER BY d.id DESC LIMIT $3");
    DELIVERY_FIND = concat!("SELECT ", delivery_columns!(), " FROM deliveries d WHERE d.id = $1");
    DELIVERY_ENDPOINT = concat!("SELECT ", webhook_columns!(), ", w.secret FROM webhooks w WHERE w.id = $1");
    DELIVERY_SET = "UPDATE deliveries SET status = $2, attempts = $3, next_attempt_at = $4, updated_at = $5 WHERE id = $1 AND attempts = $6";
    DELIVERY_TRIM = "DELETE FROM deliveries WHERE created_at < $1";
    ATTEMPT_INSERT = "INSERT INTO delivery_attempts (id, delivery_id, status_code, error, duration_ms, at) VALUES ($1, $2, $3, $4, $5, $6)";
    ATTEMPT_LIST = "SELECT id, delivery_id, status_code, error, duration_ms, at FROM delivery_attempts WHERE delivery_id = $1 ORDER BY id DESC LIMIT $2";
}

/// A webhook with the secret that signs what goes to it.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct WebhookWithSecret {
    /// The endpoint.
    #[sqlx(flatten)]
    pub webhook: Webhook,
    /// `whsec_` and base64.
    pub secret: String,
}

/// A webhook and the event types it wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookInterest {
    /// The endpoint.
    pub id: WebhookId,
    /// Event types; `*` for all.
    pub events: Vec<String>,
}

impl Conn {
    /// Adds a webhook.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn webhook_insert(&mut self, w: &Webhook, secret: &str) -> Result<()> {
        execute!(
            self,
            WEBHOOK_INSERT,
            w.id,
            w.user_id,
            &w.url,
            secret,
            Json(&w.events),
            w.enabled,
            w.disabled_at,
            w.failing_since,
            w.created_at,
            w.updated_at
        )?;
        Ok(())
    }

    /// One webhook of a user.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database cannot be reached.
    pub async fn webhook_get(&mut self, user_id: UserId, id: WebhookId) -> Result<Webhook> {
        fetch_optional!(self, WEBHOOK_GET, user_id, id)?.ok_or(Error::NotFound("webhook"))
    }

    /// A user's webhooks, newest first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn webhook_list(
        &mut self,
        user_id: UserId,
        before: Option<WebhookId>,
        limit: i64,
    ) -> Result<Vec<Webhook>> {
        fetch_all!(self, WEBHOOK_LIST, user_id, before, limit)
    }

    /// How many webhooks a user has.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn webhook_count(&mut self, user_id: UserId) -> Result<i64> {
        let (count,): (i64,) = fetch_one!(self, WEBHOOK_COUNT, user_id)?;
        Ok(count)
    }

    /// Writes address, event types and state.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn webhook_update(&mut self, w: &Webhook) -> Result<()> {
        execute!(
            self,
            WEBHOOK_UPDATE,
            w.id,
            &w.url,
            Json(&w.events),
            w.enabled,
            w.disabled_at,
            w.failing_since,
            w.updated_at
        )?;
        Ok(())
    }

    /// Writes only whether it works, so that a change of its owner at the same time stays.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn webhook_health_set(&mut self, w: &Webhook) -> Result<()> {
        execute!(
            self,
            WEBHOOK_HEALTH_SET,
            w.id,
            w.enabled,
            w.disabled_at,
            w.failing_since
        )?;
        Ok(())
    }

    /// Replaces the secret.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn webhook_secret_set(
        &mut self,
        id: WebhookId,
        secret: &str,
        now: Timestamp,
    ) -> Result<()> {
        execute!(self, WEBHOOK_SECRET_SET, id, secret, now)?;
        Ok(())
    }

    /// Deletes a webhook with its deliveries.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn webhook_delete(&mut self, id: WebhookId) -> Result<()> {
        execute!(self, WEBHOOK_DELETE, id)?;
        Ok(())
    }

    /// Whether anybody has a webhook that is switched on.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn webhook_any_enabled(&mut self) -> Result<bool> {
        let row: Option<(i32,)> = fetch_optional!(self, WEBHOOK_ANY)?;
        Ok(row.is_some())
    }

    /// The working webhooks of a user.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn webhook_interests_of_user(
        &mut self,
        user_id: UserId,
    ) -> Result<Vec<WebhookInterest>> {
        let rows: Vec<(WebhookId, Json<Vec<String>>)> =
            fetch_all!(self, WEBHOOKS_OF_USER, user_id)?;
        Ok(interests(rows))
    }

    /// The working webhooks of all who take part in a meeting.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn webhook_interests_of_meeting(
        &mut self,
        meeting_id: MeetingId,
    ) -> Result<Vec<WebhookInterest>> {
        let rows: Vec<(WebhookId, Json<Vec<String>>)> =
            fetch_all!(self, WEBHOOKS_OF_MEETING, meeting_id)?;
        Ok(interests(rows))
    }

    /// Adds an event on its way to a webhook.
    ///
    /// # Errors
    /// When the webhook is gone, or the database refuses.
    pub async fn delivery_insert(&mut self, d: &Delivery) -> Result<()> {
        execute!(
            self,
            DELIVERY_INSERT,
            d.id,
            d.webhook_id,
            &d.event_type,
            Json(&d.payload),
            d.status,
            d.attempts,
            d.next_attempt_at,
            d.created_at,
            d.updated_at
        )?;
        self.delivery_mentions_insert(d.id, &d.payload.to_string())
            .await
    }

    /// One delivery of a webhook.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database cannot be reached.
    pub async fn delivery_get(
        &mut self,
        webhook_id: WebhookId,
        id: DeliveryId,
    ) -> Result<Delivery> {
        fetch_optional!(self, DELIVERY_GET, webhook_id, id)?.ok_or(Error::NotFound("delivery"))
    }

    /// A webhook's deliveries, newest first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn delivery_list(
        &mut self,
        webhook_id: WebhookId,
        before: Option<DeliveryId>,
        limit: i64,
    ) -> Result<Vec<Delivery>> {
        fetch_all!(self, DELIVERY_LIST, webhook_id, before, limit)
    }

    /// A delivery with its endpoint and secret; `None` when either was deleted.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn delivery_target_find(
        &mut self,
        id: DeliveryId,
    ) -> Result<Option<(Delivery, WebhookWithSecret)>> {
        let delivery: Option<Delivery> = fetch_optional!(self, DELIVERY_FIND, id)?;
        let Some(delivery) = delivery else {
            return Ok(None);
        };
        let endpoint: Option<WebhookWithSecret> =
            fetch_optional!(self, DELIVERY_ENDPOINT, delivery.webhook_id)?;
        Ok(endpoint.map(|endpoint| (delivery, endpoint)))
    }

    /// Writes where a delivery stands, if it was tried `attempts_before` times until now; gives
    /// whether it was.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn delivery_set(&mut self, d: &Delivery, attempts_before: i64) -> Result<bool> {
        let changed = execute!(
            self,
            DELIVERY_SET,
            d.id,
            d.status,
            d.attempts,
            d.next_attempt_at,
            d.updated_at,
            attempts_before
        )?;
        Ok(changed == 1)
    }

    /// Deletes deliveries from before `before`, with their tries; gives how many.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn delivery_trim(&mut self, before: Timestamp) -> Result<u64> {
        execute!(self, DELIVERY_TRIM, before)
    }

    /// Adds a try.
    ///
    /// # Errors
    /// When the delivery is gone, or the database refuses.
    pub async fn delivery_attempt_insert(&mut self, a: &DeliveryAttempt) -> Result<()> {
        execute!(
            self,
            ATTEMPT_INSERT,
            a.id,
            a.delivery_id,
            a.status_code,
            &a.error,
            a.duration_ms,
            a.at
        )?;
        Ok(())
    }

    /// The tries of a delivery, newest first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn delivery_attempt_list(
        &mut self,
        delivery_id: DeliveryId,
        limit: i64,
    ) -> Result<Vec<DeliveryAttempt>> {
        fetch_all!(self, ATTEMPT_LIST, delivery_id, limit)
    }
}

fn interests(rows: Vec<(WebhookId, Json<Vec<String>>)>) -> Vec<WebhookInterest> {
    rows.into_iter()
        .map(|(id, events)| WebhookInterest {
            id,
            events: events.0,
        })
        .collect()
}
