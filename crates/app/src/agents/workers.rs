//! Runs whose work a LiveKit worker does: a program of its own that is connected to `/agent`.
//!
//! An agent with `worker` in its configuration runs there. Its run asks for a dispatch of that name into
//! the meeting's room and then goes where the job goes. A job that came into a meeting by another way (a
//! token, a server call, a worker without a name) gets a run as well, of an agent of the meeting's owner
//! that is made for it, so that nothing works in a meeting unseen.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use livekit_protocol::CreateAgentDispatchRequest;
use meetmind_core::{
    Agent, AgentConfig, AgentRole, Ctx, EventKind, EventTopic, MeetingId, MeetingStatus, Result,
    Run, RunActivity, RunId, RunState, UserId,
};
use meetmind_media::agents::{JobChange, JobEvent};
use meetmind_store::Error as StoreError;

use super::RunReason;
use super::advance::Step;
use super::crud::all_scopes;
use super::held::Held;
use crate::{App, Change};

/// Agents of one owner among which a worker's is looked for.
const AGENTS_MAX: i64 = 10_000;
/// What the agent of workers without a name is called.
const NAMELESS: &str = "Worker";

/// The dispatches that runs follow, by their `AD_…`.
pub(super) type Followed = HashMap<String, Dispatch>;

/// One dispatch and its run.
#[derive(Debug)]
pub(super) struct Dispatch {
    run_id: RunId,
    /// The attempt that the dispatch serves; a run with another one is no longer its.
    attempt: i64,
    meeting_id: MeetingId,
    /// Whether the run asked for it; else it was there first.
    asked: bool,
    /// The jobs that are not over: one for the room, or one for each publisher or participant.
    jobs: BTreeSet<String>,
    /// Why the only job lost its worker.
    lost: Option<String>,
}

impl App {
    /// A dispatched run asks for its worker. False when it is over instead.
    pub(super) async fn worker_run_begin(
        &self,
        ctx: &Ctx,
        mut change: Change<'_>,
        run: &Run,
        agent: &Agent,
        worker: &str,
    ) -> Result<bool> {
        let first = change.run_event_list(run.id, None, 1).await?;
        let came = RunReason::WorkerCame.as_str();
        let step = if first.first().is_some_and(|step| step.reason_code == came) {
            // Nobody here asked for that job: whoever did asks again.
            Some(Step::to(RunState::Lost, RunReason::ProcessRestarted))
        } else if self.takes_workers() {
            None
        } else {
            Some(Step::to(RunState::Failed, RunReason::WorkersAbsent))
        };
        if let Some(step) = step {
            self.run_end(&mut change, ctx, run, step).await?;
            change.commit().await?;
            return Ok(false);
        }
        drop(change);
        // Held until the dispatch is written down: what its jobs tell waits meanwhile.
        let mut followed = self.inner.agents.followed.lock().await;
        let request = CreateAgentDispatchRequest {
            agent_name: worker.to_owned(),
            room: run.meeting_id.to_string(),
            metadata: agent.config.instructions.clone().unwrap_or_default(),
            attributes: HashMap::from([
                ("meetmind.run_id".to_owned(), run.id.to_string()),
                ("meetmind.agent_id".to_owned(), run.agent_id.to_string()),
            ]),
            ..CreateAgentDispatchRequest::default()
        };
        let id = self.worker_dispatch(request).await?;
        let dispatch = Dispatch {
            run_id: run.id,
            attempt: run.attempt,
            meeting_id: run.meeting_id,
            asked: true,
            jobs: BTreeSet::new(),
            lost: None,
        };
        followed.insert(id, dispatch);
        Ok(true)
    }

    /// Prolongs the leases of runs whose worker is not in the meeting yet, and takes back the dispatches
    /// of runs that are over.
    pub(super) async fn worker_runs_tend(&self, ctx: &Ctx) -> Result<()> {
        let mut followed = self.inner.agents.followed.lock().await;
        let mut over = Vec::new();
        for (id, dispatch) in followed.iter() {
            let found = self.store().read().await?.run_get(dispatch.run_id).await;
            let goes_on = match found {
                Ok(run) if run.state.is_terminal() || run.attempt != dispatch.attempt => false,
                Ok(run) if run.state == RunState::Live => true,
                Ok(run) => self.worker_run_wait(ctx, &run).await?,
                Err(StoreError::NotFound(_)) => false,
                Err(error) => return Err(error.into()),
            };
            if !goes_on {
                over.push(id.clone());
            }
        }
        for id in over {
            if let Some(dispatch) = followed.remove(&id) {
                self.worker_dismiss(dispatch.meeting_id, &id);
            }
        }
        Ok(())
    }

    /// A run goes on waiting for its worker; false when it is over, or no longer held here.
    async fn worker_run_wait(&self, ctx: &Ctx, seen: &Run) -> Result<bool> {
        let mut change = self.change(ctx).await?;
        let run = change.run_lock(seen.id).await?;
        if run.attempt != seen.attempt || run.state.is_terminal() {
            return Ok(false);
        }
        let meeting = change.meeting_get(run.meeting_id).await?;
        let goes_on = if meeting.status == MeetingStatus::Ended || meeting.archived_at.is_some() {
            let step = Step::to(RunState::Cancelled, RunReason::MeetingEnded);
            self.run_end(&mut change, ctx, &run, step).await?;
            false
        } else {
            let node = self.node_id().to_string();
            let lease_until = ctx.now.plus(self.settings().run_lease);
            change.run_heartbeat(&run, &node, lease_until).await?
        };
        change.commit().await?;
        Ok(goes_on)
    }

    /// A job of a worker changed: its run goes along.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub(crate) async fn worker_job(&self, ctx: &Ctx, job: &JobEvent) -> Result<()> {
        let Ok(meeting_id) = job.room.parse::<MeetingId>() else {
            return Ok(());
        };
        let mut followed = self.inner.agents.followed.lock().await;
        if !followed.contains_key(&job.dispatch_id) {
            if !matches!(job.change, JobChange::Queued { .. }) {
                return Ok(());
            }
            let Some(found) = self.worker_run_find(ctx, meeting_id, job).await? else {
                return Ok(());
            };
            followed.insert(job.dispatch_id.clone(), found);
        }
        let Some(dispatch) = followed.get_mut(&job.dispatch_id) else {
            return Ok(());
        };
        let goes_on = self.worker_run_move(ctx, dispatch, job).await?;
        if !goes_on
            && let Some(dispatch) = followed.remove(&job.dispatch_id)
            && dispatch.asked
        {
            self.worker_dismiss(meeting_id, &job.dispatch_id);
        }
        Ok(())
    }

    /// Moves a run as its job moved; false when that was its end.
    async fn worker_run_move(
        &self,
        ctx: &Ctx,
        dispatch: &mut Dispatch,
        job: &JobEvent,
    ) -> Result<bool> {
        let mut change = self.change(ctx).await?;
        change.meeting_hold(dispatch.meeting_id).await?;
        let run = match change.run_lock(dispatch.run_id).await {
            Ok(run) if !run.state.is_terminal() && run.attempt == dispatch.attempt => run,
            Ok(_) | Err(StoreError::NotFound(_)) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let end = match &job.change {
            JobChange::Queued { reason } => {
                dispatch.jobs.insert(job.job_id.clone());
                if dispatch.lost.take().is_some() {
                    let step = Step::to(RunState::Queued, RunReason::WorkerLost);
                    let step = step.saying(Some(reason));
                    let run = self.run_advance(&mut change, ctx, &run, step).await?;
                    let step = Step::to(RunState::Dispatching, RunReason::WorkerAwaited);
                    let run = self.run_advance(&mut change, ctx, &run, step).await?;
                    change.commit().await?;
                    dispatch.attempt = run.attempt;
                    self.inner.agents.release(run.id);
                }
                return Ok(true);
            }
            JobChange::Assigned { worker, .. } => {
                if run.state == RunState::Dispatching {
                    let message = format!("The worker {worker} took the job.");
                    let step = Step::to(RunState::Starting, RunReason::WorkerAssigned);
                    let step = step.saying(Some(&message));
                    self.run_advance(&mut change, ctx, &run, step).await?;
                    change.commit().await?;
                }
                return Ok(true);
            }
            JobChange::Running => {
                if run.state == RunState::Starting {
                    self.worker_run_live(ctx, change, &run).await?;
                }
                return Ok(true);
            }
            JobChange::Lost { reason, .. } => {
                // One of several: the others go on, and so does the run.
                if dispatch.jobs.len() <= 1 {
                    dispatch.lost = Some(reason.clone());
                }
                return Ok(true);
            }
            JobChange::Succeeded => Step::to(RunState::Completed, RunReason::WorkerDone),
            JobChange::Ended { reason } => {
                Step::to(RunState::Completed, RunReason::WorkerDismissed).saying(Some(reason))
            }
            JobChange::Failed { error } if dispatch.lost.is_some() => {
                Step::to(RunState::Lost, RunReason::AttemptsExhausted).saying(Some(error))
            }
            JobChange::Failed { error } => {
                let said = Some(error.as_str()).filter(|error| !error.is_empty());
                Step::to(RunState::Failed, RunReason::WorkerFailed).saying(said)
            }
        };
        dispatch.jobs.remove(&job.job_id);
        if !dispatch.jobs.is_empty() {
            return Ok(true);
        }
        self.run_end(&mut change, ctx, &run, end).await?;
        change.commit().await?;
        self.inner.agents.release(run.id);
        Ok(false)
    }

    /// The worker's agent is in the room: the run is live, and held here as any other.
    async fn worker_run_live(&self, ctx: &Ctx, mut change: Change<'_>, run: &Run) -> Result<()> {
        let agent = super::dispatch::agent_as_started(&mut change, run).await?;
        let (participant, came) = self.agent_enter(&mut change, ctx, run, &agent).await?;
        let run = Run {
            participant_id: Some(participant.id),
            ..run.clone()
        };
        let step = Step::to(RunState::Joining, RunReason::Entering);
        let run = self.run_advance(&mut change, ctx, &run, step).await?;
        if came {
            change
                .meeting_event(run.meeting_id, EventKind::ParticipantJoined, &participant)
                .await?;
        }
        let activity = if participant.muted {
            RunActivity::Muted
        } else {
            RunActivity::Listening
        };
        let step = Step::live(activity, RunReason::Joined);
        let run = self.run_advance(&mut change, ctx, &run, step).await?;
        change.commit().await?;
        let held = Arc::new(Held::new(run, agent, participant.id));
        self.run_hold(held);
        Ok(())
    }

    /// The run of a job that nobody here asked for; none when the meeting has no use for one.
    async fn worker_run_find(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        job: &JobEvent,
    ) -> Result<Option<Dispatch>> {
        let mut change = self.change(ctx).await?;
        change.meeting_hold(meeting_id).await?;
        let meeting = match change.meeting_get(meeting_id).await {
            Ok(meeting) => meeting,
            Err(StoreError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if meeting.status != MeetingStatus::Live || meeting.archived_at.is_some() {
            return Ok(None);
        }
        change.owner_lock(meeting.owner_id).await?;
        let name = &job.agent_name;
        let Some(agent) = self
            .worker_agent(&mut change, ctx, meeting.owner_id, name)
            .await?
        else {
            return Ok(None);
        };
        if agent.disabled_at.is_some() {
            // Its owner wants no runs of it, whoever sends it.
            self.worker_dismiss(meeting_id, &job.dispatch_id);
            return Ok(None);
        }
        let reason = RunReason::WorkerCame;
        let Some(run) = self
            .run_add(&mut change, ctx, &agent, &meeting, reason)
            .await?
        else {
            tracing::debug!(%meeting_id, agent_name = name, "a second dispatch of one name has no run of its own");
            return Ok(None);
        };
        let step = Step::to(RunState::Dispatching, RunReason::WorkerAwaited);
        let run = self.run_advance(&mut change, ctx, &run, step).await?;
        change.commit().await?;
        Ok(Some(Dispatch {
            run_id: run.id,
            attempt: run.attempt,
            meeting_id,
            asked: false,
            jobs: BTreeSet::new(),
            lost: None,
        }))
    }

    /// The owner's agent that stands for workers of a name; it is made when there is none. None when the
    /// owner may have no more agents.
    async fn worker_agent(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        owner_id: UserId,
        worker: &str,
    ) -> Result<Option<Agent>> {
        let agents = change
            .agent_list(Some(owner_id), None, None, AGENTS_MAX)
            .await?;
        let of_that_name = |agent: &Agent| agent.config.worker.as_deref() == Some(worker);
        if let Some(agent) = agents.into_iter().find(of_that_name) {
            return Ok(Some(agent));
        }
        if let Err(error) = self.agents_quota(change, ctx, owner_id).await {
            tracing::warn!(%owner_id, worker, %error, "a worker's job is not shown");
            return Ok(None);
        }
        let name: String = worker.trim().chars().take(80).collect();
        let agent = Agent {
            id: self.id(ctx),
            owner_id,
            name: if name.is_empty() {
                NAMELESS.to_owned()
            } else {
                name
            },
            role: AgentRole::Assistant,
            config: AgentConfig {
                worker: Some(worker.to_owned()),
                memory_scopes: all_scopes(),
                ..AgentConfig::default()
            },
            version: 1,
            auto_join: false,
            disabled_at: None,
            created_at: ctx.now,
            updated_at: ctx.now,
        };
        change.agent_insert(&agent).await?;
        change
            .event(EventTopic::User(owner_id), EventKind::AgentUpdated, &agent)
            .await?;
        Ok(Some(agent))
    }
}
