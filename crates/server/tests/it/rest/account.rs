//! `/api/me`

use axum::http::Method;
use meetmind_core::*;
use meetmind_server::testing::{PASSWORD, TestServer};
use serde_json::{Value, json};

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

/// A meeting of `owner` in which `guest` takes part and says and writes something.
async fn meeting_with(server: &TestServer, owner: &str, guest: UserId) -> MeetingId {
    let made = server
        .call_with(
            owner,
            Method::POST,
            "/api/meetings",
            json!({ "title": "Weekly" }),
        )
        .await
        .data();
    let meeting_id: MeetingId = text(&made["id"]).parse().expect("an id");
    let app = &server.app.app;
    let now = app.now();
    let participant = Participant {
        id: app.entropy().id(now),
        meeting_id,
        user_id: Some(guest),
        agent_id: None,
        name: "Anna".to_owned(),
        role: MeetingRole::Participant,
        state: ParticipantState::Joined,
        muted: false,
        joined_at: Some(now),
        left_at: None,
        created_at: now,
        updated_at: now,
    };
    let mut tx = server.app.db.store.begin().await.expect("a transaction");
    let known = tx
        .participant_find_user(meeting_id, guest)
        .await
        .expect("a row");
    let participant_id = match known {
        Some(known) => known.id,
        None => {
            tx.participant_insert(&participant)
                .await
                .expect("a participant");
            participant.id
        }
    };
    let segment = Segment {
        id: app.entropy().id(now),
        meeting_id,
        participant_id: Some(participant_id),
        speaker: "Anna".to_owned(),
        text: "We ship on Friday.".to_owned(),
        start_ms: 0,
        end_ms: 900,
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
    let store = &server.app.db.store;
    store
        .seed_message(
            &mut tx,
            app.entropy().id(now),
            meeting_id,
            participant_id,
            "Anna",
        )
        .await
        .expect("a message");
    tx.commit().await.expect("a commit");
    meeting_id
}

#[tokio::test]
async fn the_export_has_everything_of_mine_and_nothing_secret() {
    let server = TestServer::new().await;
    let (anna, ben) = (server.register("anna").await, server.register("ben").await);
    let token = text(&anna["access_token"]);
    let id: UserId = text(&anna["user"]["id"]).parse().expect("an id");
    meeting_with(&server, token, id).await;
    meeting_with(&server, text(&ben["access_token"]), id).await;
    let key = server
        .call_with(
            token,
            Method::POST,
            "/auth/api-keys",
            json!({ "name": "k", "scopes": ["meetings:read"] }),
        )
        .await
        .data();
    let export = server
        .call_with(token, Method::GET, "/api/me/export", Value::Null)
        .await;
    assert!(
        export.headers["content-disposition"]
            .to_str()
            .expect("text")
            .starts_with("attachment")
    );
    let data = export.data();
    assert_eq!(export.json()["success"], true);
    let counts: Vec<_> = [
        "sessions",
        "api_keys",
        "meetings",
        "participants",
        "messages",
        "segments",
        "memories",
        "agents",
        "webhooks",
        "consents",
        "memory_changes",
    ]
    .iter()
    .map(|part| {
        data[*part]
            .as_array()
            .unwrap_or_else(|| panic!("{part}"))
            .len()
    })
    .collect();
    assert_eq!(counts, [1, 1, 1, 2, 2, 2, 0, 0, 0, 0, 0]);
    assert_eq!(data["profile"]["email"], "anna@example.com");
    let whole = String::from_utf8(export.bytes.to_vec()).expect("text");
    let secret = text(&key["key"]).rsplit('_').next().expect("a secret");
    assert!(
        !whole.contains(secret) && !whole.contains("argon2") && !whole.contains("ben@example.com")
    );
    assert_eq!(
        server
            .call_with(
                text(&key["key"]),
                Method::GET,
                "/api/me/export",
                Value::Null
            )
            .await
            .code(),
        "SCOPE_MISSING"
    );
    assert_eq!(
        server.get(&Actor::Anonymous, "/api/me/export").await.code(),
        "UNAUTHENTICATED"
    );
}

#[tokio::test]
async fn leaving_erases_what_is_mine_and_takes_my_name_off_the_rest() {
    let server = TestServer::new().await;
    let (anna, ben) = (server.register("anna").await, server.register("ben").await);
    let token = text(&anna["access_token"]);
    let id: UserId = text(&anna["user"]["id"]).parse().expect("an id");
    let own = meeting_with(&server, token, id).await;
    let other = meeting_with(&server, text(&ben["access_token"]), id).await;
    let answer = server
        .call_with(
            token,
            Method::DELETE,
            "/api/me",
            json!({ "password": PASSWORD }),
        )
        .await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    let receipt = answer.data();
    for (part, rows) in [
        ("users", 1),
        ("sessions", 1),
        ("meetings", 1),
        ("segments", 1),
        ("messages", 1),
    ] {
        assert_eq!(receipt["erased"][part], rows, "{part}: {receipt}");
    }
    assert!(receipt["erased"]["events"].as_i64() >= Some(1), "{receipt}");
    for part in ["segments", "messages", "participants"] {
        assert_eq!(receipt["anonymised"][part], 1, "{part}: {receipt}");
    }
    let mut conn = server.app.db.store.read().await.expect("a connection");
    assert!(conn.meeting_get(own).await.is_err());
    assert!(
        conn.event_list(EventTopic::Meeting(own), 0, 10)
            .await
            .expect("a list")
            .is_empty()
    );
    let people = conn
        .participant_list(other, None, 10)
        .await
        .expect("a list");
    let former: Vec<_> = people
        .iter()
        .filter(|part| part.role == MeetingRole::Participant)
        .collect();
    assert_eq!(
        (former[0].name.as_str(), former[0].user_id, former[0].state),
        ("Former participant", None, ParticipantState::Left)
    );
    let said = conn
        .export_segments(former[0].id, None, 10)
        .await
        .expect("a list");
    assert_eq!(
        (said[0].speaker.as_str(), said[0].text.as_str()),
        ("Former participant", "We ship on Friday.")
    );
    let wrote = conn
        .export_messages(former[0].id, None, 10)
        .await
        .expect("a list");
    assert_eq!(wrote[0].author, "Former participant");
    drop(conn);
    let body = json!({ "email": "anna@example.com", "password": PASSWORD });
    assert_eq!(
        server
            .post(&Actor::Anonymous, "/auth/login", body.clone())
            .await
            .code(),
        "INVALID_CREDENTIALS"
    );
    assert_eq!(
        server
            .post(&Actor::Anonymous, "/auth/register", body)
            .await
            .status,
        201,
        "the address is free again"
    );
}

#[tokio::test]
async fn a_key_exports_what_it_may_read_and_no_key_sessions() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let by = |scopes: &[Scope]| crate::people::by_key(&anna, scopes);
    let reading = [
        Scope::Profile,
        Scope::MeetingsRead,
        Scope::TranscriptsRead,
        Scope::MemoryRead,
        Scope::AgentsRead,
        Scope::Webhooks,
    ];
    for missing in &reading {
        let mut scopes = reading.to_vec();
        scopes.retain(|scope| scope != missing);
        let refused = server.get(&by(&scopes), "/api/me/export").await;
        assert_eq!(refused.code(), "SCOPE_MISSING", "without {missing}");
    }
    let whole = server.get(&anna, "/api/me/export").await.data();
    let by_key = server.get(&by(&reading), "/api/me/export").await.data();
    assert!(whole["sessions"].is_array() && whole["api_keys"].is_array());
    assert!(by_key["meetings"].is_array(), "{by_key}");
    assert!(by_key.get("sessions").is_none() && by_key.get("api_keys").is_none());
}
