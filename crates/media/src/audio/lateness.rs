//! How late a track's packets come, and how much delay that asks for.

use std::time::Duration;

use super::opus::SAMPLE_RATE_HZ;

/// Width of a bin of the lateness histogram: 10 ms.
const BIN_SAMPLES: i64 = 480;
const BINS: usize = 100;

/// The bounds of the delay between capture and playout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DelayBounds {
    /// Never less than this, whatever the network does.
    pub min: Duration,
    /// Never more than this; what comes later is lost.
    pub max: Duration,
}

impl Default for DelayBounds {
    /// 20 to 400 ms, for conversation.
    fn default() -> Self {
        DelayBounds {
            min: Duration::from_millis(20),
            max: Duration::from_millis(400),
        }
    }
}

impl DelayBounds {
    /// 200 to 900 ms, for recording and transcription, where completeness counts more than delay.
    pub fn patient() -> Self {
        DelayBounds {
            min: Duration::from_millis(200),
            max: Duration::from_millis(900),
        }
    }

    /// Both in samples, in order.
    pub(super) fn samples(self) -> (i64, i64) {
        let min = samples_of(self.min);
        (min, samples_of(self.max).max(min))
    }
}

fn samples_of(duration: Duration) -> i64 {
    let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 48_000);
    micros.min(60_000_000) * i64::from(SAMPLE_RATE_HZ) / 1_000_000
}

/// A histogram of how late packets came, with older ones forgotten: after 350 packets (7 s) half of the weight is new.
#[derive(Debug)]
pub(super) struct Lateness {
    bins: [f32; BINS],
}

impl Default for Lateness {
    fn default() -> Self {
        Lateness { bins: [0.0; BINS] }
    }
}

impl Lateness {
    /// Enters one packet's lateness in samples.
    pub(super) fn enter(&mut self, lateness: i64) {
        for bin in &mut self.bins {
            *bin *= 0.998;
        }
        let index = usize::try_from(lateness / BIN_SAMPLES)
            .unwrap_or(0)
            .min(BINS - 1);
        self.bins[index] += 1.0;
    }

    /// The lateness, in samples, that this share of the packets stays within.
    pub(super) fn quantile(&self, share: f32) -> i64 {
        let wanted = self.bins.iter().sum::<f32>() * share;
        let mut seen = 0.0;
        for (index, bin) in self.bins.iter().enumerate() {
            seen += bin;
            if seen >= wanted {
                return (index as i64 + 1) * BIN_SAMPLES;
            }
        }
        BINS as i64 * BIN_SAMPLES
    }
}
