//! Meetings, series, participants, chat.

use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use crate::text_enum::text_enum;
use crate::{AgentId, MeetingId, MessageId, ParticipantId, SegmentId, SeriesId, Timestamp, UserId};

text_enum! {
    /// Where a meeting stands.
    MeetingStatus {
        /// Nobody has joined yet.
        Scheduled = "scheduled",
        /// Somebody joined and nobody ended it.
        Live = "live",
        /// It is over; its record stays.
        Ended = "ended",
    }
}

text_enum! {
    /// Who can get in.
    MeetingAccess {
        /// Only who is on the list of participants.
        Invite = "invite",
        /// Whoever has the invitation code, guests included.
        Link = "link",
        /// Every account of this instance.
        Open = "open",
    }
}

text_enum! {
    /// How consent to capture works in the meeting.
    ConsentPolicy {
        /// Nothing of a participant is kept until that participant agrees.
        Ask = "ask",
        /// Joining counts as consent until it is withdrawn.
        Implied = "implied",
        /// Nothing is captured.
        Off = "off",
    }
}

text_enum! {
    /// How memories come from the meeting.
    MemoryMode {
        /// Kept from what is said, where the speaker consents.
        Auto = "auto",
        /// Only what somebody asks to remember.
        Manual = "manual",
        /// None.
        Off = "off",
    }
}

text_enum! {
    /// A role in a meeting.
    MeetingRole {
        /// Owns it.
        Host = "host",
        /// Runs it with the host.
        Cohost = "cohost",
        /// Takes part.
        Participant = "participant",
        /// Looks on.
        Viewer = "viewer",
        /// An agent's run.
        Agent = "agent",
    }
}

text_enum! {
    /// Where a participant stands.
    ParticipantState {
        /// On the list, not yet there.
        Invited = "invited",
        /// At the door, waiting to be admitted.
        Waiting = "waiting",
        /// In the meeting.
        Joined = "joined",
        /// Left.
        Left = "left",
        /// Removed by a host; may not come back by link.
        Removed = "removed",
    }
}

/// Meetings that belong together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow, utoipa::ToSchema)]
pub struct Series {
    /// The id.
    pub id: SeriesId,
    /// Who made it.
    pub owner_id: UserId,
    /// Its name.
    pub title: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A meeting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow, utoipa::ToSchema)]
pub struct Meeting {
    /// The id.
    pub id: MeetingId,
    /// Who made it.
    pub owner_id: UserId,
    /// The series it belongs to.
    pub series_id: Option<SeriesId>,
    /// Its title.
    pub title: String,
    /// What it is about.
    pub description: Option<String>,
    /// Where it stands.
    pub status: MeetingStatus,
    /// When it is planned to start.
    pub starts_at: Option<Timestamp>,
    /// When it is planned to end.
    pub ends_at: Option<Timestamp>,
    /// An IANA time zone name, for the calendar file and for people.
    pub time_zone: Option<String>,
    /// When somebody first joined or spoke.
    pub started_at: Option<Timestamp>,
    /// When it was ended.
    pub ended_at: Option<Timestamp>,
    /// Who can get in.
    pub access: MeetingAccess,
    /// Whether those who come by link or openly wait to be admitted.
    pub lobby: bool,
    /// Whether nobody new may come in.
    pub locked: bool,
    /// How consent works.
    pub consent_policy: ConsentPolicy,
    /// How memories come about.
    pub memory_mode: MemoryMode,
    /// Days until memories of this meeting are deleted; for ever when absent.
    pub memory_retention_days: Option<i64>,
    /// Words and names that matter here.
    #[sqlx(json)]
    pub glossary: Vec<String>,
    /// Counts up with every change; the `ETag` is made from it.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it was deleted; it can be restored for 30 days.
    pub archived_at: Option<Timestamp>,
}

/// Somebody in a meeting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow, utoipa::ToSchema)]
pub struct Participant {
    /// The id; the LiveKit identity.
    pub id: ParticipantId,
    /// The meeting.
    pub meeting_id: MeetingId,
    /// The account, if it is a person with one.
    pub user_id: Option<UserId>,
    /// The agent, if it is one.
    pub agent_id: Option<AgentId>,
    /// The name shown and written in the transcript.
    pub name: String,
    /// The role here.
    pub role: MeetingRole,
    /// Where they stand.
    pub state: ParticipantState,
    /// Whether a host muted them.
    pub muted: bool,
    /// When they last joined.
    pub joined_at: Option<Timestamp>,
    /// When they last left.
    pub left_at: Option<Timestamp>,
    /// When they came on the list.
    pub created_at: Timestamp,
    /// When the row last changed.
    pub updated_at: Timestamp,
}

text_enum! {
    /// What a chat message is.
    MessageKind {
        /// Somebody wrote it.
        Text = "text",
        /// An agent answered.
        Answer = "answer",
        /// MeetMind says what happened.
        Notice = "notice",
    }
}

/// A chat message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow, utoipa::ToSchema)]
pub struct Message {
    /// The id.
    pub id: MessageId,
    /// The meeting.
    pub meeting_id: MeetingId,
    /// Who wrote it; absent for notices.
    pub participant_id: Option<ParticipantId>,
    /// The writer's name at that time.
    pub author: String,
    /// What it is.
    pub kind: MessageKind,
    /// The words.
    pub text: String,
    /// The message it answers.
    pub reply_to: Option<MessageId>,
    /// The segments an answer rests on.
    #[sqlx(json)]
    pub segment_ids: Vec<SegmentId>,
    /// When it was written.
    pub created_at: Timestamp,
}
