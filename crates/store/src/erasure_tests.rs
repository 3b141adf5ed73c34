//! Erasing reaches every table that holds words, by key or by copy, and nothing beyond.

use meetmind_core::{
    AgentId, Attribution, ConsentPolicy, Delivery, DeliveryStatus, Id, Meeting, MeetingAccess,
    MeetingRole, MeetingStatus, MemoryMode, Participant, ParticipantState, Segment, Timestamp,
    WebhookId,
};
use serde_json::json;

use super::*;
use crate::db::{execute, fetch_one};
use crate::testing::TestDb;
use crate::{IdempotencyClaim, both_engines};

fn id<T: Id>(number: u128) -> T {
    T::from_uuid(uuid::Uuid::from_u128(number))
}

const AT: Timestamp = Timestamp::from_micros(1_000_000);

/// Two meetings, alike: one to erase, one to keep. Rows of the second have ids from 100 on.
async fn two_meetings(db: &TestDb) -> Conn {
    let mut tx = db.store.begin().await.expect("a transaction");
    for number in [1, 2] {
        let email = format!("u{number}@example.com");
        db.store
            .seed_user(&mut tx, id(number), &email)
            .await
            .expect("a user");
    }
    let empty = json!({});
    execute!(
        tx,
        "INSERT INTO agents (id, owner_id, name, role, config, version, auto_join, created_at, updated_at) VALUES ($1, $2, 'Mia', 'scribe', $3, 1, FALSE, $4, $4)",
        id::<AgentId>(1), id::<UserId>(1), Json(&empty), AT
    )
    .expect("an agent");
    execute!(
        tx,
        "INSERT INTO webhooks (id, user_id, url, secret, events, enabled, created_at, updated_at) VALUES ($1, $2, 'https://x.example', 's', $3, TRUE, $4, $4)",
        id::<WebhookId>(1), id::<UserId>(1), Json(json!(["*"])), AT
    )
    .expect("a webhook");
    for base in [0, 100] {
        meeting(&mut tx, base).await;
    }
    tx
}

async fn meeting(tx: &mut Conn, base: u128) {
    let meeting_id: MeetingId = id(base + 1);
    let meeting = Meeting {
        id: meeting_id,
        owner_id: id(1),
        series_id: None,
        title: "Merger".to_owned(),
        description: None,
        status: MeetingStatus::Live,
        starts_at: None,
        ends_at: None,
        time_zone: None,
        started_at: None,
        ended_at: None,
        access: MeetingAccess::Invite,
        lobby: false,
        locked: false,
        consent_policy: ConsentPolicy::Implied,
        memory_mode: MemoryMode::Auto,
        memory_retention_days: None,
        glossary: Vec::new(),
        version: 1,
        created_at: AT,
        updated_at: AT,
        archived_at: None,
    };
    tx.meeting_insert(&meeting, "code")
        .await
        .expect("a meeting");
    for who in [1, 2] {
        let participant = Participant {
            id: id(base + who),
            meeting_id,
            user_id: Some(id(who)),
            agent_id: None,
            name: format!("P{who}"),
            role: MeetingRole::Participant,
            state: ParticipantState::Joined,
            muted: false,
            joined_at: Some(AT),
            left_at: None,
            created_at: AT,
            updated_at: AT,
        };
        tx.participant_insert(&participant)
            .await
            .expect("a participant");
        let segment = Segment {
            id: id(base + who),
            meeting_id,
            participant_id: Some(participant.id),
            speaker: participant.name,
            text: "hush".to_owned(),
            start_ms: 0,
            end_ms: 1,
            confidence: None,
            language: None,
            is_final: true,
            external_id: None,
            attribution: Attribution::Track,
            version: 1,
            corrected_at: None,
            created_at: AT,
            updated_at: AT,
        };
        tx.segment_insert(&segment).await.expect("a segment");
        // The first memory hangs on the meeting, the second only cites what was said there.
        let of_meeting = (who == 1).then_some(meeting_id);
        memory(tx, base + who, of_meeting).await;
        highlight(tx, base + who, meeting_id).await;
    }
    let empty = json!({});
    execute!(
        tx,
        "INSERT INTO runs (id, agent_id, agent_version, owner_id, meeting_id, state, reason_code, message, attempt, seen_seq, counters, created_at, ended_at, updated_at)
         VALUES ($1, $2, 1, $3, $4, 'completed', 'r', 'm', 1, 0, $5, $6, $6, $6)",
        id::<RunId>(base + 1), id::<AgentId>(1), id::<UserId>(1), meeting_id, Json(&empty), AT
    )
    .expect("a run");
    execute!(
        tx,
        "INSERT INTO run_events (id, run_id, to_state, reason_code, message, actor, attempt, at) VALUES ($1, $2, 'queued', 'r', 'm', 'system', 1, $3)",
        id::<meetmind_core::RunEventId>(base + 1), id::<RunId>(base + 1), AT
    )
    .expect("a run event");
    let about =
        json!({ "data": { "meeting_id": meeting_id, "segment_ids": [id::<SegmentId>(base + 1)] } });
    let delivery = Delivery {
        id: id(base + 1),
        webhook_id: id(1),
        event_type: "x".to_owned(),
        payload: about.clone(),
        status: DeliveryStatus::Pending,
        attempts: 0,
        next_attempt_at: None,
        created_at: AT,
        updated_at: AT,
    };
    tx.delivery_insert(&delivery).await.expect("a delivery");
    execute!(
        tx,
        "INSERT INTO jobs (id, kind, payload, run_at, attempts, max_attempts, created_at) VALUES ($1, 'notes_final', $2, $3, 0, 5, $3)",
        id::<meetmind_core::JobId>(base + 1), Json(&about), AT
    )
    .expect("a job");
    let claim = IdempotencyClaim {
        actor: "user:x".to_owned(),
        key: meeting_id.to_string(),
        request_hash: vec![1],
        created_at: AT,
    };
    let zero = Timestamp::from_micros(0);
    let reserved = tx.idempotency_reserve(&claim, zero, zero).await;
    assert!(reserved.expect("a claim"));
    let kept = tx
        .idempotency_complete(&claim, 201, None, &about.to_string())
        .await;
    assert!(kept.expect("a kept answer"));
}

async fn memory(tx: &mut Conn, number: u128, meeting_id: Option<MeetingId>) {
    let (none, list) = (json!({}), json!([]));
    execute!(
        tx,
        "INSERT INTO memories (id, user_id, meeting_id, content, metadata, categories, segment_ids, source, content_hash, created_at, updated_at)
         VALUES ($1, $2, $3, 'hush', $4, $5, $5, 'auto', $6, $7, $7)",
        id::<MemoryId>(number), id::<UserId>(2), meeting_id, Json(&none), Json(&list), vec![1u8], AT
    )
    .expect("a memory");
    execute!(
        tx,
        "INSERT INTO memory_changes (id, memory_id, user_id, event, new_content, actor, at) VALUES ($1, $2, $3, 'ADD', 'hush', 'system', $4)",
        id::<meetmind_core::MemoryChangeId>(number), id::<MemoryId>(number), id::<UserId>(2), AT
    )
    .expect("a change");
    execute!(
        tx,
        "INSERT INTO citations (segment_id, kind, source_id) VALUES ($1, 'memory', $2)",
        id::<SegmentId>(number),
        id::<MemoryId>(number)
    )
    .expect("a citation");
}

async fn highlight(tx: &mut Conn, number: u128, meeting_id: MeetingId) {
    execute!(
        tx,
        "INSERT INTO highlights (id, meeting_id, text, speaker, start_ms, segment_ids, score, stale, created_at) VALUES ($1, $2, 'hush', 'P', 0, $3, 1.0, FALSE, $4)",
        id::<meetmind_core::HighlightId>(number), meeting_id, Json(json!([])), AT
    )
    .expect("a highlight");
    execute!(
        tx,
        "INSERT INTO citations (segment_id, kind, source_id) VALUES ($1, 'highlight', $2)",
        id::<SegmentId>(number),
        id::<meetmind_core::HighlightId>(number)
    )
    .expect("a citation");
}

async fn rows(tx: &mut Conn, statement: &'static str) -> i64 {
    let (count,): (i64,) = fetch_one!(tx, statement).expect("a count");
    count
}

both_engines!(a_meeting_goes_with_every_copy_and_its_neighbour_stays, db => {
    let mut tx = two_meetings(&db).await;
    let meeting_id: MeetingId = id(1);
    assert_eq!(tx.erasure_run_ids(meeting_id).await.expect("ids"), [id(1)]);
    assert_eq!(tx.erasure_user_ids(meeting_id).await.expect("ids"), [id(1), id(2)]);
    let copies = tx.erasure_copies(meeting_id).await.expect("copies");
    assert_eq!(copies, [("webhook_deliveries", 1), ("jobs", 1), ("kept_answers", 1)]);
    let counts = tx.erasure_meeting_rows(meeting_id).await.expect("counts");
    let count = |table: &str| counts.iter().find(|(name, _)| *name == table).map(|(_, rows)| *rows);
    for (table, expected) in [
        ("memories", 2), ("memory_changes", 2), ("citations", 4), ("highlights", 2), ("segments", 2), ("runs", 1), ("run_events", 1),
        ("participants", 2), ("meetings", 1),
    ] {
        assert_eq!(count(table), Some(expected), "{table}");
    }
    for (statement, left) in [
        ("SELECT COUNT(*) FROM memories", 2), ("SELECT COUNT(*) FROM memory_changes", 2), ("SELECT COUNT(*) FROM citations", 4),
        ("SELECT COUNT(*) FROM segments", 2), ("SELECT COUNT(*) FROM deliveries", 1), ("SELECT COUNT(*) FROM jobs", 1),
        ("SELECT COUNT(*) FROM idempotency_keys", 1), ("SELECT COUNT(*) FROM runs", 1), ("SELECT COUNT(*) FROM meetings", 1),
    ] {
        assert_eq!(rows(&mut tx, statement).await, left, "{statement}");
    }
});

both_engines!(words_of_one_go_with_what_rests_on_them, db => {
    let mut tx = two_meetings(&db).await;
    assert_eq!(tx.words_memory_ids(id(2)).await.expect("ids"), [(id(2), id(2))]);
    let counts = tx.erasure_words_rows(id(2)).await.expect("counts");
    assert_eq!(counts, [("memory_changes", 1), ("memories", 1), ("highlights", 1), ("segment_changes", 0), ("segments", 1)]);
    assert_eq!(rows(&mut tx, "SELECT COUNT(*) FROM citations").await, 6);
    let found = tx.words_deliveries(id(1), None, 10).await.expect("deliveries");
    assert_eq!(found.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [id(1)]);
    tx.delivery_erase(id(1)).await.expect("an erasure");
    assert_eq!(tx.words_deliveries(id(1), None, 10).await.expect("deliveries"), []);
    assert_eq!(rows(&mut tx, "SELECT COUNT(*) FROM deliveries").await, 1);
});
