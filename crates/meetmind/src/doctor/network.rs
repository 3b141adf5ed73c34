//! `meetmind doctor --network`: the way of a client, hop by hop, from where this runs.
//!
//! Address → TCP → TLS → signalling over HTTP → WebSocket → a real join → every advertised media address
//! with an ICE check of its own (UDP and TCP) → the relay. The first hop that fails ends the ones behind it.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use hyper_util::rt::TokioIo;
use livekit_protocol as proto;
use meetmind_media::token::ApiKey;
use str0m::net::Protocol;
use tokio::time::timeout;
use url::Url;

use super::Report;
use super::probe::{allocate, ask_tcp, ask_udp, mapped};
use super::visit::{Offer, Visit};
use crate::dial::{self, DialError, Place, Wire};

/// Addresses that are checked; a machine with hundreds of bridges is not waited for.
const CANDIDATES: usize = 16;

/// What is checked.
pub(super) struct Target {
    pub(super) url: Url,
    /// Our own certificate, when the server is the one on this data directory.
    pub(super) trusted: Option<PathBuf>,
    /// To make a token; without it, nothing behind the WebSocket can be checked.
    pub(super) keys: Option<ApiKey>,
}

/// Checks every hop.
pub(super) async fn check(report: &mut Report, target: &Target) {
    let Some(wire) = reach(report, target).await else {
        return;
    };
    if !signalling(report, wire, target).await {
        return;
    }
    let Some(keys) = &target.keys else {
        report.note(
            "media: not checked, since a token is needed to join: give --api-key and --api-secret (LIVEKIT_API_KEY, LIVEKIT_API_SECRET)",
        );
        return;
    };
    match Visit::begin(target, keys).await {
        Ok(mut visit) => {
            report.good("signal: a WebSocket opens, and a join is answered");
            media(report, &visit.offer).await;
            relays(report, &visit.join, target.trusted.as_deref()).await;
            visit.leave().await;
        }
        Err(error) => match error.downcast_ref::<DialError>() {
            Some(DialError::Status(401 | 403, said)) => report.bad(
                &format!("signal: the join is refused: {said}"),
                "The key pair is not the server's, or a clock is wrong: tokens are valid from the moment they are made.",
            ),
            Some(DialError::Status(status, said)) => report.bad(
                &format!("signal: no WebSocket at /rtc, but status {status}: {said}"),
                "Something in front does not pass WebSockets on: it has to forward the headers Upgrade and Connection (docs/operations.md has the lines for nginx).",
            ),
            _ => report.bad(
                &format!("signal: {error:#}"),
                "HTTP works and the WebSocket does not: look at what stands in front of the server, its time-outs included.",
            ),
        },
    }
}

/// Name, TCP and TLS.
async fn reach(report: &mut Report, target: &Target) -> Option<Box<dyn Wire>> {
    let place = match Place::of(&target.url) {
        Ok(place) => place,
        Err(error) => {
            report.bad(
                &format!("address: {error}"),
                "Write it as https://meet.example.com.",
            );
            return None;
        }
    };
    let addresses = match place.resolve().await {
        Ok(addresses) => addresses,
        Err(error) => {
            report.bad(
                &format!("address: {error}"),
                "Is it spelled right, and does the name server of this network know it? public_url has to be a name or address that clients can use.",
            );
            return None;
        }
    };
    let shown: Vec<String> = addresses.iter().map(|it| it.ip().to_string()).collect();
    report.good(&format!("address: {} is {}", place.host, shown.join(", ")));
    let stream = match dial::tcp(&addresses).await {
        Ok(stream) => stream,
        Err(error) => {
            report.bad(
                &format!("signal: {error}"),
                &format!(
                    "Is the server running, and reachable on TCP port {}? \"refused\" means that nothing listens there, no answer that a firewall or a missing port forward stands between.",
                    place.port
                ),
            );
            return None;
        }
    };
    if !place.secure {
        if !addresses.iter().all(|it| it.ip().is_loopback()) {
            report.note("signal: not encrypted; browsers give no microphone on a plain address of another machine (docs/operations.md, HTTPS)");
        }
        return Some(Box::new(stream));
    }
    match dial::tls(stream, &place.host, target.trusted.as_deref()).await {
        Ok(wire) => {
            report.good("signal: TLS is agreed and the certificate holds");
            Some(wire)
        }
        Err(error) => {
            let said = error.to_string();
            let mend = if said.contains("UnknownIssuer") {
                "Nobody that this machine trusts vouches for the certificate. A self-signed one has to be accepted once per browser; for everybody else get one from an authority (docs/operations.md, HTTPS)."
            } else if said.contains("NotValidForName") {
                "The certificate is for another name: public_url and the certificate must agree."
            } else if said.contains("Expired") {
                "Renew the certificate; the server takes the new files by itself."
            } else {
                "Does the port speak TLS at all? https:// needs tls.cert and tls.key, or a proxy with them."
            };
            report.bad(&format!("signal: {said}"), mend);
            None
        }
    }
}

/// Whether LiveKit's paths arrive at a server that answers them.
async fn signalling(report: &mut Report, wire: Box<dyn Wire>, target: &Target) -> bool {
    const MEND: &str = "Something in front answers instead of MeetMind: it has to pass every path on, /rtc, /agent and /twirp included.";
    let answer = validate(wire, &target.url).await;
    match answer {
        // Without a token that is the right answer.
        Ok((401, true)) => {
            report.good("signal: /rtc/validate answers, for pages of every origin");
            true
        }
        Ok((401, false)) => {
            report.bad(
                "signal: /rtc/validate answers without Access-Control-Allow-Origin",
                "A proxy takes the header out: browsers then cannot tell why a join failed.",
            );
            true
        }
        Ok((status, _)) => {
            report.bad(
                &format!("signal: /rtc/validate answers {status}, not 401"),
                MEND,
            );
            false
        }
        Err(error) => {
            report.bad(&format!("signal: /rtc/validate: {error:#}"), MEND);
            false
        }
    }
}

/// Status of `/rtc/validate`, and whether other origins may read it.
async fn validate(wire: Box<dyn Wire>, url: &Url) -> Result<(u16, bool)> {
    let asking = async {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(wire)).await?;
        tokio::spawn(connection);
        let path = format!("{}/rtc/validate", url.path().trim_end_matches('/'));
        let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let request = hyper::Request::get(path)
            .header(hyper::header::HOST, host)
            .body(axum::body::Body::empty())?;
        let answer = sender.send_request(request).await?;
        let open = answer
            .headers()
            .contains_key(hyper::header::ACCESS_CONTROL_ALLOW_ORIGIN);
        Ok((answer.status().as_u16(), open))
    };
    timeout(dial::PATIENCE, asking)
        .await
        .context("no answer in time")?
}

/// Checks every advertised address with a check of ICE.
async fn media(report: &mut Report, offer: &Offer) {
    let mut seen = Vec::new();
    for candidate in offer.candidates.iter().take(CANDIDATES) {
        let at = (candidate.proto(), candidate.addr());
        if !seen.contains(&at) {
            seen.push(at);
        }
    }
    if seen.is_empty() {
        report.bad(
            "media: the server advertises no address",
            "Look at its log: it has no network interface that it can use; set media.advertise.",
        );
        return;
    }
    for (protocol, name) in [(Protocol::Udp, "UDP"), (Protocol::Tcp, "TCP")] {
        let addresses: Vec<SocketAddr> = seen
            .iter()
            .filter(|it| it.0 == protocol)
            .map(|it| it.1)
            .collect();
        if addresses.is_empty() {
            report.note(&format!("media: no {name} address is advertised"));
            continue;
        }
        let mut failed = Vec::new();
        let mut works = false;
        for address in &addresses {
            let (transaction, message) = offer.check();
            let started = Instant::now();
            let answer = match protocol {
                Protocol::Udp => ask_udp(*address, &message, transaction).await,
                _ => ask_tcp(*address, &message).await,
            };
            match answer.and_then(|answer| mapped(&answer, offer.password.as_bytes())) {
                Ok(seen_as) => {
                    works = true;
                    report.good(&format!(
                        "media: {name} {address} answers in {:.1} ms and sees this machine as {seen_as}",
                        started.elapsed().as_secs_f64() * 1e3
                    ));
                }
                Err(error) => failed.push((*address, format!("{error:#}"))),
            }
        }
        for (address, why) in failed {
            let what = format!("media: {name} {address} does not answer: {why}");
            if works {
                // Clients try all and take what works.
                report.note(&what);
            } else {
                report.bad(&what, &mend_media(name, address));
            }
        }
    }
}

fn mend_media(protocol: &str, address: SocketAddr) -> String {
    let setting = if protocol == "UDP" { "udp" } else { "tcp" };
    let port = address.port();
    if is_private(address.ip()) {
        format!(
            "{} is an address of a private network: clients elsewhere cannot reach it. Set media.advertise (MEETMIND_MEDIA_ADVERTISE) to the address that they can, and forward {protocol} port {port} (media.{setting}_port) to the server.",
            address.ip()
        )
    } else {
        format!(
            "Let {protocol} port {port} (media.{setting}_port) through every firewall between, the provider's included; in a container publish it (-p {port}:{port}/{}).",
            protocol.to_lowercase()
        )
    }
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local(),
    }
}

/// Asks every relay that the join named for an address.
async fn relays(report: &mut Report, join: &proto::JoinResponse, trusted: Option<&Path>) {
    for server in &join.ice_servers {
        for url in server.urls.iter().filter(|url| url.starts_with("turn")) {
            match allocate(url, server, trusted).await {
                Ok(relayed) => report.good(&format!("relay: {url} gives the address {relayed}")),
                Err(error) => report.bad(
                    &format!("relay: {url}: {error:#}"),
                    "Let the port through (turn.udp_port, or the one of public_url for TLS), and set turn.host to a name that clients can resolve.",
                ),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_mend_depends_on_the_address() {
        let private = mend_media("UDP", "10.0.0.5:7882".parse().expect("one"));
        assert!(private.contains("media.advertise") && private.contains("media.udp_port"));
        let public = mend_media("TCP", "203.0.113.5:7881".parse().expect("one"));
        assert!(
            public.contains("7881") && public.contains("/tcp"),
            "{public}"
        );
    }
}
