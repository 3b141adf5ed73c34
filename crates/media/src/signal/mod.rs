//! LiveKit's signalling on the wire: frames, the join request, session descriptions.

pub mod frames;
pub mod join;
mod query;
pub mod sdp;
