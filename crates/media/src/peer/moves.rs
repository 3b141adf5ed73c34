//! Clients that move: another NAT binding, another network, the same ICE session.
//!
//! A client that moves nominates its new address by its next check (RFC 8445 7.3.1.5). str0m stays with the
//! old one, since both have the same priority, and an ICE-lite agent, which sends no checks, never finds out
//! that the old one is dead: what is sent to the client would be lost from then on. So an address is given up
//! when the client has nominated another one and been silent on the first for a while.

use std::time::{Duration, Instant};

use str0m::Candidate;
use str0m::net::Protocol;

use crate::driver::Path;

/// Longer than the pause between two checks of a pair that is in use (LibWebRTC: 2.5 s at most).
const SILENT_FOR: Duration = Duration::from_secs(3);

/// The head of a STUN message, and its attribute by which a pair is nominated (RFC 8445 16.1).
const STUN_HEAD: usize = 20;
const USE_CANDIDATE: u16 = 0x0025;

/// Where a client is heard.
#[derive(Debug, Default)]
pub(super) struct Whereabouts {
    heard: Option<(Path, Instant)>,
}

impl Whereabouts {
    /// An accepted datagram came this way. Answers the way that the client has left for it, once.
    pub(super) fn hear(&mut self, path: Path, datagram: &[u8], now: Instant) -> Option<Path> {
        let left = match self.heard {
            Some((old, at)) if old != path => {
                let silent = now.saturating_duration_since(at) >= SILENT_FOR;
                if !silent || !nominates(datagram) {
                    return None;
                }
                Some(old)
            }
            _ => None,
        };
        self.heard = Some((path, now));
        left
    }
}

/// The candidates under which str0m may know the far end of a way. A TCP connection ends by itself.
pub(super) fn candidates(path: &Path) -> Vec<Candidate> {
    if path.protocol != Protocol::Udp {
        return Vec::new();
    }
    let (ip, port) = (path.remote.ip(), path.remote.port());
    ["prflx", "host"]
        .into_iter()
        .filter_map(|kind| {
            let text = format!("candidate:1 1 udp 1 {ip} {port} typ {kind}");
            Candidate::from_sdp_string(&text).ok()
        })
        .collect()
}

/// Whether a datagram is a binding request that nominates its pair.
fn nominates(datagram: &[u8]) -> bool {
    if datagram.len() < STUN_HEAD || datagram[..2] != [0, 1] {
        return false;
    }
    let mut rest = &datagram[STUN_HEAD..];
    while let [a, b, high, low, ..] = *rest {
        if u16::from_be_bytes([a, b]) == USE_CANDIDATE {
            return true;
        }
        let length = usize::from(u16::from_be_bytes([high, low])).next_multiple_of(4);
        rest = rest.get(4 + length..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::*;

    fn path(port: u16) -> Path {
        Path {
            protocol: Protocol::Udp,
            local: SocketAddr::from(([10, 0, 0, 1], 7882)),
            remote: SocketAddr::from(([192, 0, 2, 1], port)),
        }
    }

    fn check(nominating: bool) -> Vec<u8> {
        let mut bytes = vec![0; STUN_HEAD];
        bytes[1] = 1;
        // A user name of five bytes, padded, before it.
        bytes.extend([0, 6, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0]);
        if nominating {
            bytes.extend([0, 0x25, 0, 0]);
        }
        bytes
    }

    #[test]
    fn an_address_is_left_when_another_is_nominated_and_it_is_silent() {
        let (mut at, begin) = (Whereabouts::default(), Instant::now());
        let after = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(at.hear(path(1), &check(true), begin), None);
        assert_eq!(at.hear(path(2), &check(true), after(2)), None, "too soon");
        assert_eq!(at.hear(path(2), &check(false), after(9)), None, "no wish");
        assert_eq!(at.hear(path(1), &[128; 40], after(10)), None, "still there");
        assert_eq!(at.hear(path(2), &check(true), after(14)), Some(path(1)));
        assert_eq!(at.hear(path(2), &check(true), after(15)), None);
    }

    #[test]
    fn an_address_has_its_candidates() {
        let found = candidates(&path(1));
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|it| it.addr() == path(1).remote));
    }

    proptest! {
        #[test]
        fn any_datagram_gets_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = nominates(&bytes);
        }
    }
}
