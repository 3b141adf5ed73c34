//! The way of datagrams: loss, delay, jitter, a bottleneck.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::rngs::StdRng;

/// One direction of one client's line.
#[derive(Clone, Copy, Debug)]
pub(in crate::room::tests) struct Link {
    /// The share of datagrams that get lost.
    pub(in crate::room::tests) loss: f64,
    pub(in crate::room::tests) delay: Duration,
    /// Up to so much is added to each datagram's delay, which changes their order.
    pub(in crate::room::tests) jitter: Duration,
    /// What goes through per second; the queue before it holds 300 ms.
    pub(in crate::room::tests) bps: Option<u64>,
    free_at: Option<Instant>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            loss: 0.0,
            delay: Duration::from_millis(10),
            jitter: Duration::ZERO,
            bps: None,
            free_at: None,
        }
    }
}

const QUEUE: Duration = Duration::from_millis(300);

impl Link {
    /// When a datagram arrives; none if it is lost.
    fn arrival(&mut self, bytes: usize, now: Instant, rng: &mut StdRng) -> Option<Instant> {
        if self.loss > 0.0 && rng.random_bool(self.loss) {
            return None;
        }
        let mut at = now;
        if let Some(bps) = self.bps {
            let begins = self.free_at.map_or(now, |free| free.max(now));
            if begins - now > QUEUE {
                return None;
            }
            // 28 bytes of IP and UDP.
            at = begins + Duration::from_secs_f64((bytes + 28) as f64 * 8.0 / bps as f64);
            self.free_at = Some(at);
        }
        let jitter = self.jitter.mul_f64(rng.random_range(0.0..1.0));
        Some(at + self.delay + jitter)
    }
}

/// A datagram on its way.
pub(super) struct Flight {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) bytes: Vec<u8>,
}

/// Everything that is on its way.
#[derive(Default)]
pub(super) struct Air {
    flights: BTreeMap<(Instant, u64), Flight>,
    count: u64,
}

impl Air {
    pub(super) fn send(&mut self, flight: Flight, link: &mut Link, now: Instant, rng: &mut StdRng) {
        if let Some(at) = link.arrival(flight.bytes.len(), now, rng) {
            self.count += 1;
            self.flights.insert((at, self.count), flight);
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.flights.keys().next().map(|(at, _)| *at)
    }

    pub(super) fn arrived(&mut self, now: Instant) -> Option<Flight> {
        let entry = self.flights.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }
}
