-- Recordings of meetings; their files lie in the data directory.
CREATE TABLE recordings (
    id UUID PRIMARY KEY,
    meeting_id UUID NOT NULL REFERENCES meetings (id) ON DELETE CASCADE,
    mode TEXT NOT NULL CONSTRAINT recordings_mode_known CHECK (mode IN ('mix', 'tracks', 'both')),
    status TEXT NOT NULL CONSTRAINT recordings_status_known CHECK (status IN ('recording', 'completed', 'failed', 'interrupted')),
    reason TEXT,
    started_by TEXT NOT NULL,
    stopped_by TEXT,
    started_at TIMESTAMPTZ NOT NULL,
    ended_at TIMESTAMPTZ,
    duration_ms BIGINT NOT NULL,
    size_bytes BIGINT NOT NULL,
    dropped_packets BIGINT NOT NULL,
    participants JSONB NOT NULL,
    skipped JSONB NOT NULL
);
CREATE INDEX recordings_by_meeting ON recordings (meeting_id, id);
CREATE INDEX recordings_by_end ON recordings (ended_at, id);
CREATE UNIQUE INDEX recordings_one_running ON recordings (meeting_id) WHERE status = 'recording';

CREATE TABLE recording_files (
    id UUID PRIMARY KEY,
    recording_id UUID NOT NULL REFERENCES recordings (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CONSTRAINT recording_files_kind_known CHECK (kind IN ('mix', 'audio', 'video')),
    participant_id UUID REFERENCES participants (id) ON DELETE SET NULL,
    track TEXT,
    name TEXT NOT NULL,
    content_type TEXT NOT NULL,
    start_ms BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    size_bytes BIGINT NOT NULL,
    sha256 TEXT NOT NULL
);
CREATE INDEX recording_files_by_recording ON recording_files (recording_id, id);
CREATE INDEX recording_files_by_participant ON recording_files (participant_id, id);

-- Files and folders that are to go, below the folder of recordings. No row hangs on anything: what it names
-- may have no other trace left.
CREATE TABLE file_removals (
    path TEXT PRIMARY KEY,
    marked_at TIMESTAMPTZ NOT NULL,
    attempts BIGINT NOT NULL,
    last_error TEXT
);
