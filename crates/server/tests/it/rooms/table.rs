//! A meeting, its people, and what is asked of both.

use std::sync::Arc;

use meetmind_core::{Actor, MeetingId, ParticipantId, ParticipantState};
use meetmind_server::testing::TestServer;
use serde_json::{Value, json};

use super::peer::Peer;
use super::stage::Stage;
use crate::people::{patch, text};

/// A meeting with a host in it.
pub(super) struct Table {
    pub(super) stage: Stage,
    pub(super) server: Arc<TestServer>,
    pub(super) host: Actor,
    pub(super) meeting: MeetingId,
    pub(super) path: String,
}

/// Somebody at the table.
pub(super) struct Seat {
    pub(super) actor: Actor,
    pub(super) id: ParticipantId,
    pub(super) token: String,
}

impl Table {
    pub(super) async fn lay(stage: Stage) -> Self {
        let server = Arc::clone(&stage.server);
        let host = server.app.user("host").await;
        let made = server
            .post(
                &host,
                "/api/meetings",
                json!({ "title": "Weekly", "access": "open" }),
            )
            .await;
        let meeting: MeetingId = text(&made.data()["id"]).parse().expect("an id");
        Self {
            stage,
            server,
            host,
            meeting,
            path: format!("/api/meetings/{meeting}"),
        }
    }

    /// Joins by the API.
    pub(super) async fn sit(&self, actor: &Actor) -> Seat {
        let joined = self
            .server
            .post(actor, &format!("{}/join", self.path), json!({}))
            .await;
        let data = joined.data();
        assert_eq!(joined.status.as_u16(), 200, "{}", joined.json());
        Seat {
            actor: actor.clone(),
            id: text(&data["participant"]["id"]).parse().expect("an id"),
            token: text(&data["livekit"]["token"]),
        }
    }

    pub(super) async fn sit_as(&self, name: &str) -> Seat {
        let actor = self.server.app.user(name).await;
        self.sit(&actor).await
    }

    pub(super) async fn connect(&self, seat: &Seat) -> Peer {
        let peer = Peer::join(&self.stage.url, &seat.token).await;
        let mut peer = peer.expect("the token opens the room");
        peer.until_active(&seat.id.to_string()).await;
        self.until_present(seat.id, Some(true)).await;
        peer
    }

    pub(super) async fn until_present(&self, id: ParticipantId, present: Option<bool>) {
        let what = format!("{id} is present: {present:?}");
        self.stage
            .until(&what, || async {
                self.stage.member(self.meeting, id).await.is_present == present
            })
            .await;
    }

    pub(super) async fn state(&self, id: ParticipantId) -> ParticipantState {
        self.stage.member(self.meeting, id).await.participant.state
    }

    pub(super) async fn told_of(&self, seat: &Seat) -> Vec<String> {
        self.stage.told_of(self.meeting, seat.id).await
    }

    pub(super) async fn post(&self, actor: &Actor, path: &str) -> u16 {
        let path = format!("{}/{path}", self.path);
        self.server
            .post(actor, &path, json!({}))
            .await
            .status
            .as_u16()
    }

    pub(super) async fn change(&self, seat: &Seat, body: Value) {
        let path = format!("{}/participants/{}", self.path, seat.id);
        let answer = patch(&self.server, &self.host, &path, body).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.json());
    }
}
