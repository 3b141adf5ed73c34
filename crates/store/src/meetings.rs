//! Meetings and series.

use meetmind_core::{
    Id, Meeting, MeetingId, MeetingRole, MeetingStatus, ParticipantId, ParticipantState, Series,
    SeriesId, Timestamp, UserId,
};
use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use crate::db::{execute, fetch_all, fetch_optional};
use crate::statements::statements;
use crate::{Conn, Error, Result};

/// The columns of a [`Meeting`], qualified by `m`.
macro_rules! meeting_columns {
    () => {
        "m.id, m.owner_id, m.series_id, m.title, m.description, m.status, m.starts_at, m.ends_at, m.time_zone, m.started_at, m.ended_at, \
         m.access, m.lobby, m.locked, m.consent_policy, m.memory_mode, m.memory_retention_days, m.glossary, m.version, m.created_at, m.updated_at, m.archived_at"
    };
}

/// Whether the participant `p` is more than somebody at the door: who waits there, and who was
/// removed, has no part in the meeting.
macro_rules! inside {
    () => {
        "p.state <> 'removed' AND (p.state <> 'waiting' OR p.role IN ('host', 'cohost'))"
    };
}

statements! {
    MEETING_INSERT = "INSERT INTO meetings (id, owner_id, series_id, title, description, status, starts_at, ends_at, time_zone, started_at, ended_at,
        access, lobby, locked, consent_policy, memory_mode, memory_retention_days, glossary, context, invite_code, version, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)";
    MEETING_UPDATE = "UPDATE meetings SET series_id = $2, title = $3, description = $4, starts_at = $5, ends_at = $6, time_zone = $7, access = $8,
        lobby = $9, locked = $10, consent_policy = $11, memory_mode = $12, memory_retention_days = $13, glossary = $14, version = version + 1, updated_at = $15
        WHERE id = $1 AND version = $16";
    MEETING_STATUS_SET = "UPDATE meetings SET status = $2, started_at = $3, ended_at = $4, version = version + 1, updated_at = $5 WHERE id = $1";
    // On Postgres this holds the row to the end of the transaction; SQLite has one writer anyway.
    MEETING_LOCK = "UPDATE meetings SET version = version WHERE id = $1";
    MEETING_ARCHIVE_SET = "UPDATE meetings SET archived_at = $2, version = version + 1, updated_at = $3 WHERE id = $1";
    MEETING_GET = concat!("SELECT ", meeting_columns!(), " FROM meetings m WHERE m.id = $1");
    MEETING_ACCESS_GET = concat!("SELECT ", meeting_columns!(), ", p.id AS participant_id, p.role, p.state, p.name AS participant_name
        FROM meetings m LEFT JOIN participants p ON p.meeting_id = m.id AND p.user_id = $2 WHERE m.id = $1");
    MEETING_ACCESS_BY_PARTICIPANT = concat!("SELECT ", meeting_columns!(), ", p.id AS participant_id, p.role, p.state, p.name AS participant_name
        FROM meetings m LEFT JOIN participants p ON p.meeting_id = m.id AND p.id = $2 WHERE m.id = $1");
    MEETING_ACCESS_BY_AGENT = concat!("SELECT ", meeting_columns!(), ", p.id AS participant_id, p.role, p.state, p.name AS participant_name
        FROM meetings m LEFT JOIN participants p ON p.meeting_id = m.id AND p.agent_id = $2 WHERE m.id = $1");
    // The text is matched with lower-cased LIKE on both engines; the caller escapes it. The order is that of the
    // user's participants, which an index has: so SQLite seeks a page and sorts nothing.
    MEETING_LIST = concat!("SELECT ", meeting_columns!(), " FROM meetings m JOIN participants p ON p.meeting_id = m.id
        WHERE p.user_id = $1 AND ", inside!(), " AND m.archived_at IS NULL
        AND m.id < $2 AND (m.status = $3 OR $3 IS NULL) AND (m.series_id = $4 OR $4 IS NULL)
        AND (coalesce(m.starts_at, m.created_at) >= $5 OR $5 IS NULL) AND (coalesce(m.starts_at, m.created_at) < $6 OR $6 IS NULL)
        AND (lower(m.title) LIKE $7 ESCAPE '!' OR lower(m.description) LIKE $7 ESCAPE '!' OR $7 IS NULL)
        ORDER BY p.meeting_id DESC LIMIT $8");
    MEETING_IDS_OF_SERIES = concat!("SELECT m.id FROM meetings m JOIN participants p ON p.meeting_id = m.id
        WHERE m.series_id = $1 AND p.user_id = $2 AND ", inside!(), " AND m.archived_at IS NULL ORDER BY m.id");
    MEETING_SECRET_GET = "SELECT invite_code, context FROM meetings WHERE id = $1";
    MEETING_INVITE_SET = "UPDATE meetings SET invite_code = $2 WHERE id = $1";
    MEETING_CONTEXT_SET = "UPDATE meetings SET context = $2, updated_at = $3 WHERE id = $1";
    MEETING_ARCHIVED_BEFORE = "SELECT id FROM meetings WHERE archived_at < $1 ORDER BY id LIMIT $2";
    MEETING_DELETE = "DELETE FROM meetings WHERE id = $1";
    MEETING_COUNT_LIVE = "SELECT COUNT(*) FROM meetings WHERE status = 'live' AND archived_at IS NULL";
    SERIES_INSERT = "INSERT INTO series (id, owner_id, title, created_at, updated_at) VALUES ($1, $2, $3, $4, $5)";
    SERIES_GET = "SELECT id, owner_id, title, created_at, updated_at FROM series WHERE id = $1";
    // One's own series, and those of meetings one is in.
    SERIES_LIST = concat!("SELECT id, owner_id, title, created_at, updated_at FROM series s
        WHERE (s.owner_id = $1 OR EXISTS (SELECT 1 FROM meetings m JOIN participants p ON p.meeting_id = m.id
            WHERE m.series_id = s.id AND p.user_id = $1 AND ", inside!(), " AND m.archived_at IS NULL))
        AND (s.id < $2 OR $2 IS NULL) ORDER BY s.id DESC LIMIT $3");
    SERIES_VISIBLE = concat!("SELECT 1 FROM series s WHERE s.id = $1 AND (s.owner_id = $2 OR EXISTS (SELECT 1 FROM meetings m
        JOIN participants p ON p.meeting_id = m.id WHERE m.series_id = s.id AND p.user_id = $2 AND ", inside!(), " AND m.archived_at IS NULL))");
    SERIES_UPDATE = "UPDATE series SET title = $2, updated_at = $3 WHERE id = $1";
    SERIES_DELETE = "DELETE FROM series WHERE id = $1";
}

/// A meeting and the caller's part in it.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct MeetingAccessRow {
    /// The meeting.
    #[sqlx(flatten)]
    pub meeting: Meeting,
    /// The caller's participant.
    pub participant_id: Option<ParticipantId>,
    /// The caller's role.
    pub role: Option<MeetingRole>,
    /// Where the caller stands.
    pub state: Option<ParticipantState>,
    /// The name the caller has here.
    pub participant_name: Option<String>,
}

/// Whose part in a meeting is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeetingViewer {
    /// A user's.
    User(UserId),
    /// A guest's.
    Participant(ParticipantId),
    /// An agent's.
    Agent(meetmind_core::AgentId),
}

/// What a list of meetings is narrowed by.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MeetingFilter {
    /// Only in this state.
    pub status: Option<MeetingStatus>,
    /// Only of this series.
    pub series_id: Option<SeriesId>,
    /// Planned, or else made, at or after this moment.
    pub from: Option<Timestamp>,
    /// Planned, or else made, before this moment.
    pub to: Option<Timestamp>,
    /// With these characters in title or description, whatever their case.
    pub text: Option<String>,
}

/// Escapes `text` for `LIKE … ESCAPE '!'` and lets it stand anywhere.
pub(crate) fn like_anywhere(text: &str) -> String {
    let mut pattern = String::from("%");
    for letter in text.to_lowercase().chars() {
        if matches!(letter, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

impl Conn {
    /// Adds a meeting.
    ///
    /// # Errors
    /// When the owner or the series is gone, or the database refuses.
    pub async fn meeting_insert(&mut self, m: &Meeting, invite_code: &str) -> Result<()> {
        let context = Value::Object(serde_json::Map::new());
        execute!(
            self,
            MEETING_INSERT,
            m.id,
            m.owner_id,
            m.series_id,
            &m.title,
            &m.description,
            m.status,
            m.starts_at,
            m.ends_at,
            &m.time_zone,
            m.started_at,
            m.ended_at,
            m.access,
            m.lobby,
            m.locked,
            m.consent_policy,
            m.memory_mode,
            m.memory_retention_days,
            Json(&m.glossary),
            Json(&context),
            invite_code,
            m.version,
            m.created_at,
            m.updated_at
        )?;
        Ok(())
    }

    /// Writes the fields a host may change, if the row still has version `m.version`; gives
    /// whether it had.
    ///
    /// # Errors
    /// When the series is gone, or the database refuses.
    pub async fn meeting_update(&mut self, m: &Meeting, now: Timestamp) -> Result<bool> {
        let changed = execute!(
            self,
            MEETING_UPDATE,
            m.id,
            m.series_id,
            &m.title,
            &m.description,
            m.starts_at,
            m.ends_at,
            &m.time_zone,
            m.access,
            m.lobby,
            m.locked,
            m.consent_policy,
            m.memory_mode,
            m.memory_retention_days,
            Json(&m.glossary),
            now,
            m.version
        )?;
        Ok(changed == 1)
    }

    /// Moves a meeting to another state.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn meeting_status_set(&mut self, m: &Meeting, now: Timestamp) -> Result<()> {
        execute!(
            self,
            MEETING_STATUS_SET,
            m.id,
            m.status,
            m.started_at,
            m.ended_at,
            now
        )?;
        Ok(())
    }

    /// Lets one transaction at a time change who is in a meeting and where it stands. Call it
    /// first, then read.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn meeting_lock(&mut self, id: MeetingId) -> Result<()> {
        execute!(self, MEETING_LOCK, id)?;
        Ok(())
    }

    /// Deletes a meeting for now (`Some`) or brings it back (`None`).
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn meeting_archive_set(
        &mut self,
        id: MeetingId,
        archived_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<()> {
        execute!(self, MEETING_ARCHIVE_SET, id, archived_at, now)?;
        Ok(())
    }

    /// One meeting, archived or not.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database cannot be reached.
    pub async fn meeting_get(&mut self, id: MeetingId) -> Result<Meeting> {
        fetch_optional!(self, MEETING_GET, id)?.ok_or(Error::NotFound("meeting"))
    }

    /// One meeting, archived or not, with the viewer's part in it.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn meeting_access_find(
        &mut self,
        id: MeetingId,
        viewer: MeetingViewer,
    ) -> Result<Option<MeetingAccessRow>> {
        match viewer {
            MeetingViewer::User(user_id) => fetch_optional!(self, MEETING_ACCESS_GET, id, user_id),
            MeetingViewer::Participant(participant_id) => {
                fetch_optional!(self, MEETING_ACCESS_BY_PARTICIPANT, id, participant_id)
            }
            MeetingViewer::Agent(agent_id) => {
                fetch_optional!(self, MEETING_ACCESS_BY_AGENT, id, agent_id)
            }
        }
    }

    /// The meetings a user has a part in, newest first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn meeting_list(
        &mut self,
        user_id: UserId,
        filter: &MeetingFilter,
        before: Option<MeetingId>,
        limit: i64,
    ) -> Result<Vec<Meeting>> {
        let text = filter.text.as_deref().map(like_anywhere);
        fetch_all!(
            self,
            MEETING_LIST,
            user_id,
            before.map_or(Uuid::max(), Id::uuid),
            filter.status,
            filter.series_id,
            filter.from,
            filter.to,
            text.as_deref(),
            limit
        )
    }

    /// The meetings of a series that a user has a part in, oldest first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn meeting_ids_of_series(
        &mut self,
        series_id: SeriesId,
        user_id: UserId,
    ) -> Result<Vec<MeetingId>> {
        let rows: Vec<(MeetingId,)> = fetch_all!(self, MEETING_IDS_OF_SERIES, series_id, user_id)?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// The invitation code and the context that agents act on.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database cannot be reached.
    pub async fn meeting_secret_get(&mut self, id: MeetingId) -> Result<(String, Value)> {
        let row: Option<(String, Json<Value>)> = fetch_optional!(self, MEETING_SECRET_GET, id)?;
        row.map(|(code, context)| (code, context.0))
            .ok_or(Error::NotFound("meeting"))
    }

    /// Replaces the invitation code: earlier links stop working.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn meeting_invite_set(&mut self, id: MeetingId, code: &str) -> Result<()> {
        execute!(self, MEETING_INVITE_SET, id, code)?;
        Ok(())
    }

    /// Replaces the context.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn meeting_context_set(
        &mut self,
        id: MeetingId,
        context: &Value,
        now: Timestamp,
    ) -> Result<()> {
        execute!(self, MEETING_CONTEXT_SET, id, Json(context), now)?;
        Ok(())
    }

    /// Meetings that were deleted before `before`.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn meeting_ids_archived_before(
        &mut self,
        before: Timestamp,
        limit: i64,
    ) -> Result<Vec<MeetingId>> {
        let rows: Vec<(MeetingId,)> = fetch_all!(self, MEETING_ARCHIVED_BEFORE, before, limit)?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// Erases a meeting with all that hangs on it; gives whether it was there.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn meeting_delete(&mut self, id: MeetingId) -> Result<bool> {
        Ok(execute!(self, MEETING_DELETE, id)? == 1)
    }

    /// How many meetings are live.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn meeting_count_live(&mut self) -> Result<i64> {
        let row: Option<(i64,)> = fetch_optional!(self, MEETING_COUNT_LIVE)?;
        Ok(row.map_or(0, |(count,)| count))
    }

    /// Adds a series.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn series_insert(&mut self, s: &Series) -> Result<()> {
        execute!(
            self,
            SERIES_INSERT,
            s.id,
            s.owner_id,
            &s.title,
            s.created_at,
            s.updated_at
        )?;
        Ok(())
    }

    /// One series.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database cannot be reached.
    pub async fn series_get(&mut self, id: SeriesId) -> Result<Series> {
        fetch_optional!(self, SERIES_GET, id)?.ok_or(Error::NotFound("series"))
    }

    /// Whether a user may see a series: it is theirs, or they are in one of its meetings.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn series_is_visible(&mut self, id: SeriesId, user_id: UserId) -> Result<bool> {
        let row: Option<(i32,)> = fetch_optional!(self, SERIES_VISIBLE, id, user_id)?;
        Ok(row.is_some())
    }

    /// The series a user may see, newest first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn series_list(
        &mut self,
        user_id: UserId,
        before: Option<SeriesId>,
        limit: i64,
    ) -> Result<Vec<Series>> {
        fetch_all!(self, SERIES_LIST, user_id, before, limit)
    }

    /// Renames a series.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn series_update(&mut self, id: SeriesId, title: &str, now: Timestamp) -> Result<()> {
        execute!(self, SERIES_UPDATE, id, title, now)?;
        Ok(())
    }

    /// Deletes a series; its meetings stay, without one.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn series_delete(&mut self, id: SeriesId) -> Result<()> {
        execute!(self, SERIES_DELETE, id)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use crate::Engine;
    use crate::db::fetch_all;
    use crate::testing::TestDb;

    #[tokio::test]
    async fn a_page_of_meetings_sorts_nothing() {
        let db = TestDb::new(Engine::Sqlite)
            .await
            .expect("a test database")
            .expect("SQLite is always there");
        let mut conn = db.store.read().await.expect("a connection");
        let none: Option<i64> = None;
        let plan: Vec<(i64, i64, i64, String)> = fetch_all!(
            conn,
            sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", super::MEETING_LIST)),
            Uuid::nil(),
            Uuid::max(),
            none,
            none,
            none,
            none,
            none,
            50_i64
        )
        .expect("a plan");
        let seek = "participants_by_user (user_id=? AND meeting_id<?)";
        assert!(
            plan[0].3.contains(seek) && !plan.iter().any(|step| step.3.contains("TEMP B-TREE")),
            "{plan:?}"
        );
    }

    #[test]
    fn like_patterns_are_escaped() {
        assert_eq!(super::like_anywhere("50%_A!"), "%50!%!_a!!%");
    }
}
