//! What is remembered across meetings.

use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use crate::text_enum::text_enum;
use crate::{AgentId, MeetingId, MemoryChangeId, MemoryId, SegmentId, Timestamp, UserId};

text_enum! {
    /// How a memory came about.
    MemorySource {
        /// Somebody asked to remember it.
        Manual = "manual",
        /// Kept from what was said in a meeting.
        Auto = "auto",
    }
}

/// Something remembered for one user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow, utoipa::ToSchema)]
pub struct Memory {
    /// The id; kept when the memory is updated.
    pub id: MemoryId,
    /// Whose memory it is.
    pub user_id: UserId,
    /// The meeting it comes from.
    pub meeting_id: Option<MeetingId>,
    /// The agent it belongs to.
    pub agent_id: Option<AgentId>,
    /// Whom or what it is about: the speaker, when it was said in a meeting.
    pub subject: Option<String>,
    /// The words.
    pub content: String,
    /// The caller's own fields; any JSON object up to 16 KB.
    #[sqlx(json)]
    #[schema(value_type = Object)]
    pub metadata: serde_json::Value,
    /// Labels.
    #[sqlx(json)]
    pub categories: Vec<String>,
    /// Where it was said.
    #[sqlx(json)]
    pub segment_ids: Vec<SegmentId>,
    /// How it came about.
    pub source: MemorySource,
    /// The memory that took its place.
    pub replaced_by: Option<MemoryId>,
    /// When it is deleted by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was saved.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

text_enum! {
    /// What happened to a memory.
    MemoryEvent {
        /// It was saved.
        Add = "ADD",
        /// It was changed.
        Update = "UPDATE",
        /// It was deleted.
        Delete = "DELETE",
    }
}

/// One change of a memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow, utoipa::ToSchema)]
pub struct MemoryChange {
    /// The id.
    pub id: MemoryChangeId,
    /// The memory.
    pub memory_id: MemoryId,
    /// What happened.
    pub event: MemoryEvent,
    /// The words before.
    pub old_content: Option<String>,
    /// The words after.
    pub new_content: Option<String>,
    /// Who did it, such as `user:usr_…`.
    pub actor: String,
    /// When.
    pub at: Timestamp,
}
