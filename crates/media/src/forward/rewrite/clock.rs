//! RTP timestamps that go on evenly when the source of a stream changes.

use std::time::{Duration, Instant, SystemTime};

use crate::forward::{PacketIn, SenderReport};

/// How far the sender's own clock may lead away from what the arrival says before it is not believed.
/// More than jitter and pacing ever cost, less than anybody would take for a freeze.
const MAX_DISAGREEMENT: Duration = Duration::from_secs(1);

/// Sender reports that are further apart than this cannot belong to one session.
const MAX_REPORT_DISTANCE: Duration = Duration::from_secs(24 * 3600);

/// The outgoing timestamps of one subscription.
///
/// Every source has its own random origin. At a change the offset is chosen so that the new source's
/// first packet gets the moment at which it was captured: by sender reports of both sources (RFC 3550
/// 6.4.1: one wall clock, two RTP clocks) where there are some, by the arrival otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    hz: u32,
    /// Subtracted from incoming timestamps.
    offset: u32,
    /// The newest timestamp sent and when its packet arrived.
    newest: Option<(u32, Instant)>,
    /// A wall-clock moment of the publisher and our timestamp for it, kept for the whole
    /// subscription: aligning each change to the last one would add up the errors.
    anchor: Option<(SystemTime, u32)>,
}

impl Clock {
    pub(crate) fn new(hz: u32) -> Self {
        Self {
            hz,
            offset: 0,
            newest: None,
            anchor: None,
        }
    }

    /// The outgoing timestamp of a packet of the current source.
    pub(crate) fn map(&self, rtp_time: u32) -> u32 {
        rtp_time.wrapping_sub(self.offset)
    }

    /// The offset in force, to map late packets of this source after a change.
    pub(crate) fn offset(&self) -> u32 {
        self.offset
    }

    /// Notes that a packet of the current source goes out.
    pub(crate) fn sent(&mut self, packet: &PacketIn<'_>) {
        let out = self.map(packet.rtp_time);
        if self.newest.is_none_or(|(newest, _)| ahead(out, newest) > 0) {
            self.newest = Some((out, packet.received));
        }
        if let (None, Some(report)) = (self.anchor, packet.report) {
            self.anchor = Some((report.ntp_time, self.map(report.rtp_time)));
        }
    }

    /// Begins a new source with `packet` as its first. `same` says that its timestamps have the same
    /// origin as those before (the same stream after a pause).
    pub(crate) fn switch(&mut self, packet: &PacketIn<'_>, same: bool) {
        let Some((newest, at)) = self.newest else {
            self.offset = 0;
            return;
        };
        let passed = packet.received.saturating_duration_since(at);
        let expected = newest.wrapping_add(self.ticks(passed));
        let limit = i64::from(self.ticks(MAX_DISAGREEMENT));
        let believable = |out: u32| i64::from(ahead(out, expected)).abs() <= limit;
        let kept = Some(self.map(packet.rtp_time)).filter(|out| same && believable(*out));
        let reported = || {
            packet
                .report
                .and_then(|report| self.by_report(packet.rtp_time, report))
                .filter(|out| believable(*out))
        };
        let mut out = kept.or_else(reported).unwrap_or(expected);
        if ahead(out, newest) <= 0 {
            // Two layers carry the same picture, or the new one lags: a receiver drops what does
            // not go forward.
            out = newest.wrapping_add(1);
        }
        self.offset = packet.rtp_time.wrapping_sub(out);
    }

    fn by_report(&self, rtp_time: u32, report: SenderReport) -> Option<u32> {
        let (anchor, out) = self.anchor?;
        let since_report = ahead(rtp_time, report.rtp_time);
        let distance = match report.ntp_time.duration_since(anchor) {
            Ok(after) if after <= MAX_REPORT_DISTANCE => self.ticks(after),
            Err(before) if before.duration() <= MAX_REPORT_DISTANCE => {
                self.ticks(before.duration()).wrapping_neg()
            }
            _ => return None,
        };
        Some(out.wrapping_add(distance).wrapping_add_signed(since_report))
    }

    /// A duration in ticks, modulo 2³² like the timestamps themselves.
    fn ticks(&self, duration: Duration) -> u32 {
        let whole = duration.as_secs().wrapping_mul(u64::from(self.hz));
        let part = u64::from(duration.subsec_nanos()) * u64::from(self.hz) / 1_000_000_000;
        // Truncation is the wrap.
        whole.wrapping_add(part) as u32
    }
}

/// How far `a` lies ahead of `b` on the circle of 2³²; negative if behind.
pub(crate) fn ahead(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b) as i32
}
