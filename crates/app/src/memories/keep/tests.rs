//! What is remembered of a meeting, for whom, and what is not.

use std::time::Duration;

use meetmind_core::{Actor, Consent, ConsentState, PageQuery};
use meetmind_store::MemoryFilter;

use super::*;
use crate::testing::TestApp;
use crate::transcripts::{ImportNew, SegmentNew};

#[test]
fn lasting_statements_are_told_from_talk() {
    assert_eq!(
        fact("Well, I prefer the smaller filler for us."),
        Some("preference")
    );
    assert_eq!(
        fact("I\u{2019}m allergic to cut hops, sadly."),
        Some("fact")
    );
    assert_eq!(fact("I like it."), None);
    assert_eq!(fact("I prefer the smaller filler, don't you?"), None);
    assert_eq!(fact("The chiller has been doing that all day."), None);
}

const FILE: &str = "Priya: Right, I prefer the smaller filler because of the floor.\n\
    Priya: I prefer the smaller filler because of the floor.\n\
    Mateo: I work for the credit union on Tuesdays.\n\
    Priya: Okay, so we decided to buy the Hallberg filler for forty-six thousand pounds.\n\
    Mateo: Action item: Priya will call the electrician by Friday.\n";

async fn imported(app: &TestApp, anna: &Actor) -> Meeting {
    let new = ImportNew::default();
    let ctx = app.ctx(anna);
    let imported = app.app.meeting_import(&ctx, FILE.as_bytes(), new).await;
    imported.expect("an import").meeting
}

async fn kept(app: &TestApp, actor: &Actor) -> Vec<Memory> {
    let page = PageQuery {
        limit: 100,
        after: None,
    };
    let filter = MemoryFilter::default();
    let ctx = app.ctx(actor);
    let list = app.app.memory_list(&ctx, None, filter, &page);
    let items = list.await.expect("a list").items;
    items.into_iter().map(|found| found.memory).collect()
}

#[tokio::test]
async fn a_second_pass_adds_nothing_and_brings_nothing_deleted_back() {
    let app = TestApp::new().await;
    let anna = app.user("anna").await;
    let meeting = imported(&app, &anna).await;
    let ctx = app.app.system_ctx();
    let first = app.app.memories_remember(&ctx, meeting.id).await;
    let memories = kept(&app, &anna).await;
    assert_eq!(first.expect("a pass"), memories.len());
    let of = |category: &str| {
        let mut found = memories
            .iter()
            .filter(|memory| memory.categories == [category]);
        found.next().cloned().expect(category)
    };
    let fact = of("fact");
    assert_eq!(fact.subject.as_deref(), Some("Mateo"));
    assert_eq!(fact.content, "I work for the credit union on Tuesdays.");
    assert_eq!(
        (fact.segment_ids.len(), fact.source),
        (1, MemorySource::Auto)
    );
    assert!(of("decision").content.contains("Hallberg"));
    assert!(of("commitment").content.contains("electrician"));

    app.app
        .memory_delete(&app.ctx(&anna), fact.id)
        .await
        .expect("a deletion");
    app.clock.advance(Duration::from_secs(5));
    let ctx = app.app.system_ctx();
    let again = app.app.memories_remember(&ctx, meeting.id).await;
    assert_eq!(again.expect("a pass"), 0);
    assert_eq!(kept(&app, &anna).await.len(), memories.len() - 1);
}

#[tokio::test]
async fn who_does_not_consent_is_not_remembered_and_off_is_off() {
    let app = TestApp::new().await;
    let anna = app.user("anna").await;
    let meeting = imported(&app, &anna).await;
    let mut tx = app.db.store.begin().await.expect("a transaction");
    let people = tx.participant_list(meeting.id, None, 10).await;
    let people = people.expect("participants");
    let mateo = people.iter().find(|person| person.name == "Mateo");
    let refusal = Consent {
        id: app.app.entropy().id(app.app.now()),
        meeting_id: meeting.id,
        participant_id: mateo.expect("Mateo").id,
        transcript: ConsentState::Granted,
        recording: ConsentState::Pending,
        memory: ConsentState::Denied,
        actor: "test".to_owned(),
        at: app.app.now(),
    };
    tx.consent_insert(&refusal).await.expect("an entry");
    tx.commit().await.expect("a commit");
    let ctx = app.app.system_ctx();
    app.app
        .memories_remember(&ctx, meeting.id)
        .await
        .expect("a pass");
    let memories = kept(&app, &anna).await;
    assert!(!memories.is_empty());
    let said = |memory: &Memory| memory.subject.as_deref() == Some("Mateo");
    assert!(!memories.iter().any(said), "{memories:?}");

    let other = imported(&app, &anna).await;
    let patch = crate::MeetingPatch {
        memory_mode: Some(MemoryMode::Manual),
        ..crate::MeetingPatch::default()
    };
    let by_anna = app.ctx(&anna);
    let change = app.app.meeting_update(&by_anna, other.id, patch, None);
    change.await.expect("a change");
    let none = app.app.memories_remember(&ctx, other.id).await;
    assert_eq!(none.expect("a pass"), 0);
}

#[tokio::test]
async fn those_who_were_there_remember_each_for_themselves() {
    let app = TestApp::new().await;
    let (anna, ben, vera) = (
        app.user("anna").await,
        app.user("ben").await,
        app.user("vera").await,
    );
    let new = crate::MeetingNew {
        title: "m".to_owned(),
        consent_policy: Some(ConsentPolicy::Implied),
        ..crate::MeetingNew::default()
    };
    let meeting = app.app.meeting_create(&app.ctx(&anna), new).await;
    let meeting = meeting.expect("a meeting");
    let mut tx = app.db.store.begin().await.expect("a transaction");
    for (actor, joined_at) in [(&ben, Some(app.app.now())), (&vera, None)] {
        let row = Participant {
            id: app.app.entropy().id(app.app.now()),
            meeting_id: meeting.id,
            user_id: actor.user_id(),
            agent_id: None,
            name: "x".to_owned(),
            role: MeetingRole::Participant,
            state: ParticipantState::Left,
            muted: false,
            joined_at,
            left_at: None,
            created_at: app.app.now(),
            updated_at: app.app.now(),
        };
        tx.participant_insert(&row).await.expect("a participant");
    }
    tx.commit().await.expect("a commit");
    let said = SegmentNew {
        speaker: None,
        text: "I prefer the smaller filler for our floor.".to_owned(),
        start_ms: None,
        end_ms: None,
        confidence: None,
        language: None,
        is_final: true,
        external_id: None,
    };
    let by_anna = app.ctx(&anna);
    let posted = app.app.transcript_post(&by_anna, meeting.id, vec![said]);
    posted.await.expect("a segment");
    let ctx = app.app.system_ctx();
    let count = app.app.memories_remember(&ctx, meeting.id).await;
    assert_eq!(count.expect("a pass"), 2);
    let sizes = [
        kept(&app, &anna).await.len(),
        kept(&app, &ben).await.len(),
        kept(&app, &vera).await.len(),
    ];
    assert_eq!(sizes, [1, 1, 0]);
}
