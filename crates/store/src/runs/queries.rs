//! Which runs there are: lists, counts, and what needs attention.

use meetmind_core::{
    AgentConfig, AgentId, AgentRole, MeetingId, MessageId, ParticipantId, Run, RunId, RunState,
    Timestamp, UserId,
};
use sqlx::types::Json;

use super::run_columns;
use crate::db::{fetch_all, fetch_one, fetch_optional};
use crate::statements::statements;
use crate::{Conn, Result};

statements! {
    RUN_LIST_OF_AGENT = concat!("SELECT ", run_columns!(), " FROM runs r WHERE r.agent_id = $1 AND (r.id < $2 OR $2 IS NULL) ORDER BY r.id DESC LIMIT $3");
    // Of each agent the newest run.
    RUN_LIST_OF_MEETING = concat!("SELECT ", run_columns!(), ", a.name AS agent_name, a.role AS agent_role FROM runs r JOIN agents a ON a.id = r.agent_id
        WHERE r.meeting_id = $1 AND (r.id < $2 OR $2 IS NULL)
        AND r.id = (SELECT n.id FROM runs n WHERE n.agent_id = r.agent_id AND n.meeting_id = r.meeting_id ORDER BY n.id DESC LIMIT 1)
        ORDER BY r.id DESC LIMIT $3");
    RUN_LIST_ALL = concat!("SELECT ", run_columns!(), " FROM runs r WHERE (r.state = $1 OR $1 IS NULL) AND (r.id < $2 OR $2 IS NULL) ORDER BY r.id DESC LIMIT $3");
    RUN_OPEN_OF_AGENT = concat!("SELECT ", run_columns!(), " FROM runs r WHERE r.agent_id = $1 AND r.ended_at IS NULL ORDER BY r.id");
    // One page of a list of agents at once: the pages are in the order of the ids.
    RUN_OPEN_OF_AGENTS = concat!("SELECT ", run_columns!(), " FROM runs r WHERE r.agent_id >= $1 AND r.agent_id <= $2 AND (r.owner_id = $3 OR $3 IS NULL)
        AND r.ended_at IS NULL ORDER BY r.id");
    // A run whose node was silent for too long.
    RUN_EXPIRED = concat!("SELECT ", run_columns!(), " FROM runs r WHERE r.ended_at IS NULL AND r.state <> 'queued' AND r.lease_until < $1 ORDER BY r.id LIMIT $2");
    // A run that another process held; for a database that one process alone can open.
    RUN_ORPHANED = concat!("SELECT ", run_columns!(), " FROM runs r WHERE r.ended_at IS NULL AND r.state <> 'queued' AND r.lease_owner <> $1 ORDER BY r.id LIMIT $2");
    // Queued for a meeting that will not come any more.
    RUN_POINTLESS = concat!("SELECT ", run_columns!(), " FROM runs r JOIN meetings m ON m.id = r.meeting_id
        WHERE r.ended_at IS NULL AND r.state = 'queued' AND (m.status = 'ended' OR m.archived_at IS NOT NULL) ORDER BY r.id LIMIT $1");
    // What waits for a meeting that has not begun takes no place yet.
    RUN_COUNT_OPEN = "SELECT COUNT(*) FROM runs r JOIN meetings m ON m.id = r.meeting_id
        WHERE r.owner_id = $1 AND r.ended_at IS NULL AND m.status <> 'scheduled'";
    RUN_COUNT_OPEN_OF_AGENT = "SELECT COUNT(*) FROM runs r JOIN meetings m ON m.id = r.meeting_id
        WHERE r.agent_id = $1 AND r.ended_at IS NULL AND m.status <> 'scheduled'";
    RUN_COUNT_SINCE = "SELECT COUNT(*), MIN(created_at) FROM runs WHERE owner_id = $1 AND created_at > $2";
    // With the configuration that each run was started with.
    RUN_ASSISTANTS = "SELECT a.name, coalesce(v.config, a.config) FROM runs r JOIN agents a ON a.id = r.agent_id
        LEFT JOIN agent_versions v ON v.agent_id = r.agent_id AND v.version = r.agent_version
        WHERE r.meeting_id = $1 AND r.ended_at IS NULL AND a.role = 'assistant' ORDER BY r.id";
    RUN_COUNT_BY_STATE = "SELECT state, COUNT(*) FROM runs WHERE ended_at IS NULL GROUP BY state";
    ANSWER_FIND = "SELECT id FROM messages WHERE reply_to = $1 AND participant_id = $2 LIMIT 1";
    ANSWER_COUNT_SINCE = "SELECT COUNT(*) FROM messages WHERE participant_id = $1 AND kind = 'answer' AND created_at > $2";
}

/// An agent in a meeting.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct MeetingAgentRow {
    /// Its newest run there.
    #[sqlx(flatten)]
    pub run: Run,
    /// Its name.
    pub agent_name: String,
    /// What it is for.
    pub agent_role: AgentRole,
}

impl Conn {
    /// The runs of an agent, newest first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn run_list_of_agent(
        &mut self,
        agent_id: AgentId,
        before: Option<RunId>,
        limit: i64,
    ) -> Result<Vec<Run>> {
        fetch_all!(self, RUN_LIST_OF_AGENT, agent_id, before, limit)
    }

    /// The agents that are or were in a meeting with their newest runs there, newest first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn run_list_of_meeting(
        &mut self,
        meeting_id: MeetingId,
        before: Option<RunId>,
        limit: i64,
    ) -> Result<Vec<MeetingAgentRow>> {
        fetch_all!(self, RUN_LIST_OF_MEETING, meeting_id, before, limit)
    }

    /// The assistants with an open run in a meeting: name and configuration.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn run_assistants(
        &mut self,
        meeting_id: MeetingId,
    ) -> Result<Vec<(String, AgentConfig)>> {
        let rows: Vec<(String, Json<AgentConfig>)> = fetch_all!(self, RUN_ASSISTANTS, meeting_id)?;
        Ok(rows
            .into_iter()
            .map(|(name, config)| (name, config.0))
            .collect())
    }

    /// The runs of everybody, newest first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn run_list_all(
        &mut self,
        state: Option<RunState>,
        before: Option<RunId>,
        limit: i64,
    ) -> Result<Vec<Run>> {
        fetch_all!(self, RUN_LIST_ALL, state, before, limit)
    }

    /// The runs of an agent that are not over, in the order they were asked for.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn run_list_open(&mut self, agent_id: AgentId) -> Result<Vec<Run>> {
        fetch_all!(self, RUN_OPEN_OF_AGENT, agent_id)
    }

    /// The open runs of all agents whose ids lie between two, of one owner or of all.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn run_list_open_between(
        &mut self,
        first: AgentId,
        last: AgentId,
        owner_id: Option<UserId>,
    ) -> Result<Vec<Run>> {
        fetch_all!(self, RUN_OPEN_OF_AGENTS, first, last, owner_id)
    }

    /// Runs whose lease ran out before `now`.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn run_list_expired(&mut self, now: Timestamp, limit: i64) -> Result<Vec<Run>> {
        fetch_all!(self, RUN_EXPIRED, now, limit)
    }

    /// Runs that a node other than `node` held.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn run_list_orphaned(&mut self, node: &str, limit: i64) -> Result<Vec<Run>> {
        fetch_all!(self, RUN_ORPHANED, node, limit)
    }

    /// Queued runs whose meeting is over or deleted.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn run_list_pointless(&mut self, limit: i64) -> Result<Vec<Run>> {
        fetch_all!(self, RUN_POINTLESS, limit)
    }

    /// How many runs of a user are open in meetings that have begun.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn run_count_open(&mut self, owner_id: UserId) -> Result<i64> {
        let (count,): (i64,) = fetch_one!(self, RUN_COUNT_OPEN, owner_id)?;
        Ok(count)
    }

    /// How many runs of an agent are open in meetings that have begun.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn run_count_open_of_agent(&mut self, agent_id: AgentId) -> Result<i64> {
        let (count,): (i64,) = fetch_one!(self, RUN_COUNT_OPEN_OF_AGENT, agent_id)?;
        Ok(count)
    }

    /// How many runs a user asked for after `since`, and when the first of them was.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn run_count_since(
        &mut self,
        owner_id: UserId,
        since: Timestamp,
    ) -> Result<(i64, Option<Timestamp>)> {
        fetch_one!(self, RUN_COUNT_SINCE, owner_id, since)
    }

    /// How many runs stand in each open state.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn run_count_by_state(&mut self) -> Result<Vec<(RunState, i64)>> {
        fetch_all!(self, RUN_COUNT_BY_STATE)
    }

    /// Whether a participant answered a message already.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn answer_exists(
        &mut self,
        message_id: MessageId,
        participant_id: ParticipantId,
    ) -> Result<bool> {
        let row: Option<(MessageId,)> =
            fetch_optional!(self, ANSWER_FIND, message_id, participant_id)?;
        Ok(row.is_some())
    }

    /// How many answers a participant gave after `since`.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn answer_count_since(
        &mut self,
        participant_id: ParticipantId,
        since: Timestamp,
    ) -> Result<i64> {
        let (count,): (i64,) = fetch_one!(self, ANSWER_COUNT_SINCE, participant_id, since)?;
        Ok(count)
    }
}
