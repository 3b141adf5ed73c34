//! What live runs do: a scribe follows, an assistant listens for its name.

use tokio::sync::broadcast::error::RecvError;

use super::*;
use crate::Published;

#[tokio::test]
async fn a_scribe_counts_each_segment_once_whatever_their_order_and_number() {
    let room = Room::new(AgentRole::Scribe).await;
    room.said(7).await;
    let run = room.live_run().await;
    // More than one batch, and nobody listened to the bus.
    room.said(500).await;
    room.happened(EventKind::SegmentCorrected, &[json!({})])
        .await;
    room.tick().await;
    room.tick().await;
    let counters = room.run(run.id).await.counters;
    assert_eq!(counters.segments, 500, "from when it was asked for");
    room.end_meeting().await;
    room.tick().await;
    let done = room.run(run.id).await;
    assert_eq!(
        (done.state, done.counters.segments),
        (RunState::Completed, 500)
    );
}

#[tokio::test]
async fn a_scribe_waits_between_two_passes_and_not_before_the_first() {
    let room = Room::new(AgentRole::Scribe).await;
    let run = room.live_run().await;
    let held = room.app().inner.agents.find(run.id).expect("a live run");
    let first = held.follow.lock().await.last_pass;
    assert_eq!(first, Some(room.app().now()));
    room.said(1).await;
    room.tick().await;
    assert!(held.follow.lock().await.dirty, "too early for another pass");
    room.test
        .clock
        .advance(room.app().settings().notes_interval);
    room.tick().await;
    let follow = held.follow.lock().await;
    assert_eq!(
        (follow.dirty, follow.last_pass),
        (false, Some(room.app().now()))
    );
}

#[tokio::test]
async fn in_the_background_a_run_lives_through_a_bus_that_lags() {
    let room = Room::new(AgentRole::Scribe).await;
    let mut bus = room.app().bus().subscribe();
    let background = room.app().start();
    let run = room.ask_for_run().await;
    wait_for(&mut bus, &room, run.id, RunState::Live).await;
    room.said(100).await;
    // Signals without end push the events out of everybody's reach.
    let topic = EventTopic::Meeting(room.meeting.id);
    let signal = Signal {
        topic: topic.to_string(),
        kind: SignalKind::Level,
        data: json!({}),
    };
    for _ in 0..5000 {
        room.app().bus().signal(topic, &signal);
    }
    room.end_meeting().await;
    for _ in 0..5000 {
        room.app().bus().signal(topic, &signal);
    }
    wait_for(&mut bus, &room, run.id, RunState::Completed).await;
    assert_eq!(room.run(run.id).await.counters.segments, 100);
    assert!(
        background.drain(Duration::from_secs(5)).await,
        "a clean end"
    );
}

#[tokio::test]
async fn a_drained_background_gives_its_run_to_the_next_process() {
    let room = Room::new(AgentRole::Assistant).await;
    let mut bus = room.app().bus().subscribe();
    let background = room.app().start();
    let run = room.ask_for_run().await;
    wait_for(&mut bus, &room, run.id, RunState::Live).await;
    assert!(
        background.drain(Duration::from_secs(5)).await,
        "a clean end"
    );
    let waiting = room.run(run.id).await;
    assert_eq!((waiting.state, waiting.attempt), (RunState::Queued, 2));
    let next = room.other_process().await;
    let mut bus = next.bus().subscribe();
    let background = next.start();
    wait_for(&mut bus, &room, run.id, RunState::Live).await;
    assert!(
        background.drain(Duration::from_secs(5)).await,
        "a clean end"
    );
}

/// Looks at the run whenever something is published, until it stands where it should.
async fn wait_for(
    bus: &mut tokio::sync::broadcast::Receiver<Published>,
    room: &Room,
    id: RunId,
    state: RunState,
) {
    let wait = async {
        while room.run(id).await.state != state {
            match bus.recv().await {
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => unreachable!("the app holds the bus"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .expect("the run moves");
}

/// A chat message as its event carries it.
async fn wrote(room: &Room, text: &str, kind: MessageKind) {
    let mut conn = room.test.db.store.read().await.expect("a connection");
    let host = conn
        .participant_find_user(room.meeting.id, room.meeting.owner_id)
        .await
        .expect("a row")
        .expect("the host");
    drop(conn);
    let now = room.app().now();
    let message = Message {
        id: room.app().entropy().id(now),
        meeting_id: room.meeting.id,
        participant_id: Some(host.id),
        author: host.name,
        kind,
        text: text.to_owned(),
        reply_to: None,
        segment_ids: Vec::new(),
        created_at: now,
    };
    let data = serde_json::to_value(message).expect("JSON");
    room.happened(EventKind::MessagePosted, &[data]).await;
    room.tick().await;
}

async fn times_addressed(room: &Room, id: RunId) -> usize {
    let life = room.life(id).await;
    life.iter()
        .filter(|(_, reason)| reason == "addressed")
        .count()
}

#[tokio::test]
async fn an_assistant_thinks_only_when_it_is_addressed() {
    let room = Room::new(AgentRole::Assistant).await;
    let run = room.live_run().await;
    wrote(&room, "shall we ship on Friday?", MessageKind::Text).await;
    wrote(&room, "@Eva shall we?", MessageKind::Text).await;
    wrote(&room, "@Max shall we?", MessageKind::Answer).await;
    wrote(&room, "@Max", MessageKind::Text).await;
    assert_eq!(times_addressed(&room, run.id).await, 0);
    wrote(&room, "hey @max, shall we?", MessageKind::Text).await;
    assert_eq!(times_addressed(&room, run.id).await, 1);
    assert_eq!(
        room.run(run.id).await.activity,
        Some(RunActivity::Listening)
    );
    room.happened(
        EventKind::MessagePosted,
        &[json!({ "text": 7 }), Value::Null],
    )
    .await;
    room.tick().await;
    assert_eq!(
        room.run(run.id).await.state,
        RunState::Live,
        "odd events do not end it"
    );
}

#[tokio::test]
async fn a_muted_assistant_is_silent_until_it_may_speak() {
    let room = Room::new(AgentRole::Assistant).await;
    let run = room.live_run().await;
    let app = room.app();
    let muted = app
        .run_mute(&room.ctx(), run.id, true)
        .await
        .expect("a mute");
    assert_eq!(muted.activity, Some(RunActivity::Muted));
    wrote(&room, "@Max shall we?", MessageKind::Text).await;
    assert_eq!(times_addressed(&room, run.id).await, 0);
    assert_eq!(
        code(app.run_say(&room.ctx(), run.id, "hi").await),
        Code::Conflict
    );
    // The mute outlasts a hand-over.
    app.runs_hand_over(&app.system_ctx())
        .await
        .expect("a hand-over");
    room.tick().await;
    assert_eq!(room.run(run.id).await.activity, Some(RunActivity::Muted));
    app.run_mute(&room.ctx(), run.id, false)
        .await
        .expect("an unmute");
    wrote(&room, "@Max shall we?", MessageKind::Text).await;
    assert_eq!(times_addressed(&room, run.id).await, 1);
    app.run_stop(&room.ctx(), run.id, None)
        .await
        .expect("a stop");
    for outcome in [
        app.run_mute(&room.ctx(), run.id, true).await.map(drop),
        app.run_say(&room.ctx(), run.id, "hi").await.map(drop),
    ] {
        assert_eq!(code(outcome), Code::Conflict);
    }
    let long = "x".repeat(4001);
    assert_eq!(
        code(app.run_say(&room.ctx(), run.id, &long).await),
        Code::ValidationFailed
    );
}

#[tokio::test]
async fn an_agent_goes_when_a_host_removes_it_or_its_owner() {
    for removes_owner in [false, true] {
        let room = Room::new(AgentRole::Scribe).await;
        let run = room.live_run().await;
        let mut tx = room.test.db.store.begin().await.expect("a transaction");
        let target = if removes_owner {
            tx.participant_find_user(room.meeting.id, room.meeting.owner_id)
                .await
        } else {
            tx.participant_find_agent(room.meeting.id, room.agent.id)
                .await
        };
        let removed = Participant {
            state: ParticipantState::Removed,
            ..target.expect("a row").expect("a participant")
        };
        tx.participant_update(&removed).await.expect("a removal");
        tx.commit().await.expect("a commit");
        let data = serde_json::to_value(removed).expect("JSON");
        room.happened(EventKind::ParticipantRemoved, &[data]).await;
        room.tick().await;
        let gone = room.run(run.id).await;
        let reason = if removes_owner {
            "owner_removed"
        } else {
            "removed"
        };
        assert_eq!(
            (gone.state, gone.reason_code.as_str()),
            (RunState::Completed, reason)
        );
    }
}
