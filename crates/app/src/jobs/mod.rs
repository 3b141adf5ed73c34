//! Background work from the `jobs` table.
//!
//! A job is queued in the transaction of the change that needs it, so neither is there without
//! the other. Handlers are idempotent: a job whose process dies half-way runs again.

mod cleanup;
mod worker;

#[cfg(test)]
mod tests;

use meetmind_core::{Ctx, Job, JobKind, Meeting, Result, Timestamp};
use serde_json::{Value, json};

pub(crate) use worker::Lane;

use crate::{App, Change};

/// After so many tries a job stays failed: with the worker's waits that is about an hour and a half.
const ATTEMPTS_MAX: i64 = 10;

/// The workers' wake-up calls, one per lane.
#[derive(Debug, Default)]
pub(crate) struct State {
    deliveries: tokio::sync::Notify,
    rooms: tokio::sync::Notify,
    others: tokio::sync::Notify,
}

impl State {
    fn of(&self, lane: Lane) -> &tokio::sync::Notify {
        match lane {
            Lane::Deliveries => &self.deliveries,
            Lane::Rooms => &self.rooms,
            Lane::Others => &self.others,
        }
    }

    pub(crate) fn wake(&self, lane: Lane) {
        self.of(lane).notify_one();
    }
}

impl App {
    /// Queues a job within a change; the worker is woken after the commit. With a dedupe key
    /// nothing is queued while a job with the same key waits or is at work. Deliveries are queued
    /// with what they deliver, by the webhooks.
    pub(crate) async fn job_queue(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        kind: JobKind,
        payload: Value,
        run_at: Timestamp,
        dedupe_key: Option<String>,
    ) -> Result<()> {
        let job = Job {
            id: self.id(ctx),
            kind,
            webhook_id: None,
            payload,
            run_at,
            attempts: 0,
            max_attempts: ATTEMPTS_MAX,
            dedupe_key,
            last_error: None,
            created_at: ctx.now,
        };
        change.job_insert(&job).await?;
        change.wake_worker(Lane::Others);
        Ok(())
    }

    /// For how many seconds the job that waits longest has been due in each lane; zero where none
    /// waits. A delivery also waits while its endpoint has all its places taken.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn jobs_oldest_due_s(&self) -> Result<[(&'static str, f64); 2]> {
        let now = self.now();
        let mut conn = self.store().read().await?;
        let mut ages = [("deliveries", 0.0), ("others", 0.0)];
        for (lane, age) in &mut ages {
            if let Some(since) = conn.job_oldest_due(now, *lane == "deliveries").await? {
                *age = now.millis_since(since) as f64 / 1000.0;
            }
        }
        Ok(ages)
    }

    /// Queues what follows the end of a meeting: the final notes, then the memories.
    pub(crate) async fn meeting_end_queue(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        meeting: &Meeting,
    ) -> Result<()> {
        let payload = json!({ "meeting_id": meeting.id });
        let key = format!("notes_final:{}", meeting.id);
        self.job_queue(
            change,
            ctx,
            JobKind::NotesFinal,
            payload,
            ctx.now,
            Some(key),
        )
        .await
    }
}
