//! Which addresses to listen on and which to tell the peers.

use std::net::{IpAddr, SocketAddr};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use str0m::net::Protocol;

use super::config::{DriverConfig, DriverError};

/// Enough for any host; a machine with hundreds of container bridges must not fill the answer.
const ADDRESSES: usize = 16;

/// A host candidate for the answer. For TCP it is a passive one (RFC 6544).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostCandidate {
    /// UDP or TCP.
    pub protocol: Protocol,
    /// Address and port that peers send to.
    pub address: SocketAddr,
}

/// One address to bind, and the address that candidates show for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) bind: IpAddr,
    pub(crate) shown: IpAddr,
}

/// What to bind and what to advertise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) bound: Vec<Bound>,
    pub(crate) advertised: Vec<IpAddr>,
}

/// An address of an interface that is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) address: IpAddr,
    pub(crate) loopback: bool,
}

/// The addresses of all interfaces that are up and running.
pub(crate) fn interfaces() -> Result<Vec<Interface>, DriverError> {
    let entries = getifaddrs().map_err(|errno| DriverError::Interfaces(errno.into()))?;
    let up = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
    let mut found = Vec::new();
    for entry in entries.filter(|e| e.flags.contains(up)) {
        let Some(storage) = entry.address else {
            continue;
        };
        let address = match (storage.as_sockaddr_in(), storage.as_sockaddr_in6()) {
            (Some(v4), _) => IpAddr::V4(v4.ip()),
            (_, Some(v6)) => IpAddr::V6(v6.ip()),
            _ => continue,
        };
        found.push(Interface {
            address,
            loopback: entry.flags.contains(InterfaceFlags::IFF_LOOPBACK),
        });
    }
    Ok(found)
}

/// This machine's addresses that others on its networks can reach, IPv4 first; without loopback and
/// addresses of one link only.
///
/// # Errors
/// The interfaces cannot be read.
pub fn host_addresses() -> Result<Vec<IpAddr>, DriverError> {
    let mut found: Vec<IpAddr> = interfaces()?
        .iter()
        .filter(|interface| usable(interface))
        .map(|interface| interface.address)
        .collect();
    found.sort_by_key(IpAddr::is_ipv6);
    dedup(&mut found);
    Ok(found)
}

/// Decides what to bind and advertise. A wildcard becomes the addresses of its family one by one: a
/// socket per address answers from the address that was asked, which a wildcard socket on a host with
/// several addresses does not.
pub(crate) fn plan(config: &DriverConfig, interfaces: &[Interface]) -> Result<Plan, DriverError> {
    let mut bind: Vec<IpAddr> = Vec::new();
    for listen in &config.listen {
        if !listen.is_unspecified() {
            bind.push(*listen);
            continue;
        }
        let family = || {
            interfaces
                .iter()
                .filter(|i| i.address.is_ipv4() == listen.is_ipv4())
        };
        bind.extend(family().filter(|i| usable(i)).map(|i| i.address));
        // An advertised address of this host, such as loopback for a demonstration, is wanted too.
        bind.extend(
            family()
                .map(|i| i.address)
                .filter(|a| config.advertise.contains(a)),
        );
    }
    if bind.is_empty() && config.listen.iter().any(IpAddr::is_unspecified) {
        tracing::warn!("no usable network interface: media listens on loopback only");
        let wanted = |i: &&Interface| {
            config
                .listen
                .iter()
                .any(|l| l.is_ipv4() == i.address.is_ipv4())
        };
        bind.extend(
            interfaces
                .iter()
                .filter(|i| i.loopback)
                .filter(wanted)
                .map(|i| i.address),
        );
    }
    dedup(&mut bind);
    if bind.len() > ADDRESSES {
        tracing::warn!(
            found = bind.len(),
            used = ADDRESSES,
            "more network addresses than are advertised; set them"
        );
        bind.truncate(ADDRESSES);
    }
    if bind.is_empty() {
        return Err(DriverError::NoAddress);
    }
    if config.advertise.is_empty() {
        let bound = bind
            .iter()
            .map(|ip| Bound {
                bind: *ip,
                shown: *ip,
            })
            .collect();
        return Ok(Plan {
            bound,
            advertised: bind,
        });
    }
    let mut advertised = config.advertise.clone();
    dedup(&mut advertised);
    for ip in &advertised {
        if !bind.iter().any(|b| b.is_ipv4() == ip.is_ipv4()) {
            return Err(DriverError::AdvertisedUnheard(*ip));
        }
    }
    // A socket whose own address is not advertised stands behind the translated one.
    let shown = |own: &IpAddr| {
        let same_family = || advertised.iter().filter(|a| a.is_ipv4() == own.is_ipv4());
        let translated = same_family().find(|a| !bind.contains(a));
        same_family().find(|a| *a == own).or(translated).copied()
    };
    let bound = bind
        .iter()
        .filter_map(|ip| {
            Some(Bound {
                bind: *ip,
                shown: shown(ip)?,
            })
        })
        .collect();
    Ok(Plan { bound, advertised })
}

/// Not loopback, and reachable from beyond the link.
fn usable(interface: &Interface) -> bool {
    let link_local = match interface.address {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let ip = interface.address;
    !(interface.loopback
        || ip.is_loopback()
        || link_local
        || ip.is_unspecified()
        || ip.is_multicast())
}

fn dedup(addresses: &mut Vec<IpAddr>) {
    let mut seen = Vec::new();
    addresses.retain(|ip| {
        let new = !seen.contains(ip);
        seen.push(*ip);
        new
    });
}
