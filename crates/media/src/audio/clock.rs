//! Puts a sender's RTP clock on the wall clock of this process, for hours.
//!
//! An RTP timestamp says exactly when a packet was captured relative to its neighbours, on a crystal
//! that runs some 20 to 100 ppm beside ours: 70 to 360 ms per hour. The arrival says roughly when it was
//! captured on our own clock: never too early, often too late. So the offset between the two is the
//! *smallest* `arrival − timestamp` seen in the last 5 to 10 s. The minimum keeps network jitter out, the
//! window lets the offset follow the crystals (100 ppm over 10 s is 1 ms) and a changed route.
//! The method is that of NTP's clock filter (RFC 5905, 10) reduced to one direction: the constant part of
//! the network delay cannot be seen and stays in the result, as it does for a listener in the room.

use std::time::Instant;

/// How long one bucket of the sliding minimum lasts, in seconds.
const BUCKET_SECONDS: i64 = 5;

/// A packet whose timestamp lies further than this from where its arrival puts it does not belong to
/// the same run of the clock, in seconds.
const LEAP_SECONDS: i64 = 2;

/// Where a packet lies on both clocks. All values are ticks of the RTP clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// The timestamp without its wrap at 2³²; differences are the sender's own time.
    pub media: i64,
    /// Ticks since the clock's origin at which the packet belongs on the wall clock.
    pub wall: i64,
    /// How much later than the quickest recent packet this one came; never negative.
    pub lateness: i64,
    /// The sender began another run of timestamps: `media` is not comparable with earlier ones.
    pub restarted: bool,
}

/// The relation of one sender's RTP clock to `Instant`.
#[derive(Debug, Clone)]
pub struct RtpClock {
    rate_hz: u32,
    origin: Instant,
    newest: Option<i64>,
    base: SlidingMinimum,
    suspect: Option<(u32, i64)>,
}

impl RtpClock {
    /// A clock of `rate_hz` ticks per second whose `wall` values count from `origin`.
    pub fn new(rate_hz: u32, origin: Instant) -> Self {
        RtpClock {
            rate_hz: rate_hz.max(1),
            origin,
            newest: None,
            base: SlidingMinimum::default(),
            suspect: None,
        }
    }

    /// Ticks from the origin to `at`; 0 before the origin.
    pub fn ticks(&self, at: Instant) -> i64 {
        let nanos = at.saturating_duration_since(self.origin).as_nanos();
        i64::try_from(nanos * u128::from(self.rate_hz) / 1_000_000_000).unwrap_or(i64::MAX / 4)
    }

    /// Enters a packet. `None` for a first packet that leaps away from the rest: it may be a stray, so
    /// the leap is believed only when the next packet agrees with it. That packet is `restarted`.
    pub fn place(&mut self, rtp_time: u32, arrived: Instant) -> Option<Placement> {
        let arrival = self.ticks(arrived);
        let Some(newest) = self.newest else {
            return Some(self.start(rtp_time, arrival, false));
        };
        // The low half of `newest` is the last timestamp; the nearest way round is the right one.
        let step = rtp_time.wrapping_sub(newest as u32) as i32;
        let media = newest + i64::from(step);
        let leap = LEAP_SECONDS * i64::from(self.rate_hz);
        let base = self.base.value(arrival);
        // Lateness is only a leap when it is several times what a stalled network causes.
        let distance = arrival - media - base;
        if distance < -leap || distance > 5 * leap {
            return self.leap(rtp_time, arrival, leap);
        }
        self.suspect = None;
        self.newest = Some(newest.max(media));
        Some(self.enter(media, arrival, false))
    }

    /// The media time that is being captured at `now`, less the quickest network delay; `None` before
    /// the first packet.
    pub fn media_at(&self, now: Instant) -> Option<i64> {
        self.newest?;
        let ticks = self.ticks(now);
        Some(ticks - self.base.peek())
    }

    fn leap(&mut self, rtp_time: u32, arrival: i64, leap: i64) -> Option<Placement> {
        if let Some((suspect_time, suspect_arrival)) = self.suspect {
            let step = i64::from(rtp_time.wrapping_sub(suspect_time) as i32);
            if step.abs() < leap && (arrival - suspect_arrival - step).abs() < leap {
                return Some(self.start(rtp_time, arrival, true));
            }
        }
        self.suspect = Some((rtp_time, arrival));
        None
    }

    fn start(&mut self, rtp_time: u32, arrival: i64, restarted: bool) -> Placement {
        // Far from zero, so that an older packet that comes after the first stays positive.
        let media = i64::from(rtp_time) + (1 << 32);
        self.base = SlidingMinimum::default();
        self.suspect = None;
        self.newest = Some(media);
        self.base.bucket_ticks = BUCKET_SECONDS * i64::from(self.rate_hz);
        self.enter(media, arrival, restarted)
    }

    fn enter(&mut self, media: i64, arrival: i64, restarted: bool) -> Placement {
        let offset = arrival - media;
        self.base.enter(offset, arrival);
        let base = self.base.peek();
        Placement {
            media,
            wall: media + base,
            lateness: offset - base,
            restarted,
        }
    }
}

/// The minimum of the current and the last bucket: a sliding window in constant memory.
#[derive(Debug, Clone, Default)]
struct SlidingMinimum {
    bucket_ticks: i64,
    bucket_start: i64,
    current: Option<i64>,
    previous: Option<i64>,
}

impl SlidingMinimum {
    fn enter(&mut self, value: i64, at: i64) {
        self.turn(at);
        self.current = Some(self.current.map_or(value, |current| current.min(value)));
    }

    fn value(&mut self, at: i64) -> i64 {
        self.turn(at);
        self.peek()
    }

    fn peek(&self) -> i64 {
        match (self.current, self.previous) {
            (Some(current), Some(previous)) => current.min(previous),
            (Some(value), None) | (None, Some(value)) => value,
            (None, None) => 0,
        }
    }

    /// Opens a new bucket when the current one is full. An empty bucket is kept open: after an hour of
    /// silence the offset from before is still the best there is.
    fn turn(&mut self, at: i64) {
        if self.current.is_some() && at - self.bucket_start >= self.bucket_ticks {
            self.previous = self.current.take();
            self.bucket_start = at;
        }
    }
}
