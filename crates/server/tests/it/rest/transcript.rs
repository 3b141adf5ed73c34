//! `/api/meetings/{id}/transcript` and the imports.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use meetmind_app::testing::TestApp;
use meetmind_core::*;
use meetmind_server::testing::{TestAnswer, TestServer};
use meetmind_store::Engine;
use meetmind_store::testing::TestDb;
use serde_json::{Value, json};

/// A meeting of `host`, with its path.
pub(super) async fn meeting(
    server: &TestServer,
    host: &Actor,
    policy: &str,
) -> (MeetingId, String) {
    let body = json!({ "title": "Bottling", "consent_policy": policy });
    let made = server.post(host, "/api/meetings", body).await.data();
    let id = made["id"].as_str().expect("an id").to_owned();
    (id.parse().expect("an id"), format!("/api/meetings/{id}"))
}

/// Puts somebody on the list of a meeting.
pub(super) async fn participant(
    server: &TestServer,
    meeting_id: MeetingId,
    user_id: Option<UserId>,
    name: &str,
    role: MeetingRole,
) -> ParticipantId {
    let now = server.app.app.now();
    let id = server.app.app.entropy().id(now);
    let row = Participant {
        id,
        meeting_id,
        user_id,
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
    let mut tx = server.app.db.store.begin().await.expect("a transaction");
    tx.participant_insert(&row).await.expect("a participant");
    tx.commit().await.expect("a commit");
    id
}

pub(super) async fn consent(
    server: &TestServer,
    meeting_id: MeetingId,
    participant_id: ParticipantId,
    transcript: ConsentState,
    memory: ConsentState,
) {
    // Ids made in one moment have no order; the newest entry is to be the newest.
    server
        .app
        .clock
        .advance(std::time::Duration::from_millis(1));
    let now = server.app.app.now();
    let entry = Consent {
        id: server.app.app.entropy().id(now),
        meeting_id,
        participant_id,
        transcript,
        recording: ConsentState::Pending,
        memory,
        actor: "test".to_owned(),
        at: now,
    };
    let mut tx = server.app.db.store.begin().await.expect("a transaction");
    tx.consent_insert(&entry).await.expect("an entry");
    tx.commit().await.expect("a commit");
}

pub(super) fn key(actor: &Actor, scopes: &[Scope]) -> Actor {
    let user_id = actor.user_id().expect("a user");
    Actor::User {
        user_id,
        role: UserRole::Member,
        proof: Proof::ApiKey(ApiKeyId::from_uuid(user_id.uuid()), scopes.to_vec()),
    }
}

async fn end(server: &TestServer, id: MeetingId) {
    let now = server.app.app.now();
    let mut tx = server.app.db.store.begin().await.expect("a transaction");
    let meeting = tx.meeting_get(id).await.expect("the meeting");
    let ended = Meeting {
        status: MeetingStatus::Ended,
        started_at: meeting.started_at.or(Some(now)),
        ended_at: Some(now),
        ..meeting
    };
    tx.meeting_status_set(&ended, now).await.expect("an end");
    tx.commit().await.expect("a commit");
}

async fn send(
    server: &TestServer,
    actor: &Actor,
    path: &str,
    kind: &str,
    body: impl Into<Body>,
) -> TestAnswer {
    let request = Request::post(path)
        .header("content-type", kind)
        .body(body.into())
        .expect("a request");
    server.send(actor, request).await
}

async fn events(server: &TestServer, id: MeetingId) -> Vec<Event> {
    let mut read = server.app.db.store.read().await.expect("a connection");
    read.event_list(EventTopic::Meeting(id), 0, 1000)
        .await
        .expect("events")
}

#[tokio::test]
async fn the_first_words_start_the_meeting_and_carry_ones_own_name() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let (id, path) = meeting(&server, &anna, "implied").await;
    let said = server
        .post(
            &anna,
            &format!("{path}/transcript"),
            json!({ "text": "Good morning to all of you" }),
        )
        .await;
    assert_eq!(said.status, StatusCode::CREATED, "{}", said.json());
    let data = said.data();
    assert_eq!(
        (
            data["speaker"].as_str(),
            data["start_ms"].as_i64(),
            data["end_ms"].as_i64()
        ),
        (Some("anna@example.com"), Some(0), Some(2400))
    );
    assert_eq!(
        (data["final"].as_bool(), data["attribution"].as_str()),
        (Some(true), Some("declared"))
    );
    let location = said.headers["location"].to_str().expect("text");
    assert_eq!(server.get(&anna, location).await.data(), data);
    assert_eq!(server.get(&anna, &path).await.data()["status"], "live");
    server.app.clock.advance(std::time::Duration::from_secs(60));
    let later = server
        .post(
            &anna,
            &format!("{path}/transcript"),
            json!({ "text": "later" }),
        )
        .await
        .data();
    assert_eq!(later["start_ms"], 60_000);
    let kinds: Vec<EventKind> = events(&server, id)
        .await
        .iter()
        .map(|event| event.kind)
        .collect();
    assert_eq!(
        kinds,
        [
            EventKind::MeetingCreated,
            EventKind::MeetingStarted,
            EventKind::SegmentFinalized,
            EventKind::SegmentFinalized
        ]
    );
}

#[tokio::test]
async fn only_hosts_agents_and_recorders_name_other_speakers() {
    let server = TestServer::new().await;
    let (anna, ben, vera, cora, eve) = (
        server.app.user("anna").await,
        server.app.user("ben").await,
        server.app.user("vera").await,
        server.app.user("cora").await,
        server.app.user("eve").await,
    );
    let (id, path) = meeting(&server, &anna, "implied").await;
    let path = format!("{path}/transcript");
    let ben_id = participant(&server, id, ben.user_id(), "Ben", MeetingRole::Participant).await;
    participant(&server, id, vera.user_id(), "Vera", MeetingRole::Viewer).await;
    participant(&server, id, cora.user_id(), "Cora", MeetingRole::Cohost).await;
    let guest = participant(&server, id, None, "Gus", MeetingRole::Participant).await;
    let guest = Actor::Guest {
        participant_id: guest,
        meeting_id: id,
        role: MeetingRole::Participant,
    };
    let stray = Actor::Guest {
        participant_id: ben_id,
        meeting_id: server.app.app.entropy().id(server.app.app.now()),
        role: MeetingRole::Participant,
    };
    let recorder = key(&ben, &[Scope::TranscriptsWrite]);
    let reader = key(&anna, &[Scope::TranscriptsRead]);
    let writer = key(&ben, &[Scope::MeetingsWrite]);
    let cases = [
        ("host", &anna, 201, 201),
        ("cohost", &cora, 201, 403),
        ("participant", &ben, 201, 403),
        ("viewer", &vera, 403, 403),
        ("guest", &guest, 201, 403),
        ("guest of another meeting", &stray, 404, 404),
        ("stranger", &eve, 404, 404),
        ("anonymous", &Actor::Anonymous, 401, 401),
        ("recorder key", &recorder, 201, 201),
        ("key without the scope", &reader, 403, 403),
        ("key for meetings", &writer, 201, 403),
        (
            "viewer's key",
            &key(&vera, &[Scope::TranscriptsWrite]),
            403,
            403,
        ),
    ];
    for (who, actor, own, other) in cases {
        let answer = server.post(actor, &path, json!({ "text": "mine" })).await;
        assert_eq!(answer.status.as_u16(), own, "{who}: {}", answer.json());
        let answer = server
            .post(actor, &path, json!({ "text": "theirs", "speaker": "vERA" }))
            .await;
        assert_eq!(answer.status.as_u16(), other, "{who}: {}", answer.json());
    }
    let matched = server
        .post(&anna, &path, json!({ "text": "x", "speaker": "bEN" }))
        .await
        .data();
    assert_eq!(
        (
            matched["speaker"].as_str(),
            matched["participant_id"].as_str()
        ),
        (Some("Ben"), Some(ben_id.to_string().as_str()))
    );
    let unknown = server
        .post(&anna, &path, json!({ "text": "x", "speaker": "Nobody" }))
        .await
        .data();
    assert_eq!(
        (
            unknown["speaker"].as_str(),
            unknown["participant_id"].as_str()
        ),
        (Some("Nobody"), None)
    );
}

/// An agent in the meeting, with its row.
async fn agent(server: &TestServer, id: MeetingId, owner: &Actor) -> Actor {
    let now = server.app.app.now();
    let (agent_id, participant_id): (AgentId, ParticipantId) = (
        server.app.app.entropy().id(now),
        server.app.app.entropy().id(now),
    );
    let row = Participant {
        id: participant_id,
        meeting_id: id,
        user_id: None,
        agent_id: Some(agent_id),
        name: "Scribe".to_owned(),
        role: MeetingRole::Agent,
        state: ParticipantState::Joined,
        muted: false,
        joined_at: Some(now),
        left_at: None,
        created_at: now,
        updated_at: now,
    };
    let mut tx = server.app.db.store.begin().await.expect("a transaction");
    let owner_id = owner.user_id().expect("a user");
    server
        .app
        .db
        .store
        .seed_agent(&mut tx, agent_id, owner_id)
        .await
        .expect("an agent");
    tx.participant_insert(&row).await.expect("a participant");
    tx.commit().await.expect("a commit");
    Actor::Agent {
        agent_id,
        run_id: server.app.app.entropy().id(now),
        owner_id,
        meeting_id: id,
    }
}

#[tokio::test]
async fn an_agent_attributes_by_track_and_corrects_only_itself() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let (id, path) = meeting(&server, &anna, "ask").await;
    let path = format!("{path}/transcript");
    let scribe = agent(&server, id, &anna).await;
    let ben = participant(&server, id, None, "Ben", MeetingRole::Participant).await;
    assert_eq!(
        server
            .post(&scribe, &path, json!({ "text": "x", "speaker": "Ben" }))
            .await
            .code(),
        "CONSENT_DENIED"
    );
    consent(
        &server,
        id,
        ben,
        ConsentState::Granted,
        ConsentState::Denied,
    )
    .await;
    let said = server
        .post(&scribe, &path, json!({ "text": "x", "speaker": "Ben" }))
        .await
        .data();
    assert_eq!(said["attribution"], "track");
    let nobody = server
        .post(&scribe, &path, json!({ "text": "x", "speaker": "Nobody" }))
        .await;
    assert_eq!(nobody.code(), "CONSENT_DENIED", "an agent cannot vouch");
    let theirs = format!("{path}/{}", said["id"].as_str().expect("an id"));
    assert_eq!(
        server
            .call(&scribe, Method::PATCH, &theirs, json!({ "text": "y" }))
            .await
            .code(),
        "FORBIDDEN"
    );
    assert_eq!(
        server
            .call(&scribe, Method::DELETE, &theirs, Value::Null)
            .await
            .code(),
        "FORBIDDEN"
    );
    let own = server
        .post(&scribe, &path, json!({ "text": "noted" }))
        .await
        .data();
    let own = format!("{path}/{}", own["id"].as_str().expect("an id"));
    assert_eq!(
        server
            .call(
                &scribe,
                Method::PATCH,
                &own,
                json!({ "text": "well noted" })
            )
            .await
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn nothing_is_kept_without_consent_and_a_list_is_all_or_nothing() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let (id, path) = meeting(&server, &anna, "ask").await;
    let path = format!("{path}/transcript");
    let ben = participant(&server, id, None, "Ben", MeetingRole::Participant).await;
    let list =
        json!([{ "text": "fine", "speaker": "Nobody" }, { "text": "secret", "speaker": "Ben" }]);
    let refused = server.post(&anna, &path, list.clone()).await;
    assert_eq!(
        (
            refused.code().as_str(),
            refused.json()["error"]["details"]["index"].as_i64()
        ),
        ("CONSENT_DENIED", Some(1))
    );
    assert_eq!(
        server
            .post(&anna, &path, json!({ "text": "own" }))
            .await
            .code(),
        "CONSENT_DENIED",
        "the host was asked as well"
    );
    assert_eq!(server.get(&anna, &path).await.data()["items"], json!([]));
    assert_eq!(
        events(&server, id).await.len(),
        1,
        "nothing was told, the meeting has not started"
    );
    consent(
        &server,
        id,
        ben,
        ConsentState::Granted,
        ConsentState::Pending,
    )
    .await;
    assert_eq!(
        server.post(&anna, &path, list).await.status,
        StatusCode::CREATED
    );
    consent(
        &server,
        id,
        ben,
        ConsentState::Denied,
        ConsentState::Pending,
    )
    .await;
    assert_eq!(
        server
            .post(&anna, &path, json!({ "text": "x", "speaker": "ben" }))
            .await
            .code(),
        "CONSENT_DENIED"
    );

    // Two people of one name: both must agree, and neither is named.
    let other = participant(&server, id, None, "Kim", MeetingRole::Participant).await;
    let kim = participant(&server, id, None, "kim", MeetingRole::Participant).await;
    consent(
        &server,
        id,
        other,
        ConsentState::Granted,
        ConsentState::Pending,
    )
    .await;
    assert_eq!(
        server
            .post(&anna, &path, json!({ "text": "x", "speaker": "Kim" }))
            .await
            .code(),
        "CONSENT_DENIED"
    );
    consent(
        &server,
        id,
        kim,
        ConsentState::Granted,
        ConsentState::Pending,
    )
    .await;
    assert_eq!(
        server
            .post(&anna, &path, json!({ "text": "x", "speaker": "Kim" }))
            .await
            .data()["participant_id"],
        Value::Null
    );

    let (_, off) = meeting(&server, &anna, "off").await;
    assert_eq!(
        server
            .post(&anna, &format!("{off}/transcript"), json!({ "text": "x" }))
            .await
            .code(),
        "CONSENT_DENIED"
    );
}

#[tokio::test]
async fn drafts_become_final_under_one_id_and_repeats_change_nothing() {
    let server = TestServer::new().await;
    let (anna, ben) = (server.app.user("anna").await, server.app.user("ben").await);
    let (id, path) = meeting(&server, &anna, "implied").await;
    participant(&server, id, ben.user_id(), "Ben", MeetingRole::Participant).await;
    let path = format!("{path}/transcript");
    let post = |body: Value| server.post(&anna, &path, body);
    let draft = post(json!({ "external_id": "e1", "final": false, "text": "we", "start_ms": 100, "end_ms": 200 })).await;
    assert_eq!(draft.status, StatusCode::CREATED);
    let longer = post(json!({ "external_id": "e1", "final": false, "text": "we decide" })).await;
    assert_eq!(
        (
            longer.status,
            longer.data()["version"].as_i64(),
            longer.data()["end_ms"].as_i64()
        ),
        (StatusCode::OK, Some(2), Some(900))
    );
    let same = post(json!({ "external_id": "e1", "final": false, "text": "we decide" })).await;
    assert_eq!(same.data()["version"], 2);
    let last = json!({ "external_id": "e1", "text": "we decided" });
    let sealed = post(last.clone()).await.data();
    assert_eq!(
        (&sealed["id"], &sealed["final"], &sealed["version"]),
        (&draft.data()["id"], &json!(true), &json!(3))
    );
    let before = events(&server, id).await.len();
    let again = post(last).await;
    assert_eq!(
        (again.status, again.data()),
        (StatusCode::OK, sealed.clone())
    );
    let overtaken = post(json!({ "external_id": "e1", "final": false, "text": "we dec" })).await;
    assert_eq!(
        (overtaken.status, overtaken.data()),
        (StatusCode::OK, sealed.clone()),
        "a draft that comes after its final"
    );
    assert_eq!(
        post(json!({ "external_id": "e1", "text": "other words" }))
            .await
            .code(),
        "SEGMENT_FINAL"
    );
    let kinds: Vec<EventKind> = events(&server, id)
        .await
        .into_iter()
        .map(|event| event.kind)
        .skip(2)
        .collect();
    assert_eq!(
        kinds,
        [
            EventKind::SegmentDrafted,
            EventKind::SegmentDrafted,
            EventKind::SegmentFinalized
        ]
    );
    assert_eq!(events(&server, id).await.len(), before);

    // In one list: out of order in time, a draft and its final, and another speaker's id.
    let list = post(json!([
        { "external_id": "e2", "final": false, "text": "b", "start_ms": 50 }, { "text": "a", "start_ms": 10 }, { "external_id": "e2", "text": "b!" }
    ])).await;
    assert_eq!(
        (list.status, list.data()["items"].as_array().map(Vec::len)),
        (StatusCode::CREATED, Some(3))
    );
    let texts: Vec<Value> = server.get(&anna, &path).await.data()["items"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|s| s["text"].clone())
        .collect();
    assert_eq!(texts, ["a", "b!", "we decided"]);
    let foreign = post(json!({ "external_id": "e3", "final": false, "text": "anna's" })).await;
    assert_eq!(foreign.status, StatusCode::CREATED);
    let stolen = server
        .post(&ben, &path, json!({ "external_id": "e3", "text": "ben's" }))
        .await;
    assert_eq!(stolen.code(), "CONFLICT", "{}", stolen.json());
}

#[tokio::test]
async fn after_the_end_finals_come_for_ten_minutes() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let (id, path) = meeting(&server, &anna, "implied").await;
    let path = format!("{path}/transcript");
    server
        .post(
            &anna,
            &path,
            json!({ "external_id": "e", "text": "in time" }),
        )
        .await;
    end(&server, id).await;
    assert_eq!(
        server
            .post(&anna, &path, json!({ "text": "draft", "final": false }))
            .await
            .code(),
        "MEETING_ENDED"
    );
    assert_eq!(
        server
            .post(&anna, &path, json!({ "text": "late" }))
            .await
            .status,
        StatusCode::CREATED
    );
    server
        .app
        .clock
        .advance(std::time::Duration::from_secs(601));
    assert_eq!(
        server
            .post(&anna, &path, json!({ "text": "too late" }))
            .await
            .code(),
        "MEETING_ENDED"
    );
    assert_eq!(
        server
            .post(
                &anna,
                &path,
                json!({ "external_id": "e", "text": "in time" })
            )
            .await
            .status,
        StatusCode::OK,
        "a repeat is no new word"
    );
}

#[tokio::test]
async fn two_at_once_under_one_external_id_make_one_row() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let Some(db) = TestDb::new(engine).await.expect("a database") else {
            continue;
        };
        let server = TestServer::over(TestApp::on(db, meetmind_app::Settings::default()).await);
        let anna = server.app.user("anna").await;
        let (_, path) = meeting(&server, &anna, "implied").await;
        let path = format!("{path}/transcript");
        // The first word starts the meeting, from both sides at once.
        let body = json!({ "external_id": "e", "text": "once", "start_ms": 5 });
        let (a, b, c) = tokio::join!(
            server.post(&anna, &path, body.clone()),
            server.post(&anna, &path, body.clone()),
            server.post(&anna, &path, body)
        );
        let statuses = [a.status.as_u16(), b.status.as_u16(), c.status.as_u16()];
        assert_eq!(
            statuses.iter().filter(|status| **status == 201).count(),
            1,
            "{statuses:?} {}",
            a.json()
        );
        assert!(statuses.iter().all(|status| *status < 300), "{statuses:?}");
        assert_eq!(
            (a.data()["id"].clone(), a.data()["id"].clone()),
            (b.data()["id"].clone(), c.data()["id"].clone())
        );
        // Racing drafts: each change counts once, and lists in another order do not block each other.
        let drafts = (0..6).map(|n| {
            let ids = if n % 2 == 0 { ["x", "y"] } else { ["y", "x"] };
            let list: Vec<Value> = ids.iter().map(|id| json!({ "external_id": id, "final": false, "text": format!("draft {n}"), "start_ms": 9 })).collect();
            server.post(&anna, &path, json!(list))
        });
        let answers = futures_util::future::join_all(drafts).await;
        assert!(
            answers.iter().all(|answer| answer.status.is_success()),
            "{:?}",
            answers.iter().map(TestAnswer::json).collect::<Vec<_>>()
        );
        let items = server.get(&anna, &path).await.data()["items"].clone();
        assert_eq!(items.as_array().map(Vec::len), Some(3), "{items}");
        assert_eq!(
            (items[1]["version"].as_i64(), items[2]["version"].as_i64()),
            (Some(6), Some(6))
        );
        let started = server
            .get(&anna, path.trim_end_matches("/transcript"))
            .await
            .data()["version"]
            .clone();
        assert_eq!(started, 2, "it was started once");
    }
}

#[tokio::test]
async fn bad_segments_are_refused_with_the_field() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let (_, path) = meeting(&server, &anna, "implied").await;
    let path = format!("{path}/transcript");
    let long = "x".repeat(1_000_000);
    let many: Vec<Value> = (0..501).map(|_| json!({ "text": "x" })).collect();
    let cases = [
        (json!({}), 422),
        (json!([]), 422),
        (json!(7), 422),
        (json!("x"), 422),
        (json!({ "text": "  " }), 422),
        (json!({ "text": "a\u{0}b" }), 422),
        (json!({ "text": long }), 422),
        (json!({ "text": "x", "start_ms": -1 }), 422),
        (json!({ "text": "x", "start_ms": 604_800_001_i64 }), 422),
        (json!({ "text": "x", "start_ms": 5, "end_ms": 4 }), 422),
        (json!({ "text": "x", "confidence": 1.5 }), 422),
        (json!({ "text": "x", "confidence": "high" }), 422),
        (json!({ "text": "x", "speaker": "" }), 422),
        (json!({ "text": "x", "external_id": "y".repeat(201) }), 422),
        (json!({ "text": "x", "language": "\n" }), 422),
        (json!(many), 422),
        (json!([{ "text": "x" }, { "text": 3 }]), 422),
        (json!({ "text": "x".repeat(16_384) }), 201),
        (json!({ "text": "😀".repeat(16_384) }), 201),
        (json!({ "text": "x", "start_ms": 604_800_000 }), 201),
        (json!({ "text": "x", "end_ms": 0 }), 201),
    ];
    for (number, (body, status)) in cases.into_iter().enumerate() {
        let answer = server.post(&anna, &path, body).await;
        assert_eq!(
            answer.status.as_u16(),
            status,
            "case {number}: {}",
            answer.json()
        );
    }
    let second = server
        .post(&anna, &path, json!([{ "text": "x" }, { "text": "" }]))
        .await;
    assert_eq!(second.json()["error"]["details"][0]["field"], "1.text");
    for query in [
        "from_ms=-1",
        "to_ms=x",
        "final=maybe",
        "format=pdf",
        "cursor=00",
        "cursor=ffff",
        "speaker=",
        "limit=101",
    ] {
        let answer = server.get(&anna, &format!("{path}?{query}")).await;
        assert!(
            matches!(answer.status.as_u16(), 400 | 422),
            "{query}: {}",
            answer.json()
        );
    }
}

#[tokio::test]
async fn a_correction_is_guarded_told_and_marked() {
    let server = TestServer::new().await;
    let (anna, vera, eve) = (
        server.app.user("anna").await,
        server.app.user("vera").await,
        server.app.user("eve").await,
    );
    let (id, path) = meeting(&server, &anna, "implied").await;
    participant(&server, id, vera.user_id(), "Vera", MeetingRole::Viewer).await;
    let said = server
        .post(
            &anna,
            &format!("{path}/transcript"),
            json!({ "text": "Hallburg" }),
        )
        .await
        .data();
    let one = format!("{path}/transcript/{}", said["id"].as_str().expect("an id"));
    assert_eq!(
        server
            .call(&vera, Method::PATCH, &one, json!({ "text": "y" }))
            .await
            .code(),
        "FORBIDDEN"
    );
    assert_eq!(
        server
            .call(&vera, Method::DELETE, &one, Value::Null)
            .await
            .code(),
        "FORBIDDEN"
    );
    assert_eq!(
        server
            .call(&eve, Method::PATCH, &one, json!({ "text": "y" }))
            .await
            .code(),
        "NOT_FOUND"
    );
    assert_eq!(
        server
            .call(
                &anna,
                Method::PATCH,
                &one,
                json!({ "end_ms": 0, "start_ms": 9 })
            )
            .await
            .code(),
        "VALIDATION_FAILED"
    );
    let guarded = |version: &str| {
        Request::patch(&one)
            .header("content-type", "application/json")
            .header("if-match", version)
            .body(Body::from(r#"{"text":"Hallberg","speaker":"vera"}"#))
            .expect("a request")
    };
    assert_eq!(
        server.send(&anna, guarded("\"9\"")).await.code(),
        "PRECONDITION_FAILED"
    );
    let corrected = server.send(&anna, guarded("\"1\"")).await;
    assert_eq!(
        (corrected.status, &corrected.headers["etag"]),
        (
            StatusCode::OK,
            &axum::http::HeaderValue::from_static("\"2\"")
        ),
        "{}",
        corrected.json()
    );
    let data = corrected.data();
    assert_eq!(
        (
            data["text"].as_str(),
            data["speaker"].as_str(),
            data["version"].as_i64()
        ),
        (Some("Hallberg"), Some("Vera"), Some(2))
    );
    assert!(data["corrected_at"].is_string());
    assert_eq!(
        server
            .call(&anna, Method::PATCH, &one, json!({ "text": "Hallberg" }))
            .await
            .data(),
        data,
        "nothing changed"
    );
    let kinds: Vec<EventKind> = events(&server, id)
        .await
        .into_iter()
        .map(|event| event.kind)
        .collect();
    assert_eq!(
        kinds
            .iter()
            .filter(|kind| **kind == EventKind::SegmentCorrected)
            .count(),
        1
    );
    // The same segment under another meeting's address is not there.
    let (_, other) = meeting(&server, &eve, "implied").await;
    let strayed = format!("{other}/transcript/{}", said["id"].as_str().expect("an id"));
    for method in [Method::GET, Method::PATCH, Method::DELETE] {
        let body = if method == Method::PATCH {
            json!({ "text": "z" })
        } else {
            Value::Null
        };
        assert_eq!(
            server.call(&eve, method, &strayed, body).await.code(),
            "NOT_FOUND"
        );
    }
}

#[tokio::test]
async fn an_erased_segment_is_gone_from_everywhere() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let (id, path) = meeting(&server, &anna, "implied").await;
    let transcript = format!("{path}/transcript");
    let said = server
        .post(
            &anna,
            &transcript,
            json!({ "text": "my password is walrus", "external_id": "e" }),
        )
        .await
        .data();
    server
        .post(&anna, &transcript, json!({ "text": "harmless words" }))
        .await;
    let one = format!("{transcript}/{}", said["id"].as_str().expect("an id"));
    server
        .call(
            &anna,
            Method::PATCH,
            &one,
            json!({ "text": "my password is a walrus" }),
        )
        .await;
    let receipt = server.call(&anna, Method::DELETE, &one, Value::Null).await;
    assert_eq!(
        (receipt.status, receipt.data()["events"].as_i64()),
        (StatusCode::OK, Some(2)),
        "{}",
        receipt.json()
    );
    assert_eq!(server.get(&anna, &one).await.code(), "NOT_FOUND");
    assert_eq!(
        server
            .call(&anna, Method::DELETE, &one, Value::Null)
            .await
            .code(),
        "NOT_FOUND"
    );
    assert_eq!(
        server.get(&anna, "/api/search?q=walrus").await.data()["items"],
        json!([])
    );
    for format in ["json", "vtt", "srt", "txt", "md"] {
        let file = server
            .get(&anna, &format!("{transcript}?format={format}"))
            .await;
        let text = String::from_utf8_lossy(&file.bytes).into_owned();
        assert!(
            !text.contains("walrus") && text.contains("harmless"),
            "{format}: {text}"
        );
    }
    let stored = events(&server, id).await;
    let text = serde_json::to_string(&stored).expect("JSON");
    assert!(
        !text.contains("walrus") && text.contains("harmless"),
        "{text}"
    );
    assert_eq!(
        stored.last().map(|event| event.kind),
        Some(EventKind::SegmentErased)
    );
}

#[tokio::test]
async fn what_is_exported_can_be_imported_again() {
    let server = TestServer::new().await;
    let (anna, eve) = (server.app.user("anna").await, server.app.user("eve").await);
    let (_, path) = meeting(&server, &anna, "implied").await;
    let transcript = format!("{path}/transcript");
    let list = json!([
        { "speaker": "Priya Raman", "text": "Right, <b>morning</b> & --> welcome.", "start_ms": 1400, "end_ms": 6263 },
        { "speaker": "Tomasz Zieliński", "text": "It's the chiller: \"quoted\" 😀", "start_ms": 6447, "end_ms": 10467 },
        { "speaker": "Priya Raman", "text": "Over night.", "start_ms": 90_000_000, "end_ms": 90_001_000 }
    ]);
    assert_eq!(
        server.post(&anna, &transcript, list).await.status,
        StatusCode::CREATED
    );
    for (format, media_type) in [
        ("json", "application/json"),
        ("vtt", "text/vtt"),
        ("srt", "application/x-subrip"),
        ("txt", "text/plain"),
        ("md", "text/markdown"),
    ] {
        let file = server
            .get(&anna, &format!("{transcript}?format={format}"))
            .await;
        assert!(
            file.headers["content-type"]
                .to_str()
                .expect("text")
                .starts_with(media_type),
            "{format}"
        );
        assert_eq!(
            file.headers["content-disposition"],
            format!("attachment; filename=\"bottling.{format}\"")
        );
        let made = send(
            &server,
            &anna,
            &format!("/api/meetings/import?file_name=a.{format}"),
            media_type,
            file.bytes.clone(),
        )
        .await;
        assert_eq!(
            made.status,
            StatusCode::CREATED,
            "{format}: {}",
            made.json()
        );
        let data = made.data();
        assert_eq!(
            (data["segments"].as_i64(), data["participants"].as_i64()),
            (Some(3), Some(3)),
            "{format}"
        );
        assert_eq!(
            (
                data["meeting"]["status"].as_str(),
                data["meeting"]["archived_at"].as_str()
            ),
            (Some("ended"), None)
        );
        let copy = made.headers["location"].to_str().expect("text").to_owned();
        assert_eq!(server.get(&eve, &copy).await.code(), "NOT_FOUND");
        let items = server
            .get(&anna, &format!("{copy}/transcript"))
            .await
            .data()["items"]
            .clone();
        assert_eq!(
            (items[1]["speaker"].as_str(), items[1]["text"].as_str()),
            (
                Some("Tomasz Zieliński"),
                Some("It's the chiller: \"quoted\" 😀")
            ),
            "{format}"
        );
        assert_eq!(items[0]["attribution"], "import");
        assert!(items[0]["participant_id"].is_string());
        if format == "json" {
            let again = server
                .get(&anna, &format!("{copy}/transcript?format=json"))
                .await;
            let (mut a, mut b): (Value, Value) = (file.json(), again.json());
            for value in [&mut a, &mut b] {
                for segment in value["segments"].as_array_mut().expect("segments") {
                    segment["id"] = Value::Null;
                }
                value["participants"] = Value::Null;
            }
            assert_eq!(a, b);
            assert_eq!(data["meeting"]["title"], "Bottling");
        }
    }
}

#[tokio::test]
async fn an_import_is_checked_and_belongs_to_its_importer() {
    let server = TestServer::new().await;
    let (anna, ben) = (server.app.user("anna").await, server.app.user("ben").await);
    let vtt = "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Ana>hello there\n";
    let titled = send(
        &server,
        &anna,
        "/api/meetings/import?title=Old%20one&starts_at=2020-01-02T03:04:05Z",
        "text/plain",
        vtt,
    )
    .await
    .data();
    assert_eq!(
        (
            titled["meeting"]["title"].as_str(),
            titled["meeting"]["started_at"].as_str()
        ),
        (Some("Old one"), Some("2020-01-02T03:04:05.000000Z"))
    );
    for (path, kind, body, code) in [
        (
            "/api/meetings/import",
            "application/json",
            "{\"segments\":7}",
            "VALIDATION_FAILED",
        ),
        ("/api/meetings/import", "text/vtt", "", "VALIDATION_FAILED"),
        (
            "/api/meetings/import?format=doc",
            "text/plain",
            vtt,
            "VALIDATION_FAILED",
        ),
        (
            "/api/meetings/import?title=%00",
            "text/plain",
            vtt,
            "VALIDATION_FAILED",
        ),
        (
            "/api/meetings/import?series_id=srs_00000000000000000000000001",
            "text/plain",
            vtt,
            "NOT_FOUND",
        ),
    ] {
        let answer = send(&server, &anna, path, kind, body).await;
        assert_eq!(answer.code(), code, "{path}: {}", answer.json());
    }
    let big = format!("A: {}\n", "x ".repeat(10_000));
    assert_eq!(
        send(&server, &anna, "/api/meetings/import", "text/plain", big)
            .await
            .code(),
        "VALIDATION_FAILED",
        "a turn is no longer than a segment"
    );
    assert_eq!(
        send(
            &server,
            &anna,
            "/api/meetings/import",
            "text/plain",
            vec![b'x'; 21 * 1024 * 1024]
        )
        .await
        .code(),
        "PAYLOAD_TOO_LARGE"
    );
    assert_eq!(
        send(
            &server,
            &Actor::Anonymous,
            "/api/meetings/import",
            "text/plain",
            vtt
        )
        .await
        .code(),
        "UNAUTHENTICATED"
    );
    assert_eq!(
        send(
            &server,
            &key(&anna, &[Scope::MeetingsRead]),
            "/api/meetings/import",
            "text/plain",
            vtt
        )
        .await
        .code(),
        "SCOPE_MISSING"
    );

    let (id, path) = meeting(&server, &anna, "ask").await;
    let ana = participant(&server, id, None, "Ana", MeetingRole::Participant).await;
    participant(&server, id, ben.user_id(), "Ben", MeetingRole::Cohost).await;
    let into = format!("{path}/import");
    assert_eq!(
        send(&server, &ben, &into, "text/vtt", vtt).await.code(),
        "FORBIDDEN"
    );
    assert_eq!(
        send(&server, &anna, &into, "text/vtt", vtt).await.code(),
        "CONSENT_DENIED"
    );
    consent(
        &server,
        id,
        ana,
        ConsentState::Granted,
        ConsentState::Pending,
    )
    .await;
    end(&server, id).await;
    server
        .app
        .clock
        .advance(std::time::Duration::from_secs(3600));
    let done = send(&server, &anna, &into, "text/vtt", vtt).await;
    assert_eq!(done.status, StatusCode::CREATED, "{}", done.json());
    let items = server
        .get(&anna, &format!("{path}/transcript"))
        .await
        .data()["items"]
        .clone();
    assert_eq!(
        items[0]["participant_id"].as_str(),
        Some(ana.to_string().as_str())
    );
}

#[tokio::test]
async fn a_meeting_of_eight_hours_comes_in_batches_and_pages_well() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let segments: Vec<Value> = (0..6_000_i64)
        .map(|n| json!({ "speaker": format!("S{}", n % 5), "text": format!("turn number {n}"), "start_ms": n / 2 * 9_600, "end_ms": n / 2 * 9_600 + 4_000 }))
        .collect();
    let file = json!({ "format": "meetmind.meeting/1", "title": "All day", "segments": segments })
        .to_string();
    let made = send(
        &server,
        &anna,
        "/api/meetings/import",
        "application/json",
        file,
    )
    .await;
    assert_eq!(
        (made.status, made.data()["segments"].as_i64()),
        (StatusCode::CREATED, Some(6_000)),
        "{}",
        made.json()
    );
    let path = format!(
        "{}/transcript",
        made.headers["location"].to_str().expect("text")
    );
    let (mut seen, mut cursor, mut last) = (
        std::collections::HashSet::new(),
        String::new(),
        (0, String::new()),
    );
    loop {
        let page = server
            .get(&anna, &format!("{path}?limit=100{cursor}"))
            .await
            .data();
        for item in page["items"].as_array().expect("items") {
            let place = (
                item["start_ms"].as_i64().expect("a start"),
                item["id"].as_str().expect("an id").to_owned(),
            );
            assert!(place > last, "in order");
            last = place.clone();
            assert!(seen.insert(place.1), "none twice");
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 6_000);
    let hour = server
        .get(
            &anna,
            &format!("{path}?from_ms=25200000&to_ms=25300000&speaker=s3&limit=100"),
        )
        .await
        .data();
    let items = hour["items"].as_array().expect("items");
    assert!(
        !items.is_empty()
            && items.iter().all(|item| item["speaker"] == "S3"
                && (25_200_000..25_300_000).contains(&item["start_ms"].as_i64().expect("a start")))
    );
    let listed = server.get(&anna, "/api/meetings").await.data();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1));
}
