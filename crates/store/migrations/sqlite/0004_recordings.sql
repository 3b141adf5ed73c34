-- Recordings of meetings; their files lie in the data directory.
CREATE TABLE recordings (
    id BLOB PRIMARY KEY,
    meeting_id BLOB NOT NULL REFERENCES meetings (id) ON DELETE CASCADE,
    mode TEXT NOT NULL CONSTRAINT recordings_mode_known CHECK (mode IN ('mix', 'tracks', 'both')),
    status TEXT NOT NULL CONSTRAINT recordings_status_known CHECK (status IN ('recording', 'completed', 'failed', 'interrupted')),
    reason TEXT,
    started_by TEXT NOT NULL,
    stopped_by TEXT,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    duration_ms INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    dropped_packets INTEGER NOT NULL,
    participants TEXT NOT NULL,
    skipped TEXT NOT NULL
) STRICT;
CREATE INDEX recordings_by_meeting ON recordings (meeting_id, id);
CREATE INDEX recordings_by_end ON recordings (ended_at, id);
CREATE UNIQUE INDEX recordings_one_running ON recordings (meeting_id) WHERE status = 'recording';

CREATE TABLE recording_files (
    id BLOB PRIMARY KEY,
    recording_id BLOB NOT NULL REFERENCES recordings (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CONSTRAINT recording_files_kind_known CHECK (kind IN ('mix', 'audio', 'video')),
    participant_id BLOB REFERENCES participants (id) ON DELETE SET NULL,
    track TEXT,
    name TEXT NOT NULL,
    content_type TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL
) STRICT;
CREATE INDEX recording_files_by_recording ON recording_files (recording_id, id);
CREATE INDEX recording_files_by_participant ON recording_files (participant_id, id);

-- Files and folders that are to go, below the folder of recordings. No row hangs on anything: what it names
-- may have no other trace left.
CREATE TABLE file_removals (
    path TEXT PRIMARY KEY,
    marked_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    last_error TEXT
) STRICT;
