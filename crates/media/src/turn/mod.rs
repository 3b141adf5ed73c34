//! A TURN relay (RFC 8656) whose only peers are this server's own media addresses.
//!
//! It opens no sockets for relaying: what a client sends to a media address goes straight to the shard of
//! its peer, and what the shard sends to a relayed address comes back here. So it can never be a proxy to
//! anywhere else. Sans-IO: the driver owns the sockets, the clock and the lock.

mod allocation;
mod credentials;
mod floods;
mod offer;
mod requests;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

pub use credentials::{TurnCredentials, TurnSecret, long_term_key};

pub(crate) use offer::TurnOffer;

use crate::stun::{Class, Message, Writer, attribute, method};
use allocation::Allocation;
use floods::Floods;

/// Under which name passwords are kept.
pub const REALM: &str = "meetmind";
/// Allocations in all, of one user and of one address: a browser makes one per network, transport and
/// peer connection; an office behind one address has many.
const ALLOCATIONS: usize = 4_096;
const PER_USER: usize = 16;
const PER_ADDRESS: usize = 512;
/// Ports of relayed addresses. Nothing listens there; below those that systems give to clients, so that
/// no real sender on this machine is mistaken for an allocation.
const PORTS: std::ops::Range<u16> = 16_384..32_768;
const CHANNELS: std::ops::Range<u16> = 0x4000..0x5000;
/// Bytes in front of a channel's data.
const CHANNEL_HEADER: usize = 4;

/// Who talks to the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Client {
    /// How its messages come.
    pub way: Way,
    /// Its address as the relay sees it.
    pub remote: SocketAddr,
}

/// The relay's end of a client's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// Datagrams, by the number of the socket.
    Udp(usize),
    /// A stream, by its number.
    Stream(u64),
}

/// The time, both for limits and for credentials.
#[derive(Debug, Clone, Copy)]
pub struct Time {
    /// For limits.
    pub now: Instant,
    /// Seconds since 1970.
    pub wall_s: u64,
}

/// What became of a client's message.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// To be sent back to the client.
    Reply(Vec<u8>),
    /// For one of our media addresses, as if it came from the relayed one.
    Relay {
        /// The sender as the media side sees it.
        relayed: SocketAddr,
        /// The media address.
        peer: SocketAddr,
        /// The datagram.
        data: &'a [u8],
    },
    /// Dropped.
    Nothing,
}

/// The state machine.
#[derive(Debug)]
pub struct Relay {
    secret: TurnSecret,
    /// The media addresses: the only peers.
    peers: Vec<SocketAddr>,
    allocations: HashMap<Client, Allocation>,
    relayed: HashMap<SocketAddr, Client>,
    users: HashMap<Box<str>, usize>,
    addresses: HashMap<IpAddr, usize>,
    next_port: u16,
    floods: Floods,
}

impl Relay {
    /// A relay to these media addresses.
    pub fn new(secret: TurnSecret, peers: Vec<SocketAddr>) -> Self {
        Self {
            secret,
            peers,
            allocations: HashMap::new(),
            relayed: HashMap::new(),
            users: HashMap::new(),
            addresses: HashMap::new(),
            next_port: PORTS.start,
            floods: Floods::default(),
        }
    }

    /// Whether an address could be a relayed one: cheap, for every packet that goes out.
    pub fn may_be_relayed(peers: &[SocketAddr], address: &SocketAddr) -> bool {
        PORTS.contains(&address.port()) && peers.iter().any(|it| it.ip() == address.ip())
    }

    /// Whether this client has an allocation.
    pub fn has(&self, client: &Client) -> bool {
        self.allocations.contains_key(client)
    }

    /// Allocations now.
    pub fn len(&self) -> usize {
        self.allocations.len()
    }

    /// Whether nobody has an allocation.
    pub fn is_empty(&self) -> bool {
        self.allocations.is_empty()
    }

    /// One message or channel frame of a client.
    pub fn receive<'a>(&mut self, client: Client, bytes: &'a [u8], time: Time) -> Outcome<'a> {
        match bytes.first() {
            Some(0..=3) => {}
            Some(0x40..=0x4f) => return self.channel_data(&client, bytes, time.now),
            _ => return Outcome::Nothing,
        }
        let Some(message) = Message::read(bytes) else {
            return Outcome::Nothing;
        };
        match (message.class, message.method) {
            (Class::Indication, method::SEND) => self.send_indication(&client, &message, time.now),
            (Class::Request, method::BINDING) => {
                if !self.floods.allow(&client, time.now) {
                    return Outcome::Nothing;
                }
                let reply = Writer::new(Class::Success, method::BINDING, message.transaction);
                let reply = reply.with_address(attribute::XOR_MAPPED_ADDRESS, client.remote);
                Outcome::Reply(reply.finish())
            }
            (Class::Request, _) => self.request(client, &message, time),
            _ => Outcome::Nothing,
        }
    }

    /// A datagram of the media side for a relayed address: wraps it into `into` for the client. None when
    /// there is no such allocation, or it did not permit this peer.
    pub fn back(
        &mut self,
        relayed: SocketAddr,
        peer: SocketAddr,
        data: &[u8],
        now: Instant,
        into: &mut Vec<u8>,
    ) -> Option<Client> {
        let client = *self.relayed.get(&relayed)?;
        let allocation = self.allocations.get_mut(&client)?;
        if !allocation.permits(&peer.ip(), now) || !allocation.down.allow(data.len(), now) {
            return None;
        }
        into.clear();
        match allocation.channel_of(&peer, now) {
            Some(number) => {
                into.extend(number.to_be_bytes());
                into.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
                into.extend(data);
                if matches!(client.way, Way::Stream(_)) {
                    into.resize(into.len().next_multiple_of(4), 0);
                }
            }
            None => {
                allocation.indications = allocation.indications.wrapping_add(1);
                let mut transaction = [0; 12];
                transaction[..8].copy_from_slice(&allocation.indications.to_be_bytes());
                let indication = Writer::new(Class::Indication, method::DATA, transaction)
                    .with_address(attribute::XOR_PEER_ADDRESS, peer)
                    .with(attribute::DATA, data);
                into.extend(indication.bare());
            }
        }
        Some(client)
    }

    /// A client's stream has ended.
    pub fn closed(&mut self, client: &Client) {
        self.remove(client);
    }

    /// Drops what nobody refreshed; to be called about every second.
    pub fn expire(&mut self, now: Instant) {
        let over: Vec<Client> = self
            .allocations
            .iter()
            .filter(|(_, it)| it.expires <= now)
            .map(|(client, _)| *client)
            .collect();
        for client in over {
            self.remove(&client);
        }
        for allocation in self.allocations.values_mut() {
            allocation.expire(now);
        }
        self.floods.expire(now);
    }

    fn remove(&mut self, client: &Client) {
        let Some(allocation) = self.allocations.remove(client) else {
            return;
        };
        self.relayed.remove(&allocation.relayed);
        release(&mut self.users, &allocation.username);
        release(&mut self.addresses, &client.remote.ip());
    }

    fn channel_data<'a>(&mut self, client: &Client, bytes: &'a [u8], now: Instant) -> Outcome<'a> {
        let Some((head, rest)) = bytes.split_first_chunk::<CHANNEL_HEADER>() else {
            return Outcome::Nothing;
        };
        let number = u16::from_be_bytes([head[0], head[1]]);
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let (Some(data), Some(allocation)) = (rest.get(..length), self.allocations.get_mut(client))
        else {
            return Outcome::Nothing;
        };
        match allocation.peer_of(number, now) {
            Some(peer) if allocation.up.allow(data.len(), now) => Outcome::Relay {
                relayed: allocation.relayed,
                peer,
                data,
            },
            _ => Outcome::Nothing,
        }
    }

    fn send_indication<'a>(
        &mut self,
        client: &Client,
        message: &Message<'a>,
        now: Instant,
    ) -> Outcome<'a> {
        let peer = message.address(attribute::XOR_PEER_ADDRESS);
        let (Some(peer), Some(data)) = (peer, message.get(attribute::DATA)) else {
            return Outcome::Nothing;
        };
        let Some(allocation) = self.allocations.get_mut(client) else {
            return Outcome::Nothing;
        };
        let allowed = self.peers.contains(&peer)
            && allocation.permits(&peer.ip(), now)
            && allocation.up.allow(data.len(), now);
        if !allowed {
            return Outcome::Nothing;
        }
        Outcome::Relay {
            relayed: allocation.relayed,
            peer,
            data,
        }
    }
}

/// One less of a key.
fn release<K, Q>(counts: &mut HashMap<K, usize>, key: &Q)
where
    K: std::hash::Hash + Eq + std::borrow::Borrow<Q>,
    Q: std::hash::Hash + Eq + ?Sized,
{
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// How long the message or channel frame at the head of a stream is; none when more bytes are needed to
/// tell (RFC 8656, 12.5: padded to four bytes on a stream).
///
/// # Errors
/// It is neither, or longer than a datagram: the stream cannot be read on.
pub fn frame_length(head: &[u8]) -> Result<Option<usize>, FrameUnreadable> {
    let Some(head) = head.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let whole = match head[0] {
        0..=3 => length + 20,
        0x40..=0x4f => (length + CHANNEL_HEADER).next_multiple_of(4),
        _ => return Err(FrameUnreadable),
    };
    if whole > crate::stun::MAX_BYTES {
        return Err(FrameUnreadable);
    }
    Ok(Some(whole))
}

/// What comes is no TURN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no message of TURN")]
pub struct FrameUnreadable;
