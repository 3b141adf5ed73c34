//! `/api/mcp/*`

use axum::http::{Method, StatusCode};
use meetmind_core::{Actor, EventKind, EventTopic, Scope};
use serde_json::{Value, json};

use super::notes::{Room, key};

#[tokio::test]
async fn tools_are_listed_and_run_as_their_caller() {
    let room = Room::new().await;
    let server = &room.server;
    let listed = server.get(&room.ben, "/api/mcp/tools").await.data()["tools"].clone();
    let names: Vec<&str> = listed
        .as_array()
        .expect("tools")
        .iter()
        .filter_map(|t| t["name"].as_str())
        .collect();
    assert!(
        names.contains(&"ask") && names.contains(&"topic_navigation") && names.len() == 19,
        "{names:?}"
    );
    assert_eq!(
        server.get(&Actor::Anonymous, "/api/mcp/tools").await.code(),
        "UNAUTHENTICATED"
    );

    let id = json!({ "meeting_id": room.id });
    let with = |more: Value| {
        let mut arguments = id.clone();
        for (name, value) in more.as_object().expect("an object") {
            arguments[name] = value.clone();
        }
        arguments
    };
    // Tool, arguments, and what participant, viewer, stranger and a reading key get.
    let cases = [
        ("get_meeting", id.clone(), ["", "", "NOT_FOUND", ""]),
        (
            "get_transcript",
            with(json!({ "speaker": "Ben", "limit": 1 })),
            ["", "", "NOT_FOUND", "SCOPE_MISSING"],
        ),
        (
            "get_summary",
            id.clone(),
            ["", "", "NOT_FOUND", "SCOPE_MISSING"],
        ),
        (
            "list_action_items",
            id.clone(),
            ["", "", "NOT_FOUND", "SCOPE_MISSING"],
        ),
        (
            "list_decisions",
            id.clone(),
            ["", "", "NOT_FOUND", "SCOPE_MISSING"],
        ),
        (
            "update_meeting",
            with(json!({ "title": "New" })),
            ["FORBIDDEN", "FORBIDDEN", "NOT_FOUND", "SCOPE_MISSING"],
        ),
        (
            "add_note",
            with(json!({ "text": "Ask the lawyer" })),
            ["", "FORBIDDEN", "NOT_FOUND", "SCOPE_MISSING"],
        ),
        (
            "ask",
            with(json!({ "question": "How long does the battery last?" })),
            ["", "FORBIDDEN", "NOT_FOUND", "SCOPE_MISSING"],
        ),
        (
            "search",
            with(json!({ "query": "battery", "kinds": ["segment", "segment"], "limit": 1 })),
            ["", "", "NOT_FOUND", "SCOPE_MISSING"],
        ),
        (
            "summarize_meeting",
            with(json!({ "style": "brief", "persona": "eng" })),
            ["", "", "NOT_FOUND", "SCOPE_MISSING"],
        ),
        (
            "extract_action_items",
            id.clone(),
            ["", "", "NOT_FOUND", "SCOPE_MISSING"],
        ),
        (
            "topic_navigation",
            with(json!({ "direction": "next" })),
            ["", "FORBIDDEN", "NOT_FOUND", "SCOPE_MISSING"],
        ),
        (
            "personalized_focus_view",
            with(json!({ "persona": "product" })),
            ["", "", "NOT_FOUND", "SCOPE_MISSING"],
        ),
    ];
    let reader = key(&room.ben, &[Scope::MeetingsRead]);
    for (tool, arguments, codes) in cases {
        let body = json!({ "tool": tool, "arguments": arguments });
        for (who, code) in [&room.ben, &room.vera, &room.eve, &reader]
            .into_iter()
            .zip(codes)
        {
            let answer = server.post(who, "/api/mcp/tools", body.clone()).await;
            assert_eq!(answer.code(), code, "{tool} {who:?}: {}", answer.json());
            if code.is_empty() {
                assert_eq!(
                    (
                        answer.data()["tool"].clone(),
                        answer.data()["is_error"].clone()
                    ),
                    (json!(tool), json!(false))
                );
            }
        }
    }
    let made = server
        .post(
            &room.eve,
            "/api/mcp/tools",
            json!({ "name": "create_meeting", "arguments": { "title": "Eve's" } }),
        )
        .await;
    assert_eq!(made.data()["result"]["title"], "Eve's");
    let own = server
        .post(
            &room.eve,
            "/api/mcp/tools",
            json!({ "tool": "list_meetings" }),
        )
        .await
        .data();
    assert_eq!(own["result"]["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn memories_are_kept_found_and_forgotten_by_their_owner_alone() {
    let room = Room::new().await;
    let server = &room.server;
    let call = async |who: &Actor, tool: &str, arguments: Value| {
        let body = json!({ "tool": tool, "arguments": arguments });
        server.post(who, "/api/mcp/tools", body).await
    };
    let words = json!({ "content": "Ben wants the harbour office", "categories": ["office"], "subject": "Lease", "meeting_id": room.id });
    let saved = call(&room.anna, "memory_save", words.clone()).await;
    assert_eq!(saved.status, StatusCode::OK, "{}", saved.json());
    let result = saved.data()["result"].clone();
    assert_eq!(result["added"], true);
    let again = call(&room.anna, "memory_save", words.clone()).await.data();
    assert_eq!(
        (&again["result"]["added"], &again["result"]["memory"]["id"]),
        (&json!(false), &result["memory"]["id"])
    );
    let found = async |who: &Actor, tool: &str, arguments: Value| {
        let answer = call(who, tool, arguments).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.json());
        answer.data()["result"]["items"]
            .as_array()
            .map_or(0, Vec::len)
    };
    let query = json!({ "query": "harbour office" });
    assert_eq!(found(&room.anna, "memory_search", query.clone()).await, 1);
    assert_eq!(found(&room.ben, "memory_search", query.clone()).await, 0);
    for (filter, count) in [
        (json!({}), 1),
        (json!({ "category": "office", "subject": "lease" }), 1),
        (json!({ "category": "lease" }), 0),
    ] {
        assert_eq!(
            found(&room.anna, "memory_search", filter.clone()).await,
            count,
            "{filter}"
        );
    }
    let everything = json!({ "query": "harbour office", "kinds": ["memory"] });
    assert_eq!(found(&room.anna, "search", everything.clone()).await, 1);
    assert_eq!(found(&room.ben, "search", everything.clone()).await, 0);

    let one = json!({ "memory_id": result["memory"]["id"] });
    let reader = key(&room.anna, &[Scope::MemoryRead]);
    let writer = key(&room.anna, &[Scope::MemoryWrite]);
    for (who, tool, arguments, code) in [
        (&room.ben, "memory_delete", one.clone(), "NOT_FOUND"),
        (&room.eve, "memory_save", words.clone(), "NOT_FOUND"),
        (&reader, "memory_delete", one.clone(), "SCOPE_MISSING"),
        (&reader, "memory_save", words, "SCOPE_MISSING"),
        (&writer, "memory_search", query, "SCOPE_MISSING"),
        (&reader, "search", everything, "SCOPE_MISSING"),
        (
            &room.anna,
            "search",
            json!({ "query": "x", "limit": 101 }),
            "VALIDATION_FAILED",
        ),
        (
            &room.anna,
            "search",
            json!({ "query": "x", "kinds": ["secret"] }),
            "VALIDATION_FAILED",
        ),
        (
            &room.anna,
            "memory_save",
            json!({ "content": " " }),
            "VALIDATION_FAILED",
        ),
    ] {
        assert_eq!(
            call(who, tool, arguments).await.code(),
            code,
            "{tool} {who:?}"
        );
    }
    assert_eq!(
        call(&writer, "memory_delete", one.clone()).await.data()["result"]["deleted"],
        1
    );
    assert_eq!(
        call(&room.anna, "memory_delete", one).await.code(),
        "NOT_FOUND"
    );
    assert_eq!(found(&room.anna, "memory_search", json!({})).await, 0);
}

#[tokio::test]
async fn wrong_calls_name_what_is_wrong() {
    let room = Room::new().await;
    let server = &room.server;
    for (body, status, code) in [
        (json!({ "tool": "dance" }), 404, "NOT_FOUND"),
        (json!({ "tool": "get_meeting" }), 422, "VALIDATION_FAILED"),
        (
            json!({ "tool": "get_meeting", "arguments": [1] }),
            422,
            "VALIDATION_FAILED",
        ),
        (
            json!({ "tool": "get_meeting", "arguments": { "meeting_id": "usr_1" } }),
            422,
            "VALIDATION_FAILED",
        ),
        (
            json!({ "tool": "get_transcript", "arguments": { "meeting_id": room.id, "limit": 0 } }),
            422,
            "VALIDATION_FAILED",
        ),
        (
            json!({ "tool": "list_decisions", "arguments": { "status": "done" } }),
            422,
            "VALIDATION_FAILED",
        ),
        (json!({ "arguments": {} }), 422, "VALIDATION_FAILED"),
    ] {
        let answer = server.post(&room.ben, "/api/mcp/tools", body.clone()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (status, code),
            "{body}"
        );
    }
    let missing = server
        .post(
            &room.ben,
            "/api/mcp/tools",
            json!({ "tool": "get_meeting" }),
        )
        .await
        .json();
    assert_eq!(missing["error"]["details"][0]["field"], "meeting_id");
    // The caller's topic heard of the calls, not of what they said.
    let mut conn = server.app.app.store().read().await.expect("a connection");
    let topic = EventTopic::User(room.ben.user_id().expect("a user"));
    let events = conn.event_list(topic, 0, 100).await.expect("events");
    assert!(events.len() >= 5 && events.iter().all(|e| e.kind == EventKind::ToolCalled));
    assert!(
        events
            .iter()
            .all(|e| e.data["ok"] == false && e.data.get("arguments").is_none())
    );
}

#[tokio::test]
async fn the_seeds_paths_summarise_and_keep_context() {
    let room = Room::new().await;
    let server = &room.server;
    let get = format!("/api/mcp/summarize?meeting_id={}&style=detailed", room.id);
    let digest = server.get(&room.vera, &get).await;
    assert_eq!(digest.status, StatusCode::OK, "{}", digest.json());
    assert_eq!(
        digest.data()["action_items"].as_array().map(Vec::len),
        Some(1)
    );
    assert!(
        digest.data()["summary"]
            .as_str()
            .expect("text")
            .contains("Action (proposed, Ben)")
    );
    let brief = server
        .post(
            &room.vera,
            "/api/mcp/summarize",
            json!({ "meeting_id": room.id, "style": "brief" }),
        )
        .await
        .data();
    assert!(brief["lines"].as_array().expect("lines").len() <= 3 && brief["topics"] == json!([]));
    assert_eq!(server.get(&room.eve, &get).await.code(), "NOT_FOUND");

    let set = |context: Value| json!({ "meeting_id": room.id, "context": context });
    let first = server
        .post(
            &room.ben,
            "/api/mcp/context",
            set(json!({ "agenda": ["a"], "phase": { "now": "exploring", "since": 1 } })),
        )
        .await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.json());
    let merged = server
        .post(
            &room.anna,
            "/api/mcp/context",
            set(json!({ "agenda": null, "phase": { "now": "deciding" } })),
        )
        .await
        .data();
    assert_eq!(
        merged["context"],
        json!({ "phase": { "now": "deciding", "since": 1 } })
    );
    let path = format!("/api/mcp/context?meeting_id={}", room.id);
    assert_eq!(server.get(&room.vera, &path).await.data(), merged);
    let big = json!({ "x": "y".repeat(40_000) });
    assert_eq!(
        server
            .post(&room.ben, "/api/mcp/context", set(big))
            .await
            .status,
        StatusCode::OK
    );
    for (who, body, code) in [
        (
            &room.ben,
            set(json!({ "z": "y".repeat(40_000) })),
            "VALIDATION_FAILED",
        ),
        (&room.ben, set(json!([1])), "VALIDATION_FAILED"),
        (
            &room.ben,
            set(json!({ "x": "a\u{0}" })),
            "VALIDATION_FAILED",
        ),
        (&room.vera, set(json!({})), "FORBIDDEN"),
        (&room.eve, set(json!({})), "NOT_FOUND"),
        (&Actor::Anonymous, set(json!({})), "UNAUTHENTICATED"),
    ] {
        assert_eq!(
            server.post(who, "/api/mcp/context", body).await.code(),
            code
        );
    }
    assert_eq!(
        server.get(&room.ben, "/api/mcp/context").await.code(),
        "VALIDATION_FAILED"
    );
    assert_eq!(server.get(&room.eve, &path).await.code(), "NOT_FOUND");
    assert_eq!(
        server
            .call(&room.ben, Method::DELETE, &path, Value::Null)
            .await
            .code(),
        "METHOD_NOT_ALLOWED"
    );
}
