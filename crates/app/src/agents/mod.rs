//! Agents and their runs.

use meetmind_core::{AgentId, Ctx, Error, Meeting, Result};

use crate::{App, Change};

/// What this process knows of the runs it holds.
#[derive(Debug, Default)]
pub(crate) struct State {}

impl App {
    /// Lets agents of the caller come along to a meeting: they get a queued run each.
    pub(crate) async fn meeting_agents_invite(
        &self,
        _change: &mut Change<'_>,
        _ctx: &Ctx,
        _meeting: &Meeting,
        agents: &[AgentId],
    ) -> Result<()> {
        if agents.is_empty() {
            Ok(())
        } else {
            Err(Error::not_found("agent"))
        }
    }

    /// Queues runs of the owner's agents that join by themselves.
    pub(crate) async fn agents_auto_join(
        &self,
        _change: &mut Change<'_>,
        _ctx: &Ctx,
        _meeting: &Meeting,
    ) -> Result<()> {
        Ok(())
    }
}
