//! Who decides, and what is written down of it.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use meetmind_core::{MeetingRole, Scope};
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::people::{People, by_key};

/// A log that a test reads.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    /// Writes down what this thread does until the guard goes, as an operator gets it.
    fn open() -> (Self, tracing::subscriber::DefaultGuard) {
        // Beside another subscriber, every subscriber is asked about every place that logs; alone,
        // it would be the thread that comes by first, which may be that of another test.
        let _ = tracing::subscriber::set_global_default(tracing::subscriber::NoSubscriber::new());
        let log = Self::default();
        let lines = tracing_subscriber::fmt()
            .json()
            .with_max_level(tracing::Level::INFO)
            .with_writer(log.clone())
            .finish();
        (log, tracing::subscriber::set_default(lines))
    }

    /// The lines with this message.
    fn lines(&self, message: &str) -> Vec<Value> {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8(log.clone()).expect("UTF-8");
        let lines = text.lines().map(|line| {
            let line: Value = serde_json::from_str(line).expect("JSON");
            line["fields"].clone()
        });
        lines.filter(|line| line["message"] == message).collect()
    }
}

/// What a client says of its own rights counts for nothing, at no door.
#[tokio::test]
async fn asvs_v5_8_3_1_rights_are_looked_up_and_not_taken_from_the_client() {
    let server = TestServer::new().await;
    let people = People::new(&server).await;
    let gathering = people.gather(&server, json!({})).await;
    let Actor::Guest {
        participant_id,
        meeting_id,
        ..
    } = gathering.guest
    else {
        panic!("a guest");
    };
    // A token that says host, for somebody who is a participant.
    let boastful = Actor::Guest {
        participant_id,
        meeting_id,
        role: MeetingRole::Host,
    };
    let lock = format!("{}/lock", gathering.path);
    let locked = json!({ "locked": true, "role": "host" });
    let refused = server.post(&boastful, &lock, locked).await;
    assert_eq!(refused.code(), "FORBIDDEN");
    // The same rule behind every door.
    let say = json!({ "text": "Hello", "role": "host", "participant_id": participant_id });
    let messages = format!("{}/messages", gathering.path);
    let refused = server.post(&people.viewer, &messages, say).await;
    assert_eq!(refused.code(), "FORBIDDEN");
    let arguments = json!({ "meeting_id": meeting_id, "text": "Hello" });
    let tool = json!({ "tool": "post_message", "arguments": arguments });
    let refused = server.post(&people.viewer, "/api/mcp/tools", tool).await;
    assert_eq!(refused.code(), "FORBIDDEN");
    let request = Request::get(&gathering.path)
        .header("x-user-id", people.host.key())
        .header("x-role", "admin")
        .body(Body::empty())
        .expect("a request");
    let refused = server.send(&people.stranger, request).await;
    assert_eq!(refused.code(), "NOT_FOUND");
}

#[tokio::test]
async fn asvs_v5_16_3_1_every_sign_in_is_logged_whatever_becomes_of_it() {
    let server = TestServer::new().await;
    let (log, _guard) = Log::open();
    let anna = server.register("anna").await;
    let signed_in = login(&server, "anna", meetmind_server::testing::PASSWORD).await;
    assert_eq!(signed_in.status, 200);
    login(&server, "anna", "a wrong password").await;
    let renewed = refresh(&server, &anna["refresh_token"]).await.data();
    let token = text(&renewed["access_token"]);
    server
        .call_with(token, Method::POST, "/auth/logout", json!({}))
        .await;
    profile(&server, &renewed["access_token"]).await;
    for message in [
        "an account was made",
        "signed in",
        "a session was renewed",
        "signed out",
    ] {
        let lines = log.lines(message);
        assert_eq!(lines.len(), 1, "{message}");
        assert_eq!(lines[0]["user_id"], anna["user"]["id"], "{message}");
    }
    assert_eq!(log.lines("signed in")[0]["method"], "password");
    assert_eq!(log.lines("a sign-in failed").len(), 1);
    let refused = log.lines("a request was refused");
    let last = refused.last().expect("a refusal");
    assert_eq!(
        (&last["actor"], &last["code"]),
        (&json!("an invalid credential"), &json!("SESSION_REVOKED"))
    );
    let log = log.0.lock().expect("a log").clone();
    let log = String::from_utf8(log).expect("UTF-8");
    for secret in [
        token,
        "a wrong password",
        meetmind_server::testing::PASSWORD,
    ] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test]
async fn asvs_v5_16_3_2_refused_authority_is_logged() {
    let server = TestServer::new().await;
    let people = People::new(&server).await;
    let gathering = people.gather(&server, json!({})).await;
    let (log, _guard) = Log::open();
    let lock = format!("{}/lock", gathering.path);
    let body = json!({ "locked": true });
    server.post(&people.viewer, &lock, body.clone()).await;
    let key = by_key(&people.host, &[Scope::Profile]);
    server.post(&key, &lock, body.clone()).await;
    server.get(&people.viewer, "/api/admin/users").await;
    server.post(&Actor::Anonymous, &lock, body.clone()).await;
    let refused = log.lines("a request was refused");
    let said = |line: &Value| {
        (
            line["actor"].clone(),
            line["route"].clone(),
            line["code"].clone(),
        )
    };
    let expected = [
        (people.viewer.key(), "/api/meetings/{id}/lock", "FORBIDDEN"),
        (
            people.host.key(),
            "/api/meetings/{id}/lock",
            "SCOPE_MISSING",
        ),
        (people.viewer.key(), "/api/admin/users", "FORBIDDEN"),
        (
            "anonymous".to_owned(),
            "/api/meetings/{id}/lock",
            "UNAUTHENTICATED",
        ),
    ];
    let expected = expected.map(|(who, route, code)| (json!(who), json!(route), json!(code)));
    assert_eq!(refused.iter().map(said).collect::<Vec<_>>(), expected);
    // What is hidden from the caller is not hidden from the log.
    let hidden = server.post(&people.stranger, &lock, body).await;
    assert_eq!(hidden.code(), "NOT_FOUND");
    let hidden = log.lines("a meeting was kept hidden");
    assert_eq!(
        (&hidden[0]["actor"], &hidden[0]["meeting_id"]),
        (&json!(people.stranger.key()), &json!(gathering.meeting_id))
    );
}
