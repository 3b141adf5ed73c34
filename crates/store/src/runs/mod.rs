//! Runs of agents and the steps of their lives.

mod queries;

use meetmind_core::{AgentId, MeetingId, Run, RunCounters, RunEvent, RunEventId, RunId, Timestamp};
use sqlx::types::Json;

use crate::db::{execute, fetch_all, fetch_optional};
use crate::statements::statements;
use crate::{Conn, Engine, Error, Result};

pub use queries::MeetingAgentRow;
pub(crate) use queries::STATEMENTS as QUERY_STATEMENTS;

/// The columns of a [`Run`], qualified by `r`.
macro_rules! run_columns {
    () => {
        "r.id, r.agent_id, r.agent_version, r.owner_id, r.meeting_id, r.participant_id, r.state, r.activity, r.reason_code, r.message, \
         r.attempt, r.seen_seq, r.counters, r.lease_owner, r.lease_until, r.created_at, r.live_at, r.ended_at, r.updated_at"
    };
}
pub(crate) use run_columns;

/// The columns of a [`Run`] as an UPDATE of `runs` gives them back.
macro_rules! run_returning {
    () => {
        " RETURNING id, agent_id, agent_version, owner_id, meeting_id, participant_id, state, activity, reason_code, message, attempt, \
         seen_seq, counters, lease_owner, lease_until, created_at, live_at, ended_at, updated_at"
    };
}

/// The next queued run that can start: its meeting is live, and its owner has a place left.
macro_rules! run_is_next {
    () => {
        "SELECT r.id FROM runs r JOIN meetings m ON m.id = r.meeting_id
         WHERE r.ended_at IS NULL AND r.state = 'queued' AND m.status = 'live' AND m.archived_at IS NULL
         AND (SELECT COUNT(*) FROM runs o WHERE o.owner_id = r.owner_id AND o.ended_at IS NULL AND o.state <> 'queued') < $3
         ORDER BY r.id LIMIT 1"
    };
}

statements! {
    // A second open run of the same agent in the same meeting is not added.
    RUN_INSERT = "INSERT INTO runs (id, agent_id, agent_version, owner_id, meeting_id, participant_id, state, activity, reason_code, message,
        attempt, seen_seq, counters, lease_owner, lease_until, created_at, live_at, ended_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
        ON CONFLICT (agent_id, meeting_id) WHERE ended_at IS NULL DO NOTHING";
    RUN_GET = concat!("SELECT ", run_columns!(), " FROM runs r WHERE r.id = $1");
    RUN_OPEN_FIND = concat!("SELECT ", run_columns!(), " FROM runs r WHERE r.agent_id = $1 AND r.meeting_id = $2 AND r.ended_at IS NULL");
    // Changes nothing, but holds the row until the commit and shows it as it is now.
    RUN_LOCK = concat!("UPDATE runs SET attempt = attempt WHERE id = $1", run_returning!());
    // The place the caller saw must still be the run's place.
    RUN_STATE_SET = "UPDATE runs SET state = $2, activity = $3, reason_code = $4, message = $5, attempt = $6, participant_id = $7, agent_version = $8,
        lease_owner = $9, lease_until = $10, live_at = $11, ended_at = $12, updated_at = $13
        WHERE id = $1 AND state = $14 AND attempt = $15 AND activity IS NOT DISTINCT FROM $16";
    RUN_CLAIM_SQLITE(sqlite) = concat!("UPDATE runs SET lease_owner = $1, lease_until = $2 WHERE id = (", run_is_next!(), ")", run_returning!());
    RUN_CLAIM_POSTGRES(postgres) = concat!("UPDATE runs SET lease_owner = $1, lease_until = $2 WHERE id = (", run_is_next!(), " FOR UPDATE OF r SKIP LOCKED)", run_returning!());
    RUN_HEARTBEAT = "UPDATE runs SET lease_until = $4, seen_seq = $5, counters = $6 WHERE id = $1 AND lease_owner = $2 AND attempt = $3 AND ended_at IS NULL";
    RUN_PROGRESS_SET = "UPDATE runs SET seen_seq = $2, counters = $3 WHERE id = $1";
    // Changes nothing, but keeps the meeting from beginning or ending until the commit.
    MEETING_HOLD = "UPDATE meetings SET version = version WHERE id = $1";
    RUN_EVENT_INSERT = "INSERT INTO run_events (id, run_id, from_state, to_state, activity, reason_code, message, actor, attempt, at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    RUN_EVENT_LAST = "SELECT id, at FROM run_events WHERE run_id = $1 ORDER BY id DESC LIMIT 1";
    RUN_EVENT_LIST = "SELECT id, run_id, from_state, to_state, activity, reason_code, message, actor, attempt, at FROM run_events
        WHERE run_id = $1 AND (id > $2 OR $2 IS NULL) ORDER BY id LIMIT $3";
    RUN_EVENT_COUNT = "SELECT COUNT(*) FROM run_events WHERE run_id = $1 AND reason_code = $2";
}

impl Conn {
    /// Adds a run. Gives `false`, and adds none, when the agent has an open run in that meeting.
    ///
    /// # Errors
    /// When the agent or the meeting is gone, or the database refuses.
    pub async fn run_insert(&mut self, r: &Run) -> Result<bool> {
        let added = execute!(
            self,
            RUN_INSERT,
            r.id,
            r.agent_id,
            r.agent_version,
            r.owner_id,
            r.meeting_id,
            r.participant_id,
            r.state,
            r.activity,
            &r.reason_code,
            &r.message,
            r.attempt,
            r.seen_seq,
            Json(&r.counters),
            &r.lease_owner,
            r.lease_until,
            r.created_at,
            r.live_at,
            r.ended_at,
            r.updated_at
        )?;
        Ok(added == 1)
    }

    /// One run.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database cannot be reached.
    pub async fn run_get(&mut self, id: RunId) -> Result<Run> {
        fetch_optional!(self, RUN_GET, id)?.ok_or(Error::NotFound("run"))
    }

    /// The open run of an agent in a meeting.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn run_find_open(
        &mut self,
        agent_id: AgentId,
        meeting_id: MeetingId,
    ) -> Result<Option<Run>> {
        fetch_optional!(self, RUN_OPEN_FIND, agent_id, meeting_id)
    }

    /// One run as it is now, held until the end of the transaction.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database refuses.
    pub async fn run_lock(&mut self, id: RunId) -> Result<Run> {
        fetch_optional!(self, RUN_LOCK, id)?.ok_or(Error::NotFound("run"))
    }

    /// Moves a run to where `new` stands, if it still stands where `old` does; gives whether it did.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn run_state_set(&mut self, old: &Run, new: &Run) -> Result<bool> {
        let changed = execute!(
            self,
            RUN_STATE_SET,
            new.id,
            new.state,
            new.activity,
            &new.reason_code,
            &new.message,
            new.attempt,
            new.participant_id,
            new.agent_version,
            &new.lease_owner,
            new.lease_until,
            new.live_at,
            new.ended_at,
            new.updated_at,
            old.state,
            old.attempt,
            old.activity
        )?;
        Ok(changed == 1)
    }

    /// Takes the next queued run whose meeting is live and whose owner has less than
    /// `per_owner` runs at work. Its state stays for the caller to change in this transaction.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn run_claim(
        &mut self,
        node: &str,
        lease_until: Timestamp,
        per_owner: i64,
    ) -> Result<Option<Run>> {
        let sql = match self.engine() {
            Engine::Sqlite => RUN_CLAIM_SQLITE,
            Engine::Postgres => RUN_CLAIM_POSTGRES,
        };
        fetch_optional!(self, sql, node, lease_until, per_owner)
    }

    /// Prolongs the lease and keeps how far the run has come. Gives `false` when the run is over
    /// or somebody else holds it: the caller must let go of it.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn run_heartbeat(
        &mut self,
        r: &Run,
        node: &str,
        lease_until: Timestamp,
    ) -> Result<bool> {
        let held = execute!(
            self,
            RUN_HEARTBEAT,
            r.id,
            node,
            r.attempt,
            lease_until,
            r.seen_seq,
            Json(&r.counters)
        )?;
        Ok(held == 1)
    }

    /// Keeps how far a run has come, whoever holds it.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn run_progress_set(
        &mut self,
        id: RunId,
        seen_seq: i64,
        counters: &RunCounters,
    ) -> Result<()> {
        execute!(self, RUN_PROGRESS_SET, id, seen_seq, Json(counters))?;
        Ok(())
    }

    /// Keeps a meeting from beginning or ending until the end of the transaction.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn meeting_hold(&mut self, id: MeetingId) -> Result<()> {
        execute!(self, MEETING_HOLD, id)?;
        Ok(())
    }

    /// Adds a step to the life of a run.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn run_event_insert(&mut self, e: &RunEvent) -> Result<()> {
        execute!(
            self,
            RUN_EVENT_INSERT,
            e.id,
            e.run_id,
            e.from_state,
            e.to_state,
            e.activity,
            &e.reason_code,
            &e.message,
            &e.actor,
            e.attempt,
            e.at
        )?;
        Ok(())
    }

    /// The newest step of a run, and when it was.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn run_event_last(
        &mut self,
        run_id: RunId,
    ) -> Result<Option<(RunEventId, Timestamp)>> {
        fetch_optional!(self, RUN_EVENT_LAST, run_id)
    }

    /// The life of a run, oldest step first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn run_event_list(
        &mut self,
        run_id: RunId,
        after: Option<RunEventId>,
        limit: i64,
    ) -> Result<Vec<RunEvent>> {
        fetch_all!(self, RUN_EVENT_LIST, run_id, after, limit)
    }

    /// How often a run came to a step for this reason.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn run_event_count(&mut self, run_id: RunId, reason_code: &str) -> Result<i64> {
        let row: Option<(i64,)> = fetch_optional!(self, RUN_EVENT_COUNT, run_id, reason_code)?;
        Ok(row.map_or(0, |(count,)| count))
    }
}
