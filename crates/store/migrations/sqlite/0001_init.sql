-- The schema of MeetMind. Migrations run forward only; both engines have the same numbers,
-- names, tables and columns (a test compares them). Times are microseconds since 1970 in
-- SQLite and TIMESTAMPTZ in Postgres; no statement asks the database for the time.

CREATE TABLE instance (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE users (
    id BLOB PRIMARY KEY,
    email TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL CONSTRAINT users_role_known CHECK (role IN ('admin', 'member')),
    password_hash TEXT,
    preferences TEXT NOT NULL,
    disabled_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX users_email_unique ON users (email);

CREATE TABLE sessions (
    id BLOB PRIMARY KEY,
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    user_agent TEXT,
    address TEXT,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;
CREATE INDEX sessions_by_user ON sessions (user_id, id);

CREATE TABLE refresh_tokens (
    hash BLOB PRIMARY KEY,
    session_id BLOB NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER
) STRICT;
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);

CREATE TABLE api_keys (
    id BLOB PRIMARY KEY,
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    secret_hash BLOB NOT NULL,
    scopes TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    last_used_at INTEGER,
    revoked_at INTEGER
) STRICT;
CREATE INDEX api_keys_by_user ON api_keys (user_id, id);

-- Set-up links, password resets, WebSocket tickets: used once, known only by their hash.
CREATE TABLE one_time_tokens (
    hash BLOB PRIMARY KEY,
    purpose TEXT NOT NULL CONSTRAINT one_time_tokens_purpose_known CHECK (purpose IN ('setup', 'reset', 'ws_ticket')),
    user_id BLOB REFERENCES users (id) ON DELETE CASCADE,
    payload TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER
) STRICT;
CREATE INDEX one_time_tokens_by_expiry ON one_time_tokens (expires_at);

-- Failed sign-ins per account and per address.
CREATE TABLE throttles (
    key TEXT PRIMARY KEY,
    failures INTEGER NOT NULL,
    blocked_until INTEGER,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE audit_log (
    id BLOB PRIMARY KEY,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    address TEXT,
    details TEXT NOT NULL
) STRICT;

CREATE TABLE series (
    id BLOB PRIMARY KEY,
    owner_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    title TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX series_by_owner ON series (owner_id, id);

CREATE TABLE meetings (
    id BLOB PRIMARY KEY,
    owner_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    series_id BLOB REFERENCES series (id) ON DELETE SET NULL,
    title TEXT NOT NULL,
    description TEXT,
    status TEXT NOT NULL CONSTRAINT meetings_status_known CHECK (status IN ('scheduled', 'live', 'ended')),
    starts_at INTEGER,
    ends_at INTEGER,
    time_zone TEXT,
    started_at INTEGER,
    ended_at INTEGER,
    access TEXT NOT NULL CONSTRAINT meetings_access_known CHECK (access IN ('invite', 'link', 'open')),
    lobby INTEGER NOT NULL,
    locked INTEGER NOT NULL,
    consent_policy TEXT NOT NULL CONSTRAINT meetings_consent_policy_known CHECK (consent_policy IN ('ask', 'implied', 'off')),
    memory_mode TEXT NOT NULL CONSTRAINT meetings_memory_mode_known CHECK (memory_mode IN ('auto', 'manual', 'off')),
    memory_retention_days INTEGER,
    glossary TEXT NOT NULL,
    context TEXT NOT NULL,
    invite_code TEXT NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    archived_at INTEGER
) STRICT;
CREATE INDEX meetings_live ON meetings (id) WHERE status = 'live' AND archived_at IS NULL;
CREATE INDEX meetings_by_owner ON meetings (owner_id, id);
CREATE INDEX meetings_by_series ON meetings (series_id, id);
CREATE INDEX meetings_by_archive ON meetings (archived_at) WHERE archived_at IS NOT NULL;

CREATE TABLE agents (
    id BLOB PRIMARY KEY,
    owner_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    role TEXT NOT NULL CONSTRAINT agents_role_known CHECK (role IN ('scribe', 'assistant')),
    config TEXT NOT NULL,
    version INTEGER NOT NULL,
    auto_join INTEGER NOT NULL,
    disabled_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX agents_by_owner ON agents (owner_id, id);

CREATE TABLE agent_versions (
    agent_id BLOB NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    config TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (agent_id, version)
) STRICT;

CREATE TABLE participants (
    id BLOB PRIMARY KEY,
    meeting_id BLOB NOT NULL REFERENCES meetings (id) ON DELETE CASCADE,
    user_id BLOB REFERENCES users (id) ON DELETE SET NULL,
    agent_id BLOB REFERENCES agents (id) ON DELETE SET NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL CONSTRAINT participants_role_known CHECK (role IN ('host', 'cohost', 'participant', 'viewer', 'agent')),
    state TEXT NOT NULL CONSTRAINT participants_state_known CHECK (state IN ('invited', 'waiting', 'joined', 'left', 'removed')),
    muted INTEGER NOT NULL,
    joined_at INTEGER,
    left_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX participants_by_meeting ON participants (meeting_id, id);
CREATE UNIQUE INDEX participants_user_once ON participants (meeting_id, user_id) WHERE user_id IS NOT NULL;
CREATE UNIQUE INDEX participants_agent_once ON participants (meeting_id, agent_id) WHERE agent_id IS NOT NULL;
CREATE INDEX participants_by_user ON participants (user_id, meeting_id);

-- The ledger only grows; the newest entry of a participant is in force.
CREATE TABLE consents (
    id BLOB PRIMARY KEY,
    meeting_id BLOB NOT NULL REFERENCES meetings (id) ON DELETE CASCADE,
    participant_id BLOB NOT NULL REFERENCES participants (id) ON DELETE CASCADE,
    transcript TEXT NOT NULL CONSTRAINT consents_transcript_known CHECK (transcript IN ('granted', 'denied', 'pending')),
    recording TEXT NOT NULL CONSTRAINT consents_recording_known CHECK (recording IN ('granted', 'denied', 'pending')),
    memory TEXT NOT NULL CONSTRAINT consents_memory_known CHECK (memory IN ('granted', 'denied', 'pending')),
    actor TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX consents_by_participant ON consents (participant_id, id);
CREATE INDEX consents_by_meeting ON consents (meeting_id, id);

CREATE TABLE messages (
    id BLOB PRIMARY KEY,
    meeting_id BLOB NOT NULL REFERENCES meetings (id) ON DELETE CASCADE,
    participant_id BLOB REFERENCES participants (id) ON DELETE SET NULL,
    author TEXT NOT NULL,
    kind TEXT NOT NULL CONSTRAINT messages_kind_known CHECK (kind IN ('text', 'answer', 'notice')),
    text TEXT NOT NULL,
    reply_to BLOB REFERENCES messages (id) ON DELETE SET NULL,
    segment_ids TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX messages_by_meeting ON messages (meeting_id, id);
CREATE INDEX messages_by_reply ON messages (reply_to);
CREATE INDEX messages_by_participant ON messages (participant_id);

CREATE TABLE segments (
    id BLOB PRIMARY KEY,
    meeting_id BLOB NOT NULL REFERENCES meetings (id) ON DELETE CASCADE,
    participant_id BLOB REFERENCES participants (id) ON DELETE SET NULL,
    speaker TEXT NOT NULL,
    text TEXT NOT NULL,
    start_ms INTEGER NOT NULL CONSTRAINT segments_start_not_negative CHECK (start_ms >= 0),
    end_ms INTEGER NOT NULL,
    confidence REAL,
    language TEXT,
    is_final INTEGER NOT NULL,
    external_id TEXT,
    attribution TEXT NOT NULL CONSTRAINT segments_attribution_known CHECK (attribution IN ('track', 'declared', 'import')),
    version INTEGER NOT NULL,
    corrected_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    CONSTRAINT segments_end_not_before_start CHECK (end_ms >= start_ms)
) STRICT;
CREATE INDEX segments_by_time ON segments (meeting_id, start_ms, id);
CREATE UNIQUE INDEX segments_external_unique ON segments (meeting_id, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX segments_by_participant ON segments (participant_id);

-- What a segment was before each correction, under the version it had then.
CREATE TABLE segment_changes (
    segment_id BLOB NOT NULL REFERENCES segments (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    participant_id BLOB REFERENCES participants (id) ON DELETE SET NULL,
    speaker TEXT NOT NULL,
    text TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    end_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (segment_id, version)
) STRICT;
CREATE INDEX segment_changes_by_participant ON segment_changes (participant_id);

CREATE TABLE topics (
    id BLOB PRIMARY KEY,
    meeting_id BLOB NOT NULL REFERENCES meetings (id) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    label TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    end_ms INTEGER NOT NULL,
    key_phrases TEXT NOT NULL,
    segment_ids TEXT NOT NULL,
    edited INTEGER NOT NULL,
    stale INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX topics_by_meeting ON topics (meeting_id, ordinal);

CREATE TABLE highlights (
    id BLOB PRIMARY KEY,
    meeting_id BLOB NOT NULL REFERENCES meetings (id) ON DELETE CASCADE,
    text TEXT NOT NULL,
    speaker TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    segment_ids TEXT NOT NULL,
    score REAL NOT NULL,
    stale INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX highlights_by_meeting ON highlights (meeting_id, start_ms, id);

CREATE TABLE summaries (
    id BLOB PRIMARY KEY,
    meeting_id BLOB NOT NULL REFERENCES meetings (id) ON DELETE CASCADE,
    headline TEXT NOT NULL,
    lines TEXT NOT NULL,
    engine TEXT NOT NULL,
    is_final INTEGER NOT NULL,
    segment_count INTEGER NOT NULL,
    edited INTEGER NOT NULL,
    stale INTEGER NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX summaries_one_per_meeting ON summaries (meeting_id);

CREATE TABLE actions (
    id BLOB PRIMARY KEY,
    meeting_id BLOB NOT NULL REFERENCES meetings (id) ON DELETE CASCADE,
    text TEXT NOT NULL,
    owner TEXT,
    owner_user_id BLOB REFERENCES users (id) ON DELETE SET NULL,
    due TEXT,
    due_at INTEGER,
    status TEXT NOT NULL CONSTRAINT actions_status_known CHECK (status IN ('proposed', 'confirmed', 'done', 'dismissed', 'superseded')),
    marker TEXT NOT NULL CONSTRAINT actions_marker_known CHECK (marker IN ('explicit', 'pattern')),
    segment_ids TEXT NOT NULL,
    edited INTEGER NOT NULL DEFAULT 0,
    stale INTEGER NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX actions_by_meeting ON actions (meeting_id, id);
CREATE INDEX actions_by_owner ON actions (owner_user_id, id);

CREATE TABLE decisions (
    id BLOB PRIMARY KEY,
    meeting_id BLOB NOT NULL REFERENCES meetings (id) ON DELETE CASCADE,
    text TEXT NOT NULL,
    status TEXT NOT NULL CONSTRAINT decisions_status_known CHECK (status IN ('proposed', 'confirmed', 'superseded', 'dismissed')),
    marker TEXT NOT NULL CONSTRAINT decisions_marker_known CHECK (marker IN ('explicit', 'pattern')),
    superseded_by BLOB REFERENCES decisions (id) ON DELETE SET NULL,
    segment_ids TEXT NOT NULL,
    edited INTEGER NOT NULL DEFAULT 0,
    stale INTEGER NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX decisions_by_meeting ON decisions (meeting_id, id);
CREATE INDEX decisions_by_successor ON decisions (superseded_by);

-- Which derived row cites which segment: a correction finds what it makes stale, an erasure
-- what it must take along.
CREATE TABLE citations (
    segment_id BLOB NOT NULL REFERENCES segments (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CONSTRAINT citations_kind_known CHECK (kind IN ('topic', 'highlight', 'summary', 'action', 'decision', 'memory')),
    source_id BLOB NOT NULL,
    PRIMARY KEY (segment_id, kind, source_id)
) STRICT;
CREATE INDEX citations_by_source ON citations (kind, source_id);

CREATE TABLE runs (
    id BLOB PRIMARY KEY,
    agent_id BLOB NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    agent_version INTEGER NOT NULL,
    owner_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    meeting_id BLOB NOT NULL REFERENCES meetings (id) ON DELETE CASCADE,
    participant_id BLOB REFERENCES participants (id) ON DELETE SET NULL,
    state TEXT NOT NULL CONSTRAINT runs_state_known CHECK (state IN ('queued', 'dispatching', 'starting', 'joining', 'live', 'draining', 'completed', 'failed', 'cancelled', 'lost')),
    activity TEXT CONSTRAINT runs_activity_known CHECK (activity IN ('listening', 'thinking', 'speaking', 'muted')),
    reason_code TEXT NOT NULL,
    message TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    seen_seq INTEGER NOT NULL,
    counters TEXT NOT NULL,
    lease_owner TEXT,
    lease_until INTEGER,
    created_at INTEGER NOT NULL,
    live_at INTEGER,
    ended_at INTEGER,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX runs_by_agent ON runs (agent_id, id);
CREATE INDEX runs_by_meeting ON runs (meeting_id, id);
CREATE INDEX runs_by_owner ON runs (owner_id, id);
CREATE INDEX runs_open ON runs (state, lease_until) WHERE ended_at IS NULL;
-- At most one open run per agent and meeting, whatever races.
CREATE UNIQUE INDEX runs_one_open ON runs (agent_id, meeting_id) WHERE ended_at IS NULL;

CREATE TABLE run_events (
    id BLOB PRIMARY KEY,
    run_id BLOB NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    from_state TEXT,
    to_state TEXT NOT NULL,
    activity TEXT,
    reason_code TEXT NOT NULL,
    message TEXT NOT NULL,
    actor TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX run_events_by_run ON run_events (run_id, id);

CREATE TABLE memories (
    id BLOB PRIMARY KEY,
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    meeting_id BLOB REFERENCES meetings (id) ON DELETE CASCADE,
    agent_id BLOB REFERENCES agents (id) ON DELETE SET NULL,
    subject TEXT,
    content TEXT NOT NULL,
    metadata TEXT NOT NULL,
    categories TEXT NOT NULL,
    segment_ids TEXT NOT NULL,
    source TEXT NOT NULL CONSTRAINT memories_source_known CHECK (source IN ('manual', 'auto')),
    content_hash BLOB NOT NULL,
    replaced_by BLOB REFERENCES memories (id) ON DELETE SET NULL,
    expires_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX memories_by_user ON memories (user_id, id);
CREATE INDEX memories_by_meeting ON memories (meeting_id, id);
CREATE INDEX memories_by_agent ON memories (agent_id);
CREATE INDEX memories_by_expiry ON memories (expires_at);
CREATE INDEX memories_by_successor ON memories (replaced_by);
CREATE INDEX memories_by_content ON memories (user_id, content_hash);

CREATE TABLE memory_changes (
    id BLOB PRIMARY KEY,
    memory_id BLOB NOT NULL,
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    event TEXT NOT NULL CONSTRAINT memory_changes_event_known CHECK (event IN ('ADD', 'UPDATE', 'DELETE')),
    old_content TEXT,
    new_content TEXT,
    actor TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX memory_changes_by_memory ON memory_changes (memory_id, id);
CREATE INDEX memory_changes_by_user ON memory_changes (user_id, id);

CREATE TABLE webhooks (
    id BLOB PRIMARY KEY,
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    url TEXT NOT NULL,
    secret TEXT NOT NULL,
    events TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    disabled_at INTEGER,
    failing_since INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX webhooks_by_user ON webhooks (user_id, id);

CREATE TABLE deliveries (
    id BLOB PRIMARY KEY,
    webhook_id BLOB NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event_type TEXT NOT NULL,
    payload TEXT NOT NULL,
    status TEXT NOT NULL CONSTRAINT deliveries_status_known CHECK (status IN ('pending', 'delivered', 'failed')),
    attempts INTEGER NOT NULL,
    next_attempt_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX deliveries_by_webhook ON deliveries (webhook_id, id);
CREATE INDEX deliveries_by_age ON deliveries (created_at);

-- Which meetings and memories a delivery names: an erasure finds the copies of their words.
CREATE TABLE delivery_mentions (
    about BLOB NOT NULL,
    delivery_id BLOB NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    PRIMARY KEY (about, delivery_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_mentions_by_delivery ON delivery_mentions (delivery_id);

CREATE TABLE delivery_attempts (
    id BLOB PRIMARY KEY,
    delivery_id BLOB NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    status_code INTEGER,
    error TEXT,
    duration_ms INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX delivery_attempts_by_delivery ON delivery_attempts (delivery_id, id);

CREATE TABLE idempotency_keys (
    actor TEXT NOT NULL,
    key TEXT NOT NULL,
    request_hash BLOB NOT NULL,
    status INTEGER,
    location TEXT,
    response TEXT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (actor, key)
) STRICT;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

-- The same for answers that are kept for repetitions.
CREATE TABLE answer_mentions (
    about BLOB NOT NULL,
    actor TEXT NOT NULL,
    key TEXT NOT NULL,
    PRIMARY KEY (about, actor, key),
    FOREIGN KEY (actor, key) REFERENCES idempotency_keys (actor, key) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX answer_mentions_by_answer ON answer_mentions (actor, key);

-- The counter and the oldest kept number of each topic.
CREATE TABLE event_topics (
    topic TEXT PRIMARY KEY,
    last_seq INTEGER NOT NULL,
    first_seq INTEGER NOT NULL
) STRICT;

CREATE TABLE events (
    topic TEXT NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (topic, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX events_by_age ON events (at);

CREATE TABLE jobs (
    id BLOB PRIMARY KEY,
    kind TEXT NOT NULL,
    -- Of a delivery: to whom. Each endpoint has a few places of its own.
    webhook_id BLOB REFERENCES webhooks (id) ON DELETE CASCADE,
    payload TEXT NOT NULL,
    run_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    dedupe_key TEXT,
    lease_owner TEXT,
    lease_until INTEGER,
    failed_at INTEGER,
    last_error TEXT,
    created_at INTEGER NOT NULL,
    CONSTRAINT jobs_deliveries_have_a_webhook CHECK ((kind = 'deliver') = (webhook_id IS NOT NULL))
) STRICT;
CREATE INDEX jobs_due ON jobs (run_at, id) WHERE failed_at IS NULL AND webhook_id IS NULL;
CREATE INDEX jobs_deliveries_due ON jobs (run_at, id) WHERE failed_at IS NULL AND webhook_id IS NOT NULL;
CREATE INDEX jobs_by_webhook ON jobs (webhook_id, run_at, id) WHERE webhook_id IS NOT NULL;
CREATE INDEX jobs_at_work ON jobs (webhook_id) WHERE webhook_id IS NOT NULL AND lease_until IS NOT NULL;
CREATE INDEX jobs_failed ON jobs (failed_at) WHERE failed_at IS NOT NULL;
CREATE UNIQUE INDEX jobs_dedupe ON jobs (dedupe_key) WHERE dedupe_key IS NOT NULL AND failed_at IS NULL;

-- Full-text search. External-content tables: the words stand once, in their own table.
CREATE VIRTUAL TABLE segments_fts USING fts5 (speaker, text, content = 'segments', content_rowid = 'rowid', tokenize = 'porter unicode61 remove_diacritics 2');
CREATE TRIGGER segments_fts_insert AFTER INSERT ON segments WHEN new.is_final = 1 BEGIN
    INSERT INTO segments_fts (rowid, speaker, text) VALUES (new.rowid, new.speaker, new.text);
END;
CREATE TRIGGER segments_fts_delete AFTER DELETE ON segments WHEN old.is_final = 1 BEGIN
    INSERT INTO segments_fts (segments_fts, rowid, speaker, text) VALUES ('delete', old.rowid, old.speaker, old.text);
END;
CREATE TRIGGER segments_fts_update AFTER UPDATE OF speaker, text, is_final ON segments BEGIN
    INSERT INTO segments_fts (segments_fts, rowid, speaker, text) SELECT 'delete', old.rowid, old.speaker, old.text WHERE old.is_final = 1;
    INSERT INTO segments_fts (rowid, speaker, text) SELECT new.rowid, new.speaker, new.text WHERE new.is_final = 1;
END;

CREATE VIRTUAL TABLE memories_fts USING fts5 (subject, content, content = 'memories', content_rowid = 'rowid', tokenize = 'porter unicode61 remove_diacritics 2');
CREATE TRIGGER memories_fts_insert AFTER INSERT ON memories BEGIN
    INSERT INTO memories_fts (rowid, subject, content) VALUES (new.rowid, new.subject, new.content);
END;
CREATE TRIGGER memories_fts_delete AFTER DELETE ON memories BEGIN
    INSERT INTO memories_fts (memories_fts, rowid, subject, content) VALUES ('delete', old.rowid, old.subject, old.content);
END;
CREATE TRIGGER memories_fts_update AFTER UPDATE OF subject, content ON memories BEGIN
    INSERT INTO memories_fts (memories_fts, rowid, subject, content) VALUES ('delete', old.rowid, old.subject, old.content);
    INSERT INTO memories_fts (rowid, subject, content) VALUES (new.rowid, new.subject, new.content);
END;
