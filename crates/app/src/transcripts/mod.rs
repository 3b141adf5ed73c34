//! What was said: segments, corrections, import and export.

pub mod formats;
