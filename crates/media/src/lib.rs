//! Everything that is a packet; today: LiveKit access tokens.

mod token;

pub use token::{RoomGrant, TokenError, access_token};
