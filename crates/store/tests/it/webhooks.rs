//! Webhooks: who hears of what, and how a delivery moves on.

use meetmind_core::*;
use meetmind_store::both_engines;
use meetmind_store::testing::TestDb;
use serde_json::json;

fn id<T: Id>(number: u128) -> T {
    T::from_uuid(uuid::Uuid::from_u128(number))
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn webhook(number: u128, user_id: UserId) -> Webhook {
    Webhook {
        id: id(number),
        user_id,
        url: "https://example.com/hook".to_owned(),
        events: vec!["message.posted".to_owned()],
        enabled: true,
        disabled_at: None,
        failing_since: None,
        created_at: at(1),
        updated_at: at(1),
    }
}

fn delivery(number: u128, webhook_id: WebhookId) -> Delivery {
    Delivery {
        id: id(number),
        webhook_id,
        event_type: "message.posted".to_owned(),
        payload: json!({ "type": "message.posted", "data": { "seq": 1, "text": "größe" } }),
        status: DeliveryStatus::Pending,
        attempts: 0,
        next_attempt_at: Some(at(number as i64)),
        created_at: at(number as i64),
        updated_at: at(number as i64),
    }
}

async fn with_meeting(db: &TestDb) -> (UserId, UserId, MeetingId) {
    let mut tx = db.store.begin().await.expect("a transaction");
    for number in [1, 2] {
        db.store
            .seed_user(&mut tx, id(number), &format!("u{number}@example.com"))
            .await
            .expect("a user");
    }
    let meeting = Meeting {
        id: id(9),
        owner_id: id(1),
        series_id: None,
        title: "Weekly".to_owned(),
        description: None,
        status: MeetingStatus::Live,
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
        glossary: vec![],
        version: 1,
        created_at: at(1),
        updated_at: at(1),
        archived_at: None,
    };
    tx.meeting_insert(&meeting, "code")
        .await
        .expect("a meeting");
    for (number, role) in [(1, MeetingRole::Host), (2, MeetingRole::Participant)] {
        let participant = Participant {
            id: id(number),
            meeting_id: id(9),
            user_id: Some(id(number)),
            agent_id: None,
            name: "N".to_owned(),
            role,
            state: ParticipantState::Joined,
            muted: false,
            joined_at: None,
            left_at: None,
            created_at: at(1),
            updated_at: at(1),
        };
        tx.participant_insert(&participant)
            .await
            .expect("a participant");
    }
    tx.commit().await.expect("a commit");
    (id(1), id(2), id(9))
}

both_engines!(only_working_webhooks_of_people_inside_hear_of_a_meeting, db => {
    let (anna, ben, meeting) = with_meeting(&db).await;
    let mut tx = db.store.begin().await.expect("a transaction");
    assert!(!tx.webhook_any_enabled().await.expect("an answer"));
    tx.webhook_insert(&webhook(1, anna), "whsec_a").await.expect("a webhook");
    tx.webhook_insert(&webhook(2, ben), "whsec_b").await.expect("a webhook");
    assert!(tx.webhook_any_enabled().await.expect("an answer"));
    let heard = |list: Vec<meetmind_store::WebhookInterest>| list.into_iter().map(|w| w.id).collect::<Vec<WebhookId>>();
    assert_eq!(heard(tx.webhook_interests_of_meeting(meeting).await.expect("a list")), vec![id(1), id(2)]);
    assert_eq!(heard(tx.webhook_interests_of_user(ben).await.expect("a list")), vec![id(2)]);

    let mut participant = tx.participant_find_user(meeting, ben).await.expect("a row").expect("ben");
    for (state, hears) in [(ParticipantState::Removed, false), (ParticipantState::Waiting, false), (ParticipantState::Left, true)] {
        participant.state = state;
        tx.participant_update(&participant).await.expect("an update");
        let list = heard(tx.webhook_interests_of_meeting(meeting).await.expect("a list"));
        assert_eq!(list.contains(&id(2)), hears, "{state}");
    }
    let off = Webhook { enabled: false, disabled_at: Some(at(5)), ..webhook(1, anna) };
    tx.webhook_health_set(&off).await.expect("an update");
    assert_eq!(heard(tx.webhook_interests_of_meeting(meeting).await.expect("a list")), vec![id(2)]);
    tx.commit().await.expect("a commit");
});

both_engines!(webhooks_belong_to_one_user_and_page_from_the_newest, db => {
    let (anna, ben, _) = with_meeting(&db).await;
    let mut tx = db.store.begin().await.expect("a transaction");
    for number in 1..=3 {
        tx.webhook_insert(&webhook(number, anna), "whsec_a").await.expect("a webhook");
    }
    assert_eq!(tx.webhook_count(anna).await.expect("a count"), 3);
    assert_eq!(tx.webhook_count(ben).await.expect("a count"), 0);
    let page = tx.webhook_list(anna, Some(id(3)), 1).await.expect("a page");
    assert_eq!(page.iter().map(|w| w.id).collect::<Vec<_>>(), vec![id(2)]);
    assert!(matches!(tx.webhook_get(ben, id(1)).await, Err(meetmind_store::Error::NotFound(_))));
    let changed = Webhook { url: "https://example.com/other".to_owned(), events: vec!["*".to_owned()], ..webhook(1, anna) };
    tx.webhook_update(&changed).await.expect("an update");
    assert_eq!(tx.webhook_get(anna, id(1)).await.expect("the webhook"), changed);
    tx.webhook_delete(id(1)).await.expect("a deletion");
    assert_eq!(tx.webhook_count(anna).await.expect("a count"), 2);
});

both_engines!(a_delivery_moves_on_only_from_where_it_was, db => {
    let (anna, _, _) = with_meeting(&db).await;
    let mut tx = db.store.begin().await.expect("a transaction");
    tx.webhook_insert(&webhook(1, anna), "whsec_a").await.expect("a webhook");
    for number in [10, 11] {
        tx.delivery_insert(&delivery(number, id(1))).await.expect("a delivery");
    }
    let tried = Delivery { attempts: 1, next_attempt_at: Some(at(99)), ..delivery(10, id(1)) };
    assert!(tx.delivery_set(&tried, 0).await.expect("an update"));
    assert!(!tx.delivery_set(&tried, 0).await.expect("an update"));
    let attempt = DeliveryAttempt { id: id(1), delivery_id: id(10), status_code: Some(500), error: None, duration_ms: 12, at: at(20) };
    tx.delivery_attempt_insert(&attempt).await.expect("an attempt");
    assert_eq!(tx.delivery_attempt_list(id(10), 10).await.expect("attempts"), vec![attempt]);
    let (found, endpoint) = tx.delivery_target_find(id(10)).await.expect("a target").expect("both are there");
    assert_eq!((found, endpoint.secret.as_str()), (tried.clone(), "whsec_a"));
    assert_eq!(tx.delivery_get(id(1), id(10)).await.expect("the delivery"), tried);
    assert_eq!(tx.delivery_list(id(1), None, 10).await.expect("a list").len(), 2);
    assert_eq!(tx.delivery_trim(at(11)).await.expect("a trim"), 1);
    assert!(tx.delivery_target_find(id(10)).await.expect("a target").is_none());
    assert!(tx.delivery_attempt_list(id(10), 10).await.expect("attempts").is_empty());
});

both_engines!(one_job_waits_per_dedupe_key, db => {
    let mut tx = db.store.begin().await.expect("a transaction");
    let job = |number| Job {
        id: id(number), kind: JobKind::NotesFinal, webhook_id: None, payload: json!({}), run_at: at(1), attempts: 0, max_attempts: 3,
        dedupe_key: Some("one".to_owned()), last_error: None, created_at: at(1),
    };
    assert!(tx.job_insert(&job(1)).await.expect("a job"));
    assert!(!tx.job_insert(&job(2)).await.expect("a job"));
});
