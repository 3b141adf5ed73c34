//! Meetings: who may see them, and their life from planned to erased.

mod access;
mod consent;
mod crud;
mod invite;
mod join;
mod participants;
mod series;

pub use access::Access;
pub(crate) use crud::cursor_id;
pub use crud::{MeetingNew, MeetingPatch};
