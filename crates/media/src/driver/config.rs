//! How the driver is set up, and why it may not start.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::turn::TurnSecret;

/// The driver's settings.
#[derive(Clone, Debug)]
pub struct DriverConfig {
    /// Addresses to listen on. A wildcard stands for every usable interface address of its family.
    pub listen: Vec<IpAddr>,
    /// Addresses to put into the candidates instead of the sockets' own (behind NAT, in a container).
    /// Empty: the sockets' own.
    pub advertise: Vec<IpAddr>,
    /// The UDP port of all sockets; `0` picks a free one.
    pub udp_port: u16,
    /// The TCP port for ICE-TCP; `0` picks a free one, `None` leaves TCP out.
    pub tcp_port: Option<u16>,
    /// Number of shards, each a thread. `0`: one per core, at most eight.
    pub shards: usize,
    /// How shards share the UDP port.
    pub sharing: PortSharing,
    /// Size asked for each UDP socket's receive and send buffer, in bytes; the log says when the kernel
    /// gives less.
    pub socket_buffer_bytes: usize,
    /// Commands that may wait for a shard.
    pub command_queue: usize,
    /// Bytes of packets from other threads that may wait for a shard.
    pub inbox_bytes: usize,
    /// Limits of ICE-TCP.
    pub tcp: TcpLimits,
    /// The TURN relay; `None` leaves it out.
    pub turn: Option<TurnConfig>,
}

/// How the relay is set up.
#[derive(Clone, Debug)]
pub struct TurnConfig {
    /// Its UDP port on the addresses of the media; `0` picks a free one.
    pub udp_port: u16,
    /// Under which name clients find it; empty: by the addresses of the media.
    pub host: String,
    /// Where it also takes streams, as a URL of RFC 7065 (`turns:…?transport=tcp`); empty: nowhere.
    pub stream_url: String,
    /// How long credentials open new allocations.
    pub ttl: Duration,
    /// What credentials are made of.
    pub secret: TurnSecret,
    /// The moment that `started_s` names.
    pub started: Instant,
    /// Seconds since 1970: credentials end by it.
    pub started_s: u64,
}

impl Default for DriverConfig {
    fn default() -> DriverConfig {
        DriverConfig {
            listen: vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            advertise: Vec::new(),
            udp_port: 7882,
            tcp_port: Some(7881),
            shards: 0,
            sharing: PortSharing::default(),
            socket_buffer_bytes: 4 << 20,
            command_queue: 4096,
            inbox_bytes: 4 << 20,
            tcp: TcpLimits::default(),
            turn: None,
        }
    }
}

/// How several shards receive on one UDP port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortSharing {
    /// Each shard has a socket of its own; the kernel spreads the peers over them (SO_REUSEPORT, which
    /// spreads only on Linux).
    PerShard,
    /// One socket, read by the first shard; all shards send through it.
    Single,
}

impl Default for PortSharing {
    fn default() -> PortSharing {
        if cfg!(target_os = "linux") {
            PortSharing::PerShard
        } else {
            PortSharing::Single
        }
    }
}

/// What one TCP client may take.
#[derive(Clone, Copy, Debug)]
pub struct TcpLimits {
    /// Connections in all.
    pub connections: usize,
    /// Connections of one remote address (of one /64 for IPv6): an office behind one NAT shares it.
    pub per_address: usize,
    /// Time from the connection to its first whole frame.
    pub first_frame: Duration,
    /// Time without a packet for a known peer after which a connection is closed. ICE checks consent
    /// every few seconds (RFC 7675: within 30).
    pub idle: Duration,
    /// Time after which a write that makes no progress closes the connection.
    pub stalled_write: Duration,
    /// Bytes that may wait for a slow reader; beyond, packets are dropped.
    pub queue_bytes: usize,
}

impl Default for TcpLimits {
    fn default() -> TcpLimits {
        TcpLimits {
            connections: 4096,
            per_address: 128,
            first_frame: Duration::from_secs(5),
            idle: Duration::from_secs(60),
            stalled_write: Duration::from_secs(15),
            // About one second of 720p video.
            queue_bytes: 256 << 10,
        }
    }
}

/// Why the driver did not start.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The interface addresses could not be read.
    #[error("cannot read the network interfaces: {0}")]
    Interfaces(#[source] io::Error),
    /// No address to listen on is left: none was given, or none of them exists here.
    #[error("no address to listen on")]
    NoAddress,
    /// An advertised address has no socket of its family behind it.
    #[error("{0} is advertised, but nothing listens on an address of its family")]
    AdvertisedUnheard(IpAddr),
    /// A socket could not be set up.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// Address and port asked for.
        address: SocketAddr,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A thread or its reactor could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
}
