//! Recordings: Ogg and WebM files out of packets.

pub mod bitstream;
pub mod depacketize;
pub mod index;
mod mix;
pub mod ogg;
pub mod recorder;
pub mod reorder;
pub mod spec;
mod track;
pub mod webm;

#[cfg(test)]
mod tests;
