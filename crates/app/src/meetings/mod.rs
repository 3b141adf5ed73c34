//! Meetings: who may see them, and their life from planned to erased.

mod access;
mod calendar;
mod consent;
mod crud;
mod door;
mod erase;
mod invite;
mod join;
mod participants;
mod series;

pub use access::Access;
pub(crate) use access::{meeting_access, words_access};
pub use consent::{ConsentChange, ConsentOutcome};
pub(crate) use consent::{ConsentKind, consent_permits};
pub use crud::{MeetingNew, MeetingPatch};
pub(crate) use crud::{cursor_id, cursor_of};
pub use erase::ErasureReceipt;
pub use invite::Invite;
pub use join::{Joined, LiveKitJoin, MeetingJoin};
pub use participants::{ParticipantNew, ParticipantPatch, Who};
