//! LiveKit access tokens: HS256 JWTs with LiveKit's grants; signed for everybody, verified from anybody.

mod claims;
mod grants;
mod keys;
#[cfg(test)]
mod tests;

use std::time::Duration;

use livekit_protocol::TrackSource;
use meetmind_core::Timestamp;

pub use claims::{Claims, LimitError};
pub use grants::{Permissions, SipGrant, VideoGrant};
pub use keys::{ApiKey, ApiKeys, TokenError, TokenRefused};

/// The longest identity, participant name and room name, in bytes.
pub const MAX_NAME_BYTES: usize = 256;
/// The longest metadata of a room, participant or dispatch, in bytes.
pub const MAX_METADATA_BYTES: usize = 512 * 1024;
/// The most attributes of one participant, keys and values together, in bytes.
pub const MAX_ATTRIBUTES_BYTES: usize = 64 * 1024;

/// What somebody is in a room; it decides what they may do there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomPart {
    /// Looks on: hears and sees, sends nothing.
    Viewer,
    /// Takes part with microphone, camera, screen and data.
    Participant,
    /// An agent: any source, data, and its own metadata and attributes, by which agents tell their state.
    Agent,
    /// Records: hears and sees, unseen by the others.
    Recorder,
}

impl RoomPart {
    /// What it may do.
    pub fn permissions(self) -> Permissions {
        let is_agent = self == Self::Agent;
        let publishes = matches!(self, Self::Participant | Self::Agent);
        let sources = match self {
            Self::Participant => vec![
                TrackSource::Camera,
                TrackSource::Microphone,
                TrackSource::ScreenShare,
                TrackSource::ScreenShareAudio,
            ],
            _ => Vec::new(),
        };
        Permissions {
            can_publish: publishes,
            sources,
            can_subscribe: true,
            can_publish_data: publishes,
            can_update_metadata: is_agent,
            hidden: self == Self::Recorder,
            recorder: self == Self::Recorder,
            agent: is_agent,
            can_subscribe_metrics: false,
            can_manage_agent_session: false,
        }
    }

    /// The participant's kind, as claims name it.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Viewer | Self::Participant => "",
            Self::Agent => "agent",
            Self::Recorder => "egress",
        }
    }
}

/// What a token lets its bearer do in one room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomGrant {
    /// The room: the meeting's id.
    pub room: String,
    /// The identity: the participant's id.
    pub identity: String,
    /// The name that others see.
    pub name: String,
    /// What the bearer is in the room.
    pub part: RoomPart,
    /// Any text that the room's members can read; JSON by custom.
    pub metadata: String,
    /// The metadata of the room if this bearer is the one who makes it by joining.
    pub room_metadata: String,
    /// How long the token opens the room; a connection made with it may last longer.
    pub ttl: Duration,
}

/// Signs a token for one participant of one room, valid from `now`.
///
/// # Errors
/// When the signer refuses the secret.
pub fn access_token(
    api_key: &str,
    api_secret: &str,
    grant: &RoomGrant,
    now: Timestamp,
) -> Result<String, TokenError> {
    ApiKey::new(api_key, api_secret).sign(&Claims::participant(grant), now, grant.ttl)
}
