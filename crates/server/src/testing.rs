//! Calling the router in-process, as anybody, for tests.

use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use meetmind_app::testing::TestApp;
use meetmind_core::Actor;
use serde_json::Value;
use tower::ServiceExt;

use crate::extract::Identity;
use crate::{Settings, router};

/// The password of accounts that [`TestServer::register`] makes.
pub const PASSWORD: &str = "sparrows on the roof at dawn";

/// A server without a socket.
pub struct TestServer {
    /// What is behind it.
    pub app: TestApp,
    router: Router,
}

/// What came back.
#[derive(Debug)]
pub struct TestAnswer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as bytes.
    pub bytes: Bytes,
}

impl TestAnswer {
    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }
    /// `data` of the envelope.
    pub fn data(&self) -> Value {
        self.json()["data"].clone()
    }
    /// The error code of the envelope.
    pub fn code(&self) -> String {
        self.json()["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

impl TestServer {
    /// A server over a fresh SQLite database.
    pub async fn new() -> Self {
        Self::over(TestApp::new().await)
    }

    /// A server over this app.
    pub fn over(app: TestApp) -> Self {
        Self::with(app, &Settings::default())
    }

    /// A server over this app, with these settings of the wires.
    pub fn with(app: TestApp, settings: &Settings) -> Self {
        let router = router(app.app.clone(), settings);
        Self { app, router }
    }

    /// Registers `name@example.com` through the API; gives `data` of the answer, with the tokens.
    pub async fn register(&self, name: &str) -> Value {
        let body = serde_json::json!({ "email": format!("{name}@example.com"), "name": name, "password": PASSWORD });
        let answer = self.post(&Actor::Anonymous, "/auth/register", body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.json());
        answer.data()
    }

    /// Calls with a credential in the `Authorization` header; `Null` sends no body.
    pub async fn call_with(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Value,
    ) -> TestAnswer {
        let request = Request::builder().method(method).uri(path);
        let request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        let request = match body {
            Value::Null => request.body(Body::empty()),
            body => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(body.to_string())),
        };
        self.send(&Actor::Anonymous, request.expect("a request"))
            .await
    }

    /// Calls as `actor`, without a credential; `Null` sends no body.
    pub async fn call(&self, actor: &Actor, method: Method, path: &str, body: Value) -> TestAnswer {
        let request = Request::builder().method(method).uri(path);
        let request = match body {
            Value::Null => request.body(Body::empty()),
            body => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(body.to_string())),
        };
        self.send(actor, request.expect("a request")).await
    }

    /// Sends any request as `actor`.
    pub async fn send(&self, actor: &Actor, request: Request<Body>) -> TestAnswer {
        let (parts, body) = self.answer(actor, request).await.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX)
            .await
            .expect("a body");
        TestAnswer {
            status: parts.status,
            headers: parts.headers,
            bytes,
        }
    }

    /// The status alone, for answers that may never end.
    pub async fn status(&self, actor: &Actor, request: Request<Body>) -> StatusCode {
        self.answer(actor, request).await.status()
    }

    async fn answer(&self, actor: &Actor, mut request: Request<Body>) -> Response {
        if *actor != Actor::Anonymous {
            request
                .extensions_mut()
                .insert(Identity::Known(actor.clone()));
        }
        self.router
            .clone()
            .oneshot(request)
            .await
            .expect("an answer")
    }

    /// Listens on a port of its own, where everybody who connects is `actor`: for sockets and
    /// streams. It listens until the test ends.
    pub async fn listen_as(&self, actor: &Actor) -> SocketAddr {
        let actor = actor.clone();
        let router =
            self.router
                .clone()
                .layer(from_fn(move |mut request: Request<Body>, next: Next| {
                    if actor != Actor::Anonymous {
                        request
                            .extensions_mut()
                            .insert(Identity::Known(actor.clone()));
                    }
                    next.run(request)
                }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    /// GET as `actor`.
    pub async fn get(&self, actor: &Actor, path: &str) -> TestAnswer {
        self.call(actor, Method::GET, path, Value::Null).await
    }

    /// POST as `actor`.
    pub async fn post(&self, actor: &Actor, path: &str, body: Value) -> TestAnswer {
        self.call(actor, Method::POST, path, body).await
    }
}
