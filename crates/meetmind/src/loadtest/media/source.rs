//! What a publisher sends: Opus as an encoder makes it, and VP8 packets with valid descriptors in the
//! sizes and at the times of an encoder behind a pacer. Each packet carries when it was sent.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use meetmind_media::audio::opus::{Encoder, FRAME_SAMPLES};
use str0m::Rtc;
use str0m::format::Codec;
use str0m::media::{Mid, Rid};
use str0m::rtp::{ExtensionValues, RtpWrite, SeqNo};

use super::trace::Trace;

/// One Opus frame.
const AUDIO_EVERY: Duration = Duration::from_millis(20);
/// Opus' bitrate for voice, as LiveKit's clients set it.
const AUDIO_BPS: u32 = 32_000;
/// Frames of the encoded sound, played again and again: five seconds.
const SOUND_FRAMES: usize = 250;
/// 30 pictures a second.
const PICTURE_EVERY: Duration = Duration::from_micros(33_333);
/// How often the pacer looks, as in WebRTC's own.
const PACE_EVERY: Duration = Duration::from_millis(5);
/// How much faster than the bitrate the pacer sends, as in WebRTC's own.
const PACE_FACTOR: f64 = 2.5;
/// Payload bytes of a full video packet: below every MTU with all headers.
const PAYLOAD_BYTES: usize = 1_100;
/// Bytes of the VP8 descriptor with picture id, TL0PICIDX and temporal id.
const DESCRIPTOR_BYTES: usize = 6;
/// A keyframe is this many times an average picture, as measured of libvpx on talking heads.
const KEYFRAME_TIMES: usize = 6;

/// A simulcast layer: its name, size and bitrate. LiveKit's presets for 720p.
pub(super) const LAYERS: [(&str, u32, u32, u32); 3] = [
    ("q", 320, 180, 160_000),
    ("h", 640, 360, 450_000),
    ("f", 1280, 720, 1_700_000),
];

/// Five seconds of sound in Opus frames, made once and shared by all publishers.
pub(super) fn sound() -> Result<Vec<Vec<u8>>> {
    let mut encoder = Encoder::voice(AUDIO_BPS).context("the Opus encoder")?;
    let mut frames = Vec::with_capacity(SOUND_FRAMES);
    let mut noise = 0x2545_f491_u32;
    for frame in 0..SOUND_FRAMES {
        let pcm: Vec<i16> = (0..FRAME_SAMPLES)
            .map(|sample| {
                let t = (frame * FRAME_SAMPLES + sample) as f32 / 48_000.0;
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let hiss = (noise >> 16) as f32 / 65_536.0 - 0.5;
                // A gliding voice with syllables of a quarter of a second.
                let pitch = 140.0 + 40.0 * (t * 1.7).sin();
                let syllable = (t * 4.0 * std::f32::consts::PI).sin().max(0.0);
                let voice: f32 = (1..6_u8)
                    .map(|n| {
                        (t * pitch * f32::from(n) * std::f32::consts::TAU).sin() / f32::from(n)
                    })
                    .sum();
                ((voice * 0.25 + hiss * 0.05) * syllable * 12_000.0) as i16
            })
            .collect();
        let packet = encoder.encode(&pcm).context("Opus")?;
        if let Some(packet) = with_padding(packet) {
            frames.push(packet);
        }
    }
    Ok(frames)
}

/// The same packet with room behind its frame: RFC 6716, 3.2.5, code 3 with one frame and padding, which
/// every decoder skips. The padding's bytes are the trace's.
fn with_padding(packet: &[u8]) -> Option<Vec<u8>> {
    let (toc, frame) = packet.split_first()?;
    // The encoder makes one frame per packet (code 0).
    if toc & 3 != 0 {
        return None;
    }
    let padding = u8::try_from(Trace::BYTES).ok()?;
    let mut padded = vec![toc | 3, 0b0100_0001, padding];
    padded.extend_from_slice(frame);
    padded.resize(padded.len() + Trace::BYTES, 0);
    Some(padded)
}

/// A track that is being published.
pub(super) enum Source {
    Sound(Sound),
    Picture(Picture),
}

pub(super) struct Sound {
    mid: Mid,
    frames: std::sync::Arc<[Vec<u8>]>,
    next: Instant,
    sent: u64,
}

pub(super) struct Picture {
    mid: Mid,
    layers: Vec<Layer>,
    /// When the next picture is taken, and when the pacer looks again.
    next: Instant,
    pace: Instant,
    budget: f64,
    bytes_per_tick: f64,
    waiting: VecDeque<Waiting>,
    pictures: u64,
    began: Instant,
}

struct Layer {
    rid: Option<Rid>,
    index: u8,
    width: u32,
    height: u32,
    /// Bytes of an average picture.
    bytes: usize,
    seq: u64,
    tl0: u8,
    key_wanted: bool,
}

/// A packet in the pacer.
struct Waiting {
    layer: usize,
    time: u32,
    payload: Vec<u8>,
    last: bool,
}

impl Source {
    pub(super) fn sound(mid: Mid, frames: std::sync::Arc<[Vec<u8>]>, at: Instant) -> Self {
        Self::Sound(Sound {
            mid,
            frames,
            next: at,
            sent: 0,
        })
    }

    /// Three layers with simulcast, the largest alone without.
    pub(super) fn picture(mid: Mid, simulcast: bool, at: Instant) -> Self {
        let chosen = if simulcast { &LAYERS[..] } else { &LAYERS[2..] };
        let layers: Vec<Layer> = chosen
            .iter()
            .map(|(rid, width, height, bps)| Layer {
                rid: simulcast.then(|| Rid::from(*rid)),
                index: LAYERS.iter().position(|it| it.0 == *rid).unwrap_or(0) as u8,
                width: *width,
                height: *height,
                bytes: *bps as usize / 8 / 30,
                seq: 1_000,
                tl0: 0,
                key_wanted: true,
            })
            .collect();
        let bps: u32 = chosen.iter().map(|it| it.3).sum();
        Self::Picture(Picture {
            mid,
            layers,
            next: at,
            pace: at,
            budget: 0.0,
            bytes_per_tick: f64::from(bps) / 8.0 * PACE_FACTOR * PACE_EVERY.as_secs_f64(),
            waiting: VecDeque::new(),
            pictures: 0,
            began: at,
        })
    }

    pub(super) fn mid(&self) -> Mid {
        match self {
            Self::Sound(sound) => sound.mid,
            Self::Picture(picture) => picture.mid,
        }
    }

    /// When [`Self::emit`] has something to do.
    pub(super) fn next(&self) -> Instant {
        match self {
            Self::Sound(sound) => sound.next,
            Self::Picture(picture) if picture.waiting.is_empty() => picture.next,
            Self::Picture(picture) => picture.next.min(picture.pace),
        }
    }

    /// The other side cannot go on without a whole picture.
    pub(super) fn keyframe(&mut self, rid: Option<Rid>) {
        if let Self::Picture(picture) = self {
            for layer in &mut picture.layers {
                layer.key_wanted |= rid.is_none() || layer.rid == rid;
            }
        }
    }

    /// Sends what is due; gives how many packets.
    pub(super) fn emit(&mut self, rtc: &mut Rtc, epoch: Instant, now: Instant) -> u64 {
        match self {
            Self::Sound(sound) => sound.emit(rtc, epoch, now),
            Self::Picture(picture) => picture.emit(rtc, epoch, now),
        }
    }
}

impl Sound {
    fn emit(&mut self, rtc: &mut Rtc, epoch: Instant, now: Instant) -> u64 {
        let mut sent = 0;
        while self.next <= now {
            self.next += AUDIO_EVERY;
            self.sent += 1;
            let Some(pt) = payload_type(rtc, self.mid, Codec::Opus) else {
                continue;
            };
            let at = self.sent as usize % self.frames.len().max(1);
            let Some(mut payload) = self.frames.get(at).cloned() else {
                continue;
            };
            Trace::new(epoch, now, 0, self.sent).write(&mut payload);
            let time = (self.sent * FRAME_SAMPLES as u64) as u32;
            let mut api = rtc.direct_api();
            if let Some(stream) = api.stream_tx_by_mid(self.mid, None) {
                let levels = ExtensionValues {
                    audio_level: Some(-25),
                    voice_activity: Some(true),
                    ..ExtensionValues::default()
                };
                let packet = RtpWrite::new(pt, SeqNo::from(1_000 + self.sent), time, now, payload)
                    .ext_vals(levels);
                stream.write_rtp(packet);
                sent += 1;
            }
        }
        sent
    }
}

impl Picture {
    fn emit(&mut self, rtc: &mut Rtc, epoch: Instant, now: Instant) -> u64 {
        while self.next <= now {
            self.take(self.next);
            self.next += PICTURE_EVERY;
        }
        let mut sent = 0;
        while self.pace <= now && !self.waiting.is_empty() {
            self.pace += PACE_EVERY;
            self.budget = (self.budget + self.bytes_per_tick).min(self.bytes_per_tick * 2.0);
            while self.budget > 0.0
                && let Some(waiting) = self.waiting.pop_front()
            {
                self.budget -= waiting.payload.len() as f64;
                sent += self.send(rtc, waiting, epoch, now);
            }
        }
        if self.pace < now {
            self.pace = now;
        }
        sent
    }

    /// One picture of every layer into the pacer, the smallest first as encoders give them out.
    fn take(&mut self, at: Instant) {
        self.pictures += 1;
        let time =
            (at.saturating_duration_since(self.began).as_micros() as u64 * 90 / 1_000) as u32;
        let phase = (self.pictures % 4) as usize;
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let key = std::mem::take(&mut layer.key_wanted);
            // Three temporal layers (0 2 1 2); lower ones are larger.
            let temporal = if key { 0 } else { [0_u8, 2, 1, 2][phase] };
            let size = if key {
                layer.bytes * KEYFRAME_TIMES
            } else {
                // Pictures differ: by their layer, and by what moves.
                let of_layer = [160, 100, 70][usize::from(temporal)];
                let moves = 80 + (self.pictures.wrapping_mul(2_654_435_761) >> 7) as usize % 41;
                layer.bytes * of_layer / 100 * moves / 100
            };
            if temporal == 0 {
                layer.tl0 = layer.tl0.wrapping_add(1);
            }
            let count = size.div_ceil(PAYLOAD_BYTES).max(1);
            for n in 0..count {
                let mut payload = vec![
                    0x80 | if n == 0 { 0x10 } else { 0 },
                    0xe0,
                    0x80 | (self.pictures >> 8) as u8 & 0x7f,
                    self.pictures as u8,
                    layer.tl0,
                    temporal << 6 | if temporal == 0 { 0x20 } else { 0 },
                ];
                if n == 0 {
                    payload.extend(frame_header(key, size, layer.width, layer.height));
                }
                let whole = DESCRIPTOR_BYTES + size / count;
                payload.resize(whole.max(payload.len() + Trace::BYTES), layer.index);
                self.waiting.push_back(Waiting {
                    layer: index,
                    time,
                    payload,
                    last: n + 1 == count,
                });
            }
        }
    }

    fn send(&mut self, rtc: &mut Rtc, waiting: Waiting, epoch: Instant, now: Instant) -> u64 {
        let Some(pt) = payload_type(rtc, self.mid, Codec::Vp8) else {
            return 0;
        };
        let Some(layer) = self.layers.get_mut(waiting.layer) else {
            return 0;
        };
        let mut api = rtc.direct_api();
        let Some(stream) = api.stream_tx_by_mid(self.mid, layer.rid) else {
            return 0;
        };
        layer.seq += 1;
        let mut payload = waiting.payload;
        Trace::new(epoch, now, layer.index, layer.seq).write(&mut payload);
        let packet = RtpWrite::new(pt, SeqNo::from(layer.seq), waiting.time, now, payload)
            .marker(waiting.last)
            .nackable(true);
        stream.write_rtp(packet);
        1
    }
}

/// RFC 6386, 9.1: the frame tag, and of a keyframe the start code and the size.
fn frame_header(key: bool, size: usize, width: u32, height: u32) -> Vec<u8> {
    let first_partition = (size as u32 / 4).min((1 << 19) - 1);
    let tag = u32::from(!key) | 1 << 4 | first_partition << 5;
    let mut header = tag.to_le_bytes()[..3].to_vec();
    if key {
        header.extend([0x9d, 0x01, 0x2a]);
        header.extend((width as u16).to_le_bytes());
        header.extend((height as u16).to_le_bytes());
    }
    header
}

/// The number agreed on for a codec, once connected.
fn payload_type(rtc: &Rtc, mid: Mid, codec: Codec) -> Option<str0m::media::Pt> {
    if !rtc.is_connected() {
        return None;
    }
    let agreed = rtc.media(mid)?.remote_pts();
    let mut params = rtc.codec_config().params().iter();
    params
        .find(|it| it.spec().codec == codec && agreed.contains(&it.pt()))
        .map(|it| it.pt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use meetmind_media::audio::opus::{Decoder, packet_facts};

    #[test]
    fn the_sound_is_opus_that_a_decoder_takes_with_its_trace_inside() {
        let frames = sound().expect("sound");
        assert_eq!(frames.len(), SOUND_FRAMES);
        let mut decoder = Decoder::new().expect("a decoder");
        let epoch = Instant::now();
        let mut loud = 0;
        for (number, frame) in frames.iter().enumerate() {
            let mut frame = frame.clone();
            let at = epoch + Duration::from_millis(number as u64);
            Trace::new(epoch, at, 0, number as u64).write(&mut frame);
            let facts = packet_facts(&frame).expect("a packet");
            assert_eq!((facts.samples, facts.frames), (FRAME_SAMPLES, 1));
            let pcm = decoder.decode(&frame).expect("decodes");
            loud = loud.max(pcm.iter().map(|it| it.unsigned_abs()).max().unwrap_or(0));
            let trace = Trace::read(&frame).expect("a trace");
            assert_eq!(trace.number, number as u32);
        }
        assert!(loud > 1_000, "{loud}");
        let bytes: usize = frames.iter().map(Vec::len).sum();
        let bps = bytes * 8 * 50 / frames.len();
        assert!((16_000..56_000).contains(&bps), "{bps}");
    }
}
