//! The one function that moves runs, and what it needs around it.
//!
//! Rows are locked in one order everywhere, so that two changes never wait for each other:
//! meeting, agent, owner, run, participant, event topics.

use meetmind_core::{
    Actor, Agent, Code, Ctx, Error, EventKind, EventTopic, Id, MeetingRole, Participant,
    ParticipantState, Result, Run, RunActivity, RunEvent, RunEventId, RunState,
};
use serde::Serialize;
use serde_json::Value;

use super::RunReason;
use crate::{App, Change};

/// Where a run goes, and why.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step<'a> {
    /// The next state; the same one when only the activity changes.
    pub(super) to: RunState,
    /// What a live run does from now on; `Listening` when a run becomes live without a word.
    pub(super) activity: Option<RunActivity>,
    /// Why.
    pub(super) reason: RunReason,
    /// Why in other words than the reason's own.
    pub(super) message: Option<&'a str>,
}

impl<'a> Step<'a> {
    pub(super) fn to(to: RunState, reason: RunReason) -> Self {
        Self {
            to,
            activity: None,
            reason,
            message: None,
        }
    }
    pub(super) fn live(activity: RunActivity, reason: RunReason) -> Self {
        Self {
            activity: Some(activity),
            ..Self::to(RunState::Live, reason)
        }
    }
    pub(super) fn saying(self, message: Option<&'a str>) -> Self {
        Self { message, ..self }
    }
}

/// What `agent.state_changed` carries.
#[derive(Debug, Serialize)]
struct RunChanged<'a> {
    run_id: meetmind_core::RunId,
    agent_id: meetmind_core::AgentId,
    meeting_id: meetmind_core::MeetingId,
    participant_id: Option<meetmind_core::ParticipantId>,
    from: Option<RunState>,
    state: RunState,
    activity: Option<RunActivity>,
    reason_code: &'a str,
    message: &'a str,
    actor: &'a str,
    attempt: i64,
}

impl App {
    /// Moves a run, writes the step down and tells the run's and the meeting's listeners. `run`
    /// is as the caller read it; best under [`meetmind_store::Conn::run_lock`].
    ///
    /// # Errors
    /// `CONFLICT` when the state machine has no such step, or the run moved since it was read.
    pub(super) async fn run_advance(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        run: &Run,
        step: Step<'_>,
    ) -> Result<Run> {
        let stays = step.to == run.state;
        if (stays && run.state != RunState::Live) || (!stays && !run.state.may_become(step.to)) {
            return Err(Error::new(
                Code::Conflict,
                format!("a {} run cannot become {}", run.state, step.to),
            ));
        }
        let mut new = Run {
            state: step.to,
            activity: None,
            reason_code: step.reason.as_str().to_owned(),
            message: step.message.unwrap_or(step.reason.sentence()).to_owned(),
            updated_at: ctx.now,
            ..run.clone()
        };
        match step.to {
            RunState::Queued => {
                // Whoever takes it up next is another attempt; the old holder's writes no longer fit.
                new.attempt += 1;
                new.lease_owner = None;
                new.lease_until = None;
            }
            RunState::Dispatching => {
                new.lease_owner = Some(self.node_id().to_string());
                new.lease_until = Some(ctx.now.plus(self.settings().run_lease));
            }
            RunState::Live => {
                new.live_at = run.live_at.or(Some(ctx.now));
                new.activity = step.activity.or(Some(RunActivity::Listening));
            }
            _ if step.to.is_terminal() => {
                new.ended_at = Some(ctx.now);
                new.lease_owner = None;
                new.lease_until = None;
            }
            _ => {}
        }
        if !change.run_state_set(run, &new).await? {
            return Err(Error::new(Code::Conflict, "the run moved meanwhile"));
        }
        self.run_tell(change, ctx, Some(run.state), &new).await?;
        metrics::counter!("meetmind_run_transitions_total", "to" => step.to.as_str(), "reason" => step.reason.as_str()).increment(1);
        Ok(new)
    }

    /// Writes a step of a run's life and its events.
    pub(super) async fn run_tell(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        from: Option<RunState>,
        run: &Run,
    ) -> Result<()> {
        // Several steps can fall into one microsecond, and a caller that began earlier can come
        // later: ids and times must still sort.
        let fresh: RunEventId = self.id(ctx);
        let (id, at) = match change.run_event_last(run.id).await? {
            Some((last, at)) if last >= fresh => {
                let next = last.uuid().as_u128().saturating_add(1);
                (RunEventId::from_uuid(uuid::Uuid::from_u128(next)), at)
            }
            Some((_, at)) => (fresh, at),
            None => (fresh, ctx.now),
        };
        let actor = ctx.actor.key();
        let event = RunEvent {
            id,
            run_id: run.id,
            from_state: from,
            to_state: run.state,
            activity: run.activity,
            reason_code: run.reason_code.clone(),
            message: run.message.clone(),
            actor: actor.clone(),
            attempt: run.attempt,
            at: at.max(ctx.now),
        };
        change.run_event_insert(&event).await?;
        let data = RunChanged {
            run_id: run.id,
            agent_id: run.agent_id,
            meeting_id: run.meeting_id,
            participant_id: run.participant_id,
            from,
            state: run.state,
            activity: run.activity,
            reason_code: &run.reason_code,
            message: &run.message,
            actor: &actor,
            attempt: run.attempt,
        };
        let kind = EventKind::AgentStateChanged;
        change.event(EventTopic::Run(run.id), kind, &data).await?;
        change.meeting_event(run.meeting_id, kind, &data).await
    }

    /// Ends a run, wherever it stands, and takes its participant out of the meeting. A live run
    /// that is to be `completed` drains first; one that never was live is `cancelled` instead.
    /// Call [`super::State::release`] after the commit.
    pub(super) async fn run_end(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        run: &Run,
        step: Step<'_>,
    ) -> Result<Run> {
        if let Some(held) = self.inner.agents.find(run.id) {
            let (seen_seq, counters) = held.so_far();
            change.run_progress_set(run.id, seen_seq, &counters).await?;
        }
        let left = agent_leave(change, ctx, run).await?;
        let mut run = run.clone();
        let mut step = step;
        if step.to == RunState::Completed {
            if run.state == RunState::Live {
                let draining = Step {
                    to: RunState::Draining,
                    ..step
                };
                run = self.run_advance(change, ctx, &run, draining).await?;
            }
            if run.state != RunState::Draining {
                step.to = RunState::Cancelled;
            }
        }
        let run = self.run_advance(change, ctx, &run, step).await?;
        if let Some(participant) = left {
            change
                .meeting_event(run.meeting_id, EventKind::ParticipantLeft, &participant)
                .await?;
        }
        Ok(run)
    }

    /// Puts the agent on the meeting's list as joined; gives its participant and whether it
    /// came in just now.
    pub(super) async fn agent_enter(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        run: &Run,
        agent: &Agent,
    ) -> Result<(Participant, bool)> {
        let found = change
            .participant_find_agent(run.meeting_id, run.agent_id)
            .await?;
        let Some(old) = found else {
            let participant = Participant {
                id: self.id(ctx),
                meeting_id: run.meeting_id,
                user_id: None,
                agent_id: Some(agent.id),
                name: agent.name.clone(),
                role: MeetingRole::Agent,
                state: ParticipantState::Joined,
                muted: false,
                joined_at: Some(ctx.now),
                left_at: None,
                created_at: ctx.now,
                updated_at: ctx.now,
            };
            change.participant_insert(&participant).await?;
            return Ok((participant, true));
        };
        if old.state == ParticipantState::Joined {
            // It was handed over and never left.
            return Ok((old, false));
        }
        let participant = Participant {
            name: agent.name.clone(),
            role: MeetingRole::Agent,
            state: ParticipantState::Joined,
            muted: false,
            joined_at: Some(ctx.now),
            left_at: None,
            updated_at: ctx.now,
            ..old
        };
        change.participant_update(&participant).await?;
        Ok((participant, true))
    }

    /// The circumstances of what an agent does in its run.
    pub(super) fn agent_ctx(&self, ctx: &Ctx, run: &Run) -> Ctx {
        Ctx {
            actor: Actor::Agent {
                agent_id: run.agent_id,
                run_id: run.id,
                owner_id: run.owner_id,
                meeting_id: run.meeting_id,
            },
            ..ctx.clone()
        }
    }

    /// Tells that an agent said something.
    pub(super) async fn run_spoke(
        &self,
        change: &mut Change<'_>,
        run: &Run,
        message: &meetmind_core::Message,
    ) -> Result<()> {
        let data: Value = serde_json::json!({
            "run_id": run.id,
            "agent_id": run.agent_id,
            "meeting_id": run.meeting_id,
            "participant_id": run.participant_id,
            "message_id": message.id,
            "reply_to": message.reply_to,
        });
        change
            .event(EventTopic::Run(run.id), EventKind::AgentSpoke, &data)
            .await?;
        change
            .meeting_event(run.meeting_id, EventKind::AgentSpoke, &data)
            .await
    }
}

/// Takes the agent's participant out, if it is in; the event is the caller's business.
async fn agent_leave(change: &mut Change<'_>, ctx: &Ctx, run: &Run) -> Result<Option<Participant>> {
    let found = change
        .participant_find_agent(run.meeting_id, run.agent_id)
        .await?;
    let Some(old) = found.filter(|old| old.state == ParticipantState::Joined) else {
        return Ok(None);
    };
    let participant = Participant {
        state: ParticipantState::Left,
        left_at: Some(ctx.now),
        updated_at: ctx.now,
        ..old
    };
    change.participant_update(&participant).await?;
    Ok(Some(participant))
}
