//! How many connections may be without TLS yet. A stranger who opens thousands and says nothing takes
//! these places, not those of people who are in.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Handshakes at the same time, in all. With ten seconds each, more than any machine of meetings gets.
const TOTAL: usize = 1024;
/// Of one address, or one /64 of IPv6: an office behind one address that comes back at once.
const PER_ADDRESS: usize = 128;

#[derive(Debug)]
pub(super) struct HalfOpen {
    total: usize,
    open: Mutex<(usize, HashMap<IpAddr, usize>)>,
}

/// One counted handshake; uncounted when dropped.
#[derive(Debug)]
pub(crate) struct Greeting {
    of: Arc<HalfOpen>,
    from: IpAddr,
}

impl HalfOpen {
    /// Never more than half of the connections that the port takes.
    pub(super) fn new(connections: usize) -> Arc<Self> {
        Arc::new(Self {
            total: TOTAL.min(connections / 2).max(1),
            open: Mutex::default(),
        })
    }

    pub(super) fn admit(this: &Arc<Self>, from: IpAddr) -> Option<Greeting> {
        let from = network(from);
        let mut open = this.lock();
        let (total, by_address) = &mut *open;
        let here = by_address.get(&from).copied().unwrap_or(0);
        if *total >= this.total || here >= PER_ADDRESS {
            return None;
        }
        *total += 1;
        by_address.insert(from, here + 1);
        Some(Greeting {
            of: this.clone(),
            from,
        })
    }

    fn lock(&self) -> MutexGuard<'_, (usize, HashMap<IpAddr, usize>)> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Greeting {
    fn drop(&mut self) {
        let mut open = self.of.lock();
        let (total, by_address) = &mut *open;
        *total -= 1;
        if let Some(here) = by_address.get_mut(&self.from) {
            *here -= 1;
            if *here == 0 {
                by_address.remove(&self.from);
            }
        }
    }
}

/// What counts as one address.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_all_places_and_gives_its_own_back() {
        let half_open = HalfOpen::new(10_000);
        let ip = |last| IpAddr::from([192, 0, 2, last]);
        let mut held: Vec<Greeting> = std::iter::from_fn(|| HalfOpen::admit(&half_open, ip(1)))
            .take(TOTAL)
            .collect();
        assert_eq!(held.len(), PER_ADDRESS);
        let other = HalfOpen::admit(&half_open, ip(2)).expect("another address");
        held.pop();
        let again = HalfOpen::admit(&half_open, ip(1)).expect("a place was given back");
        drop((held, other, again));
        assert_eq!(*half_open.lock(), (0, HashMap::new()));
    }

    #[test]
    fn a_whole_network_of_ipv6_is_one_address_and_the_total_is_bounded() {
        let half_open = HalfOpen::new(6);
        let ip = |last: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last));
        let held: Vec<Greeting> = (0..9)
            .filter_map(|last| HalfOpen::admit(&half_open, ip(last)))
            .collect();
        assert_eq!(held.len(), 3);
        assert_eq!(half_open.lock().1.len(), 1);
    }
}
