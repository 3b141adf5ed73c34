//! Puts a track's packets into order for a file: waits for missing ones, but not for long.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Packets that wait at most. At 5 Mbit/s of video one second is 520 packets.
const MAX_WAITING: usize = 2_048;

/// A sequence number this far behind is not a late packet but a new run.
const RESTART_DISTANCE: u64 = 3_000;

/// A queue ordered by extended sequence number.
#[derive(Debug)]
pub struct Reorder<T> {
    hold: Duration,
    waiting: BTreeMap<u64, (Instant, T)>,
    next: Option<u64>,
}

impl<T> Reorder<T> {
    /// A queue that holds a packet for at most `hold` while one before it is missing.
    pub fn new(hold: Duration) -> Self {
        Reorder {
            hold,
            waiting: BTreeMap::new(),
            next: None,
        }
    }

    /// Enters a packet; `false` if it came twice or too late.
    pub fn push(&mut self, seq: u64, arrived: Instant, item: T) -> bool {
        if let Some(next) = self.next
            && seq < next
        {
            if next - seq < RESTART_DISTANCE {
                return false;
            }
            self.clear();
        }
        if self.waiting.contains_key(&seq) {
            return false;
        }
        self.waiting.insert(seq, (arrived, item));
        true
    }

    /// The next packet that may be written at `now`, and how many are missing before it.
    pub fn pop(&mut self, now: Instant) -> Option<(T, u64)> {
        let (&seq, (arrived, _)) = self.waiting.first_key_value()?;
        let in_order = self.next == Some(seq);
        let waited = now.saturating_duration_since(*arrived) >= self.hold;
        if !in_order && !waited && self.waiting.len() <= MAX_WAITING {
            return None;
        }
        self.pop_any()
    }

    /// The next packet whatever is missing; for the end of a track.
    pub fn pop_any(&mut self) -> Option<(T, u64)> {
        let (seq, (_, item)) = self.waiting.pop_first()?;
        let missing = self.next.map_or(0, |next| seq.saturating_sub(next));
        self.next = Some(seq.saturating_add(1));
        Some((item, missing))
    }

    /// Forgets everything that waits and what came before.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.next = None;
    }
}
