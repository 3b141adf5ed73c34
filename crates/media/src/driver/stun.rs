//! As much of STUN (RFC 8489) as is needed to find out whose packet it is: the kind of the message and
//! the first half of USERNAME. Integrity is checked by the peer that the packet is handed to.

const HEADER_BYTES: usize = 20;
const MAGIC_COOKIE: [u8; 4] = 0x2112_A442_u32.to_be_bytes();
const BINDING_REQUEST: u16 = 0x0001;
const USERNAME: u16 = 0x0006;
/// RFC 8489, 14.3: a user name is at most 508 bytes in UTF-8.
const USERNAME_BYTES: usize = 508;
/// RFC 8445, 5.3: a user name fragment has 4 to 256 characters.
const UFRAG_BYTES: std::ops::RangeInclusive<usize> = 4..=256;
/// A binding request of ICE carries seven attributes; a list without end is hostile.
const ATTRIBUTES: usize = 24;

/// What a datagram is, from its first byte (RFC 7983) and, for STUN, its user name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind<'a> {
    /// A STUN binding request; holds the receiver's user name fragment.
    Check {
        /// The part of USERNAME before the colon: the fragment that we gave out.
        ufrag: &'a str,
    },
    /// Anything that belongs to a path already known: DTLS, RTP, RTCP and other STUN messages.
    Established,
    /// Nothing that an ICE peer sends.
    Malformed,
}

/// Says what a datagram is. Total; reads at most 24 attributes.
pub(crate) fn classify(datagram: &[u8]) -> Kind<'_> {
    match datagram.first() {
        Some(0..=3) => stun(datagram).unwrap_or(Kind::Malformed),
        Some(20..=63 | 128..=191) => Kind::Established,
        _ => Kind::Malformed,
    }
}

/// `None` when the message is not well-formed STUN.
fn stun(message: &[u8]) -> Option<Kind<'_>> {
    let (header, body) = message.split_at_checked(HEADER_BYTES)?;
    let length = usize::from(u16_at(header, 2)?);
    if header.get(4..8)? != MAGIC_COOKIE || length != body.len() || !length.is_multiple_of(4) {
        return None;
    }
    if u16_at(header, 0)? != BINDING_REQUEST {
        return Some(Kind::Established);
    }
    let mut rest = body;
    for _ in 0..ATTRIBUTES {
        let (kind, length) = (u16_at(rest, 0)?, usize::from(u16_at(rest, 2)?));
        let value = rest.get(4..4 + length)?;
        if kind == USERNAME {
            return Some(Kind::Check {
                ufrag: receiver(value)?,
            });
        }
        rest = rest.get(4 + length.next_multiple_of(4)..)?;
    }
    None
}

/// The half of the user name that names the receiver.
fn receiver(username: &[u8]) -> Option<&str> {
    if username.len() > USERNAME_BYTES {
        return None;
    }
    let (ours, _) = std::str::from_utf8(username).ok()?.split_once(':')?;
    let ice_char = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
    (UFRAG_BYTES.contains(&ours.len()) && ours.bytes().all(ice_char)).then_some(ours)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}
