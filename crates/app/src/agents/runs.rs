//! Looking at runs and taking over: say, mute, stop.

use meetmind_core::{
    Actor, AgentId, Code, Ctx, Error, EventKind, MeetingAction, Message, MessageKind, Page,
    PageQuery, Participant, Result, Run, RunActivity, RunEvent, RunId, RunState, Scope, admin_may,
    meeting_may, scope_check,
};
use meetmind_store::Conn;

use super::RunReason;
use super::advance::Step;
use super::crud::agent_own;
use crate::meetings::{cursor_id, cursor_of, meeting_access};
use crate::{App, MessageNew, valid};

/// What is to be done with a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RunAction {
    /// See it.
    Read,
    /// Stop or mute it.
    Rein,
    /// Speak in its name.
    Speak,
}

impl App {
    /// One run: for the agent's owner, who can see its meeting, and administrators.
    ///
    /// # Errors
    /// `NOT_FOUND` for everybody else.
    pub async fn run_get(&self, ctx: &Ctx, id: RunId) -> Result<Run> {
        self.run_access(&mut self.store().read().await?, ctx, id, RunAction::Read)
            .await
    }

    /// The life of a run, oldest step first.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_CURSOR`.
    pub async fn run_events(
        &self,
        ctx: &Ctx,
        id: RunId,
        page: &PageQuery,
    ) -> Result<Page<RunEvent>> {
        let mut conn = self.store().read().await?;
        self.run_access(&mut conn, ctx, id, RunAction::Read).await?;
        let after = cursor_id(page)?;
        let rows = conn.run_event_list(id, after, page.limit + 1).await?;
        Ok(Page::from_rows(rows, page.limit, |row| cursor_of(row.id)))
    }

    /// The runs of an agent of the caller, newest first.
    ///
    /// # Errors
    /// `NOT_FOUND` for other people's agents, `INVALID_CURSOR`.
    pub async fn agent_runs(&self, ctx: &Ctx, id: AgentId, page: &PageQuery) -> Result<Page<Run>> {
        let mut conn = self.store().read().await?;
        agent_own(&mut conn, ctx, id, Scope::AgentsRead).await?;
        let before = cursor_id(page)?;
        let rows = conn.run_list_of_agent(id, before, page.limit + 1).await?;
        Ok(run_page(rows, page))
    }

    /// The runs of everybody, newest first, for administrators. They hold no words of meetings.
    ///
    /// # Errors
    /// `FORBIDDEN`, `INVALID_CURSOR`.
    pub async fn admin_runs(
        &self,
        ctx: &Ctx,
        state: Option<RunState>,
        page: &PageQuery,
    ) -> Result<Page<Run>> {
        admin_may(&ctx.actor)?;
        let before = cursor_id(page)?;
        let rows = self
            .store()
            .read()
            .await?
            .run_list_all(state, before, page.limit + 1)
            .await?;
        Ok(run_page(rows, page))
    }

    /// Lets a live agent say something in the meeting's chat.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN`, `CONFLICT` when it is not in the meeting or is muted.
    pub async fn run_say(&self, ctx: &Ctx, id: RunId, text: &str) -> Result<Message> {
        let mut conn = self.store().read().await?;
        let run = self
            .run_access(&mut conn, ctx, id, RunAction::Speak)
            .await?;
        drop(conn);
        if text.chars().count() > 4000 {
            return Err(Error::invalid("text", "must have at most 4000 characters"));
        }
        let text = valid::text("text", text, 16_000)?;
        must_be_live(&run)?;
        if run.activity == Some(RunActivity::Muted) {
            return Err(Error::new(
                Code::Conflict,
                "the agent is muted: unmute it first",
            ));
        }
        let new = MessageNew {
            kind: MessageKind::Text,
            text,
            reply_to: None,
            segment_ids: Vec::new(),
        };
        let message = self
            .message_post(&self.agent_ctx(ctx, &run), run.meeting_id, new)
            .await?;
        let mut change = self.change(ctx).await?;
        let run = change.run_lock(id).await?;
        self.run_spoke(&mut change, &run, &message).await?;
        // It may have been stopped between the words and this line: the words are said all the same.
        if run.state == RunState::Live {
            let step = Step {
                to: RunState::Live,
                activity: run.activity,
                reason: RunReason::SpokenFor,
                message: None,
            };
            self.run_advance(&mut change, ctx, &run, step).await?;
        }
        change.commit().await?;
        Ok(message)
    }

    /// Mutes a live agent, or lets it speak again. A muted agent follows but does not answer.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN`, `CONFLICT` when it is not in the meeting.
    pub async fn run_mute(&self, ctx: &Ctx, id: RunId, muted: bool) -> Result<Run> {
        let mut change = self.change(ctx).await?;
        self.run_access(&mut change, ctx, id, RunAction::Rein)
            .await?;
        let run = change.run_lock(id).await?;
        must_be_live(&run)?;
        if muted == (run.activity == Some(RunActivity::Muted)) {
            return Ok(run);
        }
        let found = change
            .participant_find_agent(run.meeting_id, run.agent_id)
            .await?;
        let (activity, reason) = if muted {
            (RunActivity::Muted, RunReason::Muted)
        } else {
            (RunActivity::Listening, RunReason::Unmuted)
        };
        let participant = found.map(|old| Participant {
            muted,
            updated_at: ctx.now,
            ..old
        });
        if let Some(participant) = &participant {
            change.participant_update(participant).await?;
        }
        let run = self
            .run_advance(&mut change, ctx, &run, Step::live(activity, reason))
            .await?;
        if let Some(participant) = &participant {
            change
                .meeting_event(run.meeting_id, EventKind::ParticipantUpdated, participant)
                .await?;
        }
        change.commit().await?;
        Ok(run)
    }

    /// Stops a run. One that is over stays as it is.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN`, `VALIDATION_FAILED`.
    pub async fn run_stop(&self, ctx: &Ctx, id: RunId, reason: Option<&str>) -> Result<Run> {
        let mut change = self.change(ctx).await?;
        self.run_access(&mut change, ctx, id, RunAction::Rein)
            .await?;
        let reason = reason
            .map(|reason| valid::line("reason", reason, 500))
            .transpose()?;
        let run = change.run_lock(id).await?;
        if run.state.is_terminal() {
            return Ok(run);
        }
        let step = Step::to(RunState::Completed, RunReason::Stopped).saying(reason.as_deref());
        let run = self.run_end(&mut change, ctx, &run, step).await?;
        change.commit().await?;
        self.inner.agents.release(id);
        Ok(run)
    }

    /// Whether the caller is the person who owns the run's agent.
    pub(super) fn owns_run(&self, ctx: &Ctx, run: &Run) -> bool {
        matches!(&ctx.actor, Actor::User { user_id, .. } if *user_id == run.owner_id)
    }

    /// A run the caller may do this with. The owner may do everything; who sees the meeting sees
    /// the run, who runs the meeting may take it over; an administrator may look and stop, but
    /// not speak in a meeting.
    async fn run_access(
        &self,
        conn: &mut Conn,
        ctx: &Ctx,
        id: RunId,
        action: RunAction,
    ) -> Result<Run> {
        if ctx.actor == Actor::Anonymous {
            return Err(Error::new(Code::Unauthenticated, "sign in first"));
        }
        let run = conn.run_get(id).await?;
        let scope = match action {
            RunAction::Read => Scope::AgentsRead,
            RunAction::Rein | RunAction::Speak => Scope::AgentsRun,
        };
        if self.owns_run(ctx, &run) {
            scope_check(&ctx.actor, scope)?;
            // An agent never says what its owner may not say there.
            if action == RunAction::Speak {
                meeting_access(conn, ctx, run.meeting_id, MeetingAction::Speak).await?;
            }
            return Ok(run);
        }
        let access = meeting_access(conn, ctx, run.meeting_id, MeetingAction::Read).await;
        let is_admin = admin_may(&ctx.actor).is_ok() && action != RunAction::Speak;
        match access {
            Ok(access) => {
                scope_check(&ctx.actor, scope)?;
                if action != RunAction::Read && !is_admin {
                    let role = Some(access.role);
                    meeting_may(&ctx.actor, role, run.meeting_id, MeetingAction::Manage)?;
                }
                Ok(run)
            }
            Err(_) if is_admin => Ok(run),
            Err(error) if error.code == Code::NotFound => Err(Error::not_found("run")),
            Err(error) => Err(error),
        }
    }
}

fn run_page(rows: Vec<Run>, page: &PageQuery) -> Page<Run> {
    Page::from_rows(rows, page.limit, |row| cursor_of(row.id))
}

fn must_be_live(run: &Run) -> Result<()> {
    if run.state == RunState::Live {
        return Ok(());
    }
    Err(Error::new(
        Code::Conflict,
        format!(
            "the agent is not in the meeting now: its run is {}",
            run.state
        ),
    ))
}
