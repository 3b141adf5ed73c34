//! A certificate for the local network: made once, for the machine's names and addresses.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result};
use meetmind_app::{Clock as _, SystemClock};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};

use super::{Certificate, read_chain};
use crate::config::TlsFiles;
use crate::data_dir;

/// Apple's systems refuse certificates that are valid for more than 825 days.
const VALID_DAYS: i64 = 820;
/// Clocks of other machines may be behind.
const BEFORE_DAYS: i64 = 1;
/// Names and addresses in one certificate; a machine with hundreds of bridges keeps it small.
const NAMES: usize = 40;

/// Makes certificate and key unless there are some that still count. `host` is the one of `public_url`.
pub(super) fn ensure(files: &TlsFiles, host: Option<&str>) -> Result<()> {
    if files.cert.exists() && files.key.exists() {
        let chain = read_chain(&files.cert)?;
        let certificate = Certificate::read(chain.first().context("no certificate")?)?;
        if certificate.days_left(SystemClock.now()) >= 0 {
            return Ok(());
        }
        tracing::warn!("the self-signed certificate has ended: a new one is made");
    }
    let (cert, key) = make(names(host))?;
    if let Some(folder) = files.cert.parent() {
        data_dir::make(folder)?;
    }
    // The key first: a certificate without its key is never found.
    write(&files.key, &pem("PRIVATE KEY", &key))?;
    write(&files.cert, &pem("CERTIFICATE", &cert))
}

/// Names and addresses under which others on the network may reach this machine.
fn names(host: Option<&str>) -> BTreeSet<String> {
    let mut names = BTreeSet::from(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    names.extend(host.map(|host| host.trim_matches(['[', ']']).to_owned()));
    let machine = rustix::system::uname();
    if let Ok(name) = machine.nodename().to_str() {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if !name.contains('.') {
            // How machines of a home or an office find each other (mDNS).
            names.insert(format!("{name}.local"));
        }
        names.insert(name);
    }
    let addresses = meetmind_media::driver::host_addresses().unwrap_or_default();
    let addresses = addresses.iter().map(IpAddr::to_string);
    let room = NAMES.saturating_sub(names.len());
    names.extend(addresses.take(room));
    names
}

/// Certificate and key, in DER.
pub(super) fn make(names: BTreeSet<String>) -> Result<(Vec<u8>, Vec<u8>)> {
    let mut params = CertificateParams::default();
    for name in names {
        let san = match name.parse::<IpAddr>() {
            Ok(ip) => SanType::IpAddress(ip),
            // A machine's name may be no name of the DNS.
            Err(_) => match name.as_str().try_into() {
                Ok(name) => SanType::DnsName(name),
                Err(_) => continue,
            },
        };
        params.subject_alt_names.push(san);
    }
    let now = SystemClock.now().micros() / 1_000_000;
    let now = OffsetDateTime::from_unix_timestamp(now).context("the clock")?;
    params.not_before = now - Duration::days(BEFORE_DAYS);
    params.not_after = now + Duration::days(VALID_DAYS);
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "MeetMind (self-signed)");
    params.distinguished_name = name;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().context("a key cannot be made")?;
    let certificate = params
        .self_signed(&key)
        .context("a certificate cannot be made")?;
    Ok((certificate.der().to_vec(), key.serialize_der()))
}

/// Writes beside and renames, so that nobody reads half a file.
pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    let beside = path.with_extension("new");
    let written = data_dir::private_file(&beside).and_then(|mut file| {
        file.set_len(0)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written
        .and_then(|()| fs::rename(&beside, path))
        .with_context(|| format!("{} cannot be written", path.display()))
}

/// RFC 7468.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}
