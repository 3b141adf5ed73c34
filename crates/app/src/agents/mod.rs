//! Agents and their runs.
//!
//! An agent is a definition; a run is one agent in one meeting. Runs move by one function
//! ([`App::run_advance`]) that writes the row, the step and the events together. A node holds a
//! run by a lease; what it knows of it beyond the row is in [`held::Held`] and can be lost.

mod advance;
mod assistant;
mod crud;
mod dispatch;
mod follow;
mod held;
mod quota;
mod reasons;
mod runs;
mod standing;
mod supervisor;
mod workers;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meetmind_core::{AgentId, Code, Ctx, Error, Meeting, Result, RunId, Scope, user_may};

use crate::{App, Change};

pub use crud::{AgentDetail, AgentNew, AgentPatch};
pub use dispatch::RunTick;
pub use reasons::RunReason;
pub use supervisor::BackgroundTasks;

/// Agents that can come along with a new meeting.
const AGENTS_PER_MEETING: usize = 20;

/// What this process knows of the runs it holds.
#[derive(Debug, Default)]
pub(crate) struct State {
    held: Mutex<HashMap<RunId, Arc<held::Held>>>,
    /// Asks the supervisor for a look before its next turn.
    look: tokio::sync::Notify,
    /// Whether each held run has a task of its own; else [`App::tick_runs`] does its work.
    background: AtomicBool,
    tasks: Mutex<tokio::task::JoinSet<()>>,
    /// What workers do for runs.
    followed: tokio::sync::Mutex<workers::Followed>,
}

impl State {
    fn held(&self) -> MutexGuard<'_, HashMap<RunId, Arc<held::Held>>> {
        // A panic elsewhere cannot leave the map half-written.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, id: RunId) -> Option<Arc<held::Held>> {
        self.held().get(&id).cloned()
    }

    fn all(&self) -> Vec<Arc<held::Held>> {
        self.held().values().cloned().collect()
    }

    /// Lets go of a run: its task stops at once.
    fn release(&self, id: RunId) {
        if let Some(held) = self.held().remove(&id) {
            held.stop.cancel();
        }
    }
}

impl App {
    /// Lets agents of the caller come along to a meeting: they get a queued run each.
    pub(crate) async fn meeting_agents_invite(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        meeting: &Meeting,
        agents: &[AgentId],
    ) -> Result<()> {
        if agents.is_empty() {
            return Ok(());
        }
        if agents.len() > AGENTS_PER_MEETING {
            return Err(Error::invalid(
                "agents",
                format!("must have at most {AGENTS_PER_MEETING} entries"),
            ));
        }
        let user_id = user_may(&ctx.actor, Scope::AgentsRun)?;
        let mut agents = agents.to_vec();
        agents.sort_unstable();
        agents.dedup();
        for id in agents {
            let agent = change.agent_get(id).await?;
            if agent.owner_id != user_id {
                return Err(Error::not_found("agent"));
            }
            if agent.disabled_at.is_some() {
                return Err(Error::new(Code::Conflict, "the agent is disabled")
                    .with_details(serde_json::json!({ "agent_id": id })));
            }
            self.run_start(change, ctx, &agent, meeting, RunReason::CameAlong)
                .await?;
        }
        Ok(())
    }

    /// Queues runs of the owner's agents that join by themselves. Who is over a quota stays out:
    /// the meeting begins all the same.
    pub(crate) async fn agents_auto_join(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        meeting: &Meeting,
    ) -> Result<()> {
        let limit = i64::try_from(AGENTS_PER_MEETING).unwrap_or(1);
        let agents = change.agent_list_auto_join(meeting.owner_id, limit).await?;
        for agent in agents {
            if self.runs_today_left(change, ctx, meeting.owner_id).await? < 1 {
                tracing::warn!(agent_id = %agent.id, meeting_id = %meeting.id, "an agent did not join by itself: its owner's runs of the day are used up");
                break;
            }
            self.run_add(change, ctx, &agent, meeting, RunReason::AutoJoin)
                .await?;
        }
        Ok(())
    }
}
