//! Webhooks: the endpoints that users name, and what goes to them.

mod deliver;
mod fan_out;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use meetmind_core::{
    Actor, Code, Ctx, Delivery, DeliveryAttempt, DeliveryId, DeliveryStatus, Error, EventKind,
    EventTopic, Page, PageQuery, Result, Scope, Webhook, WebhookId, event_scope, scope_check,
    user_may,
};
use serde_json::json;

pub(crate) use fan_out::State;

use crate::App;
use crate::jobs::Lane;
use crate::meetings::{cursor_id, cursor_of};

/// Webhooks that one user may have.
const WEBHOOKS_PER_USER: i64 = 50;
/// How many tries of a delivery are shown: more than the schedule has, for replays.
const ATTEMPTS_SHOWN: i64 = 100;
/// What stands for all event types.
const ALL_EVENTS: &str = "*";
/// What secrets begin with (Standard Webhooks).
const SECRET_PREFIX: &str = "whsec_";

/// What a webhook is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookNew {
    /// `http` or `https`, at most 2048 characters.
    pub url: String,
    /// Event types, or `*` for all; at least one.
    pub events: Vec<String>,
}

/// What changes in a webhook: absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookPatch {
    /// Another address.
    pub url: Option<String>,
    /// Other event types.
    pub events: Option<Vec<String>>,
    /// On or off.
    pub enabled: Option<bool>,
}

impl App {
    /// Makes a webhook; gives its secret, which is not shown again.
    ///
    /// # Errors
    /// `VALIDATION_FAILED`, `QUOTA_EXCEEDED`, `SCOPE_MISSING`.
    pub async fn webhook_create(&self, ctx: &Ctx, new: WebhookNew) -> Result<(Webhook, String)> {
        let user_id = user_may(&ctx.actor, Scope::Webhooks)?;
        let webhook = Webhook {
            id: self.id(ctx),
            user_id,
            url: self.inner.outbound.url("url", &new.url)?.to_string(),
            events: checked_events(new.events)?,
            enabled: true,
            disabled_at: None,
            failing_since: None,
            created_at: ctx.now,
            updated_at: ctx.now,
        };
        events_may(&ctx.actor, &webhook.events)?;
        let secret = self.webhook_secret();
        let mut change = self.change(ctx).await?;
        let count = change.webhook_count(user_id).await?;
        if count >= WEBHOOKS_PER_USER {
            return Err(
                Error::new(Code::QuotaExceeded, "you have as many webhooks as you may")
                    .with_details(
                        json!({ "current": count, "limit": WEBHOOKS_PER_USER, "reset": null }),
                    ),
            );
        }
        change.webhook_insert(&webhook, &secret).await?;
        change
            .audit("webhook.created", webhook.id, json!({ "url": webhook.url }))
            .await?;
        self.webhooks_changing(change).await?;
        Ok((webhook, secret))
    }

    /// One of the caller's webhooks.
    ///
    /// # Errors
    /// `NOT_FOUND`, `SCOPE_MISSING`.
    pub async fn webhook_get(&self, ctx: &Ctx, id: WebhookId) -> Result<Webhook> {
        let user_id = user_may(&ctx.actor, Scope::Webhooks)?;
        Ok(self.store().read().await?.webhook_get(user_id, id).await?)
    }

    /// The caller's webhooks, newest first.
    ///
    /// # Errors
    /// `INVALID_CURSOR`, `SCOPE_MISSING`.
    pub async fn webhook_list(&self, ctx: &Ctx, page: &PageQuery) -> Result<Page<Webhook>> {
        let user_id = user_may(&ctx.actor, Scope::Webhooks)?;
        let before = cursor_id(page)?;
        let mut conn = self.store().read().await?;
        let rows = conn.webhook_list(user_id, before, page.limit + 1).await?;
        Ok(Page::from_rows(rows, page.limit, |row| cursor_of(row.id)))
    }

    /// Changes a webhook. Switching it on forgets that it failed. A key needs the scopes for
    /// reading what the webhook gets, whatever it changes: it may send it elsewhere.
    ///
    /// # Errors
    /// `VALIDATION_FAILED`, `NOT_FOUND`, `SCOPE_MISSING`.
    pub async fn webhook_update(
        &self,
        ctx: &Ctx,
        id: WebhookId,
        patch: WebhookPatch,
    ) -> Result<Webhook> {
        let user_id = user_may(&ctx.actor, Scope::Webhooks)?;
        let mut change = self.change(ctx).await?;
        let mut webhook = change.webhook_get(user_id, id).await?;
        if let Some(url) = patch.url {
            webhook.url = self.inner.outbound.url("url", &url)?.to_string();
        }
        if let Some(events) = patch.events {
            webhook.events = checked_events(events)?;
        }
        if let Some(enabled) = patch.enabled {
            webhook.enabled = enabled;
            if enabled {
                webhook.disabled_at = None;
                webhook.failing_since = None;
            }
        }
        events_may(&ctx.actor, &webhook.events)?;
        webhook.updated_at = ctx.now;
        change.webhook_update(&webhook).await?;
        change
            .audit("webhook.updated", id, json!({ "url": webhook.url }))
            .await?;
        self.webhooks_changing(change).await?;
        Ok(webhook)
    }

    /// Deletes a webhook and what was on its way to it.
    ///
    /// # Errors
    /// `NOT_FOUND`, `SCOPE_MISSING`.
    pub async fn webhook_delete(&self, ctx: &Ctx, id: WebhookId) -> Result<Webhook> {
        let user_id = user_may(&ctx.actor, Scope::Webhooks)?;
        let mut change = self.change(ctx).await?;
        let webhook = change.webhook_get(user_id, id).await?;
        change.webhook_delete(id).await?;
        change.audit("webhook.deleted", id, json!({})).await?;
        change.commit().await?;
        Ok(webhook)
    }

    /// Replaces the secret; what is signed from now on is signed with the new one only.
    ///
    /// # Errors
    /// `NOT_FOUND`, `SCOPE_MISSING`.
    pub async fn webhook_secret_rotate(
        &self,
        ctx: &Ctx,
        id: WebhookId,
    ) -> Result<(Webhook, String)> {
        let user_id = user_may(&ctx.actor, Scope::Webhooks)?;
        let mut change = self.change(ctx).await?;
        let mut webhook = change.webhook_get(user_id, id).await?;
        webhook.updated_at = ctx.now;
        let secret = self.webhook_secret();
        change.webhook_secret_set(id, &secret, ctx.now).await?;
        change
            .audit("webhook.secret_rotated", id, json!({}))
            .await?;
        change.commit().await?;
        Ok((webhook, secret))
    }

    /// Sends a `webhook.tested` event to this webhook, whatever event types it wants.
    ///
    /// # Errors
    /// `CONFLICT` when it is switched off, `NOT_FOUND`, `SCOPE_MISSING`.
    pub async fn webhook_test(&self, ctx: &Ctx, id: WebhookId) -> Result<Delivery> {
        let user_id = user_may(&ctx.actor, Scope::Webhooks)?;
        let mut change = self.change(ctx).await?;
        let webhook = change.webhook_get(user_id, id).await?;
        if !webhook.enabled {
            return Err(switched_off());
        }
        let topic = EventTopic::User(user_id);
        let data = json!({ "webhook_id": id });
        let event = change
            .event_append(topic, EventKind::WebhookTested, ctx.now, data)
            .await?;
        let delivery = self.delivery_new(ctx, id, &event)?;
        self.delivery_queue(ctx, &mut change, &delivery).await?;
        change.tell(topic, event);
        change.wake_worker(Lane::Deliveries);
        change.commit().await?;
        Ok(delivery)
    }

    /// What went, goes or failed to go to a webhook, newest first; kept for 30 days.
    ///
    /// # Errors
    /// `INVALID_CURSOR`, `NOT_FOUND`, `SCOPE_MISSING`.
    pub async fn delivery_list(
        &self,
        ctx: &Ctx,
        webhook_id: WebhookId,
        page: &PageQuery,
    ) -> Result<Page<Delivery>> {
        let user_id = user_may(&ctx.actor, Scope::Webhooks)?;
        let before = cursor_id(page)?;
        let mut conn = self.store().read().await?;
        conn.webhook_get(user_id, webhook_id).await?;
        let rows = conn
            .delivery_list(webhook_id, before, page.limit + 1)
            .await?;
        let rows = rows.into_iter().map(|row| shown(&ctx.actor, row)).collect();
        Ok(Page::from_rows(rows, page.limit, |row| cursor_of(row.id)))
    }

    /// One delivery with its tries, newest first.
    ///
    /// # Errors
    /// `NOT_FOUND`, `SCOPE_MISSING`.
    pub async fn delivery_get(
        &self,
        ctx: &Ctx,
        webhook_id: WebhookId,
        id: DeliveryId,
    ) -> Result<(Delivery, Vec<DeliveryAttempt>)> {
        let user_id = user_may(&ctx.actor, Scope::Webhooks)?;
        let mut conn = self.store().read().await?;
        conn.webhook_get(user_id, webhook_id).await?;
        let delivery = conn.delivery_get(webhook_id, id).await?;
        let attempts = conn.delivery_attempt_list(id, ATTEMPTS_SHOWN).await?;
        Ok((shown(&ctx.actor, delivery), attempts))
    }

    /// Tries a delivery again now, under the same id, whatever became of it.
    ///
    /// # Errors
    /// `CONFLICT` when the webhook is switched off, `NOT_FOUND`, `SCOPE_MISSING`.
    pub async fn delivery_replay(
        &self,
        ctx: &Ctx,
        webhook_id: WebhookId,
        id: DeliveryId,
    ) -> Result<Delivery> {
        let user_id = user_may(&ctx.actor, Scope::Webhooks)?;
        let mut change = self.change(ctx).await?;
        if !change.webhook_get(user_id, webhook_id).await?.enabled {
            return Err(switched_off());
        }
        let delivery = Delivery {
            status: DeliveryStatus::Pending,
            next_attempt_at: Some(ctx.now),
            updated_at: ctx.now,
            ..change.delivery_get(webhook_id, id).await?
        };
        if !change.delivery_set(&delivery, delivery.attempts).await? {
            return Err(Error::new(Code::Conflict, "it is being tried right now"));
        }
        let job = self.delivery_job(ctx, &delivery, ctx.now);
        change.job_insert(&job).await?;
        change.wake_worker(Lane::Deliveries);
        change.commit().await?;
        Ok(shown(&ctx.actor, delivery))
    }

    fn webhook_secret(&self) -> String {
        format!(
            "{SECRET_PREFIX}{}",
            BASE64.encode(self.entropy().bytes::<24>())
        )
    }
}

fn switched_off() -> Error {
    Error::new(Code::Conflict, "the webhook is switched off")
}

/// Holds a list of event types to those that exist, each once.
fn checked_events(mut events: Vec<String>) -> Result<Vec<String>> {
    if events.is_empty() || events.len() > EventKind::ALL.len() + 1 {
        return Err(Error::invalid("events", "must name one event type or more"));
    }
    for event in &events {
        if event != ALL_EVENTS && event.parse::<EventKind>().is_err() {
            return Err(Error::invalid(
                "events",
                format!(
                    "there is no event type `{}`",
                    event.chars().take(80).collect::<String>()
                ),
            ));
        }
    }
    events.sort_unstable();
    events.dedup();
    Ok(events)
}

/// Fails when the caller's key may not read what these event types tell.
fn events_may(actor: &Actor, events: &[String]) -> Result<()> {
    for kind in EventKind::ALL {
        if wants(events, *kind) {
            scope_check(actor, event_scope(*kind))?;
        }
    }
    Ok(())
}

/// A delivery as the caller may see it: without the data of an event that the caller's key may
/// not read.
fn shown(actor: &Actor, mut delivery: Delivery) -> Delivery {
    let may = |kind| scope_check(actor, event_scope(kind)).is_ok();
    if delivery.event_type.parse().is_ok_and(|kind| !may(kind)) {
        delivery.payload["data"] = serde_json::Value::Null;
    }
    delivery
}

/// Whether a webhook with this list wants events of this type.
fn wants(events: &[String], kind: EventKind) -> bool {
    events
        .iter()
        .any(|event| event == ALL_EVENTS || event == kind.as_str())
}
