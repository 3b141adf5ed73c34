//! Recordings: Ogg and WebM files out of packets.
