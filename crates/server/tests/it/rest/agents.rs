//! `/api/agents` and `/api/meetings/{id}/agents`

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use meetmind_core::Actor;
use meetmind_server::testing::TestServer;
use serde_json::{Value, json};

pub(super) async fn meeting(server: &TestServer, host: &Actor) -> String {
    let made = server
        .post(host, "/api/meetings", json!({ "title": "Weekly" }))
        .await;
    made.data()["id"].as_str().expect("an id").to_owned()
}

pub(super) async fn agent(server: &TestServer, owner: &Actor, body: Value) -> String {
    let made = server.post(owner, "/api/agents", body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.json());
    made.data()["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn an_agent_lives_from_creation_to_deletion() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let made = server
        .post(&anna, "/api/agents", json!({ "name": " Max " }))
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.json());
    assert_eq!(made.headers["etag"], "\"1\"");
    let path = made.headers["location"].to_str().expect("text").to_owned();
    let data = made.data();
    assert_eq!(
        (&data["name"], &data["role"], &data["status"]),
        (&json!("Max"), &json!("scribe"), &json!("stopped"))
    );
    assert_eq!(
        (&data["memory_scopes"], &data["runs"]),
        (&json!(["agent", "meeting", "user"]), &json!([]))
    );

    let guarded = Request::put(&path)
        .header("content-type", "application/json")
        .header("if-match", "\"7\"")
        .body(Body::from(r#"{"name":"x"}"#))
        .expect("a request");
    assert_eq!(
        server.send(&anna, guarded).await.code(),
        "PRECONDITION_FAILED"
    );
    let body = json!({ "language": "sv-SE", "quotas": { "concurrent_runs": 2 }, "address_policy": "questions" });
    let changed = server.call(&anna, Method::PUT, &path, body).await;
    assert_eq!(
        (
            &changed.data()["version"],
            &changed.data()["quotas"]["concurrent_runs"]
        ),
        (&json!(2), &json!(2))
    );
    let cleared = server
        .call(
            &anna,
            Method::PUT,
            &path,
            json!({ "language": null, "quotas": null }),
        )
        .await
        .data();
    assert_eq!(
        (
            &cleared["language"],
            &cleared["quotas"]["concurrent_runs"],
            &cleared["address_policy"]
        ),
        (&Value::Null, &Value::Null, &json!("questions"))
    );
    let versions = server
        .get(&anna, &format!("{path}/versions?limit=2"))
        .await
        .data();
    assert_eq!(
        (
            &versions["items"][1]["version"],
            &versions["items"][1]["config"]["language"]
        ),
        (&json!(2), &json!("sv-SE"))
    );
    let cursor = versions["next_cursor"].as_str().expect("more");
    let rest = server
        .get(&anna, &format!("{path}/versions?cursor={cursor}"))
        .await
        .data();
    assert_eq!(rest["items"].as_array().map(Vec::len), Some(1));

    let gone = server.call(&anna, Method::DELETE, &path, Value::Null).await;
    assert_eq!(
        (gone.status, gone.data()["name"].clone()),
        (StatusCode::OK, json!("Max"))
    );
    assert_eq!(server.get(&anna, &path).await.code(), "NOT_FOUND");
}

#[tokio::test]
async fn wrong_fields_are_named() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let cases = [
        (json!({}), "name"),
        (json!({ "name": " " }), "name"),
        (json!({ "name": "x".repeat(81) }), "name"),
        (json!({ "name": "a\u{0}b" }), "name"),
        (
            json!({ "name": "x", "instructions": "é".repeat(20_001) }),
            "instructions",
        ),
        (
            json!({ "name": "x", "instructions": "a\u{0}b" }),
            "instructions",
        ),
        (json!({ "name": "x", "language": "not a tag" }), "language"),
        (json!({ "name": "x", "tools": vec!["t"; 51] }), "tools"),
        (
            json!({ "name": "x", "quotas": { "concurrent_runs": 0 } }),
            "quotas.concurrent_runs",
        ),
        (
            json!({ "name": "x", "quotas": { "answers_per_hour": 10_001 } }),
            "quotas.answers_per_hour",
        ),
    ];
    for (body, field) in cases {
        let answer = server.post(&anna, "/api/agents", body.clone()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (422, "VALIDATION_FAILED"),
            "{body}"
        );
        assert_eq!(
            answer.json()["error"]["details"][0]["field"],
            field,
            "{body}"
        );
    }
    for body in [
        json!({ "name": "x", "role": "boss" }),
        json!({ "name": "x", "memory_scopes": ["all"] }),
    ] {
        assert_eq!(
            server.post(&anna, "/api/agents", body).await.code(),
            "VALIDATION_FAILED"
        );
    }
    let widest =
        json!({ "name": "é".repeat(80), "instructions": "é".repeat(20_000), "memory_scopes": [] });
    assert_eq!(
        server.post(&anna, "/api/agents", widest).await.status,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn lists_narrow_by_status_page_and_show_others_to_administrators_only() {
    let server = TestServer::new().await;
    let (anna, ben) = (server.app.user("anna").await, server.app.user("ben").await);
    let max = agent(
        &server,
        &anna,
        json!({ "name": "Max", "instructions": "be kind" }),
    )
    .await;
    agent(
        &server,
        &anna,
        json!({ "name": "Eva", "role": "assistant" }),
    )
    .await;
    agent(&server, &anna, json!({ "name": "Kim" })).await;
    let disabled = server
        .call(
            &anna,
            Method::PUT,
            &format!("/api/agents/{max}/status"),
            json!({ "status": "disabled" }),
        )
        .await;
    assert_eq!(disabled.data()["status"], "disabled");
    let count = |answer: Value| answer["items"].as_array().map(Vec::len);
    assert_eq!(
        count(
            server
                .get(&anna, "/api/agents?status=disabled")
                .await
                .data()
        ),
        Some(1)
    );
    assert_eq!(
        count(server.get(&anna, "/api/agents?status=stopped").await.data()),
        Some(2)
    );
    assert_eq!(
        count(server.get(&anna, "/api/agents?status=running").await.data()),
        Some(0)
    );
    let first = server.get(&anna, "/api/agents?limit=2").await.data();
    let cursor = first["next_cursor"].as_str().expect("more");
    assert_eq!(
        count(
            server
                .get(&anna, &format!("/api/agents?limit=2&cursor={cursor}"))
                .await
                .data()
        ),
        Some(1)
    );
    assert_eq!(count(server.get(&ben, "/api/agents").await.data()), Some(0));
    assert_eq!(
        server.get(&ben, "/api/agents?all=true").await.code(),
        "FORBIDDEN"
    );
    assert_eq!(
        server.get(&ben, &format!("/api/agents/{max}")).await.code(),
        "NOT_FOUND"
    );
    assert_eq!(
        server.get(&Actor::Anonymous, "/api/agents").await.code(),
        "UNAUTHENTICATED"
    );
    assert_eq!(
        server.get(&anna, "/api/agents?status=odd").await.code(),
        "VALIDATION_FAILED"
    );
    let Actor::User { user_id, proof, .. } = ben else {
        unreachable!("a user")
    };
    let admin = Actor::User {
        user_id,
        role: meetmind_core::UserRole::Admin,
        proof,
    };
    let all = server
        .get(&admin, "/api/agents?all=true&status=disabled")
        .await
        .data();
    assert_eq!(
        (&all["items"][0]["name"], &all["items"][0]["instructions"]),
        (&json!("Max"), &Value::Null)
    );
}

#[tokio::test]
async fn an_agent_comes_to_a_meeting_once_and_goes_again() {
    let server = TestServer::new().await;
    let (anna, ben) = (server.app.user("anna").await, server.app.user("ben").await);
    let meeting = meeting(&server, &anna).await;
    let max = agent(&server, &anna, json!({ "name": "Max" })).await;
    let bens = agent(&server, &ben, json!({ "name": "Bo" })).await;
    let path = format!("/api/meetings/{meeting}/agents");
    let added = server.post(&anna, &path, json!({ "agent_id": max })).await;
    assert_eq!(added.status, StatusCode::CREATED, "{}", added.json());
    let run = added.data();
    assert_eq!(
        added.headers["location"].to_str().ok(),
        run["id"]
            .as_str()
            .map(|id| format!("/api/runs/{id}"))
            .as_deref()
    );
    assert_eq!(run["state"], "queued");
    let again = server
        .call(
            &anna,
            Method::PUT,
            &format!("/api/agents/{max}/status"),
            json!({ "status": "running", "meeting_id": meeting }),
        )
        .await;
    assert_eq!(
        (again.status.as_u16(), again.code().as_str()),
        (409, "AGENT_ALREADY_RUNNING")
    );
    assert_eq!(again.json()["error"]["details"]["run_id"], run["id"]);
    assert_eq!(
        server
            .post(&anna, &path, json!({ "agent_id": bens }))
            .await
            .code(),
        "NOT_FOUND"
    );
    assert_eq!(
        server
            .post(&ben, &path, json!({ "agent_id": bens }))
            .await
            .code(),
        "NOT_FOUND"
    );
    assert_eq!(server.get(&ben, &path).await.code(), "NOT_FOUND");
    let list = server.get(&anna, &path).await.data();
    assert_eq!(
        (&list["items"][0]["name"], &list["items"][0]["run"]["id"]),
        (&json!("Max"), &run["id"])
    );
    assert_eq!(
        server
            .get(&anna, &format!("/api/agents/{max}"))
            .await
            .data()["status"],
        "running"
    );
    assert_eq!(
        server
            .get(&anna, &format!("/api/agents/{max}/runs"))
            .await
            .data()["items"][0]["id"],
        run["id"]
    );

    let one = format!("{path}/{max}");
    assert_eq!(
        server
            .call(&ben, Method::DELETE, &one, Value::Null)
            .await
            .code(),
        "NOT_FOUND"
    );
    let removed = server.call(&anna, Method::DELETE, &one, Value::Null).await;
    assert_eq!(
        (
            removed.data()["state"].clone(),
            removed.data()["reason_code"].clone()
        ),
        (json!("cancelled"), json!("removed"))
    );
    assert_eq!(
        server
            .call(&anna, Method::DELETE, &one, Value::Null)
            .await
            .code(),
        "NOT_FOUND"
    );
    let misplaced = server
        .call(
            &anna,
            Method::PUT,
            &format!("/api/agents/{max}/status"),
            json!({ "status": "stopped", "meeting_id": meeting }),
        )
        .await;
    assert_eq!(misplaced.code(), "VALIDATION_FAILED");
}
