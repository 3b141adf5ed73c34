//! `/api/meetings/{id}/summary` and its sisters, `/api/actions`, `/api/decisions`, `/api/topics`

mod highlights;
mod summary;

use axum::http::{Method, StatusCode};
use meetmind_core::*;
use meetmind_server::testing::{TestAnswer, TestServer};
use serde_json::{Value, json};

const TALK: &[(&str, &str)] = &[
    (
        "Anna",
        "The landlord wants a longer office lease, and the rent goes up by ten percent.",
    ),
    (
        "Ben",
        "I'll send the landlord our offer for the lease by Friday.",
    ),
    (
        "Anna",
        "We decided to keep the harbour office for one more year.",
    ),
    (
        "Ben",
        "The battery of the solar charger lasts only four hours in the cold.",
    ),
    (
        "Anna",
        "What does the certification of the charger cost us?",
    ),
    ("Ben", "I don't know yet."),
    ("Anna", "Okay."),
];

/// A meeting of Anna (host), Ben (participant) and Vera (viewer) in which something was said.
pub(crate) struct Room {
    pub(crate) server: TestServer,
    pub(crate) anna: Actor,
    pub(crate) ben: Actor,
    pub(crate) vera: Actor,
    pub(crate) eve: Actor,
    pub(crate) id: MeetingId,
    pub(crate) segments: Vec<SegmentId>,
}

impl Room {
    pub(crate) async fn new() -> Self {
        let server = TestServer::new().await;
        let app = &server.app;
        let (anna, ben) = (app.user("anna").await, app.user("ben").await);
        let (vera, eve) = (app.user("vera").await, app.user("eve").await);
        let made = server
            .post(&anna, "/api/meetings", json!({ "title": "Launch" }))
            .await;
        let id: MeetingId = made.data()["id"]
            .as_str()
            .expect("an id")
            .parse()
            .expect("an id");
        let now = app.app.now();
        let mut tx = app.app.store().begin().await.expect("a transaction");
        for (user, name, role) in [
            (&ben, "Ben", MeetingRole::Participant),
            (&vera, "Vera", MeetingRole::Viewer),
        ] {
            let participant = Participant {
                id: app.app.entropy().id(now),
                meeting_id: id,
                user_id: user.user_id(),
                agent_id: None,
                name: name.to_owned(),
                role,
                state: ParticipantState::Joined,
                muted: false,
                joined_at: Some(now),
                left_at: None,
                created_at: now,
                updated_at: now,
            };
            tx.participant_insert(&participant)
                .await
                .expect("a participant");
        }
        let mut segments = Vec::new();
        for (at, (speaker, text)) in TALK.iter().enumerate() {
            let segment = Segment {
                id: app.app.entropy().id(now),
                meeting_id: id,
                participant_id: None,
                speaker: (*speaker).to_owned(),
                text: (*text).to_owned(),
                start_ms: at as i64 * 10_000,
                end_ms: at as i64 * 10_000 + 9_000,
                confidence: None,
                language: None,
                is_final: true,
                external_id: None,
                attribution: Attribution::Declared,
                version: 1,
                corrected_at: None,
                created_at: now,
                updated_at: now,
            };
            tx.segment_insert(&segment).await.expect("a segment");
            segments.push(segment.id);
        }
        tx.commit().await.expect("a commit");
        Self {
            server,
            anna,
            ben,
            vera,
            eve,
            id,
            segments,
        }
    }

    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/api/meetings/{}{rest}", self.id)
    }

    async fn patch(&self, who: &Actor, rest: &str, body: Value) -> TestAnswer {
        self.server
            .call(who, Method::PATCH, &self.path(rest), body)
            .await
    }
}

/// An API key of Ben's with these scopes.
pub(crate) fn key(of: &Actor, scopes: &[Scope]) -> Actor {
    let user_id = of.user_id().expect("a user");
    let key_id = ApiKeyId::from_uuid(user_id.uuid());
    Actor::User {
        user_id,
        role: UserRole::Member,
        proof: Proof::ApiKey(key_id, scopes.to_vec()),
    }
}

#[tokio::test]
async fn notes_are_read_and_made_anew() {
    let room = Room::new().await;
    let (server, ben) = (&room.server, &room.ben);
    let empty = server.get(ben, &room.path("/summary")).await;
    assert_eq!(empty.status, StatusCode::OK);
    assert_eq!(empty.data()["summary"], Value::Null);
    assert_eq!(
        empty.data()["coverage"],
        json!({ "segments": 7, "summarised": 0, "cited": 0 })
    );
    assert!(
        empty.data()["engine_note"]
            .as_str()
            .expect("a note")
            .contains("No language model")
    );

    let made = server.post(ben, &room.path("/summary"), Value::Null).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.json());
    let lines = made.data()["summary"]["lines"]
        .as_array()
        .expect("lines")
        .clone();
    assert!(
        lines
            .iter()
            .all(|line| !line["segment_ids"].as_array().expect("ids").is_empty())
    );
    let view = server
        .get(ben, &room.path("/summary?persona=exec"))
        .await
        .data();
    assert_eq!(view["view"]["persona"], "executive");
    assert_eq!(view["view"]["decisions"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        server
            .get(ben, &room.path("/summary?persona=dancer"))
            .await
            .code(),
        "VALIDATION_FAILED"
    );

    for list in ["/topics", "/highlights", "/actions", "/decisions"] {
        let again = server.post(ben, &room.path(list), Value::Null).await;
        assert_eq!(again.status, StatusCode::OK, "{list}: {}", again.json());
        let items = server.get(ben, &room.path(list)).await.data()["items"].clone();
        assert!(!items.as_array().expect("items").is_empty(), "{list}");
        assert_eq!(again.data()["items"], items, "{list}");
        assert_eq!(
            server
                .get(ben, &room.path(&format!("{list}?cursor=00")))
                .await
                .code(),
            "INVALID_CURSOR",
            "{list}"
        );
    }
    let insights = server
        .post(ben, &room.path("/insights"), Value::Null)
        .await
        .data();
    assert_eq!(insights["speakers"].as_array().map(Vec::len), Some(2));
    assert_eq!(insights["turns"], 7);
    let open = &insights["open_questions"][0];
    assert_eq!(
        (open["speaker"].as_str(), open["start_ms"].as_i64()),
        (Some("Anna"), Some(40_000))
    );
    assert_eq!(
        open["segment_ids"],
        json!([room.segments[4], room.segments[5]])
    );
}

#[tokio::test]
async fn actions_are_entered_confirmed_and_guarded() {
    let room = Room::new().await;
    let server = &room.server;
    let made = server
        .post(&room.ben, &room.path("/actions"), json!({ "text": " Call the lawyer ", "owner": "ben", "segment_ids": [room.segments[0]], "status": "confirmed" }))
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.json());
    let action = made.data();
    let location = made.headers["location"].to_str().expect("text").to_owned();
    assert_eq!(server.get(&room.vera, &location).await.data(), action);
    assert_eq!(
        (
            action["text"].as_str(),
            action["status"].as_str(),
            action["marker"].as_str()
        ),
        (Some("Call the lawyer"), Some("confirmed"), Some("explicit"))
    );
    assert_eq!(action["owner_user_id"], json!(room.ben.user_id()));

    let rest = format!("/actions/{}", action["id"].as_str().expect("an id"));
    let done = room
        .patch(
            &room.ben,
            &rest,
            json!({ "status": "done", "due_at": "2026-04-01T12:00:00Z" }),
        )
        .await;
    assert_eq!(
        (done.status, done.data()["version"].clone()),
        (StatusCode::OK, json!(2))
    );
    for (body, code) in [
        (json!({ "status": "proposed" }), "CONFLICT"),
        (json!({ "status": "eaten" }), "VALIDATION_FAILED"),
        (json!({ "text": "" }), "VALIDATION_FAILED"),
        (json!({ "text": "x".repeat(1_001) }), "VALIDATION_FAILED"),
        (json!({ "text": "a\u{0}b" }), "VALIDATION_FAILED"),
        (
            json!({ "owner_user_id": room.eve.user_id() }),
            "VALIDATION_FAILED",
        ),
    ] {
        assert_eq!(
            room.patch(&room.ben, &rest, body.clone()).await.code(),
            code,
            "{body}"
        );
    }
    let cleared = room
        .patch(
            &room.ben,
            &rest,
            json!({ "owner": null, "status": "confirmed" }),
        )
        .await
        .data();
    assert_eq!(
        (cleared["owner"].clone(), cleared["owner_user_id"].clone()),
        (Value::Null, Value::Null)
    );
    let request = axum::http::Request::patch(room.path(&rest))
        .header("content-type", "application/json")
        .header("if-match", "\"1\"")
        .body(axum::body::Body::from("{}"))
        .expect("a request");
    assert_eq!(
        server.send(&room.ben, request).await.code(),
        "PRECONDITION_FAILED"
    );
    for body in [
        json!({}),
        json!({ "text": "x", "segment_ids": [SegmentId::from_uuid(uuid::Uuid::nil())] }),
        json!({ "text": "x", "status": "done" }),
    ] {
        let refused = server
            .post(&room.ben, &room.path("/actions"), body.clone())
            .await;
        assert_eq!(refused.code(), "VALIDATION_FAILED", "{body}");
    }
    let plain = axum::http::Request::post(room.path("/actions"))
        .header("content-type", "text/plain")
        .body(axum::body::Body::from("{}"))
        .expect("a request");
    assert_eq!(
        server.send(&room.ben, plain).await.code(),
        "UNSUPPORTED_MEDIA_TYPE"
    );
}

#[tokio::test]
async fn only_who_may_edit_edits() {
    let room = Room::new().await;
    let server = &room.server;
    server
        .post(&room.anna, &room.path("/summary"), Value::Null)
        .await;
    let first = |data: Value| data["items"][0]["id"].as_str().expect("an id").to_owned();
    let topic = format!(
        "/topics/{}",
        first(server.get(&room.anna, &room.path("/topics")).await.data())
    );
    let decision = format!(
        "/decisions/{}",
        first(
            server
                .get(&room.anna, &room.path("/decisions"))
                .await
                .data()
        )
    );
    let reader = key(&room.ben, &[Scope::MeetingsRead]);
    let guest = {
        let mut conn = server.app.app.store().read().await.expect("a connection");
        let vera = conn
            .participant_find_user(room.id, room.vera.user_id().expect("a user"))
            .await
            .expect("a row")
            .expect("Vera");
        Actor::Guest {
            participant_id: vera.id,
            meeting_id: room.id,
            role: MeetingRole::Viewer,
        }
    };
    for (who, read, write) in [
        (&room.anna, "", ""),
        (&room.ben, "", ""),
        (&room.vera, "", "FORBIDDEN"),
        (&guest, "", "FORBIDDEN"),
        (&room.eve, "NOT_FOUND", "NOT_FOUND"),
        (&reader, "SCOPE_MISSING", "SCOPE_MISSING"),
        (&Actor::Anonymous, "UNAUTHENTICATED", "UNAUTHENTICATED"),
    ] {
        for list in [
            "/summary",
            "/topics",
            "/highlights",
            "/actions",
            "/decisions",
            "/insights",
            decision.as_str(),
        ] {
            assert_eq!(
                server.get(who, &room.path(list)).await.code(),
                read,
                "GET {list} {who:?}"
            );
        }
        for list in [
            "/summary",
            "/topics",
            "/highlights",
            "/actions",
            "/decisions",
            "/insights",
        ] {
            assert_eq!(
                server.post(who, &room.path(list), Value::Null).await.code(),
                write,
                "POST {list} {who:?}"
            );
        }
        for list in ["/actions", "/decisions"] {
            assert_eq!(
                server
                    .post(
                        who,
                        &room.path(list),
                        json!({ "text": format!("{who:?}").chars().take(90).collect::<String>() })
                    )
                    .await
                    .code(),
                write,
                "POST {list} {who:?}"
            );
        }
        assert_eq!(
            room.patch(who, &topic, json!({ "label": "Where we sit" }))
                .await
                .code(),
            write
        );
        assert_eq!(
            room.patch(who, &decision, json!({ "text": "Keep the office" }))
                .await
                .code(),
            write
        );
    }
    let elsewhere = room
        .server
        .post(&room.eve, "/api/meetings", json!({ "title": "Eve's" }))
        .await
        .data();
    let path = format!(
        "/api/meetings/{}{decision}",
        elsewhere["id"].as_str().expect("an id")
    );
    assert_eq!(
        room.server.get(&room.eve, &path).await.code(),
        "NOT_FOUND",
        "another meeting's decision"
    );
}

#[tokio::test]
async fn lists_across_meetings_hold_only_ones_own() {
    let room = Room::new().await;
    let server = &room.server;
    server
        .post(&room.anna, &room.path("/summary"), Value::Null)
        .await;
    let mine = server
        .get(&room.ben, "/api/actions?owner=me&status=proposed")
        .await
        .data();
    assert_eq!(mine["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(mine["items"][0]["owner"], "Ben");
    assert_eq!(
        server.get(&room.anna, "/api/actions?owner=me").await.data()["items"],
        json!([])
    );
    for path in [
        "/api/actions",
        "/api/decisions",
        "/api/topics",
        "/api/actions?owner=en",
        "/api/topics?q=o",
    ] {
        let own = server.get(&room.vera, path).await;
        assert_eq!(own.status, StatusCode::OK, "{path}: {}", own.json());
        assert!(
            !own.data()["items"].as_array().expect("items").is_empty(),
            "{path}"
        );
        assert_eq!(
            server.get(&room.eve, path).await.data()["items"],
            json!([]),
            "{path}"
        );
        assert_eq!(
            server.get(&Actor::Anonymous, path).await.code(),
            "UNAUTHENTICATED",
            "{path}"
        );
        assert_eq!(
            server
                .get(&key(&room.ben, &[Scope::MeetingsRead]), path)
                .await
                .code(),
            "SCOPE_MISSING",
            "{path}"
        );
    }
}
