//! `/api/webhooks`

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use meetmind_app::Settings;
use meetmind_app::testing::TestApp;
use meetmind_core::*;
use meetmind_server::testing::TestServer;
use serde_json::{Value, json};

/// An endpoint that writes down what comes and answers as told; 200 when nothing is told.
#[derive(Clone, Default)]
struct Endpoint {
    answers: Arc<Mutex<VecDeque<u16>>>,
    heard: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
}

impl Endpoint {
    async fn open(answers: &[u16]) -> (Self, SocketAddr) {
        let endpoint = Self::default();
        endpoint.answers.lock().expect("a lock").extend(answers);
        let router = axum::Router::new()
            .route("/hook", post(hear))
            .with_state(endpoint.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        (endpoint, address)
    }

    fn heard(&self) -> Vec<(HeaderMap, Bytes)> {
        self.heard.lock().expect("a lock").clone()
    }
}

async fn hear(State(endpoint): State<Endpoint>, headers: HeaderMap, body: Bytes) -> StatusCode {
    endpoint.heard.lock().expect("a lock").push((headers, body));
    let status = endpoint
        .answers
        .lock()
        .expect("a lock")
        .pop_front()
        .unwrap_or(200);
    StatusCode::from_u16(status).expect("a status")
}

/// Checks a signature as the specification says, by other means than the sender's.
fn is_signed_by(secret: &str, headers: &HeaderMap, body: &[u8]) -> bool {
    let text = |name: &str| headers[name].to_str().expect("text");
    let key = BASE64.decode(&secret["whsec_".len()..]).expect("base64");
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).expect("a key");
    for part in [
        text("webhook-id").as_bytes(),
        b".",
        text("webhook-timestamp").as_bytes(),
        b".",
        body,
    ] {
        mac.update(part);
    }
    let expected = format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()));
    text("webhook-signature")
        .split(' ')
        .any(|signature| signature == expected)
}

struct Setting {
    server: TestServer,
    anna: Actor,
    endpoint: Endpoint,
    url: String,
}

impl Setting {
    async fn new(answers: &[u16]) -> Self {
        let mut settings = Settings::default();
        settings.outbound.allow_private = true;
        let server = TestServer::over(TestApp::with(settings).await);
        let anna = server.app.user("anna").await;
        let (endpoint, address) = Endpoint::open(answers).await;
        let url = format!("http://{address}/hook");
        Self {
            server,
            anna,
            endpoint,
            url,
        }
    }

    async fn webhook(&self, events: Value) -> (String, String) {
        let made = self
            .server
            .post(
                &self.anna,
                "/api/webhooks",
                json!({ "url": self.url, "events": events }),
            )
            .await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.json());
        let path = made.headers["location"].to_str().expect("text").to_owned();
        (
            path,
            made.data()["secret"].as_str().expect("a secret").to_owned(),
        )
    }

    async fn deliveries(&self, path: &str) -> Vec<Value> {
        let list = self
            .server
            .get(&self.anna, &format!("{path}/deliveries"))
            .await
            .data();
        list["items"].as_array().expect("a list").clone()
    }

    /// Does what the job of the delivery's next try does.
    async fn deliver(&self, delivery: &Value) {
        let task = json!({ "delivery_id": delivery["id"], "attempt": delivery["attempts"] });
        let ctx = self.server.app.app.system_ctx();
        self.server
            .app
            .app
            .webhook_deliver(&ctx, &task)
            .await
            .expect("a try");
    }
}

#[tokio::test]
async fn an_event_reaches_the_endpoint_signed() {
    let at = Setting::new(&[]).await;
    let (path, secret) = at.webhook(json!(["meeting.created"])).await;
    at.server
        .post(&at.anna, "/api/meetings", json!({ "title": "Größe" }))
        .await;
    let list = at.deliveries(&path).await;
    assert_eq!(list.len(), 1);
    assert_eq!(
        (list[0]["status"].clone(), list[0]["event_type"].clone()),
        (json!("pending"), json!("meeting.created"))
    );
    at.deliver(&list[0]).await;
    let heard = at.endpoint.heard();
    let (headers, body) = &heard[0];
    assert!(is_signed_by(&secret, headers, body));
    assert!(!is_signed_by(&secret, headers, b"{}"));
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["webhook-id"].to_str().ok(), list[0]["id"].as_str());
    let sent: Value = serde_json::from_slice(body).expect("JSON");
    assert_eq!(sent["type"], "meeting.created");
    assert_eq!(sent["timestamp"], sent["data"]["at"]);
    assert_eq!(
        (
            sent["data"]["seq"].clone(),
            sent["data"]["data"]["title"].clone()
        ),
        (json!(1), json!("Größe"))
    );
    let delivered = at.deliveries(&path).await;
    assert_eq!(
        (
            delivered[0]["status"].clone(),
            delivered[0]["attempts"].clone()
        ),
        (json!("delivered"), json!(1))
    );
    // The same job again does nothing.
    at.deliver(&list[0]).await;
    assert_eq!(at.endpoint.heard().len(), 1);
}

#[tokio::test]
async fn failures_are_listed_and_tried_again_until_it_works() {
    let at = Setting::new(&[500, 302, 200]).await;
    let (path, _) = at.webhook(json!(["*"])).await;
    at.server
        .post(&at.anna, "/api/meetings", json!({ "title": "x" }))
        .await;
    for (status, wait) in [
        ("pending", Some(5)),
        ("pending", Some(300)),
        ("delivered", None),
    ] {
        at.deliver(&at.deliveries(&path).await[0]).await;
        let delivery = at.deliveries(&path).await[0].clone();
        assert_eq!(delivery["status"], status);
        let wait = wait.map(std::time::Duration::from_secs);
        let next = wait.map(|wait| at.server.app.app.now().plus(wait).to_string());
        assert_eq!(
            delivery["next_attempt_at"].as_str().map(str::to_owned),
            next
        );
        at.server.app.clock.advance(wait.unwrap_or_default());
    }
    let id = at.deliveries(&path).await[0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let view = at
        .server
        .get(&at.anna, &format!("{path}/deliveries/{id}"))
        .await
        .data();
    let codes: Vec<Value> = view["tries"]
        .as_array()
        .expect("tries")
        .iter()
        .map(|t| t["status_code"].clone())
        .collect();
    assert_eq!(codes, vec![json!(200), json!(302), json!(500)]);
    assert_eq!(
        at.server.get(&at.anna, &path).await.data()["failing_since"],
        Value::Null
    );
    let ids: Vec<String> = at
        .endpoint
        .heard()
        .iter()
        .map(|(h, _)| h["webhook-id"].to_str().expect("text").to_owned())
        .collect();
    assert_eq!(ids, vec![id.clone(), id.clone(), id.clone()]);

    let replayed = at
        .server
        .post(
            &at.anna,
            &format!("{path}/deliveries/{id}/replay"),
            Value::Null,
        )
        .await;
    assert_eq!(
        (replayed.status, replayed.data()["status"].clone()),
        (StatusCode::ACCEPTED, json!("pending"))
    );
    at.deliver(&replayed.data()).await;
    assert_eq!(at.endpoint.heard().len(), 4);
    assert_eq!(at.deliveries(&path).await[0]["status"], "delivered");
}

#[tokio::test]
async fn gone_switches_the_webhook_off_and_its_owner_switches_it_on() {
    let at = Setting::new(&[410]).await;
    let (path, _) = at.webhook(json!(["*"])).await;
    at.server
        .post(&at.anna, "/api/meetings", json!({ "title": "x" }))
        .await;
    let first = at.deliveries(&path).await[0].clone();
    at.deliver(&first).await;
    assert_eq!(at.deliveries(&path).await[0]["status"], "failed");
    let off = at.server.get(&at.anna, &path).await.data();
    assert_eq!(
        (off["enabled"].clone(), off["disabled_at"].is_string()),
        (json!(false), true)
    );
    // Nothing is queued for it now, nor can it be tested or replayed.
    at.server
        .post(&at.anna, "/api/meetings", json!({ "title": "y" }))
        .await;
    assert_eq!(at.deliveries(&path).await.len(), 1);
    let replay = format!(
        "{path}/deliveries/{}/replay",
        first["id"].as_str().expect("an id")
    );
    for path in [format!("{path}/test"), replay] {
        assert_eq!(
            at.server.post(&at.anna, &path, Value::Null).await.code(),
            "CONFLICT"
        );
    }
    let on = at
        .server
        .call(&at.anna, Method::PATCH, &path, json!({ "enabled": true }))
        .await
        .data();
    assert_eq!(
        (on["enabled"].clone(), on["disabled_at"].clone()),
        (json!(true), Value::Null)
    );
    at.server
        .post(&at.anna, "/api/meetings", json!({ "title": "z" }))
        .await;
    assert_eq!(at.deliveries(&path).await.len(), 2);
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_a_failed_try() {
    let at = Setting::new(&[]).await;
    let port = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        listener.local_addr().expect("an address").port()
    };
    let made = at
        .server
        .post(
            &at.anna,
            "/api/webhooks",
            json!({ "url": format!("http://127.0.0.1:{port}/"), "events": ["*"] }),
        )
        .await;
    let path = made.headers["location"].to_str().expect("text").to_owned();
    let tested = at
        .server
        .post(&at.anna, &format!("{path}/test"), Value::Null)
        .await
        .data();
    at.deliver(&tested).await;
    let id = tested["id"].as_str().expect("an id");
    let view = at
        .server
        .get(&at.anna, &format!("{path}/deliveries/{id}"))
        .await
        .data();
    assert_eq!(
        (
            view["tries"][0]["status_code"].clone(),
            view["tries"][0]["error"].clone()
        ),
        (Value::Null, json!("could not connect"))
    );
    assert_eq!(view["status"], "pending");
}

#[tokio::test]
async fn a_test_reaches_only_the_webhook_that_is_tested() {
    let at = Setting::new(&[]).await;
    let (tested, _) = at.webhook(json!(["meeting.ended"])).await;
    let (other, _) = at.webhook(json!(["*"])).await;
    let answer = at
        .server
        .post(&at.anna, &format!("{tested}/test"), Value::Null)
        .await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(
        at.deliveries(&tested).await[0]["event_type"],
        "webhook.tested"
    );
    assert!(at.deliveries(&other).await.is_empty());
}

#[tokio::test]
async fn webhooks_hear_of_what_their_owner_may_hear_of() {
    let at = Setting::new(&[]).await;
    let ben = at.server.app.user("ben").await;
    let (path, _) = at.webhook(json!(["*"])).await;
    at.server
        .post(&ben, "/api/meetings", json!({ "title": "Ben's own" }))
        .await;
    let ben_topic = EventTopic::User(ben.user_id().expect("a user"));
    at.server
        .app
        .events(ben_topic, EventKind::MemorySaved, json!({}), 1)
        .await;
    assert!(at.deliveries(&path).await.is_empty());
    let anna_topic = EventTopic::User(at.anna.user_id().expect("a user"));
    at.server
        .app
        .events(anna_topic, EventKind::MemorySaved, json!({}), 3)
        .await;
    assert_eq!(at.deliveries(&path).await.len(), 3);
    let page = at
        .server
        .get(&at.anna, &format!("{path}/deliveries?limit=2"))
        .await
        .data();
    let cursor = page["next_cursor"].as_str().expect("more");
    let rest = at
        .server
        .get(
            &at.anna,
            &format!("{path}/deliveries?limit=2&cursor={cursor}"),
        )
        .await
        .data();
    assert_eq!(
        (
            rest["items"].as_array().map(Vec::len),
            rest["next_cursor"].clone()
        ),
        (Some(1), Value::Null)
    );
}

#[tokio::test]
async fn webhooks_belong_to_one_user_and_keep_their_secret() {
    let at = Setting::new(&[]).await;
    let stranger = at.server.app.user("eve").await;
    let (path, secret) = at.webhook(json!(["*", "meeting.ended", "*"])).await;
    assert_eq!((secret.len(), &secret[..6]), (6 + 32, "whsec_"));
    let seen = at.server.get(&at.anna, &path).await;
    assert_eq!(
        (seen.data()["secret"].clone(), seen.data()["events"].clone()),
        (Value::Null, json!(["*", "meeting.ended"]))
    );
    at.server
        .post(&at.anna, &format!("{path}/test"), Value::Null)
        .await;
    let delivery = at.deliveries(&path).await[0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    for (method, end) in [
        (Method::GET, String::new()),
        (Method::PATCH, String::new()),
        (Method::DELETE, String::new()),
        (Method::POST, "/test".to_owned()),
        (Method::POST, "/rotate-secret".to_owned()),
        (Method::GET, "/deliveries".to_owned()),
        (Method::GET, format!("/deliveries/{delivery}")),
        (Method::POST, format!("/deliveries/{delivery}/replay")),
    ] {
        let body = if method == Method::PATCH {
            json!({})
        } else {
            Value::Null
        };
        let full = format!("{path}{end}");
        assert_eq!(
            at.server
                .call(&stranger, method.clone(), &full, body.clone())
                .await
                .code(),
            "NOT_FOUND",
            "{method} {end}"
        );
        assert_eq!(
            at.server
                .call(&Actor::Anonymous, method.clone(), &full, body)
                .await
                .code(),
            "UNAUTHENTICATED",
            "{method} {end}"
        );
    }
    let rotated = at
        .server
        .post(&at.anna, &format!("{path}/rotate-secret"), Value::Null)
        .await;
    assert_ne!(rotated.data()["secret"], json!(secret));
    let Actor::User { user_id, role, .. } = at.anna.clone() else {
        panic!("a user")
    };
    let key = Actor::User {
        user_id,
        role,
        proof: Proof::ApiKey(
            ApiKeyId::from_uuid(uuid::Uuid::from_u128(5)),
            vec![Scope::MeetingsRead],
        ),
    };
    assert_eq!(
        at.server.get(&key, "/api/webhooks").await.code(),
        "SCOPE_MISSING"
    );
    assert_eq!(
        at.server
            .call(&at.anna, Method::DELETE, &path, Value::Null)
            .await
            .status,
        StatusCode::OK
    );
    assert_eq!(at.server.get(&at.anna, &path).await.code(), "NOT_FOUND");
}

#[tokio::test]
async fn bad_webhooks_are_refused() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let good = "https://example.com/hook";
    for body in [
        json!({ "url": "http://127.0.0.1:9/", "events": ["*"] }),
        json!({ "url": "http://169.254.169.254/", "events": ["*"] }),
        json!({ "url": "http://[::1]/", "events": ["*"] }),
        json!({ "url": "http://2130706433/", "events": ["*"] }),
        json!({ "url": "https://anna:word@example.com/", "events": ["*"] }),
        json!({ "url": "ftp://example.com/", "events": ["*"] }),
        json!({ "url": "hook", "events": ["*"] }),
        json!({ "url": "", "events": ["*"] }),
        json!({ "url": "https://example.com/\u{0}", "events": ["*"] }),
        json!({ "url": format!("{good}{}", "x".repeat(2048)), "events": ["*"] }),
        json!({ "url": good, "events": [] }),
        json!({ "url": good, "events": ["meeting.exploded"] }),
        json!({ "url": good, "events": vec!["*"; 100] }),
        json!({ "url": good }),
        json!({ "events": ["*"] }),
    ] {
        let answer = server.post(&anna, "/api/webhooks", body.clone()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (422, "VALIDATION_FAILED"),
            "{body}"
        );
    }
    for _ in 0..50 {
        assert_eq!(
            server
                .post(
                    &anna,
                    "/api/webhooks",
                    json!({ "url": good, "events": ["*"] })
                )
                .await
                .status,
            StatusCode::CREATED
        );
    }
    let full = server
        .post(
            &anna,
            "/api/webhooks",
            json!({ "url": good, "events": ["*"] }),
        )
        .await;
    assert_eq!(
        (
            full.code().as_str(),
            full.json()["error"]["details"]["limit"].clone()
        ),
        ("QUOTA_EXCEEDED", json!(50))
    );
}

#[tokio::test]
async fn a_key_gets_no_words_sent_that_it_may_not_read() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let key = crate::people::by_key(&anna, &[Scope::Webhooks]);
    let mut body = json!({ "url": "https://example.com/", "events": ["webhook.tested"] });
    let own = server.post(&key, "/api/webhooks", body.clone()).await;
    assert_eq!(own.status, StatusCode::CREATED, "{}", own.json());
    for events in [
        json!(["segment.finalized"]),
        json!(["message.posted"]),
        json!(["*"]),
    ] {
        body["events"] = events;
        let refused = server.post(&key, "/api/webhooks", body.clone()).await;
        assert_eq!(refused.code(), "SCOPE_MISSING", "{body}");
        let path = format!(
            "/api/webhooks/{}",
            own.data()["id"].as_str().expect("an id")
        );
        let more = json!({ "events": body["events"] });
        let refused = server.call(&key, Method::PATCH, &path, more).await;
        assert_eq!(refused.code(), "SCOPE_MISSING", "{body}");
    }
    let made = server.post(&anna, "/api/webhooks", body).await.data();
    let path = format!("/api/webhooks/{}", made["id"].as_str().expect("an id"));
    let elsewhere = json!({ "url": "https://example.com/elsewhere" });
    let refused = server.call(&key, Method::PATCH, &path, elsewhere).await;
    assert_eq!(refused.code(), "SCOPE_MISSING");
    let meeting = json!({ "title": "The red kiln" });
    server.post(&anna, "/api/meetings", meeting).await;
    let deliveries = format!("{path}/deliveries");
    let seen = server.get(&anna, &deliveries).await.data();
    assert!(seen.to_string().contains("red kiln"), "{seen}");
    let seen = server.get(&key, &deliveries).await.data();
    assert_eq!(seen["items"][0]["event_type"], "meeting.created");
    assert_eq!(seen["items"][0]["payload"]["data"], Value::Null);
    assert!(!seen.to_string().contains("kiln"), "{seen}");
}
