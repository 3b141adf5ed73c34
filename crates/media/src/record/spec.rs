//! What goes into a recording and what comes out of it.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::depacketize::VideoCodec;
use crate::audio::opus::{Layout, OpusError};

/// Files of one recording at most.
pub const MAX_FILES: usize = 4_096;

/// Participants of one recording at most.
pub const MAX_PARTICIPANTS: usize = 4_096;

/// What to record.
#[derive(Debug, Clone)]
pub struct RecordingSpec {
    /// One file `mixed.ogg` with everybody's sound.
    pub mixed: bool,
    /// Channels of the mix.
    pub mixed_layout: Layout,
    /// Rate of the mix; 32,000 to 64,000 for speech.
    pub mixed_bitrate_bps: u32,
    /// One file per Opus track, packets untouched.
    pub audio_tracks: bool,
    /// One file per video track, frames untouched.
    pub video_tracks: bool,
    /// `NAME=value` comments for the Ogg files.
    pub comments: Vec<(String, String)>,
}

impl Default for RecordingSpec {
    /// The mix in mono at 40 kbit/s and a file per Opus track.
    fn default() -> Self {
        RecordingSpec {
            mixed: true,
            mixed_layout: Layout::Mono,
            mixed_bitrate_bps: 40_000,
            audio_tracks: true,
            video_tracks: false,
            comments: Vec::new(),
        }
    }
}

/// What a track carries. Other codecs (AV1, H265) are not recorded: leave their tracks out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrackCodec {
    /// Opus, alone or within RED (RFC 2198).
    Opus,
    /// Video.
    Video(VideoCodec),
}

/// A track that begins.
#[derive(Debug, Clone)]
pub struct TrackStart {
    /// The participant's identity.
    pub participant: String,
    /// The track's sid.
    pub track: String,
    /// What it carries.
    pub codec: TrackCodec,
}

/// A packet of a track.
#[derive(Debug, Clone)]
pub struct TrackPacket {
    /// The extended sequence number.
    pub seq: u64,
    /// The RTP timestamp: 48 kHz for sound, 90 kHz for video.
    pub rtp_time: u32,
    /// The RTP marker.
    pub marker: bool,
    /// Whether the payload is wrapped in RED (RFC 2198); a sender may change it from packet to packet.
    pub red: bool,
    /// The payload, decrypted.
    pub payload: Arc<[u8]>,
    /// When it came.
    pub received: Instant,
}

/// Bytes for a file. They append to it unless `at` lies before its end: those complete a video file's
/// headers at its end and may be left out by a sink that cannot overwrite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The file's name relative to the recording's folder: `mixed.ogg`, `tracks/….ogg`. Made of ASCII
    /// letters, digits, `-`, `_`, one dot and at most one slash, whatever the participant's name is.
    pub file: Arc<str>,
    /// Where in the file, in bytes.
    pub at: u64,
    /// What to write there.
    pub bytes: Vec<u8>,
}

/// What a recording asks its caller for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecorderOutput {
    /// Write this.
    Chunk(Chunk),
    /// Ask the sender of this track for a key frame.
    KeyFrameWanted {
        /// The track's sid.
        track: String,
    },
}

/// Why a recording cannot go on, or a track cannot join it.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// The codec refused.
    #[error(transparent)]
    Opus(#[from] OpusError),
    /// Writing into memory failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// [`MAX_FILES`] or [`MAX_PARTICIPANTS`] is reached.
    #[error("the recording has too many {0}")]
    TooMany(&'static str),
}
