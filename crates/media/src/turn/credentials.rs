//! Credentials that end by themselves: the user name holds the end, the password is a MAC of the user
//! name (coturn's "TURN REST API", draft-uberti-behave-turn-rest). Nothing is stored.

use std::net::IpAddr;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

/// How long a nonce counts, in seconds.
const NONCE_S: u64 = 3_600;
/// Characters of a nonce's MAC.
const NONCE_MAC: usize = 24;

/// The relay's secret. Whoever knows it makes credentials.
#[derive(Clone)]
pub struct TurnSecret {
    passwords: hmac::Key,
    nonces: hmac::Key,
}

impl std::fmt::Debug for TurnSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TurnSecret")
    }
}

/// What a participant is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnCredentials {
    /// When it ends, and whose it is.
    pub username: String,
    /// The MAC.
    pub password: String,
}

impl TurnSecret {
    /// From bytes that nobody can guess.
    pub fn new(secret: &[u8]) -> Self {
        // The scheme of passwords is fixed (HMAC-SHA1); nonces are our own.
        Self {
            passwords: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret),
            nonces: hmac::Key::new(hmac::HMAC_SHA256, secret),
        }
    }

    /// Credentials for `whose` that open new allocations until `ends_s` (seconds since 1970).
    pub fn credentials(&self, whose: &str, ends_s: u64) -> TurnCredentials {
        let username = format!("{ends_s}:{whose}");
        let password = self.password(&username);
        TurnCredentials { username, password }
    }

    fn password(&self, username: &str) -> String {
        STANDARD.encode(hmac::sign(&self.passwords, username.as_bytes()))
    }

    /// The key that a user's messages are signed with (RFC 8489, 9.2.2).
    pub(super) fn key(&self, username: &str, realm: &str) -> [u8; 16] {
        long_term_key(username, realm, &self.password(username))
    }

    /// A nonce for this address; it tells by itself whether it is old.
    pub(super) fn nonce(&self, ip: IpAddr, now_s: u64) -> String {
        format!("{now_s:x}-{}", self.nonce_mac(ip, now_s))
    }

    pub(super) fn nonce_is_good(&self, nonce: &str, ip: IpAddr, now_s: u64) -> bool {
        let Some((made, mac)) = nonce.split_once('-') else {
            return false;
        };
        u64::from_str_radix(made, 16).is_ok_and(|made| {
            made <= now_s && now_s - made < NONCE_S && mac == self.nonce_mac(ip, made)
        })
    }

    fn nonce_mac(&self, ip: IpAddr, made_s: u64) -> String {
        let mac = hmac::sign(&self.nonces, format!("{made_s}|{ip}").as_bytes());
        let hex = mac.as_ref().iter().map(|byte| format!("{byte:02x}"));
        hex.collect::<String>().chars().take(NONCE_MAC).collect()
    }
}

/// MD5 over name, realm and password: what RFC 8489 fixes, and every client speaks.
pub fn long_term_key(username: &str, realm: &str, password: &str) -> [u8; 16] {
    Md5::digest(format!("{username}:{realm}:{password}")).into()
}

/// When a user name ends, in seconds since 1970.
pub(super) fn ends_s(username: &str) -> Option<u64> {
    username.split_once(':')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_that_of_the_standard() {
        // RFC 8489, 9.2.2: the example of a long-term key.
        let key = long_term_key("user", "realm", "pass");
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "8493fbc53ba582fb4c044c456bdc40eb");
    }

    #[test]
    fn a_nonce_is_for_one_address_and_an_hour() {
        let secret = TurnSecret::new(b"s");
        let (ip, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let nonce = secret.nonce(ip, 1_000);
        assert!(secret.nonce_is_good(&nonce, ip, 1_000 + NONCE_S - 1));
        assert!(!secret.nonce_is_good(&nonce, ip, 1_000 + NONCE_S));
        assert!(!secret.nonce_is_good(&nonce, other, 1_000));
        assert!(!TurnSecret::new(b"t").nonce_is_good(&nonce, ip, 1_000));
        assert!(!secret.nonce_is_good("", ip, 1_000));
    }
}
