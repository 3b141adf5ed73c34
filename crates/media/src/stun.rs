//! STUN messages (RFC 8489): read without trust, written with integrity. For the relay, and for whoever
//! checks from outside that a port answers; the ICE of calls is str0m's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use aws_lc_rs::hmac;

const HEADER_BYTES: usize = 20;
const COOKIE: u32 = 0x2112_A442;
/// A list without end is hostile; no message of ICE or TURN has this many.
const ATTRIBUTES: usize = 32;
const FINGERPRINT_XOR: u32 = 0x5354_554e;
const INTEGRITY_BYTES: usize = 20;

/// The largest message that is read, in bytes: one datagram.
pub const MAX_BYTES: usize = 2048;

/// Methods of STUN and TURN (RFC 8656, 17).
pub mod method {
    /// What is my address, and are you there.
    pub const BINDING: u16 = 0x001;
    /// Give me a relayed address.
    pub const ALLOCATE: u16 = 0x003;
    /// Keep it, or take it back.
    pub const REFRESH: u16 = 0x004;
    /// Data for a peer.
    pub const SEND: u16 = 0x006;
    /// Data from a peer.
    pub const DATA: u16 = 0x007;
    /// Let this peer's data through.
    pub const CREATE_PERMISSION: u16 = 0x008;
    /// A short number for a peer.
    pub const CHANNEL_BIND: u16 = 0x009;
}

/// Attributes that are read or written here.
pub mod attribute {
    /// XORed like all addresses of TURN.
    pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    /// Who asks.
    pub const USERNAME: u16 = 0x0006;
    /// HMAC-SHA1 over what precedes it.
    pub const MESSAGE_INTEGRITY: u16 = 0x0008;
    /// Why not.
    pub const ERROR_CODE: u16 = 0x0009;
    /// What was not understood.
    pub const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
    /// A bound channel.
    pub const CHANNEL_NUMBER: u16 = 0x000c;
    /// Seconds.
    pub const LIFETIME: u16 = 0x000d;
    /// The other side of the relay.
    pub const XOR_PEER_ADDRESS: u16 = 0x0012;
    /// What is relayed.
    pub const DATA: u16 = 0x0013;
    /// Under which name passwords are kept.
    pub const REALM: u16 = 0x0014;
    /// To be repeated with the credentials.
    pub const NONCE: u16 = 0x0015;
    /// The relay's own end.
    pub const XOR_RELAYED_ADDRESS: u16 = 0x0016;
    /// IPv4 or IPv6.
    pub const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
    /// An even port, perhaps with the next one.
    pub const EVEN_PORT: u16 = 0x0018;
    /// What the relay sends by; only UDP.
    pub const REQUESTED_TRANSPORT: u16 = 0x0019;
    /// Forbid fragments.
    pub const DONT_FRAGMENT: u16 = 0x001a;
    /// A port that was kept.
    pub const RESERVATION_TOKEN: u16 = 0x0022;
    /// ICE: how good the candidate is.
    pub const PRIORITY: u16 = 0x0024;
    /// CRC-32, to tell STUN from other packets.
    pub const FINGERPRINT: u16 = 0x8028;
    /// The program's name.
    pub const SOFTWARE: u16 = 0x8022;
    /// ICE: this side decides.
    pub const ICE_CONTROLLING: u16 = 0x802a;
}

/// What kind of message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Wants an answer.
    Request,
    /// Wants none.
    Indication,
    /// The answer.
    Success,
    /// The answer, with an error code.
    Error,
}

/// Names a request and its answer.
pub type TransactionId = [u8; 12];

/// A message that was read; borrows the datagram.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Its kind.
    pub class: Class,
    /// One of [`method`].
    pub method: u16,
    /// Repeated in the answer.
    pub transaction: TransactionId,
    bytes: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads a whole message. None for anything else: total, and bounded by the datagram.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (header, body) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let kind = u16::from_be_bytes([header[0], header[1]]);
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let sound = kind & 0xc000 == 0
            && header[4..8] == COOKIE.to_be_bytes()
            && length == body.len()
            && length.is_multiple_of(4)
            && bytes.len() <= MAX_BYTES;
        if !sound {
            return None;
        }
        let class = match (kind >> 7 & 2) | (kind >> 4 & 1) {
            0 => Class::Request,
            1 => Class::Indication,
            2 => Class::Success,
            _ => Class::Error,
        };
        let mut transaction = [0; 12];
        transaction.copy_from_slice(&header[8..]);
        let message = Self {
            class,
            method: kind & 0xf | kind >> 1 & 0x70 | kind >> 2 & 0xf80,
            transaction,
            bytes,
        };
        // All attributes lie within the message, and there are not too many.
        let mut at = HEADER_BYTES;
        for _ in 0..=ATTRIBUTES {
            if at == bytes.len() {
                return Some(message);
            }
            (_, _, at) = attribute_at(bytes, at)?;
        }
        None
    }

    /// The attributes in order, up to the integrity: what follows it, nobody vouches for.
    pub fn attributes(&self) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
        let (bytes, mut at, mut over) = (self.bytes, HEADER_BYTES, false);
        std::iter::from_fn(move || {
            let (kind, value, next) = attribute_at(bytes, at).filter(|_| !over)?;
            over = kind == attribute::MESSAGE_INTEGRITY;
            at = next;
            Some((kind, value))
        })
    }

    /// The first attribute of a kind.
    pub fn get(&self, kind: u16) -> Option<&'a [u8]> {
        self.attributes().find(|it| it.0 == kind).map(|it| it.1)
    }

    /// An attribute that is text.
    pub fn text(&self, kind: u16) -> Option<&'a str> {
        std::str::from_utf8(self.get(kind)?).ok()
    }

    /// An attribute of four bytes.
    pub fn number(&self, kind: u16) -> Option<u32> {
        Some(u32::from_be_bytes(self.get(kind)?.try_into().ok()?))
    }

    /// The first address of a kind.
    pub fn address(&self, kind: u16) -> Option<SocketAddr> {
        unxor(self.get(kind)?, &self.transaction)
    }

    /// All addresses of a kind.
    pub fn addresses(&self, kind: u16) -> impl Iterator<Item = Option<SocketAddr>> + use<'a> {
        let transaction = self.transaction;
        self.attributes()
            .filter(move |it| it.0 == kind)
            .map(move |it| unxor(it.1, &transaction))
    }

    /// The error code of an error, such as 401.
    pub fn error_code(&self) -> Option<u16> {
        let value = self.get(attribute::ERROR_CODE)?;
        Some(u16::from(value.get(2)? & 7) * 100 + u16::from(*value.get(3)?))
    }

    /// Whether the message was made by somebody who knows the key. Compares in constant time.
    pub fn is_by(&self, key: &[u8]) -> bool {
        let mut at = HEADER_BYTES;
        while let Some((kind, value, next)) = attribute_at(self.bytes, at) {
            if kind == attribute::MESSAGE_INTEGRITY {
                // The length counts as if the integrity were the last attribute.
                let length = at + 4 + INTEGRITY_BYTES - HEADER_BYTES;
                let mut covered = self.bytes.get(..at).unwrap_or_default().to_vec();
                if let (Some(slot), Ok(length)) = (covered.get_mut(2..4), u16::try_from(length)) {
                    slot.copy_from_slice(&length.to_be_bytes());
                }
                let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
                return hmac::verify(&key, &covered, value).is_ok();
            }
            at = next;
        }
        false
    }
}

/// Kind, value and where the next attribute begins.
fn attribute_at(bytes: &[u8], at: usize) -> Option<(u16, &[u8], usize)> {
    let head = bytes.get(at..at + 4)?;
    let kind = u16::from_be_bytes([head[0], head[1]]);
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let value = bytes.get(at + 4..at + 4 + length)?;
    let next = at + 4 + length.next_multiple_of(4);
    (next <= bytes.len()).then_some((kind, value, next))
}

/// Writes a message, attribute by attribute.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
    transaction: TransactionId,
}

impl Writer {
    /// Begins a message.
    pub fn new(class: Class, method: u16, transaction: TransactionId) -> Self {
        let class = match class {
            Class::Request => 0,
            Class::Indication => 0x010,
            Class::Success => 0x100,
            Class::Error => 0x110,
        };
        let kind = method & 0xf | (method & 0x70) << 1 | (method & 0xf80) << 2 | class;
        let mut bytes = Vec::with_capacity(128);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(COOKIE.to_be_bytes());
        bytes.extend(transaction);
        Self { bytes, transaction }
    }

    /// Adds an attribute. Values are shorter than 64 KiB by their nature; a longer one is left out.
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Self {
        if let Ok(length) = u16::try_from(value.len()) {
            self.bytes.extend(kind.to_be_bytes());
            self.bytes.extend(length.to_be_bytes());
            self.bytes.extend(value);
            let whole = self.bytes.len().next_multiple_of(4);
            self.bytes.resize(whole, 0);
        }
        self
    }

    /// Adds an address, XORed.
    #[must_use]
    pub fn with_address(self, kind: u16, address: SocketAddr) -> Self {
        let value = xored(address, &self.transaction);
        self.with(kind, &value)
    }

    /// Adds an error code with its reason.
    #[must_use]
    pub fn with_error(self, code: u16, reason: &str) -> Self {
        let mut value = vec![0, 0, (code / 100) as u8, (code % 100) as u8];
        value.extend(reason.as_bytes());
        self.with(attribute::ERROR_CODE, &value)
    }

    /// Signs what was added so far.
    #[must_use]
    pub fn signed(mut self, key: &[u8]) -> Self {
        self.set_length(4 + INTEGRITY_BYTES);
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
        let tag = hmac::sign(&key, &self.bytes);
        self.with(attribute::MESSAGE_INTEGRITY, tag.as_ref())
    }

    /// The message, with its fingerprint.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.set_length(8);
        let mut crc = flate2::Crc::new();
        crc.update(&self.bytes);
        let sum = (crc.sum() ^ FINGERPRINT_XOR).to_be_bytes();
        self.with(attribute::FINGERPRINT, &sum).bytes
    }

    /// The message as it is; for data, where a fingerprint would only cost.
    #[must_use]
    pub fn bare(mut self) -> Vec<u8> {
        self.set_length(0);
        self.bytes
    }

    fn set_length(&mut self, more: usize) {
        let length = u16::try_from(self.bytes.len() - HEADER_BYTES + more).unwrap_or(u16::MAX);
        if let Some(slot) = self.bytes.get_mut(2..4) {
            slot.copy_from_slice(&length.to_be_bytes());
        }
    }
}

/// RFC 8489, 14.2.
fn xored(address: SocketAddr, transaction: &TransactionId) -> Vec<u8> {
    let port = address.port() ^ (COOKIE >> 16) as u16;
    let family = if address.is_ipv4() { 1 } else { 2 };
    let mut value = vec![0, family];
    value.extend(port.to_be_bytes());
    match address.ip() {
        IpAddr::V4(ip) => value.extend((ip.to_bits() ^ COOKIE).to_be_bytes()),
        IpAddr::V6(ip) => value.extend((ip.to_bits() ^ mask(transaction)).to_be_bytes()),
    }
    value
}

fn unxor(value: &[u8], transaction: &TransactionId) -> Option<SocketAddr> {
    let (head, rest) = value.split_first_chunk::<4>()?;
    let port = u16::from_be_bytes([head[2], head[3]]) ^ (COOKIE >> 16) as u16;
    let ip = match (head[1], rest.len()) {
        (1, 4) => {
            let bits = u32::from_be_bytes(rest.try_into().ok()?);
            IpAddr::V4(Ipv4Addr::from_bits(bits ^ COOKIE))
        }
        (2, 16) => {
            let bits = u128::from_be_bytes(rest.try_into().ok()?);
            IpAddr::V6(Ipv6Addr::from_bits(bits ^ mask(transaction)))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn mask(transaction: &TransactionId) -> u128 {
    transaction.iter().fold(u128::from(COOKIE), |mask, byte| {
        mask << 8 | u128::from(*byte)
    })
}

/// A check of ICE (RFC 8445, 7.1.1) for the side whose fragment and password an offer named. The answer
/// is signed with the same password.
pub fn ice_check(
    transaction: TransactionId,
    theirs: (&str, &str),
    our_fragment: &str,
    tie_breaker: u64,
) -> Vec<u8> {
    let (fragment, password) = theirs;
    // A host candidate's priority with the lowest preference: it will not be chosen by chance.
    let priority: u32 = 1 << 24 | 255;
    Writer::new(Class::Request, method::BINDING, transaction)
        .with(
            attribute::USERNAME,
            format!("{fragment}:{our_fragment}").as_bytes(),
        )
        .with(attribute::PRIORITY, &priority.to_be_bytes())
        .with(attribute::ICE_CONTROLLING, &tie_breaker.to_be_bytes())
        .signed(password.as_bytes())
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 5769, 2.1: a request with SOFTWARE, PRIORITY, ICE-CONTROLLED, USERNAME, integrity, fingerprint.
    const SAMPLE: &[u8] = b"\x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
        \x80\x22\x00\x10STUN test client\x00\x24\x00\x04\x6e\x00\x01\xff\
        \x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\
        \x00\x06\x00\x09\x65\x76\x74\x6a\x3a\x68\x36\x76\x59\x20\x20\x20\
        \x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2\
        \x80\x28\x00\x04\xe5\x7a\x3b\xcf";
    const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";

    #[test]
    fn the_sample_of_the_standard_is_read_and_verified() {
        let message = Message::read(SAMPLE).expect("a message");
        assert_eq!(
            (message.class, message.method),
            (Class::Request, method::BINDING)
        );
        assert_eq!(message.text(attribute::USERNAME), Some("evtj:h6vY"));
        assert!(message.is_by(PASSWORD) && !message.is_by(b"another"));
    }

    #[test]
    fn the_fingerprint_is_that_of_the_standard() {
        // The sample pads USERNAME with spaces, so that only the checksum over its own bytes can be compared.
        let covered = &SAMPLE[..SAMPLE.len() - 8];
        let mut crc = flate2::Crc::new();
        crc.update(covered);
        let sum = crc.sum() ^ FINGERPRINT_XOR;
        assert_eq!(sum.to_be_bytes(), SAMPLE[SAMPLE.len() - 4..]);
    }

    #[test]
    fn what_follows_the_integrity_does_not_count() {
        let bytes = Writer::new(Class::Request, method::REFRESH, [3; 12])
            .with(attribute::USERNAME, b"me")
            .signed(b"key")
            .with(attribute::LIFETIME, &[0; 4])
            .finish();
        let message = Message::read(&bytes).expect("a message");
        assert!(message.is_by(b"key"));
        assert_eq!(message.number(attribute::LIFETIME), None);
    }

    proptest! {
        #[test]
        fn addresses_and_kinds_come_back(
            ip in any::<IpAddr>(), port in any::<u16>(), transaction in any::<[u8; 12]>(),
            method in 0_u16..0x1000, class in 0_usize..4,
        ) {
            let class = [Class::Request, Class::Indication, Class::Success, Class::Error][class];
            let address = SocketAddr::new(ip, port);
            let bytes = Writer::new(class, method, transaction)
                .with_address(attribute::XOR_PEER_ADDRESS, address)
                .signed(b"key")
                .finish();
            let message = Message::read(&bytes).expect("a message");
            prop_assert_eq!((message.class, message.method), (class, method));
            prop_assert_eq!(message.address(attribute::XOR_PEER_ADDRESS), Some(address));
            prop_assert!(message.is_by(b"key"));
        }

        #[test]
        fn no_bytes_upset_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Some(message) = Message::read(&bytes) {
                let _ = (message.attributes().count(), message.is_by(b"k"), message.error_code());
            }
        }
    }
}
