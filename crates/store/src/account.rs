//! All that one person left here: for the export, and for the erasure.

use meetmind_core::{
    Agent, AgentId, Consent, ConsentId, Meeting, MeetingId, Memory, MemoryChange, MemoryChangeId,
    MemoryId, Message, MessageId, Participant, ParticipantId, Recording, RecordingFile,
    RecordingFileId, RecordingId, RunId, Segment, SegmentId, Timestamp, UserId, Webhook, WebhookId,
};

use crate::db::{execute, fetch_all};
use crate::statements::statements;
use crate::{Conn, Result};

statements! {
    EXPORT_MEETINGS = "SELECT id, owner_id, series_id, title, description, status, starts_at, ends_at, time_zone, started_at, ended_at, access, lobby, locked,
        consent_policy, memory_mode, memory_retention_days, glossary, version, created_at, updated_at, archived_at FROM meetings
        WHERE owner_id = $1 AND (id > $2 OR $2 IS NULL) ORDER BY id LIMIT $3";
    EXPORT_PARTICIPANTS = "SELECT id, meeting_id, user_id, agent_id, name, role, state, muted, joined_at, left_at, created_at, updated_at FROM participants
        WHERE user_id = $1 AND (id > $2 OR $2 IS NULL) ORDER BY id LIMIT $3";
    EXPORT_CONSENTS = "SELECT id, meeting_id, participant_id, transcript, recording, memory, actor, at FROM consents
        WHERE participant_id = $1 AND (id > $2 OR $2 IS NULL) ORDER BY id LIMIT $3";
    EXPORT_MESSAGES = "SELECT id, meeting_id, participant_id, author, kind, text, reply_to, segment_ids, created_at FROM messages
        WHERE participant_id = $1 AND (id > $2 OR $2 IS NULL) ORDER BY id LIMIT $3";
    EXPORT_SEGMENTS = "SELECT id, meeting_id, participant_id, speaker, text, start_ms, end_ms, confidence, language, is_final, external_id, attribution, version,
        corrected_at, created_at, updated_at FROM segments WHERE participant_id = $1 AND (id > $2 OR $2 IS NULL) ORDER BY id LIMIT $3";
    EXPORT_RECORDINGS = "SELECT r.id, r.meeting_id, r.mode, r.status, r.reason, r.started_by, r.stopped_by, r.started_at, r.ended_at, r.duration_ms, r.size_bytes,
        r.dropped_packets, r.participants, r.skipped FROM recordings r JOIN meetings m ON m.id = r.meeting_id
        WHERE m.owner_id = $1 AND (r.id > $2 OR $2 IS NULL) ORDER BY r.id LIMIT $3";
    EXPORT_RECORDING_FILES = "SELECT id, recording_id, kind, participant_id, track, name, content_type, start_ms, duration_ms, size_bytes, sha256
        FROM recording_files WHERE participant_id = $1 AND (id > $2 OR $2 IS NULL) ORDER BY id LIMIT $3";
    EXPORT_MEMORIES = "SELECT id, user_id, meeting_id, agent_id, subject, content, metadata, categories, segment_ids, source, replaced_by, expires_at, created_at, updated_at
        FROM memories WHERE user_id = $1 AND (id > $2 OR $2 IS NULL) ORDER BY id LIMIT $3";
    EXPORT_MEMORY_CHANGES = "SELECT id, memory_id, event, old_content, new_content, actor, at FROM memory_changes
        WHERE user_id = $1 AND (id > $2 OR $2 IS NULL) ORDER BY id LIMIT $3";
    EXPORT_AGENTS = "SELECT id, owner_id, name, role, config, version, auto_join, disabled_at, created_at, updated_at FROM agents
        WHERE owner_id = $1 AND (id > $2 OR $2 IS NULL) ORDER BY id LIMIT $3";
    EXPORT_WEBHOOKS = "SELECT id, user_id, url, events, enabled, disabled_at, failing_since, created_at, updated_at FROM webhooks
        WHERE user_id = $1 AND (id > $2 OR $2 IS NULL) ORDER BY id LIMIT $3";
    // What the deletion of the account and of its meetings takes along.
    ERASE_COUNT = "WITH own AS (SELECT id FROM meetings WHERE owner_id = $1)
        SELECT 'sessions' AS part, COUNT(*) AS touched FROM sessions WHERE user_id = $1
        UNION ALL SELECT 'api_keys', COUNT(*) FROM api_keys WHERE user_id = $1
        UNION ALL SELECT 'series', COUNT(*) FROM series WHERE owner_id = $1
        UNION ALL SELECT 'meetings', COUNT(*) FROM own
        UNION ALL SELECT 'participants', COUNT(*) FROM participants WHERE meeting_id IN (SELECT id FROM own)
        UNION ALL SELECT 'consents', COUNT(*) FROM consents WHERE meeting_id IN (SELECT id FROM own)
        UNION ALL SELECT 'messages', COUNT(*) FROM messages WHERE meeting_id IN (SELECT id FROM own)
        UNION ALL SELECT 'segments', COUNT(*) FROM segments WHERE meeting_id IN (SELECT id FROM own)
        UNION ALL SELECT 'topics', COUNT(*) FROM topics WHERE meeting_id IN (SELECT id FROM own)
        UNION ALL SELECT 'highlights', COUNT(*) FROM highlights WHERE meeting_id IN (SELECT id FROM own)
        UNION ALL SELECT 'summaries', COUNT(*) FROM summaries WHERE meeting_id IN (SELECT id FROM own)
        UNION ALL SELECT 'actions', COUNT(*) FROM actions WHERE meeting_id IN (SELECT id FROM own)
        UNION ALL SELECT 'decisions', COUNT(*) FROM decisions WHERE meeting_id IN (SELECT id FROM own)
        UNION ALL SELECT 'memories', COUNT(*) FROM memories WHERE user_id = $1 OR meeting_id IN (SELECT id FROM own)
        UNION ALL SELECT 'recordings', COUNT(*) FROM recordings WHERE meeting_id IN (SELECT id FROM own)
        UNION ALL SELECT 'recording_files', COUNT(*) FROM recording_files f JOIN recordings r ON r.id = f.recording_id WHERE r.meeting_id IN (SELECT id FROM own)
        UNION ALL SELECT 'agents', COUNT(*) FROM agents WHERE owner_id = $1
        UNION ALL SELECT 'runs', COUNT(*) FROM runs WHERE owner_id = $1 OR meeting_id IN (SELECT id FROM own)
        UNION ALL SELECT 'webhooks', COUNT(*) FROM webhooks WHERE user_id = $1";
    ERASE_MEETING_IDS = "SELECT id FROM meetings WHERE owner_id = $1 ORDER BY id LIMIT $2";
    ERASE_RUN_IDS = "SELECT id FROM runs WHERE (owner_id = $1 OR meeting_id IN (SELECT id FROM meetings WHERE owner_id = $1)) AND (id > $2 OR $2 IS NULL) ORDER BY id LIMIT $3";
    // A history has no reference to its memory, so that it survives a deletion; here it must not.
    ERASE_MEETING_MEMORY_CHANGES = "DELETE FROM memory_changes WHERE memory_id IN (SELECT id FROM memories WHERE meeting_id = $1)";
    ERASE_ABOUT_CHANGES = "DELETE FROM memory_changes WHERE memory_id IN (SELECT m.id FROM memories m JOIN participants p ON p.meeting_id = m.meeting_id
        WHERE m.source = 'auto' AND m.user_id <> $1 AND p.user_id = $1 AND p.name = m.subject)";
    ERASE_ABOUT_MEMORIES = "DELETE FROM memories WHERE source = 'auto' AND user_id <> $1
        AND EXISTS (SELECT 1 FROM participants p WHERE p.meeting_id = memories.meeting_id AND p.user_id = $1 AND p.name = memories.subject)";
    ANONYMISE_HIGHLIGHTS = "UPDATE highlights SET speaker = $2 WHERE id IN (SELECT c.source_id FROM citations c
        JOIN segments s ON s.id = c.segment_id JOIN participants p ON p.id = s.participant_id WHERE c.kind = 'highlight' AND p.user_id = $1)";
    ANONYMISE_SEGMENTS = "UPDATE segments SET speaker = $2, updated_at = $3 WHERE participant_id IN (SELECT id FROM participants WHERE user_id = $1)";
    ANONYMISE_SEGMENT_CHANGES = "UPDATE segment_changes SET speaker = $2 WHERE participant_id IN (SELECT id FROM participants WHERE user_id = $1)";
    ANONYMISE_MESSAGES = "UPDATE messages SET author = $2 WHERE participant_id IN (SELECT id FROM participants WHERE user_id = $1)";
    ANONYMISE_ACTIONS = "UPDATE actions SET owner = $2, owner_user_id = NULL, updated_at = $3 WHERE owner_user_id = $1
        OR EXISTS (SELECT 1 FROM participants p WHERE p.meeting_id = actions.meeting_id AND p.user_id = $1 AND p.name = actions.owner)";
    // Their tokens open no room any more.
    ANONYMISE_PRESENCES = "DELETE FROM room_presences WHERE participant_id IN (SELECT id FROM participants WHERE user_id = $1)";
    ANONYMISE_PARTICIPANTS = "UPDATE participants SET name = $2, user_id = NULL, state = CASE WHEN state = 'removed' THEN state ELSE 'left' END, updated_at = $3
        WHERE user_id = $1";
    ERASE_IDEMPOTENCY = "DELETE FROM idempotency_keys WHERE actor = $1";
    ANONYMISE_AUDIT = "UPDATE audit_log SET address = NULL WHERE actor = $1 OR subject = $2";
}

/// Rows per store that an erasure touched.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Touched {
    /// The store.
    pub part: String,
    /// Its rows.
    pub touched: i64,
}

macro_rules! export {
    ($($(#[$meta:meta])* $name:ident($owner:ty, $cursor:ty) -> $row:ty = $sql:ident;)*) => {
        impl Conn {$(
            $(#[$meta])*
            ///
            /// # Errors
            /// When the database cannot be reached.
            pub async fn $name(&mut self, of: $owner, after: Option<$cursor>, limit: i64) -> Result<Vec<$row>> {
                fetch_all!(self, $sql, of, after, limit)
            }
        )*}
    };
}

export! {
    /// Meetings that a user made, deleted ones too.
    export_meetings(UserId, MeetingId) -> Meeting = EXPORT_MEETINGS;
    /// A user's part in meetings.
    export_participants(UserId, ParticipantId) -> Participant = EXPORT_PARTICIPANTS;
    /// What a participant consented to, from first to last.
    export_consents(ParticipantId, ConsentId) -> Consent = EXPORT_CONSENTS;
    /// What a participant wrote.
    export_messages(ParticipantId, MessageId) -> Message = EXPORT_MESSAGES;
    /// What a participant said.
    export_segments(ParticipantId, SegmentId) -> Segment = EXPORT_SEGMENTS;
    /// Recordings of meetings that a user made; the files themselves are fetched one by one.
    export_recordings(UserId, RecordingId) -> Recording = EXPORT_RECORDINGS;
    /// The files of a participant's own tracks.
    export_recording_files(ParticipantId, RecordingFileId) -> RecordingFile = EXPORT_RECORDING_FILES;
    /// A user's memories, replaced ones too.
    export_memories(UserId, MemoryId) -> Memory = EXPORT_MEMORIES;
    /// The history of a user's memories.
    export_memory_changes(UserId, MemoryChangeId) -> MemoryChange = EXPORT_MEMORY_CHANGES;
    /// A user's agents.
    export_agents(UserId, AgentId) -> Agent = EXPORT_AGENTS;
    /// A user's webhooks, without their secrets.
    export_webhooks(UserId, WebhookId) -> Webhook = EXPORT_WEBHOOKS;
}

impl Conn {
    /// Rows per store that go when the user and the user's own meetings are deleted.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn erase_count(&mut self, user_id: UserId) -> Result<Vec<Touched>> {
        fetch_all!(self, ERASE_COUNT, user_id)
    }

    /// Some of the meetings that a user made.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn erase_meeting_ids(
        &mut self,
        user_id: UserId,
        limit: i64,
    ) -> Result<Vec<MeetingId>> {
        let rows: Vec<(MeetingId,)> = fetch_all!(self, ERASE_MEETING_IDS, user_id, limit)?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// The runs that go with a user and the user's own meetings.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn erase_run_ids(
        &mut self,
        user_id: UserId,
        after: Option<RunId>,
        limit: i64,
    ) -> Result<Vec<RunId>> {
        let rows: Vec<(RunId,)> = fetch_all!(self, ERASE_RUN_IDS, user_id, after, limit)?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// Deletes the history of all memories of a meeting, whoever keeps them.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn erase_meeting_memory_changes(&mut self, id: MeetingId) -> Result<u64> {
        execute!(self, ERASE_MEETING_MEMORY_CHANGES, id)
    }

    /// In other people's meetings: puts `name` where the user's stood, cuts the link to the
    /// account, and deletes what others' agents remembered of the user by themselves. Gives the
    /// rows changed per store.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn anonymise_user(
        &mut self,
        user_id: UserId,
        name: &str,
        now: Timestamp,
    ) -> Result<Vec<(&'static str, u64)>> {
        let key = format!("user:{user_id}");
        execute!(self, ERASE_ABOUT_CHANGES, user_id)?;
        let memories = execute!(self, ERASE_ABOUT_MEMORIES, user_id)?;
        let highlights = execute!(self, ANONYMISE_HIGHLIGHTS, user_id, name)?;
        let segments = execute!(self, ANONYMISE_SEGMENTS, user_id, name, now)?;
        let changes = execute!(self, ANONYMISE_SEGMENT_CHANGES, user_id, name)?;
        let messages = execute!(self, ANONYMISE_MESSAGES, user_id, name)?;
        let actions = execute!(self, ANONYMISE_ACTIONS, user_id, name, now)?;
        execute!(self, ANONYMISE_PRESENCES, user_id)?;
        let participants = execute!(self, ANONYMISE_PARTICIPANTS, user_id, name, now)?;
        execute!(self, ERASE_IDEMPOTENCY, key.as_str())?;
        let audit = execute!(self, ANONYMISE_AUDIT, key.as_str(), user_id.to_string())?;
        Ok(vec![
            ("memories_about_me", memories),
            ("highlights", highlights),
            ("segments", segments),
            ("segment_changes", changes),
            ("messages", messages),
            ("actions", actions),
            ("participants", participants),
            ("audit_log", audit),
        ])
    }
}
