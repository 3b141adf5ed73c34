//! Accepts connections and finds the shard of each by its first frame. Runs on a thread of its own, so
//! that strangers' half-open connections cost the shards nothing.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use str0m::net::Protocol;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::connection::Connection;
use super::framing::Framer;
use super::lock;
use crate::driver::address::Plan;
use crate::driver::config::{DriverError, TcpLimits};
use crate::driver::demux::{Demux, Owner, Path, Verdict};
use crate::driver::link::Link;
use crate::driver::stun::{Kind, classify};

/// Connections that the kernel may hold before they are accepted.
const BACKLOG: i32 = 256;
/// Pause after a failed accept: out of file descriptors stays so for a while.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Attempts to find one port that is free on all addresses, when the port is ours to pick.
const PICKS: usize = 16;

/// Bound sockets, each with the address that candidates show.
pub(crate) type Bound = Vec<(SocketAddr, std::net::TcpListener)>;

/// Binds the port on all addresses; `0` picks one. Returns the port too.
pub(crate) fn bind(plan: &Plan, port: u16) -> Result<(u16, Bound), DriverError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match bind_all(plan, port) {
            Err(DriverError::Bind { source, .. })
                if port == 0 && source.kind() == io::ErrorKind::AddrInUse && attempt < PICKS => {}
            result => return result,
        }
    }
}

fn bind_all(plan: &Plan, mut port: u16) -> Result<(u16, Bound), DriverError> {
    let mut bound = Vec::new();
    for entry in &plan.bound {
        let address = SocketAddr::new(entry.bind, port);
        let listener = listen(address).map_err(|source| DriverError::Bind { address, source })?;
        port = listener
            .local_addr()
            .map_err(|source| DriverError::Bind { address, source })?
            .port();
        bound.push((SocketAddr::new(entry.shown, port), listener));
    }
    Ok((port, bound))
}

fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Takes the port again after a restart, while old connections linger.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Everything that accepts.
pub(crate) struct Listeners {
    pub(crate) links: Arc<[Arc<Link>]>,
    pub(crate) demux: Arc<Demux>,
    pub(crate) limits: TcpLimits,
    pub(crate) stop: Arc<Notify>,
}

impl Listeners {
    /// Accepts until told to stop. Must run in a runtime, whose end ends what is still waiting.
    pub(crate) async fn run(self, bound: Bound) -> io::Result<()> {
        let shared = Arc::new(Shared {
            links: self.links,
            demux: self.demux,
            limits: self.limits,
            counts: Arc::new(Counts {
                limits: self.limits,
                open: Mutex::default(),
            }),
        });
        for (shown, listener) in bound {
            tokio::spawn(accept(
                shown,
                TcpListener::from_std(listener)?,
                shared.clone(),
            ));
        }
        self.stop.notified().await;
        Ok(())
    }
}

struct Shared {
    links: Arc<[Arc<Link>]>,
    demux: Arc<Demux>,
    limits: TcpLimits,
    counts: Arc<Counts>,
}

async fn accept(shown: SocketAddr, listener: TcpListener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                // Beyond the limits the connection is closed at once.
                if let Some(admission) = Counts::admit(&shared.counts, remote.ip()) {
                    let path = Path {
                        protocol: Protocol::Tcp,
                        local: shown,
                        remote,
                    };
                    tokio::spawn(greet(stream, path, admission, shared.clone()));
                }
            }
            Err(error) => {
                tracing::debug!(%error, "ICE-TCP connection not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Waits for the first frame and hands the connection to the shard of its peer.
async fn greet(mut stream: TcpStream, path: Path, admission: Admission, shared: Arc<Shared>) {
    let mut framer = Framer::default();
    let first = timeout(
        shared.limits.first_frame,
        first_frame(&mut stream, &mut framer, &path, &shared.demux),
    );
    let Ok(Ok(Some(owner))) = first.await else {
        tracing::debug!(remote = %path.remote, "ICE-TCP connection without a check for a known peer");
        return;
    };
    let Some(link) = shared.links.get(owner.shard) else {
        return;
    };
    // Delay costs more than bytes here. A socket that refuses this is closing.
    let Ok(()) = stream.set_nodelay(true) else {
        return;
    };
    let Ok(stream) = stream.into_std() else {
        return;
    };
    let connection = Connection {
        path,
        owner,
        link: link.clone(),
        demux: shared.demux.clone(),
        limits: shared.limits,
        framer,
        admission,
    };
    link.runtime.spawn(connection.run(stream));
}

/// The peer that the first frame names; the frame stays in the framer. `None` for anything else.
async fn first_frame(
    stream: &mut TcpStream,
    framer: &mut Framer,
    path: &Path,
    demux: &Demux,
) -> io::Result<Option<Owner>> {
    loop {
        match framer.peek() {
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            Ok(Some(frame)) => {
                let Kind::Check { .. } = classify(frame) else {
                    return Ok(None);
                };
                return Ok(match demux.view().find(path, frame) {
                    Verdict::Owner(owner) => Some(owner),
                    _ => None,
                });
            }
            Ok(None) => {}
        }
        if stream.read_buf(framer.space()).await? == 0 {
            return Ok(None);
        }
    }
}

struct Counts {
    limits: TcpLimits,
    open: Mutex<(usize, HashMap<IpAddr, usize>)>,
}

/// One counted connection; uncounted when dropped.
pub(crate) struct Admission {
    counts: Arc<Counts>,
    from: IpAddr,
}

impl Counts {
    fn admit(counts: &Arc<Counts>, ip: IpAddr) -> Option<Admission> {
        let from = whose(ip);
        let mut open = lock(&counts.open);
        let (total, by_address) = &mut *open;
        let here = by_address.get(&from).copied().unwrap_or(0);
        if *total >= counts.limits.connections || here >= counts.limits.per_address {
            return None;
        }
        *total += 1;
        by_address.insert(from, here + 1);
        Some(Admission {
            counts: counts.clone(),
            from,
        })
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut open = lock(&self.counts.open);
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

/// What counts as one address: one subscriber's network has a whole /64 of IPv6.
fn whose(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}
