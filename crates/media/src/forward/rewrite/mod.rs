//! Rewriting: numbers without holes of our making, timestamps without jumps, VP8 indices in step.

mod clock;
mod runs;
mod vp8;

pub(super) use clock::Clock;
pub(super) use runs::{Runs, Seen};
pub(crate) use vp8::Vp8Header;
pub(super) use vp8::{Vp8Last, Vp8Rewrite};
