//! `/api/ask` and `/api/meetings/{id}/ask`

use axum::body::Body;
use axum::http::{Request, StatusCode};
use meetmind_core::{Actor, Scope};
use serde_json::{Value, json};

use super::notes::{Room, key};

const QUESTION: &str = "How long does the battery of the solar charger last?";

#[tokio::test]
async fn an_answer_cites_and_its_absence_is_honest() {
    let room = Room::new().await;
    let ask = |who: Actor, path: String, body: Value| {
        let server = &room.server;
        async move { server.post(&who, &path, body).await }
    };
    let body = json!({ "question": QUESTION });
    for (path, body) in [
        (room.path("/ask"), body.clone()),
        ("/api/ask".to_owned(), body.clone()),
        (
            "/api/ask".to_owned(),
            json!({ "question": QUESTION, "scope": { "meeting_id": room.id } }),
        ),
        (
            "/api/ask".to_owned(),
            json!({ "question": QUESTION, "scope": { "all": true } }),
        ),
    ] {
        let answer = ask(room.ben.clone(), path, body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.json());
        let data = answer.data();
        assert_eq!(
            (data["found"].as_bool(), data["engine"].as_str()),
            (Some(true), Some("offline"))
        );
        assert_eq!(data["citations"][0]["segment_id"], json!(room.segments[3]));
        assert_eq!(data["citations"][0]["start_ms"], 30_000);
    }
    let none = ask(
        room.anna.clone(),
        "/api/ask".to_owned(),
        json!({ "question": "Who climbed the volcano in Iceland?" }),
    )
    .await
    .data();
    assert_eq!(
        (none["found"].as_bool(), none["text"].as_str()),
        (Some(false), Some(""))
    );
    for (who, code) in [
        (room.eve.clone(), "NOT_FOUND"),
        (room.vera.clone(), "FORBIDDEN"),
        (Actor::Anonymous, "UNAUTHENTICATED"),
        (
            key(&room.ben, &[Scope::MeetingsRead, Scope::MeetingsWrite]),
            "SCOPE_MISSING",
        ),
    ] {
        assert_eq!(ask(who, room.path("/ask"), body.clone()).await.code(), code);
    }
    let all = ask(room.vera.clone(), "/api/ask".to_owned(), body.clone())
        .await
        .data();
    assert_eq!(all["found"], false, "who only looks on asks nothing there");
    for bad in [
        json!({}),
        json!({ "question": " " }),
        json!({ "question": "x".repeat(2_001) }),
        json!({ "question": QUESTION, "scope": {} }),
        json!({ "question": QUESTION, "scope": { "meeting_id": room.id, "all": true } }),
    ] {
        assert_eq!(
            ask(room.anna.clone(), "/api/ask".to_owned(), bad.clone())
                .await
                .code(),
            "VALIDATION_FAILED",
            "{bad}"
        );
    }
}

#[tokio::test]
async fn an_answer_streams_when_asked_to() {
    let room = Room::new().await;
    let request = |path: &str| {
        Request::post(path.to_owned())
            .header("content-type", "application/json")
            .header("accept", "text/event-stream")
            .body(Body::from(json!({ "question": QUESTION }).to_string()))
            .expect("a request")
    };
    let stream = room
        .server
        .send(&room.ben, request(&room.path("/ask")))
        .await;
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    let text = String::from_utf8(stream.bytes.to_vec()).expect("text");
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("event: "))
        .collect();
    assert_eq!(
        (names.first(), names.last()),
        (Some(&"citation"), Some(&"done"))
    );
    assert!(names.contains(&"text"));
    let done = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("data: "))
        .expect("data");
    let done: Value = serde_json::from_str(done).expect("JSON");
    assert_eq!(done["found"], true);
    // A refusal comes in the envelope, not in the stream.
    let refused = room
        .server
        .send(&room.eve, request(&room.path("/ask")))
        .await;
    assert_eq!(refused.code(), "NOT_FOUND");
}
