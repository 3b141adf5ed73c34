//! How many answers strangers get. An answer to nobody known may go to a forged address, and is larger
//! than what asked for it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::{Client, Way};

/// Answers per address and second: a whole office that joins at once.
const PER_ADDRESS: u32 = 64;
/// Answers to all together per second.
const TOTAL: u32 = 4_096;
const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Floods {
    since: Option<Instant>,
    total: u32,
    /// Bounded by the total.
    addresses: HashMap<IpAddr, u32>,
}

impl Floods {
    /// Whether this client may be answered. On a stream the address is proven.
    pub(super) fn allow(&mut self, client: &Client, now: Instant) -> bool {
        if matches!(client.way, Way::Stream(_)) {
            return true;
        }
        self.expire(now);
        if self.total >= TOTAL {
            return false;
        }
        let here = self.addresses.entry(client.remote.ip()).or_default();
        if *here >= PER_ADDRESS {
            return false;
        }
        *here += 1;
        self.total += 1;
        true
    }

    pub(super) fn expire(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= SECOND {
            self.since = Some(now);
            self.total = 0;
            self.addresses.clear();
        }
    }
}
