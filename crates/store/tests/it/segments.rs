//! Segments: pages, windows, doubled ids, imports, search, and erasure.

use meetmind_core::*;
use meetmind_store::testing::TestDb;
use meetmind_store::{Conn, SearchMatch, SearchScope, SearchTerms, SegmentFilter, both_engines};

fn id<T: Id>(number: u128) -> T {
    T::from_uuid(uuid::Uuid::from_u128(number))
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// Users 1 and 2; meetings 1 of user 1 and 2 of user 2, each alone in it.
async fn seed(db: &TestDb) -> Conn {
    let mut tx = db.store.begin().await.expect("a transaction");
    for number in [1, 2] {
        let user_id = id(number);
        let email = format!("u{number}@example.com");
        db.store
            .seed_user(&mut tx, user_id, &email)
            .await
            .expect("a user");
        let meeting = Meeting {
            id: id(number),
            owner_id: user_id,
            series_id: None,
            title: format!("Meeting {number}"),
            description: None,
            status: MeetingStatus::Live,
            starts_at: None,
            ends_at: None,
            time_zone: None,
            started_at: Some(at(1)),
            ended_at: None,
            access: MeetingAccess::Invite,
            lobby: false,
            locked: false,
            consent_policy: ConsentPolicy::Implied,
            memory_mode: MemoryMode::Auto,
            memory_retention_days: Some(1),
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
            user_id: Some(user_id),
            agent_id: None,
            name: "Åsa".to_owned(),
            role: MeetingRole::Host,
            state: ParticipantState::Joined,
            muted: false,
            joined_at: Some(at(1)),
            left_at: None,
            created_at: at(1),
            updated_at: at(1),
        };
        tx.participant_insert(&host).await.expect("a host");
    }
    tx
}

fn segment(number: u128, start_ms: i64, text: &str) -> Segment {
    Segment {
        id: id(number),
        meeting_id: id(1),
        participant_id: Some(id(1)),
        speaker: "Åsa".to_owned(),
        text: text.to_owned(),
        start_ms,
        end_ms: start_ms + 100,
        confidence: Some(0.5),
        language: None,
        is_final: true,
        external_id: None,
        attribution: Attribution::Declared,
        version: 1,
        corrected_at: None,
        created_at: at(1),
        updated_at: at(1),
    }
}

fn memory(number: u128, content: &str) -> Memory {
    Memory {
        id: id(number),
        user_id: id(1),
        meeting_id: Some(id(1)),
        agent_id: None,
        subject: Some("Åsa".to_owned()),
        content: content.to_owned(),
        metadata: serde_json::json!({}),
        categories: vec!["a\"b".to_owned(), "müsli".to_owned()],
        segment_ids: vec![id(10)],
        source: MemorySource::Manual,
        replaced_by: None,
        expires_at: None,
        created_at: at(5),
        updated_at: at(5),
    }
}

both_engines!(a_page_follows_the_time_said_and_then_the_id, db => {
    let mut tx = seed(&db).await;
    for (number, start_ms) in [(10, 500), (11, 0), (12, 500), (13, 900)] {
        tx.segment_insert(&segment(number, start_ms, "word")).await.expect("a segment");
    }
    let all = SegmentFilter::default();
    let ids = |rows: Vec<Segment>| rows.into_iter().map(|s| s.id).collect::<Vec<SegmentId>>();
    let list = tx.segment_list(id(1), &all, None, 10).await.expect("a list");
    assert_eq!(list[1], segment(10, 500, "word"));
    assert_eq!(ids(list), [id(11), id(10), id(12), id(13)]);
    let next = tx.segment_list(id(1), &all, Some((500, id(10))), 1).await.expect("a list");
    assert_eq!(ids(next), [id(12)]);
    let window = SegmentFilter { from_ms: Some(500), to_ms: Some(900), speaker: Some("Åsa".to_owned()), is_final: Some(true) };
    assert_eq!(ids(tx.segment_list(id(1), &window, None, 10).await.expect("a list")), [id(10), id(12)]);
    let drafts = SegmentFilter { is_final: Some(false), ..all };
    assert!(tx.segment_list(id(1), &drafts, None, 10).await.expect("a list").is_empty());
});

both_engines!(an_external_id_is_inserted_once_and_updates_are_guarded, db => {
    let mut tx = seed(&db).await;
    let one = Segment { external_id: Some("x".to_owned()), is_final: false, ..segment(10, 0, "a") };
    tx.segment_insert(&one).await.expect("an insert");
    assert!(tx.segment_insert(&Segment { id: id(11), ..one.clone() }).await.is_err());
    let changed = Segment { text: "b".to_owned(), is_final: true, version: 2, ..one.clone() };
    assert!(tx.segment_update(&changed).await.expect("an update"));
    assert!(!tx.segment_update(&changed).await.expect("an update"), "the version is an old one");
    let row = tx.segment_find_external(id(1), "x").await.expect("a row").expect("the segment");
    assert_eq!((row.id, row.text.as_str(), row.version), (id(10), "b", 2));
});

both_engines!(an_import_keeps_every_field_and_is_searchable, db => {
    let mut tx = seed(&db).await;
    let rows: Vec<Segment> = (0..1500_i64)
        .map(|number| Segment {
            id: id(1000 + number as u128),
            participant_id: (number % 2 == 0).then(|| id(1)),
            speaker: "Åsa \"x\"".to_owned(),
            confidence: (number == 0).then_some(1.0),
            language: (number == 1).then(|| "sv".to_owned()),
            external_id: (number == 1).then(|| "e\"1".to_owned()),
            attribution: Attribution::Import,
            created_at: at(7),
            updated_at: at(7),
            ..segment(0, number, &format!("größe {number} 😀 'quoted'"))
        })
        .collect();
    for chunk in rows.chunks(1000) {
        assert_eq!(tx.segment_insert_many(chunk, at(7)).await.expect("an import").len(), chunk.len());
    }
    let finals = tx.segment_finals(id(1)).await.expect("segments");
    assert_eq!(finals.len(), 1500);
    assert_eq!(finals[..2], rows[..2]);
    let again = [Segment { id: id(1), ..rows[1].clone() }, Segment { id: id(2), external_id: Some("e2".to_owned()), ..rows[1].clone() }];
    let added = tx.segment_insert_many(&again, at(8)).await.expect("an insert");
    assert_eq!(added, [id(2)].into(), "the other's external id is known");
    let known = tx.segment_find_externals(id(1), &["e\"1", "e2", "e3"]).await.expect("segments");
    assert_eq!(known.iter().map(|segment| segment.id).collect::<std::collections::BTreeSet<_>>(), [id(2), id(1001)].into());
    let terms = SearchTerms::read("größe 77");
    let hits = tx.segment_search(id::<UserId>(1), &terms, SearchMatch::All, &SearchScope::default(), 100).await.expect("hits");
    assert!(hits.iter().any(|hit| hit.segment.text.contains("größe 77 ")), "{}", hits.len());
});

both_engines!(search_finds_stems_in_own_meetings_and_no_drafts, db => {
    let mut tx = seed(&db).await;
    tx.segment_insert(&segment(10, 0, "We decided to buy the Hallberg filler")).await.expect("a segment");
    tx.segment_insert(&Segment { is_final: false, ..segment(11, 0, "a drafted filler") }).await.expect("a draft");
    tx.segment_insert(&Segment { meeting_id: id(2), participant_id: None, ..segment(12, 0, "another filler") }).await.expect("a segment");
    let scope = SearchScope::default();
    for (query, how, found) in [
        ("fillers deciding", SearchMatch::All, true),
        ("hallb", SearchMatch::All, true),
        ("filler walrus", SearchMatch::All, false),
        ("what about a filler walrus", SearchMatch::Any, true),
        ("the", SearchMatch::Any, false),
        ("\"filler\" OR ' -- NEAR(", SearchMatch::Any, true),
    ] {
        let hits = tx.segment_search(id::<UserId>(1), &SearchTerms::read(query), how, &scope, 10).await.expect("hits");
        // On SQLite every word is in the index, on Postgres those without meaning are not.
        let expected = found || (query == "the" && tx.engine() == meetmind_store::Engine::Sqlite);
        let ids: Vec<SegmentId> = hits.iter().map(|hit| hit.segment.id).collect();
        assert_eq!(ids, if expected { vec![id(10)] } else { Vec::new() }, "{query}");
        assert!(hits.iter().all(|hit| hit.score > 0.0 && hit.meeting_title == "Meeting 1"));
    }
    let elsewhere = SearchScope { meeting_id: Some(id(2)), ..scope.clone() };
    assert!(tx.segment_search(id::<UserId>(1), &SearchTerms::read("filler"), SearchMatch::All, &elsewhere, 10).await.expect("hits").is_empty());
    tx.meeting_archive_set(id(1), Some(at(9)), at(9)).await.expect("an archive");
    assert!(tx.segment_search(id::<UserId>(1), &SearchTerms::read("filler"), SearchMatch::All, &scope, 10).await.expect("hits").is_empty());
});

both_engines!(an_erased_segment_leaves_its_words_nowhere, db => {
    let mut tx = seed(&db).await;
    let said = segment(10, 0, "the secret is walrus");
    tx.segment_insert(&said).await.expect("a segment");
    tx.segment_insert(&segment(11, 0, "harmless")).await.expect("a segment");
    let topic = EventTopic::Meeting(id(1));
    for one in [&said, &segment(11, 0, "harmless")] {
        let data = serde_json::to_value(one).expect("JSON");
        tx.event_append(topic, EventKind::SegmentFinalized, at(2), data).await.expect("an event");
    }
    let kept = memory(20, "walrus");
    tx.memory_insert(&kept, &[1]).await.expect("a memory");
    let change = MemoryChange { id: id(1), memory_id: id(20), event: MemoryEvent::Add, old_content: None,
        new_content: Some("walrus".to_owned()), actor: "system".to_owned(), at: at(5) };
    tx.memory_change_insert(id(1), &change).await.expect("a change");
    let user = EventTopic::User(id(1));
    tx.event_append(user, EventKind::MemorySaved, at(2), serde_json::to_value(&kept).expect("JSON")).await.expect("an event");

    let erased = tx.segment_erase(&said).await.expect("an erasure");
    assert_eq!((erased.memories, erased.events), (1, 1));
    let events = [tx.event_list(topic, 0, 10).await.expect("events"), tx.event_list(user, 0, 10).await.expect("events")].concat();
    let text = serde_json::to_string(&events).expect("JSON");
    assert!(!text.contains("walrus") && text.contains("harmless") && text.contains("erased"), "{text}");
    assert_eq!(events.len(), 3, "numbers stay without a gap");
    let history = tx.memory_change_list(id(20), id(1), None, 10).await.expect("a history");
    assert_eq!((history.len(), history[0].new_content.as_deref()), (1, None));
    assert!(tx.memory_get(id(1), id(20), at(6)).await.is_err());
    let hits = tx.segment_search(id::<UserId>(1), &SearchTerms::read("walrus"), SearchMatch::Any, &SearchScope::default(), 10).await.expect("hits");
    assert!(hits.is_empty());
});

both_engines!(memories_are_found_by_label_and_words_and_expire, db => {
    let mut tx = seed(&db).await;
    tx.segment_insert(&segment(10, 0, "x")).await.expect("a segment");
    tx.memory_insert(&memory(20, "I prefer the smaller filler"), &[1]).await.expect("a memory");
    let short = Memory { expires_at: Some(at(100)), ..memory(21, "the filler was cracked") };
    tx.memory_insert(&short, &[2]).await.expect("a memory");
    let all = meetmind_store::MemoryFilter::default();
    let count = async |tx: &mut Conn, category: &str, now: i64| {
        let filter = meetmind_store::MemoryFilter { category: Some(category.to_owned()), ..all.clone() };
        tx.memory_list(id(1), &filter, at(now), None, 10).await.expect("a list").len()
    };
    assert_eq!(count(&mut tx, "a\"b", 50).await, 2);
    assert_eq!(count(&mut tx, "müsli", 100).await, 1, "the second has expired");
    assert_eq!(count(&mut tx, "A\"B", 50).await, 0);
    assert_eq!(count(&mut tx, "%", 50).await, 0);
    let terms = SearchTerms::read("fillers");
    let hits = tx.memory_search(id(1), &terms, SearchMatch::All, &all, at(50), 10).await.expect("hits");
    assert_eq!(hits.len(), 2);
    assert!(tx.memory_search(id(2), &terms, SearchMatch::All, &all, at(50), 10).await.expect("hits").is_empty());
    assert_eq!(tx.memory_find_same(id(1), &[1], Some(id(1)), None, at(50)).await.expect("a row").map(|m| m.id), Some(id(20)));
    assert_eq!(tx.memory_find_same(id(1), &[1], None, None, at(50)).await.expect("a row"), None);
    assert_eq!(tx.memory_delete_expired(at(100), 10).await.expect("a deletion"), 1);
    let day = std::time::Duration::from_secs(86_400);
    assert_eq!(tx.memory_delete_retention(at(5).plus(day), 10).await.expect("a deletion"), 0);
    assert_eq!(tx.memory_delete_retention(at(6).plus(day), 10).await.expect("a deletion"), 1);
    assert!(tx.memory_list(id(1), &all, at(1), None, 10).await.expect("a list").is_empty());
});
