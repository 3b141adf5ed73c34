//! Guests: people without an account, in one meeting.

use axum::body::Body;
use axum::http::{Method, Request};
use meetmind_core::Actor;
use meetmind_server::testing::TestServer;
use serde_json::{Value, json};

use super::door::{invite_code, join};
use crate::people::{People, guest, patch, text};

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
