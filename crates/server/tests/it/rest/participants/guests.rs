//! Guests: people without an account, in one meeting.

use axum::body::Body;
use axum::http::{Method, Request};
use meetmind_app::Settings;
use meetmind_app::testing::TestApp;
use meetmind_core::Actor;
use meetmind_server::testing::{TestAnswer, TestServer};
use serde_json::{Value, json};

use super::super::auth::from;
use super::door::{invite_code, join};
use crate::people::{Gathering, People, guest, outcome, patch, text};

/// The whole way of somebody without an account: the code, a token, and all that it opens.
#[tokio::test]
async fn a_guest_comes_by_link_and_acts_with_the_token() {
    let server = TestServer::new().await;
    let people = People::new(&server).await;
    let gathering = people
        .gather(&server, json!({ "access": "link", "lobby": true }))
        .await;
    let code = invite_code(&server, &people, &gathering).await;
    let nameless = join(
        &server,
        &Actor::Anonymous,
        &gathering,
        json!({ "invite_code": code }),
    )
    .await;
    assert_eq!(nameless.1, "VALIDATION_FAILED");
    let (status, _, waiting) = join(
        &server,
        &Actor::Anonymous,
        &gathering,
        json!({ "name": "Gunilla", "invite_code": code }),
    )
    .await;
    assert_eq!(
        (status, &waiting["participant"]["state"]),
        (200, &json!("waiting"))
    );
    assert_eq!(waiting["participant"]["user_id"], Value::Null);
    let token = text(&waiting["guest_token"]);
    let as_guest = async |method: Method, path: &str| {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {token}"))
            .body(Body::empty())
            .expect("a request");
        server.send(&Actor::Anonymous, request).await
    };
    assert_eq!(
        as_guest(Method::GET, &gathering.path).await.status.as_u16(),
        404
    );
    let own = format!(
        "{}/participants/{}",
        gathering.path,
        text(&waiting["participant"]["id"])
    );
    patch(&server, &people.host, &own, json!({ "admit": true })).await;
    assert_eq!(
        as_guest(Method::GET, &gathering.path).await.data()["role"],
        "participant"
    );
    let inside = as_guest(Method::POST, &format!("{}/join", gathering.path))
        .await
        .data();
    assert_eq!(inside["participant"]["id"], waiting["participant"]["id"]);
    let elsewhere = people.gather(&server, json!({ "access": "open" })).await;
    assert_eq!(
        as_guest(Method::GET, &elsewhere.path).await.status.as_u16(),
        404
    );
    server
        .call(&people.host, Method::DELETE, &own, Value::Null)
        .await;
    // The token is refused at the gate, or the meeting is not there for it any more.
    let refused = as_guest(Method::GET, &gathering.path).await.status;
    assert!(matches!(refused.as_u16(), 401 | 404), "{refused}");
}

#[tokio::test]
async fn a_removed_guest_sees_nothing_more() {
    let server = TestServer::new().await;
    let people = People::new(&server).await;
    let gathering = people.gather(&server, json!({ "access": "link" })).await;
    let eve = guest(&server, gathering.meeting_id, "Eve").await;
    let Actor::Guest { participant_id, .. } = &eve else {
        panic!("not a guest");
    };
    let path = format!("{}/participants/{participant_id}", gathering.path);
    assert_eq!(server.get(&eve, &gathering.path).await.status.as_u16(), 200);
    server
        .call(&people.cohost, Method::DELETE, &path, Value::Null)
        .await;
    for path in ["", "/messages", "/participants"] {
        assert_eq!(
            server
                .get(&eve, &format!("{}{path}", gathering.path))
                .await
                .code(),
            "NOT_FOUND"
        );
    }
    assert_eq!(join(&server, &eve, &gathering, Value::Null).await.0, 404);
}

/// Comes to the door without an account, from this address.
async fn knock(
    server: &TestServer,
    gathering: &Gathering,
    address: &str,
    code: &str,
    headers: &[(&str, &str)],
) -> TestAnswer {
    let body = json!({ "name": "Eve", "invite_code": code });
    let path = format!("{}/join", gathering.path);
    let request = from(address, &path, &body, headers);
    server.send(&Actor::Anonymous, request).await
}

#[tokio::test]
async fn the_link_of_a_removed_guest_opens_nothing_any_more() {
    let server = TestServer::new().await;
    let people = People::new(&server).await;
    let gathering = people.gather(&server, json!({ "access": "link" })).await;
    let code = invite_code(&server, &people, &gathering).await;
    let eve = knock(&server, &gathering, "192.0.2.1", &code, &[]).await;
    let ida = knock(&server, &gathering, "192.0.2.2", &code, &[]).await;
    let token = text(&ida.data()["guest_token"]);
    let place = format!(
        "{}/participants/{}",
        gathering.path,
        text(&eve.data()["participant"]["id"])
    );
    server
        .call(&people.cohost, Method::DELETE, &place, Value::Null)
        .await;
    let again = knock(&server, &gathering, "192.0.2.1", &code, &[]).await;
    assert_eq!(outcome(&again), (404, "NOT_FOUND".to_owned()));
    let renewed = invite_code(&server, &people, &gathering).await;
    assert_ne!(renewed, code);
    let invited = knock(&server, &gathering, "192.0.2.3", &renewed, &[]).await;
    assert_eq!(invited.status.as_u16(), 200, "{}", invited.json());
    // Who is in stays in.
    let path = &gathering.path;
    let stays = server
        .call_with(&token, Method::GET, path, Value::Null)
        .await;
    assert_eq!(stays.status.as_u16(), 200, "{}", stays.json());
}

#[tokio::test]
async fn turning_somebody_away_leaves_the_link_to_the_others() {
    let server = TestServer::new().await;
    let people = People::new(&server).await;
    let fields = json!({ "access": "link", "lobby": true });
    let gathering = people.gather(&server, fields).await;
    let code = invite_code(&server, &people, &gathering).await;
    let eve = knock(&server, &gathering, "192.0.2.1", &code, &[]).await;
    let place = format!(
        "{}/participants/{}",
        gathering.path,
        text(&eve.data()["participant"]["id"])
    );
    let away = patch(&server, &people.host, &place, json!({ "admit": false })).await;
    assert_eq!(away.data()["state"], "removed");
    assert_eq!(invite_code(&server, &people, &gathering).await, code);
}

#[tokio::test]
async fn wrong_codes_make_the_guesser_wait_and_nobody_else() {
    let server = TestServer::new().await;
    let people = People::new(&server).await;
    let gathering = people.gather(&server, json!({ "access": "link" })).await;
    let code = invite_code(&server, &people, &gathering).await;
    for _ in 0..10 {
        let guess = knock(&server, &gathering, "192.0.2.1", "aaaaaaaaaaaaaaaa", &[]).await;
        assert_eq!(guess.code(), "NOT_FOUND");
    }
    let waits = knock(&server, &gathering, "192.0.2.1", &code, &[]).await;
    assert_eq!(outcome(&waits), (429, "TOO_MANY_ATTEMPTS".to_owned()));
    let details = &waits.json()["error"]["details"];
    assert_eq!(
        (&details["current"], &details["limit"]),
        (&json!(10), &json!(10))
    );
    assert!(details["reset"].is_string() && waits.headers.contains_key("retry-after"));
    let neighbour = knock(&server, &gathering, "192.0.2.2", &code, &[]).await;
    assert_eq!(neighbour.status.as_u16(), 200, "{}", neighbour.json());
    server.app.clock.advance(std::time::Duration::from_secs(2));
    let patient = knock(&server, &gathering, "192.0.2.1", &code, &[]).await;
    assert_eq!(patient.status.as_u16(), 200, "{}", patient.json());
}

#[tokio::test]
async fn guests_are_counted_per_meeting_and_per_address() {
    let mut settings = Settings::default();
    settings.guests.per_meeting = 4;
    settings.guests.per_address_and_hour = 2;
    let server = TestServer::over(TestApp::with(settings).await);
    let people = People::new(&server).await;
    // One guest of it is there already.
    let gathering = people.gather(&server, json!({ "access": "link" })).await;
    let code = invite_code(&server, &people, &gathering).await;
    for _ in 0..2 {
        let joined = knock(&server, &gathering, "[2001:db8::1]", &code, &[]).await;
        assert_eq!(joined.status.as_u16(), 200, "{}", joined.json());
    }
    let flood = knock(&server, &gathering, "[2001:db8::2]", &code, &[]).await;
    assert_eq!(outcome(&flood), (429, "RATE_LIMITED".to_owned()));
    let details = &flood.json()["error"]["details"];
    assert_eq!(
        (&details["current"], &details["limit"]),
        (&json!(2), &json!(2))
    );
    assert!(details["reset"].is_string() && flood.headers.contains_key("retry-after"));
    let last = knock(&server, &gathering, "192.0.2.1", &code, &[]).await;
    assert_eq!(last.status.as_u16(), 200, "{}", last.json());
    let full = knock(&server, &gathering, "192.0.2.2", &code, &[]).await;
    assert_eq!(outcome(&full), (429, "QUOTA_EXCEEDED".to_owned()));
    let details = &full.json()["error"]["details"];
    assert_eq!(
        (&details["current"], &details["limit"]),
        (&json!(4), &json!(4))
    );
    // An account is no guest.
    let body = json!({ "invite_code": code });
    let (status, ..) = join(&server, &people.stranger, &gathering, body).await;
    assert_eq!(status, 200);
    server
        .app
        .clock
        .advance(std::time::Duration::from_secs(3601));
    let elsewhere = people.gather(&server, json!({ "access": "link" })).await;
    let code = invite_code(&server, &people, &elsewhere).await;
    let later = knock(&server, &elsewhere, "[2001:db8::2]", &code, &[]).await;
    assert_eq!(later.status.as_u16(), 200, "{}", later.json());
}

#[tokio::test]
async fn a_repeated_join_is_the_same_guest() {
    let server = TestServer::new().await;
    let people = People::new(&server).await;
    let gathering = people.gather(&server, json!({ "access": "link" })).await;
    let code = invite_code(&server, &people, &gathering).await;
    let key = [("idempotency-key", "01f0c2a4-6a0e-4f63-9d5e")];
    let first = knock(&server, &gathering, "192.0.2.1", &code, &key).await;
    let second = knock(&server, &gathering, "192.0.2.1", &code, &key).await;
    assert_eq!(first.status.as_u16(), 200, "{}", first.json());
    let id = |answer: &TestAnswer| answer.data()["participant"]["id"].clone();
    assert_eq!(id(&first), id(&second));
    let token = text(&second.data()["guest_token"]);
    let path = &gathering.path;
    let inside = server
        .call_with(&token, Method::GET, path, Value::Null)
        .await;
    assert_eq!(inside.status.as_u16(), 200, "{}", inside.json());
    let other = knock(&server, &gathering, "192.0.2.1", &code, &[]).await;
    assert_ne!(id(&first), id(&other));
    let body = json!({ "name": "Ida", "invite_code": code });
    let join = format!("{}/join", gathering.path);
    let mismatch = server
        .send(&Actor::Anonymous, from("192.0.2.1", &join, &body, &key))
        .await;
    assert_eq!(mismatch.code(), "IDEMPOTENCY_MISMATCH");
    let short = [("idempotency-key", "1")];
    let short = knock(&server, &gathering, "192.0.2.1", &code, &short).await;
    assert_eq!(short.code(), "VALIDATION_FAILED");
    let place = format!("{}/participants/{}", gathering.path, text(&id(&first)));
    server
        .call(&people.host, Method::DELETE, &place, Value::Null)
        .await;
    let removed = knock(&server, &gathering, "192.0.2.1", &code, &key).await;
    assert_eq!(removed.code(), "NOT_FOUND");
}
