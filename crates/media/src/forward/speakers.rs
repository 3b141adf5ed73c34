//! Who speaks, and how loudly.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use livekit_protocol::SpeakerInfo;

/// Levels up to this (−dBov) count as speech.
const ACTIVE_LEVEL: u8 = 35;
/// The window, and how often clients hear of changes.
const WINDOW: Duration = Duration::from_millis(400);
/// The share of the window, in ms, that must be speech: 40 %.
const MIN_ACTIVE_MS: u32 = 160;
/// Exponential smoothing with the centre of mass of two windows: 2 / (2 + 1).
const SMOOTHING: f64 = 2.0 / 3.0;
/// Levels are told in eighths, so that small changes are none.
const STEPS: f64 = 8.0;
/// The longest Opus packet. A gap before a packet that is longer was silence (DTX), whatever the
/// packet's own level.
const MAX_PACKET_MS: u32 = 120;
const CLOCK_PER_MS: u32 = 48;

#[derive(Clone, Debug)]
struct Source {
    smoothed: f64,
    loudest: u8,
    active_ms: u32,
    observed_ms: u32,
    newest: u32,
    seen: Instant,
}

impl Source {
    fn observe(&mut self, level: u8, rtp_time: u32, now: Instant) {
        let ticks = rtp_time.wrapping_sub(self.newest);
        if ticks >= 1 << 31 {
            return;
        }
        self.newest = rtp_time;
        self.seen = now;
        let passed = ticks / CLOCK_PER_MS;
        self.observed_ms = self.observed_ms.saturating_add(passed);
        if level <= ACTIVE_LEVEL {
            self.active_ms += passed.min(MAX_PACKET_MS);
            self.loudest = self.loudest.min(level);
        }
        if self.observed_ms >= WINDOW.as_millis() as u32 {
            let mut smoothed = 0.0;
            if self.active_ms >= MIN_ACTIVE_MS {
                let share = f64::from(self.active_ms) / WINDOW.as_millis() as f64;
                let level = linear(f64::from(self.loudest) - 20.0 * share.log10());
                smoothed = self.smoothed + (level - self.smoothed) * SMOOTHING;
            }
            self.reset(smoothed);
        }
    }

    fn reset(&mut self, smoothed: f64) {
        self.smoothed = smoothed;
        self.loudest = 127;
        self.active_ms = 0;
        self.observed_ms = 0;
    }
}

fn linear(level: f64) -> f64 {
    10_f64.powf(-level / 20.0)
}

/// The active speakers of one room, found like LiveKit's server does (its `audiolevel.go`): a source
/// is active if at least 40 % of a 400 ms window lie above −35 dBov; its level is the loudest of the
/// window, weighted by that share and smoothed over two windows.
#[derive(Clone, Debug, Default)]
pub struct Speakers {
    participants: HashMap<String, HashMap<u32, Source>>,
    told: HashMap<String, f32>,
    next: Option<Instant>,
}

impl Speakers {
    /// A silent room.
    pub fn new() -> Self {
        Self::default()
    }

    /// An audio packet's level (RFC 6464: 0 loudest … 127 silent, in −dBov) from one stream (SSRC) of
    /// a participant (its sid), with its RTP time in 48 kHz. Packets without the extension are left
    /// out.
    pub fn observe(&mut self, sid: &str, source: u32, level: u8, rtp_time: u32, now: Instant) {
        self.next.get_or_insert(now + WINDOW);
        if !self.participants.contains_key(sid) {
            self.participants.insert(sid.to_owned(), HashMap::new());
        }
        let Some(sources) = self.participants.get_mut(sid) else {
            return;
        };
        sources
            .entry(source)
            .or_insert_with(|| Source {
                smoothed: 0.0,
                loudest: 127,
                active_ms: 0,
                observed_ms: 0,
                newest: rtp_time,
                seen: now,
            })
            .observe(level, rtp_time, now);
    }

    /// A participant left: nobody needs to hear that it is silent.
    pub fn remove(&mut self, sid: &str) {
        self.participants.remove(sid);
        self.told.remove(sid);
    }

    /// When to call [`poll`](Self::poll); nothing while nobody has been heard.
    pub fn next_poll(&self) -> Option<Instant> {
        self.next
    }

    /// What changed since the last call, at most every 400 ms: who speaks at another level (0..=1,
    /// in eighths), and once `active: false` with level 0 for who fell silent. Loudest first.
    pub fn poll(&mut self, now: Instant) -> Vec<SpeakerInfo> {
        if self.next.is_none_or(|next| now < next) {
            return Vec::new();
        }
        self.next = Some(now + WINDOW);
        let mut changed = Vec::new();
        for (sid, level) in self.levels(now) {
            let active = level > 0.0;
            if self.told.get(&sid).copied().unwrap_or(0.0) == level {
                continue;
            }
            if active {
                self.told.insert(sid.clone(), level);
            } else {
                self.told.remove(&sid);
            }
            changed.push(SpeakerInfo { sid, level, active });
        }
        if self.participants.is_empty() {
            self.next = None;
        }
        changed.sort_by(|a, b| b.level.total_cmp(&a.level).then_with(|| a.sid.cmp(&b.sid)));
        changed
    }

    /// All active speakers with their levels as told last, loudest first: for who joins now.
    pub fn active(&self) -> Vec<SpeakerInfo> {
        let info = |(sid, level): (&String, &f32)| SpeakerInfo {
            sid: sid.clone(),
            level: *level,
            active: true,
        };
        let mut speakers: Vec<_> = self.told.iter().map(info).collect();
        speakers.sort_by(|a, b| b.level.total_cmp(&a.level).then_with(|| a.sid.cmp(&b.sid)));
        speakers
    }

    /// Every participant's level now (0 = not active); sources long unheard are forgotten.
    fn levels(&mut self, now: Instant) -> Vec<(String, f32)> {
        let mut levels = Vec::new();
        self.participants.retain(|sid, sources| {
            sources.retain(|_, s| now.saturating_duration_since(s.seen) < 2 * WINDOW);
            let loudest = sources.values().map(|s| s.smoothed).fold(0.0, f64::max);
            let active = loudest >= linear(f64::from(ACTIVE_LEVEL));
            let level = if active {
                ((loudest * STEPS).ceil() / STEPS).min(1.0)
            } else {
                0.0
            };
            levels.push((sid.clone(), level as f32));
            !sources.is_empty()
        });
        levels
    }
}
