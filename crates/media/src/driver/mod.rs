//! Sockets, threads and clocks: the only place of this crate that does IO.
//!
//! One UDP port carries everything (ICE, DTLS, SRTP of all peers), one TCP port is there for networks
//! that let no UDP through. Each shard is a thread with a [`Machine`] of its own that nothing else
//! touches. On Linux each has its own socket on the port, and the kernel spreads the peers over them by
//! their addresses; what arrives at the wrong shard is passed on through a bounded queue.
//!
//! Nothing here waits for anybody: a full queue or a full socket drops packets and counts them.
//!
//! ```text
//! recvmmsg → whose? (one lock per batch) → machine → outbox → sendmmsg
//!                 ↘ another shard's inbox
//! ```

mod address;
mod config;
mod demux;
mod egress;
mod inbox;
mod link;
mod outbox;
mod relay;
mod shard;
mod stats;
mod stun;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;

use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use str0m::net::Protocol;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

pub use self::address::{HostCandidate, host_addresses};
pub use self::config::{DriverConfig, DriverError, PortSharing, TcpLimits, TurnConfig};
pub use self::demux::Path;
#[cfg(test)]
pub(crate) use self::demux::Verdict as DemuxVerdict;
pub use self::inbox::CommandError;
pub use self::outbox::Outbox;
pub use self::relay::RelayHandle;
pub use self::shard::ShardHandle;
pub use self::stats::{Drops, ShardStats};

pub(crate) use self::demux::Demux;
use self::inbox::Commands;
use self::link::Link;
use self::relay::RelayPort;
use self::shard::Shard;
use self::udp::UdpPort;

/// More threads than this help no server of meetings and cost wake-ups.
const SHARDS: usize = 8;

/// The state machine of one shard: all its rooms and peers. It has no clock and no socket; the driver
/// calls it, on one thread, and does what it leaves in the outbox.
pub trait Machine: Send + 'static {
    /// What other threads ask of it.
    type Command: Send + 'static;

    /// Somebody asks for something.
    fn command(&mut self, command: Self::Command, now: Instant, out: &mut Outbox);

    /// A datagram arrived for a peer that this machine registered; `peer` is the machine's own key. It
    /// may be gone in the meantime, and an ICE check is not yet authenticated.
    fn datagram(&mut self, peer: u64, datagram: Datagram<'_>, now: Instant, out: &mut Outbox);

    /// What arrived together has been handed over: the machine sends what it gathered.
    fn flush(&mut self, now: Instant, out: &mut Outbox);

    /// The time of [`next_timeout`](Machine::next_timeout) has come, or passed by a millisecond or two.
    fn timeout(&mut self, now: Instant, out: &mut Outbox);

    /// When to call [`timeout`](Machine::timeout). Asked often: it must be cheap.
    fn next_timeout(&self) -> Option<Instant>;
}

/// One datagram, or one frame of a TCP connection.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Where it came from and where it arrived. For str0m: `remote` is the source, `local` the destination.
    pub path: Path,
    /// The content: STUN, DTLS, SRTP or SRTCP, at most 2,048 bytes.
    pub bytes: &'a [u8],
}

/// Some shards had not stopped when the time was up; their threads go on until they do.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("media shards still busy: {shards:?}")]
pub struct StillBusy {
    /// Their numbers.
    pub shards: Vec<usize>,
}

/// The running driver. Dropping it stops the shards without waiting for them.
#[derive(Debug)]
pub struct Driver<C> {
    shards: Vec<ShardHandle<C>>,
    threads: Vec<Running>,
    candidates: Vec<HostCandidate>,
    stop_listening: Arc<Notify>,
    stop_relaying: Arc<Notify>,
    relay: Option<(RelayHandle, u16)>,
}

/// A thread, with the word that it is done.
#[derive(Debug)]
struct Running {
    thread: JoinHandle<()>,
    done: mpsc::Receiver<()>,
    /// `None` for the thread that accepts TCP connections.
    shard: Option<usize>,
}

impl<C: Send + 'static> Driver<C> {
    /// Opens the ports and starts the shards; `machine` makes the state machine of each, given its number
    /// and the host candidates for its answers.
    ///
    /// # Errors
    /// When an address cannot be found or bound, or a thread cannot be started. Nothing is left running.
    pub fn start<M: Machine<Command = C>>(
        config: &DriverConfig,
        mut machine: impl FnMut(usize, &[HostCandidate]) -> M,
    ) -> Result<Driver<C>, DriverError> {
        let count = match config.shards {
            0 => std::thread::available_parallelism()
                .map_or(1, usize::from)
                .min(SHARDS),
            count => count,
        };
        let plan = address::plan(config, &address::interfaces()?)?;
        let (udp_port, sockets) = udp::open(config, &plan, count)?;
        let listeners = config
            .tcp_port
            .map(|port| tcp::bind(&plan, port))
            .transpose()?;
        let candidate = |protocol, port| {
            move |ip: &std::net::IpAddr| HostCandidate {
                protocol,
                address: (*ip, port).into(),
            }
        };
        let mut candidates: Vec<_> = plan
            .advertised
            .iter()
            .map(candidate(Protocol::Udp, udp_port))
            .collect();
        if let Some((tcp_port, _)) = &listeners {
            candidates.extend(
                plan.advertised
                    .iter()
                    .map(candidate(Protocol::Tcp, *tcp_port)),
            );
        }
        tracing::info!(shards = count, ?candidates, "media listens");

        let runtimes: Vec<Runtime> = (0..count)
            .map(|_| runtime())
            .collect::<Result<_, _>>()
            .map_err(DriverError::Thread)?;
        let links: Arc<[Arc<Link>]> = runtimes
            .iter()
            .enumerate()
            .map(|(index, runtime)| {
                Arc::new(Link::new(
                    index,
                    config.inbox_bytes,
                    runtime.handle().clone(),
                ))
            })
            .collect();
        let demux = Arc::new(Demux::default());
        let mut driver = Driver {
            shards: Vec::new(),
            threads: Vec::new(),
            candidates,
            stop_listening: Arc::new(Notify::new()),
            stop_relaying: Arc::new(Notify::new()),
            relay: None,
        };
        let relay = match &config.turn {
            Some(turn) => Some(driver.spawn_relay(turn, &plan, (links.clone(), demux.clone()))?),
            None => None,
        };
        for ((runtime, link), ports) in runtimes.into_iter().zip(links.iter()).zip(sockets) {
            let commands = Arc::new(Commands::new(config.command_queue));
            let handle = ShardHandle {
                link: link.clone(),
                commands,
            };
            driver.shards.push(handle.clone());
            let machine = machine(link.index, &driver.candidates);
            driver.spawn_shard(
                runtime,
                machine,
                handle,
                (links.clone(), demux.clone()),
                (ports, relay.clone()),
            )?;
        }
        if let Some((_, bound)) = listeners {
            let runtime = runtime().map_err(DriverError::Thread)?;
            let stop = driver.stop_listening.clone();
            let listeners = tcp::Listeners {
                links,
                demux,
                limits: config.tcp,
                stop,
            };
            driver.spawn("media-tcp".to_owned(), None, move || {
                if let Err(error) = runtime.block_on(listeners.run(bound)) {
                    tracing::error!(%error, "ICE-TCP does not accept connections");
                }
            })?;
        }
        Ok(driver)
    }

    fn spawn_relay(
        &mut self,
        config: &TurnConfig,
        plan: &address::Plan,
        ways: (Arc<[Arc<Link>]>, Arc<Demux>),
    ) -> Result<Arc<RelayPort>, DriverError> {
        let addresses: Vec<_> = plan.bound.iter().map(|it| it.bind).collect();
        let (udp_port, sockets) = relay::bind(&addresses, config.udp_port)?;
        let runtime = runtime().map_err(DriverError::Thread)?;
        let peers = self
            .candidates
            .iter()
            .filter(|candidate| candidate.protocol == Protocol::Udp)
            .map(|candidate| candidate.address)
            .collect();
        let port = RelayPort::new(config, peers, sockets, ways, runtime.handle().clone());
        self.relay = Some((port.handle(), udp_port));
        let (running, stop) = (port.clone(), self.stop_relaying.clone());
        self.spawn("media-turn".to_owned(), None, move || {
            if let Err(error) = runtime.block_on(running.run(stop)) {
                tracing::error!(%error, "the TURN relay cannot watch its sockets");
            }
        })?;
        Ok(port)
    }

    fn spawn_shard<M: Machine<Command = C>>(
        &mut self,
        runtime: Runtime,
        machine: M,
        handle: ShardHandle<C>,
        (links, demux): (Arc<[Arc<Link>]>, Arc<Demux>),
        (ports, relay): (Vec<UdpPort>, Option<Arc<RelayPort>>),
    ) -> Result<(), DriverError> {
        let index = handle.link.index;
        self.spawn(format!("media-{index}"), Some(index), move || {
            let ways = (ports, relay);
            if let Err(error) = runtime.block_on(Shard::run(machine, handle, links, demux, ways)) {
                tracing::error!(shard = index, %error, "a media shard cannot watch its sockets");
            }
        })
    }

    fn spawn(
        &mut self,
        name: String,
        shard: Option<usize>,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<(), DriverError> {
        let (done, finished) = mpsc::channel();
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            // Dropped at the end, also by a panic: that is the word.
            let _done: mpsc::Sender<()> = done;
            body();
        });
        self.threads.push(Running {
            thread: thread.map_err(DriverError::Thread)?,
            done: finished,
            shard,
        });
        Ok(())
    }
}

impl<C> Driver<C> {
    /// The shards, by number.
    #[must_use]
    pub fn shards(&self) -> &[ShardHandle<C>] {
        &self.shards
    }

    /// The host candidates for answers: UDP first, then TCP (passive).
    #[must_use]
    pub fn candidates(&self) -> &[HostCandidate] {
        &self.candidates
    }

    /// The relay and its UDP port, when it is on.
    #[must_use]
    pub fn relay(&self) -> Option<(RelayHandle, u16)> {
        self.relay.clone()
    }

    /// Stops: no new connections, queued commands are worked off, what they put out is sent. Returns when
    /// all threads have ended or `within` is over. Blocks; call it where that is allowed.
    ///
    /// # Errors
    /// [`StillBusy`] names the shards whose machine did not come back in time.
    pub fn stop(mut self, within: Duration) -> Result<(), StillBusy> {
        self.signal();
        let deadline = Instant::now() + within;
        let mut shards = Vec::new();
        for running in self.threads.drain(..) {
            let left = deadline.saturating_duration_since(Instant::now());
            if running.done.recv_timeout(left) == Err(mpsc::RecvTimeoutError::Timeout) {
                shards.extend(running.shard);
            } else if running.thread.join().is_err() {
                tracing::error!(shard = running.shard, "a media thread ended by a panic");
            }
        }
        if shards.is_empty() {
            Ok(())
        } else {
            Err(StillBusy { shards })
        }
    }

    fn signal(&self) {
        self.stop_listening.notify_one();
        self.stop_relaying.notify_one();
        for shard in &self.shards {
            shard.link.stop();
        }
    }
}

impl<C> Drop for Driver<C> {
    fn drop(&mut self) {
        self.signal();
    }
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}
