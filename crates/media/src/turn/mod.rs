//! A TURN relay (RFC 8656) whose only peers are this server's own media addresses.
//!
//! It opens no sockets for relaying: what a client sends to a media address goes straight to the shard of
//! its peer, and what the shard sends to a relayed address comes back here. So it can never be a proxy to
//! anywhere else. Sans-IO: the driver owns the sockets, the clock and the lock.

mod allocation;
mod credentials;
mod floods;
mod offer;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

pub use credentials::{TurnCredentials, TurnSecret, long_term_key};

pub(crate) use offer::TurnOffer;

use crate::stun::{Class, Message, TransactionId, Writer, attribute, method};
use allocation::{Allocation, Pace};
use floods::Floods;

/// Under which name passwords are kept.
pub const REALM: &str = "meetmind";
/// How long an allocation lives that nobody refreshes, and the most one may ask for.
const LIFETIME: Duration = Duration::from_secs(600);
const LIFETIME_MAX: Duration = Duration::from_secs(3_600);
/// Allocations in all, of one user and of one address: a browser makes one per network, transport and
/// peer connection; an office behind one address has many.
const ALLOCATIONS: usize = 4_096;
const PER_USER: usize = 16;
const PER_ADDRESS: usize = 512;
/// Ports of relayed addresses. Nothing listens there; below those that systems give to clients, so that
/// no real sender on this machine is mistaken for an allocation.
const PORTS: std::ops::Range<u16> = 16_384..32_768;
const CHANNELS: std::ops::Range<u16> = 0x4000..0x5000;
const UDP: u8 = 17;
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

/// Why a request fails: code and reason of RFC 8656, 19.
type Refused = (u16, &'static str);

const BAD: Refused = (400, "Bad Request");
const UNAUTHORIZED: Refused = (401, "Unauthorized");
const FORBIDDEN: Refused = (403, "Forbidden");
const MISMATCH: Refused = (437, "Allocation Mismatch");
const STALE: Refused = (438, "Stale Nonce");
const WRONG_USER: Refused = (441, "Wrong Credentials");

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
    pub fn from_peer(
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

    fn request(&mut self, client: Client, message: &Message<'_>, time: Time) -> Outcome<'static> {
        let (username, key) = match self.authenticate(&client, message, time) {
            Ok(known) => known,
            Err(refused) => {
                // Larger than what caused it, and the sender may be forged: only so many per address.
                if !self.floods.allow(&client, time.now) {
                    return Outcome::Nothing;
                }
                let reply = Writer::new(Class::Error, message.method, message.transaction)
                    .with_error(refused.0, refused.1);
                let reply = if matches!(refused, UNAUTHORIZED | STALE) {
                    let nonce = self.secret.nonce(client.remote.ip(), time.wall_s);
                    reply
                        .with(attribute::REALM, REALM.as_bytes())
                        .with(attribute::NONCE, nonce.as_bytes())
                } else {
                    reply
                };
                return Outcome::Reply(reply.finish());
            }
        };
        let unknown = unknown_attributes(message);
        let done = if unknown.is_empty() {
            match message.method {
                method::ALLOCATE => self.allocate(client, message, (username, key), time),
                method::REFRESH => self.refresh(&client, message, time.now),
                method::CREATE_PERMISSION => self.create_permission(&client, message, time.now),
                method::CHANNEL_BIND => self.channel_bind(&client, message, time.now),
                _ => Err(BAD),
            }
        } else {
            Err((420, "Unknown Attribute"))
        };
        let reply = match done {
            Ok(reply) => reply,
            Err((code, reason)) => {
                let reply = Writer::new(Class::Error, message.method, message.transaction)
                    .with_error(code, reason);
                if unknown.is_empty() {
                    reply
                } else {
                    reply.with(attribute::UNKNOWN_ATTRIBUTES, &unknown)
                }
            }
        };
        Outcome::Reply(reply.signed(&key).finish())
    }

    /// Who asks; the credentials' end counts for new allocations only, so that a meeting may be longer.
    fn authenticate(
        &self,
        client: &Client,
        message: &Message<'_>,
        time: Time,
    ) -> Result<(Box<str>, [u8; 16]), Refused> {
        if message.get(attribute::MESSAGE_INTEGRITY).is_none() {
            return Err(UNAUTHORIZED);
        }
        let (Some(username), Some(realm), Some(nonce)) = (
            message.text(attribute::USERNAME),
            message.text(attribute::REALM),
            message.text(attribute::NONCE),
        ) else {
            return Err(BAD);
        };
        let ip = client.remote.ip();
        if !self.secret.nonce_is_good(nonce, ip, time.wall_s) {
            return Err(STALE);
        }
        let key = self.secret.key(username, REALM);
        if realm != REALM || !message.is_by(&key) {
            return Err(UNAUTHORIZED);
        }
        match self.allocations.get(client) {
            Some(allocation) if *allocation.username != *username => return Err(WRONG_USER),
            Some(_) => {}
            None if message.method != method::ALLOCATE => return Err(MISMATCH),
            None => {
                if credentials::ends_s(username).is_none_or(|ends| ends < time.wall_s) {
                    return Err(UNAUTHORIZED);
                }
            }
        }
        Ok((username.into(), key))
    }

    fn allocate(
        &mut self,
        client: Client,
        message: &Message<'_>,
        (username, _key): (Box<str>, [u8; 16]),
        time: Time,
    ) -> Result<Writer, Refused> {
        if let Some(allocation) = self.allocations.get(&client) {
            // The answer may have been lost: the same request gets it again.
            if allocation.transaction == message.transaction {
                return Ok(allocated(allocation, message.transaction, client, time.now));
            }
            return Err(MISMATCH);
        }
        match message.get(attribute::REQUESTED_TRANSPORT) {
            Some([UDP, ..]) => {}
            Some(_) => return Err((442, "Unsupported Transport Protocol")),
            None => return Err(BAD),
        }
        let pairs = [attribute::EVEN_PORT, attribute::RESERVATION_TOKEN];
        if pairs.iter().any(|kind| message.get(*kind).is_some()) {
            return Err((508, "Insufficient Capacity"));
        }
        let wants_v6 = match message.get(attribute::REQUESTED_ADDRESS_FAMILY) {
            None | Some([1, ..]) => false,
            Some([2, ..]) => true,
            Some(_) => return Err((440, "Address Family not Supported")),
        };
        let ip = self.peers.iter().map(SocketAddr::ip);
        let mut ip = ip.filter(|ip| ip.is_ipv6() == wants_v6);
        let Some(ip) = ip.next() else {
            return Err((440, "Address Family not Supported"));
        };
        if self.users.get(&username).copied().unwrap_or(0) >= PER_USER {
            return Err((486, "Allocation Quota Reached"));
        }
        let here = self
            .addresses
            .get(&client.remote.ip())
            .copied()
            .unwrap_or(0);
        if self.allocations.len() >= ALLOCATIONS || here >= PER_ADDRESS {
            return Err((508, "Insufficient Capacity"));
        }
        let lifetime = lifetime(message);
        if lifetime.is_zero() {
            return Err(BAD);
        }
        let allocation = Allocation {
            relayed: self.free_address(ip),
            username: username.clone(),
            transaction: message.transaction,
            expires: time.now + lifetime,
            permissions: Vec::new(),
            channels: Vec::new(),
            indications: 0,
            up: Pace::new(time.now),
            down: Pace::new(time.now),
        };
        let reply = allocated(&allocation, message.transaction, client, time.now);
        self.relayed.insert(allocation.relayed, client);
        self.allocations.insert(client, allocation);
        *self.users.entry(username).or_default() += 1;
        *self.addresses.entry(client.remote.ip()).or_default() += 1;
        Ok(reply)
    }

    /// The next address in turn, so that a number comes back as late as possible. There are more than
    /// allocations.
    fn free_address(&mut self, ip: IpAddr) -> SocketAddr {
        loop {
            let address = SocketAddr::new(ip, self.next_port);
            self.next_port = match self.next_port + 1 {
                port if port < PORTS.end => port,
                _ => PORTS.start,
            };
            if !self.relayed.contains_key(&address) && !self.peers.contains(&address) {
                return address;
            }
        }
    }

    fn refresh(
        &mut self,
        client: &Client,
        message: &Message<'_>,
        now: Instant,
    ) -> Result<Writer, Refused> {
        let allocation = self.allocations.get_mut(client).ok_or(MISMATCH)?;
        let family = message.get(attribute::REQUESTED_ADDRESS_FAMILY);
        let own: u8 = if allocation.relayed.is_ipv4() { 1 } else { 2 };
        if family.is_some_and(|family| family.first() != Some(&own)) {
            return Err((443, "Peer Address Family Mismatch"));
        }
        let lifetime = lifetime(message);
        allocation.expires = now + lifetime;
        if lifetime.is_zero() {
            self.remove(client);
        }
        let seconds = lifetime.as_secs() as u32;
        let reply = Writer::new(Class::Success, method::REFRESH, message.transaction);
        Ok(reply.with(attribute::LIFETIME, &seconds.to_be_bytes()))
    }

    fn create_permission(
        &mut self,
        client: &Client,
        message: &Message<'_>,
        now: Instant,
    ) -> Result<Writer, Refused> {
        let wanted: Option<Vec<SocketAddr>> =
            message.addresses(attribute::XOR_PEER_ADDRESS).collect();
        let wanted = wanted.filter(|it| !it.is_empty()).ok_or(BAD)?;
        let known = |wanted: &SocketAddr| self.peers.iter().any(|it| it.ip() == wanted.ip());
        if !wanted.iter().all(known) {
            return Err(FORBIDDEN);
        }
        let allocation = self.allocations.get_mut(client).ok_or(MISMATCH)?;
        for peer in wanted {
            allocation.permit(peer.ip(), now);
        }
        let method = method::CREATE_PERMISSION;
        Ok(Writer::new(Class::Success, method, message.transaction))
    }

    fn channel_bind(
        &mut self,
        client: &Client,
        message: &Message<'_>,
        now: Instant,
    ) -> Result<Writer, Refused> {
        let number = message.number(attribute::CHANNEL_NUMBER).ok_or(BAD)?;
        let number = u16::try_from(number >> 16).map_err(|_| BAD)?;
        let peer = message.address(attribute::XOR_PEER_ADDRESS).ok_or(BAD)?;
        if !CHANNELS.contains(&number) {
            return Err(BAD);
        }
        if !self.peers.contains(&peer) {
            return Err(FORBIDDEN);
        }
        let allocation = self.allocations.get_mut(client).ok_or(MISMATCH)?;
        if !allocation.bind(number, peer, now) {
            return Err(BAD);
        }
        allocation.permit(peer.ip(), now);
        let method = method::CHANNEL_BIND;
        Ok(Writer::new(Class::Success, method, message.transaction))
    }
}

fn release<K: std::hash::Hash + Eq, Q>(counts: &mut HashMap<K, usize>, key: &Q)
where
    K: std::borrow::Borrow<Q>,
    Q: std::hash::Hash + Eq + ?Sized,
{
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

fn allocated(
    allocation: &Allocation,
    transaction: TransactionId,
    client: Client,
    now: Instant,
) -> Writer {
    let left = allocation.expires.saturating_duration_since(now);
    let seconds = left.as_secs() as u32;
    Writer::new(Class::Success, method::ALLOCATE, transaction)
        .with_address(attribute::XOR_RELAYED_ADDRESS, allocation.relayed)
        .with(attribute::LIFETIME, &seconds.to_be_bytes())
        .with_address(attribute::XOR_MAPPED_ADDRESS, client.remote)
}

fn lifetime(message: &Message<'_>) -> Duration {
    match message.number(attribute::LIFETIME) {
        None => LIFETIME,
        Some(0) => Duration::ZERO,
        Some(seconds) => Duration::from_secs(seconds.into()).clamp(LIFETIME, LIFETIME_MAX),
    }
}

/// Kinds that must be understood and are not (RFC 8489, 6.3.1), in the form of the error's attribute.
fn unknown_attributes(message: &Message<'_>) -> Vec<u8> {
    const OPTIONAL: u16 = 0x8000;
    const KNOWN: [u16; 13] = [
        attribute::USERNAME,
        attribute::MESSAGE_INTEGRITY,
        attribute::CHANNEL_NUMBER,
        attribute::LIFETIME,
        attribute::XOR_PEER_ADDRESS,
        attribute::DATA,
        attribute::REALM,
        attribute::NONCE,
        attribute::REQUESTED_ADDRESS_FAMILY,
        attribute::EVEN_PORT,
        attribute::REQUESTED_TRANSPORT,
        attribute::DONT_FRAGMENT,
        attribute::RESERVATION_TOKEN,
    ];
    message
        .attributes()
        .map(|it| it.0)
        .filter(|kind| kind & OPTIONAL == 0 && !KNOWN.contains(kind))
        .flat_map(u16::to_be_bytes)
        .collect()
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
