//! `/api/meetings/{id}/transcript` and the imports.

mod corrections;
mod files;
mod posting;
mod speakers;

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
