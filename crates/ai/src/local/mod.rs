//! The offline notes engine: topics, highlights, actions, decisions, open questions and answers from
//! transcript segments alone.
//!
//! Pure, synchronous and deterministic: no model, no IO, no clock. Everything derived cites the ids of the
//! segments it comes from, and shows words as they were said. Patterns are English; other languages are
//! read without harm and give topics, highlights and answers of lower quality.

mod actions;
mod answer;
mod background;
mod clean;
mod commands;
mod decisions;
mod due;
mod highlights;
mod notes;
mod people;
mod phrases;
mod question;
mod questions;
mod rank;
mod roles;
mod score;
mod sparse;
mod tasks;
mod tokens;
mod topics;
mod transcript;
mod words;

pub use answer::{Answer, Citation, answer};
pub use commands::{Command, typed_command};
pub use decisions::reversal_hint;
pub use notes::{
    ActionCandidate, Coverage, DecisionCandidate, Highlight, Marker, Notes, NotesOptions,
    OpenQuestion, Topic, Turn, notes,
};
pub use rank::{Day, Passage, Ranker, rank};
pub use roles::{Persona, RoleView, UnknownPersona, role_view};
