//! Memories, their history, and what they cite.

use std::collections::BTreeMap;

use meetmind_core::{
    AgentId, EventTopic, Id, MeetingId, Memory, MemoryChange, MemoryId, SegmentId, Timestamp,
    UserId,
};
use sqlx::types::Json;

use crate::db::{execute, fetch_all, fetch_optional};
use crate::statements::statements;
use crate::{Conn, Error, Result};

/// The columns of a [`Memory`], qualified by `y`.
macro_rules! memory_columns {
    () => {
        "y.id, y.user_id, y.meeting_id, y.agent_id, y.subject, y.content, y.metadata, y.categories, y.segment_ids, y.source, y.replaced_by, \
         y.expires_at, y.created_at, y.updated_at"
    };
}
pub(crate) use memory_columns;

/// What a [`MemoryFilter`] asks of a row, from `$2` on.
macro_rules! memory_filter {
    () => {
        "(y.meeting_id = $2 OR $2 IS NULL) AND (y.agent_id = $3 OR $3 IS NULL) AND (y.subject = $4 OR lower(y.subject) = $5 OR $4 IS NULL)
        AND (replace(CAST(y.categories AS TEXT), $6, '') <> CAST(y.categories AS TEXT) OR $6 IS NULL)
        AND (y.replaced_by IS NULL OR NOT $7) AND (y.expires_at > $8 OR y.expires_at IS NULL)"
    };
}
pub(crate) use memory_filter;

statements! {
    MEMORY_INSERT = "INSERT INTO memories (id, user_id, meeting_id, agent_id, subject, content, metadata, categories, segment_ids, source, content_hash,
        replaced_by, expires_at, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
    MEMORY_UPDATE = "UPDATE memories SET subject = $2, content = $3, metadata = $4, categories = $5, content_hash = $6, expires_at = $7, updated_at = $8 WHERE id = $1";
    MEMORY_GET = concat!("SELECT ", memory_columns!(), " FROM memories y WHERE y.user_id = $1 AND y.id = $2 AND (y.expires_at > $3 OR y.expires_at IS NULL)");
    MEMORY_SAME = concat!("SELECT ", memory_columns!(), " FROM memories y WHERE y.user_id = $1 AND y.content_hash = $2 AND y.replaced_by IS NULL
        AND (y.meeting_id = $3 OR (y.meeting_id IS NULL AND $3 IS NULL)) AND (y.agent_id = $4 OR (y.agent_id IS NULL AND $4 IS NULL))
        AND (y.expires_at > $5 OR y.expires_at IS NULL) ORDER BY y.id LIMIT 1");
    // JSON text is compared without a pattern: the same on both engines, and no letter is special.
    MEMORY_LIST = concat!("SELECT ", memory_columns!(), " FROM memories y WHERE y.user_id = $1 AND ", memory_filter!(), "
        AND (y.id < $9 OR $9 IS NULL) ORDER BY y.id DESC LIMIT $10");
    MEMORY_REPLACED_SET = "UPDATE memories SET replaced_by = $2, updated_at = $3 WHERE id = $1";
    MEMORY_DELETE = "DELETE FROM memories WHERE id = $1";
    MEMORY_EXPIRED = "SELECT id, user_id FROM memories WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2";
    MEMORY_OLD_OF_MEETING = "SELECT id, user_id FROM memories WHERE meeting_id = $1 AND created_at < $2 ORDER BY id LIMIT $3";
    MEMORY_OF_MEETING = "SELECT id, user_id FROM memories WHERE meeting_id = $1 ORDER BY id";
    MEMORY_RETENTION_MEETINGS = "SELECT m.id, m.memory_retention_days FROM meetings m WHERE m.memory_retention_days IS NOT NULL
        AND EXISTS (SELECT 1 FROM memories y WHERE y.meeting_id = m.id) ORDER BY m.id";
    MEMORY_CHANGE_INSERT = "INSERT INTO memory_changes (id, memory_id, user_id, event, old_content, new_content, actor, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    MEMORY_CHANGE_LIST = "SELECT id, memory_id, event, old_content, new_content, actor, at FROM memory_changes
        WHERE memory_id = $1 AND user_id = $2 AND (id > $3 OR $3 IS NULL) ORDER BY id LIMIT $4";
    MEMORY_CHANGE_ERASE = "UPDATE memory_changes SET old_content = NULL, new_content = NULL WHERE memory_id = $1";
    MEMORY_CITE = "INSERT INTO citations (segment_id, kind, source_id) VALUES ($1, 'memory', $2) ON CONFLICT DO NOTHING";
    MEMORY_UNCITE = "DELETE FROM citations WHERE kind = 'memory' AND source_id = $1";
    // Writes nothing new; on Postgres it makes savers for one user wait for one another.
    MEMORY_USER_LOCK = "UPDATE users SET updated_at = updated_at WHERE id = $1";
    MEMORY_AGENT_OWNED = "SELECT 1 FROM agents WHERE id = $1 AND owner_id = $2";
}

/// What a list of memories is narrowed by. Expired ones are never in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryFilter {
    /// From this meeting.
    pub meeting_id: Option<MeetingId>,
    /// Of this agent.
    pub agent_id: Option<AgentId>,
    /// About this subject; the case of letters does not matter.
    pub subject: Option<String>,
    /// With this label.
    pub category: Option<String>,
    /// Without those that another took the place of.
    pub latest_only: bool,
}

impl MemoryFilter {
    /// The label as it stands in the JSON column.
    pub(crate) fn category_json(&self) -> Option<String> {
        self.category
            .as_ref()
            .map(|label| serde_json::Value::from(label.as_str()).to_string())
    }
}

impl Conn {
    /// Adds a memory and its citations.
    ///
    /// # Errors
    /// [`Error::Dangling`] when a meeting, agent or segment is gone.
    pub async fn memory_insert(&mut self, y: &Memory, content_hash: &[u8]) -> Result<()> {
        execute!(
            self,
            MEMORY_INSERT,
            y.id,
            y.user_id,
            y.meeting_id,
            y.agent_id,
            &y.subject,
            &y.content,
            Json(&y.metadata),
            Json(&y.categories),
            Json(&y.segment_ids),
            y.source,
            content_hash,
            y.replaced_by,
            y.expires_at,
            y.created_at,
            y.updated_at
        )?;
        self.memory_cite(y.id, &y.segment_ids).await
    }

    async fn memory_cite(&mut self, id: MemoryId, segments: &[SegmentId]) -> Result<()> {
        for segment_id in segments {
            execute!(self, MEMORY_CITE, *segment_id, id)?;
        }
        Ok(())
    }

    /// Writes all that may change in a memory.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn memory_update(&mut self, y: &Memory, content_hash: &[u8]) -> Result<()> {
        execute!(
            self,
            MEMORY_UPDATE,
            y.id,
            &y.subject,
            &y.content,
            Json(&y.metadata),
            Json(&y.categories),
            content_hash,
            y.expires_at,
            y.updated_at
        )?;
        Ok(())
    }

    /// One memory of a user, unless it has expired.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database cannot be reached.
    pub async fn memory_get(
        &mut self,
        user_id: UserId,
        id: MemoryId,
        now: Timestamp,
    ) -> Result<Memory> {
        fetch_optional!(self, MEMORY_GET, user_id, id, now)?.ok_or(Error::NotFound("memory"))
    }

    /// The user's memory with the same words, meeting and agent that is in force.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn memory_find_same(
        &mut self,
        user_id: UserId,
        content_hash: &[u8],
        meeting_id: Option<MeetingId>,
        agent_id: Option<AgentId>,
        now: Timestamp,
    ) -> Result<Option<Memory>> {
        fetch_optional!(
            self,
            MEMORY_SAME,
            user_id,
            content_hash,
            meeting_id,
            agent_id,
            now
        )
    }

    /// A user's memories, newest first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn memory_list(
        &mut self,
        user_id: UserId,
        filter: &MemoryFilter,
        now: Timestamp,
        before: Option<MemoryId>,
        limit: i64,
    ) -> Result<Vec<Memory>> {
        let lower = filter.subject.as_deref().map(str::to_lowercase);
        let category = filter.category_json();
        fetch_all!(
            self,
            MEMORY_LIST,
            user_id,
            filter.meeting_id,
            filter.agent_id,
            filter.subject.as_deref(),
            lower.as_deref(),
            category.as_deref(),
            filter.latest_only,
            now,
            before,
            limit
        )
    }

    /// Notes which memory took this one's place.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn memory_replaced_set(
        &mut self,
        id: MemoryId,
        by: MemoryId,
        now: Timestamp,
    ) -> Result<()> {
        execute!(self, MEMORY_REPLACED_SET, id, by, now)?;
        Ok(())
    }

    /// Deletes memories with their citations, their words in history, and their words in stored
    /// events, deliveries and kept responses; the history's rows stay. Gives how many were there.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn memory_erase(&mut self, memories: &[(MemoryId, UserId)]) -> Result<u64> {
        let mut deleted = 0;
        let mut by_user: BTreeMap<UserId, Vec<String>> = BTreeMap::new();
        for (id, user_id) in memories {
            execute!(self, MEMORY_UNCITE, *id)?;
            execute!(self, MEMORY_CHANGE_ERASE, *id)?;
            deleted += execute!(self, MEMORY_DELETE, *id)?;
            by_user.entry(*user_id).or_default().push(id.to_string());
        }
        for (user_id, ids) in by_user {
            self.event_words_erase(EventTopic::User(user_id), &ids)
                .await?;
        }
        for (id, _) in memories {
            self.copies_erase(id.uuid(), &id.to_string()).await?;
        }
        Ok(deleted)
    }

    /// Deletes up to `limit` memories whose time has come; gives how many.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn memory_delete_expired(&mut self, now: Timestamp, limit: i64) -> Result<u64> {
        let rows: Vec<(MemoryId, UserId)> = fetch_all!(self, MEMORY_EXPIRED, now, limit)?;
        self.memory_erase(&rows).await
    }

    /// Deletes up to `limit` memories that are older than their meeting keeps them; gives how many.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn memory_delete_retention(&mut self, now: Timestamp, limit: i64) -> Result<u64> {
        let meetings: Vec<(MeetingId, i64)> = fetch_all!(self, MEMORY_RETENTION_MEETINGS)?;
        let mut deleted = 0;
        for (meeting_id, days) in meetings {
            let left = limit - i64::try_from(deleted).unwrap_or(limit);
            if left <= 0 {
                break;
            }
            let age = std::time::Duration::from_secs(u64::try_from(days).unwrap_or(0) * 86_400);
            let rows: Vec<(MemoryId, UserId)> = fetch_all!(
                self,
                MEMORY_OLD_OF_MEETING,
                meeting_id,
                now.minus(age),
                left
            )?;
            deleted += self.memory_erase(&rows).await?;
        }
        Ok(deleted)
    }

    /// Deletes every user's memories of a meeting, history words included, for its erasure.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn memory_delete_meeting(&mut self, meeting_id: MeetingId) -> Result<u64> {
        let rows: Vec<(MemoryId, UserId)> = fetch_all!(self, MEMORY_OF_MEETING, meeting_id)?;
        self.memory_erase(&rows).await
    }

    /// Enters a change in a memory's history.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn memory_change_insert(&mut self, user_id: UserId, c: &MemoryChange) -> Result<()> {
        execute!(
            self,
            MEMORY_CHANGE_INSERT,
            c.id,
            c.memory_id,
            user_id,
            c.event,
            &c.old_content,
            &c.new_content,
            &c.actor,
            c.at
        )?;
        Ok(())
    }

    /// The history of a user's memory, oldest first; it outlives the memory, without its words.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn memory_change_list(
        &mut self,
        memory_id: MemoryId,
        user_id: UserId,
        after: Option<meetmind_core::MemoryChangeId>,
        limit: i64,
    ) -> Result<Vec<MemoryChange>> {
        fetch_all!(self, MEMORY_CHANGE_LIST, memory_id, user_id, after, limit)
    }

    /// Makes other savers for the user wait until this transaction ends.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn memory_user_lock(&mut self, user_id: UserId) -> Result<()> {
        execute!(self, MEMORY_USER_LOCK, user_id)?;
        Ok(())
    }

    /// Whether an agent is the user's own.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn memory_agent_is_owned(&mut self, id: AgentId, owner_id: UserId) -> Result<bool> {
        let row: Option<(i32,)> = fetch_optional!(self, MEMORY_AGENT_OWNED, id, owner_id)?;
        Ok(row.is_some())
    }
}
