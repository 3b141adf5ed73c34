//! Connections of the command line's own: TCP, TLS, WebSocket, each step by itself, so that an error
//! names the one that failed.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::{self, http};
use tokio_tungstenite::{WebSocketStream, client_async};
use url::Url;

/// How long one step may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes to and from a server, over TLS or not.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// An open WebSocket.
pub(crate) type Socket = WebSocketStream<Box<dyn Wire>>;

/// The step that failed, with what was said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DialError {
    #[error("{0} is no address of a server")]
    Address(String),
    #[error("the name {0} is not known: {1}")]
    Name(String, String),
    #[error("{0} does not answer: {1}")]
    Tcp(String, String),
    #[error("no TLS with {0}: {1}")]
    Tls(String, String),
    /// Status and text of an answer that is no upgrade.
    #[error("answered {0}: {1}")]
    Status(u16, String),
    #[error("no WebSocket: {0}")]
    Upgrade(String),
}

/// Where a URL leads.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) secure: bool,
}

impl Place {
    /// http, https, ws or wss.
    pub(crate) fn of(url: &Url) -> Result<Self, DialError> {
        let (secure, default) = match url.scheme() {
            "http" | "ws" => (false, 80),
            "https" | "wss" => (true, 443),
            _ => return Err(DialError::Address(url.to_string())),
        };
        let host = url
            .host_str()
            .ok_or_else(|| DialError::Address(url.to_string()))?;
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(default),
            secure,
        })
    }

    /// The addresses of the host, not empty.
    pub(crate) async fn resolve(&self) -> Result<Vec<SocketAddr>, DialError> {
        let failed = |why: String| DialError::Name(self.host.clone(), why);
        let found = timeout(
            PATIENCE,
            tokio::net::lookup_host((self.host.as_str(), self.port)),
        )
        .await
        .map_err(|_| failed("no answer in time".to_owned()))?;
        let found: Vec<SocketAddr> = found.map_err(|error| failed(error.to_string()))?.collect();
        if found.is_empty() {
            return Err(failed("it has no address".to_owned()));
        }
        Ok(found)
    }
}

/// Connects to one of the addresses, the first that answers.
pub(crate) async fn tcp(addresses: &[SocketAddr]) -> Result<TcpStream, DialError> {
    let mut last = DialError::Tcp("the server".to_owned(), "no address".to_owned());
    for address in addresses {
        let failed = |why: String| DialError::Tcp(address.to_string(), why);
        match timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Small messages, wanted at once.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = failed(error.to_string()),
            Err(_) => last = failed("no answer in time".to_owned()),
        }
    }
    Err(last)
}

/// TLS as a browser would want it; `trusted` is a certificate (PEM) that counts beside the system's.
pub(crate) async fn tls(
    stream: TcpStream,
    host: &str,
    trusted: Option<&Path>,
) -> Result<Box<dyn Wire>, DialError> {
    let failed = |why: String| DialError::Tls(host.to_owned(), why);
    let config = client_config(trusted).map_err(|error| failed(error.to_string()))?;
    let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(error.to_string()))?;
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    match timeout(PATIENCE, connecting).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed("no answer in time".to_owned())),
    }
}

fn client_config(trusted: Option<&Path>) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let extra: Vec<CertificateDer<'static>> = trusted
        .and_then(|path| CertificateDer::pem_file_iter(path).ok())
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .collect();
    let verifier =
        rustls_platform_verifier::Verifier::new_with_extra_roots(extra, provider.clone())?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        // "Dangerous" is any verifier but the webpki one; this is the system's own.
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// TCP, and TLS where the URL says so.
pub(crate) async fn wire(url: &Url, trusted: Option<&Path>) -> Result<Box<dyn Wire>, DialError> {
    let place = Place::of(url)?;
    let stream = tcp(&place.resolve().await?).await?;
    if place.secure {
        tls(stream, &place.host, trusted).await
    } else {
        Ok(Box::new(stream))
    }
}

/// Opens a WebSocket over a wire. `url` may be http or https as well.
pub(crate) async fn upgrade(wire: Box<dyn Wire>, url: &Url) -> Result<Socket, DialError> {
    // The URL counts for the request only; the wire has decided on TLS.
    let text = url.as_str();
    let text = match url.scheme() {
        "http" => text.replacen("http", "ws", 1),
        "https" => text.replacen("https", "wss", 1),
        _ => text.to_owned(),
    };
    match timeout(PATIENCE, client_async(text, wire)).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(tungstenite::Error::Http(answer))) => Err(status(&answer)),
        Ok(Err(error)) => Err(DialError::Upgrade(error.to_string())),
        Err(_) => Err(DialError::Upgrade("no answer in time".to_owned())),
    }
}

fn status(answer: &http::Response<Option<Vec<u8>>>) -> DialError {
    let body = answer.body().as_deref().unwrap_or_default();
    let text = String::from_utf8_lossy(&body[..body.len().min(200)]);
    DialError::Status(answer.status().as_u16(), text.trim().to_owned())
}
