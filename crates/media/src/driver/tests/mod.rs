//! The driver on real loopback sockets, with a machine that echoes.

mod address;
mod demux;
mod parsers;
mod tcp;
mod udp;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use str0m::net::Protocol;

use super::{Datagram, Driver, DriverConfig, Machine, Outbox, Path};

/// How long anything here may take before the test fails; nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends everything back. A check whose transaction begins with `BAD` is one that the peer rejects.
#[derive(Default)]
struct Echo {
    paths: HashMap<u64, Path>,
    alarm: Option<Instant>,
}

enum Ask {
    Register(&'static str, u64),
    RegisterNamed(String, u64),
    Forget(u64),
    /// Send this many packets of this size to the peer's last path.
    Flood(u64, usize, usize),
    /// Send one packet to every peer after the time.
    Alarm(Duration),
    /// Hold the shard until the sender is dropped.
    Hold(mpsc::Receiver<()>),
    Panic,
}

impl Machine for Echo {
    type Command = Ask;

    fn command(&mut self, command: Ask, now: Instant, out: &mut Outbox) {
        match command {
            Ask::Register(ufrag, peer) => out.register(ufrag, peer),
            Ask::RegisterNamed(ufrag, peer) => out.register(&ufrag, peer),
            Ask::Forget(peer) => {
                self.paths.remove(&peer);
                out.forget(peer);
            }
            Ask::Flood(peer, count, size) => {
                let Some(path) = self.paths.get(&peer) else {
                    return;
                };
                for number in 0..count {
                    let mut packet = vec![0x80; size];
                    packet[1..5].copy_from_slice(&u32::try_from(number).unwrap().to_be_bytes());
                    out.send(*path, &packet);
                }
            }
            Ask::Alarm(after) => self.alarm = Some(now + after),
            Ask::Hold(until) => {
                let _ended = until.recv();
            }
            Ask::Panic => panic!("asked to"),
        }
    }

    fn datagram(&mut self, peer: u64, datagram: Datagram<'_>, _now: Instant, out: &mut Outbox) {
        let check = datagram.bytes[0] < 4;
        if check && &datagram.bytes[8..11] == b"BAD" {
            return;
        }
        if check {
            self.paths.insert(peer, datagram.path);
            out.accept(datagram.path, peer);
        }
        out.send(datagram.path, datagram.bytes);
    }

    fn flush(&mut self, _: Instant, _: &mut Outbox) {}

    fn timeout(&mut self, _now: Instant, out: &mut Outbox) {
        self.alarm = None;
        for path in self.paths.values() {
            out.send(*path, b"\x80alarm");
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.alarm
    }
}

fn config(shards: usize) -> DriverConfig {
    DriverConfig {
        listen: vec![Ipv4Addr::LOCALHOST.into()],
        udp_port: 0,
        tcp_port: Some(0),
        shards,
        ..DriverConfig::default()
    }
}

fn start(config: &DriverConfig) -> Driver<Ask> {
    Driver::start(config, |_, _| Echo::default()).unwrap()
}

fn address(driver: &Driver<Ask>, protocol: Protocol) -> SocketAddr {
    driver
        .candidates()
        .iter()
        .find(|c| c.protocol == protocol)
        .unwrap()
        .address
}

fn ask(driver: &Driver<Ask>, shard: usize, command: Ask) {
    assert!(driver.shards()[shard].send(command).is_ok());
}

/// Looks again and again, with patience but without a fixed wait.
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

/// A STUN binding request with the user name `<ufrag>:them` behind another attribute.
fn check(ufrag: &str, transaction: &[u8; 12]) -> Vec<u8> {
    let username = format!("{ufrag}:them");
    let mut body = vec![0x00, 0x24, 0, 4, 0x6e, 0, 0, 1];
    body.extend([0x00, 0x06]);
    body.extend(u16::try_from(username.len()).unwrap().to_be_bytes());
    body.extend(username.as_bytes());
    body.resize(body.len().next_multiple_of(4), 0);
    let mut message = vec![0x00, 0x01];
    message.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    message.extend(0x2112_A442_u32.to_be_bytes());
    message.extend(transaction);
    message.extend(body);
    message
}

/// A UDP peer.
struct Client(UdpSocket);

impl Client {
    fn new(server: SocketAddr) -> Client {
        let any: IpAddr = if server.is_ipv4() {
            Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        };
        let socket = UdpSocket::bind((any, 0)).unwrap();
        socket.connect(server).unwrap();
        Client(socket)
    }

    /// A client whose check was accepted.
    fn joined(server: SocketAddr, ufrag: &str) -> Client {
        let client = Client::new(server);
        // The command that registers the fragment may still be on its way: ask again.
        client
            .0
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let request = check(ufrag, b"transaction0");
        until("the check is answered", || {
            client.0.send(&request).unwrap();
            client.receive_now().is_some()
        });
        while client.receive_now().is_some() {}
        client.0.set_read_timeout(Some(PATIENCE)).unwrap();
        client
    }

    fn receive_now(&self) -> Option<Vec<u8>> {
        let mut buffer = [0; 4096];
        self.0.recv(&mut buffer).ok().map(|n| buffer[..n].to_vec())
    }

    fn echo(&self, packet: &[u8]) {
        self.0.send(packet).unwrap();
        assert_eq!(self.receive_now().as_deref(), Some(packet));
    }
}
