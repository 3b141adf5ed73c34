//! What is derived from a transcript. Every row cites the segments it comes from.

use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use crate::text_enum::text_enum;
use crate::{
    ActionId, DecisionId, HighlightId, MeetingId, SegmentId, SummaryId, Timestamp, TopicId, UserId,
};

text_enum! {
    /// How sure it is that the item was meant.
    Marker {
        /// Somebody said or typed an explicit marker, or a person entered it.
        Explicit = "explicit",
        /// A pattern found it: unconfirmed until a person says so.
        Pattern = "pattern",
    }
}

text_enum! {
    /// Where an action stands.
    ActionStatus {
        /// Found, not yet confirmed.
        Proposed = "proposed",
        /// A person confirmed it.
        Confirmed = "confirmed",
        /// Done.
        Done = "done",
        /// Not an action after all.
        Dismissed = "dismissed",
        /// Another one took its place.
        Superseded = "superseded",
    }
}

text_enum! {
    /// Where a decision stands.
    DecisionStatus {
        /// Found, not yet confirmed.
        Proposed = "proposed",
        /// A person confirmed it.
        Confirmed = "confirmed",
        /// A later decision took its place.
        Superseded = "superseded",
        /// Not a decision after all.
        Dismissed = "dismissed",
    }
}

text_enum! {
    /// What a person said about a highlight.
    HighlightStatus {
        /// Chosen by the notes; the next pass may choose otherwise.
        Proposed = "proposed",
        /// A person wrote, changed or confirmed it: it stays.
        Confirmed = "confirmed",
        /// A person does not want it: it is not chosen again.
        Dismissed = "dismissed",
    }
}

/// A stretch of the meeting about one thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow, utoipa::ToSchema)]
pub struct Topic {
    /// The id.
    pub id: TopicId,
    /// The meeting.
    pub meeting_id: MeetingId,
    /// The position, from 0.
    pub ordinal: i64,
    /// A few of the words said.
    pub label: String,
    /// Milliseconds from the meeting's start.
    pub start_ms: i64,
    /// Milliseconds from the meeting's start.
    pub end_ms: i64,
    /// The words that set it apart.
    #[sqlx(json)]
    pub key_phrases: Vec<String>,
    /// The segments of the stretch, in order.
    #[sqlx(json)]
    pub segment_ids: Vec<SegmentId>,
    /// Whether a person changed the label: a new pass keeps it.
    pub edited: bool,
    /// Whether a cited segment was corrected since.
    pub stale: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A sentence worth keeping, as it was said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow, utoipa::ToSchema)]
pub struct Highlight {
    /// The id.
    pub id: HighlightId,
    /// The meeting.
    pub meeting_id: MeetingId,
    /// The words, verbatim but for fillers.
    pub text: String,
    /// Who said it.
    pub speaker: String,
    /// Milliseconds from the meeting's start.
    pub start_ms: i64,
    /// Where it was said.
    #[sqlx(json)]
    pub segment_ids: Vec<SegmentId>,
    /// The rank score; comparable within one meeting only.
    pub score: f64,
    /// What a person said about it.
    pub status: HighlightStatus,
    /// Whether a cited segment was corrected since.
    pub stale: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// One line of a summary with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SummaryLine {
    /// The words: quoted from the transcript when no model wrote them.
    pub text: String,
    /// Who said it, where it is a quotation.
    pub speaker: Option<String>,
    /// Milliseconds from the meeting's start.
    pub start_ms: i64,
    /// Where it comes from; never empty.
    pub segment_ids: Vec<SegmentId>,
}

/// A summary of a meeting. There is one per meeting; it grows while the meeting runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow, utoipa::ToSchema)]
pub struct Summary {
    /// The id.
    pub id: SummaryId,
    /// The meeting.
    pub meeting_id: MeetingId,
    /// One line: what the meeting keeps coming back to.
    pub headline: String,
    /// The lines, in the order of the meeting.
    #[sqlx(json)]
    pub lines: Vec<SummaryLine>,
    /// What wrote it: `offline` when no language model is configured.
    pub engine: String,
    /// Whether it is the pass after the end.
    #[serde(rename = "final")]
    #[sqlx(rename = "is_final")]
    pub is_final: bool,
    /// How many final segments it covers.
    pub segment_count: i64,
    /// Whether a person wrote its headline or its lines; passes over the transcript leave them then.
    pub edited: bool,
    /// Whether a cited segment was corrected since.
    pub stale: bool,
    /// Counts up with every pass that changed it, and every edit.
    pub version: i64,
    /// When it was first made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// Something somebody is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow, utoipa::ToSchema)]
pub struct Action {
    /// The id.
    pub id: ActionId,
    /// The meeting it was said in.
    pub meeting_id: MeetingId,
    /// What is to be done, in the words said.
    pub text: String,
    /// Who is to do it, as named.
    pub owner: Option<String>,
    /// The account of the owner, when it is known.
    pub owner_user_id: Option<UserId>,
    /// Until when, in the words said.
    pub due: Option<String>,
    /// Until when, as a person set it.
    pub due_at: Option<Timestamp>,
    /// Where it stands.
    pub status: ActionStatus,
    /// How sure it is.
    pub marker: Marker,
    /// Where it was said.
    #[sqlx(json)]
    pub segment_ids: Vec<SegmentId>,
    /// Whether a person entered or touched it: a new pass leaves it alone.
    #[serde(default)]
    #[sqlx(default)]
    pub edited: bool,
    /// Whether a cited segment was corrected since.
    pub stale: bool,
    /// Counts up with every change.
    pub version: i64,
    /// When it was found.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// Something that was decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow, utoipa::ToSchema)]
pub struct Decision {
    /// The id.
    pub id: DecisionId,
    /// The meeting it was made in.
    pub meeting_id: MeetingId,
    /// What was decided, in the words said.
    pub text: String,
    /// Where it stands.
    pub status: DecisionStatus,
    /// How sure it is.
    pub marker: Marker,
    /// The decision that took its place.
    pub superseded_by: Option<DecisionId>,
    /// Where it was said.
    #[sqlx(json)]
    pub segment_ids: Vec<SegmentId>,
    /// Whether a person entered or touched it: a new pass leaves it alone.
    #[serde(default)]
    #[sqlx(default)]
    pub edited: bool,
    /// Whether a cited segment was corrected since.
    pub stale: bool,
    /// Counts up with every change.
    pub version: i64,
    /// When it was found.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}
