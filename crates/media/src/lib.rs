//! Everything that is a packet: a LiveKit-compatible server, sans-IO but for its driver.
//!
//! The way of one packet: `driver` reads a datagram → `peer` decrypts it → `room` finds who listens →
//! `forward` decides per subscriber what goes out and under which number → `peer` encrypts → `driver`
//! sends. A room that is recorded hands what flows to a tap, from which `recording` makes files with the
//! machine in `record`. Nothing but these two, driver and recording, owns a thread, a clock or a file.

pub mod agents;
pub mod audio;
pub mod driver;
pub mod forward;
pub mod hostile;
mod peer;
pub mod record;
mod recording;
pub mod room;
mod server;
pub mod service;
mod shard;
pub mod signal;
pub mod stun;
pub mod token;
pub mod turn;
pub mod webhook;

pub use recording::{
    INDEX as RECORDING_INDEX, KeptIndex, Recording, RecordingEnd, RecordingOptions,
    RecordingProgress, RecordingRefusal, RecordingResult, SkippedTrack,
};
pub use server::{
    JoinError, LIVEKIT_VERSION, MediaCallError, MediaConfig, MediaServer, MediaStop, RoomEvents,
    Session, Unavailable,
};
pub use token::{RoomGrant, RoomPart, TokenError, access_token};
