//! `/auth`. Tests of OWASP ASVS 5.0 requirements carry the requirement's number in their name.

mod browser;
mod keys;
mod passwords;
mod refusals;
mod sessions;

use axum::body::Body;
use axum::http::{Method, Request};
use meetmind_core::{Actor, Ctx};
use meetmind_server::testing::{TestAnswer, TestServer};
use serde_json::{Value, json};

/// Signs in as `name@example.com`.
async fn login(server: &TestServer, name: &str, password: &str) -> TestAnswer {
    let body = json!({ "email": format!("{name}@example.com"), "password": password });
    server.post(&Actor::Anonymous, "/auth/login", body).await
}

async fn refresh(server: &TestServer, token: &Value) -> TestAnswer {
    let body = json!({ "refresh_token": token });
    server.post(&Actor::Anonymous, "/auth/refresh", body).await
}

/// The status of a read with an access token or key.
async fn profile(server: &TestServer, token: &Value) -> TestAnswer {
    server
        .call_with(text(token), Method::GET, "/auth/profile", Value::Null)
        .await
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

fn system(server: &TestServer) -> Ctx {
    server.app.app.system_ctx()
}

/// A request from this address, as the socket would say.
pub(super) fn from(
    address: &str,
    path: &str,
    body: &Value,
    headers: &[(&str, &str)],
) -> Request<Body> {
    let mut request = Request::post(path).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request
        .body(Body::from(body.to_string()))
        .expect("a request");
    let peer: std::net::SocketAddr = format!("{address}:4711").parse().expect("an address");
    request
        .extensions_mut()
        .insert(axum::extract::ConnectInfo(peer));
    request
}
