//! Single questions to media ports and relays.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use livekit_protocol as proto;
use meetmind_app::Entropy;
use meetmind_media::stun::{self, Class, Writer, attribute, method};
use meetmind_media::turn::long_term_key;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use url::Url;

use crate::dial::{self, Place, Wire};

/// How long an answer may take; a check is sent anew every fifth of it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The address in a signed answer.
pub(super) fn mapped(answer: &[u8], key: &[u8]) -> Result<SocketAddr> {
    let message = stun::Message::read(answer).context("the answer is no STUN")?;
    if let Some(code) = message.error_code() {
        bail!("it refuses the check with {code}");
    }
    ensure!(
        message.class == Class::Success && message.is_by(key),
        "somebody else answers on this port"
    );
    message
        .address(attribute::XOR_MAPPED_ADDRESS)
        .context("the answer has no address")
}

/// Sends a datagram until its answer comes.
pub(super) async fn ask_udp(
    to: SocketAddr,
    message: &[u8],
    transaction: [u8; 12],
) -> Result<Vec<u8>> {
    let any: SocketAddr = if to.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0_u16; 8], 0).into()
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(to).await.context("there is no way there")?;
    let mut buffer = vec![0; stun::MAX_BYTES];
    let mut refused = None;
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if let Err(error) = socket.send(message).await {
            refused = Some(error);
        }
        match timeout(PATIENCE / 5, socket.recv(&mut buffer)).await {
            Ok(Ok(length)) => {
                let bytes = buffer.get(..length).unwrap_or_default();
                if stun::Message::read(bytes).is_some_and(|it| it.transaction == transaction) {
                    return Ok(bytes.to_vec());
                }
            }
            Ok(Err(error)) => {
                refused = Some(error);
                tokio::time::sleep(PATIENCE / 10).await;
            }
            Err(_) => {}
        }
    }
    match refused {
        Some(error) => Err(error.into()),
        None => bail!("no answer within {} s", PATIENCE.as_secs()),
    }
}

/// One frame of RFC 4571 there and back.
pub(super) async fn ask_tcp(to: SocketAddr, message: &[u8]) -> Result<Vec<u8>> {
    let asking = async {
        let mut stream = TcpStream::connect(to).await?;
        stream.write_u16(u16::try_from(message.len())?).await?;
        stream.write_all(message).await?;
        let length = usize::from(stream.read_u16().await?);
        ensure!(length <= stun::MAX_BYTES, "something else listens there");
        let mut answer = vec![0; length];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    };
    timeout(PATIENCE, asking)
        .await
        .with_context(|| format!("no answer within {} s", PATIENCE.as_secs()))?
}

/// An allocation as a browser makes it: refused once for the nonce, then granted.
pub(super) async fn allocate(
    url: &str,
    server: &proto::IceServer,
    trusted: Option<&Path>,
) -> Result<SocketAddr> {
    let (scheme, rest) = url.split_once(':').context("no URL of a relay")?;
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let target: Url = format!(
        "{}://{place}",
        if scheme == "turns" { "https" } else { "http" }
    )
    .parse()
    .context("no URL of a relay")?;
    let mut way = if query.contains("transport=tcp") || scheme == "turns" {
        Way::Stream(dial::wire(&target, trusted).await?)
    } else {
        let addresses = Place::of(&target)?.resolve().await?;
        Way::Udp(*addresses.first().context("no address")?)
    };
    let transaction = Entropy::system().bytes::<12>();
    let first = Writer::new(Class::Request, method::ALLOCATE, transaction)
        .with(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
        .finish();
    let answer = way.ask(&first, transaction).await?;
    let answer = stun::Message::read(&answer).context("the answer is no STUN")?;
    let realm = answer.text(attribute::REALM).context("it names no realm")?;
    let nonce = answer.text(attribute::NONCE).context("it gives no nonce")?;
    let key = long_term_key(&server.username, realm, &server.credential);
    let transaction = Entropy::system().bytes::<12>();
    let second = Writer::new(Class::Request, method::ALLOCATE, transaction)
        .with(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
        .with(attribute::USERNAME, server.username.as_bytes())
        .with(attribute::REALM, realm.as_bytes())
        .with(attribute::NONCE, nonce.as_bytes())
        .signed(&key)
        .finish();
    let granted = way.ask(&second, transaction).await?;
    let granted = stun::Message::read(&granted).context("the answer is no STUN")?;
    if let Some(code) = granted.error_code() {
        bail!("it refuses with {code}");
    }
    granted
        .address(attribute::XOR_RELAYED_ADDRESS)
        .context("the answer has no relayed address")
}

enum Way {
    /// Each request from a socket of its own; the allocation comes with the second.
    Udp(SocketAddr),
    Stream(Box<dyn Wire>),
}

impl Way {
    async fn ask(&mut self, message: &[u8], transaction: [u8; 12]) -> Result<Vec<u8>> {
        match self {
            Self::Udp(to) => ask_udp(*to, message, transaction).await,
            Self::Stream(wire) => {
                let asking = async {
                    wire.write_all(message).await?;
                    wire.flush().await?;
                    let mut answer = vec![0; 20];
                    wire.read_exact(&mut answer).await?;
                    let length = usize::from(u16::from_be_bytes([answer[2], answer[3]]));
                    ensure!(length <= stun::MAX_BYTES, "something else listens there");
                    answer.resize(20 + length, 0);
                    wire.read_exact(answer.get_mut(20..).unwrap_or_default())
                        .await?;
                    Ok(answer)
                };
                timeout(PATIENCE, asking)
                    .await
                    .context("no answer in time")?
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_somebody_else_is_none() {
        let answer = Writer::new(Class::Success, method::BINDING, [1; 12])
            .with_address(
                attribute::XOR_MAPPED_ADDRESS,
                "192.0.2.1:9".parse().expect("one"),
            )
            .signed(b"another password")
            .finish();
        let error = mapped(&answer, b"the password").expect_err("forged");
        assert!(error.to_string().contains("somebody else"), "{error}");
    }
}
