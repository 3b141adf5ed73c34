//! Every rejection, the framework's own included, comes in the envelope.

use axum::body::Body;
use axum::http::{Method, Request};
use meetmind_server::testing::TestServer;
use serde_json::json;

#[tokio::test]
async fn rejections_of_the_framework_are_in_the_envelope() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let post = |kind: &str, body: Vec<u8>| {
        Request::post("/api/meetings")
            .header("content-type", kind)
            .body(Body::from(body))
            .expect("a request")
    };
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let cases = [
        (server.get(&anna, "/nowhere").await, 404, "NOT_FOUND"),
        (server.get(&anna, "/api/meetings/usr_00000000000000000000000001").await, 404, "NOT_FOUND"),
        (server.get(&anna, "/api/meetings/%ff").await, 404, "NOT_FOUND"),
        (server.call(&anna, Method::PATCH, "/api/meetings", json!({})).await, 405, "METHOD_NOT_ALLOWED"),
        (server.get(&anna, "/api/meetings?limit=0").await, 422, "VALIDATION_FAILED"),
        (server.get(&anna, "/api/meetings?limit=x").await, 422, "VALIDATION_FAILED"),
        (server.get(&anna, "/api/meetings?cursor=zz").await, 400, "INVALID_CURSOR"),
        (server.get(&anna, "/api/meetings?cursor=00").await, 400, "INVALID_CURSOR"),
        // `mtg` and an id: a cursor of the list of meetings.
        (server.get(&anna, &format!("/api/series?cursor=6d7467{}", "01".repeat(16))).await, 400, "INVALID_CURSOR"),
        (server.send(&anna, post("application/json", b"{\"title\":\"x\",\"y\":\"\xff\"}".to_vec())).await, 400, "INVALID_JSON"),
        (server.send(&anna, post("text/plain", b"{}".to_vec())).await, 415, "UNSUPPORTED_MEDIA_TYPE"),
        (server.send(&anna, post("application/json", b"{\"title\":".to_vec())).await, 400, "INVALID_JSON"),
        (server.send(&anna, post("application/json", b"{\"title\":\"\xff\"}".to_vec())).await, 400, "INVALID_JSON"),
        (server.send(&anna, post("application/json", deep.into_bytes())).await, 422, "VALIDATION_FAILED"),
        (server.send(&anna, post("application/json", vec![b' '; 3 * 1024 * 1024])).await, 413, "PAYLOAD_TOO_LARGE"),
        (server.post(&anna, "/api/meetings", json!({})).await, 422, "VALIDATION_FAILED"),
        (server.post(&anna, "/api/meetings", json!({ "title": "a\u{0}b" })).await, 422, "VALIDATION_FAILED"),
        (server.post(&anna, "/api/meetings", json!({ "title": "x", "access": 5 })).await, 422, "VALIDATION_FAILED"),
        (server.post(&anna, "/api/meetings", json!({ "title": "x", "starts_at": "soon" })).await, 422, "VALIDATION_FAILED"),
        (server.post(&anna, "/api/meetings", json!({ "title": "x", "starts_at": "2026-03-02T10:00:00Z", "ends_at": "2026-03-02T09:00:00Z" })).await, 422, "VALIDATION_FAILED"),
    ];
    for (number, (answer, status, code)) in cases.iter().enumerate() {
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (*status, *code),
            "case {number}: {}",
            answer.json()
        );
        assert_eq!(answer.json()["success"], false);
        assert_eq!(
            answer.json()["error"]["request_id"].as_str(),
            answer.headers["x-request-id"].to_str().ok()
        );
    }
}

#[tokio::test]
async fn a_wrong_value_is_named_by_its_field() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    for (path, body, field) in [
        (
            "/api/meetings",
            json!({ "title": "x", "lobby": "yes" }),
            "lobby",
        ),
        (
            "/api/meetings",
            json!({ "title": "x", "glossary": ["a", 5] }),
            "glossary[1]",
        ),
        (
            "/api/meetings",
            json!({ "title": "x", "access": 5 }),
            "access",
        ),
        ("/api/meetings", json!({}), "title"),
        ("/api/meetings", json!("x"), ""),
    ] {
        let answer = server.post(&anna, path, body.clone()).await;
        let error = &answer.json()["error"];
        assert_eq!(error["code"], "VALIDATION_FAILED", "{body}");
        assert_eq!(error["details"][0]["field"], field, "{body}: {error}");
        assert!(!error.to_string().contains("struct"), "{error}");
    }
}
