//! Requests of the relay: who asks, and for what.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::allocation::{Allocation, Pace};
use super::{
    ALLOCATIONS, CHANNELS, Client, Outcome, PER_ADDRESS, PER_USER, PORTS, REALM, Relay, Time,
    credentials,
};
use crate::stun::{Class, Message, TransactionId, Writer, attribute, method};

/// How long an allocation lives that nobody refreshes, and the most one may ask for.
const LIFETIME: Duration = Duration::from_secs(600);
const LIFETIME_MAX: Duration = Duration::from_secs(3_600);
/// The protocol number of the only transport that is relayed.
const UDP: u8 = 17;

/// Why a request fails: code and reason of RFC 8656, 19.
type Refused = (u16, &'static str);

const BAD: Refused = (400, "Bad Request");
const UNAUTHORIZED: Refused = (401, "Unauthorized");
const FORBIDDEN: Refused = (403, "Forbidden");
const MISMATCH: Refused = (437, "Allocation Mismatch");
const STALE: Refused = (438, "Stale Nonce");
const WRONG_USER: Refused = (441, "Wrong Credentials");

impl Relay {
    pub(super) fn request(
        &mut self,
        client: Client,
        message: &Message<'_>,
        time: Time,
    ) -> Outcome<'static> {
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
