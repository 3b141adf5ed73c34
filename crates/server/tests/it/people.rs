//! A meeting with somebody in every role, for tests of who may do what.

use std::sync::Arc;

use axum::http::Method;
use meetmind_app::Settings;
use meetmind_app::testing::TestApp;
use meetmind_core::{
    Actor, ApiKeyId, Id, MeetingId, MeetingRole, Participant, ParticipantId, ParticipantState,
    Proof, Recording, RecordingFile, RecordingFileKind, RecordingMode, RecordingReason,
    RecordingStatus, Scope, UserId,
};
use meetmind_server::testing::{TestAnswer, TestServer};
use meetmind_store::testing::TestDb;
use meetmind_store::{Engine, RecordingOutcome};
use serde_json::{Value, json};

/// A server on SQLite, and one on Postgres where a test server is at hand.
pub(crate) async fn servers() -> Vec<Arc<TestServer>> {
    let mut servers = Vec::new();
    for engine in [Engine::Sqlite, Engine::Postgres] {
        if let Some(db) = TestDb::new(engine).await.expect("a test database") {
            let app = TestApp::on(db, Settings::default()).await;
            servers.push(Arc::new(TestServer::over(app)));
        }
    }
    servers
}

/// Accounts of one server, to be used in any number of its meetings.
pub(crate) struct People {
    pub(crate) host: Actor,
    pub(crate) cohost: Actor,
    pub(crate) participant: Actor,
    pub(crate) viewer: Actor,
    /// A participant to whom things are done.
    pub(crate) other: Actor,
    pub(crate) stranger: Actor,
}

/// A meeting of these people.
pub(crate) struct Gathering {
    pub(crate) meeting_id: MeetingId,
    /// Such as `/api/meetings/mtg_…`.
    pub(crate) path: String,
    /// Somebody without an account, who is in.
    pub(crate) guest: Actor,
}

impl People {
    pub(crate) async fn new(server: &TestServer) -> Self {
        Self {
            host: server.app.user("host").await,
            cohost: server.app.user("cohost").await,
            participant: server.app.user("participant").await,
            viewer: server.app.user("viewer").await,
            other: server.app.user("other").await,
            stranger: server.app.user("stranger").await,
        }
    }

    /// Makes a meeting with all but the stranger on its list.
    pub(crate) async fn gather(&self, server: &TestServer, fields: Value) -> Gathering {
        let mut body = json!({ "title": "Weekly" });
        for (name, value) in fields.as_object().expect("fields") {
            body[name] = value.clone();
        }
        let made = server.post(&self.host, "/api/meetings", body).await;
        let meeting_id: MeetingId = text(&made.data()["id"]).parse().expect("an id");
        let path = format!("/api/meetings/{meeting_id}");
        for (actor, role) in [
            (&self.cohost, "cohost"),
            (&self.participant, "participant"),
            (&self.viewer, "viewer"),
            (&self.other, "participant"),
        ] {
            let body = json!({ "user_id": user_id(actor), "role": role });
            let added = server
                .post(&self.host, &format!("{path}/participants"), body)
                .await;
            assert_eq!(added.status.as_u16(), 201, "{}", added.json());
        }
        let guest = guest(server, meeting_id, "Gast").await;
        Gathering {
            meeting_id,
            path,
            guest,
        }
    }
}

impl Gathering {
    /// The participant of a user here.
    pub(crate) async fn participant_id(&self, server: &TestServer, actor: &Actor) -> ParticipantId {
        let mut conn = server.app.db.store.read().await.expect("a connection");
        conn.participant_find_user(self.meeting_id, user_id(actor))
            .await
            .expect("a row")
            .expect("a participant")
            .id
    }

    /// The address of a user's participant here.
    pub(crate) async fn participant_path(&self, server: &TestServer, actor: &Actor) -> String {
        let id = self.participant_id(server, actor).await;
        format!("{}/participants/{id}", self.path)
    }
}

/// Somebody without an account, who is in a meeting.
pub(crate) async fn guest(server: &TestServer, meeting_id: MeetingId, name: &str) -> Actor {
    let now = server.app.app.now();
    let participant = Participant {
        id: server.app.app.entropy().id(now),
        meeting_id,
        user_id: None,
        agent_id: None,
        name: name.to_owned(),
        role: MeetingRole::Participant,
        state: ParticipantState::Joined,
        muted: false,
        joined_at: Some(now),
        left_at: None,
        created_at: now,
        updated_at: now,
    };
    let mut tx = server.app.db.store.begin().await.expect("a transaction");
    tx.participant_insert(&participant).await.expect("a guest");
    tx.commit().await.expect("a commit");
    Actor::Guest {
        participant_id: participant.id,
        meeting_id,
        role: MeetingRole::Participant,
    }
}

/// The same user by an API key with these scopes.
pub(crate) fn by_key(actor: &Actor, scopes: &[Scope]) -> Actor {
    let Actor::User { user_id, role, .. } = actor else {
        panic!("not a user: {actor:?}");
    };
    Actor::User {
        user_id: *user_id,
        role: *role,
        proof: Proof::ApiKey(ApiKeyId::from_uuid(user_id.uuid()), scopes.to_vec()),
    }
}

pub(crate) fn user_id(actor: &Actor) -> UserId {
    actor.user_id().expect("a user")
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

/// Status and code of an answer, for short comparisons.
pub(crate) fn outcome(answer: &TestAnswer) -> (u16, String) {
    (answer.status.as_u16(), answer.code())
}

/// PATCH as `actor`.
pub(crate) async fn patch(
    server: &TestServer,
    actor: &Actor,
    path: &str,
    body: Value,
) -> TestAnswer {
    server.call(actor, Method::PATCH, path, body).await
}

/// The kinds and data of a topic's events, oldest first.
pub(crate) async fn events(server: &TestServer, topic: &str) -> Vec<(String, Value)> {
    let mut conn = server.app.db.store.read().await.expect("a connection");
    conn.event_list(topic.parse().expect("a topic"), 0, 10_000)
        .await
        .expect("events")
        .into_iter()
        .map(|event| (event.kind.to_string(), event.data))
        .collect()
}

/// What a file of [`recording`] holds.
pub(crate) const RECORDED: &[u8] = b"OggS, and whatever comes after it";

/// A server whose recordings have a folder, which goes with its database.
pub(crate) async fn recording_server(mut settings: Settings) -> TestServer {
    let db = TestDb::new(Engine::Sqlite).await.expect("a test database");
    let db = db.expect("SQLite is always there");
    settings.recordings.directory = db.directory().expect("a folder").join("recordings");
    TestServer::over(TestApp::on(db, settings).await)
}

/// A recording that has ended, with a mix; gives the ids of both.
pub(crate) async fn recording(app: &TestApp, meeting_id: MeetingId) -> (String, String) {
    let now = app.app.now();
    let recording = Recording {
        id: app.app.entropy().id(now),
        meeting_id,
        mode: RecordingMode::Mix,
        status: RecordingStatus::Recording,
        reason: None,
        started_by: "system".to_owned(),
        stopped_by: None,
        started_at: now,
        ended_at: None,
        duration_ms: 0,
        size_bytes: 0,
        dropped_packets: 0,
        participants: Vec::new(),
        skipped: Vec::new(),
    };
    let size_bytes = i64::try_from(RECORDED.len()).expect("a length");
    let file = RecordingFile {
        id: app.app.entropy().id(now),
        recording_id: recording.id,
        kind: RecordingFileKind::Mix,
        participant_id: None,
        track: None,
        name: "mixed.ogg".to_owned(),
        content_type: "audio/ogg".to_owned(),
        start_ms: 0,
        duration_ms: 900,
        size_bytes,
        sha256: "c0ffee".to_owned(),
    };
    let folder = app.app.settings().recordings.directory.clone();
    let folder = folder
        .join(meeting_id.to_string())
        .join(recording.id.to_string());
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(&file.name), RECORDED).expect("a file");
    let ids = (recording.id.to_string(), file.id.to_string());
    let mut tx = app.db.store.begin().await.expect("a transaction");
    tx.recording_insert(&recording).await.expect("a row");
    let outcome = RecordingOutcome {
        recording: Recording {
            status: RecordingStatus::Completed,
            reason: Some(RecordingReason::Requested),
            ended_at: Some(now),
            duration_ms: 900,
            size_bytes,
            ..recording
        },
        files: vec![file],
    };
    assert!(tx.recording_end(&outcome).await.expect("an end"));
    tx.commit().await.expect("a commit");
    ids
}
