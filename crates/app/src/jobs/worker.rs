//! The worker: claims due jobs, does them, and says what became of them.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use meetmind_core::{Actor, Code, Ctx, Error, Job, JobKind, MeetingId, Result, Timestamp};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::cleanup::CLEANUP_EVERY;
use crate::App;

/// How long a worker may be silent about a job before another takes it.
const LEASE: Duration = Duration::from_secs(60);
/// One job may not take longer.
const TIME_LIMIT: Duration = Duration::from_secs(300);
/// Without a wake-up call the worker looks this often, for jobs of other processes.
const POLL: Duration = Duration::from_secs(5);
/// What is due but was not given is another process's, or becomes due this very moment: no lane
/// spins on it.
const SHORTEST_REST_MS: i64 = 250;
/// Deliveries to one endpoint at the same time: a dead one holds these places and no others.
const PLACES_PER_ENDPOINT: i64 = 4;
/// Jobs done by one call of [`App::run_due_jobs`], so that jobs that queue jobs cannot hold it for ever.
const PER_CALL: usize = 1000;

/// The kinds of waiting. They never share places: deliveries wait for other people's servers,
/// and a dead one must not hold up anybody's notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Webhook deliveries.
    Deliveries,
    /// LiveKit's webhooks: other people's servers as well, but in the order of each room.
    Rooms,
    /// All other jobs.
    Others,
}

impl Lane {
    /// Jobs at work at the same time. Of the others most read and write one meeting's notes, and
    /// more than two at once only queue behind the single writer of SQLite.
    const fn places(self) -> usize {
        match self {
            Lane::Deliveries => 32,
            Lane::Rooms => 16,
            Lane::Others => 2,
        }
    }
}

/// What follows a job that went well.
struct Outcome {
    /// Another job, queued with the end of this one.
    next: Option<(JobKind, Value, Option<String>)>,
    /// The same job again, at this moment.
    again: Option<Timestamp>,
}

impl Outcome {
    const DONE: Outcome = Outcome {
        next: None,
        again: None,
    };
}

/// The wait before try number `attempts + 1`: 5 s, doubled each time, at most 30 minutes.
pub(super) fn backoff(attempts: i64) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1).clamp(0, 16)).unwrap_or(16);
    Duration::from_secs((5_u64 << doublings).min(30 * 60))
}

impl App {
    /// Does all jobs that are due at `ctx.now`, also those they queue, and gives how many it tried.
    ///
    /// # Errors
    /// When the database cannot be reached; what is left stays queued.
    pub async fn run_due_jobs(&self, ctx: &Ctx) -> Result<usize> {
        let mut tried = 0;
        while tried < PER_CALL {
            let mut jobs = self.jobs_claim(Lane::Others, Lane::Others.places()).await?;
            jobs.extend(
                self.jobs_claim(Lane::Deliveries, Lane::Deliveries.places())
                    .await?,
            );
            jobs.extend(self.jobs_claim(Lane::Rooms, Lane::Rooms.places()).await?);
            if jobs.is_empty() {
                break;
            }
            tried += jobs.len();
            stream::iter(jobs)
                .for_each_concurrent(Lane::Others.places(), |job| self.job_handle(ctx.now, job))
                .await;
        }
        Ok(tried)
    }

    /// Works until `stop`: on a wake-up call, when a place is free, and every few seconds. The
    /// jobs at hand are finished first.
    pub(crate) async fn jobs_work(&self, lane: Lane, stop: CancellationToken) {
        let woken = self.inner.jobs.of(lane);
        // Tasks of their own: a job in the middle of a transaction must go on while this one waits
        // for the writer.
        let mut at_work = JoinSet::new();
        loop {
            let mut rest = POLL;
            let free = lane.places() - at_work.len();
            if free > 0 && !stop.is_cancelled() {
                match self.jobs_claim(lane, free).await {
                    Ok(jobs) if jobs.is_empty() => rest = self.jobs_rest(lane).await,
                    Ok(jobs) => {
                        // More than fitted may be due: look again as soon as these have begun.
                        rest = Duration::ZERO;
                        for job in jobs {
                            let app = self.clone();
                            at_work.spawn(async move { app.job_handle(app.now(), job).await });
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the jobs cannot be reached; trying again")
                    }
                }
            }
            if stop.is_cancelled() && at_work.is_empty() {
                return;
            }
            tokio::select! {
                Some(_) = at_work.join_next(), if !at_work.is_empty() => {}
                () = stop.cancelled(), if !stop.is_cancelled() => {}
                () = woken.notified() => {}
                () = tokio::time::sleep(rest) => {}
            }
        }
    }

    /// How long a lane without due jobs may rest: until its next one is due, at most [`POLL`].
    pub(super) async fn jobs_rest(&self, lane: Lane) -> Duration {
        let next = async {
            let mut conn = self.store().read().await?;
            match lane {
                Lane::Deliveries => {
                    conn.job_next_delivery_at(self.now(), PLACES_PER_ENDPOINT)
                        .await
                }
                Lane::Rooms => conn.job_next_room_webhook_at().await,
                Lane::Others => conn.job_next_at().await,
            }
        };
        let millis = next.await.ok().flatten().map_or(i64::MAX, |at| {
            at.millis_since(self.now()).max(SHORTEST_REST_MS)
        });
        POLL.min(Duration::from_millis(u64::try_from(millis).unwrap_or(1)))
    }

    pub(super) async fn jobs_claim(&self, lane: Lane, places: usize) -> Result<Vec<Job>> {
        let (node, now) = (self.node_id().to_string(), self.now());
        let until = now.plus(LEASE);
        let limit = i64::try_from(places).unwrap_or(1);
        let mut tx = self.store().begin().await?;
        let jobs = match lane {
            Lane::Deliveries => {
                tx.job_claim_deliveries(&node, now, until, limit, PLACES_PER_ENDPOINT)
                    .await?
            }
            Lane::Rooms => tx.job_claim_room_webhooks(&node, now, until, limit).await?,
            Lane::Others => tx.job_claim(&node, now, until, limit).await?,
        };
        tx.commit().await?;
        Ok(jobs)
    }

    /// Does one claimed job and writes down what became of it. Failures of the database here
    /// leave the job to the next worker, when the lease has run out.
    async fn job_handle(&self, now: Timestamp, job: Job) {
        let ctx = Ctx {
            actor: Actor::System,
            request_id: self.entropy().id(now),
            now,
            address: None,
            once: None,
        };
        let word = match self.job_attempt(&ctx, &job).await {
            Ok(outcome) => {
                let written = self.job_finish(&ctx, &job, outcome).await;
                if let Err(error) = written {
                    tracing::warn!(job_id = %job.id, kind = job.kind.as_str(), %error, "a job is done but could not be closed: it runs again");
                }
                "done"
            }
            // What the job was about is gone: nothing is left to do.
            Err(error) if error.code == Code::NotFound => {
                tracing::debug!(job_id = %job.id, kind = job.kind.as_str(), "a job lost its object");
                if let Err(error) = self.job_finish(&ctx, &job, Outcome::DONE).await {
                    tracing::warn!(job_id = %job.id, %error, "a job could not be closed");
                }
                "moot"
            }
            Err(error) => self.job_failed(&ctx, &job, &error).await,
        };
        metrics::counter!("meetmind_jobs_total", "kind" => job.kind.as_str(), "outcome" => word)
            .increment(1);
    }

    /// The work itself, held to its time, its lease prolonged, its panics caught.
    async fn job_attempt(&self, ctx: &Ctx, job: &Job) -> Result<Outcome> {
        if job.attempts > job.max_attempts {
            // Every process that took it died before it could say why.
            return Err(Error::internal("its process was gone each time"));
        }
        let work = AssertUnwindSafe(self.job_do(ctx, job)).catch_unwind();
        let work = tokio::time::timeout(TIME_LIMIT, work);
        let outcome = tokio::select! {
            outcome = work => outcome,
            never = self.job_hold(job) => match never {},
        };
        match outcome {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Error::internal("it panicked")),
            Err(_) => Err(Error::internal("it took too long")),
        }
    }

    /// Prolongs the lease while the job is at work.
    async fn job_hold(&self, job: &Job) -> std::convert::Infallible {
        let node = self.node_id().to_string();
        loop {
            tokio::time::sleep(LEASE / 3).await;
            let held = async {
                let mut tx = self.store().begin().await?;
                tx.job_extend(job.id, &node, self.now().plus(LEASE)).await?;
                tx.commit().await
            };
            if let Err(error) = held.await {
                tracing::warn!(job_id = %job.id, %error, "a job's lease could not be prolonged");
            }
        }
    }

    async fn job_do(&self, ctx: &Ctx, job: &Job) -> Result<Outcome> {
        match job.kind {
            JobKind::NotesFinal => {
                let meeting_id = meeting_of(job)?;
                self.notes_refresh(ctx, meeting_id, true).await?;
                let payload = json!({ "meeting_id": meeting_id });
                let key = format!("remember:{meeting_id}");
                Ok(Outcome {
                    next: Some((JobKind::Remember, payload, Some(key))),
                    again: None,
                })
            }
            JobKind::Remember => {
                self.memories_remember(ctx, meeting_of(job)?).await?;
                Ok(Outcome::DONE)
            }
            JobKind::Deliver => {
                self.webhook_deliver(ctx, &job.payload).await?;
                Ok(Outcome::DONE)
            }
            JobKind::RoomWebhook => {
                self.room_webhooks_send(&job.payload).await?;
                Ok(Outcome::DONE)
            }
            JobKind::RemoveFiles => {
                self.files_remove(ctx).await?;
                Ok(Outcome::DONE)
            }
            JobKind::Cleanup => {
                self.cleanup(ctx).await?;
                Ok(Outcome {
                    next: None,
                    again: Some(ctx.now.plus(CLEANUP_EVERY)),
                })
            }
        }
    }

    /// Closes a job together with what follows it.
    async fn job_finish(&self, ctx: &Ctx, job: &Job, outcome: Outcome) -> Result<()> {
        let node = self.node_id().to_string();
        let mut change = self.change(ctx).await?;
        let held = match outcome.again {
            Some(run_at) => change.job_again(job.id, &node, run_at).await?,
            None => change.job_done(job.id, &node).await?,
        };
        if !held {
            // Another worker took it meanwhile and will queue what follows.
            return Ok(());
        }
        if job.kind == JobKind::RoomWebhook {
            self.room_webhooks_go_on(&mut change, ctx, job).await?;
        }
        if let Some((kind, payload, key)) = outcome.next {
            self.job_queue(&mut change, ctx, kind, payload, ctx.now, key)
                .await?;
        }
        change.commit().await
    }

    /// Puts a job that went wrong back, or gives it up; gives the word for the metrics.
    async fn job_failed(&self, ctx: &Ctx, job: &Job, error: &Error) -> &'static str {
        let last = job.attempts >= job.max_attempts;
        let cause = std::error::Error::source(error)
            .map(|cause| format!(": {cause}"))
            .unwrap_or_default();
        let text: String = format!("{error}{cause}").chars().take(500).collect();
        if last {
            tracing::error!(job_id = %job.id, kind = job.kind.as_str(), attempts = job.attempts, error = text, "a job was given up");
        } else {
            tracing::warn!(job_id = %job.id, kind = job.kind.as_str(), attempts = job.attempts, error = text, "a job failed and will be tried again");
        }
        let node = self.node_id().to_string();
        let written = async {
            let mut tx = self.store().begin().await?;
            if last {
                tx.job_fail(job.id, &node, ctx.now, &text).await?;
            } else {
                let run_at = ctx.now.plus(backoff(job.attempts));
                tx.job_retry(job.id, &node, run_at, &text).await?;
            }
            tx.commit().await
        };
        if let Err(error) = written.await {
            tracing::warn!(job_id = %job.id, %error, "a job's failure could not be written down");
        }
        if last { "failed" } else { "retried" }
    }
}

fn meeting_of(job: &Job) -> Result<MeetingId> {
    job.payload
        .get("meeting_id")
        .and_then(Value::as_str)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Error::internal("the job names no meeting"))
}
