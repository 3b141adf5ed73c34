//! The words of MeetMind: ids, time, domain types, events, error codes, policy.
//!
//! Nothing here does IO, waits, or knows a statement or a route. Types that are stored carry
//! their column encoding (`sqlx::FromRow`) and their wire schema (`utoipa::ToSchema`), so that
//! one struct serves from column to wire (`docs/decisions/0002-one-struct-from-column-to-wire.md`).

mod agent;
mod consent;
mod ctx;
mod error;
mod event;
mod id;
mod job;
mod meeting;
mod memory;
mod note;
mod page;
mod policy;
mod recording;
mod text_enum;
mod time;
mod transcript;
mod user;
mod webhook;

pub use agent::*;
pub use consent::*;
pub use ctx::*;
pub use error::*;
pub use event::*;
pub use id::*;
pub use job::*;
pub use meeting::*;
pub use memory::*;
pub use note::*;
pub use page::*;
pub use policy::*;
pub use recording::*;
pub use time::*;
pub use transcript::*;
pub use user::*;
pub use webhook::*;
