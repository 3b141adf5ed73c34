//! Tests of the writers, the depacketizers and the recorder, against strict parsers of their own.

pub(crate) mod ffmpeg;
mod files;
mod packets;
pub(crate) mod parse;
mod recording;
