//! What participants are told of the relay.

use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;
use std::time::Duration;

use livekit_protocol as proto;

use super::TurnSecret;
use crate::driver::TurnConfig;

/// Addresses in the list: more only slow a browser's gathering down.
const ADDRESSES: usize = 2;

/// Makes each participant's `ice_servers`.
#[derive(Debug)]
pub(crate) struct TurnOffer {
    secret: TurnSecret,
    ttl: Duration,
    /// Known once the ports are open, before the first join.
    urls: OnceLock<Vec<String>>,
}

impl TurnOffer {
    pub(crate) fn new(config: &TurnConfig) -> Self {
        Self {
            secret: config.secret.clone(),
            ttl: config.ttl,
            urls: OnceLock::new(),
        }
    }

    /// The ports are open.
    pub(crate) fn opened(&self, config: &TurnConfig, media: &[SocketAddr], udp_port: u16) {
        let hosts: Vec<String> = if config.host.is_empty() {
            let hosts = media.iter().take(ADDRESSES);
            hosts.map(|it| in_url(it.ip())).collect()
        } else {
            vec![config.host.clone()]
        };
        let udp = hosts
            .iter()
            .map(|host| format!("turn:{host}:{udp_port}?transport=udp"));
        let stream = Some(config.stream_url.clone()).filter(|url| !url.is_empty());
        let _set_once = self.urls.set(udp.chain(stream).collect());
    }

    /// For one participant.
    pub(crate) fn server(&self, whose: &str, wall_ms: i64) -> proto::IceServer {
        let now_s = u64::try_from(wall_ms / 1000).unwrap_or(0);
        let credentials = self.secret.credentials(whose, now_s + self.ttl.as_secs());
        proto::IceServer {
            urls: self.urls.get().cloned().unwrap_or_default(),
            username: credentials.username,
            credential: credentials.password,
        }
    }
}

fn in_url(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}
