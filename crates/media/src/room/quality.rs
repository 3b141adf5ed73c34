//! How good a participant's connection is, from what its streams report.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use livekit_protocol::ConnectionQuality;
use str0m::media::{Mid, Rid};
use str0m::stats::{MediaEgressStats, MediaIngressStats};

use crate::forward::{Codec, TrackScore, Window, WorstScore};

/// How often the connections report: their statistics interval.
pub(crate) const STATS_EVERY: Duration = Duration::from_secs(2);

/// One stream's score and the counters of its last report.
struct Stream {
    score: TrackScore,
    packets: u64,
    bytes: u64,
}

/// Scores of all streams of one participant, both directions.
#[derive(Default)]
pub(crate) struct Quality {
    streams: HashMap<(bool, Mid, Option<Rid>), Stream>,
    told: Option<ConnectionQuality>,
}

impl Quality {
    /// A report on a stream that the participant sends us.
    pub(crate) fn ingress(
        &mut self,
        stats: &MediaIngressStats,
        codec: Codec,
        muted: bool,
        now: Instant,
    ) {
        let clock = f64::from(codec.clock_hz());
        let window = Report {
            packets: stats.packets,
            bytes: stats.bytes,
            loss: stats.loss,
            rtt: stats.rtt,
            jitter: Duration::from_secs_f64(f64::from(stats.jitter) / clock),
        };
        self.report((false, stats.mid, stats.rid), window, codec, muted, now);
    }

    /// A report on a stream that we send the participant.
    pub(crate) fn egress(
        &mut self,
        stats: &MediaEgressStats,
        codec: Codec,
        muted: bool,
        now: Instant,
    ) {
        let jitter = stats.remote.as_ref().map_or(0, |remote| remote.jitter);
        let clock = f64::from(codec.clock_hz());
        let window = Report {
            packets: stats.packets,
            bytes: stats.bytes,
            loss: stats.loss,
            rtt: stats.rtt,
            jitter: Duration::from_secs_f64(f64::from(jitter) / clock),
        };
        self.report((true, stats.mid, stats.rid), window, codec, muted, now);
    }

    fn report(
        &mut self,
        key: (bool, Mid, Option<Rid>),
        report: Report,
        codec: Codec,
        muted: bool,
        now: Instant,
    ) {
        let stream = self.streams.entry(key).or_insert_with(|| Stream {
            score: TrackScore::new(codec, false, now),
            packets: report.packets,
            bytes: report.bytes,
        });
        let packets = report.packets.saturating_sub(stream.packets);
        let bytes = report.bytes.saturating_sub(stream.bytes);
        (stream.packets, stream.bytes) = (report.packets, report.bytes);
        let packets = u32::try_from(packets).unwrap_or(u32::MAX);
        let lost = f64::from(packets) * f64::from(report.loss.unwrap_or(0.0));
        stream.score.set_muted(muted, now);
        let window = Window {
            packets,
            lost: lost as u32,
            bytes,
            rtt: report.rtt,
            jitter: report.jitter,
            ..Window::default()
        };
        stream.score.update(&window, STATS_EVERY, true, now);
    }

    /// Forgets the streams of a section.
    pub(crate) fn forget(&mut self, egress: bool, mid: Mid) {
        self.streams
            .retain(|(out, of, _), _| *out != egress || *of != mid);
    }

    /// The word, the score (1–5) and whether the word differs from the last time.
    pub(crate) fn tell(&mut self, lost: bool) -> (ConnectionQuality, f32, bool) {
        let worst = WorstScore::of(self.streams.values().map(|stream| &stream.score));
        let quality = if lost {
            ConnectionQuality::Lost
        } else {
            worst.quality()
        };
        let changed = self.told.replace(quality) != Some(quality);
        let score = if lost { 0.0 } else { worst.mos() };
        (quality, score, changed)
    }
}

/// What both directions report.
struct Report {
    packets: u64,
    bytes: u64,
    loss: Option<f32>,
    rtt: Option<Duration>,
    jitter: Duration,
}
