//! The background work of a process: supervisor, listener, worker; and its end, the drain.

use std::panic::AssertUnwindSafe;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use meetmind_core::{
    AgentRole, Ctx, EventKind, EventTopic, MeetingId, MeetingStatus, MessageKind, Result, RunState,
};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::RunReason;
use super::advance::Step;
use super::held::Held;
use crate::jobs::Lane;
use crate::{App, MessageNew, Published};

/// Runs handed over at the same time.
const HANDED_OVER_AT_ONCE: usize = 8;
const GOODBYE: &str = "I have to leave for a moment: the server restarts. I will be back.";

/// The background work of a process. Dropped without [`BackgroundTasks::drain`] it goes on.
#[derive(Debug)]
pub struct BackgroundTasks {
    app: App,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl App {
    /// Starts the background work: takes up what a process before left behind, dispatches and
    /// follows runs, and works on the jobs. Call once per process.
    pub fn start(&self) -> BackgroundTasks {
        let stop = CancellationToken::new();
        self.inner.agents.background.store(true, Ordering::Relaxed);
        // From now on nothing that is published can be missed by the listener.
        let bus = self.bus().subscribe();
        let supervisor = {
            let (app, stop) = (self.clone(), stop.clone());
            tokio::spawn(async move { app.supervise(stop).await })
        };
        let listener = {
            let (app, stop) = (self.clone(), stop.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = app.listen(bus) => {}
                }
            })
        };
        let recordings = {
            let app = self.clone();
            tokio::spawn(async move {
                // Large files take a while to be read; nobody waits for that.
                match app.recordings_recover(&app.system_ctx()).await {
                    Ok(0) => {}
                    Ok(count) => tracing::info!(count, "recordings of a process before were ended"),
                    Err(error) => {
                        tracing::warn!(%error, "recordings of a process before were not looked at")
                    }
                }
            })
        };
        let worker = |lane| {
            let (app, stop) = (self.clone(), stop.clone());
            tokio::spawn(async move { app.jobs_work(lane, stop).await })
        };
        let lanes = [Lane::Deliveries, Lane::Rooms, Lane::Others].map(worker);
        BackgroundTasks {
            app: self.clone(),
            stop,
            tasks: [supervisor, listener, recordings]
                .into_iter()
                .chain(lanes)
                .collect(),
        }
    }

    async fn supervise(&self, stop: CancellationToken) {
        while let Err(error) = self.supervise_begin().await {
            tracing::warn!(%error, "what was left behind could not be taken up; trying again");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
        let every = (self.settings().run_lease / 3).max(Duration::from_millis(100));
        let mut turns = tokio::time::interval(every);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = turns.tick() => {}
                () = self.inner.agents.look.notified() => {}
            }
            let ctx = self.system_ctx();
            match AssertUnwindSafe(self.tick_runs(&ctx)).catch_unwind().await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the runs cannot be looked after now"),
                Err(_) => tracing::error!("a look at the runs panicked"),
            }
        }
    }

    async fn supervise_begin(&self) -> Result<()> {
        let freed = self.recover_runs().await?;
        if freed > 0 {
            tracing::info!(freed, "runs and jobs of a process before were taken up");
        }
        self.cleanup_queue(&self.system_ctx()).await
    }

    /// Wakes the runs whose meeting has something for them, and the supervisor.
    async fn listen(&self, mut bus: tokio::sync::broadcast::Receiver<Published>) {
        loop {
            match bus.recv().await {
                Ok(Published::Event {
                    topic: EventTopic::Meeting(meeting_id),
                    event,
                    ..
                }) => self.runs_wake(meeting_id, event.kind),
                Ok(_) => {}
                // The store has what the bus dropped: everybody reads on from where they are.
                Err(RecvError::Lagged(_)) => {
                    self.inner.agents.look.notify_one();
                    for held in self.inner.agents.all() {
                        held.wake.notify_one();
                    }
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn runs_wake(&self, meeting_id: MeetingId, kind: EventKind) {
        use EventKind as K;
        if matches!(
            kind,
            K::MeetingStarted | K::MeetingEnded | K::MeetingArchived | K::AgentStateChanged
        ) {
            self.inner.agents.look.notify_one();
        }
        if matches!(
            kind,
            K::MeetingEnded
                | K::MeetingArchived
                | K::SegmentFinalized
                | K::SegmentCorrected
                | K::SegmentErased
                | K::MessagePosted
                | K::ParticipantUpdated
                | K::ParticipantRemoved
                | K::AgentStateChanged
        ) {
            for held in self.inner.agents.held().values() {
                if held.run.meeting_id == meeting_id {
                    held.wake.notify_one();
                }
            }
        }
    }

    /// Gives a run back so that another process takes it up; one whose meeting is over is
    /// completed. An assistant says goodbye, a scribe leaves quietly.
    async fn run_hand_over(&self, ctx: &Ctx, held: &Held) -> Result<()> {
        held.stop.cancel();
        if held.works_as(AgentRole::Assistant) {
            let goodbye = MessageNew {
                kind: MessageKind::Text,
                text: GOODBYE.to_owned(),
                reply_to: None,
                segment_ids: Vec::new(),
            };
            let agent_ctx = self.agent_ctx(ctx, &held.run);
            if let Err(error) = self
                .message_post(&agent_ctx, held.run.meeting_id, goodbye)
                .await
            {
                tracing::debug!(run_id = %held.run.id, %error, "an agent could not say goodbye");
            }
        }
        let (seen_seq, counters) = held.so_far();
        let mut change = self.change(ctx).await?;
        let run = change.run_lock(held.run.id).await?;
        if run.state != RunState::Live || run.attempt != held.run.attempt {
            return Ok(());
        }
        let meeting = change.meeting_get(run.meeting_id).await?;
        if meeting.status == MeetingStatus::Ended || meeting.archived_at.is_some() {
            let step = Step::to(RunState::Completed, RunReason::MeetingEnded);
            self.run_end(&mut change, ctx, &run, step).await?;
            return change.commit().await;
        }
        change.run_progress_set(run.id, seen_seq, &counters).await?;
        let step = Step::to(RunState::Draining, RunReason::NodeDraining);
        let run = self.run_advance(&mut change, ctx, &run, step).await?;
        let step = Step::to(RunState::Queued, RunReason::NodeDraining);
        self.run_advance(&mut change, ctx, &run, step).await?;
        change.commit().await
    }

    /// Hands over all runs held here; gives how many.
    ///
    /// # Errors
    /// When the database cannot be reached: the leases run out by themselves then.
    pub async fn runs_hand_over(&self, ctx: &Ctx) -> Result<usize> {
        let held = self.inner.agents.all();
        let count = held.len();
        let mut handed = stream::iter(held)
            .map(|held| async move {
                let outcome = self.run_hand_over(ctx, &held).await;
                self.inner.agents.release(held.run.id);
                outcome
            })
            .buffer_unordered(HANDED_OVER_AT_ONCE);
        let mut failure = None;
        while let Some(outcome) = handed.next().await {
            if let Err(error) = outcome {
                failure = Some(error);
            }
        }
        failure.map_or(Ok(count), Err)
    }
}

impl BackgroundTasks {
    /// Ends the background work: no new runs, jobs at hand finished, live runs handed over to
    /// the next process. Gives whether all of it was done within `deadline`; what was not is
    /// taken up when its lease runs out.
    pub async fn drain(self, deadline: Duration) -> bool {
        let end = Instant::now() + deadline;
        self.app.drain_begin();
        self.stop.cancel();
        let mut clean = true;
        let ctx = self.app.system_ctx();
        match tokio::time::timeout_at(end, self.app.runs_hand_over(&ctx)).await {
            Ok(Ok(count)) => tracing::info!(count, "runs handed over"),
            Ok(Err(error)) => {
                clean = false;
                tracing::warn!(%error, "not all runs could be handed over");
            }
            Err(_) => {
                clean = false;
                tracing::warn!("the deadline passed before all runs were handed over");
            }
        }
        for mut task in self.tasks {
            if tokio::time::timeout_at(end, &mut task).await.is_err() {
                clean = false;
                task.abort();
            }
        }
        // The supervisor may have made a run live while it was told to stop.
        let late = tokio::time::timeout_at(end, self.app.runs_hand_over(&ctx)).await;
        clean &= matches!(late, Ok(Ok(_)));
        self.app
            .inner
            .agents
            .tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .abort_all();
        clean
    }
}
