//! What was said.

use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use crate::text_enum::text_enum;
use crate::{MeetingId, ParticipantId, SegmentId, Timestamp};

text_enum! {
    /// How it is known who spoke.
    Attribution {
        /// It came on the speaker's own track.
        Track = "track",
        /// The caller said so.
        Declared = "declared",
        /// It was in an imported file.
        Import = "import",
    }
}

/// A piece of the transcript, by one speaker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow, utoipa::ToSchema)]
pub struct Segment {
    /// The id; kept from draft to final.
    pub id: SegmentId,
    /// The meeting.
    pub meeting_id: MeetingId,
    /// The participant who spoke, when it is one.
    pub participant_id: Option<ParticipantId>,
    /// The speaker's name.
    pub speaker: String,
    /// The words.
    pub text: String,
    /// Milliseconds from the meeting's start.
    pub start_ms: i64,
    /// Milliseconds from the meeting's start; not before `start_ms`.
    pub end_ms: i64,
    /// 0 to 1, where the source tells.
    pub confidence: Option<f64>,
    /// A BCP 47 tag, where the source tells.
    pub language: Option<String>,
    /// Whether the words are final; a draft may still change.
    #[serde(rename = "final")]
    #[sqlx(rename = "is_final")]
    pub is_final: bool,
    /// The caller's own id: the same one updates the draft.
    pub external_id: Option<String>,
    /// How it is known who spoke.
    pub attribution: Attribution,
    /// Counts up with every change.
    pub version: i64,
    /// When somebody corrected it.
    pub corrected_at: Option<Timestamp>,
    /// When it came.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// What a segment was before one correction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, FromRow, utoipa::ToSchema)]
pub struct SegmentChange {
    /// The segment.
    pub segment_id: SegmentId,
    /// The version that these words were.
    pub version: i64,
    /// The participant they were ascribed to, when it was one.
    pub participant_id: Option<ParticipantId>,
    /// The speaker's name as it stood.
    pub speaker: String,
    /// The words as they stood.
    pub text: String,
    /// Milliseconds from the meeting's start, as it stood.
    pub start_ms: i64,
    /// Milliseconds from the meeting's start, as it stood.
    pub end_ms: i64,
    /// Who corrected them, such as `user:usr_…`.
    pub actor: String,
    /// When they were corrected.
    pub at: Timestamp,
}
