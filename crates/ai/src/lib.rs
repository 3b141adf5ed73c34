//! Everything that is a model call, and the built-in offline fallback for each.

pub mod local;
