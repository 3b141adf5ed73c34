//! Decisions that reverse others, and questions.

use meetmind_core::*;
use meetmind_store::both_engines;

use super::*;
use crate::AskScope;

both_engines!(a_later_decision_takes_the_place_of_an_earlier_one, db => {
    let room = Room::on(db).await;
    let app = room.app();
    let ctx = room.test.ctx(&room.anna);
    let series = Series {
        id: app.entropy().id(app.now()),
        owner_id: room.anna.user_id().expect("a user"),
        title: "Chargers".to_owned(),
        created_at: app.now(),
        updated_at: app.now(),
    };
    let mut tx = app.store().begin().await.expect("a transaction");
    tx.series_insert(&series).await.expect("a series");
    tx.commit().await.expect("a commit");
    let first = meeting(&room.test, &room.anna, Some(series.id), "One").await;
    let second = meeting(&room.test, &room.anna, Some(series.id), "Two").await;
    say(&room.test, first, &[("Anna", "We decided to use the kinetic charger in the remote control.")], 0).await;
    say(&room.test, first, &[("Anna", "We decided to paint the case yellow.")], 1).await;
    room.test.clock.advance(std::time::Duration::from_secs(1));
    app.notes_refresh(&room.test.ctx(&room.anna), first, true).await.expect("a pass");
    room.test.clock.advance(std::time::Duration::from_secs(1));
    say(&room.test, second, &[("Ben", "We decided to use normal batteries instead of the kinetic charger.")], 0).await;
    app.notes_refresh(&room.test.ctx(&room.anna), second, true).await.expect("a pass");

    let page = PageQuery::default();
    let old = app.decision_list(&ctx, first, None, &page).await.expect("a list").items;
    let kinetic = old.iter().find(|d| d.decision.text.contains("kinetic")).expect("the first").decision.clone();
    let yellow = old.iter().find(|d| d.decision.text.contains("yellow")).expect("the other").decision.clone();
    let new = app.decision_list(&ctx, second, None, &page).await.expect("a list").items.remove(0);
    assert_eq!(new.supersedes_candidates, [kinetic.id]);

    let supersede = |status, ids: &[DecisionId]| DecisionPatch { status, supersedes: ids.to_vec(), ..DecisionPatch::default() };
    let early = app.decision_update(&ctx, second, new.decision.id, supersede(None, &[kinetic.id]), None).await;
    assert_eq!(early.expect_err("not confirmed").code, Code::Conflict);
    let own = app.decision_update(&ctx, second, new.decision.id, supersede(Some(DecisionStatus::Confirmed), &[new.decision.id]), None).await;
    assert_eq!(own.expect_err("itself").code, Code::ValidationFailed);
    // Ben has no part in these meetings.
    let stranger = app.decision_update(&room.test.ctx(&room.ben), second, new.decision.id, supersede(None, &[]), None).await;
    assert_eq!(stranger.expect_err("a stranger").code, Code::NotFound);

    let done = app.decision_update(&ctx, second, new.decision.id, supersede(Some(DecisionStatus::Confirmed), &[kinetic.id]), None).await.expect("a change");
    assert_eq!(done.supersedes, [kinetic.id]);
    let old = app.decision_get(&ctx, first, kinetic.id).await.expect("the first").decision;
    assert_eq!((old.status, old.superseded_by), (DecisionStatus::Superseded, Some(new.decision.id)));
    let by_hand = app.decision_update(&ctx, first, yellow.id, supersede(Some(DecisionStatus::Superseded), &[]), None).await;
    assert_eq!(by_hand.expect_err("no successor").code, Code::Conflict);
    // Another pass over the first meeting leaves the chain alone.
    app.notes_refresh(&room.test.ctx(&room.anna), first, true).await.expect("a pass");
    assert_eq!(app.decision_get(&ctx, first, kinetic.id).await.expect("the first").decision.superseded_by, Some(new.decision.id));

    app.decision_update(&ctx, second, new.decision.id, supersede(Some(DecisionStatus::Dismissed), &[]), None).await.expect("a dismissal");
    let back = app.decision_get(&ctx, first, kinetic.id).await.expect("the first").decision;
    assert_eq!((back.status, back.superseded_by), (DecisionStatus::Proposed, None));
});

both_engines!(questions_are_answered_from_what_the_caller_may_read, db => {
    let room = Room::on(db).await;
    room.say(0..30).await;
    let stranger = room.test.user("eve").await;
    let waiting = room.test.user("will").await;
    room.join(room.id, &waiting, "Will", MeetingRole::Participant).await;
    let mut tx = room.app().store().begin().await.expect("a transaction");
    let mut at_the_door = tx.participant_find_user(room.id, waiting.user_id().expect("a user")).await.expect("a row").expect("a participant");
    at_the_door.state = ParticipantState::Waiting;
    tx.participant_update(&at_the_door).await.expect("an update");
    tx.commit().await.expect("a commit");
    let question = "How long does the battery of the solar charger last in the cold?";
    let app = room.app();
    for scope in [AskScope::Meeting(room.id), AskScope::All] {
        let answer = app.ask(&room.test.ctx(&room.anna), question, scope).await.expect("an answer");
        assert!(answer.found && answer.text.contains("four hours"), "{answer:?}");
        let best = &answer.citations[0];
        assert_eq!((best.meeting_id, best.meeting_title.as_deref(), best.start_ms), (Some(room.id), Some("Launch"), 12 * 60_000));
        assert!(best.segment_id.is_some());
    }
    let none = app.ask(&room.test.ctx(&room.anna), "What does the volcano in Iceland cost?", AskScope::All).await.expect("an answer");
    assert_eq!((none.found, none.text.as_str(), none.citations.len(), none.engine.as_str()), (false, "", 0, "offline"));
    for outsider in [&stranger, &waiting] {
        let ctx = room.test.ctx(outsider);
        let refused = app.ask(&ctx, question, AskScope::Meeting(room.id)).await;
        assert_eq!(refused.expect_err("no access").code, Code::NotFound);
        assert!(!app.ask(&ctx, question, AskScope::All).await.expect("an answer").found);
    }
    let guest = Actor::Guest { participant_id: at_the_door.id, meeting_id: meeting(&room.test, &room.ben, None, "Other").await, role: MeetingRole::Participant };
    let refused = app.ask(&room.test.ctx(&guest), question, AskScope::Meeting(room.id)).await;
    assert_eq!(refused.expect_err("another meeting").code, Code::NotFound);
    for bad in [String::new(), " ".to_owned(), "x".repeat(2_001), "a\0b".to_owned()] {
        let refused = app.ask(&room.test.ctx(&room.anna), &bad, AskScope::All).await;
        assert_eq!(refused.expect_err("no question").code, Code::ValidationFailed);
    }
});
