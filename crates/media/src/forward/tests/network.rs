//! A publisher of VP8 simulcast, a network that loses, delays and repeats, and a receiver that checks
//! which pictures can be decoded.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant, SystemTime},
};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use str0m::rtp::Vp8Patch;

use crate::forward::{Codec, Forwarder, PacketIn, SenderReport, Verdict};

/// A packet on its way, with what the test knows of it.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub layer: u8,
    pub source: u32,
    pub seq: u64,
    pub rtp_time: u32,
    pub marker: bool,
    pub payload: Vec<u8>,
    pub report: Option<SenderReport>,
    /// When it was captured, since the beginning.
    pub at: Duration,
}

impl Packet {
    pub(super) fn input(&self, codec: Codec, received: Instant) -> PacketIn<'_> {
        PacketIn {
            layer: self.layer,
            source: self.source,
            seq: self.seq,
            rtp_time: self.rtp_time,
            marker: self.marker,
            payload: &self.payload,
            received,
            report: self.report,
            keyframe: codec.keyframe(&self.payload),
        }
    }
}

/// A layer's encoder: 30 pictures/s in three temporal layers (0 2 1 2).
pub(super) struct Encoder {
    pub layer: u8,
    pub source: u32,
    pub seq: u64,
    pub rtp_origin: u32,
    pub picture: u16,
    pub tl0: u8,
    pub key: u8,
    pub packets: usize,
    pub reports: bool,
    pub key_wanted: bool,
    phase: usize,
    last: [u64; 3],
    number: u64,
}

impl Encoder {
    pub(super) fn new(layer: u8, seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed + u64::from(layer));
        Self {
            layer,
            source: rng.random(),
            seq: rng.random_range(1..60_000),
            rtp_origin: rng.random(),
            picture: rng.random_range(0..0x8000),
            tl0: rng.random(),
            key: rng.random_range(0..32),
            packets: 1 + usize::from(layer),
            reports: true,
            key_wanted: true,
            phase: 0,
            last: [0; 3],
            number: 0,
        }
    }

    /// One picture. The payload names it and the picture it refers to, for the receiver's check.
    pub(super) fn picture(&mut self, at: Duration, wall: SystemTime) -> Vec<Packet> {
        let key = std::mem::take(&mut self.key_wanted);
        if key {
            self.phase = 0;
            self.key = (self.key + 1) & 0x1f;
        }
        let temporal = [0, 2, 1, 2][self.phase];
        let sync = self.phase == 1 || self.phase == 2;
        self.phase = (self.phase + 1) % 4;
        self.number += 1;
        self.picture = (self.picture + 1) & 0x7fff;
        if temporal == 0 {
            self.tl0 = self.tl0.wrapping_add(1);
        }
        let refers = if key {
            0
        } else {
            *self.last[..=temporal].iter().max().unwrap()
        };
        self.last[temporal] = self.number;
        if key {
            self.last = [self.number, 0, 0];
        }
        let ticks = |d: Duration| (d.as_micros() * 9 / 100) as u32;
        let report_at = Duration::from_secs(at.as_secs());
        let report = SenderReport {
            ntp_time: wall + report_at,
            rtp_time: self.rtp_origin.wrapping_add(ticks(report_at)),
        };
        let count = if key { self.packets * 3 } else { self.packets };
        (0..count)
            .map(|n| {
                let mut payload = vec![
                    0x80 | if n == 0 { 0x10 } else { 0 },
                    0xf0,
                    0x80 | (self.picture >> 8) as u8,
                    self.picture as u8,
                    self.tl0,
                    (temporal as u8) << 6 | u8::from(sync) << 5 | self.key,
                    u8::from(!key),
                    n as u8,
                    count as u8,
                    self.layer,
                ];
                payload.extend(self.number.to_be_bytes());
                payload.extend(refers.to_be_bytes());
                self.seq += 1;
                Packet {
                    layer: self.layer,
                    source: self.source,
                    seq: self.seq - 1,
                    rtp_time: self.rtp_origin.wrapping_add(ticks(at)),
                    marker: n + 1 == count,
                    payload,
                    report: self.reports.then_some(report),
                    at,
                }
            })
            .collect()
    }
}

/// What the forwarder sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub seq: u64,
    pub rtp_time: u32,
    pub vp8: Option<Vp8Patch>,
    pub packet: Packet,
}

/// Feeds a packet, and those that it says it missed.
pub(super) fn feed(
    forwarder: &mut Forwarder,
    codec: Codec,
    packet: &Packet,
    seen: &[Packet],
    now: Instant,
    out: &mut Vec<Sent>,
) {
    let Verdict::Send {
        seq,
        rtp_time,
        vp8,
        missed,
        ..
    } = forwarder.packet(&packet.input(codec, now))
    else {
        return;
    };
    out.push(Sent {
        seq,
        rtp_time,
        vp8,
        packet: packet.clone(),
    });
    for late in 1..=u64::from(missed) {
        let found = seen
            .iter()
            .rev()
            .find(|p| p.source == packet.source && p.seq == packet.seq + late);
        if let Some(found) = found {
            feed(forwarder, codec, found, &[], now, out);
        }
    }
}

/// How the way from the publisher behaves.
#[derive(Clone, Copy)]
pub(super) struct Way {
    pub loss: f64,
    pub jitter: Duration,
    pub duplicates: f64,
    /// Lost packets are asked for and come again this much later.
    pub again: Option<Duration>,
}

/// Arrival times, in order. What is repeated for good is left to the forwarder.
pub(super) fn travel(packets: Vec<Packet>, way: Way, seed: u64) -> Vec<(Duration, Packet)> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut arrivals = Vec::new();
    for (n, packet) in packets.into_iter().enumerate() {
        let jitter = way.jitter.mul_f64(rng.random::<f64>());
        let mut at = packet.at + Duration::from_micros(n as u64 * 300) + jitter;
        if rng.random::<f64>() < way.loss {
            match way.again {
                Some(later) => at += later,
                None => continue,
            }
        }
        if rng.random::<f64>() < way.duplicates {
            arrivals.push((at + way.jitter, packet.clone()));
        }
        arrivals.push((at, packet));
    }
    arrivals.sort_by_key(|(at, packet)| (*at, packet.source, packet.seq));
    arrivals
}

/// The bytes that go out.
pub(super) fn patched(sent: &Sent) -> Vec<u8> {
    // str0m applies a patch only inside; its debug form tells the bytes.
    let mut payload = sent.packet.payload.clone();
    let Some(patch) = sent.vp8 else {
        return payload;
    };
    let text = format!("{patch:?}");
    let numbers: Vec<usize> = text
        .split(|c: char| !c.is_ascii_digit())
        .filter(|s| !s.is_empty())
        .filter_map(|s| s.parse().ok())
        .collect();
    // Vp8Patch { len, offsets: [4], bytes: [4] }, after the 8 of its name.
    let (len, offsets, bytes) = (numbers[1], &numbers[2..6], &numbers[6..10]);
    for at in 0..len {
        payload[offsets[at]] = bytes[at] as u8;
    }
    payload
}

/// A picture at the receiver.
#[derive(Debug)]
pub(super) struct Picture {
    pub layer: u8,
    pub number: u64,
    pub refers: u64,
    pub key: bool,
    pub complete: bool,
    pub id: u16,
    pub tl0: u8,
    pub key_index: u8,
    pub rtp_time: u32,
    pub captured: Duration,
}

/// Puts pictures together in the order of sequence numbers, as a receiver with a patient jitter
/// buffer would, and panics if two different packets share a number.
pub(super) fn receive(sent: &[Sent]) -> Vec<Picture> {
    let mut by_seq: BTreeMap<u64, &Sent> = BTreeMap::new();
    for s in sent {
        if let Some(other) = by_seq.insert(s.seq, s) {
            assert_eq!(
                patched(other),
                patched(s),
                "two packets share number {}",
                s.seq
            );
            assert_eq!(other.rtp_time, s.rtp_time);
        }
    }
    let mut pictures: Vec<Picture> = Vec::new();
    let mut parts: BTreeMap<(u8, u64, u32), BTreeSet<u8>> = BTreeMap::new();
    for s in by_seq.values() {
        let bytes = patched(s);
        let word = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
        let (layer, number) = (bytes[9], word(10));
        let have = parts.entry((layer, number, s.rtp_time)).or_default();
        if have.is_empty() {
            pictures.push(Picture {
                layer,
                number,
                refers: word(18),
                key: bytes[6] & 1 == 0,
                complete: false,
                id: u16::from_be_bytes([bytes[2] & 0x7f, bytes[3]]),
                tl0: bytes[4],
                key_index: bytes[5] & 0x1f,
                rtp_time: s.rtp_time,
                captured: s.packet.at,
            });
        }
        have.insert(bytes[7]);
        if have.len() == usize::from(bytes[8]) {
            let found = pictures
                .iter_mut()
                .rev()
                .find(|p| p.layer == layer && p.number == number);
            found.unwrap().complete = true;
        }
    }
    pictures
}

/// Which pictures can be decoded: complete, and what they refer to was decoded on the same layer
/// since its last keyframe.
pub(super) fn decodable(pictures: &[Picture]) -> Vec<&Picture> {
    let mut decoded: BTreeSet<(u8, u64)> = BTreeSet::new();
    let mut layer = None;
    let mut shown = Vec::new();
    for picture in pictures {
        let can = picture.key
            || layer == Some(picture.layer) && decoded.contains(&(picture.layer, picture.refers));
        if picture.complete && can {
            layer = Some(picture.layer);
            decoded.insert((picture.layer, picture.number));
            shown.push(picture);
        }
    }
    shown
}

/// The longest time between two decoded pictures, by capture.
pub(super) fn longest_freeze(shown: &[&Picture]) -> Duration {
    let gaps = shown
        .windows(2)
        .map(|w| w[1].captured.saturating_sub(w[0].captured));
    gaps.max().unwrap_or_default()
}
