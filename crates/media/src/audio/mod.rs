//! Sound: the Opus codec, a jitter buffer per track, and the mix of many tracks.
//!
//! All of it is 48 kHz PCM in frames of 20 ms, and all of it is driven by the caller's `Instant`s.

pub mod clock;
pub mod jitter;
pub mod lateness;
pub mod mixer;
pub mod opus;
pub mod red;

#[cfg(test)]
pub(crate) mod tests;
