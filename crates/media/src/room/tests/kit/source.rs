//! A microphone and a camera: RTP packets at an even pace.

use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::Rtc;
use str0m::format::Codec;
use str0m::media::{Mid, Rid};
use str0m::rtp::{ExtensionValues, RtpWrite, SeqNo};

/// What a client sends of one track.
pub(in crate::room::tests) struct Source {
    pub(in crate::room::tests) mid: Mid,
    video: bool,
    layers: Vec<Layer>,
    every: Duration,
    /// When the next picture or frame is due.
    pub(super) next: Instant,
    began: Instant,
    pictures: u64,
    pub(in crate::room::tests) muted: bool,
    /// What the microphone hears, as Opus packets that are sent over and over; without any it sends bytes
    /// that only look like sound.
    pub(in crate::room::tests) sound: Vec<Arc<[u8]>>,
}

struct Layer {
    rid: Option<Rid>,
    /// Bytes of one picture.
    bytes: usize,
    seq: u64,
    tl0: u8,
    key_wanted: bool,
    keyframes: usize,
}

impl Source {
    /// An Opus stream of 20 ms frames.
    pub(super) fn sound(mid: Mid, now: Instant) -> Self {
        Self::new(mid, false, &[(None, 80)], Duration::from_millis(20), now)
    }

    /// A VP8 stream of 30 pictures a second in three temporal layers; bits per second of each layer.
    pub(super) fn picture(mid: Mid, layers: &[(Option<Rid>, u64)], now: Instant) -> Self {
        let every = Duration::from_micros(33_333);
        let layers: Vec<_> = layers
            .iter()
            .map(|(rid, bps)| (*rid, (*bps as usize / 8) / 30))
            .collect();
        Self::new(mid, true, &layers, every, now)
    }

    fn new(
        mid: Mid,
        video: bool,
        layers: &[(Option<Rid>, usize)],
        every: Duration,
        now: Instant,
    ) -> Self {
        let layers = layers.iter().map(|(rid, bytes)| Layer {
            rid: *rid,
            bytes: *bytes,
            seq: 1_000,
            tl0: 0,
            key_wanted: true,
            keyframes: 0,
        });
        Self {
            mid,
            video,
            layers: layers.collect(),
            every,
            next: now,
            began: now,
            pictures: 0,
            muted: false,
            sound: Vec::new(),
        }
    }

    pub(super) fn keyframe(&mut self, rid: Option<Rid>) {
        for layer in &mut self.layers {
            if layer.rid == rid || rid.is_none() {
                layer.key_wanted = true;
            }
        }
    }

    /// How many keyframes were made of each layer.
    pub(in crate::room::tests) fn keyframes(&self) -> Vec<usize> {
        self.layers.iter().map(|layer| layer.keyframes).collect()
    }

    /// Writes what is due.
    pub(super) fn emit(&mut self, rtc: &mut Rtc, now: Instant) {
        if now < self.next {
            return;
        }
        self.next += self.every;
        self.pictures += 1;
        if self.muted || !rtc.is_connected() {
            return;
        }
        let (codec, hz) = if self.video {
            (Codec::Vp8, 90_000)
        } else {
            (Codec::Opus, 48_000)
        };
        let Some(agreed) = rtc.media(self.mid).map(|media| media.remote_pts().to_vec()) else {
            return;
        };
        let params = rtc.codec_config().params().iter();
        let Some(pt) = params
            .filter(|it| it.spec().codec == codec && agreed.contains(&it.pt()))
            .map(|it| it.pt())
            .next()
        else {
            return;
        };
        let time = (now - self.began).as_micros() as u64 * hz / 1_000_000;
        let phase = (self.pictures % 4) as usize;
        let mut api = rtc.direct_api();
        for (at, layer) in self.layers.iter_mut().enumerate() {
            let Some(stream) = api.stream_tx_by_mid(self.mid, layer.rid) else {
                continue;
            };
            let key = self.video && std::mem::take(&mut layer.key_wanted);
            layer.keyframes += usize::from(key);
            let temporal = if key { 0 } else { [0, 2, 1, 2][phase] };
            if temporal == 0 {
                layer.tl0 = layer.tl0.wrapping_add(1);
            }
            let size = if key { layer.bytes * 3 } else { layer.bytes };
            let count = if self.video {
                size.div_ceil(1_000).max(1)
            } else {
                1
            };
            for n in 0..count {
                let mut payload = if self.video {
                    let start = n == 0;
                    vec![
                        0x80 | if start { 0x10 } else { 0 },
                        0xe0,
                        0x80 | (self.pictures >> 8) as u8 & 0x7f,
                        self.pictures as u8,
                        layer.tl0,
                        (temporal as u8) << 6,
                        u8::from(!key),
                        at as u8,
                    ]
                } else {
                    vec![0x78, n as u8]
                };
                if key && n == 0 {
                    // What a VP8 keyframe begins with (RFC 7741): its size is that of the announced layer.
                    payload.truncate(6);
                    let (width, height) = (320_u16 << at, 180_u16 << at);
                    payload.extend_from_slice(&[0, 0, 0, 0x9d, 0x01, 0x2a]);
                    payload.extend_from_slice(&width.to_le_bytes());
                    payload.extend_from_slice(&height.to_le_bytes());
                }
                payload.resize((size / count).max(payload.len()), at as u8);
                if !self.video && !self.sound.is_empty() {
                    payload = self.sound[self.pictures as usize % self.sound.len()].to_vec();
                }
                let extensions = ExtensionValues {
                    audio_level: (!self.video).then_some(-20),
                    voice_activity: (!self.video).then_some(true),
                    ..ExtensionValues::default()
                };
                layer.seq += 1;
                let write = RtpWrite::new(pt, SeqNo::from(layer.seq), time as u32, now, payload)
                    .marker(self.video && n + 1 == count)
                    .ext_vals(extensions)
                    .nackable(self.video);
                stream.write_rtp(write);
            }
        }
    }
}
