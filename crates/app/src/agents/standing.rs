//! Starting, stopping and disabling agents, and agents in meetings.

use meetmind_core::{
    Agent, AgentId, AgentStatus, Code, Ctx, Error, EventKind, EventTopic, Meeting, MeetingAction,
    MeetingId, MeetingStatus, Page, PageQuery, Result, Run, RunCounters, RunState, Scope,
};
use meetmind_store::MeetingAgentRow;
use serde_json::json;

use super::RunReason;
use super::advance::Step;
use super::crud::{AgentDetail, agent_own};
use crate::meetings::meeting_access;
use crate::{App, Change, valid};

impl App {
    /// Starts, stops or disables an agent. `running` with a meeting sends it there; without one
    /// it joins its owner's next meetings by itself. `stopped` ends its runs, `disabled` cancels
    /// them and lets none begin until it is set to `running` or `stopped` again.
    ///
    /// # Errors
    /// `NOT_FOUND` for other people's agents and unseen meetings, `FORBIDDEN` where the caller
    /// does not run the meeting, `MEETING_ENDED`, `AGENT_ALREADY_RUNNING`, `QUOTA_EXCEEDED`.
    pub async fn agent_status_set(
        &self,
        ctx: &Ctx,
        id: AgentId,
        status: AgentStatus,
        meeting_id: Option<MeetingId>,
        reason: Option<&str>,
    ) -> Result<AgentDetail> {
        let reason = reason
            .map(|reason| valid::line("reason", reason, 500))
            .transpose()?;
        if meeting_id.is_some() && status != AgentStatus::Running {
            return Err(Error::invalid(
                "meeting_id",
                "goes with the status `running` only; to take an agent out of one meeting, stop its run",
            ));
        }
        let mut change = self.change(ctx).await?;
        let old = agent_own(&mut change, ctx, id, Scope::AgentsRun).await?;
        let agent = Agent {
            auto_join: match status {
                AgentStatus::Running => old.auto_join || meeting_id.is_none(),
                AgentStatus::Stopped => false,
                AgentStatus::Disabled => old.auto_join,
            },
            disabled_at: match status {
                AgentStatus::Disabled => old.disabled_at.or(Some(ctx.now)),
                _ => None,
            },
            updated_at: ctx.now,
            ..old
        };
        if let Some(meeting_id) = meeting_id {
            let meeting = self.meeting_to_run(&mut change, ctx, meeting_id).await?;
            change.agent_standing_set(&agent).await?;
            self.run_start(&mut change, ctx, &agent, &meeting, RunReason::Requested)
                .await?;
        } else {
            change.agent_standing_set(&agent).await?;
        }
        let step = match status {
            AgentStatus::Running => None,
            AgentStatus::Stopped => Some(Step::to(RunState::Completed, RunReason::Stopped)),
            AgentStatus::Disabled => Some(Step::to(RunState::Cancelled, RunReason::AgentDisabled)),
        };
        let ended = match step {
            None => Vec::new(),
            Some(step) => {
                let step = step.saying(reason.as_deref());
                self.runs_end_all(&mut change, ctx, id, step).await?
            }
        };
        let topic = EventTopic::User(agent.owner_id);
        change.event(topic, EventKind::AgentUpdated, &agent).await?;
        let runs = change.run_list_open(id).await?;
        change.commit().await?;
        for run in ended {
            self.inner.agents.release(run.id);
        }
        Ok(AgentDetail::new(agent, runs))
    }

    /// Sends an agent of the caller to a meeting that the caller runs.
    ///
    /// # Errors
    /// As for [`App::agent_status_set`]; `CONFLICT` when the agent is disabled.
    pub async fn meeting_agent_add(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        agent_id: AgentId,
    ) -> Result<Run> {
        let mut change = self.change(ctx).await?;
        let meeting = self.meeting_to_run(&mut change, ctx, meeting_id).await?;
        let agent = agent_own(&mut change, ctx, agent_id, Scope::AgentsRun).await?;
        if agent.disabled_at.is_some() {
            return Err(Error::new(Code::Conflict, "the agent is disabled"));
        }
        let run = self
            .run_start(&mut change, ctx, &agent, &meeting, RunReason::Requested)
            .await?;
        change.commit().await?;
        Ok(run)
    }

    /// Takes an agent out of a meeting: by who runs the meeting, or by the agent's owner.
    ///
    /// # Errors
    /// `NOT_FOUND` when it is not there, or the meeting cannot be seen; `FORBIDDEN`.
    pub async fn meeting_agent_remove(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        agent_id: AgentId,
    ) -> Result<Run> {
        let mut change = self.change(ctx).await?;
        let found = change.run_find_open(agent_id, meeting_id).await?;
        let owns = found.as_ref().is_some_and(|run| self.owns_run(ctx, run));
        if owns {
            meetmind_core::scope_check(&ctx.actor, Scope::AgentsRun)?;
        } else {
            meeting_access(&mut change, ctx, meeting_id, MeetingAction::Manage).await?;
        }
        let run = found.ok_or_else(|| Error::not_found("agent in this meeting"))?;
        let run = change.run_lock(run.id).await?;
        if run.state.is_terminal() {
            return Err(Error::not_found("agent in this meeting"));
        }
        let step = Step::to(RunState::Completed, RunReason::Removed);
        let run = self.run_end(&mut change, ctx, &run, step).await?;
        change.commit().await?;
        self.inner.agents.release(run.id);
        Ok(run)
    }

    /// The agents that are or were in a meeting, each with its newest run there.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_CURSOR`.
    pub async fn meeting_agent_list(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        page: &PageQuery,
    ) -> Result<Page<MeetingAgentRow>> {
        let mut conn = self.store().read().await?;
        meeting_access(&mut conn, ctx, meeting_id, MeetingAction::Read).await?;
        let before = crate::meetings::cursor_id(page)?;
        let rows = conn
            .run_list_of_meeting(meeting_id, before, page.limit + 1)
            .await?;
        Ok(Page::from_rows(rows, page.limit, |row| {
            crate::meetings::cursor_of(row.run.id)
        }))
    }

    /// A meeting that the caller runs and that an agent can still join. Its row is held, so that
    /// it does not begin or end meanwhile.
    async fn meeting_to_run(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        id: MeetingId,
    ) -> Result<Meeting> {
        meetmind_core::scope_check(&ctx.actor, Scope::AgentsRun)?;
        meeting_access(change, ctx, id, MeetingAction::Manage).await?;
        change.meeting_hold(id).await?;
        let access = meeting_access(change, ctx, id, MeetingAction::Manage).await?;
        if access.meeting.status == MeetingStatus::Ended {
            return Err(Error::new(Code::MeetingEnded, "the meeting has ended"));
        }
        Ok(access.meeting)
    }

    /// Queues a run within the quotas.
    pub(super) async fn run_start(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        agent: &Agent,
        meeting: &Meeting,
        reason: RunReason,
    ) -> Result<Run> {
        if let Some(run) = change.run_find_open(agent.id, meeting.id).await? {
            return Err(already_running(&run));
        }
        change.owner_lock(agent.owner_id).await?;
        self.runs_quota(change, ctx, agent, meeting).await?;
        if let Some(run) = self.run_add(change, ctx, agent, meeting, reason).await? {
            return Ok(run);
        }
        // Somebody else was faster between the look and the insert.
        match change.run_find_open(agent.id, meeting.id).await? {
            Some(run) => Err(already_running(&run)),
            None => Err(Error::new(
                Code::Conflict,
                "the agent was started and stopped at the same time: try again",
            )),
        }
    }

    /// Queues a run; none when the agent has an open one in the meeting.
    pub(super) async fn run_add(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        agent: &Agent,
        meeting: &Meeting,
        reason: RunReason,
    ) -> Result<Option<Run>> {
        // It follows what comes from now on; what was said before, a scribe reads as a whole.
        let (seen_seq, _) = change.event_range(EventTopic::Meeting(meeting.id)).await?;
        let message = if meeting.status == MeetingStatus::Scheduled {
            format!("{} It waits for the meeting to begin.", reason.sentence())
        } else {
            reason.sentence().to_owned()
        };
        let run = Run {
            id: self.id(ctx),
            agent_id: agent.id,
            agent_version: agent.version,
            owner_id: agent.owner_id,
            meeting_id: meeting.id,
            participant_id: None,
            state: RunState::Queued,
            activity: None,
            reason_code: reason.as_str().to_owned(),
            message,
            attempt: 1,
            seen_seq,
            counters: RunCounters::default(),
            lease_owner: None,
            lease_until: None,
            created_at: ctx.now,
            live_at: None,
            ended_at: None,
            updated_at: ctx.now,
        };
        if !change.run_insert(&run).await? {
            return Ok(None);
        }
        self.run_tell(change, ctx, None, &run).await?;
        Ok(Some(run))
    }

    /// Ends all open runs of an agent.
    pub(super) async fn runs_end_all(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        agent_id: AgentId,
        step: Step<'_>,
    ) -> Result<Vec<Run>> {
        let mut ended = Vec::new();
        for run in change.run_list_open(agent_id).await? {
            let run = change.run_lock(run.id).await?;
            if !run.state.is_terminal() {
                ended.push(self.run_end(change, ctx, &run, step).await?);
            }
        }
        Ok(ended)
    }
}

fn already_running(run: &Run) -> Error {
    Error::new(
        Code::AgentAlreadyRunning,
        "the agent is in that meeting already",
    )
    .with_details(json!({ "run_id": run.id, "state": run.state }))
}
