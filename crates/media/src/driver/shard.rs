//! One shard: a thread that owns a machine and sleeps in one place.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use str0m::net::Protocol;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Sleep;

use super::demux::{Demux, Path, Verdict};
use super::egress::{Egress, Port};
use super::inbox::{CommandError, Commands, Parcel};
use super::link::Link;
use super::relay::RelayPort;
use super::stats::ShardStats;
use super::udp::{BATCH, Receiver, UdpPort};
use super::{Datagram, Machine};

/// Commands and batches per socket handled before everything else gets its turn.
const COMMANDS_PER_TURN: usize = 256;
const BATCHES_PER_TURN: usize = 4;
/// Turns that a stopping shard takes to work off its commands.
const LAST_TURNS: usize = 64;
/// How long a stopping shard waits for its TCP connections to write what is queued.
const LAST_WRITES: Duration = Duration::from_millis(250);

/// A shard from outside: give it commands, read its counters. Cheap to clone.
#[derive(Debug)]
pub struct ShardHandle<C> {
    pub(crate) link: Arc<Link>,
    pub(crate) commands: Arc<Commands<C>>,
}

impl<C> Clone for ShardHandle<C> {
    fn clone(&self) -> ShardHandle<C> {
        ShardHandle {
            link: self.link.clone(),
            commands: self.commands.clone(),
        }
    }
}

impl<C> ShardHandle<C> {
    /// Queues a command for the shard's machine. Never waits.
    ///
    /// # Errors
    /// [`CommandError::Full`] when the shard cannot keep up, [`CommandError::Stopped`] when it has
    /// stopped or is about to; both give the command back.
    pub fn send(&self, command: C) -> Result<(), CommandError<C>> {
        self.commands.push(command, &self.link.wake)
    }

    /// Which shard it is, from 0.
    #[must_use]
    pub fn index(&self) -> usize {
        self.link.index
    }

    /// The counters now. Costs no more than some loads and two short locks.
    #[must_use]
    pub fn stats(&self) -> ShardStats {
        ShardStats {
            commands_queued: self.commands.len() as u64,
            packets_queued: self.link.inbox.len() as u64,
            ..self.link.counters.snapshot()
        }
    }
}

/// Closes the queue when the thread ends, also by a panic of the machine.
struct Closing<C>(Arc<Commands<C>>, Arc<Link>);

impl<C> Drop for Closing<C> {
    fn drop(&mut self) {
        self.0.close();
        if std::thread::panicking() {
            tracing::error!(
                shard = self.1.index,
                "a media shard ended by a panic; its rooms are lost"
            );
        }
    }
}

pub(crate) struct Shard<M: Machine> {
    machine: M,
    commands: Arc<Commands<M::Command>>,
    link: Arc<Link>,
    links: Arc<[Arc<Link>]>,
    demux: Arc<Demux>,
    egress: Egress,
    receiver: Receiver,
    /// Datagrams of the current batch that belong here: place in the batch, peer, path.
    own: Vec<(usize, u64, Path)>,
    /// Datagrams of the current batch for other shards.
    onward: Vec<Parcel>,
    parcel: Parcel,
    /// The one timer; counts only when the machine wants a timeout.
    alarm: Pin<Box<Sleep>>,
}

/// Watches a socket for reading only. `tokio::net::UdpSocket` watches for writing too, which would wake
/// the shard for each packet that the network card has sent.
#[expect(
    deprecated,
    reason = "unsound only for a type that lies about its descriptor; std's socket does not, and the \
              replacement is unsafe to call"
)]
fn watch(socket: std::net::UdpSocket) -> std::io::Result<AsyncFd<std::net::UdpSocket>> {
    AsyncFd::with_interest(socket, Interest::READABLE)
}

impl<M: Machine> Shard<M> {
    /// Runs until the link says stop. Must be called within the shard's runtime, on its thread.
    pub(crate) async fn run(
        machine: M,
        handle: ShardHandle<M::Command>,
        links: Arc<[Arc<Link>]>,
        demux: Arc<Demux>,
        (ports, relay): (Vec<UdpPort>, Option<Arc<RelayPort>>),
    ) -> std::io::Result<()> {
        let ShardHandle { link, commands } = handle;
        let _closing = Closing(commands.clone(), link.clone());
        let mut opened = Vec::new();
        for port in ports {
            let socket = if port.reads {
                Port::Reads(watch(port.socket)?)
            } else {
                Port::Sends(port.socket)
            };
            opened.push((port.shown, socket));
        }
        let mut shard = Shard {
            machine,
            commands,
            egress: Egress::new(opened, relay, demux.clone(), link.clone()),
            receiver: Receiver::new(),
            own: Vec::with_capacity(BATCH),
            onward: links.iter().map(|_| Parcel::default()).collect(),
            parcel: Parcel::default(),
            alarm: Box::pin(tokio::time::sleep(Duration::ZERO)),
            link,
            links,
            demux,
        };
        while !shard.link.is_stopping() {
            if shard.turn() {
                tokio::task::yield_now().await;
            } else {
                shard.wait().await;
            }
        }
        shard.last_turns().await;
        Ok(())
    }

    /// Everything that can be done now, in bounded portions. Returns whether there may be more.
    fn turn(&mut self) -> bool {
        let now = Instant::now();
        let mut more = self.take_commands(now);
        self.take_inbox(now);
        for port in 0..self.egress.ports.len() {
            more |= self.take_socket(port, now);
        }
        self.machine.flush(now, &mut self.egress.outbox);
        if self.machine.next_timeout().is_some_and(|at| at <= now) {
            self.machine.timeout(now, &mut self.egress.outbox);
            // A machine that stays due is asked again after the others had their turn.
            more |= self.machine.next_timeout().is_some_and(|at| at <= now);
        }
        self.egress.settle();
        self.link
            .counters
            .busy_ns
            .add(u64::try_from(now.elapsed().as_nanos()).unwrap_or(u64::MAX));
        more
    }

    fn take_commands(&mut self, now: Instant) -> bool {
        for _ in 0..COMMANDS_PER_TURN {
            let Some(command) = self.commands.pop() else {
                return false;
            };
            self.machine.command(command, now, &mut self.egress.outbox);
            self.egress.settle_when_large();
        }
        self.commands.len() > 0
    }

    fn take_inbox(&mut self, now: Instant) {
        self.link.inbox.take(&mut self.parcel);
        if self.parcel.len() == 0 {
            return;
        }
        let mut bytes = 0;
        for (peer, path, datagram) in self.parcel.iter() {
            bytes += datagram.len() as u64;
            self.machine.datagram(
                peer,
                Datagram {
                    path,
                    bytes: datagram,
                },
                now,
                &mut self.egress.outbox,
            );
            self.egress.settle_when_large();
        }
        self.link.counters.packets_in.add(self.parcel.len() as u64);
        self.link.counters.bytes_in.add(bytes);
        self.parcel.clear();
        self.egress.settle();
    }

    /// Reads one socket until it is empty or has had its share; returns whether it may hold more.
    fn take_socket(&mut self, port: usize, now: Instant) -> bool {
        for _ in 0..BATCHES_PER_TURN {
            let Some((shown, Port::Reads(socket))) = self.egress.ports.get(port) else {
                return false;
            };
            let (shown, mut received) = (*shown, 0);
            let ready = socket.try_io(Interest::READABLE, |socket| {
                // An error ends the readiness like an empty socket does; otherwise it would be read in circles.
                received = self
                    .receiver
                    .receive(socket)
                    .map_err(|_| std::io::ErrorKind::WouldBlock)?;
                // A short batch is an empty socket: saves the call that would say so.
                if received < BATCH {
                    Err(std::io::ErrorKind::WouldBlock.into())
                } else {
                    Ok(())
                }
            });
            if received > 0 {
                self.sort(shown);
                self.feed(now);
            }
            if ready.is_err() {
                return false;
            }
        }
        true
    }

    /// Finds the peers of a batch under one lock and passes on what belongs to other shards.
    fn sort(&mut self, local: std::net::SocketAddr) {
        let (mut malformed, mut oversized, mut no_ufrag, mut no_path, mut passed) = (0, 0, 0, 0, 0);
        self.own.clear();
        let view = self.demux.view();
        for (index, (received, datagram)) in self.receiver.batch().enumerate() {
            if received.truncated {
                oversized += 1;
                continue;
            }
            let path = Path {
                protocol: Protocol::Udp,
                local,
                remote: received.remote,
            };
            match view.find(&path, datagram) {
                Verdict::Owner(owner) if owner.shard == self.link.index => {
                    self.own.push((index, owner.peer, path))
                }
                Verdict::Owner(owner) => {
                    if let Some(parcel) = self.onward.get_mut(owner.shard) {
                        parcel.push(owner.peer, path, datagram);
                        passed += 1;
                    }
                }
                Verdict::UnknownUfrag => no_ufrag += 1,
                Verdict::UnknownPath => no_path += 1,
                Verdict::Malformed => malformed += 1,
            }
        }
        drop(view);
        let counters = &self.link.counters;
        if passed > 0 {
            let full: u64 = self
                .links
                .iter()
                .zip(&mut self.onward)
                .map(|(link, parcel)| match parcel.len() {
                    0 => 0,
                    _ => link.deliver(parcel),
                })
                .sum();
            counters.shard_full.add(full);
            counters.passed_on.add(passed - full);
        }
        counters.malformed.add(malformed);
        counters.oversized.add(oversized);
        counters.unknown_ufrag.add(no_ufrag);
        counters.unknown_path.add(no_path);
    }

    /// Gives the machine what of the batch is its own.
    fn feed(&mut self, now: Instant) {
        let mut total = 0;
        for (index, peer, path) in &self.own {
            let bytes = self.receiver.datagram(*index);
            total += bytes.len() as u64;
            self.machine.datagram(
                *peer,
                Datagram { path: *path, bytes },
                now,
                &mut self.egress.outbox,
            );
            self.egress.settle_when_large();
        }
        self.link.counters.packets_in.add(self.own.len() as u64);
        self.link.counters.bytes_in.add(total);
        // The next batch is sorted by what this one changed.
        if self.egress.outbox.has_changes() {
            self.egress.settle();
        }
    }

    /// Sleeps until a socket is readable, somebody wakes the shard or the machine's time has come. The
    /// timer has steps of a millisecond: what is due within one is done in one wake-up.
    async fn wait(&mut self) {
        self.link.counters.waits.add(1);
        let due = self.machine.next_timeout();
        if let Some(at) = due.map(tokio::time::Instant::from_std)
            && self.alarm.deadline() != at
        {
            self.alarm.as_mut().reset(at);
        }
        let mut woken = pin!(self.link.wake.notified());
        poll_fn(|cx| {
            if woken.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            for (_, port) in &self.egress.ports {
                if let Port::Reads(socket) = port
                    && socket.poll_read_ready(cx).is_ready()
                {
                    return Poll::Ready(());
                }
            }
            if due.is_some() && self.alarm.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
        if self.link.tcp.any() {
            // Connections run on this thread too; without this a steady stream of datagrams starves them.
            tokio::task::yield_now().await;
        }
    }

    /// Works off what was asked before the stop, and lets TCP write it out.
    async fn last_turns(&mut self) {
        self.commands.close();
        for _ in 0..LAST_TURNS {
            let now = Instant::now();
            let more = self.take_commands(now);
            self.egress.settle();
            if !more {
                break;
            }
        }
        let written = async {
            while self.link.tcp.pending() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        if tokio::time::timeout(LAST_WRITES, written).await.is_err() {
            tracing::debug!(
                shard = self.link.index,
                "stopped with unwritten TCP packets"
            );
        }
    }
}
