//! Which addresses may be called.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What clouds answer with the machine's own credentials, or that hosts use to steer it. Refused
/// even where private addresses are allowed. The second is a public address of one cloud.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(100, 100, 100, 200),
];
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254);

/// Whether an address may be called; `allow_private` opens this machine and private networks.
pub(super) fn is_allowed(address: IpAddr, allow_private: bool) -> bool {
    match address {
        IpAddr::V4(address) => v4_is_allowed(address, allow_private),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            // Nobody needs a mapped form to reach a public address; it is a disguise.
            Some(inner) => allow_private && v4_is_allowed(inner, true),
            None => v6_is_allowed(address, allow_private),
        },
    }
}

fn v4_is_allowed(address: Ipv4Addr, allow_private: bool) -> bool {
    let [a, b, c, _] = address.octets();
    // This network, multicast, reserved, broadcast: nothing answers there.
    if METADATA_V4.contains(&address) || a == 0 || a >= 224 {
        return false;
    }
    let private = matches!(
        (a, b, c),
        (10, ..)
            | (127, ..)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            // Shared by carriers (CGNAT).
            | (100, 64..=127, _)
            // Protocol assignments, documentation, 6to4 relays, benchmarks.
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    );
    allow_private || !private
}

fn v6_is_allowed(address: Ipv6Addr, allow_private: bool) -> bool {
    let [a, b, ..] = address.segments();
    if address == METADATA_V6 || address.is_unspecified() || address.is_multicast() {
        return false;
    }
    if allow_private && (address.is_loopback() || matches!(a, 0xfc00..=0xfdff | 0xfe80..=0xfebf)) {
        return true;
    }
    // Only global unicast, without what embeds an IPv4 address or leads nowhere: protocol
    // assignments with Teredo (2001::/23), documentation, 6to4, documentation again. NAT64
    // (64:ff9b::) and the old compatible form lie outside 2000::/3.
    matches!(a, 0x2000..=0x3fff)
        && !(a == 0x2001 && b < 0x0200)
        && !(a == 0x2001 && b == 0x0db8)
        && a != 0x2002
        && !(a == 0x3fff && b < 0x1000)
}
