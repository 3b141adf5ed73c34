//! Agents and their runs.

use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use crate::text_enum::text_enum;
use crate::{AgentId, MeetingId, ParticipantId, RunEventId, RunId, Timestamp, UserId};

text_enum! {
    /// What an agent is for.
    AgentRole {
        /// Follows the meeting and keeps the notes.
        Scribe = "scribe",
        /// Answers when addressed, from transcripts and memories, with citations.
        Assistant = "assistant",
    }
}

text_enum! {
    /// When an assistant answers.
    AddressPolicy {
        /// When its name is written or a command is typed.
        Mention = "mention",
        /// Every question in chat.
        Questions = "questions",
        /// Never by itself.
        Silent = "silent",
    }
}

/// The versioned part of an agent. Absent quotas mean the instance's own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct AgentConfig {
    /// What it should keep in mind; used by a language model when one is configured.
    pub instructions: Option<String>,
    /// A BCP 47 tag.
    pub language: Option<String>,
    /// The language model's name at the configured provider.
    pub model: Option<String>,
    /// The voice's name at the configured provider.
    pub voice: Option<String>,
    /// The tools it may call, by name; none when empty.
    pub tools: Vec<String>,
    /// Which memories it reads: `user`, `meeting`, `agent`.
    pub memory_scopes: Vec<String>,
    /// When it answers.
    pub address_policy: Option<AddressPolicy>,
    /// The LiveKit agent name of the worker that does its work; empty for workers without a name.
    /// Absent: this server does the work itself.
    pub worker: Option<String>,
    /// Its own limits, below the instance's.
    pub quotas: AgentQuotas,
}

/// Limits of one agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct AgentQuotas {
    /// Live runs at the same time.
    pub concurrent_runs: Option<i64>,
    /// Answers per hour.
    pub answers_per_hour: Option<i64>,
}

/// An agent: a definition that a user owns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow, utoipa::ToSchema)]
pub struct Agent {
    /// The id.
    pub id: AgentId,
    /// Who owns it.
    pub owner_id: UserId,
    /// Its name, by which it is addressed.
    pub name: String,
    /// What it is for.
    pub role: AgentRole,
    /// The configuration in force.
    #[sqlx(json)]
    pub config: AgentConfig,
    /// Counts up with every change of the configuration.
    pub version: i64,
    /// Whether it joins its owner's next meetings by itself.
    pub auto_join: bool,
    /// When it was disabled.
    pub disabled_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// One version of an agent's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow, utoipa::ToSchema)]
pub struct AgentVersion {
    /// Counts up from 1.
    pub version: i64,
    /// The configuration.
    #[sqlx(json)]
    pub config: AgentConfig,
    /// When it came into force.
    pub created_at: Timestamp,
}

text_enum! {
    /// An agent's status, derived from its runs.
    AgentStatus {
        /// A run is live or on its way.
        Running = "running",
        /// None is.
        Stopped = "stopped",
        /// It may not run.
        Disabled = "disabled",
    }
}

text_enum! {
    /// Where a run stands.
    RunState {
        /// Waiting for a place.
        Queued = "queued",
        /// A node is taking it.
        Dispatching = "dispatching",
        /// The agent is being made.
        Starting = "starting",
        /// It is entering the meeting.
        Joining = "joining",
        /// It is in the meeting.
        Live = "live",
        /// It finishes what it has.
        Draining = "draining",
        /// Over, as planned.
        Completed = "completed",
        /// Over, by a fault.
        Failed = "failed",
        /// Over, because somebody said so.
        Cancelled = "cancelled",
        /// Its node was gone and nobody could take it over.
        Lost = "lost",
    }
}

impl RunState {
    /// Whether the run is over.
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            RunState::Completed | RunState::Failed | RunState::Cancelled | RunState::Lost
        )
    }

    /// Whether a run may go from here to `next`.
    pub const fn may_become(self, next: RunState) -> bool {
        use RunState as S;
        match self {
            S::Queued => matches!(next, S::Dispatching | S::Cancelled | S::Failed | S::Lost),
            S::Dispatching => matches!(
                next,
                S::Starting | S::Queued | S::Cancelled | S::Failed | S::Lost
            ),
            S::Starting => matches!(
                next,
                S::Joining | S::Queued | S::Cancelled | S::Failed | S::Lost
            ),
            S::Joining => matches!(
                next,
                S::Live | S::Queued | S::Cancelled | S::Failed | S::Lost
            ),
            S::Live => matches!(
                next,
                S::Draining | S::Queued | S::Cancelled | S::Failed | S::Lost
            ),
            S::Draining => matches!(
                next,
                S::Completed | S::Queued | S::Cancelled | S::Failed | S::Lost
            ),
            S::Completed | S::Failed | S::Cancelled | S::Lost => false,
        }
    }
}

text_enum! {
    /// What a live run does.
    RunActivity {
        /// It follows.
        Listening = "listening",
        /// It works on an answer or on notes.
        Thinking = "thinking",
        /// It speaks or writes.
        Speaking = "speaking",
        /// Somebody muted it: it follows but does not answer.
        Muted = "muted",
    }
}

/// What a run has done so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct RunCounters {
    /// Final segments followed.
    pub segments: i64,
    /// Note passes written.
    pub passes: i64,
    /// Answers given.
    pub answers: i64,
    /// Tool calls made.
    pub tool_calls: i64,
    /// Model tokens read and written; 0 without a model.
    pub tokens: i64,
    /// Cost in US dollars; 0 without a model.
    pub cost_usd: f64,
    /// The median time of one pass or answer, in milliseconds.
    pub latency_p50_ms: i64,
    /// The slowest of the last passes or answers, in milliseconds.
    pub latency_max_ms: i64,
}

/// One run of an agent in one meeting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow, utoipa::ToSchema)]
pub struct Run {
    /// The id.
    pub id: RunId,
    /// The agent.
    pub agent_id: AgentId,
    /// The configuration it was started with.
    pub agent_version: i64,
    /// The agent's owner.
    pub owner_id: UserId,
    /// The meeting.
    pub meeting_id: MeetingId,
    /// The agent's participant in the meeting, once it joined.
    pub participant_id: Option<ParticipantId>,
    /// Where it stands.
    pub state: RunState,
    /// What it does while live.
    pub activity: Option<RunActivity>,
    /// Why it stands there, as a stable word.
    pub reason_code: String,
    /// Why, as a sentence.
    pub message: String,
    /// 1 at first; counts up when another node or process takes it over.
    pub attempt: i64,
    /// How far it has followed the meeting's events.
    pub seen_seq: i64,
    /// What it has done.
    #[sqlx(json)]
    pub counters: RunCounters,
    /// The node that holds it.
    pub lease_owner: Option<String>,
    /// Until when the node holds it without another heartbeat.
    pub lease_until: Option<Timestamp>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it became live.
    pub live_at: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// One step in the life of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow, utoipa::ToSchema)]
pub struct RunEvent {
    /// The id.
    pub id: RunEventId,
    /// The run.
    pub run_id: RunId,
    /// Where it stood.
    pub from_state: Option<RunState>,
    /// Where it stands.
    pub to_state: RunState,
    /// What it does, if live.
    pub activity: Option<RunActivity>,
    /// Why, as a stable word.
    pub reason_code: String,
    /// Why, as a sentence.
    pub message: String,
    /// Who caused it, such as `user:usr_…`.
    pub actor: String,
    /// The attempt it belongs to.
    pub attempt: i64,
    /// When.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_is_over_stays_over() {
        for from in RunState::ALL {
            for to in RunState::ALL {
                assert!(
                    !(from.is_terminal() && from.may_become(*to)),
                    "{from} -> {to}"
                );
                if !from.is_terminal() {
                    assert!(from.may_become(RunState::Lost), "{from} can be lost");
                }
            }
        }
    }
}
