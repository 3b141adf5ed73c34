//! The UDP sockets of all shards: one port, batches in both directions.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(test, not(target_os = "linux")))]
mod portable;

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

#[cfg(target_os = "linux")]
pub(crate) use self::linux::{Receiver, Sender};
#[cfg(not(target_os = "linux"))]
pub(crate) use self::portable::{Receiver, Sender};

#[cfg(test)]
pub(crate) use self::portable::{Receiver as PortableReceiver, Sender as PortableSender};

use super::address::Plan;
use super::config::{DriverConfig, DriverError, PortSharing};

/// Datagrams per call of the kernel. Measured on loopback, 120-byte packets: 16 → 64 wins a tenth, more
/// wins nothing.
pub(crate) const BATCH: usize = 64;
/// The largest datagram that is taken. A packet of WebRTC fits an MTU of 1,500; str0m takes up to 2,000.
pub(crate) const DATAGRAM_BYTES: usize = 2048;
/// Attempts to find one port that is free on all addresses, when the port is ours to pick.
const PICKS: usize = 16;

/// A socket of one shard for one local address.
#[derive(Debug)]
pub(crate) struct UdpPort {
    /// The address that candidates and paths show.
    pub(crate) shown: SocketAddr,
    pub(crate) socket: UdpSocket,
    /// Whether this shard reads it; otherwise it shares the socket for sending.
    pub(crate) reads: bool,
}

/// One datagram of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) remote: SocketAddr,
    pub(crate) len: usize,
    /// It was longer than [`DATAGRAM_BYTES`].
    pub(crate) truncated: bool,
}

/// What became of the datagrams of one flush.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) calls: u64,
    pub(crate) socket_full: u64,
    pub(crate) failed: u64,
}

/// Opens the port on all addresses for all shards; the outer list is one entry per shard.
pub(crate) fn open(
    config: &DriverConfig,
    plan: &Plan,
    shards: usize,
) -> Result<(u16, Vec<Vec<UdpPort>>), DriverError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match open_port(config, plan, shards) {
            Err(DriverError::Bind { source, .. })
                if config.udp_port == 0
                    && source.kind() == io::ErrorKind::AddrInUse
                    && attempt < PICKS => {}
            result => return result,
        }
    }
}

fn open_port(
    config: &DriverConfig,
    plan: &Plan,
    shards: usize,
) -> Result<(u16, Vec<Vec<UdpPort>>), DriverError> {
    let mut port = config.udp_port;
    let mut by_shard: Vec<Vec<UdpPort>> = (0..shards).map(|_| Vec::new()).collect();
    for bound in &plan.bound {
        let failed = |port| {
            move |source| DriverError::Bind {
                address: SocketAddr::new(bound.bind, port),
                source,
            }
        };
        // Sockets that share a port let any other process of the same user join them unnoticed. A bind
        // without sharing says whether the port is really free.
        let probe = bind(bound.bind, port, false).map_err(failed(port))?;
        port = local_port(&probe).map_err(failed(port))?;
        drop(probe);
        let share = config.sharing == PortSharing::PerShard && shards > 1;
        let shown = SocketAddr::new(bound.shown, port);
        for (index, ports) in by_shard.iter_mut().enumerate() {
            if index > 0 && !share {
                continue;
            }
            let socket = bind(bound.bind, port, share).map_err(failed(port))?;
            size_buffers(&socket, config.socket_buffer_bytes, index == 0).map_err(failed(port))?;
            ports.push(UdpPort {
                shown,
                socket: socket.into(),
                reads: true,
            });
        }
    }
    if config.sharing == PortSharing::Single {
        let (first, others) = by_shard.split_at_mut(1);
        for ports in others {
            for original in first.iter().flatten() {
                let address = original.shown;
                let socket = original
                    .socket
                    .try_clone()
                    .map_err(|source| DriverError::Bind { address, source })?;
                ports.push(UdpPort {
                    shown: original.shown,
                    socket,
                    reads: false,
                });
            }
        }
    }
    Ok((port, by_shard))
}

fn bind(ip: IpAddr, port: u16, share: bool) -> io::Result<Socket> {
    let address = SocketAddr::new(ip, port);
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if ip.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if share {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn local_port(socket: &Socket) -> io::Result<u16> {
    let address = socket.local_addr()?.as_socket();
    address
        .map(|a| a.port())
        .ok_or_else(|| io::Error::other("the socket has no port"))
}

/// Asks for large buffers: a burst of video to many subscribers must fit while the network card works.
fn size_buffers(socket: &Socket, asked: usize, report: bool) -> io::Result<()> {
    // A kernel that gives less does so silently, some refuse: both are told below.
    let refused =
        socket.set_recv_buffer_size(asked).is_err() | socket.set_send_buffer_size(asked).is_err();
    let (receive, send) = (socket.recv_buffer_size()?, socket.send_buffer_size()?);
    if report && (refused || receive < asked || send < asked) {
        tracing::warn!(
            asked,
            receive,
            send,
            "the kernel limits the UDP buffers: bursts may be lost; raise net.core.rmem_max and net.core.wmem_max"
        );
    }
    Ok(())
}
