//! The file with everybody's sound.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::index::{FileKind, IndexedFile};
use super::ogg::{OggOptions, OggOpusWriter};
use super::spec::{Chunk, RecorderError, RecordingSpec};
use super::track::Output;
use crate::audio::lateness::DelayBounds;
use crate::audio::mixer::{FRAME, Mixer, SourcePacket};
use crate::audio::opus::{Encoder, FRAME_SAMPLES, OpusError};

/// The mix is made this much later than the sound was captured (200 ms: the jitter buffers' patience), and
/// as many frames are left out at its beginning, so that the file's time is the meeting's.
const DELAY_FRAMES: u32 = 10;

/// A track that ended stays in the mix until all of it is played.
const LEAVE_DELAY: Duration = Duration::from_secs(1);

/// Mixes, encodes and writes.
#[derive(Debug)]
pub(super) struct Mix {
    mixer: Mixer,
    encoder: Encoder,
    writer: OggOpusWriter<Vec<u8>>,
    output: Output,
    /// Sources of ended tracks: when they leave, their numbers, their participants.
    leaving: Vec<(Instant, u64, String)>,
}

impl Mix {
    pub(super) fn new(spec: &RecordingSpec, started: Instant) -> Result<Self, RecorderError> {
        let encoder = Encoder::file(spec.mixed_layout, spec.mixed_bitrate_bps)?;
        let options = OggOptions {
            layout: spec.mixed_layout,
            pre_skip: encoder.lookahead_samples(),
            serial: 1,
            comments: spec.comments.clone(),
        };
        Ok(Mix {
            mixer: Mixer::new(spec.mixed_layout, DelayBounds::patient(), started),
            encoder,
            writer: OggOpusWriter::new(Vec::new(), &options)?,
            output: Output {
                name: Arc::from("mixed.ogg"),
                length: 0,
            },
            leaving: Vec::new(),
        })
    }

    pub(super) fn join(&mut self, source: u64) -> Result<(), OpusError> {
        self.mixer.add(source, 1.0, 0.0).map(|_| ())
    }

    pub(super) fn insert(&mut self, source: u64, packet: SourcePacket) {
        self.mixer.insert(source, packet);
    }

    /// The track ended: what came of it is still played.
    pub(super) fn leave(&mut self, source: u64, participant: String, now: Instant) {
        self.leaving.push((now + LEAVE_DELAY, source, participant));
    }

    /// Takes out a track of somebody who does not agree any longer, at once.
    pub(super) fn remove(&mut self, source: u64) {
        self.mixer.remove(source);
    }

    /// Takes out what is left of somebody's ended tracks, at once.
    pub(super) fn forget(&mut self, participant: &str) {
        self.drop_leaving(|_, whose| whose == participant);
    }

    fn drop_leaving(&mut self, drops: impl Fn(Instant, &str) -> bool) {
        let mixer = &mut self.mixer;
        self.leaving.retain(|(at, source, participant)| {
            let dropped = drops(*at, participant);
            if dropped {
                mixer.remove(*source);
            }
            !dropped
        });
    }

    pub(super) fn next_due(&self) -> Instant {
        self.mixer.next_due()
    }

    pub(super) fn run_until(
        &mut self,
        now: Instant,
        chunks: &mut VecDeque<Chunk>,
    ) -> Result<(), RecorderError> {
        while let Some(frame) = self.mixer.poll(now) {
            let Some(index) = frame.index.checked_sub(u64::from(DELAY_FRAMES)) else {
                continue;
            };
            let packet = self.encoder.encode(&frame.pcm)?;
            self.writer.packet(index * FRAME_SAMPLES as u64, packet)?;
        }
        self.drop_leaving(|at, _| at <= now);
        self.output.take(self.writer.sink(), chunks);
        Ok(())
    }

    /// Mixes what was said up to `now`, which is still in the buffers, and completes the file.
    pub(super) fn finish(
        &mut self,
        now: Instant,
        chunks: &mut VecDeque<Chunk>,
    ) -> Result<(), RecorderError> {
        self.run_until(now + FRAME * DELAY_FRAMES, chunks)?;
        self.writer.finish()?;
        self.output.take(self.writer.sink(), chunks);
        Ok(())
    }

    pub(super) fn indexed(&self) -> IndexedFile {
        IndexedFile {
            name: self.output.name.to_string(),
            kind: FileKind::Mixed,
            participant: None,
            track: None,
            start_ms: 0,
            duration_ms: self.writer.position() / 48,
            size_bytes: self.output.length,
        }
    }
}
