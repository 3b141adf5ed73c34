//! As much of X.509 (RFC 5280) as a person should be told about the server's own certificate.

use anyhow::{Context, Result};
use meetmind_core::Timestamp;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use sha2::{Digest as _, Sha256};

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// What is told of a certificate.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    /// SHA-256 over the whole, as browsers show it: pairs of capital digits with colons.
    pub(crate) fingerprint: String,
    /// When it ends to be valid.
    pub(crate) ends: Timestamp,
    /// It vouches for itself: no browser trusts it unasked.
    pub(crate) self_signed: bool,
    der: CertificateDer<'static>,
}

impl Certificate {
    /// Reads the fields of a certificate.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn read(der: &CertificateDer<'_>) -> Result<Self> {
        let fields = fields(der).context("this is no X.509 certificate")?;
        let digest = Sha256::digest(der);
        let pairs: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
        Ok(Self {
            fingerprint: pairs.join(":"),
            ends: fields.ends,
            self_signed: fields.self_signed,
            der: der.clone().into_owned(),
        })
    }

    /// Whole days until it ends; negative when it has.
    pub(crate) fn days_left(&self, now: Timestamp) -> i64 {
        (self.ends.micros() - now.micros()).div_euclid(86_400_000_000)
    }

    /// Whether it was made for this host, a name or an address.
    pub(crate) fn is_for(&self, host: &str) -> bool {
        let host = host.trim_matches(['[', ']']);
        let (Ok(name), Ok(certificate)) = (
            ServerName::try_from(host),
            ParsedCertificate::try_from(&self.der),
        ) else {
            return false;
        };
        rustls::client::verify_server_name(&certificate, &name).is_ok()
    }
}

struct Fields {
    ends: Timestamp,
    self_signed: bool,
}

/// Walks to the validity; total, and no further than it must.
fn fields(der: &[u8]) -> Option<Fields> {
    let (tag, certificate, _) = element(der)?;
    let (inner_tag, mut rest, _) = element(certificate)?;
    if (tag, inner_tag) != (SEQUENCE, SEQUENCE) {
        return None;
    }
    if *rest.first()? == VERSION {
        (_, _, rest) = element(rest)?;
    }
    // The serial number and the signature's algorithm.
    for _ in 0..2 {
        (_, _, rest) = element(rest)?;
    }
    let (_, issuer, rest) = element(rest)?;
    let (_, validity, rest) = element(rest)?;
    let (_, subject, _) = element(rest)?;
    let (_, _, end) = element(validity)?;
    let (tag, text, _) = element(end)?;
    Some(Fields {
        ends: time(tag, text)?,
        self_signed: issuer == subject,
    })
}

/// Tag, content and what follows of one DER element.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match usize::from(*first) {
        short @ 0..=0x7f => (short, rest),
        long @ 0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(long - 0x80)?;
            let length = bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn time(tag: u8, text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok().filter(|it| it.is_ascii())?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let century = if year < "50" { "20" } else { "19" };
            (format!("{century}{year}"), rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.to_owned(), rest)
        }
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2);
    let text = format!(
        "{year}-{}-{}T{}:{}:{}Z",
        part(0)?,
        part(2)?,
        part(4)?,
        part(6)?,
        part(8)?
    );
    Timestamp::parse(&text).ok()
}
