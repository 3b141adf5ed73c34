//! Tests of the writers, the depacketizers and the recorder, against strict parsers of their own.

mod ffmpeg;
mod files;
mod packets;
mod parse;
mod recording;
