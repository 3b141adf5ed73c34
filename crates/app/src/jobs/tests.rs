//! Jobs: one per key, tried again, given up, taken over.

use std::time::Duration;

use meetmind_core::*;
use serde_json::{Value, json};

use super::{ATTEMPTS_MAX, Lane};
use crate::testing::TestApp;
use crate::{App, MeetingNew, Settings, WebhookNew};

async fn queue(app: &App, kind: JobKind, payload: Value, key: Option<&str>) {
    let ctx = app.system_ctx();
    let mut change = app.change(&ctx).await.expect("a change");
    app.job_queue(
        &mut change,
        &ctx,
        kind,
        payload,
        ctx.now,
        key.map(str::to_owned),
    )
    .await
    .expect("a job");
    change.commit().await.expect("a commit");
}

async fn waiting(app: &App) -> Vec<Job> {
    let mut conn = app.store().read().await.expect("a connection");
    conn.job_list(100).await.expect("jobs")
}

async fn work(app: &App) -> usize {
    app.run_due_jobs(&app.system_ctx()).await.expect("a turn")
}

async fn meeting(test: &TestApp) -> (Actor, Meeting) {
    let anna = test.user("anna").await;
    let new = MeetingNew {
        title: "Weekly".to_owned(),
        ..MeetingNew::default()
    };
    let meeting = test.app.meeting_create(&test.ctx(&anna), new).await;
    (anna, meeting.expect("a meeting"))
}

meetmind_store::both_engines!(the_end_of_a_meeting_brings_notes_and_then_memories, db => {
    let test = TestApp::on(db, Settings::default()).await;
    let (_, meeting) = meeting(&test).await;
    let ctx = test.app.system_ctx();
    let mut change = test.app.change(&ctx).await.expect("a change");
    test.app.meeting_end_within(&mut change, &ctx, meeting.clone()).await.expect("an end");
    test.app.meeting_end_queue(&mut change, &ctx, &meeting).await.expect("a second call");
    change.commit().await.expect("a commit");
    assert_eq!(waiting(&test.app).await.len(), 1, "one job per key");
    assert_eq!(work(&test.app).await, 2);
    assert!(waiting(&test.app).await.is_empty());
});

meetmind_store::both_engines!(a_job_whose_worker_died_runs_again_when_its_lease_is_over, db => {
    let test = TestApp::on(db, Settings::default()).await;
    queue(&test.app, JobKind::Remember, json!({ "meeting_id": MeetingId::from_uuid(uuid::Uuid::from_u128(1)) }), None).await;
    let mut tx = test.app.store().begin().await.expect("a transaction");
    let now = test.app.now();
    let claimed = tx.job_claim("gone", now, now.plus(Duration::from_secs(60)), 5).await.expect("a claim");
    assert_eq!((claimed.len(), claimed[0].attempts), (1, 1));
    tx.commit().await.expect("a commit");
    assert_eq!(work(&test.app).await, 0, "somebody is at it");
    test.clock.advance(Duration::from_secs(61));
    assert_eq!(work(&test.app).await, 1);
    assert!(waiting(&test.app).await.is_empty());
    // The dead worker wakes up: the job is no longer its own to close.
    let mut tx = test.app.store().begin().await.expect("a transaction");
    assert!(!tx.job_done(claimed[0].id, "gone").await.expect("a statement"));
});

meetmind_store::both_engines!(a_job_that_fails_waits_longer_each_time_and_is_given_up, db => {
    let test = TestApp::on(db, Settings::default()).await;
    queue(&test.app, JobKind::NotesFinal, json!({}), Some("broken")).await;
    let mut waits = Vec::new();
    for attempt in 1..=ATTEMPTS_MAX {
        assert_eq!(work(&test.app).await, 1, "attempt {attempt}");
        assert_eq!(work(&test.app).await, 0, "not before its time");
        let Some(job) = waiting(&test.app).await.pop() else { break };
        assert_eq!(job.attempts, attempt);
        assert!(job.last_error.is_some_and(|text| text.contains("names no meeting")));
        let wait = job.run_at.millis_since(test.app.now());
        waits.push(wait / 1000);
        test.clock.advance(Duration::from_millis(wait.unsigned_abs()));
    }
    assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 1280]);
    let mut conn = test.app.store().read().await.expect("a connection");
    assert_eq!(conn.job_list_failed(10).await.expect("jobs").len(), 1);
    drop(conn);
    queue(&test.app, JobKind::NotesFinal, json!({}), Some("broken")).await;
    assert_eq!(waiting(&test.app).await.len(), 1, "a job that was given up blocks no new one");
});

#[tokio::test]
async fn a_job_that_kills_its_process_is_given_up_too() {
    let test = TestApp::new().await;
    queue(&test.app, JobKind::Cleanup, json!({}), None).await;
    for _ in 0..ATTEMPTS_MAX {
        let mut tx = test.app.store().begin().await.expect("a transaction");
        let now = test.app.now();
        tx.job_claim("dies", now, now.plus(Duration::from_secs(60)), 1)
            .await
            .expect("a claim");
        tx.commit().await.expect("a commit");
        test.clock.advance(Duration::from_secs(61));
    }
    assert_eq!(work(&test.app).await, 1);
    assert!(waiting(&test.app).await.is_empty());
}

meetmind_store::both_engines!(two_workers_share_the_jobs_and_double_none, db => {
    let test = TestApp::on(db, Settings::default()).await;
    for _ in 0..20 {
        queue(&test.app, JobKind::Remember, json!({ "meeting_id": MeetingId::from_uuid(uuid::Uuid::from_u128(1)) }), None).await;
    }
    let other = App::new(test.db.store.clone(), Settings::default(), Box::new(test.clock.clone()), crate::Entropy::seeded(9)).await.expect("an app");
    let (one, two) = tokio::join!(work(&test.app), work(&other));
    assert_eq!(one + two, 20);
    assert!(waiting(&test.app).await.is_empty());
});

#[tokio::test]
async fn the_clean_up_erases_what_was_deleted_long_ago_and_comes_back_tomorrow() {
    let test = TestApp::new().await;
    let (anna, meeting) = meeting(&test).await;
    test.app
        .meeting_delete(&test.ctx(&anna), meeting.id)
        .await
        .expect("a deletion");
    test.app
        .cleanup_queue(&test.app.system_ctx())
        .await
        .expect("a job");
    test.app
        .cleanup_queue(&test.app.system_ctx())
        .await
        .expect("no second one");
    assert_eq!(work(&test.app).await, 1);
    let mut conn = test.app.store().read().await.expect("a connection");
    assert!(
        conn.meeting_get(meeting.id).await.is_ok(),
        "it can still be restored"
    );
    drop(conn);
    test.clock.advance(Duration::from_secs(31 * 86_400));
    assert_eq!(work(&test.app).await, 1);
    let mut conn = test.app.store().read().await.expect("a connection");
    assert!(conn.meeting_get(meeting.id).await.is_err());
    let topic = EventTopic::Meeting(meeting.id);
    assert!(
        conn.event_list(topic, 0, 10)
            .await
            .expect("events")
            .is_empty()
    );
    let next = conn
        .job_list(10)
        .await
        .expect("jobs")
        .pop()
        .expect("tomorrow's");
    assert_eq!(next.run_at.millis_since(test.app.now()), 86_400_000);
}

/// A webhook, and `count` deliveries to it that are due.
async fn deliveries(app: &App, test: &TestApp, actor: &Actor, count: u32) -> WebhookId {
    let ctx = test.ctx(actor);
    let new = WebhookNew {
        url: "https://example.com/".to_owned(),
        events: vec!["*".to_owned()],
    };
    let (webhook, _) = app.webhook_create(&ctx, new).await.expect("a webhook");
    for _ in 0..count {
        test.clock.advance(Duration::from_millis(1));
        app.webhook_test(&test.ctx(actor), webhook.id)
            .await
            .expect("a delivery");
    }
    webhook.id
}

fn endpoints(jobs: &[Job], webhook: WebhookId) -> usize {
    jobs.iter()
        .filter(|job| job.webhook_id == Some(webhook))
        .count()
}

meetmind_store::both_engines!(a_dead_endpoint_holds_its_own_places_and_no_others, db => {
    let test = TestApp::on(db, Settings::default()).await;
    let app = &test.app;
    let anna = test.user("anna").await;
    let dead = deliveries(app, &test, &anna, 40).await;
    let alive = deliveries(app, &test, &anna, 6).await;
    queue(app, JobKind::Cleanup, json!({}), None).await;
    let first = app.jobs_claim(Lane::Deliveries, 32).await.expect("a claim");
    assert_eq!((endpoints(&first, dead), endpoints(&first, alive), first.len()), (4, 4, 8));
    let mut oldest = waiting(app).await;
    oldest.retain(|job| job.webhook_id == Some(dead));
    assert!(first.iter().filter(|job| job.webhook_id == Some(dead)).eq(&oldest[..4]), "the oldest first");
    assert!(app.jobs_claim(Lane::Deliveries, 32).await.expect("a claim").is_empty());
    // Two places become free at the one, none at the other, whose turn never comes again.
    let mut tx = app.store().begin().await.expect("a transaction");
    let done: Vec<_> = first.iter().filter(|job| job.webhook_id == Some(alive)).take(2).collect();
    for job in done {
        assert!(tx.job_done(job.id, &app.node_id().to_string()).await.expect("an end"));
    }
    tx.commit().await.expect("a commit");
    let second = app.jobs_claim(Lane::Deliveries, 32).await.expect("a claim");
    assert_eq!((endpoints(&second, dead), endpoints(&second, alive)), (0, 2));
    let others = app.jobs_claim(Lane::Others, 40).await.expect("a claim");
    assert_eq!(others.iter().map(|job| job.kind).collect::<Vec<_>>(), [JobKind::Cleanup]);
    // A worker that died gives its places back with its leases.
    test.clock.advance(Duration::from_secs(61));
    let third = app.jobs_claim(Lane::Deliveries, 32).await.expect("a claim");
    assert_eq!((endpoints(&third, dead), endpoints(&third, alive)), (4, 4));
});

meetmind_store::both_engines!(a_lane_wakes_for_work_of_its_own_that_it_could_do, db => {
    let test = TestApp::on(db, Settings::default()).await;
    let app = &test.app;
    let anna = test.user("anna").await;
    let nothing = app.jobs_rest(Lane::Others).await;
    deliveries(app, &test, &anna, 5).await;
    assert_eq!(app.jobs_rest(Lane::Others).await, nothing, "a delivery is nothing to the other lane");
    assert!(app.jobs_rest(Lane::Deliveries).await < nothing);
    assert_eq!(app.jobs_claim(Lane::Deliveries, 32).await.expect("a claim").len(), 4);
    assert_eq!(app.jobs_rest(Lane::Deliveries).await, nothing, "the fifth waits for a place, not for a moment");
    queue(app, JobKind::Cleanup, json!({}), None).await;
    assert!(app.jobs_rest(Lane::Others).await < nothing);
    assert_eq!(app.jobs_rest(Lane::Deliveries).await, nothing);
});

meetmind_store::both_engines!(the_metrics_tell_how_long_the_oldest_job_is_due, db => {
    let test = TestApp::on(db, Settings::default()).await;
    let app = &test.app;
    queue(app, JobKind::Cleanup, json!({}), None).await;
    test.clock.advance(Duration::from_millis(2500));
    assert_eq!(app.jobs_oldest_due_s().await.expect("ages"), [("deliveries", 0.0), ("others", 2.5)]);
    assert_eq!(app.jobs_claim(Lane::Others, 1).await.expect("a claim").len(), 1);
    assert_eq!(app.jobs_oldest_due_s().await.expect("ages"), [("deliveries", 0.0), ("others", 0.0)]);
});
