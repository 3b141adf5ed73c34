//! How good a participant's connection is, as one word and as a score.

use std::time::{Duration, Instant};

use livekit_protocol::ConnectionQuality;

use super::Codec;

const MAX: f64 = 100.0;
/// The floor of the smoothed score: lower ones would take too long to climb back.
const MIN: f64 = 30.0;
const DRY: f64 = 40.0;
const LOST: f64 = 20.0;
/// A fall shows quickly, a rise slowly.
const FALL: f64 = 0.8;
const RISE: f64 = 0.4;
/// Each layer below the wanted one costs about one word.
const LAYER_WEIGHT: f64 = 35.0;

/// What was seen of one stream since the last update (LiveKit: 5 s).
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    /// Packets expected: received (or sent) and lost.
    pub packets: u32,
    /// Of these lost, after retransmission; of a sent stream: beyond what the publisher lost.
    pub lost: u32,
    /// Payload bytes.
    pub bytes: u64,
    /// Highest round trip, if known.
    pub rtt: Option<Duration>,
    /// Highest inter-arrival jitter.
    pub jitter: Duration,
    /// Bits that the wanted layers should have had in this time; 0 = unknown.
    pub expected_bits: u64,
    /// How many layers below the wanted one it ran, on average.
    pub layers_missing: f64,
}

/// The score of one stream, 0–100, after LiveKit's `connectionquality`: a simplified E-model of loss,
/// delay and jitter, the bitrate against the expected one and the layers missed; the worst of the
/// three, smoothed.
///
/// Silence is not loss: with DTX a stream has a twentieth of its packets, so that one lost weighs as
/// twenty; loss is therefore weighted by the square root of the packet rate against the usual one.
#[derive(Clone, Debug)]
pub struct TrackScore {
    video: bool,
    loss_weight: f64,
    score: f64,
    muted: bool,
    paused: bool,
    since: Instant,
    usual_rate: f64,
}

impl TrackScore {
    /// Begins excellent. `red`: audio with redundancy, which bears twice the loss.
    pub fn new(codec: Codec, red: bool, now: Instant) -> Self {
        let loss_weight = match (codec.is_audio(), red) {
            (false, _) => 10.0,
            (true, false) => 8.0,
            (true, true) => 4.0,
        };
        Self {
            video: !codec.is_audio(),
            loss_weight,
            score: MAX,
            muted: false,
            paused: false,
            since: now,
            usual_rate: 0.0,
        }
    }

    /// Muted or not. A muted stream is excellent, unless its transport is gone.
    pub fn set_muted(&mut self, muted: bool, now: Instant) {
        if muted && !self.muted && self.score > LOST {
            self.score = MAX;
        }
        if muted != self.muted {
            self.since = now;
        }
        self.muted = muted;
    }

    /// Paused for lack of bandwidth or not. A paused stream is poor.
    pub fn set_paused(&mut self, paused: bool, now: Instant) {
        if paused && !self.paused {
            self.score = MIN;
        }
        if paused != self.paused {
            self.since = now;
        }
        self.paused = paused;
    }

    /// Takes in a window that ends now and lasted `length`. `connected`: the transport is up.
    pub fn update(&mut self, window: &Window, length: Duration, connected: bool, now: Instant) {
        if !connected {
            self.score = LOST;
            return;
        }
        let steady = now.saturating_duration_since(self.since) * 2 > length;
        if self.muted || self.paused || !steady || length.is_zero() {
            if self.score <= LOST {
                self.score = if self.paused { MIN } else { MAX };
            }
            return;
        }
        if window.packets == 0 {
            // Nothing at all, not even the 2.5 packets/s of DTX.
            self.score = DRY;
            return;
        }
        let now = self
            .packet_score(window, length)
            .min(bitrate_score(window, self.video))
            .min((MAX - window.layers_missing * LAYER_WEIGHT).clamp(0.0, MAX));
        let factor = if now < self.score { FALL } else { RISE };
        self.score = (factor * now + (1.0 - factor) * self.score).max(MIN);
    }

    /// 0–100.
    pub fn score(&self) -> f64 {
        self.score
    }

    fn packet_score(&mut self, window: &Window, length: Duration) -> f64 {
        let rate = f64::from(window.packets) / length.as_secs_f64();
        // The usual rate follows a rise at once and forgets slowly (half in about four minutes).
        self.usual_rate = rate.max(self.usual_rate * 0.985);
        let ms = |d: Duration| d.as_secs_f64() * 1_000.0;
        let delay = window.rtt.map_or(0.0, ms) / 2.0 + 2.0 * ms(window.jitter);
        let delay_effect = if delay > 160.0 {
            (delay - 120.0) / 10.0
        } else {
            delay / 40.0
        };
        let lost = f64::from(window.lost.min(window.packets)) * 100.0 / f64::from(window.packets);
        let weight = self.loss_weight * (rate / self.usual_rate).clamp(0.0, 1.0).sqrt();
        (MAX - delay_effect - lost * weight).max(0.0)
    }
}

/// Good at about 2.7 times too little, poor at 20 times.
fn bitrate_score(window: &Window, video: bool) -> f64 {
    if !video || window.expected_bits == 0 {
        return MAX;
    }
    if window.bytes == 0 {
        return 0.0;
    }
    let ratio = window.expected_bits as f64 / (window.bytes as f64 * 8.0);
    (MAX - 20.0 * ratio.ln()).clamp(0.0, MAX)
}

/// A participant's quality: that of the worst of all its streams, published and received.
#[derive(Clone, Copy, Debug)]
pub struct WorstScore {
    /// 0–100.
    pub score: f64,
}

impl WorstScore {
    /// The worst of these; excellent if there is none.
    pub fn of<'a>(tracks: impl IntoIterator<Item = &'a TrackScore>) -> Self {
        let score = tracks.into_iter().map(|t| t.score).fold(MAX, f64::min);
        Self { score }
    }

    /// As one word.
    pub fn quality(self) -> ConnectionQuality {
        match self.score {
            s if s > 80.0 => ConnectionQuality::Excellent,
            s if s > 40.0 => ConnectionQuality::Good,
            s if s > 20.0 => ConnectionQuality::Poor,
            _ => ConnectionQuality::Lost,
        }
    }

    /// As the mean opinion score, 1.0–4.5, that `ConnectionQualityInfo.score` carries (ITU-T G.107).
    pub fn mos(self) -> f32 {
        let r = self.score.clamp(0.0, 100.0);
        (1.0 + 0.035 * r + 0.000_007 * r * (r - 60.0) * (100.0 - r)) as f32
    }
}
