//! Meetings: what a list shows to whom, and guarded updates.

use meetmind_core::*;
use meetmind_store::{MeetingFilter, MeetingViewer, both_engines};

pub(crate) fn id<T: Id>(number: u128) -> T {
    T::from_uuid(uuid::Uuid::from_u128(number))
}

pub(crate) fn meeting(number: u128, owner: UserId) -> Meeting {
    let now = Timestamp::from_micros(number as i64 * 1000);
    Meeting {
        id: id(number),
        owner_id: owner,
        series_id: None,
        title: format!("Meeting 100% {number}"),
        description: None,
        status: MeetingStatus::Scheduled,
        starts_at: None,
        ends_at: None,
        time_zone: None,
        started_at: None,
        ended_at: None,
        access: MeetingAccess::Link,
        lobby: false,
        locked: false,
        consent_policy: ConsentPolicy::Implied,
        memory_mode: MemoryMode::Auto,
        memory_retention_days: None,
        glossary: vec!["größe".to_owned()],
        version: 1,
        created_at: now,
        updated_at: now,
        archived_at: None,
    }
}

pub(crate) async fn with_two_users(db: &meetmind_store::testing::TestDb) -> (UserId, UserId) {
    let mut tx = db.store.begin().await.expect("a transaction");
    for number in [1, 2] {
        db.store
            .seed_user(&mut tx, id(number), &format!("u{number}@example.com"))
            .await
            .expect("a user");
    }
    tx.commit().await.expect("a commit");
    (id(1), id(2))
}

both_engines!(a_list_shows_only_what_one_takes_part_in, db => {
    let (anna, ben) = with_two_users(&db).await;
    let mut tx = db.store.begin().await.expect("a transaction");
    for number in 1..=3 {
        tx.meeting_insert(&meeting(number, anna), "code").await.expect("a meeting");
        let now = Timestamp::from_micros(1);
        let host = Participant {
            id: id(number), meeting_id: id(number), user_id: Some(anna), agent_id: None, name: "Anna".to_owned(), role: MeetingRole::Host,
            state: ParticipantState::Invited, muted: false, joined_at: None, left_at: None, created_at: now, updated_at: now,
        };
        tx.participant_insert(&host).await.expect("a host");
    }
    tx.meeting_archive_set(id(2), Some(Timestamp::from_micros(5)), Timestamp::from_micros(5)).await.expect("an archive");
    tx.commit().await.expect("a commit");

    let mut read = db.store.read().await.expect("a connection");
    let list = read.meeting_list(anna, &MeetingFilter::default(), None, 10).await.expect("a list");
    assert_eq!(list.iter().map(|m| m.id).collect::<Vec<_>>(), vec![id(3), id(1)]);
    assert_eq!(list[0], meeting(3, anna));
    assert!(read.meeting_list(ben, &MeetingFilter::default(), None, 10).await.expect("a list").is_empty());
    let narrowed = MeetingFilter { text: Some("100% 3".to_owned()), ..MeetingFilter::default() };
    assert_eq!(read.meeting_list(anna, &narrowed, None, 10).await.expect("a list").len(), 1);
    let access = read.meeting_access_find(id(1), MeetingViewer::User(ben)).await.expect("a row").expect("the meeting");
    assert_eq!((access.role, access.participant_id), (None, None));
});

both_engines!(an_update_on_an_old_version_changes_nothing, db => {
    let (anna, _) = with_two_users(&db).await;
    let mut tx = db.store.begin().await.expect("a transaction");
    tx.meeting_insert(&meeting(1, anna), "code").await.expect("a meeting");
    let mut changed = meeting(1, anna);
    changed.title = "New".to_owned();
    assert!(tx.meeting_update(&changed, Timestamp::from_micros(9)).await.expect("an update"));
    assert!(!tx.meeting_update(&changed, Timestamp::from_micros(9)).await.expect("an update"));
    let row = tx.meeting_get(id(1)).await.expect("the meeting");
    assert_eq!((row.title.as_str(), row.version), ("New", 2));
});
