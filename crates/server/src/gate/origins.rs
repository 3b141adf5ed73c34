//! Which sites, names and proxies the settings let in.

use std::net::IpAddr;

use axum::http::{HeaderName, HeaderValue, Method};
use ipnet::IpNet;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::Settings;

impl Settings {
    /// Checks what the router would otherwise have to leave out.
    ///
    /// # Errors
    /// A sentence that names the entry: a proxy that is no address or network, an origin that is
    /// not `scheme://host[:port]`.
    pub fn check(&self) -> Result<(), String> {
        for entry in &self.trusted_proxies {
            network(entry).ok_or(format!(
                "trusted_proxies: `{entry}` is no address, and no network such as 10.0.0.0/8"
            ))?;
        }
        for entry in &self.cors_origins {
            if entry.trim() == "*" {
                return Err(
                    "cors_origins: `*` would let any site act for your users; list the sites"
                        .to_owned(),
                );
            }
            origin(entry).ok_or(format!(
                "cors_origins: `{entry}` is no origin such as https://app.example.com"
            ))?;
        }
        Ok(())
    }

    pub(super) fn origins(&self) -> Vec<String> {
        let known = self.cors_origins.iter().filter_map(|entry| origin(entry));
        known.collect()
    }
}

pub(super) fn network(entry: &str) -> Option<IpNet> {
    let entry = entry.trim();
    let address = entry
        .parse::<IpAddr>()
        .map(|ip| IpNet::from(ip.to_canonical()));
    entry.parse().or(address).ok()
}

/// An origin as browsers write it. `*` is none: with credentials it would open everything.
fn origin(entry: &str) -> Option<String> {
    let url = url::Url::parse(entry.trim()).ok()?;
    let origin = url.origin();
    (matches!(url.scheme(), "http" | "https") && url.path() == "/" && url.query().is_none())
        .then(|| origin.ascii_serialization())
}

/// Lets pages of the listed origins call, with their credentials; `None` when none is listed.
pub(crate) fn cors(settings: &Settings) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> = settings
        .origins()
        .iter()
        .filter_map(|origin| HeaderValue::from_str(origin).ok())
        .collect();
    if origins.is_empty() {
        return None;
    }
    let names = |list: &[&'static str]| -> Vec<HeaderName> {
        list.iter()
            .map(|name| HeaderName::from_static(name))
            .collect()
    };
    let methods = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
    ];
    Some(
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_credentials(true)
            .allow_methods(methods)
            .allow_headers(names(&[
                "authorization",
                "content-type",
                "accept",
                "if-match",
                "idempotency-key",
                "last-event-id",
                "range",
                "if-range",
                "x-csrf-token",
                "mcp-protocol-version",
                "mcp-method",
                "mcp-name",
                "mcp-session-id",
            ]))
            .expose_headers(names(&[
                "etag",
                "location",
                "retry-after",
                "x-request-id",
                "accept-ranges",
                "content-range",
                "content-disposition",
            ]))
            .max_age(std::time::Duration::from_secs(600)),
    )
}

/// The origin of an address of ours.
pub(super) fn origin_of(url: &str) -> Option<String> {
    Some(url::Url::parse(url).ok()?.origin().ascii_serialization())
}

/// The host under which alone pages may reach us: a name, or `localhost` for this machine only.
/// Behind another address, or all of them, people use names that nobody told us.
pub(super) fn named_host(public_url: &str) -> Option<String> {
    let url = url::Url::parse(public_url).ok()?;
    match url.host()? {
        url::Host::Domain(name) => Some(name.to_owned()),
        url::Host::Ipv4(address) => address.is_loopback().then(|| "localhost".to_owned()),
        url::Host::Ipv6(address) => address.is_loopback().then(|| "localhost".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_means_nothing_is_named() {
        let with = |proxies: &[&str], origins: &[&str]| Settings {
            trusted_proxies: proxies.iter().map(|text| (*text).to_owned()).collect(),
            cors_origins: origins.iter().map(|text| (*text).to_owned()).collect(),
            ..Settings::default()
        };
        let good = with(
            &["10.0.0.0/8", "127.0.0.1", "2001:db8::/32"],
            &["https://app.example.com", "http://localhost:3000"],
        );
        assert_eq!(good.check(), Ok(()));
        for (proxies, origins) in [
            (vec!["proxy.local"], vec![]),
            (vec!["10.0.0.0/99"], vec![]),
            (vec![], vec!["*"]),
            (vec![], vec!["app.example.com"]),
            (vec![], vec!["https://a.example/path"]),
        ] {
            assert!(
                with(&proxies, &origins).check().is_err(),
                "{proxies:?} {origins:?}"
            );
        }
    }
}
