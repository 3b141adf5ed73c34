//! What a subscriber is sent of a track: layer choice, rewriting, allocation; pure.
//!
//! The way of a packet: [`Layers`] measures it once per track; each subscription's [`Forwarder`]
//! says whether it goes out and under which numbers. The way of a decision: the subscriber's
//! [`Allocator`] divides the estimated bandwidth into a layer per track, the forwarder asks for a
//! keyframe of that layer, the track's [`KeyframeThrottle`] limits how often the publisher hears of
//! it, and [`Dynacast`] tells the publisher which layers nobody wants. [`Speakers`] and
//! [`TrackScore`] turn what was measured into what clients show.
//!
//! Everything here takes the time as an `Instant` and returns what to do.

mod allocator;
mod codec;
mod dynacast;
mod forwarder;
mod keyframes;
mod layers;
mod quality;
mod rewrite;
mod speakers;
#[cfg(test)]
mod tests;

pub use allocator::{Allocation, Allocator, LayerRate, StreamChange, Wanted};
pub use codec::{Codec, Keyframe};
pub use dynacast::Dynacast;
pub use forwarder::{Forwarder, PacketIn, SenderReport, Verdict};
pub use keyframes::KeyframeThrottle;
pub use layers::{LayerIndex, Layers, Wish};
pub use quality::{TrackScore, Window, WorstScore};
pub use speakers::Speakers;

pub(crate) use rewrite::Vp8Header;
