//! Recordings: Ogg and WebM files out of packets.

pub mod bitstream;
pub mod depacketize;
pub mod index;
mod mix;
pub mod ogg;
pub mod probe;
pub mod recorder;
pub mod reorder;
pub mod spec;
pub mod tap;
mod track;
pub mod webm;

#[cfg(test)]
pub(crate) mod tests;
