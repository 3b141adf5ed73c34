//! The jitter buffer of one Opus track: packets in when they come, 20 ms of sound out when they are due.
//!
//! Playout follows the wall clock: at `now` the buffer plays the media time `now − offset − target`, where
//! `offset` is the track's [`RtpClock`] and `target` covers 97 % of the lateness seen lately (the idea of
//! WebRTC's NetEq: a histogram with forgetting; without its time stretching). When the target moves or
//! the clocks drift, playout is corrected where nobody hears it: in silence, or by concealing a frame
//! without advancing. Only a deviation of more than [`HARD_SKIP_SAMPLES`] cuts into speech.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::clock::RtpClock;
use super::lateness::{DelayBounds, Lateness};
use super::opus::{Decoder, FRAME_SAMPLES, OpusError, SAMPLE_RATE_HZ, packet_facts};
use super::red::unwrap_red;

/// One frame of mono sound.
pub type Pcm = [i16; FRAME_SAMPLES];

/// Packets that wait for their turn at most: five seconds of 20 ms packets.
const MAX_WAITING: usize = 256;

/// Concealment longer than this becomes silence: what the codec invents is a drone by then.
const MAX_CONCEAL_SAMPLES: usize = 4_800;

/// Playout that lags by more than this skips even through speech.
const HARD_SKIP_SAMPLES: i64 = 14_400;

/// A frame whose loudest sample stays below this (−46 dBFS) counts as a pause.
const QUIET_PEAK: u16 = 160;

/// What a frame is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Content {
    /// Zeros: before the first packet, in a sender's pause, or after a long loss.
    Silence,
    /// At least in part invented for a lost packet.
    Concealed,
    /// Decoded.
    Decoded,
}

/// One pulled frame.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The sound.
    pub pcm: Pcm,
    /// Where it comes from.
    pub content: Content,
}

/// What happened to a track's packets. Counted since the buffer was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets handed in.
    pub received: u64,
    /// Packets missing when their turn came.
    pub lost: u64,
    /// Packets that came after their turn.
    pub late: u64,
    /// Packets that came twice.
    pub duplicated: u64,
    /// Packets that were malformed, out of place in time, or too many.
    pub rejected: u64,
    /// Packets taken from the redundancy of a RED payload.
    pub from_redundancy: u64,
    /// Samples invented for lost packets.
    pub concealed_samples: u64,
    /// Samples skipped to shorten the delay.
    pub skipped_samples: u64,
    /// Samples inserted to lengthen the delay.
    pub inserted_samples: u64,
    /// How often the sender began another run of timestamps.
    pub restarts: u64,
}

#[derive(Debug)]
struct Waiting {
    seq: u64,
    samples: usize,
    dtx: bool,
    payload: Arc<[u8]>,
}

/// The jitter buffer of one track. See the module's description.
#[derive(Debug)]
pub struct JitterBuffer {
    clock: RtpClock,
    decoder: Decoder,
    bounds: (i64, i64),
    lateness: Lateness,
    waiting: BTreeMap<i64, Waiting>,
    /// Media time at the end of `ready`; `None` until the first packet's turn.
    cursor: Option<i64>,
    /// Decoded and not pulled: at most one packet and one frame.
    ready: VecDeque<i16>,
    last_seq: Option<u64>,
    in_dtx: bool,
    concealed_in_a_row: usize,
    quiet: bool,
    counters: Counters,
}

impl JitterBuffer {
    /// An empty buffer; `origin` is any instant not after the first packet.
    ///
    /// # Errors
    /// When the codec cannot be made.
    pub fn new(bounds: DelayBounds, origin: Instant) -> Result<Self, OpusError> {
        Ok(JitterBuffer {
            clock: RtpClock::new(SAMPLE_RATE_HZ, origin),
            decoder: Decoder::new()?,
            bounds: bounds.samples(),
            lateness: Lateness::default(),
            waiting: BTreeMap::new(),
            cursor: None,
            ready: VecDeque::new(),
            last_seq: None,
            in_dtx: false,
            concealed_in_a_row: 0,
            quiet: true,
            counters: Counters::default(),
        })
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The delay the buffer aims at now.
    pub fn target_delay(&self) -> Duration {
        let samples = u64::try_from(self.target()).unwrap_or(0);
        Duration::from_micros(samples * 1_000_000 / u64::from(SAMPLE_RATE_HZ))
    }

    /// Enters one packet: its extended sequence number, its RTP timestamp (48 kHz), its Opus payload.
    pub fn insert(&mut self, seq: u64, rtp_time: u32, payload: Arc<[u8]>, arrived: Instant) {
        self.counters.received += 1;
        let Ok(facts) = packet_facts(&payload) else {
            self.counters.rejected += 1;
            return;
        };
        let Some(placement) = self.clock.place(rtp_time, arrived) else {
            self.counters.rejected += 1;
            return;
        };
        if placement.restarted {
            self.restart();
        }
        self.lateness.enter(placement.lateness);
        let waiting = Waiting {
            seq,
            samples: facts.samples,
            dtx: facts.is_dtx(),
            payload,
        };
        self.queue(placement.media, waiting, false);
    }

    /// Enters one RED payload (RFC 2198): its primary block as [`JitterBuffer::insert`] does, and older
    /// blocks only where their packets are missing.
    pub fn insert_red(&mut self, seq: u64, rtp_time: u32, payload: &[u8], arrived: Instant) {
        let Some(red) = unwrap_red(payload) else {
            self.counters.received += 1;
            self.counters.rejected += 1;
            return;
        };
        self.insert(seq, rtp_time, Arc::from(red.primary), arrived);
        let Some((media, _)) = self
            .waiting
            .iter()
            .rev()
            .find(|(_, waiting)| waiting.seq == seq)
        else {
            return;
        };
        let media = *media;
        let count = red.redundant.len() as u64;
        for (index, block) in red.redundant.iter().enumerate() {
            let older = media - i64::from(block.timestamp_offset);
            let Ok(facts) = packet_facts(block.payload) else {
                continue;
            };
            let waiting = Waiting {
                // Blocks are consecutive packets; only the order matters, and only roughly.
                seq: seq.saturating_sub(count - index as u64),
                samples: facts.samples,
                dtx: facts.is_dtx(),
                payload: Arc::from(block.payload),
            };
            self.queue(older, waiting, true);
        }
    }

    fn queue(&mut self, media: i64, waiting: Waiting, redundant: bool) {
        let end = media + waiting.samples as i64;
        if self.cursor.is_some_and(|cursor| end <= cursor) {
            self.counters.late += u64::from(!redundant);
            return;
        }
        if let Some(present) = self.waiting.get(&media) {
            let same = present.payload == waiting.payload;
            if !redundant {
                self.counters.duplicated += u64::from(same);
                self.counters.rejected += u64::from(!same);
            }
            return;
        }
        if self.waiting.len() >= MAX_WAITING {
            self.counters.rejected += 1;
            self.waiting.pop_first();
        }
        self.counters.from_redundancy += u64::from(redundant);
        self.waiting.insert(media, waiting);
    }

    fn restart(&mut self) {
        self.counters.restarts += 1;
        self.waiting.clear();
        self.cursor = None;
        self.last_seq = None;
        self.in_dtx = false;
        self.lateness = Lateness::default();
    }

    fn target(&self) -> i64 {
        self.lateness
            .quantile(0.97)
            .clamp(self.bounds.0, self.bounds.1)
    }

    /// The next 20 ms. Call it every 20 ms of the wall clock; `now` is when the frame is due, which may
    /// lie before the moment of the call, but never before the last call's.
    pub fn pull(&mut self, now: Instant) -> Frame {
        let wanted = self.clock.media_at(now).map(|media| media - self.target());
        let mut content = Content::Silence;
        match (self.cursor, wanted) {
            (Some(_), Some(wanted)) => content = self.steer(wanted),
            (None, Some(wanted)) => self.begin(wanted),
            (_, None) => {}
        }
        while self.ready.len() < FRAME_SAMPLES {
            content = content.max(self.fill());
        }
        let mut pcm: Pcm = [0; FRAME_SAMPLES];
        for (sample, ready) in pcm.iter_mut().zip(self.ready.drain(..FRAME_SAMPLES)) {
            *sample = ready;
        }
        self.quiet = pcm.iter().all(|sample| sample.unsigned_abs() < QUIET_PEAK);
        Frame { pcm, content }
    }

    /// Starts playout when the first packet's turn falls into this frame.
    fn begin(&mut self, wanted: i64) {
        let Some((&first, _)) = self.waiting.first_key_value() else {
            return;
        };
        if first < wanted + FRAME_SAMPLES as i64 {
            // What is left of an earlier run plays before the new one.
            self.cursor = Some(wanted + self.ready.len() as i64);
        }
    }

    /// Brings playout nearer to where the wall clock wants it.
    fn steer(&mut self, wanted: i64) -> Content {
        let Some(cursor) = self.cursor else {
            return Content::Silence;
        };
        let lag = wanted - (cursor - self.ready.len() as i64);
        let frame = FRAME_SAMPLES as i64;
        let pause = self.quiet || self.in_dtx;
        let starved = self.ready.is_empty()
            && self
                .waiting
                .first_key_value()
                .is_none_or(|(&first, _)| first > cursor);
        if lag >= HARD_SKIP_SAMPLES || (lag >= 2 * frame && pause) || (lag >= frame && starved) {
            // Whole frames only, so that packets keep their places in the frames.
            self.skip(lag / frame * frame);
        } else if lag <= -frame && (pause || starved) {
            return self.insert_frame(pause);
        } else if lag <= -HARD_SKIP_SAMPLES {
            // Far ahead of the clock: silence until it has caught up.
            return self.insert_frame(true);
        }
        Content::Silence
    }

    fn skip(&mut self, samples: i64) {
        let Some(cursor) = self.cursor else { return };
        self.counters.skipped_samples += u64::try_from(samples).unwrap_or(0);
        let from_ready = (samples as usize).min(self.ready.len());
        self.ready.drain(..from_ready);
        let cursor = cursor + samples - from_ready as i64;
        self.cursor = Some(cursor);
        while let Some(entry) = self.waiting.first_entry() {
            if *entry.key() + entry.get().samples as i64 > cursor {
                break;
            }
            self.last_seq = Some(entry.remove().seq);
        }
    }

    /// Puts a frame before what is ready without advancing in the media.
    fn insert_frame(&mut self, silence: bool) -> Content {
        self.counters.inserted_samples += FRAME_SAMPLES as u64;
        if silence || !self.ready.is_empty() {
            for _ in 0..FRAME_SAMPLES {
                self.ready.push_front(0);
            }
            return Content::Silence;
        }
        self.invent(FRAME_SAMPLES)
    }

    /// Adds at least one sample to `ready`, and says what it was.
    fn fill(&mut self) -> Content {
        let room = FRAME_SAMPLES - self.ready.len();
        let Some(cursor) = self.cursor else {
            self.add_silence(room);
            return Content::Silence;
        };
        let Some((&media, first)) = self.waiting.first_key_value() else {
            return self.gap(room, self.in_dtx);
        };
        if media > cursor {
            let gap = media - cursor;
            let missing = self
                .last_seq
                .map_or(0, |last| first.seq.saturating_sub(last + 1));
            let whole = usize::try_from(gap).unwrap_or(usize::MAX);
            // In-band redundancy covers the last missing packet, if its whole place is still free.
            if missing == 1 && whole <= first.samples && self.concealed_in_a_row == 0 {
                return self.recover(whole);
            }
            let paused = missing == 0 && self.concealed_in_a_row == 0;
            return self.gap(room.min(whole), paused);
        }
        let Some((media, first)) = self.waiting.pop_first() else {
            return Content::Silence;
        };
        self.play(cursor, media, &first)
    }

    fn play(&mut self, cursor: i64, media: i64, packet: &Waiting) -> Content {
        if let Some(last) = self.last_seq {
            self.counters.lost += packet.seq.saturating_sub(last + 1).min(MAX_WAITING as u64);
        }
        self.last_seq = Some(
            self.last_seq
                .map_or(packet.seq, |last| last.max(packet.seq)),
        );
        self.in_dtx = packet.dtx;
        // A packet that was overtaken in part plays its rest.
        let played = usize::try_from(cursor - media).unwrap_or(0);
        if played >= packet.samples {
            self.counters.late += 1;
            return Content::Silence;
        }
        match self.decoder.decode(&packet.payload) {
            Ok(pcm) => {
                let pcm = &pcm[played.min(pcm.len())..];
                self.ready.extend(pcm);
                self.cursor = Some(cursor + pcm.len() as i64);
                self.concealed_in_a_row = 0;
                if packet.dtx {
                    Content::Silence
                } else {
                    Content::Decoded
                }
            }
            Err(_) => {
                self.counters.rejected += 1;
                self.gap(packet.samples - played, false)
            }
        }
    }

    fn recover(&mut self, samples: usize) -> Content {
        let Some((_, next)) = self.waiting.first_key_value() else {
            return Content::Silence;
        };
        match self.decoder.recover(&next.payload, samples) {
            Ok(pcm) => {
                let pcm = &pcm[..samples.min(pcm.len())];
                let added = pcm.len();
                self.ready.extend(pcm);
                self.counters.concealed_samples += added as u64;
                self.concealed_in_a_row += added;
                self.cursor = self.cursor.map(|cursor| cursor + added as i64);
                Content::Concealed
            }
            Err(_) => self.gap(samples.min(FRAME_SAMPLES), false),
        }
    }

    /// Fills `samples` in which no packet lies, and advances over them.
    fn gap(&mut self, samples: usize, paused: bool) -> Content {
        self.cursor = self.cursor.map(|cursor| cursor + samples as i64);
        if paused {
            self.add_silence(samples);
            return Content::Silence;
        }
        self.invent(samples)
    }

    fn invent(&mut self, samples: usize) -> Content {
        self.counters.concealed_samples += samples as u64;
        let before = self.ready.len();
        if self.concealed_in_a_row < MAX_CONCEAL_SAMPLES
            && let Ok(pcm) = self.decoder.conceal(samples)
        {
            self.ready.extend(&pcm[..samples.min(pcm.len())]);
        }
        self.concealed_in_a_row = self.concealed_in_a_row.saturating_add(samples);
        let invented = self.ready.len() - before;
        self.add_silence(samples - invented);
        if invented == 0 {
            Content::Silence
        } else {
            Content::Concealed
        }
    }

    fn add_silence(&mut self, samples: usize) {
        self.ready.extend(std::iter::repeat_n(0, samples));
    }
}
