//! Notes: citations follow the rows, and lists across meetings show only one's own.

use meetmind_core::*;
use meetmind_store::testing::TestDb;
use meetmind_store::{ActionFilter, Citing, DecisionFilter, Excerpt, both_engines};

fn id<T: Id>(number: u128) -> T {
    T::from_uuid(uuid::Uuid::from_u128(number))
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn action(number: u128, meeting: u128, segments: &[u128]) -> Action {
    Action {
        id: id(number),
        meeting_id: id(meeting),
        text: format!("Do {number}"),
        owner: Some("Ann_a 100%".to_owned()),
        owner_user_id: Some(id(1)),
        due: None,
        due_at: Some(at(number as i64)),
        status: ActionStatus::Proposed,
        marker: Marker::Pattern,
        segment_ids: segments.iter().map(|n| id(*n)).collect(),
        edited: false,
        stale: false,
        version: 1,
        created_at: at(1),
        updated_at: at(1),
    }
}

fn decision(number: u128, meeting: u128) -> Decision {
    Decision {
        id: id(number),
        meeting_id: id(meeting),
        text: "Ship".to_owned(),
        status: DecisionStatus::Proposed,
        marker: Marker::Explicit,
        superseded_by: None,
        segment_ids: Vec::new(),
        edited: true,
        stale: false,
        version: 1,
        created_at: at(1),
        updated_at: at(1),
    }
}

/// Users 1 and 2; meetings 1 and 2 of user 1 with forty segments in meeting 1.
async fn seed(db: &TestDb) {
    let mut tx = db.store.begin().await.expect("a transaction");
    for number in [1, 2] {
        db.store
            .seed_user(&mut tx, id(number), &format!("u{number}@example.com"))
            .await
            .expect("a user");
    }
    for number in [1, 2] {
        let meeting = Meeting {
            id: id(number),
            owner_id: id(1),
            series_id: None,
            title: "M".to_owned(),
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
            memory_mode: MemoryMode::Off,
            memory_retention_days: None,
            glossary: Vec::new(),
            version: 1,
            created_at: at(1),
            updated_at: at(1),
            archived_at: None,
        };
        tx.meeting_insert(&meeting, "code")
            .await
            .expect("a meeting");
        let host = Participant {
            id: id(number),
            meeting_id: id(number),
            user_id: Some(id(1)),
            agent_id: None,
            name: "Anna".to_owned(),
            role: MeetingRole::Host,
            state: ParticipantState::Joined,
            muted: false,
            joined_at: None,
            left_at: None,
            created_at: at(1),
            updated_at: at(1),
        };
        tx.participant_insert(&host).await.expect("a host");
    }
    for number in 0..40 {
        let segment = Segment {
            id: id(100 + number),
            meeting_id: id(1),
            participant_id: None,
            speaker: if number % 2 == 0 { "Åsa" } else { "Ben" }.to_owned(),
            text: "Words".to_owned(),
            start_ms: number as i64 * 1_000,
            end_ms: number as i64 * 1_000,
            confidence: None,
            language: None,
            is_final: number != 39,
            external_id: None,
            attribution: Attribution::Declared,
            version: 1,
            corrected_at: None,
            created_at: at(1),
            updated_at: at(1),
        };
        tx.segment_insert(&segment).await.expect("a segment");
    }
    tx.commit().await.expect("a commit");
}

both_engines!(citations_follow_their_rows, db => {
    seed(&db).await;
    let mut tx = db.store.begin().await.expect("a transaction");
    let all: Vec<u128> = (100..137).collect();
    let row = action(1, 1, &all);
    tx.action_insert(&row).await.expect("an action");
    assert_eq!(tx.citation_list(Citing::Action, row.id).await.expect("citations"), row.segment_ids);
    let fewer = Action { segment_ids: vec![id(120), id(138)], ..row.clone() };
    assert!(tx.action_update(&row, &fewer).await.expect("an update"));
    assert_eq!(tx.citation_list(Citing::Action, row.id).await.expect("citations"), fewer.segment_ids);
    assert!(!tx.action_update(&row, &fewer).await.expect("an update"), "the version is old");
    let fewer = tx.action_get(id(1), row.id).await.expect("the action");
    assert_eq!((fewer.version, fewer.segment_ids.len()), (2, 2));

    assert_eq!(tx.notes_coverage(id(1)).await.expect("figures"), (39, 2));
    assert_eq!(tx.derived_mark_stale(id(120), at(9)).await.expect("stale rows"), 1);
    assert_eq!(tx.derived_mark_stale(id(120), at(9)).await.expect("stale rows"), 0);
    assert!(tx.action_get(id(1), row.id).await.expect("the action").stale);
    tx.action_delete(row.id).await.expect("a deletion");
    assert!(tx.citation_list(Citing::Action, row.id).await.expect("citations").is_empty());
    tx.commit().await.expect("a commit");

    let mut tx = db.store.begin().await.expect("a transaction");
    let dangling = tx.action_insert(&action(2, 1, &[999])).await;
    assert!(matches!(dangling, Err(meetmind_store::Error::Dangling(_))));
});

both_engines!(every_kind_of_row_comes_back_as_written, db => {
    seed(&db).await;
    let mut tx = db.store.begin().await.expect("a transaction");
    tx.notes_lock(id(1)).await.expect("a lock");
    let topic = Topic {
        id: id(1), meeting_id: id(1), ordinal: 0, label: "Größe".to_owned(), start_ms: 0, end_ms: 9, key_phrases: vec!["a b".to_owned()],
        segment_ids: vec![id(100), id(101)], edited: true, stale: false, created_at: at(1), updated_at: at(1),
    };
    tx.topic_insert(&topic).await.expect("a topic");
    assert_eq!(tx.topic_list(id(1), None, 10).await.expect("topics"), std::slice::from_ref(&topic));
    assert!(tx.topic_list(id(1), Some(0), 10).await.expect("topics").is_empty());
    let found = tx.topic_search(id(1), None, None, Some("größe"), None, 10).await.expect("topics");
    assert!(tx.topic_search(id(2), None, None, None, None, 10).await.expect("topics").is_empty());
    assert!(found.len() <= 1);
    let highlight = Highlight {
        id: id(1), meeting_id: id(1), text: "x".to_owned(), speaker: "Åsa".to_owned(), start_ms: 5, segment_ids: vec![id(102)],
        score: f64::from(0.7_f32), status: HighlightStatus::Proposed, stale: false, created_at: at(1),
    };
    tx.highlight_insert(&highlight).await.expect("a highlight");
    assert_eq!(tx.highlight_list(id(1), None, None, None, 10).await.expect("highlights"), std::slice::from_ref(&highlight));
    assert!(tx.highlight_list(id(1), None, None, Some((5, highlight.id)), 10).await.expect("highlights").is_empty());
    let dismissed = Highlight { status: HighlightStatus::Dismissed, ..highlight.clone() };
    tx.highlight_update(&highlight, &dismissed).await.expect("an update");
    assert_eq!(tx.highlight_get(id(1), highlight.id).await.expect("a highlight"), dismissed);
    let away = Some(HighlightStatus::Dismissed);
    assert!(tx.highlight_list(id(1), None, away, None, 10).await.expect("highlights").is_empty());
    assert_eq!(tx.highlight_list(id(1), away, None, None, 10).await.expect("highlights").len(), 1);
    let summary = Summary {
        id: id(1), meeting_id: id(1), headline: "h".to_owned(),
        lines: vec![SummaryLine { text: "x".to_owned(), speaker: None, start_ms: 5, segment_ids: vec![id(103)] }],
        engine: "offline".to_owned(), is_final: false, segment_count: 39, edited: false, stale: false, version: 1, created_at: at(1), updated_at: at(1),
    };
    tx.summary_insert(&summary).await.expect("a summary");
    let later = Summary { is_final: true, version: 2, updated_at: at(2), ..summary.clone() };
    tx.summary_update(&summary, &later, at(2)).await.expect("an update");
    assert_eq!(tx.summary_find(id(1)).await.expect("a row"), Some(later));
    assert_eq!(tx.citation_list(Citing::Summary, summary.id).await.expect("citations"), [id(103)]);
    assert_eq!(tx.derived_mark_stale(id(102), at(9)).await.expect("stale rows"), 1);
    tx.topic_delete(topic.id).await.expect("a deletion");
    tx.highlight_delete(highlight.id).await.expect("a deletion");
    assert!(tx.topic_list(id(1), None, 10).await.expect("topics").is_empty());

    let excerpt = Excerpt { from_ms: Some(2_000), to_ms: Some(9_000), speaker: Some("Åsa".to_owned()), after: Some((2_000, id(102))) };
    let part = tx.segment_excerpt(id(1), &excerpt, 10).await.expect("segments");
    assert_eq!(part.iter().map(|s| s.start_ms).collect::<Vec<_>>(), [4_000, 6_000, 8_000]);
    assert_eq!(tx.segment_latest(id(1)).await.expect("a segment").map(|s| s.start_ms), Some(38_000));
    assert_eq!(tx.corrections_mark(id(1)).await.expect("a number"), 0);
});

both_engines!(lists_across_meetings_show_only_ones_own, db => {
    seed(&db).await;
    let mut tx = db.store.begin().await.expect("a transaction");
    for (number, meeting) in [(1, 1), (2, 1), (3, 2)] {
        tx.action_insert(&action(number, meeting, &[])).await.expect("an action");
        tx.decision_insert(&decision(number, meeting)).await.expect("a decision");
    }
    let all = ActionFilter::default();
    let ids = |rows: Vec<Action>| rows.iter().map(|a| a.id).collect::<Vec<_>>();
    assert_eq!(ids(tx.action_search(id(1), &all, None, 2).await.expect("actions")), [id(3), id(2)]);
    assert_eq!(ids(tx.action_search(id(1), &all, Some(id(2)), 2).await.expect("actions")), [id(1)]);
    assert!(tx.action_search(id(2), &all, None, 9).await.expect("actions").is_empty());
    let narrow = ActionFilter {
        status: Some(ActionStatus::Proposed), owner_user_id: Some(id(1)), owner: Some("n_A 100%".to_owned()),
        meeting_id: Some(id(1)), series_id: None, due_before: Some(at(2)),
    };
    assert_eq!(ids(tx.action_search(id(1), &narrow, None, 9).await.expect("actions")), [id(1)]);
    assert_eq!(tx.action_list(id(1), Some(ActionStatus::Done), None, 9).await.expect("actions"), []);

    let old = tx.decision_get(id(1)).await.expect("a decision");
    let new = tx.decision_get(id(2)).await.expect("a decision");
    assert_eq!(tx.decision_earlier(&new, None, Some(id(1))).await.expect("decisions"), std::slice::from_ref(&old));
    let taken = Decision { status: DecisionStatus::Superseded, superseded_by: Some(new.id), ..old.clone() };
    assert!(tx.decision_update(&old, &taken).await.expect("an update"));
    assert!(tx.decision_earlier(&new, None, None).await.expect("decisions").is_empty());
    assert_eq!(tx.decision_superseded_by(new.id).await.expect("decisions").len(), 1);
    let filter = DecisionFilter { status: Some(DecisionStatus::Superseded), meeting_id: Some(id(1)), series_id: None };
    assert_eq!(tx.decision_search(id(1), &filter, None, 9).await.expect("decisions").len(), 1);
    assert!(tx.decision_search(id(2), &DecisionFilter::default(), None, 9).await.expect("decisions").is_empty());
    // A decision that goes leaves the other without a successor, not without a row.
    tx.decision_delete(new.id).await.expect("a deletion");
    assert_eq!(tx.decision_get(old.id).await.expect("a decision").superseded_by, None);
});
