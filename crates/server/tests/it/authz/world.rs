//! One meeting with somebody in every role, and one thing of each kind, for the table of rights.

use axum::http::Method;
use meetmind_app::Settings;
use meetmind_core::{
    Actor, ApiKeyId, Highlight, HighlightStatus, Id, MeetingId, MeetingRole, Participant,
    ParticipantState, Proof, Scope, Topic, TopicId, UserRole,
};
use meetmind_server::testing::TestServer;
use serde_json::{Value, json};

use super::rows::Caller;
use crate::people::{events, guest, recording, recording_server};

/// Somebody who calls.
pub(super) struct Player {
    pub(super) caller: Caller,
    pub(super) actor: Actor,
    /// The caller's own participant, and an agent of the caller's: what `{self}` and
    /// `{own_agent}` stand for. Who has none names those of others.
    own: [(&'static str, String); 2],
}

/// The people, and the ids of their things by the names that rows use for them.
pub(super) struct World {
    pub(super) server: TestServer,
    pub(super) players: Vec<Player>,
    names: Vec<(&'static str, String)>,
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

/// Somebody who registered: the actor, and the answer with its tokens.
async fn person(server: &TestServer, name: &str, role: UserRole) -> (Actor, Value) {
    let data = server.register(name).await;
    let id = |value: &Value| text(value);
    let actor = Actor::User {
        user_id: id(&data["user"]["id"]).parse().expect("an id"),
        role,
        proof: Proof::Session(id(&data["session_id"]).parse().expect("an id")),
    };
    (actor, data)
}

impl World {
    pub(super) async fn new() -> Self {
        let mut settings = Settings::default();
        settings.outbound.allow_private = true;
        let server = recording_server(settings).await;
        let (host, host_data) = person(&server, "host", UserRole::Member).await;
        let (cohost, _) = person(&server, "cohost", UserRole::Member).await;
        let (participant, _) = person(&server, "participant", UserRole::Member).await;
        let (viewer, _) = person(&server, "viewer", UserRole::Member).await;
        let (other, _) = person(&server, "other", UserRole::Member).await;
        let (stranger, stranger_data) = person(&server, "stranger", UserRole::Member).await;
        let (admin, admin_data) = person(&server, "admin", UserRole::Admin).await;
        let app = &server.app.app;
        let admin_id = text(&admin_data["user"]["id"]).parse().expect("an id");
        app.user_promote(&app.system_ctx(), admin_id)
            .await
            .expect("an administrator");

        // What `path` made, by who made it.
        let make = async |who: &Actor, path: &str, body: Value| {
            let answer = server.post(who, path, body).await;
            assert!(answer.status.is_success(), "{path}: {}", answer.json());
            answer.data()
        };
        let series = text(&make(&host, "/api/series", json!({ "title": "Weekly" })).await["id"]);
        let mut meetings = Vec::new();
        for title in ["Weekly 1", "Weekly 0"] {
            let body = json!({ "title": title, "series_id": series, "consent_policy": "implied" });
            let id = text(&make(&host, "/api/meetings", body).await["id"]);
            for (who, role) in [
                (&cohost, "cohost"),
                (&participant, "participant"),
                (&viewer, "viewer"),
                (&other, "participant"),
            ] {
                let body = json!({ "user_id": who.user_id(), "role": role });
                make(&host, &format!("/api/meetings/{id}/participants"), body).await;
            }
            meetings.push(id);
        }
        let [meeting, archived] = meetings.try_into().expect("two meetings");
        let path = format!("/api/meetings/{archived}");
        let gone = server.call(&host, Method::DELETE, &path, Value::Null).await;
        assert!(gone.status.is_success(), "{}", gone.json());
        let meeting_id: MeetingId = meeting.parse().expect("an id");
        let visitor = guest(&server, meeting_id, "Gast").await;

        let path = |rest: &str| format!("/api/meetings/{meeting}/{rest}");
        let words = json!({ "text": "I'll send the offer by Friday.", "start_ms": 0, "end_ms": 900, "final": true });
        make(&host, &path("transcript"), words).await;
        let said = server.get(&host, &path("transcript")).await.data();
        let segment = text(&said["items"][0]["id"]);
        make(&host, &path("summary"), Value::Null).await;
        let action = make(&host, &path("actions"), json!({ "text": "Send the offer" })).await;
        let decision = make(&host, &path("decisions"), json!({ "text": "We rent" })).await;
        make(&host, &path("messages"), json!({ "text": "Hello" })).await;
        let agent = text(&make(&host, "/api/agents", json!({ "name": "Max" })).await["id"]);
        let spare = text(&make(&host, "/api/agents", json!({ "name": "Eva" })).await["id"]);
        let helper = text(&make(&cohost, "/api/agents", json!({ "name": "Kim" })).await["id"]);
        let run = make(&host, &path("agents"), json!({ "agent_id": agent })).await;
        let memory = json!({ "content": "The offer goes out on Fridays" });
        make(&host, "/api/mem0/memories", memory).await;
        let memories = server.get(&host, "/api/mem0/memories").await.data();
        let hook = json!({ "url": "http://127.0.0.1:9/hook", "events": ["*"] });
        let webhook = text(&make(&host, "/api/webhooks", hook).await["id"]);
        let delivery = make(&host, &format!("/api/webhooks/{webhook}/test"), json!({})).await;
        let key = json!({ "name": "ci", "scopes": ["profile"] });
        make(&host, "/auth/api-keys", key).await;
        let keys = server.get(&host, "/auth/api-keys").await.data();
        let topic = topic(&server, meeting_id).await;
        let highlight = highlight(&server, meeting_id).await;

        let (recording, recording_file) = recording(&server.app, meeting_id).await;

        let seat = seat(&server, meeting_id, &agent).await;
        let joined = Actor::Agent {
            agent_id: agent.parse().expect("an id"),
            run_id: text(&run["id"]).parse().expect("an id"),
            owner_id: host.user_id().expect("a user"),
            meeting_id,
        };
        let mut conn = server.app.db.store.read().await.expect("a connection");
        let mut place = async |who: &Actor| {
            let user_id = who.user_id().expect("a user");
            let found = conn.participant_find_user(meeting_id, user_id).await;
            found.expect("a row").expect("a participant").id.to_string()
        };
        let other_place = place(&other).await;
        let host_place = place(&host).await;
        let Actor::Guest { participant_id, .. } = &visitor else {
            unreachable!("a guest")
        };
        let places = [
            (Caller::Anonymous, Actor::Anonymous, other_place.clone()),
            (Caller::Stranger, stranger, other_place.clone()),
            (Caller::Guest, visitor.clone(), participant_id.to_string()),
            (Caller::Viewer, viewer.clone(), place(&viewer).await),
            (
                Caller::Participant,
                participant.clone(),
                place(&participant).await,
            ),
            (Caller::Agent, joined, seat),
            (Caller::Cohost, cohost.clone(), place(&cohost).await),
            (Caller::Host, host.clone(), host_place.clone()),
            (
                Caller::AdminFullKey,
                by_key(&admin, Scope::ALL),
                other_place.clone(),
            ),
            (Caller::Admin, admin.clone(), other_place.clone()),
            (
                Caller::FullKey,
                by_key(&host, Scope::ALL),
                host_place.clone(),
            ),
        ];
        drop(conn);
        let keyed = Scope::ALL.iter().flat_map(|scope| {
            [
                (
                    Caller::Key(*scope),
                    by_key(&host, &[*scope]),
                    host_place.clone(),
                ),
                (
                    Caller::AdminKey(*scope),
                    by_key(&admin, &[*scope]),
                    other_place.clone(),
                ),
            ]
        });
        let players = places.into_iter().chain(keyed).map(|(caller, actor, own)| {
            let agent = match caller {
                Caller::Cohost => &helper,
                _ => &spare,
            };
            Player {
                caller,
                actor,
                own: [("{self}", own), ("{own_agent}", agent.clone())],
            }
        });
        let players = players.collect();
        let names = vec![
            ("{series}", series),
            ("{meeting}", meeting),
            ("{archived}", archived),
            ("{segment}", segment),
            ("{action}", text(&action["id"])),
            ("{decision}", text(&decision["id"])),
            ("{topic}", topic),
            ("{recording}", recording),
            ("{recording_file}", recording_file),
            ("{highlight}", highlight),
            ("{agent}", agent),
            ("{run}", text(&run["id"])),
            ("{memory}", text(&memories["items"][0]["id"])),
            ("{webhook}", webhook),
            ("{delivery}", text(&delivery["id"])),
            ("{key}", text(&keys["items"][0]["id"])),
            ("{session}", text(&host_data["session_id"])),
            ("{refresh_token}", text(&host_data["refresh_token"])),
            ("{other}", other_place),
            ("{stranger_id}", text(&stranger_data["user"]["id"])),
            ("{host_id}", text(&host_data["user"]["id"])),
            ("{other_id}", other.user_id().expect("a user").to_string()),
        ];
        Self {
            server,
            players,
            names,
        }
    }

    /// What happened in the meeting and to the host's things, but for the calls of tools, which
    /// are told whatever becomes of them.
    pub(super) async fn history(&self) -> Vec<String> {
        let mut told = Vec::new();
        for topic in ["meeting:{meeting}", "run:{run}", "user:{host_id}"] {
            let host = &self.players[0];
            let topic = self.fill(host, topic);
            for (kind, _) in events(&self.server, &topic).await {
                if kind != "tool.called" {
                    told.push(format!("{topic} {kind}"));
                }
            }
        }
        told
    }

    /// Puts the ids of this world in the place of their names.
    pub(super) fn fill(&self, player: &Player, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, id) in player.own.iter().chain(&self.names) {
            text = text.replace(name, id);
        }
        text
    }
}

/// The same user by an API key.
fn by_key(of: &Actor, scopes: &[Scope]) -> Actor {
    let Actor::User { user_id, role, .. } = of else {
        unreachable!("a user")
    };
    Actor::User {
        user_id: *user_id,
        role: *role,
        proof: Proof::ApiKey(ApiKeyId::from_uuid(user_id.uuid()), scopes.to_vec()),
    }
}

/// A seat in the meeting for an agent that is in; gives its participant.
async fn seat(server: &TestServer, meeting_id: MeetingId, agent: &str) -> String {
    let now = server.app.app.now();
    let participant = Participant {
        id: server.app.app.entropy().id(now),
        meeting_id,
        user_id: None,
        agent_id: Some(agent.parse().expect("an id")),
        name: "Max".to_owned(),
        role: MeetingRole::Agent,
        state: ParticipantState::Joined,
        muted: false,
        joined_at: Some(now),
        left_at: None,
        created_at: now,
        updated_at: now,
    };
    let mut tx = server.app.db.store.begin().await.expect("a transaction");
    tx.participant_insert(&participant).await.expect("a seat");
    tx.commit().await.expect("a commit");
    participant.id.to_string()
}

async fn highlight(server: &TestServer, meeting_id: MeetingId) -> String {
    let now = server.app.app.now();
    let highlight = Highlight {
        id: server.app.app.entropy().id(now),
        meeting_id,
        text: "We send the offer.".to_owned(),
        speaker: "Ada".to_owned(),
        start_ms: 0,
        segment_ids: Vec::new(),
        score: 2.0,
        status: HighlightStatus::Confirmed,
        stale: false,
        created_at: now,
    };
    let mut tx = server.app.db.store.begin().await.expect("a transaction");
    tx.highlight_insert(&highlight).await.expect("a highlight");
    tx.commit().await.expect("a commit");
    highlight.id.to_string()
}

async fn topic(server: &TestServer, meeting_id: MeetingId) -> String {
    let now = server.app.app.now();
    let id: TopicId = server.app.app.entropy().id(now);
    let topic = Topic {
        id,
        meeting_id,
        ordinal: 0,
        label: "offer".to_owned(),
        start_ms: 0,
        end_ms: 900,
        key_phrases: Vec::new(),
        segment_ids: Vec::new(),
        edited: false,
        stale: false,
        created_at: now,
        updated_at: now,
    };
    let mut tx = server.app.db.store.begin().await.expect("a transaction");
    tx.topic_insert(&topic).await.expect("a topic");
    tx.commit().await.expect("a commit");
    id.to_string()
}
