//! `/api/meetings`

use axum::http::{Method, StatusCode};
use meetmind_core::Actor;
use meetmind_server::testing::TestServer;
use serde_json::{Value, json};

#[tokio::test]
async fn a_meeting_lives_from_creation_to_restoration() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let made = server
        .post(
            &anna,
            "/api/meetings",
            json!({ "name": "Weekly", "access": "link" }),
        )
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.json());
    let path = made.headers["location"].to_str().expect("text").to_owned();
    assert_eq!(made.data()["title"], "Weekly");
    assert_eq!(made.headers["etag"], "\"1\"");

    let guarded = axum::http::Request::put(&path)
        .header("content-type", "application/json")
        .header("if-match", "\"7\"")
        .body(axum::body::Body::from(r#"{"title":"x"}"#))
        .expect("a request");
    assert_eq!(
        server.send(&anna, guarded).await.code(),
        "PRECONDITION_FAILED"
    );
    let changed = server
        .call(
            &anna,
            Method::PUT,
            &path,
            json!({ "title": "Monthly", "description": null }),
        )
        .await;
    assert_eq!(
        (changed.status, changed.data()["version"].clone()),
        (StatusCode::OK, json!(2))
    );

    assert_eq!(
        server
            .call(&anna, Method::DELETE, &path, Value::Null)
            .await
            .status,
        StatusCode::OK
    );
    assert_eq!(server.get(&anna, &path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        server
            .post(&anna, &format!("{path}/restore"), Value::Null)
            .await
            .status,
        StatusCode::OK
    );
    assert_eq!(server.get(&anna, &path).await.data()["role"], "host");
}

#[tokio::test]
async fn strangers_see_nothing_and_lists_page() {
    let server = TestServer::new().await;
    let (anna, ben) = (server.app.user("anna").await, server.app.user("ben").await);
    for number in 0..3 {
        server
            .post(
                &anna,
                "/api/meetings",
                json!({ "title": format!("m{number}") }),
            )
            .await;
    }
    let first = server.get(&anna, "/api/meetings?limit=2").await.data();
    let cursor = first["next_cursor"].as_str().expect("more").to_owned();
    let second = server
        .get(&anna, &format!("/api/meetings?limit=2&cursor={cursor}"))
        .await
        .data();
    assert_eq!(
        (
            first["items"].as_array().map(Vec::len),
            second["items"].as_array().map(Vec::len)
        ),
        (Some(2), Some(1))
    );
    let path = format!(
        "/api/meetings/{}",
        first["items"][0]["id"].as_str().expect("an id")
    );
    assert_eq!(server.get(&ben, &path).await.code(), "NOT_FOUND");
    assert_eq!(
        server.get(&Actor::Anonymous, &path).await.code(),
        "UNAUTHENTICATED"
    );
    assert_eq!(
        server.get(&ben, "/api/meetings").await.data()["items"],
        json!([])
    );
}
