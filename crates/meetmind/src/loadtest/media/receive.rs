//! What a subscriber counts of one stream.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::trace::Trace;

/// A gap that is still open after this time is given up, as a jitter buffer does.
const GIVE_UP: Duration = Duration::from_millis(500);
/// Packets that may wait behind a gap.
const WAITING: usize = 2_000;
/// Pictures over which the usual interval is averaged.
const INTERVALS: f64 = 30.0;

/// Delays in steps of a sixteenth of an octave: 4 % apart, from 1 µs to an hour, in 4 kB.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    counts: Vec<u64>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; 32 * 16],
        }
    }
}

impl Histogram {
    pub(super) fn add(&mut self, delay: Duration) {
        let us = (delay.as_micros() as u64).max(1) as f64;
        let at = ((us.log2() * 16.0) as usize).min(self.counts.len() - 1);
        self.counts[at] += 1;
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
    }

    /// The delay that so many of a hundred stay under.
    pub(super) fn percentile(&self, of_hundred: f64) -> Option<Duration> {
        let total: u64 = self.counts.iter().sum();
        let mut left = (total as f64 * of_hundred / 100.0).ceil() as u64;
        if total == 0 {
            return None;
        }
        for (at, count) in self.counts.iter().enumerate() {
            if *count >= left {
                let us = ((at + 1) as f64 / 16.0).exp2();
                return Some(Duration::from_micros(us as u64));
            }
            left -= count;
        }
        None
    }
}

/// The sums over one stream, or over many.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub(super) streams: u64,
    pub(super) packets: u64,
    pub(super) bytes: u64,
    /// Never arrived, also not when asked for again.
    pub(super) lost: u64,
    /// RFC 3550, 6.4.1, at the end; the largest of all streams and the sum.
    pub(super) jitter_max_us: f64,
    pub(super) jitter_sum_us: f64,
    pub(super) delays: Histogram,
    /// Whole pictures.
    pub(super) pictures: u64,
    pub(super) freezes: u64,
    pub(super) frozen: Duration,
    /// Streams in which nothing arrived at all.
    pub(super) silent: u64,
    /// Packets by simulcast layer.
    pub(super) layers: [u64; 3],
}

impl Tally {
    pub(super) fn merge(&mut self, other: &Self) {
        self.streams += other.streams;
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.lost += other.lost;
        self.jitter_max_us = self.jitter_max_us.max(other.jitter_max_us);
        self.jitter_sum_us += other.jitter_sum_us;
        self.delays.merge(&other.delays);
        self.pictures += other.pictures;
        self.freezes += other.freezes;
        self.frozen += other.frozen;
        self.silent += other.silent;
        for (mine, theirs) in self.layers.iter_mut().zip(&other.layers) {
            *mine += theirs;
        }
    }
}

/// One stream while it is received.
pub(super) struct Stream {
    is_video: bool,
    tally: Tally,
    /// The next number that is missing, and what came behind it.
    next: Option<u64>,
    waiting: BTreeMap<u64, Packet>,
    gap_since: Option<Instant>,
    /// Transit time of the last packet, for the jitter.
    transit_us: Option<f64>,
    jitter_us: f64,
    picture_at: Option<Instant>,
    interval_us: f64,
    /// A packet was lost: pictures cannot be shown until a whole one begins.
    broken: bool,
}

struct Packet {
    marker: bool,
    key: bool,
}

/// A packet as it arrived.
pub(super) struct Arrived<'a> {
    pub(super) seq: u64,
    pub(super) marker: bool,
    pub(super) payload: &'a [u8],
    pub(super) now: Instant,
}

impl Stream {
    pub(super) fn new(is_video: bool) -> Self {
        Self {
            is_video,
            tally: Tally::default(),
            next: None,
            waiting: BTreeMap::new(),
            gap_since: None,
            transit_us: None,
            jitter_us: 0.0,
            picture_at: None,
            interval_us: 33_333.0,
            broken: false,
        }
    }

    /// Counts anew from here; what is open stays open.
    pub(super) fn restart(&mut self) {
        self.tally = Tally::default();
    }

    /// Counts a packet. True when the stream needs a keyframe to go on.
    pub(super) fn receive(&mut self, arrived: &Arrived<'_>, epoch: Instant) -> bool {
        let now = arrived.now;
        let next = *self.next.get_or_insert(arrived.seq);
        if arrived.seq < next || self.waiting.contains_key(&arrived.seq) {
            return false;
        }
        self.tally.packets += 1;
        self.tally.bytes += arrived.payload.len() as u64;
        if let Some(trace) = Trace::read(arrived.payload) {
            let age = trace.age(epoch, now);
            self.tally.delays.add(age);
            if let Some(count) = self.tally.layers.get_mut(usize::from(trace.layer)) {
                *count += 1;
            }
            let transit = age.as_secs_f64() * 1e6;
            if let Some(last) = self.transit_us.replace(transit) {
                self.jitter_us += ((transit - last).abs() - self.jitter_us) / 16.0;
            }
        }
        let key = self.is_video && begins_keyframe(arrived.payload);
        let packet = Packet {
            marker: arrived.marker,
            key,
        };
        self.waiting.insert(arrived.seq, packet);
        self.advance(now);
        self.broken_now(now)
    }

    /// Takes what is in order.
    fn advance(&mut self, now: Instant) {
        while let Some(next) = self.next
            && let Some(packet) = self.waiting.remove(&next)
        {
            self.next = Some(next + 1);
            self.gap_since = None;
            if packet.key {
                self.broken = false;
            }
            if packet.marker && self.is_video && !self.broken {
                self.shown(now);
            }
        }
    }

    /// Gives a gap up when it is too old; true when that broke the picture.
    fn broken_now(&mut self, now: Instant) -> bool {
        let Some((first, _)) = self.waiting.first_key_value() else {
            return false;
        };
        let since = *self.gap_since.get_or_insert(now);
        if now.saturating_duration_since(since) < GIVE_UP && self.waiting.len() < WAITING {
            return false;
        }
        let next = self.next.unwrap_or(*first);
        self.tally.lost += first - next;
        self.next = Some(*first);
        self.gap_since = None;
        self.broken = self.is_video;
        self.advance(now);
        self.broken
    }

    /// A whole picture is there. A freeze is an interval of more than three usual ones, or of a usual one
    /// and 150 ms (the definition of WebRTC's statistics).
    fn shown(&mut self, now: Instant) {
        self.tally.pictures += 1;
        let Some(last) = self.picture_at.replace(now) else {
            return;
        };
        let interval = now.saturating_duration_since(last);
        let us = interval.as_secs_f64() * 1e6;
        if us > (self.interval_us * 3.0).max(self.interval_us + 150_000.0) {
            self.tally.freezes += 1;
            self.tally.frozen += interval;
        } else {
            self.interval_us += (us - self.interval_us) / INTERVALS;
        }
    }

    /// The sums. What is still missing counts as lost, and a picture that stands as frozen.
    pub(super) fn finish(mut self, now: Instant) -> Tally {
        if let (Some(next), Some((last, _))) = (self.next, self.waiting.last_key_value()) {
            self.tally.lost += (last + 1 - next).saturating_sub(self.waiting.len() as u64);
        }
        if self.is_video && self.picture_at.is_some() {
            let pictures = self.tally.pictures;
            self.shown(now);
            self.tally.pictures = pictures;
        }
        self.tally.streams = 1;
        self.tally.silent = u64::from(self.tally.packets == 0);
        self.tally.jitter_max_us = self.jitter_us;
        self.tally.jitter_sum_us = self.jitter_us;
        self.tally
    }
}

/// A VP8 packet that begins a whole picture: RFC 7741, 4.2 and 4.3.
fn begins_keyframe(payload: &[u8]) -> bool {
    let Some(first) = payload.first() else {
        return false;
    };
    if first & 0x17 != 0x10 {
        return false;
    }
    let mut at = 1;
    if first & 0x80 != 0 {
        let extended = payload.get(1).copied().unwrap_or(0);
        at += 1;
        if extended & 0x80 != 0 {
            let long = payload.get(at).is_some_and(|byte| byte & 0x80 != 0);
            at += if long { 2 } else { 1 };
        }
        at += usize::from(extended & 0x40 != 0);
        at += usize::from(extended & 0x30 != 0);
    }
    payload.get(at).is_some_and(|byte| byte & 1 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(trace: Trace, key: bool) -> Vec<u8> {
        let mut payload = vec![0x90, 0xe0, 0x80, 1, 1, 0, u8::from(!key)];
        payload.resize(100, 0);
        trace.write(&mut payload);
        payload
    }

    /// Feeds one-packet pictures 33 ms apart, without those in `lost`, 20 ms after they were sent.
    fn run(count: u64, lost: std::ops::Range<u64>, keys: &[u64]) -> Tally {
        let epoch = Instant::now();
        let mut stream = Stream::new(true);
        let mut now = epoch;
        for number in 0..count {
            let sent = epoch + Duration::from_millis(33 * number);
            now = sent + Duration::from_millis(20);
            if lost.contains(&number) {
                continue;
            }
            let trace = Trace::new(epoch, sent, 2, number);
            let payload = packet(trace, keys.contains(&number));
            let arrived = Arrived {
                seq: 500 + number,
                marker: true,
                payload: &payload,
                now,
            };
            stream.receive(&arrived, epoch);
        }
        stream.finish(now)
    }

    #[test]
    fn a_whole_stream_has_no_loss_no_freeze_and_its_delay() {
        let tally = run(90, 0..0, &[0]);
        assert_eq!((tally.packets, tally.lost, tally.pictures), (90, 0, 90));
        assert_eq!((tally.freezes, tally.layers), (0, [0, 0, 90]));
        let p50 = tally.delays.percentile(50.0).expect("delays").as_micros();
        assert!((19_000..21_500).contains(&p50), "{p50}");
        assert!(tally.jitter_max_us < 1.0);
    }

    #[test]
    fn a_lost_packet_freezes_the_picture_until_a_keyframe() {
        let tally = run(120, 30..31, &[0, 60]);
        assert_eq!((tally.lost, tally.freezes), (1, 1));
        // From picture 29 to 60.
        let frozen = tally.frozen.as_millis();
        assert!((1_000..1_050).contains(&frozen), "{frozen}");
    }

    #[test]
    fn a_late_packet_is_no_loss() {
        let epoch = Instant::now();
        let mut stream = Stream::new(false);
        for seq in [1_u64, 2, 4, 3, 5] {
            let payload = packet(Trace::new(epoch, epoch, 0, seq), true);
            let arrived = Arrived {
                seq,
                marker: false,
                payload: &payload,
                now: epoch + Duration::from_millis(seq),
            };
            stream.receive(&arrived, epoch);
        }
        let tally = stream.finish(epoch + Duration::from_secs(1));
        assert_eq!((tally.packets, tally.lost), (5, 0));
    }
}
