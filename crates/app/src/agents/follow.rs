//! A live run follows its meeting: it reads the stored events in order, and a scribe keeps the
//! notes.
//!
//! The bus only wakes; the events are read from the store after the last one seen. So nothing
//! is lost when the bus lags or the process restarts, and a slow pass delays only its own run.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use meetmind_core::{
    AgentRole, Code, Ctx, Event, EventKind, EventTopic, Participant, Result, RunActivity, RunState,
};
use tokio::time::Instant;

use super::RunReason;
use super::advance::Step;
use super::held::{Follow, Held};
use crate::App;

/// Events read at a time.
const BATCH: i64 = 200;
/// A pass shorter than this is not announced: a step per pass, every two seconds for hours,
/// would bury the timeline.
const QUIET: Duration = Duration::from_millis(300);
/// Between two looks of one run, so that a burst of segments costs tens of reads a second and
/// not thousands.
const BREATH: Duration = Duration::from_millis(20);
/// Without anything to do a run still looks this often.
const REST: Duration = Duration::from_secs(30);
/// The longest wait after passes that failed.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What a run has to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// More events wait.
    More,
    /// Nothing before this much time has passed, or something happens.
    Rest(Duration),
    /// It is over, or no longer ours.
    Gone,
}

impl App {
    /// Gives a held run a task of its own, when background work is on.
    pub(super) fn run_spawn(&self, held: Arc<Held>) {
        if !self.inner.agents.background.load(Ordering::Relaxed) {
            return;
        }
        let app = self.clone();
        let mut tasks = self
            .inner
            .agents
            .tasks
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        // Tasks of runs that are over are taken out as new ones come.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move { app.run_live(held).await });
    }

    async fn run_live(&self, held: Arc<Held>) {
        let mut wait = Duration::ZERO;
        loop {
            tokio::select! {
                biased;
                () = held.stop.cancelled() => return,
                () = held.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
            let ctx = self.system_ctx();
            let turn = tokio::select! {
                biased;
                // Whatever it is doing: a stopped run says nothing more.
                () = held.stop.cancelled() => return,
                turn = self.run_turn(&ctx, &held) => turn,
            };
            wait = match turn {
                Turn::Gone => return,
                Turn::More => Duration::ZERO,
                Turn::Rest(wait) => wait,
            };
            tokio::time::sleep(BREATH).await;
        }
    }

    /// One turn of a run; a panic or a fault in it never reaches other runs.
    pub(super) async fn run_turn(&self, ctx: &Ctx, held: &Held) -> Turn {
        self.run_guard(ctx, held, self.run_follow(ctx, held)).await
    }

    /// Does a run's work: a panic fails the run, an error lets it try again a little later.
    pub(super) async fn run_guard(
        &self,
        ctx: &Ctx,
        held: &Held,
        work: impl Future<Output = Result<Turn>>,
    ) -> Turn {
        let turn = match AssertUnwindSafe(work).catch_unwind().await {
            Ok(Ok(turn)) => turn,
            Ok(Err(error)) if error.code == Code::NotFound => Turn::Gone,
            Ok(Err(error)) => {
                tracing::warn!(run_id = %held.run.id, %error, "a run could not go on and tries again");
                Turn::Rest(Duration::from_secs(1))
            }
            Err(_) => {
                tracing::error!(run_id = %held.run.id, "a run panicked");
                let failed = self.run_finish(ctx, held, RunState::Failed, RunReason::Crashed);
                if let Err(error) = failed.await {
                    tracing::warn!(run_id = %held.run.id, %error, "a run that panicked could not be closed");
                }
                Turn::Gone
            }
        };
        if turn == Turn::Gone {
            self.inner.agents.release(held.run.id);
        }
        turn
    }

    async fn run_follow(&self, ctx: &Ctx, held: &Held) -> Result<Turn> {
        let mut follow = held.follow.lock().await;
        let mut conn = self.store().read().await?;
        let run = conn.run_get(held.run.id).await?;
        if run.state != RunState::Live || run.attempt != held.run.attempt {
            return Ok(Turn::Gone);
        }
        let topic = EventTopic::Meeting(run.meeting_id);
        let (seen, _) = held.so_far();
        let events = conn.event_list(topic, seen, BATCH).await?;
        drop(conn);
        for event in &events {
            if self.run_see(ctx, held, &mut follow, event).await? == Turn::Gone {
                return Ok(Turn::Gone);
            }
            held.saw(event.seq);
        }
        if events.len() as i64 == BATCH {
            return Ok(Turn::More);
        }
        if held.works_as(AgentRole::Scribe) && follow.dirty {
            let wait = self.pass_due(ctx, &follow);
            if !wait.is_zero() {
                return Ok(Turn::Rest(wait));
            }
            self.scribe_pass(ctx, held, &mut follow).await?;
        }
        Ok(Turn::Rest(REST))
    }

    /// One event of the meeting.
    async fn run_see(
        &self,
        ctx: &Ctx,
        held: &Held,
        follow: &mut Follow,
        event: &Event,
    ) -> Result<Turn> {
        match event.kind {
            EventKind::SegmentFinalized => {
                held.count(|counters| counters.segments += 1);
                follow.dirty = true;
            }
            EventKind::SegmentCorrected | EventKind::SegmentErased => follow.dirty = true,
            EventKind::MeetingEnded | EventKind::MeetingArchived => {
                let reason = RunReason::MeetingEnded;
                self.run_finish(ctx, held, RunState::Completed, reason)
                    .await?;
                return Ok(Turn::Gone);
            }
            EventKind::ParticipantRemoved => return self.run_see_removed(ctx, held, event).await,
            EventKind::ParticipantUpdated => self.run_see_muted(ctx, held, event).await?,
            EventKind::MessagePosted if held.works_as(AgentRole::Assistant) => {
                self.assistant_consider(ctx, held, event).await?;
            }
            _ => {}
        }
        Ok(Turn::More)
    }

    /// Somebody was removed: the agent itself, or its owner, without whom it has no business here.
    async fn run_see_removed(&self, ctx: &Ctx, held: &Held, event: &Event) -> Result<Turn> {
        let Ok(removed) = serde_json::from_value::<Participant>(event.data.clone()) else {
            return Ok(Turn::More);
        };
        let reason = if removed.id == held.participant_id {
            RunReason::Removed
        } else if removed.user_id == Some(held.run.owner_id) {
            RunReason::OwnerRemoved
        } else {
            return Ok(Turn::More);
        };
        self.run_finish(ctx, held, RunState::Completed, reason)
            .await?;
        Ok(Turn::Gone)
    }

    /// A host muted the agent in the list of participants, or let it speak again.
    async fn run_see_muted(&self, ctx: &Ctx, held: &Held, event: &Event) -> Result<()> {
        let Ok(updated) = serde_json::from_value::<Participant>(event.data.clone()) else {
            return Ok(());
        };
        if updated.id != held.participant_id {
            return Ok(());
        }
        let mut change = self.change(ctx).await?;
        let run = change.run_lock(held.run.id).await?;
        // The list as it is now counts, not as it was when the event was written.
        let now = change
            .participant_find_agent(run.meeting_id, run.agent_id)
            .await?
            .is_some_and(|participant| participant.muted);
        let is_muted = run.activity == Some(RunActivity::Muted);
        if run.state != RunState::Live || now == is_muted {
            return Ok(());
        }
        let step = if now {
            Step::live(RunActivity::Muted, RunReason::Muted)
        } else {
            Step::live(RunActivity::Listening, RunReason::Unmuted)
        };
        self.run_advance(&mut change, ctx, &run, step).await?;
        change.commit().await
    }

    /// Ends a run that this process holds. Nothing happens when it is over already.
    pub(super) async fn run_finish(
        &self,
        ctx: &Ctx,
        held: &Held,
        state: RunState,
        reason: RunReason,
    ) -> Result<()> {
        let mut change = self.change(ctx).await?;
        let run = change.run_lock(held.run.id).await?;
        if run.state.is_terminal() || run.attempt != held.run.attempt {
            return Ok(());
        }
        self.run_end(&mut change, ctx, &run, Step::to(state, reason))
            .await?;
        change.commit().await
    }

    /// Changes what a live run does; `false` when it is muted, over, or no longer ours.
    pub(super) async fn run_activity(
        &self,
        ctx: &Ctx,
        held: &Held,
        activity: RunActivity,
        reason: RunReason,
    ) -> Result<bool> {
        let mut change = self.change(ctx).await?;
        let run = change.run_lock(held.run.id).await?;
        let is_ours = run.state == RunState::Live && run.attempt == held.run.attempt;
        if !is_ours || run.activity == Some(RunActivity::Muted) {
            return Ok(false);
        }
        self.run_advance(&mut change, ctx, &run, Step::live(activity, reason))
            .await?;
        change.commit().await?;
        Ok(true)
    }

    /// How long until the next pass may begin.
    fn pass_due(&self, ctx: &Ctx, follow: &Follow) -> Duration {
        let Some(last) = follow.last_pass else {
            return Duration::ZERO;
        };
        let doublings = follow.failures.min(10);
        let interval = self.settings().notes_interval;
        let wait = interval
            .saturating_mul(1 << doublings)
            .min(WAIT_MAX.max(interval));
        let passed = u64::try_from(ctx.now.millis_since(last)).unwrap_or(0);
        wait.saturating_sub(Duration::from_millis(passed))
    }

    /// Writes the notes anew. Segments that come meanwhile are for the next pass.
    async fn scribe_pass(&self, ctx: &Ctx, held: &Held, follow: &mut Follow) -> Result<()> {
        follow.last_pass = Some(ctx.now);
        follow.dirty = false;
        let began = Instant::now();
        let pass = self.notes_refresh(ctx, held.run.meeting_id, false);
        tokio::pin!(pass);
        let outcome = tokio::select! {
            outcome = &mut pass => outcome,
            () = tokio::time::sleep(QUIET) => {
                // Both at once: the pass may hold the one connection that the announcement waits for.
                let announce =
                    self.run_activity(ctx, held, RunActivity::Thinking, RunReason::Working);
                let (outcome, announced) = tokio::join!(pass, announce);
                if announced.unwrap_or(false) {
                    self.run_activity(ctx, held, RunActivity::Listening, RunReason::Worked)
                        .await?;
                }
                outcome
            }
        };
        match outcome {
            Ok(pass) => {
                follow.failures = 0;
                held.took(i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX));
                if pass.changed {
                    held.count(|counters| counters.passes += 1);
                }
                Ok(())
            }
            Err(error) => {
                follow.failures = follow.failures.saturating_add(1);
                follow.dirty = true;
                tracing::warn!(run_id = %held.run.id, meeting_id = %held.run.meeting_id, %error, "a pass over the notes failed and will be tried again");
                Ok(())
            }
        }
    }
}
