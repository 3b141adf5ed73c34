//! Recordings of a meeting's sound and pictures.

use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use crate::text_enum::text_enum;
use crate::{MeetingId, ParticipantId, RecordingFileId, RecordingId, Timestamp};

text_enum! {
    /// What a recording makes.
    RecordingMode {
        /// One file with everybody's sound.
        Mix = "mix",
        /// A file per track, sound and picture.
        Tracks = "tracks",
        /// The mix and a file per track.
        Both = "both",
    }
}

text_enum! {
    /// Where a recording stands.
    RecordingStatus {
        /// It runs.
        Recording = "recording",
        /// It ended as it should; `reason` says by what.
        Completed = "completed",
        /// It could not go on; what was recorded until then is there.
        Failed = "failed",
        /// The process ended; what was recorded until then is there.
        Interrupted = "interrupted",
    }
}

text_enum! {
    /// Why a recording ended.
    RecordingReason {
        /// Somebody stopped it.
        Requested = "requested",
        /// The meeting ended or was deleted.
        MeetingEnded = "meeting_ended",
        /// It was as long as the settings allow.
        TimeLimit = "time_limit",
        /// It was as large as the settings allow.
        SizeLimit = "size_limit",
        /// Words of somebody in it were to be erased.
        Erased = "erased",
        /// The disk is full.
        DiskFull = "disk_full",
        /// A file could not be written, or a codec failed; the log says more.
        WriteFailed = "write_failed",
        /// The server was shut down.
        ServerStopped = "server_stopped",
        /// The process died.
        ProcessDied = "process_died",
    }
}

text_enum! {
    /// What a file of a recording holds.
    RecordingFileKind {
        /// Everybody's sound, in Ogg/Opus.
        Mix = "mix",
        /// One track's sound, in Ogg/Opus, as it was sent.
        Audio = "audio",
        /// One track's pictures as they were sent: VP8 and VP9 in WebM, H264 in Matroska.
        Video = "video",
    }
}

/// A recording of a meeting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow, utoipa::ToSchema)]
pub struct Recording {
    /// The id.
    pub id: RecordingId,
    /// The meeting.
    pub meeting_id: MeetingId,
    /// What it makes.
    pub mode: RecordingMode,
    /// Where it stands.
    pub status: RecordingStatus,
    /// Why it ended; null while it runs.
    pub reason: Option<RecordingReason>,
    /// Who started it, such as `user:usr_…`.
    pub started_by: String,
    /// Who stopped it; null when it ended otherwise.
    pub stopped_by: Option<String>,
    /// When it began: the times of its files count from here.
    pub started_at: Timestamp,
    /// When it ended; null while it runs.
    pub ended_at: Option<Timestamp>,
    /// How long it is, in ms.
    pub duration_ms: i64,
    /// Bytes of all its files.
    pub size_bytes: i64,
    /// Packets left out because the disk or the machine was too slow; normally 0.
    pub dropped_packets: i64,
    /// Who was recorded, and when: a participant is recorded only while it consents. Empty while it runs.
    #[sqlx(json)]
    pub participants: Vec<RecordedParticipant>,
    /// Tracks that flowed and were not recorded. Empty while it runs.
    #[sqlx(json)]
    pub skipped: Vec<SkippedTrack>,
}

/// When a participant was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RecordedParticipant {
    /// Who: a participant's id, or the name under which an agent's worker was in the room.
    pub identity: String,
    /// When consent was in force, in ms from the recording's beginning.
    pub consent: Vec<RecordedSpan>,
}

/// A time within a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RecordedSpan {
    /// Its beginning, in ms.
    pub from_ms: i64,
    /// Its end, in ms; null for the end of the recording.
    pub to_ms: Option<i64>,
}

/// A track that was not recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SkippedTrack {
    /// Whose it was.
    pub identity: String,
    /// The track's id in the room.
    pub track: String,
    /// What it carried, such as `video/AV1`.
    pub mime: String,
    /// Why: `unsupported_codec` (AV1, H265, PCM), `encrypted` end to end, `restricted` by its owner to
    /// some listeners, `too_many_files`.
    pub reason: String,
}

/// A file of a recording that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, FromRow, utoipa::ToSchema)]
pub struct RecordingFile {
    /// The id.
    pub id: RecordingFileId,
    /// The recording.
    pub recording_id: RecordingId,
    /// What it holds.
    pub kind: RecordingFileKind,
    /// Whose track it is; null for the mix.
    pub participant_id: Option<ParticipantId>,
    /// The track's id in the room; null for the mix.
    pub track: Option<String>,
    /// Its name within the recording, such as `mixed.ogg` or `tracks/….webm`.
    pub name: String,
    /// Such as `audio/ogg`.
    pub content_type: String,
    /// Where its beginning lies in the recording, in ms.
    pub start_ms: i64,
    /// How long it plays, in ms.
    pub duration_ms: i64,
    /// Its length.
    pub size_bytes: i64,
    /// The SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
}
