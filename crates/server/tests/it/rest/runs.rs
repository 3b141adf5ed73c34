//! `/api/runs` and `/api/admin/runs`

use axum::http::StatusCode;
use meetmind_core::{Actor, UserRole};
use meetmind_server::testing::TestServer;
use serde_json::{Value, json};

use super::agents::{agent, meeting};

async fn queued(server: &TestServer, anna: &Actor) -> String {
    let meeting = meeting(server, anna).await;
    let max = agent(server, anna, json!({ "name": "Max" })).await;
    let path = format!("/api/meetings/{meeting}/agents");
    let run = server.post(anna, &path, json!({ "agent_id": max })).await;
    format!("/api/runs/{}", run.data()["id"].as_str().expect("an id"))
}

#[tokio::test]
async fn a_run_shows_its_timeline_and_stops_with_a_reason() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let path = queued(&server, &anna).await;
    assert_eq!(server.get(&anna, &path).await.data()["attempt"], 1);
    let say = server
        .post(&anna, &format!("{path}/say"), json!({ "text": "hello" }))
        .await;
    assert_eq!(
        (say.status.as_u16(), say.code().as_str()),
        (409, "CONFLICT"),
        "it is not in the meeting yet"
    );
    let mute = server
        .post(&anna, &format!("{path}/mute"), json!({ "muted": true }))
        .await;
    assert_eq!(mute.code(), "CONFLICT");
    let stop = format!("{path}/stop");
    assert_eq!(
        server
            .post(&anna, &stop, json!({ "reason": "" }))
            .await
            .code(),
        "VALIDATION_FAILED"
    );
    let stopped = server
        .post(&anna, &stop, json!({ "reason": "not needed" }))
        .await;
    assert_eq!(
        (stopped.status, stopped.data()["state"].clone()),
        (StatusCode::OK, json!("cancelled"))
    );
    assert_eq!(
        server.post(&anna, &stop, Value::Null).await.data()["message"],
        "not needed",
        "without a body, and twice"
    );
    let events = server
        .get(&anna, &format!("{path}/events?limit=1"))
        .await
        .data();
    assert_eq!(
        (
            &events["items"][0]["to_state"],
            &events["items"][0]["from_state"]
        ),
        (&json!("queued"), &Value::Null)
    );
    let cursor = events["next_cursor"].as_str().expect("more");
    let rest = server
        .get(&anna, &format!("{path}/events?cursor={cursor}"))
        .await
        .data();
    let last = &rest["items"][0];
    assert_eq!(
        (&last["to_state"], &last["reason_code"], &last["message"]),
        (&json!("cancelled"), &json!("stopped"), &json!("not needed"))
    );
    assert!(
        last["actor"]
            .as_str()
            .is_some_and(|actor| actor.starts_with("user:usr_"))
    );
}

#[tokio::test]
async fn runs_are_closed_to_strangers_and_all_are_open_to_administrators() {
    let server = TestServer::new().await;
    let (anna, ben) = (server.app.user("anna").await, server.app.user("ben").await);
    let path = queued(&server, &anna).await;
    for answer in [
        server.get(&ben, &path).await,
        server.get(&ben, &format!("{path}/events")).await,
        server
            .post(&ben, &format!("{path}/say"), json!({ "text": "hi" }))
            .await,
        server
            .post(&ben, &format!("{path}/mute"), json!({ "muted": true }))
            .await,
        server.post(&ben, &format!("{path}/stop"), json!({})).await,
        server
            .get(&anna, "/api/runs/run_00000000000000000000000001")
            .await,
    ] {
        assert_eq!(answer.code(), "NOT_FOUND");
    }
    assert_eq!(
        server.get(&Actor::Anonymous, &path).await.code(),
        "UNAUTHENTICATED"
    );
    assert_eq!(
        server.get(&ben, "/api/admin/runs").await.code(),
        "FORBIDDEN"
    );
    let Actor::User { user_id, proof, .. } = ben else {
        unreachable!("a user")
    };
    let admin = Actor::User {
        user_id,
        role: UserRole::Admin,
        proof,
    };
    let all = server
        .get(&admin, "/api/admin/runs?state=queued")
        .await
        .data();
    assert_eq!(all["items"].as_array().map(Vec::len), Some(1));
    assert!(!all.to_string().contains("Weekly"), "no words of meetings");
    assert_eq!(
        server
            .get(&admin, "/api/admin/runs?state=live")
            .await
            .data()["items"],
        json!([])
    );
    assert_eq!(server.get(&admin, &path).await.status, StatusCode::OK);
    assert_eq!(
        server
            .post(&admin, &format!("{path}/say"), json!({ "text": "hi" }))
            .await
            .code(),
        "NOT_FOUND"
    );
}

#[tokio::test]
async fn words_to_say_are_bounded() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let path = format!("{}/say", queued(&server, &anna).await);
    for body in [
        json!({}),
        json!({ "text": "" }),
        json!({ "text": "x".repeat(4001) }),
        json!({ "text": "a\u{0}b" }),
    ] {
        assert_eq!(
            server.post(&anna, &path, body).await.code(),
            "VALIDATION_FAILED"
        );
    }
}
