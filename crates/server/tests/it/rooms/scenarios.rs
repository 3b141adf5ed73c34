//! What is said in a meeting holds in its room, and what happens in the room is known in the meeting.

use axum::http::Method;
use livekit_protocol::DisconnectReason;
use livekit_protocol::signal_response::Message;
use meetmind_app::Published;
use meetmind_core::{EventTopic, ParticipantId, ParticipantState, SignalKind};
use meetmind_store::Engine;
use serde_json::{Value, json};

use super::peer::{PATIENCE, Peer};
use super::stage::Stage;
use super::table::{Seat, Table};
use crate::people::{outcome, text, user_id};

/// Runs a scenario on every stage that this machine has.
macro_rules! on_every_stage {
    ($($name:ident),+ $(,)?) => {
        mod inside_sqlite { $(#[tokio::test] async fn $name() {
            if let Some(stage) = super::Stage::embedded(super::Engine::Sqlite).await { super::$name(stage).await; }
        })+ }
        mod inside_postgres { $(#[tokio::test] async fn $name() {
            if let Some(stage) = super::Stage::embedded(super::Engine::Postgres).await { super::$name(stage).await; }
        })+ }
        mod livekit_server { $(#[tokio::test] async fn $name() {
            if let Some(stage) = super::Stage::remote().await { super::$name(stage).await; }
        })+ }
    };
}

on_every_stage!(
    who_joins_is_seen_and_who_goes_has_left_once,
    what_a_host_does_reaches_the_room,
    the_end_of_a_meeting_ends_its_room_and_webhooks_tell_it_in_order,
    a_disabled_account_and_a_deleted_meeting_are_put_out,
    what_happens_in_the_room_is_signalled,
);

/// What an update says of a participant.
fn update_of<T>(
    message: &Message,
    id: ParticipantId,
    read: impl Fn(&livekit_protocol::ParticipantInfo) -> Option<T>,
) -> Option<T> {
    match message {
        Message::Update(update) => update
            .participants
            .iter()
            .find(|info| info.identity == id.to_string())
            .and_then(read),
        _ => None,
    }
}

async fn who_joins_is_seen_and_who_goes_has_left_once(stage: Stage) {
    let table = Table::lay(stage).await;
    let host = table.sit(&table.host.clone()).await;
    let anna = table.sit_as("anna").await;
    let forged = format!("{}x", anna.token);
    assert_eq!(Peer::join(&table.stage.url, &forged).await.err(), Some(401));

    let _host = table.connect(&host).await;
    let peer = table.connect(&anna).await;
    let mut both = vec![host.id.to_string(), anna.id.to_string()];
    both.sort();
    assert_eq!(table.stage.present(table.meeting).await, both);
    // They had joined by the API already: the room brings no second event.
    assert_eq!(table.told_of(&anna).await, ["participant.joined"]);

    peer.leave().await;
    table.until_present(anna.id, Some(false)).await;
    assert_eq!(table.state(anna.id).await, ParticipantState::Left);
    assert_eq!(
        table.told_of(&anna).await,
        ["participant.joined", "participant.left"]
    );

    // The token still holds: who lost the connection needs no new one.
    let mut peer = table.connect(&anna).await;
    assert_eq!(table.state(anna.id).await, ParticipantState::Joined);

    // Leaving by the API leaves the room, once, and the token is worth nothing any more.
    assert_eq!(table.post(&anna.actor, "leave").await, 200);
    assert_eq!(
        peer.until_put_out().await,
        DisconnectReason::ParticipantRemoved
    );
    table.until_present(anna.id, None).await;
    refused(&table, &anna).await;
    assert_eq!(
        table.told_of(&anna).await,
        [
            "participant.joined",
            "participant.left",
            "participant.joined",
            "participant.left"
        ]
    );
    // Joining again gives a fresh one.
    let again = table.sit(&anna.actor).await;
    let peer = table.connect(&again).await;
    if table.stage.is_remote {
        // How long a LiveKit server waits for who is gone without a word is its own affair.
        return;
    }
    drop(peer);
    table.until_present(anna.id, Some(false)).await;
    assert_eq!(table.state(anna.id).await, ParticipantState::Left);
}

/// A token that should open nothing: our own server says so at once; a real LiveKit server lets it in, and
/// whoever comes is put out.
async fn refused(table: &Table, seat: &Seat) {
    match Peer::join(&table.stage.url, &seat.token).await {
        Err(status) => assert_eq!(status, 401),
        Ok(mut peer) => {
            assert!(table.stage.is_remote, "the server inside let them in");
            peer.until_put_out().await;
        }
    }
}

async fn what_a_host_does_reaches_the_room(stage: Stage) {
    let table = Table::lay(stage).await;
    let host = table.sit(&table.host.clone()).await;
    let anna = table.sit_as("anna").await;
    let mut host_peer = table.connect(&host).await;
    let mut peer = table.connect(&anna).await;

    table.change(&anna, json!({ "role": "viewer" })).await;
    let may = peer
        .until("the new grants", |message| {
            update_of(message, anna.id, |info| {
                let permission = info.permission.as_ref()?;
                (!permission.can_publish).then(|| permission.clone())
            })
        })
        .await;
    assert!(may.can_subscribe && !may.can_publish_data, "{may:?}");
    let role = host_peer
        .until("the new role", |message| {
            update_of(message, anna.id, |info| {
                info.metadata
                    .contains("viewer")
                    .then(|| info.metadata.clone())
            })
        })
        .await;
    assert_eq!(role, r#"{"role":"viewer"}"#);

    table.change(&anna, json!({ "name": "Anna K." })).await;
    host_peer
        .until("the new name", |message| {
            update_of(message, anna.id, |info| {
                (info.name == "Anna K.").then_some(())
            })
        })
        .await;

    // The old token said more than the role of now: back in the room it is the role that counts.
    peer.leave().await;
    table.until_present(anna.id, Some(false)).await;
    let mut peer = Peer::join(&table.stage.url, &anna.token)
        .await
        .expect("they are still on the list");
    table.until_present(anna.id, Some(true)).await;
    let room = json!({ "room": table.meeting, "identity": anna.id });
    table
        .stage
        .until("the grants of now", || async {
            let (_, info) = table
                .stage
                .twirp("RoomService", "GetParticipant", room.clone())
                .await;
            info["permission"]["canPublish"].as_bool() != Some(true)
                && info["permission"]["canSubscribe"] == json!(true)
        })
        .await;

    // A locked meeting gives nobody new a token; who was in stays.
    let path = format!("{}/lock", table.path);
    let locked = table
        .server
        .post(&table.host, &path, json!({ "locked": true }))
        .await;
    assert_eq!(locked.status.as_u16(), 200, "{}", locked.json());
    let late = table.server.app.user("late").await;
    let path = format!("{}/join", table.path);
    let answer = table.server.post(&late, &path, json!({})).await;
    assert_eq!(outcome(&answer).1, "MEETING_LOCKED");

    let path = format!("{}/participants/{}", table.path, anna.id);
    let removed = table
        .server
        .call(&table.host, Method::DELETE, &path, Value::Null)
        .await;
    assert_eq!(removed.status.as_u16(), 200, "{}", removed.json());
    assert_eq!(
        peer.until_put_out().await,
        DisconnectReason::ParticipantRemoved
    );
    refused(&table, &anna).await;
    table
        .stage
        .until("only the host is there", || async {
            table.stage.present(table.meeting).await == [host.id.to_string()]
        })
        .await;
}

async fn the_end_of_a_meeting_ends_its_room_and_webhooks_tell_it_in_order(stage: Stage) {
    let table = Table::lay(stage).await;
    let host = table.sit(&table.host.clone()).await;
    let anna = table.sit_as("anna").await;
    let mut host_peer = table.connect(&host).await;
    let anna_peer = table.connect(&anna).await;
    anna_peer.leave().await;
    table.until_present(anna.id, Some(false)).await;
    let names = json!({ "names": [table.meeting] });
    let (_, listed) = table
        .stage
        .twirp("RoomService", "ListRooms", names.clone())
        .await;
    let metadata = text(&listed["rooms"][0]["metadata"]);
    assert!(metadata.contains("Weekly"), "{metadata}");

    assert_eq!(table.post(&table.host, "end").await, 200);
    assert_eq!(
        host_peer.until_put_out().await,
        DisconnectReason::RoomDeleted
    );
    table
        .stage
        .until("no room is left", || async {
            let (_, listed) = table
                .stage
                .twirp("RoomService", "ListRooms", names.clone())
                .await;
            listed["rooms"].as_array().is_none_or(Vec::is_empty)
        })
        .await;
    refused_after_the_end(&table, &host).await;
    let (host, anna) = (host.id.to_string(), anna.id.to_string());
    let expected = [
        ("room_started", String::new()),
        ("participant_joined", host.clone()),
        ("participant_joined", anna.clone()),
        ("participant_left", anna),
        ("participant_left", host),
        ("room_finished", String::new()),
    ];
    let expected: Vec<(String, String)> = expected
        .into_iter()
        .map(|(event, identity)| (event.to_owned(), identity))
        .collect();
    table
        .stage
        .until("all webhooks", || async {
            let hooks = table.stage.hooks(table.meeting);
            hooks.iter().any(|(event, _)| event == "room_finished")
        })
        .await;
    let hooks = table.stage.hooks(table.meeting);
    if table.stage.is_remote {
        // A LiveKit server orders what it tells of one room only nearly.
        for one in &expected {
            assert!(hooks.contains(one), "{one:?} is missing: {hooks:?}");
        }
    } else {
        assert_eq!(hooks, expected);
    }
}

async fn refused_after_the_end(table: &Table, seat: &Seat) {
    if !table.stage.is_remote {
        refused(table, seat).await;
    }
}

async fn a_disabled_account_and_a_deleted_meeting_are_put_out(stage: Stage) {
    let table = Table::lay(stage).await;
    let host = table.sit(&table.host.clone()).await;
    let anna = table.sit_as("anna").await;
    let mut host_peer = table.connect(&host).await;
    let mut peer = table.connect(&anna).await;
    let ctx = table.server.app.app.system_ctx();
    table
        .server
        .app
        .app
        .user_disable(&ctx, user_id(&anna.actor))
        .await
        .expect("it is disabled");
    assert_eq!(
        peer.until_put_out().await,
        DisconnectReason::ParticipantRemoved
    );
    table
        .stage
        .until("they have left", || async {
            table.state(anna.id).await == ParticipantState::Left
        })
        .await;
    refused(&table, &anna).await;

    let path = format!("{}?erase=true", table.path);
    let erased = table
        .server
        .call(&table.host, Method::DELETE, &path, Value::Null)
        .await;
    assert_eq!(erased.status.as_u16(), 200, "{}", erased.json());
    assert_eq!(
        host_peer.until_put_out().await,
        DisconnectReason::RoomDeleted
    );
}

/// The quality of a connection comes within seconds of joining, from a server that tells it.
async fn what_happens_in_the_room_is_signalled(stage: Stage) {
    let table = Table::lay(stage).await;
    let mut bus = table.server.app.app.bus().subscribe();
    let anna = table.sit_as("anna").await;
    let _peer = table.connect(&anna).await;
    if table.stage.is_remote {
        // A LiveKit server has no webhook for what passes.
        return;
    }
    let heard = async {
        loop {
            if let Published::Signal {
                topic,
                kind: SignalKind::Quality,
                json,
            } = bus.recv().await.expect("the bus goes on")
            {
                assert_eq!(topic, EventTopic::Meeting(table.meeting));
                let signal: Value = serde_json::from_slice(&json).expect("JSON");
                return signal["data"].clone();
            }
        }
    };
    let data = tokio::time::timeout(PATIENCE, heard)
        .await
        .expect("a signal");
    assert_eq!(
        data,
        json!({ "participant_id": anna.id, "quality": "excellent" })
    );
}
