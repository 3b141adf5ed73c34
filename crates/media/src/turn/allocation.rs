//! What one client holds at the relay.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::stun::TransactionId;

/// RFC 8656, 9 and 12.
const PERMISSION: Duration = Duration::from_secs(300);
const CHANNEL: Duration = Duration::from_secs(600);
/// Bytes per second of one allocation and direction, and how many may come at once: ten people in 720p,
/// and their keyframes together.
const BYTES_PER_SECOND: f64 = 4_000_000.0;
const BURST_BYTES: f64 = 4_000_000.0;

#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) relayed: SocketAddr,
    pub(super) username: Box<str>,
    /// Of the request that made it.
    pub(super) transaction: TransactionId,
    pub(super) expires: Instant,
    /// At most one per media address of ours, since no other peer is let through; so are channels.
    pub(super) permissions: Vec<(IpAddr, Instant)>,
    pub(super) channels: Vec<(u16, SocketAddr, Instant)>,
    pub(super) indications: u64,
    pub(super) up: Pace,
    pub(super) down: Pace,
}

impl Allocation {
    pub(super) fn permits(&self, ip: &IpAddr, now: Instant) -> bool {
        let mut permissions = self.permissions.iter();
        permissions.any(|(it, until)| it == ip && now < *until)
    }

    pub(super) fn permit(&mut self, ip: IpAddr, now: Instant) {
        self.permissions.retain(|(it, _)| *it != ip);
        self.permissions.push((ip, now + PERMISSION));
    }

    /// The channel of a peer.
    pub(super) fn channel_of(&self, peer: &SocketAddr, now: Instant) -> Option<u16> {
        let mut channels = self.channels.iter();
        let found = channels.find(|(_, it, until)| it == peer && now < *until);
        found.map(|it| it.0)
    }

    /// The peer of a channel.
    pub(super) fn peer_of(&self, number: u16, now: Instant) -> Option<SocketAddr> {
        let mut channels = self.channels.iter();
        let found = channels.find(|(it, _, until)| *it == number && now < *until);
        found.map(|it| it.1)
    }

    /// Binds, or binds again; false when number or peer are bound otherwise.
    pub(super) fn bind(&mut self, number: u16, peer: SocketAddr, now: Instant) -> bool {
        self.expire(now);
        let other = |it: &(u16, SocketAddr, Instant)| (it.0 == number) != (it.1 == peer);
        if self.channels.iter().any(other) {
            return false;
        }
        self.channels.retain(|it| it.0 != number);
        self.channels.push((number, peer, now + CHANNEL));
        true
    }

    pub(super) fn expire(&mut self, now: Instant) {
        self.permissions.retain(|it| now < it.1);
        self.channels.retain(|it| now < it.2);
    }
}

/// A bucket of bytes.
#[derive(Debug)]
pub(super) struct Pace {
    left: f64,
    at: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            left: BURST_BYTES,
            at: now,
        }
    }

    pub(super) fn allow(&mut self, bytes: usize, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.left = (self.left + passed * BYTES_PER_SECOND).min(BURST_BYTES);
        if self.left < bytes as f64 {
            return false;
        }
        self.left -= bytes as f64;
        true
    }
}
