//! Everything that is a packet: a LiveKit-compatible server, sans-IO but for its driver.
//!
//! The way of one packet: `driver` reads a datagram → `peer` decrypts it → `room` finds who listens →
//! `forward` decides per subscriber what goes out and under which number → `peer` encrypts → `driver`
//! sends. Nothing but the driver owns a socket, a thread or a clock.

pub mod agents;
pub mod audio;
pub mod driver;
pub mod forward;
mod peer;
pub mod record;
mod room;
pub mod service;
pub mod signal;
mod token;
pub mod webhook;

pub use token::{RoomGrant, TokenError, access_token};
