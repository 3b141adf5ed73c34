//! `/api/search`.

use axum::http::StatusCode;
use meetmind_core::{Actor, MeetingRole, Scope};
use meetmind_server::testing::TestServer;
use serde_json::{Value, json};

use super::transcript::{key, meeting, participant};

async fn said(server: &TestServer, actor: &Actor, path: &str, text: &str) {
    let answer = server
        .post(
            actor,
            &format!("{path}/transcript"),
            json!({ "text": text, "start_ms": 7000 }),
        )
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.json());
}

fn texts(data: &Value) -> Vec<&str> {
    data["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter_map(|hit| hit["text"].as_str())
        .collect()
}

#[tokio::test]
async fn only_meetings_one_takes_part_in_are_searched() {
    let server = TestServer::new().await;
    let (anna, ben) = (server.app.user("anna").await, server.app.user("ben").await);
    let (id, path) = meeting(&server, &anna, "implied").await;
    said(
        &server,
        &anna,
        &path,
        "Äh, we decided to buy the Hallberg filler",
    )
    .await;
    let (_, other) = meeting(&server, &ben, "implied").await;
    said(&server, &ben, &other, "Ben bought another filler").await;
    let found = server.get(&anna, "/api/search?q=fillers").await.data();
    assert_eq!(texts(&found), ["Äh, we decided to buy the Hallberg filler"]);
    let hit = &found["items"][0];
    assert_eq!(
        (
            hit["kind"].as_str(),
            hit["meeting_title"].as_str(),
            hit["start_ms"].as_i64(),
            hit["score"].as_f64()
        ),
        (Some("segment"), Some("Bottling"), Some(7000), Some(1.0))
    );
    assert_eq!(hit["spans"], json!([[35, 41]]));
    assert_eq!(found["matched"], "all");
    let some = server
        .get(&anna, "/api/search?q=what%20about%20the%20filler%20walrus")
        .await
        .data();
    assert_eq!(
        (texts(&some).len(), some["matched"].as_str()),
        (1, Some("any"))
    );
    assert_eq!(
        server
            .get(&ben, &format!("/api/search?q=filler&meeting_id={id}"))
            .await
            .code(),
        "NOT_FOUND"
    );
    assert_eq!(
        server
            .get(
                &ben,
                "/api/search?q=filler&series_id=srs_00000000000000000000000001"
            )
            .await
            .code(),
        "NOT_FOUND"
    );
    participant(&server, id, ben.user_id(), "Ben", MeetingRole::Viewer).await;
    assert_eq!(
        texts(&server.get(&ben, "/api/search?q=filler").await.data()).len(),
        2
    );
    assert_eq!(
        texts(
            &server
                .get(&ben, "/api/search?q=filler&speaker=ANNA@example.com")
                .await
                .data()
        )
        .len(),
        1
    );
    assert!(
        texts(
            &server
                .get(&anna, "/api/search?q=filler&to=2020-01-01T00:00:00Z")
                .await
                .data()
        )
        .is_empty()
    );
    server
        .call(&anna, axum::http::Method::DELETE, &path, Value::Null)
        .await;
    assert!(
        texts(&server.get(&anna, "/api/search?q=filler").await.data()).is_empty(),
        "a deleted meeting is not searched"
    );
}

#[tokio::test]
async fn what_is_typed_is_never_syntax() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let (_, path) = meeting(&server, &anna, "implied").await;
    said(&server, &anna, &path, "plain words").await;
    let hostile = [
        "\"",
        "'",
        "\"plain",
        "plain\" OR \"x",
        "speaker:plain",
        "NEAR(plain words)",
        "plain AND NOT words",
        "^plain",
        "plain*",
        "{speaker} : x",
        "-plain",
        "a:* | b & !c <-> d",
        "\\",
        "😀",
        "\u{202e}plain",
        "%",
        "_",
        "!",
        "') OR 1=1 --",
        "ﬀ",
        "e\u{301}",
        "ﷺ",
        "İ",
        "\u{300}",
        &"plain ".repeat(80),
        &"é".repeat(500),
    ];
    for query in hostile {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = server.get(&anna, &format!("/api/search?q={encoded}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.json());
        let memories = server
            .get(&anna, &format!("/api/mem0/memories?q={encoded}"))
            .await;
        assert_eq!(
            memories.status,
            StatusCode::OK,
            "{query}: {}",
            memories.json()
        );
    }
    for query in [
        "",
        "q=",
        "q=%00",
        "q=%20",
        "q=x&limit=0",
        "q=x&kinds=segment,secret",
        "q=x&from=soon",
    ] {
        assert_eq!(
            server
                .get(&anna, &format!("/api/search?{query}"))
                .await
                .code(),
            "VALIDATION_FAILED",
            "{query}"
        );
    }
    let long = "x".repeat(501);
    assert_eq!(
        server
            .get(&anna, &format!("/api/search?q={long}"))
            .await
            .code(),
        "VALIDATION_FAILED"
    );
}

#[tokio::test]
async fn memories_need_their_own_scope_and_come_with_the_rest() {
    let server = TestServer::new().await;
    let (anna, ben) = (server.app.user("anna").await, server.app.user("ben").await);
    let (_, path) = meeting(&server, &anna, "implied").await;
    said(&server, &anna, &path, "the walrus chiller").await;
    server
        .post(
            &anna,
            "/api/mem0/memories",
            json!({ "content": "The chiller sounds like a walrus" }),
        )
        .await;
    assert_eq!(
        texts(&server.get(&anna, "/api/search?q=walrus").await.data()).len(),
        2
    );
    assert_eq!(
        texts(
            &server
                .get(&anna, "/api/search?q=walrus&kinds=memory")
                .await
                .data()
        )
        .len(),
        1
    );
    assert!(texts(&server.get(&ben, "/api/search?q=walrus").await.data()).is_empty());
    let narrow = key(&anna, &[Scope::TranscriptsRead]);
    assert_eq!(
        texts(&server.get(&narrow, "/api/search?q=walrus").await.data()).len(),
        1
    );
    assert_eq!(
        server
            .get(&narrow, "/api/search?q=walrus&kinds=memory")
            .await
            .code(),
        "SCOPE_MISSING"
    );
    assert_eq!(
        server
            .get(&key(&anna, &[Scope::MemoryRead]), "/api/search?q=walrus")
            .await
            .code(),
        "SCOPE_MISSING"
    );
    assert_eq!(
        server
            .get(&Actor::Anonymous, "/api/search?q=walrus")
            .await
            .code(),
        "UNAUTHENTICATED"
    );
}

#[tokio::test]
async fn a_guest_searches_the_own_meeting_and_nothing_else() {
    for server in crate::people::servers().await {
        let anna = server.app.user("anna").await;
        let (id, path) = meeting(&server, &anna, "implied").await;
        let (_, other) = meeting(&server, &anna, "implied").await;
        said(&server, &anna, &path, "We buy the Hallberg filler").await;
        said(&server, &anna, &other, "The secret filler is for us alone").await;
        let chat = json!({ "text": "The filler is blue" });
        server.post(&anna, &format!("{path}/messages"), chat).await;
        let memory = json!({ "content": "The filler is dear" });
        server.post(&anna, "/api/mem0/memories", memory).await;
        let guest = crate::people::guest(&server, id, "Gustav").await;
        for query in [
            "/api/search?q=filler".to_owned(),
            format!("/api/search?q=filler&meeting_id={id}"),
        ] {
            let found = server.get(&guest, &query).await;
            assert_eq!(found.status, StatusCode::OK, "{}", found.json());
            let found = found.data();
            let mut found = texts(&found);
            found.sort_unstable();
            assert_eq!(found, ["The filler is blue", "We buy the Hallberg filler"]);
        }
        let elsewhere = format!("/api/search?q=filler&meeting_id={}", &other[14..]);
        assert_eq!(server.get(&guest, &elsewhere).await.code(), "NOT_FOUND");
        let memories = "/api/search?q=filler&kinds=memory";
        assert_eq!(server.get(&guest, memories).await.code(), "FORBIDDEN");
        let Actor::Guest { participant_id, .. } = guest else {
            panic!("a guest");
        };
        let place = format!("{path}/participants/{participant_id}");
        server
            .call(&anna, axum::http::Method::DELETE, &place, Value::Null)
            .await;
        let refused = server.get(&guest, "/api/search?q=filler").await;
        assert_eq!(refused.code(), "NOT_FOUND");
    }
}
