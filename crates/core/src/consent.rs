//! The consent ledger: who agreed to what, when, and who wrote it down.

use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use crate::text_enum::text_enum;
use crate::{ConsentId, ConsentPolicy, MeetingId, ParticipantId, Timestamp};

text_enum! {
    /// A participant's word on one kind of capture.
    ConsentState {
        /// Agreed.
        Granted = "granted",
        /// Refused or withdrawn.
        Denied = "denied",
        /// Nothing said yet.
        Pending = "pending",
    }
}

/// One entry of the ledger; the newest per participant is in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow, utoipa::ToSchema)]
pub struct Consent {
    /// The id.
    pub id: ConsentId,
    /// The meeting.
    pub meeting_id: MeetingId,
    /// Whose consent.
    pub participant_id: ParticipantId,
    /// Keeping what they say as text.
    pub transcript: ConsentState,
    /// Keeping what they say as sound or picture.
    pub recording: ConsentState,
    /// Remembering it beyond the meeting.
    pub memory: ConsentState,
    /// Who entered it, such as `user:usr_…`.
    pub actor: String,
    /// When.
    pub at: Timestamp,
}

impl ConsentPolicy {
    /// Whether capture may go on under this policy, given the participant's word (`None`: no entry).
    pub fn permits(self, word: Option<ConsentState>) -> bool {
        match self {
            ConsentPolicy::Off => false,
            ConsentPolicy::Ask => word == Some(ConsentState::Granted),
            ConsentPolicy::Implied => word != Some(ConsentState::Denied),
        }
    }
}
