//! Events count without gaps, also when writers race.

use meetmind_core::{
    ApiKeyId, EventKind, EventTopic, Id, MeetingId, Proof, RunId, SessionId, Timestamp, UserId,
};
use meetmind_store::both_engines;
use serde_json::json;

fn topic(number: u128) -> EventTopic {
    EventTopic::Meeting(MeetingId::from_uuid(uuid::Uuid::from_u128(number)))
}

both_engines!(racing_writers_leave_no_gap_and_no_double, db => {
    let mut tasks = Vec::new();
    for writer in 0..8 {
        let store = db.store.clone();
        tasks.push(tokio::spawn(async move {
            for step in 0..10 {
                let mut tx = store.begin().await.expect("a transaction");
                let at = Timestamp::from_micros(step);
                tx.event_append(topic(1), EventKind::MessagePosted, at, json!({ "writer": writer })).await.expect("an event");
                // Every third change is given up: its number must not be lost.
                if step % 3 == 0 { drop(tx) } else { tx.commit().await.expect("a commit") }
            }
        }));
    }
    for task in tasks {
        task.await.expect("a writer");
    }
    let mut read = db.store.read().await.expect("a connection");
    let events = read.event_list(topic(1), 0, 1000).await.expect("events");
    let numbers: Vec<i64> = events.iter().map(|event| event.seq).collect();
    assert_eq!(numbers, (1..=48).collect::<Vec<i64>>());
    assert_eq!(read.event_range(topic(1)).await.expect("a range"), (48, 1));
    assert_eq!(read.event_range(topic(2)).await.expect("a range"), (0, 1));
});

both_engines!(trimming_keeps_what_is_young_and_says_where_it_begins, db => {
    let mut tx = db.store.begin().await.expect("a transaction");
    for step in 1..=5 {
        tx.event_append(topic(1), EventKind::MessagePosted, Timestamp::from_micros(step * 1000), json!({})).await.expect("an event");
    }
    assert_eq!(tx.event_trim(Timestamp::from_micros(3500), 100).await.expect("a trim"), 3);
    tx.commit().await.expect("a commit");
    let mut read = db.store.read().await.expect("a connection");
    assert_eq!(read.event_range(topic(1)).await.expect("a range"), (5, 4));
    assert_eq!(read.event_list(topic(1), 0, 10).await.expect("events").len(), 2);
});

both_engines!(a_listener_counts_only_while_its_session_and_account_do, db => {
    let (user_id, session) = (UserId::from_uuid(uuid::Uuid::from_u128(1)), SessionId::from_uuid(uuid::Uuid::from_u128(2)));
    let mut tx = db.store.begin().await.expect("a transaction");
    db.store.seed_user(&mut tx, user_id, "a@example.com").await.expect("a user");
    for proof in [Proof::Session(session), Proof::ApiKey(ApiKeyId::from_uuid(uuid::Uuid::from_u128(3)), vec![])] {
        assert!(!tx.event_listener_is_live(user_id, &proof, Timestamp::from_micros(5)).await.expect("an answer"));
    }
    assert_eq!(tx.event_run_place_find(RunId::from_uuid(uuid::Uuid::from_u128(4))).await.expect("an answer"), None);
});
