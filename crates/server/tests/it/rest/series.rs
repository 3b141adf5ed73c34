//! `/api/series`

use axum::http::{Method, StatusCode};
use meetmind_core::{Actor, Scope};
use meetmind_server::testing::TestServer;
use serde_json::{Value, json};

use crate::people::{by_key, patch, text, user_id};

#[tokio::test]
async fn a_series_is_seen_by_who_is_in_it_and_changed_by_its_owner() {
    let server = TestServer::new().await;
    let (anna, ben, eve) = (
        server.app.user("anna").await,
        server.app.user("ben").await,
        server.app.user("eve").await,
    );
    let made = server
        .post(&anna, "/api/series", json!({ "title": " Weekly " }))
        .await;
    assert_eq!(
        (made.status, made.data()["title"].clone()),
        (StatusCode::CREATED, json!("Weekly"))
    );
    let path = made.headers["location"].to_str().expect("text").to_owned();
    let id = made.data()["id"].clone();
    assert_eq!(server.get(&ben, &path).await.code(), "NOT_FOUND");
    let foreign = json!({ "title": "x", "series_id": id });
    assert_eq!(
        server
            .post(&ben, "/api/meetings", foreign.clone())
            .await
            .code(),
        "NOT_FOUND"
    );

    let meeting = server.post(&anna, "/api/meetings", foreign).await.data();
    server
        .post(&anna, "/api/meetings", json!({ "title": "alone" }))
        .await;
    let list = format!("/api/meetings?series_id={}", text(&id));
    assert_eq!(
        server.get(&anna, &list).await.data()["items"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    let participants = format!("/api/meetings/{}/participants", text(&meeting["id"]));
    server
        .post(&anna, &participants, json!({ "user_id": user_id(&ben) }))
        .await;
    assert_eq!(server.get(&ben, &path).await.status, StatusCode::OK);
    assert_eq!(
        server.get(&ben, "/api/series").await.data()["items"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    assert_eq!(
        server.get(&eve, "/api/series").await.data()["items"],
        json!([])
    );
    assert_eq!(
        patch(&server, &ben, &path, json!({ "title": "mine" }))
            .await
            .code(),
        "FORBIDDEN"
    );
    assert_eq!(
        server
            .call(&ben, Method::DELETE, &path, Value::Null)
            .await
            .code(),
        "FORBIDDEN"
    );
    assert_eq!(
        patch(&server, &eve, &path, json!({ "title": "mine" }))
            .await
            .code(),
        "NOT_FOUND"
    );

    assert_eq!(
        patch(&server, &anna, &path, json!({ "title": "Monthly" }))
            .await
            .data()["title"],
        "Monthly"
    );
    assert_eq!(
        patch(&server, &anna, &path, json!({})).await.data()["title"],
        "Monthly"
    );
    assert_eq!(
        server
            .call(&anna, Method::DELETE, &path, Value::Null)
            .await
            .status,
        StatusCode::OK
    );
    assert_eq!(server.get(&anna, &path).await.code(), "NOT_FOUND");
    let kept = server
        .get(&anna, &format!("/api/meetings/{}", text(&meeting["id"])))
        .await;
    assert_eq!(
        (kept.status, kept.data()["series_id"].clone()),
        (StatusCode::OK, Value::Null)
    );
}

#[tokio::test]
async fn series_need_an_account_the_scope_and_a_title() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let body = json!({ "title": "Weekly" });
    assert_eq!(
        server
            .post(&Actor::Anonymous, "/api/series", body.clone())
            .await
            .code(),
        "UNAUTHENTICATED"
    );
    let reader = by_key(&anna, &[Scope::MeetingsRead]);
    assert_eq!(
        server.post(&reader, "/api/series", body).await.code(),
        "SCOPE_MISSING"
    );
    assert_eq!(
        server.get(&reader, "/api/series").await.status,
        StatusCode::OK
    );
    assert_eq!(
        server.get(&by_key(&anna, &[]), "/api/series").await.code(),
        "SCOPE_MISSING"
    );
    for title in ["", "  ", "a\nb", &"x".repeat(201)] {
        assert_eq!(
            server
                .post(&anna, "/api/series", json!({ "title": title }))
                .await
                .code(),
            "VALIDATION_FAILED"
        );
    }
}
