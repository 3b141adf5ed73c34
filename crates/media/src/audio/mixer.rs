//! Mixes any number of tracks into one stream of 20 ms frames that keeps to the wall clock.
//!
//! Frame *k* is due at `start + k × 20 ms`, computed from the start and not from the last frame, so hours
//! add up to nothing. Each source is a [`JitterBuffer`], which follows the same clock whatever its
//! sender's crystal does (see [`super::clock`]). A caller that comes late gets all frames it missed; one
//! that comes more than [`MAX_CATCH_UP_FRAMES`] late gets a frame with a later index, and its file writer
//! fills what lies between with silence.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::jitter::{Content, Counters, JitterBuffer};
use super::lateness::DelayBounds;
use super::opus::{FRAME_SAMPLES, Layout, OpusError};

/// The length of a frame.
pub const FRAME: Duration = Duration::from_millis(20);

/// A caller may be this late (10 s) before frames are left out.
pub const MAX_CATCH_UP_FRAMES: u64 = 500;

/// Sources of one mixer at most; a room's speakers, not its listeners.
pub const MAX_SOURCES: usize = 512;

/// Above this level (of 1.0) a sample is bent instead of passed through.
const KNEE: f32 = 0.8;

/// No sample is louder than this. Below full scale, so that a decoder's ringing does not clip either.
const CEILING: f32 = 0.98;

/// How much of the lost gain returns per frame: half in about 140 ms.
const RELEASE: f32 = 0.1;

/// One mixed frame.
#[derive(Debug, Clone, PartialEq)]
pub struct MixedFrame {
    /// Which frame since the start; indexes rise, and skip only as the module says.
    pub index: u64,
    /// [`FRAME_SAMPLES`] samples per channel, interleaved.
    pub pcm: Vec<i16>,
    /// How many sources were heard in it.
    pub voices: usize,
}

#[derive(Debug)]
struct Source {
    buffer: JitterBuffer,
    gain: f32,
    /// Left and right gain by equal power; not used in mono.
    pan: (f32, f32),
}

/// A packet of one source.
#[derive(Debug, Clone)]
pub struct SourcePacket {
    /// The extended sequence number.
    pub seq: u64,
    /// The RTP timestamp, 48 kHz.
    pub rtp_time: u32,
    /// The Opus packet, or the RED payload.
    pub payload: Arc<[u8]>,
    /// Whether `payload` is RED (RFC 2198).
    pub red: bool,
    /// When it came.
    pub arrived: Instant,
}

/// The mixer. Sources are named by numbers of the caller's choosing.
#[derive(Debug)]
pub struct Mixer {
    layout: Layout,
    bounds: DelayBounds,
    started: Instant,
    next: u64,
    sources: BTreeMap<u64, Source>,
    limiter: Limiter,
}

impl Mixer {
    /// A mixer without sources whose frame 0 is due at `started`.
    pub fn new(layout: Layout, bounds: DelayBounds, started: Instant) -> Self {
        Mixer {
            layout,
            bounds,
            started,
            next: 0,
            sources: BTreeMap::new(),
            limiter: Limiter::default(),
        }
    }

    /// Adds a source, or begins it anew. `gain` is linear and held between 0 and 8; `pan` runs from
    /// −1 (left) to 1 (right). Past [`MAX_SOURCES`] nothing is added and `false` is returned.
    ///
    /// # Errors
    /// When the codec cannot be made.
    pub fn add(&mut self, source: u64, gain: f32, pan: f32) -> Result<bool, OpusError> {
        if self.sources.len() >= MAX_SOURCES && !self.sources.contains_key(&source) {
            return Ok(false);
        }
        let buffer = JitterBuffer::new(self.bounds, self.started)?;
        let angle = (finite(pan).clamp(-1.0, 1.0) + 1.0) * std::f32::consts::FRAC_PI_4;
        let source_state = Source {
            buffer,
            gain: held_gain(gain),
            pan: (angle.cos(), angle.sin()),
        };
        self.sources.insert(source, source_state);
        Ok(true)
    }

    /// Sets a source's gain from the next frame on; limits as in [`Mixer::add`].
    pub fn set_gain(&mut self, source: u64, gain: f32) {
        if let Some(source) = self.sources.get_mut(&source) {
            source.gain = held_gain(gain);
        }
    }

    /// Takes a source out together with everything of it that was not mixed yet; returns its counters.
    pub fn remove(&mut self, source: u64) -> Option<Counters> {
        self.sources
            .remove(&source)
            .map(|source| source.buffer.counters())
    }

    /// A source's counters.
    pub fn counters(&self, source: u64) -> Option<Counters> {
        self.sources
            .get(&source)
            .map(|source| source.buffer.counters())
    }

    /// Hands in one packet; packets of unknown sources are ignored.
    pub fn insert(&mut self, source: u64, packet: SourcePacket) {
        let Some(source) = self.sources.get_mut(&source) else {
            return;
        };
        let SourcePacket {
            seq,
            rtp_time,
            payload,
            red,
            arrived,
        } = packet;
        if red {
            source.buffer.insert_red(seq, rtp_time, &payload, arrived);
        } else {
            source.buffer.insert(seq, rtp_time, payload, arrived);
        }
    }

    /// When the next frame is due.
    pub fn next_due(&self) -> Instant {
        self.due(self.next)
    }

    /// The next frame if it is due at `now`. Call until `None`.
    pub fn poll(&mut self, now: Instant) -> Option<MixedFrame> {
        let elapsed = now.checked_duration_since(self.started)?;
        let current = u64::try_from(elapsed.as_millis() / FRAME.as_millis()).unwrap_or(u64::MAX);
        if self.next > current {
            return None;
        }
        if current - self.next > MAX_CATCH_UP_FRAMES {
            self.next = current;
        }
        let index = self.next;
        self.next += 1;
        let due = self.due(index);
        let mut sum = vec![0.0_f32; FRAME_SAMPLES * self.layout.channels()];
        let mut voices = 0;
        for source in self.sources.values_mut() {
            let frame = source.buffer.pull(due);
            if frame.content == Content::Silence {
                continue;
            }
            voices += 1;
            add_source(&mut sum, &frame.pcm, source, self.layout);
        }
        let pcm = self.limiter.limit(&mut sum, self.layout);
        Some(MixedFrame { index, pcm, voices })
    }

    fn due(&self, index: u64) -> Instant {
        self.started + Duration::from_millis(index.saturating_mul(20))
    }
}

fn add_source(sum: &mut [f32], pcm: &[i16], source: &Source, layout: Layout) {
    match layout {
        Layout::Mono => {
            for (sum, sample) in sum.iter_mut().zip(pcm) {
                *sum += f32::from(*sample) / 32_768.0 * source.gain;
            }
        }
        Layout::Stereo => {
            for (pair, sample) in sum.chunks_exact_mut(2).zip(pcm) {
                let sample = f32::from(*sample) / 32_768.0 * source.gain;
                pair[0] += sample * source.pan.0;
                pair[1] += sample * source.pan.1;
            }
        }
    }
}

fn finite(value: f32) -> f32 {
    if value.is_finite() { value } else { 0.0 }
}

fn held_gain(gain: f32) -> f32 {
    finite(gain).clamp(0.0, 8.0)
}

/// A limiter in two steps. A gain follows the peaks of whole frames: it falls within the first 5 ms of a
/// loud frame and returns over some 300 ms, so that two people who talk at once are turned down rather
/// than distorted. What still sticks out is bent by a hyperbolic tangent that never reaches [`CEILING`].
#[derive(Debug)]
struct Limiter {
    gain: f32,
}

impl Default for Limiter {
    fn default() -> Self {
        Limiter { gain: 1.0 }
    }
}

impl Limiter {
    fn limit(&mut self, sum: &mut [f32], layout: Layout) -> Vec<i16> {
        const ATTACK_SAMPLES: usize = 240;
        let channels = layout.channels();
        let peak = sum
            .iter()
            .fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
        let wanted = if peak > KNEE { KNEE / peak } else { 1.0 };
        let before = self.gain;
        let (after, ramp) = if wanted < before {
            (wanted, ATTACK_SAMPLES)
        } else {
            (before + (wanted - before) * RELEASE, FRAME_SAMPLES)
        };
        self.gain = after;
        let step = (after - before) / ramp as f32;
        sum.chunks_exact(channels)
            .enumerate()
            .flat_map(|(index, samples)| {
                let gain = if index < ramp {
                    before + step * index as f32
                } else {
                    after
                };
                samples
                    .iter()
                    .map(move |sample| (bend(sample * gain) * 32_768.0) as i16)
            })
            .collect()
    }
}

fn bend(sample: f32) -> f32 {
    let level = sample.abs();
    if level <= KNEE {
        return sample;
    }
    let bent = KNEE + (CEILING - KNEE) * ((level - KNEE) / (CEILING - KNEE)).tanh();
    bent.copysign(sample)
}
