//! Dispatch: queued runs become live, silent nodes' runs are taken over, leases are prolonged.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use meetmind_core::{
    Agent, Code, Ctx, Error, EventKind, MeetingStatus, Result, Run, RunActivity, RunState,
};
use meetmind_store::{Conn, Engine};

use super::RunReason;
use super::advance::Step;
use super::held::Held;
use crate::App;

/// So often a run is tried: after that many processes died over it, it is lost.
const ATTEMPTS_MAX: i64 = 3;
/// Runs looked at per turn and cause; the rest waits for the next turn.
const BATCH: i64 = 100;
/// Runs one process holds at most; others wait in the queue or go to other nodes.
const HELD_MAX: usize = 500;

/// What one turn of the supervisor did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunTick {
    /// Queued runs that became live here.
    pub claimed: usize,
    /// Runs of silent nodes that went back to the queue.
    pub requeued: usize,
    /// Runs that were given up or no longer have a meeting.
    pub ended: usize,
    /// Runs held here.
    pub held: usize,
}

impl App {
    /// One turn of the supervisor: takes over what silent nodes held, ends what has no meeting
    /// any more, makes queued runs live, lets each held run do what there is to do (unless
    /// background tasks do), and prolongs the leases. Waits for nothing.
    ///
    /// # Errors
    /// When the database cannot be reached; the next turn goes on.
    pub async fn tick_runs(&self, ctx: &Ctx) -> Result<RunTick> {
        let mut tick = RunTick::default();
        // The leases first: what this process holds must not look silent to itself.
        self.runs_heartbeat(ctx).await?;
        self.worker_runs_tend(ctx).await?;
        self.runs_expire(ctx, &mut tick).await?;
        self.runs_drop_pointless(ctx, &mut tick).await?;
        self.runs_claim(ctx, &mut tick).await?;
        if !self.inner.agents.background.load(Ordering::Relaxed) {
            for held in self.inner.agents.all() {
                while self.run_turn(ctx, &held).await == super::follow::Turn::More {}
            }
        }
        tick.held = self.inner.agents.held().len();
        self.runs_gauge().await?;
        Ok(tick)
    }

    /// Puts everything back into the queue that a process before this one held. Only on SQLite,
    /// where no other process can be at work on the same database: there nobody has to wait
    /// until the leases run out. Gives the number of runs and jobs freed.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn recover_runs(&self) -> Result<u64> {
        if self.store().engine() != Engine::Sqlite {
            return Ok(0);
        }
        let ctx = self.system_ctx();
        let node = self.node_id().to_string();
        let mut tx = self.store().begin().await?;
        let mut freed = tx.job_release_others(&node).await?;
        tx.commit().await?;
        loop {
            let runs = self
                .store()
                .read()
                .await?
                .run_list_orphaned(&node, BATCH)
                .await?;
            if runs.is_empty() {
                return Ok(freed);
            }
            for run in runs {
                self.run_take_back(&ctx, &run, RunReason::ProcessRestarted)
                    .await?;
                freed += 1;
            }
        }
    }

    async fn runs_expire(&self, ctx: &Ctx, tick: &mut RunTick) -> Result<()> {
        let runs = self
            .store()
            .read()
            .await?
            .run_list_expired(ctx.now, BATCH)
            .await?;
        for run in runs {
            match self
                .run_take_back(ctx, &run, RunReason::LeaseExpired)
                .await?
            {
                Some(RunState::Queued) => tick.requeued += 1,
                Some(_) => tick.ended += 1,
                None => {}
            }
        }
        Ok(())
    }

    /// A run whose node is gone: back to the queue, or lost when that happened too often or the
    /// meeting is over. Gives where it stands now; none when somebody else was faster.
    async fn run_take_back(
        &self,
        ctx: &Ctx,
        seen: &Run,
        reason: RunReason,
    ) -> Result<Option<RunState>> {
        let mut change = self.change(ctx).await?;
        let run = change.run_lock(seen.id).await?;
        if run.state.is_terminal()
            || run.attempt != seen.attempt
            || run.lease_owner != seen.lease_owner
            || run.lease_until != seen.lease_until
        {
            return Ok(None);
        }
        let meeting = change.meeting_get(run.meeting_id).await?;
        let over = meeting.status == MeetingStatus::Ended || meeting.archived_at.is_some();
        let mut crashes = 1;
        for cause in [RunReason::LeaseExpired, RunReason::ProcessRestarted] {
            crashes += change.run_event_count(run.id, cause.as_str()).await?;
        }
        let step = if over {
            Step::to(RunState::Lost, RunReason::MeetingEnded)
        } else if crashes >= ATTEMPTS_MAX {
            Step::to(RunState::Lost, RunReason::AttemptsExhausted)
        } else {
            Step::to(RunState::Queued, reason)
        };
        let run = if step.to == RunState::Queued {
            self.run_advance(&mut change, ctx, &run, step).await?
        } else {
            self.run_end(&mut change, ctx, &run, step).await?
        };
        change.commit().await?;
        self.inner.agents.release(run.id);
        tracing::warn!(run_id = %run.id, state = run.state.as_str(), reason = run.reason_code, attempt = run.attempt, "a run was taken back from a silent node");
        Ok(Some(run.state))
    }

    async fn runs_drop_pointless(&self, ctx: &Ctx, tick: &mut RunTick) -> Result<()> {
        let runs = self.store().read().await?.run_list_pointless(BATCH).await?;
        for run in runs {
            let mut change = self.change(ctx).await?;
            let run = change.run_lock(run.id).await?;
            if run.state != RunState::Queued {
                continue;
            }
            let step = Step::to(RunState::Cancelled, RunReason::MeetingEnded);
            self.run_end(&mut change, ctx, &run, step).await?;
            change.commit().await?;
            tick.ended += 1;
        }
        Ok(())
    }

    async fn runs_claim(&self, ctx: &Ctx, tick: &mut RunTick) -> Result<()> {
        let node = self.node_id().to_string();
        let lease_until = ctx.now.plus(self.settings().run_lease);
        let per_owner = self.settings().quotas.concurrent_runs;
        while !self.is_draining() && self.inner.agents.held().len() < HELD_MAX {
            let mut change = self.change(ctx).await?;
            let Some(run) = change.run_claim(&node, lease_until, per_owner).await? else {
                break;
            };
            let agent = agent_as_started(&mut change, &run).await?;
            let reason = match agent.config.worker {
                Some(_) => RunReason::WorkerAwaited,
                None => RunReason::Claimed,
            };
            let step = Step::to(RunState::Dispatching, reason);
            let run = self.run_advance(&mut change, ctx, &run, step).await?;
            change.commit().await?;
            match self.run_begin(ctx, &run).await {
                Ok(true) => tick.claimed += 1,
                Ok(false) => tick.ended += 1,
                // It was stopped on its way in.
                Err(error) if matches!(error.code, Code::Conflict | Code::NotFound) => {
                    tracing::debug!(run_id = %run.id, %error, "a run did not become live");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Brings a dispatched run into its meeting; `false` when the meeting ended on the way.
    async fn run_begin(&self, ctx: &Ctx, dispatched: &Run) -> Result<bool> {
        let mut change = self.change(ctx).await?;
        let run = change.run_lock(dispatched.id).await?;
        if run.attempt != dispatched.attempt || run.state != RunState::Dispatching {
            return Err(Error::new(Code::Conflict, "the run moved meanwhile"));
        }
        let meeting = change.meeting_get(run.meeting_id).await?;
        if meeting.status == MeetingStatus::Ended || meeting.archived_at.is_some() {
            let step = Step::to(RunState::Cancelled, RunReason::MeetingEnded);
            self.run_end(&mut change, ctx, &run, step).await?;
            change.commit().await?;
            return Ok(false);
        }
        let agent = agent_as_started(&mut change, &run).await?;
        if let Some(worker) = agent.config.worker.clone() {
            return self
                .worker_run_begin(ctx, change, &run, &agent, &worker)
                .await;
        }
        let (participant, came) = self.agent_enter(&mut change, ctx, &run, &agent).await?;
        let step = Step::to(RunState::Starting, RunReason::Prepared);
        let run = self.run_advance(&mut change, ctx, &run, step).await?;
        let run = Run {
            participant_id: Some(participant.id),
            ..run
        };
        let step = Step::to(RunState::Joining, RunReason::Entering);
        let run = self.run_advance(&mut change, ctx, &run, step).await?;
        if came {
            change
                .meeting_event(run.meeting_id, EventKind::ParticipantJoined, &participant)
                .await?;
        }
        // A host's mute outlasts a hand-over.
        let activity = if participant.muted {
            RunActivity::Muted
        } else {
            RunActivity::Listening
        };
        let step = Step::live(activity, RunReason::Joined);
        let run = self.run_advance(&mut change, ctx, &run, step).await?;
        change.commit().await?;
        self.run_hold(Arc::new(Held::new(run, agent, participant.id)));
        Ok(true)
    }

    /// From now on this process follows the meeting for a live run.
    pub(super) fn run_hold(&self, held: Arc<Held>) {
        let old = self
            .inner
            .agents
            .held()
            .insert(held.run.id, Arc::clone(&held));
        if let Some(old) = old {
            old.stop.cancel();
        }
        self.run_spawn(held);
    }

    /// Prolongs the leases of what is held here and writes down how far it has come. What this
    /// process no longer holds, it lets go of.
    async fn runs_heartbeat(&self, ctx: &Ctx) -> Result<()> {
        let held = self.inner.agents.all();
        if held.is_empty() {
            return Ok(());
        }
        let node = self.node_id().to_string();
        let lease_until = ctx.now.plus(self.settings().run_lease);
        let mut lost = Vec::new();
        // By id, as everywhere: two changes that hold several runs never wait for each other.
        let mut rows: Vec<Run> = held.iter().map(|held| held.row()).collect();
        rows.sort_by_key(|run| run.id);
        let mut tx = self.store().begin().await?;
        for run in rows {
            if !tx.run_heartbeat(&run, &node, lease_until).await? {
                lost.push(run.id);
            }
        }
        tx.commit().await?;
        for id in lost {
            self.inner.agents.release(id);
        }
        Ok(())
    }

    async fn runs_gauge(&self) -> Result<()> {
        let counts = self.store().read().await?.run_count_by_state().await?;
        for state in RunState::ALL.iter().filter(|state| !state.is_terminal()) {
            let count = counts
                .iter()
                .find(|(counted, _)| counted == state)
                .map_or(0, |(_, count)| *count);
            metrics::gauge!("meetmind_agent_runs", "state" => state.as_str()).set(count as f64);
        }
        Ok(())
    }
}

/// The agent with the configuration that was in force when the run was asked for.
pub(super) async fn agent_as_started(conn: &mut Conn, run: &Run) -> Result<Agent> {
    let agent = conn.agent_get(run.agent_id).await?;
    if agent.version == run.agent_version {
        return Ok(agent);
    }
    let version = conn
        .agent_version_get(run.agent_id, run.agent_version)
        .await?;
    Ok(Agent {
        config: version.config,
        version: version.version,
        ..agent
    })
}
