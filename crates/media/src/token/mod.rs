//! LiveKit access tokens: HS256 JWTs with LiveKit's grants; signed for everybody, verified from anybody.

mod claims;
mod grants;
mod keys;
#[cfg(test)]
mod tests;

use std::time::Duration;

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

/// What a token lets its bearer do in one room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomGrant {
    /// The room: the meeting's id.
    pub room: String,
    /// The identity: the participant's id.
    pub identity: String,
    /// The name that others see.
    pub name: String,
    /// Whether the bearer may publish tracks and data; looking on needs neither.
    pub can_publish: bool,
    /// Whether the bearer is an agent.
    pub is_agent: bool,
    /// Any text that the room's members can read; JSON by custom.
    pub metadata: String,
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
