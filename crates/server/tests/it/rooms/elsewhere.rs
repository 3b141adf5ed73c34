//! What can only happen with a LiveKit server elsewhere: it is away, and its webhooks come as they come.

use livekit_protocol::{DisconnectReason, ParticipantInfo, Room, WebhookEvent};
use meetmind_core::{Actor, ParticipantId, ParticipantState};
use meetmind_server::testing::TestServer;
use serde_json::json;

use super::stage::Stage;
use super::table::Table;

#[tokio::test]
async fn a_change_while_the_livekit_server_is_silent_is_made_up_for() {
    let Some(stage) = Stage::remote().await else {
        return;
    };
    let table = Table::lay(stage).await;
    let anna = table.sit_as("anna").await;
    let mut peer = table.connect(&anna).await;
    table.stage.livekit_signal("STOP");
    assert_eq!(table.post(&anna.actor, "leave").await, 200);
    // The first try has failed when the server's own answer to this call is "unavailable".
    let room = json!({ "room": table.meeting });
    let (status, _) = table
        .stage
        .twirp("RoomService", "ListParticipants", room)
        .await;
    assert_eq!(status, 503);
    table.stage.livekit_signal("CONT");
    assert_eq!(
        peer.until_put_out().await,
        DisconnectReason::ParticipantRemoved
    );
}

#[tokio::test]
async fn webhooks_that_are_forged_doubled_or_late_change_nothing() {
    let Some(stage) = Stage::remote().await else {
        return;
    };
    let table = Table::lay(stage).await;
    let (anna, ben) = (table.sit_as("anna").await, table.sit_as("ben").await);
    let _peer = table.connect(&anna).await;
    let now = table.server.app.app.now().seconds();
    let left = |id: ParticipantId, at: i64| WebhookEvent {
        event: "participant_left".to_owned(),
        id: format!("EV_{id}{at}"),
        created_at: at,
        room: Some(Room {
            name: table.meeting.to_string(),
            ..Room::default()
        }),
        participant: Some(ParticipantInfo {
            identity: id.to_string(),
            ..ParticipantInfo::default()
        }),
        ..WebhookEvent::default()
    };
    // Anna is in the room, whatever it is said; Ben joined after he is said to have left.
    let (lie, late) = (left(anna.id, now + 5), left(ben.id, now - 60));
    assert_eq!(
        table
            .stage
            .tell(&lie, Some("wrong secret of thirty-two bytes!!"))
            .await,
        401
    );
    for event in [&lie, &lie, &late, &late] {
        assert_eq!(table.stage.tell(event, None).await, 200);
    }
    // All that came before has been looked at when this change has reached the room.
    table.change(&anna, json!({ "name": "Anna K." })).await;
    let room = json!({ "room": table.meeting, "identity": anna.id });
    table
        .stage
        .until("the new name", || async {
            let (_, info) = table
                .stage
                .twirp("RoomService", "GetParticipant", room.clone())
                .await;
            info["name"] == "Anna K."
        })
        .await;
    for seat in [&anna, &ben] {
        assert_eq!(table.state(seat.id).await, ParticipantState::Joined);
        assert!(
            !table
                .told_of(seat)
                .await
                .contains(&"participant.left".to_owned())
        );
    }
}

#[tokio::test]
async fn who_expects_no_webhooks_takes_none() {
    let server = TestServer::new().await;
    let hook = "/webhooks/livekit";
    let answer = server.post(&Actor::Anonymous, hook, json!({})).await;
    assert_eq!(answer.status.as_u16(), 404);
}
