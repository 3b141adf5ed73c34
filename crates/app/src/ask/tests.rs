//! What one question may read, and how many are answered at once.

use meetmind_core::{
    AgentId, Attribution, Id, Meeting, MeetingRole, Participant, ParticipantState, RunId, Segment,
};
use meetmind_store::both_engines;

use super::sources::{MEETINGS_MAX, SEGMENTS_MAX};
use super::*;
use crate::testing::TestApp;
use crate::{MeetingNew, Settings};

fn id<T: Id>(number: u128) -> T {
    T::from_uuid(uuid::Uuid::from_u128(number))
}

async fn meeting(test: &TestApp, host: &Actor, series_id: Option<SeriesId>) -> Meeting {
    let new = MeetingNew {
        title: "Weekly".to_owned(),
        series_id,
        ..MeetingNew::default()
    };
    test.clock.advance(std::time::Duration::from_secs(1));
    let made = test.app.meeting_create(&test.ctx(host), new).await;
    made.expect("a meeting")
}

fn participant(meeting_id: MeetingId, number: u128, role: MeetingRole) -> Participant {
    Participant {
        id: id(number),
        meeting_id,
        user_id: None,
        agent_id: None,
        name: format!("P{number}"),
        role,
        state: ParticipantState::Joined,
        muted: false,
        joined_at: None,
        left_at: None,
        created_at: Timestamp::from_micros(0),
        updated_at: Timestamp::from_micros(0),
    }
}

fn segment(meeting_id: MeetingId, number: i64, text: &str) -> Segment {
    Segment {
        id: id(1000 + number.unsigned_abs() as u128),
        meeting_id,
        participant_id: None,
        speaker: "Ben".to_owned(),
        text: text.to_owned(),
        start_ms: number * 1000,
        end_ms: number * 1000 + 900,
        confidence: None,
        language: None,
        is_final: true,
        external_id: None,
        attribution: Attribution::Declared,
        version: 1,
        corrected_at: None,
        created_at: Timestamp::from_micros(0),
        updated_at: Timestamp::from_micros(0),
    }
}

both_engines!(an_agent_keeps_earlier_meetings_from_the_last_guest_of_a_large_room, db => {
    let test = TestApp::on(db, Settings::default()).await;
    let anna = test.user("anna").await;
    let series = test.app.series_create(&test.ctx(&anna), "Weekly").await.expect("a series");
    let (earlier, room) = (meeting(&test, &anna, Some(series.id)).await, meeting(&test, &anna, Some(series.id)).await);
    let owner_id = anna.user_id().expect("a user");
    let (agent_id, mut tx) = (id::<AgentId>(1), test.app.store().begin().await.expect("a transaction"));
    test.app.store().seed_agent(&mut tx, agent_id, owner_id).await.expect("an agent");
    tx.segment_insert(&segment(earlier.id, 1, "The budget of the pump is forty thousand euros.")).await.expect("a segment");
    let own = Participant { agent_id: Some(agent_id), ..participant(room.id, 1, MeetingRole::Agent) };
    tx.participant_insert(&own).await.expect("a participant");
    for number in 2..1_100 {
        tx.participant_insert(&participant(room.id, number, MeetingRole::Agent)).await.expect("a participant");
    }
    tx.commit().await.expect("a commit");
    let agent = Actor::Agent { agent_id, run_id: id::<RunId>(1), owner_id, meeting_id: room.id };
    let question = "What is the budget of the pump?";
    let scope = AskScope::Series(series.id);
    let among_us = test.app.ask(&test.ctx(&agent), question, scope).await.expect("an answer");
    assert!(among_us.found, "everybody in the room was there");
    let mut tx = test.app.store().begin().await.expect("a transaction");
    let guest = Participant { id: id(u128::MAX), ..participant(room.id, 0, MeetingRole::Participant) };
    tx.participant_insert(&guest).await.expect("a guest");
    tx.commit().await.expect("a commit");
    let with_guest = test.app.ask(&test.ctx(&agent), question, scope).await.expect("an answer");
    assert!(!with_guest.found, "{with_guest:?}");
});

#[tokio::test]
async fn what_lies_beyond_the_bounds_is_named() {
    let test = TestApp::new().await;
    let anna = test.user("anna").await;
    let first = meeting(&test, &anna, None).await;
    let mut tx = test.app.store().begin().await.expect("a transaction");
    let rows: Vec<_> = (0..SEGMENTS_MAX as i64 + 1)
        .map(|number| Segment {
            start_ms: number,
            end_ms: number,
            ..segment(first.id, number, "The pump is blue.")
        })
        .collect();
    tx.segment_insert_many(&rows, test.app.now())
        .await
        .expect("an import");
    tx.commit().await.expect("a commit");
    let mut conn = test.app.store().read().await.expect("a connection");
    let ctx = test.ctx(&anna);
    let sources = one_meeting(&mut conn, &ctx, first.id)
        .await
        .expect("sources");
    let read = &sources.meetings[0].1;
    assert_eq!(
        (read.len(), read[0].start_ms),
        (SEGMENTS_MAX, 1),
        "the latest, in their order"
    );
    assert!(sources.note().expect("a note").contains("Weekly"));
    drop(conn);

    for _ in 0..MEETINGS_MAX {
        meeting(&test, &anna, None).await;
    }
    let answer = test.app.ask(&ctx, "What is blue?", AskScope::All).await;
    let note = answer.expect("an answer").note.expect("a note");
    assert!(note.contains("the newest 500 meetings"), "{note}");
}

#[tokio::test]
async fn more_questions_than_may_wait_are_told_when_to_come_back() {
    let test = TestApp::new().await;
    let anna = test.user("anna").await;
    let ctx = test.ctx(&anna);
    let all = u32::try_from(AT_ONCE + WAITING_MAX).expect("a small number");
    let queue = test.app.inner.ask.queue.acquire_many(all).await;
    let refused = test.app.ask(&ctx, "What is blue?", AskScope::All).await;
    let refused = refused.expect_err("too many");
    assert_eq!(
        (refused.code, refused.retry_after_s()),
        (Code::Unavailable, Some(COME_BACK_S))
    );
    drop(queue);
    let answer = test.app.ask(&ctx, "What is blue?", AskScope::All).await;
    assert!(!answer.expect("an answer").found);
}
