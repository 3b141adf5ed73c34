//! Participants, the consent ledger, and erasing.

use meetmind_core::*;
use meetmind_store::{Error, both_engines};
use serde_json::json;

use crate::meetings::{id, meeting, with_two_users};

fn participant(number: u128, user_id: Option<UserId>, state: ParticipantState) -> Participant {
    let now = Timestamp::from_micros(number as i64);
    Participant {
        id: id(number),
        meeting_id: id(1),
        user_id,
        agent_id: None,
        name: format!("P{number}"),
        role: MeetingRole::Participant,
        state,
        muted: false,
        joined_at: None,
        left_at: None,
        created_at: now,
        updated_at: now,
    }
}

fn consent(number: u128, of: u128, memory: ConsentState) -> Consent {
    Consent {
        id: id(number),
        meeting_id: id(1),
        participant_id: id(of),
        transcript: ConsentState::Granted,
        recording: ConsentState::Pending,
        memory,
        actor: "user:usr_x".to_owned(),
        at: Timestamp::from_micros(number as i64),
    }
}

fn segment(number: u128, of: u128) -> Segment {
    let now = Timestamp::from_micros(number as i64);
    Segment {
        id: id(number),
        meeting_id: id(1),
        participant_id: Some(id(of)),
        speaker: format!("P{of}"),
        text: "the secret word".to_owned(),
        start_ms: number as i64,
        end_ms: number as i64,
        confidence: Some(0.5),
        language: None,
        is_final: true,
        external_id: None,
        attribution: Attribution::Track,
        version: 1,
        corrected_at: None,
        created_at: now,
        updated_at: now,
    }
}

both_engines!(a_user_is_on_the_list_once_and_only_hosts_see_the_door, db => {
    use ParticipantState as S;
    let (anna, ben) = with_two_users(&db).await;
    let mut tx = db.store.begin().await.expect("a transaction");
    tx.meeting_insert(&meeting(1, anna), "code").await.expect("a meeting");
    let host = Participant { role: MeetingRole::Host, ..participant(1, Some(anna), S::Joined) };
    tx.participant_insert(&host).await.expect("a participant");
    for (number, state) in [(2, S::Waiting), (3, S::Removed), (4, S::Left), (5, S::Invited)] {
        tx.participant_insert(&participant(number, None, state)).await.expect("a participant");
    }
    tx.commit().await.expect("a commit");

    let mut read = db.store.read().await.expect("a connection");
    let ids = |list: Vec<Participant>| list.into_iter().map(|one| one.id).collect::<Vec<_>>();
    assert_eq!(ids(read.participant_list(id(1), Some(id(1)), 3).await.expect("a page")), [id(2), id(3), id(4)]);
    assert_eq!(ids(read.participant_list_present(id(1), None, 10).await.expect("a page")), [id(1), id(4), id(5)]);
    assert_eq!(read.participant_find_host(id(1)).await.expect("a row"), Some(host));
    assert_eq!(read.invitee_find(ben).await.expect("a row"), Some((ben, "u2@example.com".to_owned())));
    assert_eq!(read.invitee_find_email("u2@example.com").await.expect("a row").map(|row| row.0), Some(ben));
    assert_eq!(read.invitee_find_email("nobody@example.com").await.expect("no row"), None);
    drop(read);

    let mut tx = db.store.begin().await.expect("a transaction");
    tx.meeting_lock(id(1)).await.expect("a lock");
    let now = Timestamp::from_micros(99);
    assert_eq!(tx.participant_leave_all(id(1), now).await.expect("all leave"), 1);
    let left = tx.participant_list(id(1), None, 10).await.expect("a list");
    assert_eq!(left.iter().map(|one| one.state).collect::<Vec<_>>(), [S::Left, S::Removed, S::Left, S::Invited]);
    let twice = tx.participant_insert(&participant(9, Some(anna), S::Invited)).await;
    assert!(matches!(twice, Err(Error::Duplicate(_))), "{twice:?}");
});

both_engines!(the_newest_consent_is_in_force_and_the_ledger_pages, db => {
    let (anna, _) = with_two_users(&db).await;
    let mut tx = db.store.begin().await.expect("a transaction");
    tx.meeting_insert(&meeting(1, anna), "code").await.expect("a meeting");
    for number in [1, 2] {
        tx.participant_insert(&participant(number, None, ParticipantState::Joined)).await.expect("a participant");
    }
    assert_eq!(tx.consent_find(id(1)).await.expect("no row"), None);
    tx.consent_insert(&consent(1, 1, ConsentState::Granted)).await.expect("an entry");
    tx.consent_insert(&consent(2, 2, ConsentState::Granted)).await.expect("an entry");
    tx.consent_insert(&consent(3, 1, ConsentState::Denied)).await.expect("an entry");
    assert_eq!(tx.consent_find(id(1)).await.expect("a row"), Some(consent(3, 1, ConsentState::Denied)));
    let page = tx.consent_list(id(1), None, 2).await.expect("a page");
    assert_eq!(page.iter().map(|one| one.id).collect::<Vec<_>>(), [id(1), id(2)]);
    let page = tx.consent_list(id(1), Some(id(2)), 2).await.expect("a page");
    assert_eq!(page.iter().map(|one| one.id).collect::<Vec<_>>(), [id(3)]);
});

both_engines!(erasing_a_meeting_counts_and_leaves_nothing, db => {
    let (anna, ben) = with_two_users(&db).await;
    let mut tx = db.store.begin().await.expect("a transaction");
    tx.meeting_insert(&meeting(1, anna), "code").await.expect("a meeting");
    tx.participant_insert(&participant(1, Some(ben), ParticipantState::Removed)).await.expect("a participant");
    tx.consent_insert(&consent(1, 1, ConsentState::Granted)).await.expect("an entry");
    for number in [1, 2] {
        tx.segment_insert(&segment(number, 1)).await.expect("a segment");
    }
    let at = Timestamp::from_micros(1);
    let meeting_id: MeetingId = id(1);
    let topic = EventTopic::User(ben);
    tx.event_append(topic, EventKind::ParticipantInvited, at, json!({ "meeting_id": meeting_id, "title": "hush" })).await.expect("an event");
    tx.event_append(topic, EventKind::ParticipantInvited, at, json!({ "meeting_id": id::<MeetingId>(2), "title": "other" })).await.expect("an event");
    assert_eq!(tx.erasure_user_ids(meeting_id).await.expect("ids"), [anna, ben]);
    assert_eq!(tx.erasure_run_ids(meeting_id).await.expect("ids"), []);
    let needle = meeting_id.to_string();
    assert_eq!(tx.events_blank(topic, &needle, &json!({ "erased": true })).await.expect("blanks"), 1);
    let copies = tx.erasure_copies(meeting_id).await.expect("copies");
    assert_eq!(copies, [("webhook_deliveries", 0), ("jobs", 0), ("kept_answers", 0)]);
    let counts = tx.erasure_meeting_rows(meeting_id).await.expect("counts");
    let count = |table: &str| counts.iter().find(|(name, _)| *name == table).map(|(_, rows)| *rows);
    assert_eq!((count("segments"), count("participants"), count("consents"), count("meetings")), (Some(2), Some(1), Some(1), Some(1)));
    tx.commit().await.expect("a commit");
    let mut read = db.store.read().await.expect("a connection");
    assert!(matches!(read.meeting_get(meeting_id).await, Err(Error::NotFound(_))));
    let told: Vec<_> = read.event_list(topic, 0, 10).await.expect("events").into_iter().map(|event| event.data).collect();
    assert_eq!(told, [json!({ "erased": true }), json!({ "meeting_id": id::<MeetingId>(2), "title": "other" })]);
});

both_engines!(erasing_words_takes_one_participants_segments, db => {
    let (anna, _) = with_two_users(&db).await;
    let mut tx = db.store.begin().await.expect("a transaction");
    tx.meeting_insert(&meeting(1, anna), "code").await.expect("a meeting");
    for number in [1, 2] {
        tx.participant_insert(&participant(number, None, ParticipantState::Joined)).await.expect("a participant");
        tx.segment_insert(&segment(number, number)).await.expect("a segment");
    }
    assert_eq!(tx.words_segment_ids(id(1)).await.expect("ids"), [id(1)]);
    assert_eq!(tx.words_memory_ids(id(1)).await.expect("ids"), []);
    let counts = tx.erasure_words_rows(id(1)).await.expect("counts");
    assert_eq!(counts, [("memory_changes", 0), ("memories", 0), ("highlights", 0), ("segment_changes", 0), ("segments", 1)]);
    let left = tx.segment_finals(id(1)).await.expect("segments");
    assert_eq!(left.iter().map(|one| one.id).collect::<Vec<_>>(), [id(2)]);
    let answer = Message {
        id: id(1), meeting_id: id(1), participant_id: None, author: "Mia".to_owned(), kind: MessageKind::Answer, text: "quoted".to_owned(),
        reply_to: None, segment_ids: vec![id(1)], created_at: Timestamp::from_micros(1),
    };
    tx.message_insert(&answer).await.expect("an answer");
    assert_eq!(tx.words_answers(id(1)).await.expect("answers"), [(id(1), vec![id(1)])]);
    tx.message_erase(id(1)).await.expect("an erasure");
    assert_eq!(tx.words_answers(id(1)).await.expect("answers"), []);
    assert_eq!(tx.words_deliveries(id(1), None, 10).await.expect("deliveries"), []);
});
