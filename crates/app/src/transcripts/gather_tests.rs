//! Posts that come at the same time: together, each with its own answer.

use std::time::Duration;

use meetmind_core::*;
use meetmind_store::both_engines;

use super::*;
use crate::testing::TestApp;
use crate::{ConsentChange, MeetingNew, ParticipantNew, Repetition, Settings, Who};

fn said(text: &str) -> SegmentNew {
    SegmentNew {
        speaker: None,
        text: text.to_owned(),
        start_ms: Some(0),
        end_ms: Some(1000),
        confidence: None,
        language: None,
        is_final: true,
        external_id: None,
    }
}

fn named(external_id: &str, text: &str, is_final: bool) -> SegmentNew {
    SegmentNew {
        external_id: Some(external_id.to_owned()),
        is_final,
        ..said(text)
    }
}

/// A meeting of Anna's that is live.
async fn live(test: &TestApp, anna: &Actor) -> MeetingId {
    let ctx = test.ctx(anna);
    let new = MeetingNew {
        title: "Weekly".to_owned(),
        consent_policy: Some(ConsentPolicy::Implied),
        ..MeetingNew::default()
    };
    let meeting = test.app.meeting_create(&ctx, new).await.expect("a meeting");
    let first = test
        .app
        .transcript_post(&ctx, meeting.id, vec![said("Hello.")])
        .await;
    assert!(first.expect("the first words")[0].added);
    meeting.id
}

type Answer = oneshot::Receiver<Result<SegmentPosted>>;

/// Puts a post into its queue as if a transaction were under way.
fn queue(test: &TestApp, actor: &Actor, meeting_id: MeetingId, new: SegmentNew) -> Answer {
    queue_of(test, test.ctx(actor), meeting_id, new)
}

fn queue_of(test: &TestApp, ctx: Ctx, meeting_id: MeetingId, new: SegmentNew) -> Answer {
    let posts = &test.app.inner.posts;
    let queue = &posts.queues[posts.place(meeting_id)];
    queue.lock().at_work = true;
    let (answer, answered) = oneshot::channel();
    let post = Post {
        ctx,
        meeting_id,
        new,
        answer,
    };
    assert!(!queue.push(post), "somebody is at work");
    answered
}

/// The transaction under way ends, and the next ones begin.
async fn work(test: &TestApp, meeting_id: MeetingId) {
    let place = test.app.inner.posts.place(meeting_id);
    test.app.posts_work(place).await;
}

async fn answer(answered: Answer) -> Result<SegmentPosted> {
    answered.await.expect("an answer")
}

async fn events(test: &TestApp, meeting_id: MeetingId) -> Vec<Event> {
    let mut conn = test.app.store().read().await.expect("a connection");
    let topic = EventTopic::Meeting(meeting_id);
    let mut events = conn.event_list(topic, 0, 500).await.expect("events");
    events.retain(|event| {
        matches!(
            event.kind,
            EventKind::SegmentFinalized | EventKind::SegmentDrafted
        )
    });
    events
}

both_engines!(posts_that_wait_share_a_transaction_and_keep_their_order, db => {
    let test = TestApp::on(db, Settings::default()).await;
    let anna = test.user("anna").await;
    let meeting_id = live(&test, &anna).await;
    let mut answers = Vec::new();
    for number in 0..TOGETHER_MAX + 6 {
        let new = if number % 3 == 0 { named(&format!("e{number}"), "One.", true) } else { said("Two.") };
        answers.push(queue(&test, &anna, meeting_id, new));
    }
    let asked_at = test.app.now();
    test.clock.advance(Duration::from_secs(1));
    let transaction_at = test.app.now();
    work(&test, meeting_id).await;
    let mut ids = Vec::new();
    for one in answers {
        let posted = answer(one).await.expect("a segment");
        assert!(posted.added && posted.segment.created_at == transaction_at && asked_at < transaction_at);
        ids.push(posted.segment.id.to_string());
    }
    let told: Vec<Event> = events(&test, meeting_id).await.split_off(1);
    assert_eq!(told.iter().map(|event| event.data["id"].as_str().unwrap_or_default()).collect::<Vec<_>>(), ids);
    assert!(told.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1), "without a gap");
    let mut conn = test.app.store().read().await.expect("a connection");
    assert_eq!(conn.segment_finals(meeting_id).await.expect("segments").len(), TOGETHER_MAX + 7);
});

both_engines!(a_post_that_is_refused_leaves_the_others_as_they_are, db => {
    let test = TestApp::on(db, Settings::default()).await;
    let (anna, ben, eve) = (test.user("anna").await, test.user("ben").await, test.user("eve").await);
    let (one, two) = (live(&test, &anna).await, live(&test, &anna).await);
    let new = ParticipantNew { who: Who::User(ben.user_id().expect("a user")), role: MeetingRole::Participant };
    let invited = test.app.participant_add(&test.ctx(&anna), one, new).await.expect("an invitation");
    let denied = ConsentChange { transcript: Some(ConsentState::Denied), ..ConsentChange::default() };
    test.app.consent_set(&test.ctx(&ben), one, invited.id, denied).await.expect("a word");
    let answers = [
        queue(&test, &anna, one, named("a", "Draft.", false)),
        queue(&test, &eve, one, said("I am a stranger.")),
        queue(&test, &ben, one, said("I said no.")),
        queue(&test, &anna, one, named("a", "Final.", true)),
        queue(&test, &anna, one, named("a", "Other words.", true)),
        queue(&test, &anna, one, named("a", "Final.", true)),
        queue(&test, &anna, one, said("The last.")),
    ];
    let other = queue(&test, &anna, two, said("Elsewhere."));
    work(&test, one).await;
    if test.app.inner.posts.place(one) != test.app.inner.posts.place(two) {
        work(&test, two).await;
    }
    assert!(answer(other).await.expect("a segment").added);
    let mut words = Vec::new();
    for one in answers {
        words.push(match answer(one).await {
            Ok(posted) => format!("{} v{} {}", posted.segment.text, posted.segment.version, posted.added),
            Err(error) => error.code.to_string(),
        });
    }
    assert_eq!(words, [
        "Draft. v1 true", "NOT_FOUND", "CONSENT_DENIED", "Final. v2 false", "SEGMENT_FINAL", "Final. v2 false", "The last. v1 true",
    ]);
    let told: Vec<String> = events(&test, one).await.iter().skip(1).map(|event| event.data["text"].to_string()).collect();
    assert_eq!(told, ["\"Draft.\"", "\"Final.\"", "\"The last.\""]);
});

both_engines!(what_the_database_refuses_spoils_nobody_elses_post, db => {
    let test = TestApp::on(db, Settings::default()).await;
    let anna = test.user("anna").await;
    let meeting_id = live(&test, &anna).await;
    // Past the checks of the call: only the table's own is left.
    let bad = SegmentNew { start_ms: Some(-5), ..said("Bad.") };
    let answers = [said("One."), bad, said("Two.")].map(|new| queue(&test, &anna, meeting_id, new));
    work(&test, meeting_id).await;
    let [one, bad, two] = answers;
    assert!(answer(one).await.expect("a segment").added);
    assert_eq!(answer(bad).await.expect_err("a refusal").code, Code::Internal);
    assert!(answer(two).await.expect("a segment").added);
    assert_eq!(events(&test, meeting_id).await.len(), 3);
});

both_engines!(a_post_with_a_key_is_carried_out_with_the_transaction_it_shares, db => {
    let test = TestApp::on(db, Settings::default()).await;
    let anna = test.user("anna").await;
    let meeting_id = live(&test, &anna).await;
    let mut keyed = test.ctx(&anna);
    let Repetition::First(claim) = test.app.idempotency_begin(&keyed, "k", vec![1]).await.expect("a claim") else {
        panic!("nobody had the key");
    };
    let once = std::sync::Arc::new(Once::new(claim.actor.clone(), claim.key.clone(), claim.created_at));
    keyed.once = Some(once.clone());
    // The first asks for its access without a key, and the second must not go by that alone.
    let plain = queue(&test, &anna, meeting_id, said("One."));
    let answered = queue_of(&test, keyed, meeting_id, said("Two."));
    work(&test, meeting_id).await;
    assert!(answer(plain).await.expect("a segment").added && answer(answered).await.expect("a segment").added);
    assert!(!once.granted().is_empty());
    let mut conn = test.app.store().read().await.expect("a connection");
    let row = conn.idempotency_find(&claim.actor, &claim.key).await.expect("a row").expect("the key");
    assert_eq!(row.status, Some(0), "carried out, the answer follows");
});
