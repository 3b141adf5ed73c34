//! Calls that leave the process go through here, behind one rule against forged targets: who
//! may name an address must not reach with it what only this machine can reach.
//!
//! The rule holds for the address that is connected to, not for the name: names are resolved
//! here, what is refused is left out, and the connection goes to what remains. So a name that
//! answers with another address the second time (DNS rebinding) gains nothing.

mod address;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use meetmind_core::{BoxError, Code, Error, Result};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::OutboundSettings;
use address::is_allowed;

/// The most that is read of an answer, in bytes; the rest is left unread.
const ANSWER_MAX: usize = 64 * 1024;
/// The longest address.
const URL_MAX: usize = 2048;

/// The client for such calls.
#[derive(Debug)]
pub(crate) struct Client {
    /// The reason, where the machine has no usable certificates: MeetMind starts all the same.
    http: std::result::Result<reqwest::Client, String>,
    allow_private: bool,
    timeout: Duration,
    answer_max: usize,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The first 64 KB of the body, or as much as the client reads.
    pub(crate) body: Vec<u8>,
}

/// How a name becomes addresses.
type Lookup = dyn Fn(String) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>
    + Send
    + Sync;

/// A resolver that leaves out what may not be called.
struct Guarded {
    lookup: Arc<Lookup>,
    allow_private: bool,
}

/// Every address of a name is one that may not be called.
#[derive(Debug, thiserror::Error)]
#[error("the name leads to an address that may not be called")]
struct Refused;

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let found = (self.lookup)(name.as_str().to_owned());
        let allow_private = self.allow_private;
        Box::pin(async move {
            let allowed: Vec<SocketAddr> = found
                .await?
                .into_iter()
                .filter(|address| is_allowed(address.ip(), allow_private))
                .collect();
            if allowed.is_empty() {
                return Err(BoxError::from(Refused));
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

impl Client {
    /// Builds the client once; where it cannot be built, each call says why.
    pub(crate) fn new(settings: &OutboundSettings) -> Result<Self> {
        let system: Arc<Lookup> = Arc::new(|name| {
            Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })
        });
        Ok(Self::with_lookup(settings, system))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the client for calls to addresses that users name is built"
    )]
    fn with_lookup(settings: &OutboundSettings, lookup: Arc<Lookup>) -> Self {
        let resolver = Guarded {
            lookup,
            allow_private: settings.allow_private,
        };
        let http = reqwest::Client::builder()
            .user_agent(concat!("MeetMind/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            // A proxy would connect in our place, to what this rule has not seen.
            .no_proxy()
            .dns_resolver(Arc::new(resolver))
            .timeout(settings.timeout)
            .connect_timeout(settings.timeout)
            .pool_max_idle_per_host(2)
            .build()
            .map_err(|error| error.to_string());
        if let Err(reason) = &http {
            tracing::warn!(reason, "calls to the outside will fail");
        }
        Self {
            http,
            allow_private: settings.allow_private,
            timeout: settings.timeout,
            answer_max: ANSWER_MAX,
        }
    }

    /// The same client, reading up to so many bytes of an answer.
    pub(crate) fn reading(self, answer_max: usize) -> Self {
        Self { answer_max, ..self }
    }

    /// Checks an address that a user names: `http` or `https`, no user or password in it, and
    /// no literal address that may not be called. Names are checked when they are called.
    ///
    /// # Errors
    /// `VALIDATION_FAILED`, naming `field`.
    pub(crate) fn url(&self, field: &str, text: &str) -> Result<Url> {
        let wrong = |reason: &str| Error::invalid(field, reason);
        if text.len() > URL_MAX {
            return Err(wrong("must have at most 2048 characters"));
        }
        if text
            .chars()
            .any(|letter| letter.is_control() || letter == ' ')
        {
            return Err(wrong("must be an address without blanks"));
        }
        let url = Url::parse(text).map_err(|_| wrong("must be an http or https address"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("must be an http or https address"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("must not hold a user or a password"));
        }
        // `url` has brought odd forms such as `0x7f.1` or `2130706433` to their usual one.
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            Some(Host::Domain(_)) => None,
            None => return Err(wrong("must name a host")),
        };
        if literal.is_some_and(|address| !is_allowed(address, self.allow_private)) {
            return Err(wrong("leads to an address that may not be called"));
        }
        Ok(url)
    }

    /// Posts a body. Redirects are not followed: they are an answer like any other.
    ///
    /// # Errors
    /// `PROVIDER_FAILED` with a sentence on what went wrong, `VALIDATION_FAILED` for an address
    /// that may not be called.
    pub(crate) async fn post(
        &self,
        url: &str,
        headers: &[(&str, String)],
        body: impl Into<reqwest::Body>,
    ) -> Result<Answer> {
        let url = self.url("url", url)?;
        let http = self
            .http
            .as_ref()
            .map_err(|reason| Error::new(Code::ProviderFailed, reason.clone()))?;
        let mut request = http.post(url).body(body);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let call = async {
            let mut response = request.send().await?;
            let status = response.status().as_u16();
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await? {
                let room = self.answer_max - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if body.len() == self.answer_max {
                    break;
                }
            }
            Ok::<_, reqwest::Error>(Answer { status, body })
        };
        match tokio::time::timeout(self.timeout, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(Error::new(Code::ProviderFailed, "no answer in time")),
        }
    }
}

/// A sentence that is safe to show: what failed, without addresses.
fn failed(error: reqwest::Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    let mut refused = false;
    while let Some(current) = cause {
        refused |= current.is::<Refused>();
        cause = current.source();
    }
    let sentence = if refused {
        "the name leads to an address that may not be called"
    } else if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "could not connect"
    } else {
        "the connection broke"
    };
    Error::new(Code::ProviderFailed, sentence).with_source(error)
}

#[cfg(test)]
mod tests;
