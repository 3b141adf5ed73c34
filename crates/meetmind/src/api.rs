//! Calling the public API: over the network, or the router in this process as a given actor. Both
//! take the same paths, so that a command can do nothing that a client could not.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::body::Body;
use hyper::{Method, Request, header};
use serde_json::Value;
use tower::ServiceExt as _;

/// Longer than the server lets any request take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A caller of the API.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    to: To,
    token: Option<String>,
}

#[derive(Debug, Clone)]
enum To {
    Server { http: reqwest::Client, base: String },
    Here(Router),
}

impl Api {
    /// Calls a server.
    pub(crate) fn server(base: &str) -> Result<Self> {
        let base = base.trim_end_matches('/').to_owned();
        url::Url::parse(&base)
            .ok()
            .filter(|url| url.has_host())
            .with_context(|| format!("`{base}` is no address of a server"))?;
        #[expect(
            clippy::disallowed_methods,
            reason = "the command line calls the server that its user named"
        )]
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .build()?;
        Ok(Self {
            to: To::Server { http, base },
            token: None,
        })
    }

    /// Calls a router in this process.
    pub(crate) fn here(router: Router) -> Self {
        Self {
            to: To::Here(router),
            token: None,
        }
    }

    /// The same server, as the bearer of a token.
    pub(crate) fn with_token(&self, token: impl Into<String>) -> Self {
        Self {
            to: self.to.clone(),
            token: Some(token.into()),
        }
    }

    /// The token, if there is one.
    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The server's address; empty in this process.
    pub(crate) fn base(&self) -> &str {
        match &self.to {
            To::Server { base, .. } => base,
            To::Here(_) => "",
        }
    }

    /// Whether the server says that it is ready.
    pub(crate) async fn is_ready(&self) -> bool {
        match &self.to {
            To::Server { http, base } => http
                .get(format!("{base}/readyz"))
                .send()
                .await
                .is_ok_and(|answer| answer.status().is_success()),
            To::Here(_) => true,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.json(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Result<Value> {
        self.json(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Result<Value> {
        self.json(Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Result<Value> {
        self.json(Method::PATCH, path, Some(body)).await
    }

    async fn json(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let body = body.map(|body| (body.to_string().into_bytes(), "application/json"));
        self.call(method, path, body).await
    }

    /// Sends bytes of a media type; gives `data` of the envelope.
    ///
    /// # Errors
    /// With method, path, code and message of a refusal; never with a body that was sent.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<(Vec<u8>, &str)>,
    ) -> Result<Value> {
        let shown = path.split('?').next().unwrap_or(path);
        let (status, bytes) = match &self.to {
            To::Server { http, base } => {
                let mut request = http.request(method.clone(), format!("{base}{path}"));
                if let Some(token) = &self.token {
                    request = request.bearer_auth(token);
                }
                if let Some((body, media_type)) = body {
                    request = request.header(header::CONTENT_TYPE, media_type).body(body);
                }
                let answer = request.send().await.map_err(|error| {
                    // Without the address: its query may hold what was asked.
                    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                    anyhow::anyhow!("{base} does not answer{}", cause.unwrap_or_default())
                })?;
                (answer.status(), answer.bytes().await?.to_vec())
            }
            To::Here(router) => {
                let mut request = Request::builder().method(method.clone()).uri(path);
                let body = match body {
                    None => Body::empty(),
                    Some((body, media_type)) => {
                        request = request.header(header::CONTENT_TYPE, media_type);
                        Body::from(body)
                    }
                };
                let answer = router.clone().oneshot(request.body(body)?).await?;
                let (parts, body) = answer.into_parts();
                (
                    parts.status,
                    axum::body::to_bytes(body, usize::MAX).await?.to_vec(),
                )
            }
        };
        let envelope: Value = serde_json::from_slice(&bytes).with_context(|| {
            format!("{method} {shown} answered {status} without a body that this program reads")
        })?;
        if status.is_success() && envelope["success"] == true {
            return Ok(envelope["data"].clone());
        }
        let error = &envelope["error"];
        let word = |name: &str| error[name].as_str().unwrap_or("?").to_owned();
        if matches!(self.to, To::Here(_)) {
            // Who typed a command did not ask for a path.
            bail!("{} ({})", word("message"), word("code"));
        }
        bail!(
            "{method} {shown} was refused: {} ({} {}, request {})",
            word("message"),
            status.as_u16(),
            word("code"),
            word("request_id")
        )
    }
}

/// A text field of an answer.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    value[name]
        .as_str()
        .with_context(|| format!("the answer has no text `{name}`"))
}

/// The rows of a list, whether it is paged or plain.
pub(crate) fn items(value: &Value) -> Vec<Value> {
    let list = if value.is_array() {
        value
    } else {
        &value["items"]
    };
    list.as_array().cloned().unwrap_or_default()
}
