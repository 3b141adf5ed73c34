//! Out of the outbox: datagrams to the sockets and connections, changes to the table.

use std::sync::Arc;

use str0m::net::Protocol;
use tokio::io::unix::AsyncFd;

use super::demux::{Change, Demux};
use super::link::Link;
use super::outbox::Outbox;
use super::relay::RelayPort;
use super::udp::{BATCH, Sender, Tally};

/// A shard's socket, with the reactor when the shard reads it.
pub(crate) enum Port {
    Reads(AsyncFd<std::net::UdpSocket>),
    Sends(std::net::UdpSocket),
}

impl Port {
    fn socket(&self) -> &std::net::UdpSocket {
        match self {
            Port::Reads(socket) => socket.get_ref(),
            Port::Sends(socket) => socket,
        }
    }
}

/// The way out of one shard.
pub(crate) struct Egress {
    pub(crate) outbox: Outbox,
    pub(crate) ports: Vec<(std::net::SocketAddr, Port)>,
    /// Where packets for relayed addresses go.
    relay: Option<Arc<RelayPort>>,
    relayed: Vec<u8>,
    demux: Arc<Demux>,
    link: Arc<Link>,
    sender: Sender,
    /// Per port, the datagrams of the flush that go through it.
    lists: Vec<Vec<u32>>,
}

impl Egress {
    pub(crate) fn new(
        ports: Vec<(std::net::SocketAddr, Port)>,
        relay: Option<Arc<RelayPort>>,
        demux: Arc<Demux>,
        link: Arc<Link>,
    ) -> Egress {
        let lists = ports.iter().map(|_| Vec::new()).collect();
        Egress {
            outbox: Outbox::new(),
            ports,
            relay,
            relayed: Vec::new(),
            demux,
            link,
            sender: Sender::new(),
            lists,
        }
    }

    /// Does all that the outbox holds. The table changes first: the answer to a packet may be here before
    /// the call that sent the packet returns. Connections of peers that go close last.
    pub(crate) fn settle(&mut self) {
        let mut gone = Vec::new();
        if self.outbox.has_changes() {
            let changes = self.outbox.take_changes();
            gone.extend(changes.iter().filter_map(|c| match c {
                Change::Forget { peer } => Some(*peer),
                _ => None,
            }));
            self.demux.apply(self.link.index, changes);
        }
        self.flush();
        for peer in gone {
            self.link.tcp.close_peer(peer);
        }
    }

    /// [`settle`](Egress::settle) once there is enough for a full batch.
    pub(crate) fn settle_when_large(&mut self) {
        if self.outbox.len() >= BATCH {
            self.settle();
        }
    }

    /// Sends the datagrams only.
    fn flush(&mut self) {
        let counters = &self.link.counters;
        counters.outbox_full.add(self.outbox.take_dropped());
        let (queued, bytes) = self.outbox.queued();
        if queued.is_empty() {
            return;
        }
        let (mut tally, mut no_route, mut tcp_full) = (Tally::default(), 0, 0);
        let mut connections = None;
        for (index, datagram) in (0_u32..).zip(queued) {
            let path = &datagram.path;
            if let Some(relay) = &self.relay
                && relay.is_relayed(&path.remote)
            {
                let packet = &bytes[datagram.range.clone()];
                if relay.deliver(path, packet, &mut self.relayed) {
                    tally.packets += 1;
                    tally.bytes += packet.len() as u64;
                } else {
                    no_route += 1;
                }
                continue;
            }
            match path.protocol {
                Protocol::Udp => {
                    let same_family = |(shown, _): &(std::net::SocketAddr, Port)| {
                        shown.is_ipv4() == path.remote.is_ipv4()
                    };
                    let exact = self
                        .ports
                        .iter()
                        .position(|(shown, _)| *shown == path.local);
                    // A second advertised address of the same socket has no entry of its own.
                    match exact.or_else(|| self.ports.iter().position(same_family)) {
                        Some(port) => self.lists[port].push(index),
                        None => no_route += 1,
                    }
                }
                Protocol::Tcp => {
                    let open = connections.get_or_insert_with(|| self.link.tcp.view());
                    let frame = &bytes[datagram.range.clone()];
                    match open.get(path).map(|connection| connection.push(frame)) {
                        Some(true) => {
                            tally.packets += 1;
                            tally.bytes += frame.len() as u64;
                        }
                        Some(false) => tcp_full += 1,
                        None => no_route += 1,
                    }
                }
                _ => no_route += 1,
            }
        }
        drop(connections);
        for ((_, port), list) in self.ports.iter().zip(&mut self.lists) {
            if !list.is_empty() {
                self.sender
                    .send(port.socket(), list, queued, bytes, &mut tally);
                list.clear();
            }
        }
        counters.packets_out.add(tally.packets);
        counters.bytes_out.add(tally.bytes);
        counters.sends.add(tally.calls);
        counters.socket_full.add(tally.socket_full);
        counters.send_failed.add(tally.failed);
        counters.no_route.add(no_route);
        counters.tcp_full.add(tcp_full);
        self.outbox.clear_datagrams();
    }
}
