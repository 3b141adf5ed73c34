//! Stored events and passing signals.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use crate::text_enum::text_enum;
use crate::{MeetingId, RunId, Timestamp, UserId};

/// What events are about; each topic counts its own `seq` from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventTopic {
    /// One meeting.
    Meeting(MeetingId),
    /// One run.
    Run(RunId),
    /// What concerns one user.
    User(UserId),
}

impl fmt::Display for EventTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventTopic::Meeting(id) => write!(f, "meeting:{id}"),
            EventTopic::Run(id) => write!(f, "run:{id}"),
            EventTopic::User(id) => write!(f, "user:{id}"),
        }
    }
}

impl FromStr for EventTopic {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || {
            format!(
                "expected meeting:…, run:… or user:… but got `{}`",
                text.chars().take(80).collect::<String>()
            )
        };
        let (kind, id) = text.split_once(':').ok_or_else(wrong)?;
        match kind {
            "meeting" => id.parse().map(EventTopic::Meeting).map_err(|_| wrong()),
            "run" => id.parse().map(EventTopic::Run).map_err(|_| wrong()),
            "user" => id.parse().map(EventTopic::User).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }
}

text_enum! {
    /// The type of a stored event, in the past tense. Append-only.
    EventKind {
        /// A meeting was made.
        MeetingCreated = "meeting.created",
        /// Its fields changed.
        MeetingUpdated = "meeting.updated",
        /// Somebody joined or spoke first.
        MeetingStarted = "meeting.started",
        /// It was ended.
        MeetingEnded = "meeting.ended",
        /// It was deleted and can be restored.
        MeetingArchived = "meeting.archived",
        /// It came back.
        MeetingRestored = "meeting.restored",
        /// It was erased.
        MeetingErased = "meeting.erased",
        /// Somebody was put on the list.
        ParticipantInvited = "participant.invited",
        /// Somebody waits at the door.
        ParticipantWaiting = "participant.waiting",
        /// Somebody came in.
        ParticipantJoined = "participant.joined",
        /// Somebody left.
        ParticipantLeft = "participant.left",
        /// Role, name or mute changed.
        ParticipantUpdated = "participant.updated",
        /// A host removed somebody.
        ParticipantRemoved = "participant.removed",
        /// A participant's word on capture changed.
        ConsentChanged = "consent.changed",
        /// Words came that may still change.
        SegmentDrafted = "segment.drafted",
        /// Words came that stay.
        SegmentFinalized = "segment.finalized",
        /// A final segment was corrected.
        SegmentCorrected = "segment.corrected",
        /// A segment was erased.
        SegmentErased = "segment.erased",
        /// A chat message was posted.
        MessagePosted = "message.posted",
        /// The summary has a new version.
        SummaryUpdated = "summary.updated",
        /// A person edited, confirmed or dismissed a highlight.
        HighlightUpdated = "highlight.updated",
        /// A new topic began.
        TopicOpened = "topic.opened",
        /// A topic's label or bounds changed.
        TopicUpdated = "topic.updated",
        /// The meeting turned to a topic.
        TopicFocused = "topic.focused",
        /// An action was found or entered.
        ActionProposed = "action.proposed",
        /// An action changed.
        ActionUpdated = "action.updated",
        /// A decision was found or entered.
        DecisionProposed = "decision.proposed",
        /// A decision changed.
        DecisionUpdated = "decision.updated",
        /// The meeting's context changed.
        ContextUpdated = "context.updated",
        /// A run changed its state.
        AgentStateChanged = "agent.state_changed",
        /// An agent wrote or spoke.
        AgentSpoke = "agent.spoke",
        /// A tool was called.
        ToolCalled = "tool.called",
        /// A memory was saved.
        MemorySaved = "memory.saved",
        /// A memory was changed.
        MemoryUpdated = "memory.updated",
        /// A memory was deleted.
        MemoryDeleted = "memory.deleted",
        /// An agent definition changed.
        AgentUpdated = "agent.updated",
        /// A webhook was tested by its owner.
        WebhookTested = "webhook.tested",
        /// A recording began.
        RecordingStarted = "recording.started",
        /// A recording ended, by somebody's word, the meeting's end, a limit or a shutdown.
        RecordingStopped = "recording.stopped",
        /// A recording could not go on; the meeting does.
        RecordingFailed = "recording.failed",
        /// A recording and its files were deleted.
        RecordingDeleted = "recording.deleted",
    }
}

/// A stored event, as all live wires carry it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow, utoipa::ToSchema)]
pub struct Event {
    /// The version of this shape.
    #[sqlx(default)]
    #[serde(default = "event_version")]
    pub v: EventVersion,
    /// Such as `meeting:mtg_…`.
    pub topic: String,
    /// Counts up from 1 within the topic, without gaps.
    pub seq: i64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// The thing it happened to.
    #[sqlx(json)]
    #[schema(value_type = Object)]
    pub data: serde_json::Value,
}

/// Always 1 for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
pub struct EventVersion(pub i64);

impl Default for EventVersion {
    fn default() -> Self {
        Self(1)
    }
}

impl<DB: sqlx::Database> sqlx::Type<DB> for EventVersion
where
    i64: sqlx::Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        <i64 as sqlx::Type<DB>>::type_info()
    }
}

impl<'r, DB: sqlx::Database> sqlx::Decode<'r, DB> for EventVersion
where
    i64: sqlx::Decode<'r, DB>,
{
    fn decode(
        value: <DB as sqlx::Database>::ValueRef<'r>,
    ) -> Result<Self, sqlx::error::BoxDynError> {
        i64::decode(value).map(Self)
    }
}

fn event_version() -> EventVersion {
    EventVersion::default()
}

text_enum! {
    /// What passes without being stored.
    SignalKind {
        /// Somebody speaks.
        Speaking = "speaking",
        /// A track of somebody was muted or unmuted.
        Muted = "muted",
        /// How good somebody's connection is.
        Quality = "quality",
        /// Somebody types.
        Typing = "typing",
        /// A sound level.
        Level = "level",
        /// A hand is up or down.
        Hand = "hand",
        /// An emoji.
        Reaction = "reaction",
    }
}

/// What passes without being stored: no number, no replay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Signal {
    /// Such as `meeting:mtg_…`.
    pub topic: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: SignalKind,
    /// Who sent it and what it holds.
    #[schema(value_type = Object)]
    pub data: serde_json::Value,
}
