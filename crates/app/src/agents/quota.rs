//! What one user's agents may use. A refusal says how much is used, the limit, and when it resets.

use std::time::Duration;

use meetmind_core::{Agent, Code, Ctx, Error, Meeting, MeetingStatus, Result, Timestamp, UserId};
use meetmind_store::Conn;
use serde_json::json;

use crate::App;

const DAY: Duration = Duration::from_secs(86_400);

/// `reset` is absent where only the caller can make room.
fn refused(
    quota: &str,
    current: i64,
    limit: i64,
    reset: Option<Timestamp>,
    now: Timestamp,
) -> Error {
    let mut details = json!({ "quota": quota, "current": current, "limit": limit, "reset": reset });
    if let Some(reset) = reset {
        details["retry_after_s"] = json!(reset.seconds() - now.seconds() + 1);
    }
    Error::new(
        Code::QuotaExceeded,
        format!("the quota {quota} is used up: {current} of {limit}"),
    )
    .with_details(details)
}

impl App {
    /// Fails when a user has as many agents as allowed.
    pub(super) async fn agents_quota(
        &self,
        conn: &mut Conn,
        ctx: &Ctx,
        owner_id: UserId,
    ) -> Result<()> {
        let limit = self.settings().quotas.agents;
        let current = conn.agent_count(owner_id).await?;
        if current >= limit {
            return Err(refused("agents", current, limit, None, ctx.now));
        }
        Ok(())
    }

    /// Fails when one more run of the agent is more than its owner, or the agent, may have. A
    /// run that waits for a meeting takes its place only when the meeting begins.
    pub(super) async fn runs_quota(
        &self,
        conn: &mut Conn,
        ctx: &Ctx,
        agent: &Agent,
        meeting: &Meeting,
    ) -> Result<()> {
        let quotas = &self.settings().quotas;
        let since = ctx.now.minus(DAY);
        let (today, first) = conn.run_count_since(agent.owner_id, since).await?;
        if today >= quotas.runs_per_day {
            let reset = first.unwrap_or(ctx.now).plus(DAY);
            return Err(refused(
                "runs_per_day",
                today,
                quotas.runs_per_day,
                Some(reset),
                ctx.now,
            ));
        }
        if meeting.status == MeetingStatus::Scheduled {
            return Ok(());
        }
        let open = conn.run_count_open(agent.owner_id).await?;
        if open >= quotas.concurrent_runs {
            return Err(refused(
                "concurrent_runs",
                open,
                quotas.concurrent_runs,
                None,
                ctx.now,
            ));
        }
        if let Some(limit) = agent.config.quotas.concurrent_runs {
            let open = conn.run_count_open_of_agent(agent.id).await?;
            if open >= limit {
                return Err(refused("agent.concurrent_runs", open, limit, None, ctx.now));
            }
        }
        Ok(())
    }

    /// How many runs a user may still start today.
    pub(super) async fn runs_today_left(
        &self,
        conn: &mut Conn,
        ctx: &Ctx,
        owner_id: UserId,
    ) -> Result<i64> {
        let (today, _) = conn.run_count_since(owner_id, ctx.now.minus(DAY)).await?;
        Ok(self.settings().quotas.runs_per_day - today)
    }
}
