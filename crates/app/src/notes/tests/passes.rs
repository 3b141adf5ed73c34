//! Passes over a growing meeting.

use meetmind_core::*;
use meetmind_store::both_engines;

use super::*;
use crate::Entropy;

both_engines!(notes_grow_with_the_meeting_and_repeat_nothing, db => {
    let room = Room::on(db).await;
    let mut seen: Vec<ActionId> = Vec::new();
    for at in (0..SCRIPT.len()).step_by(5) {
        room.say(at..at + 5).await;
        assert!(room.refresh(false).await.changed);
        room.check().await;
        let now: Vec<ActionId> = room.actions().await.iter().map(|a| a.id).collect();
        assert!(seen.iter().all(|id| now.contains(id)), "an action changed its id");
        seen = now;
    }
    assert_eq!(room.refresh(false).await, NotesPass { segments: 30, changed: false });
    let before = room.summary().await;
    assert!(room.refresh(true).await.changed);
    assert_eq!(room.refresh(true).await, NotesPass { segments: 30, changed: false });
    let summary = room.summary().await;
    assert_eq!((summary.is_final, summary.segment_count, summary.version), (true, 30, before.version + 1));
    assert_eq!(summary.engine, "offline");
    assert!((3..=8).contains(&summary.lines.len()));

    let actions = room.actions().await;
    let offer = actions.iter().find(|a| a.text.contains("landlord")).expect("the offer");
    assert_eq!((offer.owner.as_deref(), offer.owner_user_id), (Some("Ben"), room.ben.user_id()));
    assert_eq!((offer.due.as_deref(), offer.status), (Some("by Friday"), ActionStatus::Proposed));
    let voltage = actions.iter().find(|a| a.text.contains("voltage in")).expect("the task");
    assert_eq!(voltage.marker, Marker::Explicit);
    assert!(room.decisions().await.iter().any(|d| d.text.contains("harbour office")));
    assert_eq!(room.events(EventKind::ActionProposed).await.len(), actions.len());
    let topics = room.topics().await;
    assert!(!topics.is_empty());
    assert_eq!(topics.iter().map(|t| t.segment_ids.len()).sum::<usize>(), 30);
});

both_engines!(what_people_did_stays, db => {
    let room = Room::on(db).await;
    room.say(0..20).await;
    room.refresh(false).await;
    let ctx = room.test.ctx(&room.anna);
    let actions = room.actions().await;
    let offer = actions.iter().find(|a| a.text.contains("landlord")).expect("the offer").id;
    let voltage = actions.iter().find(|a| a.text.contains("voltage")).expect("the task").id;
    let patch = ActionPatch { text: Some("Offer in writing".to_owned()), status: Some(ActionStatus::Confirmed), ..ActionPatch::default() };
    let edited = room.app().action_update(&ctx, room.id, offer, patch, Some(1)).await.expect("an edit");
    let patch = ActionPatch { status: Some(ActionStatus::Dismissed), ..ActionPatch::default() };
    room.app().action_update(&ctx, room.id, voltage, patch, None).await.expect("a dismissal");
    let decision = room.decisions().await[0].clone();
    let patch = DecisionPatch { status: Some(DecisionStatus::Confirmed), ..DecisionPatch::default() };
    room.app().decision_update(&ctx, room.id, decision.id, patch, None).await.expect("a confirmation");
    let topic = room.topics().await[0].clone();
    room.app().topic_relabel(&ctx, room.id, topic.id, "Where we sit").await.expect("a label");
    let note = room.app().note_add(&ctx, room.id, "Ask the lawyer", &[]).await.expect("a note");
    let own = ActionNew { text: "Bring cake".to_owned(), owner: Some("ben".to_owned()), ..ActionNew::default() };
    let own = room.app().action_create(&ctx, room.id, own).await.expect("an action");
    assert_eq!(own.owner_user_id, room.ben.user_id());

    room.say(20..30).await;
    room.refresh(true).await;
    room.check().await;
    let actions = room.actions().await;
    assert_eq!(actions.iter().find(|a| a.id == offer), Some(&edited));
    assert_eq!(actions.iter().filter(|a| a.text.contains("landlord")).count(), 0);
    assert_eq!(actions.iter().find(|a| a.id == voltage).map(|a| a.status), Some(ActionStatus::Dismissed));
    assert!(actions.contains(&own), "a person's own proposal was deleted");
    assert_eq!(room.decisions().await.iter().find(|d| d.id == decision.id).map(|d| d.status), Some(DecisionStatus::Confirmed));
    assert!(room.topics().await.iter().any(|t| t.id == topic.id && t.label == "Where we sit"));
    let line = room.summary().await.lines.into_iter().find(|line| line.text == "Ask the lawyer");
    assert_eq!(line.map(|line| line.segment_ids), Some(note.segment_ids));
});

both_engines!(a_correction_makes_stale_and_the_next_pass_mends, db => {
    let room = Room::on(db).await;
    let said = room.say(0..10).await;
    room.refresh(false).await;
    let ctx = room.test.ctx(&room.anna);
    let action = room.actions().await[0].clone();
    let decision = room.decisions().await[0].clone();
    let patch = DecisionPatch { status: Some(DecisionStatus::Confirmed), ..DecisionPatch::default() };
    room.app().decision_update(&ctx, room.id, decision.id, patch, None).await.expect("a confirmation");
    room.test.clock.advance(std::time::Duration::from_secs(1));
    correct(&room, said[4], "I'll send the landlord our counter-offer for the lease by Friday.").await;
    correct(&room, said[6], "We decided to keep the harbour office for two more years.").await;
    assert!(room.actions().await[0].stale && room.topics().await[0].stale);

    room.refresh(false).await;
    room.check().await;
    let mended = room.actions().await[0].clone();
    assert_eq!((mended.id, mended.stale), (action.id, false));
    assert!(mended.text.contains("counter-offer"), "{}", mended.text);
    assert!(!room.topics().await[0].stale && !room.summary().await.stale);
    let kept = room.decisions().await.into_iter().find(|d| d.id == decision.id).expect("the decision");
    assert!(kept.stale && kept.text == decision.text, "a confirmed decision waits for a person");
    let patch = DecisionPatch { text: Some("Two more years".to_owned()), ..DecisionPatch::default() };
    let seen = room.app().decision_update(&ctx, room.id, decision.id, patch, None).await.expect("an edit");
    assert!(!seen.decision.stale);

    // What nobody said any more is proposed no more.
    correct(&room, said[4], "The landlord has a dog.").await;
    room.refresh(false).await;
    room.check().await;
    assert!(room.actions().await.is_empty());
    let mut tx = room.app().store().begin().await.expect("a transaction");
    let erased = tx.segment_get(room.id, said[6]).await.expect("the segment");
    tx.segment_erase(&erased).await.expect("an erasure");
    tx.commit().await.expect("a commit");
    room.refresh(false).await;
    room.check().await;
    // What quotes erased words goes with them, confirmed or not.
    assert!(room.decisions().await.iter().all(|d| d.id != decision.id && !d.segment_ids.contains(&said[6])));
});

both_engines!(two_passes_at_once_do_the_work_once, db => {
    let room = Room::on(db).await;
    room.say(0..30).await;
    // Two processes over one database: no lock in memory is shared.
    let other = App::new(
        room.app().store().clone(),
        Settings::default(),
        Box::new(room.test.clock.clone()),
        Entropy::seeded(8),
    ).await.expect("another process");
    let (ctx, ctx_other) = (room.app().system_ctx(), other.system_ctx());
    let (one, two, three) = tokio::join!(
        room.app().notes_refresh(&ctx, room.id, false),
        room.app().notes_refresh(&ctx, room.id, false),
        other.notes_refresh(&ctx_other, room.id, false),
    );
    let changed = [one, two, three].map(|pass| pass.expect("a pass").changed);
    assert_eq!(changed.iter().filter(|changed| **changed).count(), 1, "{changed:?}");
    room.check().await;
    assert_eq!(room.events(EventKind::SummaryUpdated).await.len(), 1);
});

both_engines!(silence_gives_an_empty_summary, db => {
    let room = Room::on(db).await;
    assert_eq!(room.refresh(true).await, NotesPass { segments: 0, changed: true });
    let ctx = room.test.ctx(&room.anna);
    let view = room.app().summary_get(&ctx, room.id, Some(NotesPersona::Executive)).await.expect("a view");
    let summary = view.summary.expect("a summary");
    assert_eq!((summary.headline.as_str(), summary.lines.len()), ("", 0));
    assert_eq!((view.coverage.segments, view.coverage.summarised, view.coverage.cited), (0, 0, 0));
    let insights = room.app().insights_get(&ctx, room.id).await.expect("insights");
    assert_eq!((insights.words, insights.longest_turn), (0, None));
});

/// The test data is not part of the project; see the readme of the tests for the variable.
#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "a test that looks for data outside the project"
)]
async fn real_meetings_give_notes_that_cite_what_was_said() {
    let Ok(folder) = std::env::var("MEETMIND_TEST_DATA") else {
        println!(
            "skipped: MEETMIND_TEST_DATA is not set to the data folder, so no real meeting is read"
        );
        return;
    };
    for name in ["ES2002a.json", "Bdb001.json"] {
        let db = meetmind_store::testing::TestDb::new(meetmind_store::Engine::Sqlite).await;
        let room = Room::on(db.expect("a database").expect("SQLite")).await;
        let path = std::path::Path::new(&folder).join("meetings").join(name);
        let text = std::fs::read_to_string(path).expect("a meeting");
        let file: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let turns: Vec<(&str, &str)> = file["meeting_transcripts"]
            .as_array()
            .expect("turns")
            .iter()
            .map(|t| {
                (
                    t["speaker"].as_str().unwrap_or("?"),
                    t["content"].as_str().unwrap_or(""),
                )
            })
            .filter(|(_, text)| !text.trim().is_empty())
            .collect();
        let half = turns.len() / 2;
        say(&room.test, room.id, &turns[..half], 0).await;
        room.refresh(false).await;
        say(&room.test, room.id, &turns[half..], half).await;
        room.refresh(true).await;
        room.check().await;
        assert!(!room.refresh(true).await.changed);
        assert_eq!(room.summary().await.segment_count, turns.len() as i64);
    }
}
