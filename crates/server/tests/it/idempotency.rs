//! `Idempotency-Key`

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use meetmind_core::*;
use meetmind_server::testing::{TestAnswer, TestServer};
use serde_json::{Value, json};

async fn keyed(
    server: &TestServer,
    actor: &Actor,
    path: &str,
    key: &str,
    body: Value,
) -> TestAnswer {
    let request = Request::post(path)
        .header("content-type", "application/json")
        .header("idempotency-key", key)
        .body(Body::from(body.to_string()))
        .expect("a request");
    server.send(actor, request).await
}

async fn count(server: &TestServer, actor: &Actor) -> usize {
    let list = server.get(actor, "/api/meetings?limit=100").await.data();
    list["items"].as_array().map_or(0, Vec::len)
}

#[tokio::test]
async fn a_repetition_gets_the_first_answer() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let first = keyed(
        &server,
        &anna,
        "/api/meetings",
        "k1",
        json!({ "title": "Weekly" }),
    )
    .await;
    assert_eq!(first.status, StatusCode::CREATED);
    assert!(!first.headers.contains_key("idempotency-replayed"));
    let second = keyed(
        &server,
        &anna,
        "/api/meetings",
        "k1",
        json!({ "title": "Weekly" }),
    )
    .await;
    assert_eq!((second.status, &second.bytes), (first.status, &first.bytes));
    for name in ["location", "etag", "content-type"] {
        assert_eq!(second.headers[name], first.headers[name]);
    }
    assert_eq!(second.headers["idempotency-replayed"], "true");
    assert_ne!(
        second.headers["x-request-id"],
        first.headers["x-request-id"]
    );
    assert_eq!(count(&server, &anna).await, 1);
}

#[tokio::test]
async fn another_request_under_the_key_is_refused() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    keyed(
        &server,
        &anna,
        "/api/meetings",
        "k1",
        json!({ "title": "a" }),
    )
    .await;
    for (path, body) in [
        ("/api/meetings", json!({ "title": "b" })),
        ("/api/meetings?x=1", json!({ "title": "a" })),
        ("/api/webhooks", json!({ "title": "a" })),
    ] {
        let answer = keyed(&server, &anna, path, "k1", body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (422, "IDEMPOTENCY_MISMATCH")
        );
    }
    // Another person's key, and another key, are another matter.
    let ben = server.app.user("ben").await;
    assert_eq!(
        keyed(
            &server,
            &ben,
            "/api/meetings",
            "k1",
            json!({ "title": "b" })
        )
        .await
        .status,
        StatusCode::CREATED
    );
    assert_eq!(
        keyed(
            &server,
            &anna,
            "/api/meetings",
            "k2",
            json!({ "title": "b" })
        )
        .await
        .status,
        StatusCode::CREATED
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_at_once_make_one_meeting() {
    let server = Arc::new(TestServer::new().await);
    let anna = server.app.user("anna").await;
    let mut tasks = vec![];
    for _ in 0..20 {
        let (server, anna) = (Arc::clone(&server), anna.clone());
        tasks.push(tokio::spawn(async move {
            loop {
                let answer = keyed(
                    &server,
                    &anna,
                    "/api/meetings",
                    "one",
                    json!({ "title": "x" }),
                )
                .await;
                if answer.code() != "IDEMPOTENCY_IN_PROGRESS" {
                    return answer.data()["id"].clone();
                }
                assert_eq!(
                    (answer.status, answer.headers["retry-after"].to_str().ok()),
                    (StatusCode::CONFLICT, Some("1"))
                );
                tokio::task::yield_now().await;
            }
        }));
    }
    let mut ids = vec![];
    for task in tasks {
        ids.push(task.await.expect("an answer").to_string());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(count(&server, &anna).await, 1);
}

#[tokio::test]
async fn refusals_are_repeated_too_and_a_key_lives_a_day() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let first = keyed(&server, &anna, "/api/meetings", "k1", json!({})).await;
    let second = keyed(&server, &anna, "/api/meetings", "k1", json!({})).await;
    assert_eq!(
        (first.code(), second.code()),
        (
            "VALIDATION_FAILED".to_owned(),
            "VALIDATION_FAILED".to_owned()
        )
    );
    assert_eq!(second.headers["idempotency-replayed"], "true");
    assert_eq!(
        second.json()["error"]["request_id"].as_str(),
        second.headers["x-request-id"].to_str().ok()
    );
    server.app.clock.advance(Duration::from_secs(86_401));
    let later = keyed(
        &server,
        &anna,
        "/api/meetings",
        "k1",
        json!({ "title": "x" }),
    )
    .await;
    assert_eq!(later.status, StatusCode::CREATED);
}

#[tokio::test]
async fn an_abandoned_request_is_taken_over_after_a_minute() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let body = json!({ "title": "x" });
    // What a killed process leaves: a key that is taken and never answered.
    keyed(&server, &anna, "/api/meetings", "k1", body.clone()).await;
    let mut tx = server.app.db.store.begin().await.expect("a change");
    let row = tx
        .idempotency_find(&anna.key(), "k1")
        .await
        .expect("a row")
        .expect("a row");
    let far = Timestamp::parse("2030-01-01T00:00:00Z").expect("a time");
    tx.idempotency_trim(far).await.expect("a trim");
    let claim = meetmind_store::IdempotencyClaim {
        actor: anna.key(),
        key: "k1".to_owned(),
        request_hash: row.request_hash,
        created_at: server.app.app.now(),
    };
    assert!(
        tx.idempotency_reserve(&claim, Timestamp::MIN, Timestamp::MIN)
            .await
            .expect("an answer")
    );
    tx.commit().await.expect("a commit");
    assert_eq!(
        keyed(&server, &anna, "/api/meetings", "k1", body.clone())
            .await
            .code(),
        "IDEMPOTENCY_IN_PROGRESS"
    );
    server.app.clock.advance(Duration::from_secs(61));
    assert_eq!(
        keyed(&server, &anna, "/api/meetings", "k1", body)
            .await
            .status,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn a_secret_is_not_told_twice() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let body = json!({ "url": "https://example.com/", "events": ["*"] });
    let first = keyed(&server, &anna, "/api/webhooks", "k1", body.clone()).await;
    assert_eq!(first.status, StatusCode::CREATED);
    let second = keyed(&server, &anna, "/api/webhooks", "k1", body).await;
    assert_eq!(
        (second.status, second.code().as_str()),
        (StatusCode::CONFLICT, "CONFLICT")
    );
    assert_eq!(
        second.json()["error"]["details"]["location"].as_str(),
        first.headers["location"].to_str().ok()
    );
    let secret = first.data()["secret"]
        .as_str()
        .expect("a secret")
        .to_owned();
    let mut read = server.app.db.store.read().await.expect("a connection");
    let row = read
        .idempotency_find(&anna.key(), "k1")
        .await
        .expect("a row")
        .expect("a row");
    assert!(!row.response.expect("an answer").contains(&secret));
    let list = server.get(&anna, "/api/webhooks").await.data();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_link_to_set_a_password_is_not_kept() {
    let server = TestServer::new().await;
    let Actor::User { user_id, proof, .. } = server.app.user("boss").await else {
        unreachable!("a user")
    };
    let boss = Actor::User {
        user_id,
        role: UserRole::Admin,
        proof,
    };
    let body = json!({ "email": "ben@example.com" });
    let made = keyed(&server, &boss, "/api/admin/users", "k1", body.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.json());
    let id = made.data()["id"].as_str().expect("an id").to_owned();
    let path = format!("/api/admin/users/{id}/reset-link");
    let link = keyed(&server, &boss, &path, "k2", json!({})).await;
    assert_eq!(link.status, StatusCode::OK, "{}", link.json());
    for (path, key, body, url) in [
        (
            "/api/admin/users",
            "k1",
            body,
            made.data()["reset_link"]["url"].clone(),
        ),
        (path.as_str(), "k2", json!({}), link.data()["url"].clone()),
    ] {
        let again = keyed(&server, &boss, path, key, body).await;
        assert_eq!(
            (again.status, again.code().as_str()),
            (StatusCode::CONFLICT, "CONFLICT")
        );
        let token = url.as_str().and_then(|url| url.split_once("token="));
        let (_, token) = token.expect("a link with a token");
        let mut read = server.app.db.store.read().await.expect("a connection");
        let row = read
            .idempotency_find(&boss.key(), key)
            .await
            .expect("a row")
            .expect("a row");
        assert!(!row.response.expect("an answer").contains(token));
    }
    // With a password there is no link, and so nothing to hide.
    let body =
        json!({ "email": "cleo@example.com", "password": meetmind_server::testing::PASSWORD });
    let first = keyed(&server, &boss, "/api/admin/users", "k3", body.clone()).await;
    let again = keyed(&server, &boss, "/api/admin/users", "k3", body).await;
    assert_eq!((again.status, again.bytes), (first.status, first.bytes));
}

#[tokio::test]
async fn a_key_for_programs_does_not_see_what_the_session_was_answered() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    keyed(
        &server,
        &anna,
        "/api/meetings",
        "k1",
        json!({ "title": "x" }),
    )
    .await;
    let Actor::User { user_id, role, .. } = anna else {
        panic!("a user")
    };
    let key = Actor::User {
        user_id,
        role,
        proof: Proof::ApiKey(ApiKeyId::from_uuid(uuid::Uuid::from_u128(5)), vec![]),
    };
    assert_eq!(
        keyed(
            &server,
            &key,
            "/api/meetings",
            "k1",
            json!({ "title": "x" })
        )
        .await
        .code(),
        "SCOPE_MISSING"
    );
}

#[tokio::test]
async fn odd_keys_are_refused_and_nobody_has_none() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let long = "x".repeat(256);
    for key in ["", "a b", "größe", long.as_str()] {
        let answer = keyed(
            &server,
            &anna,
            "/api/meetings",
            key,
            json!({ "title": "x" }),
        )
        .await;
        assert_eq!(answer.code(), "VALIDATION_FAILED", "{key}");
    }
    assert_eq!(
        keyed(
            &server,
            &anna,
            "/api/meetings",
            &"x".repeat(255),
            json!({ "title": "x" })
        )
        .await
        .status,
        StatusCode::CREATED
    );
    let two = Request::post("/api/meetings")
        .header("idempotency-key", "a")
        .header("idempotency-key", "b")
        .body(Body::empty())
        .expect("a request");
    assert_eq!(server.send(&anna, two).await.code(), "VALIDATION_FAILED");
    assert_eq!(
        keyed(
            &server,
            &Actor::Anonymous,
            "/api/meetings",
            "k",
            json!({ "title": "x" })
        )
        .await
        .code(),
        "UNAUTHENTICATED"
    );
    // A body beyond the route's limit is refused as without a key.
    let large = keyed(
        &server,
        &anna,
        "/api/meetings",
        "large",
        json!({ "title": "x".repeat(3_000_000) }),
    )
    .await;
    assert_eq!(large.code(), "PAYLOAD_TOO_LARGE");
}

#[tokio::test]
async fn a_kept_answer_is_only_for_who_may_still_ask() {
    let server = TestServer::new().await;
    let people = crate::people::People::new(&server).await;
    let gathering = people.gather(&server, json!({})).await;
    let messages = format!("{}/messages", gathering.path);
    let actions = format!("{}/actions", gathering.path);
    let place = gathering
        .participant_path(&server, &people.participant)
        .await;
    let post = async |path: &str, key: &str| {
        keyed(
            &server,
            &people.participant,
            path,
            key,
            json!({ "text": "Call" }),
        )
        .await
    };
    for (path, key) in [(&messages, "k1"), (&actions, "k2")] {
        assert_eq!(post(path, key).await.status, StatusCode::CREATED);
        let again = post(path, key).await;
        assert_eq!(again.headers["idempotency-replayed"], "true");
    }
    let viewer = json!({ "role": "viewer" });
    let method = axum::http::Method::PATCH;
    server.call(&people.host, method, &place, viewer).await;
    assert_eq!(post(&messages, "k1").await.code(), "FORBIDDEN");
    let method = axum::http::Method::DELETE;
    server.call(&people.host, method, &place, Value::Null).await;
    for (path, key) in [(&messages, "k1"), (&actions, "k2")] {
        let refused = post(path, key).await;
        assert_eq!(
            (refused.status.as_u16(), refused.code().as_str()),
            (404, "NOT_FOUND")
        );
    }
}

#[tokio::test]
async fn an_answer_by_tool_is_checked_like_any_other() {
    let server = TestServer::new().await;
    let people = crate::people::People::new(&server).await;
    let gathering = people.gather(&server, json!({})).await;
    let place = gathering
        .participant_path(&server, &people.participant)
        .await;
    let body =
        json!({ "tool": "get_summary", "arguments": { "meeting_id": gathering.meeting_id } });
    let call = async || {
        let path = "/api/mcp/tools";
        keyed(&server, &people.participant, path, "k1", body.clone()).await
    };
    assert_eq!(call().await.status, StatusCode::OK);
    assert_eq!(call().await.headers["idempotency-replayed"], "true");
    let method = axum::http::Method::DELETE;
    server.call(&people.host, method, &place, Value::Null).await;
    assert_eq!(call().await.code(), "NOT_FOUND");
}

#[tokio::test]
async fn work_that_was_done_is_not_done_again_when_its_answer_was_lost() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let app = &server.app.app;
    let begin = async || {
        app.idempotency_begin(&server.app.ctx(&anna), "k1", vec![1])
            .await
    };
    let Ok(meetmind_app::Repetition::First(claim)) = begin().await else {
        panic!("it is the first");
    };
    let once = Once::new(claim.actor.clone(), claim.key.clone(), claim.created_at);
    let ctx = Ctx {
        once: Some(Arc::new(once)),
        ..server.app.ctx(&anna)
    };
    let new = meetmind_app::MeetingNew {
        title: "Weekly".to_owned(),
        ..meetmind_app::MeetingNew::default()
    };
    app.meeting_create(&ctx, new).await.expect("a meeting");
    // The process dies here: the answer is never written down.
    let waits = begin().await.expect_err("it may still be at work");
    assert_eq!(waits.code, Code::IdempotencyInProgress);
    server.app.clock.advance(Duration::from_secs(61));
    let Ok(meetmind_app::Repetition::Answered(row)) = begin().await else {
        panic!("it would be done again");
    };
    assert_eq!((row.status, row.response), (Some(0), None));
    // Nor is the key given back by a failure after the commit.
    app.idempotency_end(&claim, None).await.expect("an end");
    assert!(matches!(
        begin().await,
        Ok(meetmind_app::Repetition::Answered(_))
    ));
}
