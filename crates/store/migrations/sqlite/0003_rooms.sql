-- What rooms need to outlast a process.

-- Who is in a meeting's room, and who was until the connection went: those may come back with
-- their token. Who left by the API has no row.
CREATE TABLE room_presences (
    participant_id BLOB PRIMARY KEY REFERENCES participants (id) ON DELETE CASCADE,
    meeting_id BLOB NOT NULL REFERENCES meetings (id) ON DELETE CASCADE,
    is_present INTEGER NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT;
CREATE INDEX room_presences_by_meeting ON room_presences (meeting_id, participant_id);
CREATE INDEX room_presences_present ON room_presences (meeting_id) WHERE is_present;

-- The metadata that somebody gave a meeting's room by LiveKit's API.
CREATE TABLE room_settings (
    meeting_id BLOB PRIMARY KEY REFERENCES meetings (id) ON DELETE CASCADE,
    metadata TEXT NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

-- Agents that were sent into a meeting's room by LiveKit's API; `dispatch` is LiveKit's own JSON.
CREATE TABLE room_dispatches (
    id TEXT PRIMARY KEY,
    meeting_id BLOB NOT NULL REFERENCES meetings (id) ON DELETE CASCADE,
    dispatch TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX room_dispatches_by_meeting ON room_dispatches (meeting_id, id);

-- LiveKit's webhooks on their way out, per address and room in the order of their positions.
CREATE TABLE room_webhooks (
    id BLOB PRIMARY KEY,
    url TEXT NOT NULL,
    room TEXT NOT NULL,
    position INTEGER NOT NULL,
    body TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX room_webhooks_by_room ON room_webhooks (room, url, position);
CREATE INDEX room_webhooks_by_time ON room_webhooks (created_at);
CREATE INDEX jobs_room_webhooks_due ON jobs (run_at, id) WHERE failed_at IS NULL AND kind = 'room_webhook';
