//! Everything that is SQL.
//!
//! One SQL text serves SQLite and Postgres: `$1` placeholders, times and ids bound as values,
//! no clock or random function of the database. Each file holds the statements of one part of
//! the schema as named constants and, below them, the functions of [`Conn`] that run them. One
//! test prepares every constant on both engines. Where the engines must differ, the constant
//! has two forms and the file stands in the list of `docs/database.md`.

mod account;
mod agents;
mod audit;
mod backup;
mod corrections;
mod db;
mod erasure;
mod error;
mod events;
mod idempotency;
mod jobs;
mod keys;
mod meetings;
mod memories;
mod mentions;
mod messages;
mod migrate;
mod notes;
mod one_time;
mod participants;
mod recordings;
mod rooms;
mod runs;
mod search;
mod segments;
mod sessions;
mod statements;
pub mod testing;
mod users;
mod webhooks;

pub use db::{Conn, Engine, Settings, Store, Synchronous};
pub use error::{Error, Result};
pub use statements::all as all_statements;

pub use backup::*;
pub use erasure::ErasureCounts;

pub use account::*;
pub use idempotency::*;
pub use keys::*;
pub use meetings::*;
pub use memories::MemoryFilter;
pub use notes::*;
pub use one_time::*;
pub use recordings::RecordingOutcome;
pub use rooms::{RoomMember, RoomWebhook};
pub use runs::MeetingAgentRow;
pub use search::*;
pub use segments::{SegmentErasure, SegmentFilter};
pub use sessions::*;
pub use webhooks::*;
