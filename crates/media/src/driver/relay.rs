//! The relay's sockets: datagrams on a port of its own, and streams that others have accepted.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use str0m::net::Protocol;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use super::config::{DriverError, TurnConfig};
use super::demux::{Demux, Path, Verdict};
use super::inbox::Parcel;
use super::link::Link;
use super::udp::DATAGRAM_BYTES;
use crate::turn::{Client, Outcome, Relay, Time, Way, frame_length};

/// Messages that may wait for a stream whose reader is slow: about half a second of video.
const STREAM_QUEUE: usize = 256;
/// Streams at the same time.
const STREAMS: usize = 2_048;
/// How long a stream may be silent before it has an allocation, and after: clients refresh within ten
/// minutes, and check their ways every few seconds.
const GREETING: Duration = Duration::from_secs(15);
const SILENCE: Duration = Duration::from_secs(120);
/// A write that makes no progress ends the stream.
const STALLED: Duration = Duration::from_secs(15);
const UPKEEP: Duration = Duration::from_secs(1);
/// Datagrams read before others get their turn.
const READS: usize = 64;

/// What shards and the relay's own thread share.
pub(crate) struct RelayPort {
    relay: Mutex<Relay>,
    peers: Vec<SocketAddr>,
    sockets: Vec<UdpSocket>,
    streams: Mutex<HashMap<u64, mpsc::Sender<Vec<u8>>>>,
    next_stream: AtomicU64,
    links: Arc<[Arc<Link>]>,
    demux: Arc<Demux>,
    /// The moment `started_s` names, seconds since 1970: for the ends of credentials.
    started: Instant,
    started_s: u64,
    runtime: Handle,
}

impl std::fmt::Debug for RelayPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RelayPort").finish_non_exhaustive()
    }
}

/// Hands streams to the relay. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RelayHandle(Arc<RelayPort>);

impl RelayHandle {
    /// Serves a stream that a client opened to the relay, over TLS or not. Its messages come framed as
    /// RFC 8656 says. Does not wait.
    pub fn serve(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        remote: SocketAddr,
    ) {
        let port = self.0.clone();
        self.0.runtime.spawn(async move {
            if let Err(error) = port.stream(stream, remote).await {
                tracing::debug!(%remote, %error, "a TURN stream ended");
            }
        });
    }

    /// Allocations now.
    pub fn allocations(&self) -> usize {
        lock(&self.0.relay).len()
    }
}

/// Binds the relay's port on the same addresses as the media.
pub(crate) fn bind(
    addresses: &[std::net::IpAddr],
    port: u16,
) -> Result<(u16, Vec<UdpSocket>), DriverError> {
    let mut sockets = Vec::new();
    let mut port = port;
    for ip in addresses {
        let address = SocketAddr::new(*ip, port);
        let failed = |source| DriverError::Bind { address, source };
        let socket = UdpSocket::bind(address).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        port = socket.local_addr().map_err(failed)?.port();
        sockets.push(socket);
    }
    Ok((port, sockets))
}

impl RelayPort {
    pub(crate) fn new(
        config: &TurnConfig,
        peers: Vec<SocketAddr>,
        sockets: Vec<UdpSocket>,
        (links, demux): (Arc<[Arc<Link>]>, Arc<Demux>),
        runtime: Handle,
    ) -> Arc<Self> {
        Arc::new(Self {
            relay: Mutex::new(Relay::new(config.secret.clone(), peers.clone())),
            peers,
            sockets,
            streams: Mutex::default(),
            next_stream: AtomicU64::new(0),
            links,
            demux,
            started: config.started,
            started_s: config.started_s,
            runtime,
        })
    }

    pub(crate) fn handle(self: &Arc<Self>) -> RelayHandle {
        RelayHandle(self.clone())
    }

    fn time(&self) -> Time {
        let now = Instant::now();
        let passed = now.saturating_duration_since(self.started).as_secs();
        Time {
            now,
            wall_s: self.started_s + passed,
        }
    }

    /// Whether a packet's destination is a relayed address.
    pub(crate) fn is_relayed(&self, remote: &SocketAddr) -> bool {
        Relay::may_be_relayed(&self.peers, remote)
    }

    /// A shard's packet for a relayed address; false when it is dropped.
    pub(crate) fn deliver(&self, path: &Path, datagram: &[u8], buffer: &mut Vec<u8>) -> bool {
        let now = Instant::now();
        let client = lock(&self.relay).back(path.remote, path.local, datagram, now, buffer);
        client.is_some_and(|client| self.reply(&client, buffer))
    }

    fn reply(&self, client: &Client, bytes: &[u8]) -> bool {
        match client.way {
            Way::Udp(index) => {
                let socket = self.sockets.get(index);
                socket.is_some_and(|it| it.send_to(bytes, client.remote).is_ok())
            }
            Way::Stream(id) => {
                let streams = lock(&self.streams);
                let stream = streams.get(&id);
                // A slow reader loses packets, as on any network.
                stream.is_some_and(|it| it.try_send(bytes.to_vec()).is_ok())
            }
        }
    }

    fn receive(&self, client: Client, bytes: &[u8]) {
        let outcome = lock(&self.relay).receive(client, bytes, self.time());
        match outcome {
            Outcome::Nothing => {}
            Outcome::Reply(reply) => {
                self.reply(&client, &reply);
            }
            Outcome::Relay {
                relayed,
                peer,
                data,
            } => {
                let path = Path {
                    protocol: Protocol::Udp,
                    local: peer,
                    remote: relayed,
                };
                let Verdict::Owner(owner) = self.demux.view().find(&path, data) else {
                    return;
                };
                let Some(link) = self.links.get(owner.shard) else {
                    return;
                };
                let mut parcel = Parcel::default();
                parcel.push(owner.peer, path, data);
                link.counters.shard_full.add(link.deliver(&mut parcel));
            }
        }
    }

    /// Reads the sockets until told to stop. Must run in the relay's runtime.
    pub(crate) async fn run(self: Arc<Self>, stop: Arc<Notify>) -> io::Result<()> {
        for (index, socket) in self.sockets.iter().enumerate() {
            let socket = tokio::net::UdpSocket::from_std(socket.try_clone()?)?;
            tokio::spawn(self.clone().datagrams(index, socket));
        }
        let mut ticks = tokio::time::interval(UPKEEP);
        loop {
            tokio::select! {
                _ = ticks.tick() => lock(&self.relay).expire(Instant::now()),
                () = stop.notified() => return Ok(()),
            }
        }
    }

    async fn datagrams(self: Arc<Self>, index: usize, socket: tokio::net::UdpSocket) {
        let mut buffer = vec![0; DATAGRAM_BYTES];
        loop {
            if socket.readable().await.is_err() {
                return;
            }
            for _ in 0..READS {
                match socket.try_recv_from(&mut buffer) {
                    Ok((length, remote)) => {
                        let client = Client {
                            way: Way::Udp(index),
                            remote,
                        };
                        self.receive(client, buffer.get(..length).unwrap_or_default());
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // What an earlier send was answered with.
                    Err(_) => {}
                }
            }
            tokio::task::yield_now().await;
        }
    }

    async fn stream(
        self: Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        remote: SocketAddr,
    ) -> io::Result<()> {
        let id = self.next_stream.fetch_add(1, Ordering::Relaxed);
        let (sender, queue) = mpsc::channel(STREAM_QUEUE);
        {
            let mut streams = lock(&self.streams);
            if streams.len() >= STREAMS {
                return Err(io::ErrorKind::QuotaExceeded.into());
            }
            streams.insert(id, sender);
        }
        let client = Client {
            way: Way::Stream(id),
            remote,
        };
        let _entry = Entry {
            port: self.clone(),
            client,
            id,
        };
        let (read, write) = tokio::io::split(stream);
        tokio::select! {
            result = self.read(read, client) => result,
            result = write_all(write, queue) => result,
        }
    }

    async fn read(&self, mut stream: impl AsyncRead + Unpin, client: Client) -> io::Result<()> {
        let mut buffer: Vec<u8> = Vec::with_capacity(2 * DATAGRAM_BYTES);
        loop {
            let mut at = 0;
            while let Some(rest) = buffer.get(at..) {
                let whole = frame_length(rest)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                let Some(frame) = whole.and_then(|whole| rest.get(..whole)) else {
                    break;
                };
                self.receive(client, frame);
                at += frame.len();
            }
            buffer.drain(..at);
            let patience = if lock(&self.relay).has(&client) {
                SILENCE
            } else {
                GREETING
            };
            if timeout(patience, stream.read_buf(&mut buffer)).await?? == 0 {
                return Ok(());
            }
        }
    }
}

async fn write_all(
    mut stream: impl AsyncWrite + Unpin,
    mut queue: mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    while let Some(message) = queue.recv().await {
        let writing = async {
            stream.write_all(&message).await?;
            if queue.is_empty() {
                stream.flush().await?;
            }
            Ok::<(), io::Error>(())
        };
        timeout(STALLED, writing).await??;
    }
    Ok(())
}

/// Takes a stream out of the tables, however its task ends.
struct Entry {
    port: Arc<RelayPort>,
    client: Client,
    id: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        lock(&self.port.streams).remove(&self.id);
        lock(&self.port.relay).closed(&self.client);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
