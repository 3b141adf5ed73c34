//! Every table with its columns, parents before children. A test compares the list with the schema
//! of both engines, so that a new table or column cannot be left out of a backup.

/// How a column's value stands in a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Uuid,
    Text,
    Int,
    Real,
    Bool,
    Time,
    Bytes,
    Json,
}

/// One table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// The columns of the primary key.
    pub(super) key: &'static [&'static str],
    /// A column that refers to another row of the same table: filled in when all rows are there.
    pub(super) link: Option<&'static str>,
    pub(super) columns: &'static [(&'static str, Kind)],
}

impl Table {
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        TABLES.iter().find(|table| table.name == name)
    }

    pub(super) fn column_names(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    }
}

macro_rules! tables {
    ($($name:ident ($($key:ident),+) $(links $link:ident)? { $($column:ident: $kind:ident),+ })+) => {
        pub(super) const TABLES: &[Table] = &[$(Table {
            name: stringify!($name),
            key: &[$(stringify!($key)),+],
            link: tables!(@link $($link)?),
            columns: &[$((stringify!($column), Kind::$kind)),+],
        }),+];
    };
    (@link) => { None };
    (@link $link:ident) => { Some(stringify!($link)) };
}

tables! {
    instance (key) { key: Text, value: Text }
    users (id) {
        id: Uuid, email: Text, name: Text, role: Text, password_hash: Text, preferences:
        Json, disabled_at: Time, created_at: Time, updated_at: Time
    }
    sessions (id) {
        id: Uuid, user_id: Uuid, user_agent: Text, address: Text, created_at: Time,
        last_used_at: Time, expires_at: Time, revoked_at: Time
    }
    refresh_tokens (hash) {
        hash: Bytes, session_id: Uuid, created_at: Time, expires_at: Time, used_at: Time
    }
    api_keys (id) {
        id: Uuid, user_id: Uuid, name: Text, secret_hash: Bytes, scopes: Json, created_at:
        Time, expires_at: Time, last_used_at: Time, revoked_at: Time
    }
    one_time_tokens (hash) {
        hash: Bytes, purpose: Text, user_id: Uuid, payload: Json, created_at: Time,
        expires_at: Time, used_at: Time
    }
    throttles (key) { key: Text, failures: Int, blocked_until: Time, updated_at: Time }
    audit_log (id) {
        id: Uuid, at: Time, actor: Text, action: Text, subject: Text, address: Text,
        details: Json
    }
    series (id) { id: Uuid, owner_id: Uuid, title: Text, created_at: Time, updated_at: Time }
    meetings (id) {
        id: Uuid, owner_id: Uuid, series_id: Uuid, title: Text, description: Text, status:
        Text, starts_at: Time, ends_at: Time, time_zone: Text, started_at: Time, ended_at:
        Time, access: Text, lobby: Bool, locked: Bool, consent_policy: Text, memory_mode:
        Text, memory_retention_days: Int, glossary: Json, context: Json, invite_code: Text,
        version: Int, created_at: Time, updated_at: Time, archived_at: Time
    }
    agents (id) {
        id: Uuid, owner_id: Uuid, name: Text, role: Text, config: Json, version: Int,
        auto_join: Bool, disabled_at: Time, created_at: Time, updated_at: Time
    }
    agent_versions (agent_id, version) {
        agent_id: Uuid, version: Int, config: Json, created_at: Time
    }
    participants (id) {
        id: Uuid, meeting_id: Uuid, user_id: Uuid, agent_id: Uuid, name: Text, role: Text,
        state: Text, muted: Bool, joined_at: Time, left_at: Time, created_at: Time,
        updated_at: Time
    }
    consents (id) {
        id: Uuid, meeting_id: Uuid, participant_id: Uuid, transcript: Text, recording: Text,
        memory: Text, actor: Text, at: Time
    }
    messages (id) links reply_to {
        id: Uuid, meeting_id: Uuid, participant_id: Uuid, author: Text, kind: Text, text:
        Text, reply_to: Uuid, segment_ids: Json, created_at: Time
    }
    segments (id) {
        id: Uuid, meeting_id: Uuid, participant_id: Uuid, speaker: Text, text: Text,
        start_ms: Int, end_ms: Int, confidence: Real, language: Text, is_final: Bool,
        external_id: Text, attribution: Text, version: Int, corrected_at: Time, created_at:
        Time, updated_at: Time
    }
    segment_changes (segment_id, version) {
        segment_id: Uuid, version: Int, participant_id: Uuid, speaker: Text, text: Text,
        start_ms: Int, end_ms: Int, actor: Text, at: Time
    }
    topics (id) {
        id: Uuid, meeting_id: Uuid, ordinal: Int, label: Text, start_ms: Int, end_ms: Int,
        key_phrases: Json, segment_ids: Json, edited: Bool, stale: Bool, created_at: Time,
        updated_at: Time
    }
    highlights (id) {
        id: Uuid, meeting_id: Uuid, text: Text, speaker: Text, start_ms: Int, segment_ids:
        Json, score: Real, stale: Bool, created_at: Time, status: Text
    }
    summaries (id) {
        id: Uuid, meeting_id: Uuid, headline: Text, lines: Json, engine: Text, is_final:
        Bool, segment_count: Int, edited: Bool, stale: Bool, version: Int, created_at: Time,
        updated_at: Time
    }
    actions (id) {
        id: Uuid, meeting_id: Uuid, text: Text, owner: Text, owner_user_id: Uuid, due: Text,
        due_at: Time, status: Text, marker: Text, segment_ids: Json, edited: Bool, stale:
        Bool, version: Int, created_at: Time, updated_at: Time
    }
    decisions (id) links superseded_by {
        id: Uuid, meeting_id: Uuid, text: Text, status: Text, marker: Text, superseded_by:
        Uuid, segment_ids: Json, edited: Bool, stale: Bool, version: Int, created_at: Time,
        updated_at: Time
    }
    citations (segment_id, kind, source_id) { segment_id: Uuid, kind: Text, source_id: Uuid }
    runs (id) {
        id: Uuid, agent_id: Uuid, agent_version: Int, owner_id: Uuid, meeting_id: Uuid,
        participant_id: Uuid, state: Text, activity: Text, reason_code: Text, message: Text,
        attempt: Int, seen_seq: Int, counters: Json, lease_owner: Text, lease_until: Time,
        created_at: Time, live_at: Time, ended_at: Time, updated_at: Time
    }
    run_events (id) {
        id: Uuid, run_id: Uuid, from_state: Text, to_state: Text, activity: Text,
        reason_code: Text, message: Text, actor: Text, attempt: Int, at: Time
    }
    recordings (id) {
        id: Uuid, meeting_id: Uuid, mode: Text, status: Text, reason: Text, started_by: Text,
        stopped_by: Text, started_at: Time, ended_at: Time, duration_ms: Int, size_bytes:
        Int, dropped_packets: Int, participants: Json, skipped: Json
    }
    recording_files (id) {
        id: Uuid, recording_id: Uuid, kind: Text, participant_id: Uuid, track: Text, name:
        Text, content_type: Text, start_ms: Int, duration_ms: Int, size_bytes: Int, sha256:
        Text
    }
    file_removals (path) { path: Text, marked_at: Time, attempts: Int, last_error: Text }
    memories (id) links replaced_by {
        id: Uuid, user_id: Uuid, meeting_id: Uuid, agent_id: Uuid, subject: Text, content:
        Text, metadata: Json, categories: Json, segment_ids: Json, source: Text,
        content_hash: Bytes, replaced_by: Uuid, expires_at: Time, created_at: Time,
        updated_at: Time
    }
    memory_changes (id) {
        id: Uuid, memory_id: Uuid, user_id: Uuid, event: Text, old_content: Text,
        new_content: Text, actor: Text, at: Time
    }
    webhooks (id) {
        id: Uuid, user_id: Uuid, url: Text, secret: Text, events: Json, enabled: Bool,
        disabled_at: Time, failing_since: Time, created_at: Time, updated_at: Time
    }
    deliveries (id) {
        id: Uuid, webhook_id: Uuid, event_type: Text, payload: Json, status: Text, attempts:
        Int, next_attempt_at: Time, created_at: Time, updated_at: Time
    }
    delivery_mentions (about, delivery_id) { about: Uuid, delivery_id: Uuid }
    delivery_attempts (id) {
        id: Uuid, delivery_id: Uuid, status_code: Int, error: Text, duration_ms: Int, at:
        Time
    }
    idempotency_keys (actor, key) {
        actor: Text, key: Text, request_hash: Bytes, status: Int, location: Text, response:
        Text, created_at: Time
    }
    answer_mentions (about, actor, key) { about: Uuid, actor: Text, key: Text }
    room_presences (participant_id) {
        participant_id: Uuid, meeting_id: Uuid, is_present: Bool, changed_at: Time
    }
    room_settings (meeting_id) { meeting_id: Uuid, metadata: Text, updated_at: Time }
    room_dispatches (id) { id: Text, meeting_id: Uuid, dispatch: Json, created_at: Time }
    room_webhooks (id) { id: Uuid, url: Text, room: Text, position: Int, body: Text, created_at: Time }
    event_topics (topic) { topic: Text, last_seq: Int, first_seq: Int }
    events (topic, seq) { topic: Text, seq: Int, at: Time, kind: Text, data: Json }
    jobs (id) {
        id: Uuid, kind: Text, webhook_id: Uuid, payload: Json, run_at: Time, attempts: Int,
        max_attempts: Int, dedupe_key: Text, lease_owner: Text, lease_until: Time,
        failed_at: Time, last_error: Text, created_at: Time
    }
}
