//! `/api/mem0/memories`.

use axum::http::{Method, StatusCode};
use meetmind_core::{Actor, ConsentState, EventTopic, MeetingRole, Scope};
use meetmind_server::testing::TestServer;
use serde_json::{Value, json};

use super::transcript::{consent, key, meeting, participant};

const PATH: &str = "/api/mem0/memories";

async fn save(server: &TestServer, actor: &Actor, body: Value) -> (String, Value) {
    // Ids made in one moment have no order.
    server
        .app
        .clock
        .advance(std::time::Duration::from_millis(1));
    let answer = server.post(actor, PATH, body).await;
    assert!(answer.status.is_success(), "{}", answer.json());
    let id = answer.data()["id"].as_str().expect("an id").to_owned();
    (format!("{PATH}/{id}"), answer.data())
}

#[tokio::test]
async fn a_memory_keeps_its_id_through_changes_and_its_history_through_deletion() {
    let server = TestServer::new().await;
    let (anna, ben) = (server.app.user("anna").await, server.app.user("ben").await);
    let body = json!({ "memory": "Tomasz likes the Saltmarsh", "metadata": { "a": 1 }, "categories": ["food", "food"], "subject": "Tomasz" });
    let made = server.post(&anna, PATH, body.clone()).await;
    assert_eq!(
        (
            made.status,
            made.data()["categories"].clone(),
            made.data()["source"].as_str()
        ),
        (StatusCode::CREATED, json!(["food"]), Some("manual"))
    );
    let path = made.headers["location"].to_str().expect("text").to_owned();
    let again = server.post(&anna, PATH, body).await;
    assert_eq!(
        (again.status, again.data()),
        (StatusCode::OK, made.data()),
        "the same words are kept once"
    );
    server
        .app
        .clock
        .advance(std::time::Duration::from_millis(1));
    let changed = server
        .call(
            &anna,
            Method::PUT,
            &path,
            json!({ "content": "Tomasz likes the walrus", "subject": null }),
        )
        .await
        .data();
    assert_eq!(
        (
            &changed["id"],
            changed["subject"].as_str(),
            &changed["metadata"]
        ),
        (&made.data()["id"], None, &json!({ "a": 1 }))
    );
    assert_eq!(
        server
            .call(&anna, Method::PUT, &path, json!({}))
            .await
            .data(),
        changed
    );
    let history = server.get(&anna, &format!("{path}/history")).await.data();
    let kinds: Vec<&str> = history["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter_map(|row| row["event"].as_str())
        .collect();
    assert_eq!(
        (kinds, history["items"][1]["old_content"].as_str()),
        (vec!["ADD", "UPDATE"], Some("Tomasz likes the Saltmarsh"))
    );
    for (method, body) in [
        (Method::GET, Value::Null),
        (Method::PUT, json!({ "content": "x" })),
        (Method::DELETE, Value::Null),
    ] {
        assert_eq!(
            server.call(&ben, method, &path, body).await.code(),
            "NOT_FOUND"
        );
    }
    assert_eq!(
        server.get(&ben, &format!("{path}/history")).await.code(),
        "NOT_FOUND"
    );
    assert_eq!(server.get(&ben, PATH).await.data()["items"], json!([]));

    server
        .app
        .clock
        .advance(std::time::Duration::from_millis(1));
    assert_eq!(
        server
            .call(&anna, Method::DELETE, &path, Value::Null)
            .await
            .data()["deleted"],
        1
    );
    assert_eq!(
        server
            .call(&anna, Method::DELETE, &path, Value::Null)
            .await
            .code(),
        "NOT_FOUND"
    );
    assert_eq!(
        server.get(&anna, "/api/search?q=walrus").await.data()["items"],
        json!([])
    );
    let history = server.get(&anna, &format!("{path}/history")).await.data();
    assert_eq!(history["items"][2]["event"], "DELETE");
    let user = EventTopic::User(anna.user_id().expect("a user"));
    let events = server
        .app
        .db
        .store
        .read()
        .await
        .expect("a connection")
        .event_list(user, 0, 100)
        .await
        .expect("events");
    let text = format!("{history}{}", serde_json::to_string(&events).expect("JSON"));
    assert!(
        !text.contains("walrus") && !text.contains("Saltmarsh"),
        "{text}"
    );
    assert_eq!(events.len(), 3);
}

#[tokio::test]
async fn scopes_and_bad_input_are_refused() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let (path, _) = save(&server, &anna, json!({ "content": "x" })).await;
    let reader = key(&anna, &[Scope::MemoryRead]);
    let writer = key(&anna, &[Scope::MemoryWrite]);
    assert_eq!(server.get(&reader, &path).await.status, StatusCode::OK);
    assert_eq!(
        server
            .post(&reader, PATH, json!({ "content": "y" }))
            .await
            .code(),
        "SCOPE_MISSING"
    );
    assert_eq!(
        server
            .call(&reader, Method::DELETE, &path, Value::Null)
            .await
            .code(),
        "SCOPE_MISSING"
    );
    assert_eq!(server.get(&writer, &path).await.code(), "SCOPE_MISSING");
    assert_eq!(
        server.get(&Actor::Anonymous, PATH).await.code(),
        "UNAUTHENTICATED"
    );
    let deep = json!({ "a": "b".repeat(17_000) });
    let labels: Vec<String> = (0..21).map(|n| n.to_string()).collect();
    for body in [
        json!({}),
        json!({ "content": "" }),
        json!({ "content": "a\u{0}" }),
        json!({ "content": "x".repeat(16_385) }),
        json!({ "content": "x", "metadata": [] }),
        json!({ "content": "x", "metadata": deep }),
        json!({ "content": "x", "metadata": { "a": "\u{0}" } }),
        json!({ "content": "x", "categories": labels }),
        json!({ "content": "x", "expires_at": "2020-01-01T00:00:00Z" }),
        json!({ "content": "x", "messages": [] }),
        json!({ "messages": [] }),
        json!({ "messages": [{ "role": "assistant", "content": "I am an agent" }] }),
        json!({ "content": "x", "meeting_id": "usr_00000000000000000000000001" }),
    ] {
        let answer = server.post(&anna, PATH, body.clone()).await;
        assert_eq!(
            answer.code(),
            "VALIDATION_FAILED",
            "{body}: {}",
            answer.json()
        );
    }
    for body in [
        json!({ "content": "x", "meeting_id": "mtg_00000000000000000000000001" }),
        json!({ "content": "x", "agent_id": "agt_00000000000000000000000001" }),
        json!({ "content": "z", "replaces": "mem_00000000000000000000000001" }),
    ] {
        assert_eq!(
            server.post(&anna, PATH, body.clone()).await.code(),
            "NOT_FOUND",
            "{body}"
        );
    }
    assert_eq!(
        server.get(&anna, &format!("{PATH}?q=z")).await.data()["items"],
        json!([]),
        "a refused replacement saved nothing"
    );
}

#[tokio::test]
async fn a_conversation_gives_a_memory_per_person_and_none_for_agents() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let body = json!({ "messages": [
        { "role": "user", "content": "I prefer tea", "name": "Priya" }, { "role": "assistant", "content": "Noted: tea" }, { "role": "user", "content": "I prefer coffee", "name": "Mateo" } ] });
    let made = server.post(&anna, PATH, body).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let subjects: Vec<Value> = made.data()["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|memory| memory["subject"].clone())
        .collect();
    assert_eq!(subjects, ["Priya", "Mateo"]);
    let of_one = server
        .get(&anna, &format!("{PATH}?subject=priya"))
        .await
        .data();
    assert_eq!(of_one["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn lists_filter_rank_page_and_hide_what_was_replaced_or_has_expired() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let (old, _) = save(
        &server,
        &anna,
        json!({ "content": "We buy the Hallberg filler", "categories": ["decision"] }),
    )
    .await;
    let id = old.trim_start_matches("/api/mem0/memories/").to_owned();
    let (_, new) = save(
        &server,
        &anna,
        json!({ "content": "We do not buy the Hallberg, it is cracked", "replaces": id }),
    )
    .await;
    assert_eq!(
        server.get(&anna, &old).await.data()["replaced_by"],
        new["id"]
    );
    assert_eq!(
        server
            .post(&anna, PATH, json!({ "content": "third", "replaces": id }))
            .await
            .code(),
        "CONFLICT"
    );
    save(
        &server,
        &anna,
        json!({ "content": "short-lived hallberg note", "expires_at": "2026-03-02T10:00:00Z" }),
    )
    .await;
    let list = |query: &str| {
        let path = format!("{PATH}?{query}");
        let (server, anna) = (&server, &anna);
        async move {
            server.get(anna, &path).await.data()["items"]
                .as_array()
                .expect("items")
                .clone()
        }
    };
    assert_eq!(list("").await.len(), 2);
    assert_eq!(list("latest_only=false").await.len(), 3);
    assert_eq!(
        (
            list("category=decision&latest_only=false").await.len(),
            list("category=decisio&latest_only=false").await.len()
        ),
        (1, 0)
    );
    let ranked = list("q=hallberg%20cracked").await;
    assert_eq!(
        (ranked.len(), ranked[0]["score"].as_f64(), &ranked[0]["id"]),
        (1, Some(1.0), &new["id"])
    );
    server
        .app
        .clock
        .advance(std::time::Duration::from_secs(3600));
    assert_eq!(
        (list("").await.len(), list("q=short").await.len()),
        (1, 0),
        "an expired one is gone at once"
    );
    let first = server
        .get(&anna, &format!("{PATH}?latest_only=false&limit=1"))
        .await
        .data();
    let cursor = first["next_cursor"].as_str().expect("more").to_owned();
    assert_eq!(
        list(&format!("latest_only=false&limit=1&cursor={cursor}")).await[0]["id"],
        id
    );
    assert_eq!(
        server.get(&anna, &format!("{PATH}?cursor=00")).await.code(),
        "INVALID_CURSOR"
    );
}

#[tokio::test]
async fn a_meeting_and_its_people_may_refuse_to_be_remembered() {
    let server = TestServer::new().await;
    let (anna, eve) = (server.app.user("anna").await, server.app.user("eve").await);
    let (id, path) = meeting(&server, &anna, "implied").await;
    let ben = participant(&server, id, None, "Ben", MeetingRole::Participant).await;
    let about = json!({ "content": "Ben said so", "meeting_id": id, "subject": "bEN" });
    assert_eq!(
        server.post(&eve, PATH, about.clone()).await.code(),
        "NOT_FOUND"
    );
    consent(
        &server,
        id,
        ben,
        ConsentState::Granted,
        ConsentState::Denied,
    )
    .await;
    assert_eq!(
        server.post(&anna, PATH, about.clone()).await.code(),
        "CONSENT_DENIED"
    );
    consent(
        &server,
        id,
        ben,
        ConsentState::Granted,
        ConsentState::Granted,
    )
    .await;
    save(&server, &anna, about).await;
    save(
        &server,
        &anna,
        json!({ "content": "my own note", "meeting_id": id }),
    )
    .await;
    save(&server, &anna, json!({ "content": "elsewhere" })).await;
    server
        .call(&anna, Method::PUT, &path, json!({ "memory_mode": "off" }))
        .await;
    assert_eq!(
        server
            .post(&anna, PATH, json!({ "content": "y", "meeting_id": id }))
            .await
            .code(),
        "CONFLICT"
    );

    assert_eq!(
        server
            .call(&anna, Method::DELETE, PATH, Value::Null)
            .await
            .code(),
        "VALIDATION_FAILED",
        "a filter is needed"
    );
    assert_eq!(
        server
            .call(
                &eve,
                Method::DELETE,
                &format!("{PATH}?meeting_id={id}"),
                Value::Null
            )
            .await
            .data()["deleted"],
        0
    );
    assert_eq!(
        server
            .call(
                &anna,
                Method::DELETE,
                &format!("{PATH}?meeting_id={id}"),
                Value::Null
            )
            .await
            .data()["deleted"],
        2
    );
    let left = server.get(&anna, PATH).await.data();
    assert_eq!(
        (
            left["items"].as_array().map(Vec::len),
            left["items"][0]["content"].as_str()
        ),
        (Some(1), Some("elsewhere"))
    );
}
