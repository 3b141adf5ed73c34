//! From an event to the webhooks that want it, in the transaction of the change it reports: so
//! that a killed process loses none, and without a statement where nobody has a webhook.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use meetmind_core::{
    Ctx, Delivery, DeliveryStatus, Error, Event, EventTopic, Job, JobKind, Result, Timestamp,
    WebhookId,
};
use meetmind_store::{Conn, WebhookInterest};
use serde_json::json;

use super::wants;
use crate::{App, Change};

/// How long it counts that nobody has a webhook: another process may have made one.
const KNOWN_FOR: Duration = Duration::from_secs(5);
/// How often the worker repeats a job that failed before it came to an answer.
const JOB_ATTEMPTS: i64 = 20;

/// Whether anybody has a webhook, as last seen.
#[derive(Debug, Default)]
pub(crate) struct State(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    any: bool,
    at: Option<Instant>,
    /// Counts changes of webhooks: what was read before one of them does not count.
    changes: u64,
}

impl State {
    fn changed(&self) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.changes += 1;
        seen.any = true;
        seen.at = Some(Instant::now());
    }

    /// Asks the database only when it is time to.
    async fn any(&self, conn: &mut Conn) -> Result<bool> {
        let changes = {
            let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.at.is_some_and(|at| at.elapsed() < KNOWN_FOR) {
                return Ok(seen.any);
            }
            seen.changes
        };
        let any = conn.webhook_any_enabled().await?;
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.changes == changes {
            seen.any = any;
            seen.at = Some(Instant::now());
        }
        Ok(any || seen.any)
    }
}

impl App {
    /// Commits a change of webhooks. Noted before, so that no event is missed that comes in
    /// between, and after, so that nobody remembers what was before.
    pub(super) async fn webhooks_changing(&self, change: Change<'_>) -> Result<()> {
        self.inner.webhooks.changed();
        let outcome = change.commit().await;
        self.inner.webhooks.changed();
        outcome
    }

    /// Queues the events of a change for the webhooks that want them; gives whether any do.
    pub(crate) async fn webhooks_fan_out(
        &self,
        ctx: &Ctx,
        conn: &mut Conn,
        events: &[(EventTopic, Event)],
    ) -> Result<bool> {
        if events.is_empty() || !self.inner.webhooks.any(conn).await? {
            return Ok(false);
        }
        let mut known: HashMap<EventTopic, Vec<WebhookInterest>> = HashMap::new();
        let mut queued = false;
        for (topic, event) in events {
            if !known.contains_key(topic) {
                let interests = match topic {
                    EventTopic::User(id) => conn.webhook_interests_of_user(*id).await?,
                    EventTopic::Meeting(id) => conn.webhook_interests_of_meeting(*id).await?,
                    // What a run does is also told in its meeting.
                    EventTopic::Run(_) => Vec::new(),
                };
                known.insert(*topic, interests);
            }
            let interests = known.get(topic).map(Vec::as_slice).unwrap_or_default();
            for interest in interests {
                if wants(&interest.events, event.kind) {
                    let delivery = self.delivery_new(ctx, interest.id, event)?;
                    self.delivery_queue(ctx, conn, &delivery).await?;
                    queued = true;
                }
            }
        }
        Ok(queued)
    }

    /// An event on its way to a webhook.
    pub(super) fn delivery_new(
        &self,
        ctx: &Ctx,
        webhook_id: WebhookId,
        event: &Event,
    ) -> Result<Delivery> {
        let data = serde_json::to_value(event).map_err(Error::internal)?;
        Ok(Delivery {
            id: self.id(ctx),
            webhook_id,
            event_type: event.kind.to_string(),
            payload: json!({ "type": event.kind, "timestamp": event.at, "data": data }),
            status: DeliveryStatus::Pending,
            attempts: 0,
            next_attempt_at: Some(ctx.now),
            created_at: ctx.now,
            updated_at: ctx.now,
        })
    }

    /// Stores a new delivery and the job that sends it.
    pub(super) async fn delivery_queue(
        &self,
        ctx: &Ctx,
        conn: &mut Conn,
        delivery: &Delivery,
    ) -> Result<()> {
        conn.delivery_insert(delivery).await?;
        conn.job_insert(&self.delivery_job(ctx, delivery, ctx.now))
            .await?;
        Ok(())
    }

    /// The job of the next try. Its key holds the number and the moment of the try: the job of
    /// the try before still stands in the table while this one is queued, and a replay comes
    /// before the try that is planned.
    pub(super) fn delivery_job(&self, ctx: &Ctx, delivery: &Delivery, run_at: Timestamp) -> Job {
        let (id, attempt) = (delivery.id, delivery.attempts);
        Job {
            id: self.id(ctx),
            kind: JobKind::Deliver,
            webhook_id: Some(delivery.webhook_id),
            payload: json!({ "delivery_id": id, "attempt": attempt }),
            run_at,
            attempts: 0,
            max_attempts: JOB_ATTEMPTS,
            dedupe_key: Some(format!("deliver:{id}:{attempt}:{}", run_at.micros())),
            last_error: None,
            created_at: ctx.now,
        }
    }
}
