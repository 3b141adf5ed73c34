//! The assistant's answers, from the chat to the chat.

use super::*;
use crate::MessageNew;

async fn spoken(room: &Room, number: i64, speaker: &str, text: &str) {
    let now = room.app().now();
    let segment = Segment {
        id: room.app().entropy().id(now),
        meeting_id: room.meeting.id,
        participant_id: None,
        speaker: speaker.to_owned(),
        text: text.to_owned(),
        start_ms: number * 5000,
        end_ms: number * 5000 + 4000,
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
    let mut tx = room.test.db.store.begin().await.expect("a transaction");
    tx.segment_insert(&segment).await.expect("a segment");
    tx.commit().await.expect("a commit");
}

async fn ask(room: &Room, text: &str) -> Message {
    let new = MessageNew {
        kind: MessageKind::Text,
        text: text.to_owned(),
        reply_to: None,
        segment_ids: Vec::new(),
    };
    let asked = room
        .app()
        .message_post(&room.ctx(), room.meeting.id, new)
        .await
        .expect("a question");
    room.test.clock.advance(Duration::from_secs(1));
    room.tick().await;
    asked
}

async fn answers(room: &Room) -> Vec<Message> {
    let mut conn = room.test.db.store.read().await.expect("a connection");
    let all = conn
        .event_list(EventTopic::Meeting(room.meeting.id), 0, 1000)
        .await
        .expect("events");
    all.into_iter()
        .filter(|event| event.kind == EventKind::MessagePosted)
        .map(|event| serde_json::from_value::<Message>(event.data).expect("a message"))
        .filter(|message| message.kind == MessageKind::Answer)
        .collect()
}

#[tokio::test]
async fn an_assistant_quotes_what_was_said_or_says_that_it_found_nothing() {
    let room = Room::new(AgentRole::Assistant).await;
    let run = room.live_run().await;
    spoken(
        &room,
        1,
        "Ben",
        "Let us begin with the budget for the remote control.",
    )
    .await;
    spoken(
        &room,
        2,
        "Anna",
        "We decided to use rubber buttons for the remote control.",
    )
    .await;
    spoken(&room, 3, "Ben", "The launch date is the twelfth of May.").await;
    let asked = ask(&room, "@Max what did we decide about the buttons?").await;
    let given = answers(&room).await;
    assert_eq!(given.len(), 1, "{:?}", room.life(run.id).await);
    assert_eq!(given[0].reply_to, Some(asked.id));
    assert!(
        given[0].text.contains("rubber buttons"),
        "{}",
        given[0].text
    );
    assert!(
        given[0].text.contains("no language model"),
        "{}",
        given[0].text
    );
    assert!(!given[0].segment_ids.is_empty());
    ask(&room, "@Max who won the elections in Portugal?").await;
    let given = answers(&room).await;
    assert_eq!(given.len(), 2);
    assert!(
        given[1].text.starts_with("I found nothing"),
        "{}",
        given[1].text
    );
    room.tick().await;
    let run = room.run(run.id).await;
    assert_eq!(
        (run.counters.answers, run.activity),
        (2, Some(RunActivity::Listening))
    );
    let said = room
        .app()
        .run_say(&room.ctx(), run.id, "hello all")
        .await
        .expect("words");
    assert_eq!(
        (said.author.as_str(), said.kind),
        ("Max", MessageKind::Text)
    );
    let life = room.life(run.id).await;
    assert_eq!(
        life.last().map(|(_, reason)| reason.as_str()),
        Some("spoken_for")
    );
}

#[tokio::test]
async fn a_message_that_was_answered_is_not_answered_again_after_a_crash() {
    let room = Room::new(AgentRole::Assistant).await;
    room.live_run().await;
    ask(&room, "@Max what now?").await;
    assert_eq!(answers(&room).await.len(), 1);
    // The process dies before a heartbeat says how far it has come.
    let run = room.run(room.app().inner.agents.all()[0].run.id).await;
    let mut tx = room.test.db.store.begin().await.expect("a transaction");
    tx.run_progress_set(run.id, 0, &run.counters)
        .await
        .expect("an update");
    tx.commit().await.expect("a commit");
    room.test.clock.advance(Duration::from_secs(16));
    let other = room.other_process().await;
    other.tick_runs(&other.system_ctx()).await.expect("a turn");
    assert_eq!(room.run(run.id).await.attempt, 2);
    assert_eq!(answers(&room).await.len(), 1);
}

#[tokio::test]
async fn an_agent_answers_as_often_as_its_quota_allows_in_an_hour() {
    let room = Room::new(AgentRole::Assistant).await;
    let patch = AgentPatch {
        quotas: Some(Some(AgentQuotas {
            concurrent_runs: None,
            answers_per_hour: Some(1),
        })),
        address_policy: Some(Some(AddressPolicy::Questions)),
        ..AgentPatch::default()
    };
    room.app()
        .agent_update(&room.ctx(), room.agent.id, patch, None)
        .await
        .expect("a version");
    room.live_run().await;
    let run = room.app().inner.agents.all()[0].run.id;
    assert_eq!(room.app().inner.agents.all()[0].agent.version, 2);
    ask(&room, "what now?").await;
    ask(&room, "and then?").await;
    assert_eq!(answers(&room).await.len(), 1);
    let life = room.life(run).await;
    assert!(life.iter().any(|(_, reason)| reason == "answers_used_up"));
    room.test.clock.advance(Duration::from_secs(3601));
    room.tick().await;
    ask(&room, "and now?").await;
    assert_eq!(answers(&room).await.len(), 2);
}
