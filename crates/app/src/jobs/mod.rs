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

/// The workers' wake-up calls.
#[derive(Debug, Default)]
pub(crate) struct State {
    deliveries: tokio::sync::Notify,
    others: tokio::sync::Notify,
}

impl State {
    pub(crate) fn wake(&self) {
        self.deliveries.notify_one();
        self.others.notify_one();
    }
}

impl App {
    /// Queues a job within a change; the worker is woken after the commit. With a dedupe key
    /// nothing is queued while a job with the same key waits or is at work.
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
            payload,
            run_at,
            attempts: 0,
            max_attempts: ATTEMPTS_MAX,
            dedupe_key,
            last_error: None,
            created_at: ctx.now,
        };
        change.job_insert(&job).await?;
        change.wake_worker();
        Ok(())
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
