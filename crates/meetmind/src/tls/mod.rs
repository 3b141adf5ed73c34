//! TLS for the one port: certificates from files, or one that this instance makes for the local network.
//!
//! New files are taken while the server runs, without a word to connections that are open: rustls asks
//! for the certificate at every handshake.

mod certificate;
mod half_open;
mod plain;
mod self_signed;
#[cfg(test)]
mod tests;

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use axum::Router;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub(crate) use certificate::Certificate;
pub(crate) use half_open::Greeting;
use half_open::HalfOpen;

use crate::config::TlsFiles;

/// From the connection to the end of the handshake. A phone on a bad network needs two or three round
/// trips of a second.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A certificate that ends sooner is worth a warning.
pub(crate) const ENDS_SOON_DAYS: i64 = 14;
/// The first byte of a TLS handshake record; no HTTP method begins with it.
const HANDSHAKE_RECORD: u8 = 0x16;

/// What a new connection turned out to be.
pub(crate) enum Arrival {
    /// TLS is agreed.
    Secure(Box<TlsStream<TcpStream>>),
    /// Somebody speaks plain HTTP; to be answered with [`Tls::plain`].
    Plain(TcpStream),
}

/// TLS as the listening port uses it.
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    keys: Arc<Keys>,
    files: TlsFiles,
    half_open: Arc<HalfOpen>,
    /// Answers what comes without TLS.
    plain: Router,
}

/// The certificate that the next handshake shows.
#[derive(Debug)]
struct Keys(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Keys {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl Keys {
    fn current(&self) -> Arc<CertifiedKey> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn replace(&self, key: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
    }
}

impl Tls {
    /// Reads the files; a self-signed certificate is made first when there is none that still counts.
    /// `public_url` is where plain requests are sent, `connections` how many the port takes in all.
    ///
    /// # Errors
    /// A file that cannot be read, holds something else, or a key of another certificate.
    pub(crate) fn open(files: TlsFiles, public_url: &str, connections: usize) -> Result<Self> {
        if files.self_signed {
            let host = url::Url::parse(public_url).ok();
            let host = host.as_ref().and_then(url::Url::host_str);
            self_signed::ensure(&files, host)?;
        }
        let keys = Arc::new(Keys(RwLock::new(Arc::new(load(&files)?))));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(keys.clone());
        // WebSockets need it, and the server speaks nothing else.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            keys,
            files,
            half_open: HalfOpen::new(connections),
            plain: plain::router(public_url),
        })
    }

    /// The certificate in use.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn certificate(&self) -> Result<Certificate> {
        let key = self.keys.current();
        Certificate::read(key.cert.first().context("no certificate")?)
    }

    /// A place among the connections that have not agreed on TLS yet; none when there are too many, in
    /// all or from this address.
    pub(crate) fn admit(&self, from: IpAddr) -> Option<Greeting> {
        HalfOpen::admit(&self.half_open, from)
    }

    /// What answers a plain request.
    pub(crate) fn plain(&self) -> Router {
        self.plain.clone()
    }

    /// Agrees on TLS, or finds out that the other side speaks none; gives up after ten seconds.
    ///
    /// # Errors
    /// The other side went away, took too long, or cannot agree.
    pub(crate) async fn greet(&self, stream: TcpStream) -> io::Result<Arrival> {
        let greeting = async {
            let mut first = [0];
            if stream.peek(&mut first).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if first[0] != HANDSHAKE_RECORD {
                return Ok(Arrival::Plain(stream));
            }
            let stream = self.acceptor.accept(stream).await?;
            Ok(Arrival::Secure(Box::new(stream)))
        };
        tokio::time::timeout(HANDSHAKE, greeting).await?
    }

    /// Looks at the files from time to time and takes what is new. Never ends.
    pub(crate) async fn watch(self: Arc<Self>) {
        let mut seen = marks(&self.files);
        let mut told = String::new();
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            ticks.tick().await;
            let now = marks(&self.files);
            if now == seen {
                continue;
            }
            match self.reload() {
                Ok(certificate) => {
                    seen = now;
                    told.clear();
                    tracing::info!(
                        fingerprint = certificate.fingerprint,
                        ends = %certificate.ends,
                        "took a new certificate"
                    );
                }
                // Two files are never replaced at the same moment: tried again until they fit.
                Err(error) => {
                    let error = format!("{error:#}");
                    if error != told {
                        tracing::warn!(
                            error,
                            "the new certificate cannot be used; the old one stays"
                        );
                        told = error;
                    }
                }
            }
        }
    }

    /// Takes the files as they are now.
    ///
    /// # Errors
    /// They cannot be used; what was in use stays.
    pub(crate) fn reload(&self) -> Result<Certificate> {
        let key = load(&self.files)?;
        let certificate = Certificate::read(key.cert.first().context("no certificate")?)?;
        self.keys.replace(key);
        Ok(certificate)
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// The certificate chain and its key.
fn load(files: &TlsFiles) -> Result<CertifiedKey> {
    let chain = read_chain(&files.cert)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| {
        anyhow::anyhow!(
            "tls.key: {}: {}",
            files.key.display(),
            pem_fault(&error, "private key")
        )
    })?;
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key)
        .with_context(|| format!("tls.key: {}", files.key.display()))?;
    let key = CertifiedKey::new(chain, key);
    let fits = !matches!(
        key.keys_match(),
        Err(rustls::Error::InconsistentKeys(
            rustls::InconsistentKeys::KeyMismatch
        ))
    );
    ensure!(
        fits,
        "tls.key: {} belongs to another certificate than {}",
        files.key.display(),
        files.cert.display()
    );
    Ok(key)
}

/// The certificates of a PEM file, the server's own first.
fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let shown = path.display();
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| {
            anyhow::anyhow!("tls.cert: {shown}: {}", pem_fault(&error, "certificate"))
        })?;
    let first = chain
        .first()
        .with_context(|| format!("tls.cert: {shown} holds no certificate"))?;
    Certificate::read(first).with_context(|| format!("tls.cert: {shown}"))?;
    Ok(chain)
}

fn pem_fault(error: &rustls::pki_types::pem::Error, what: &str) -> String {
    match error {
        rustls::pki_types::pem::Error::NoItemsFound => format!("holds no {what} in PEM form"),
        rustls::pki_types::pem::Error::Io(error) => format!("cannot be read: {error}"),
        error => error.to_string(),
    }
}

/// What tells that a file was replaced, also through a link.
type Marks = Vec<Option<(SystemTime, u64, u64)>>;

fn marks(files: &TlsFiles) -> Marks {
    use std::os::unix::fs::MetadataExt as _;
    let mark = |path: &PathBuf| {
        let data = std::fs::metadata(path).ok()?;
        Some((data.modified().ok()?, data.len(), data.ino()))
    };
    [&files.cert, &files.key].map(mark).to_vec()
}
