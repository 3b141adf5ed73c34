//! Passes over a scripted meeting, on both engines.

use std::collections::HashSet;

use meetmind_core::*;
use meetmind_store::{Citing, both_engines};

use super::merge::normalised;
use super::*;
use crate::testing::TestApp;
use crate::{App, AskScope, Entropy, MeetingNew, Settings};

/// Thirty turns of a team that plans a launch.
const SCRIPT: &[(&str, &str)] = &[
    (
        "Anna",
        "Welcome everybody, let's start with the budget for the harbour office.",
    ),
    (
        "Ben",
        "The landlord wants a longer office lease, and the rent goes up by ten percent.",
    ),
    (
        "Cleo",
        "That is more than the whole budget we set aside for the harbour office lease.",
    ),
    (
        "Anna",
        "So the office lease is the main risk in our budget this quarter.",
    ),
    (
        "Ben",
        "I'll send the landlord our offer for the lease by Friday.",
    ),
    ("Cleo", "Okay."),
    (
        "Anna",
        "We decided to keep the harbour office for one more year.",
    ),
    (
        "Ben",
        "Right, and the rent is paid every month from the office budget.",
    ),
    (
        "Cleo",
        "Who signs the lease for the harbour office in the end?",
    ),
    ("Ben", "I don't know yet."),
    ("Anna", "Okay."),
    (
        "Cleo",
        "Let's move on to the solar charger and its battery.",
    ),
    (
        "Ben",
        "The battery of the solar charger lasts only four hours in the cold.",
    ),
    (
        "Anna",
        "A bigger battery cell costs two dollars more for every solar charger.",
    ),
    (
        "Cleo",
        "The customers complained about the battery of the charger in the last survey.",
    ),
    (
        "Ben",
        "Action item: Cleo measures the battery voltage in the cold chamber.",
    ),
    (
        "Anna",
        "Let's go with the bigger battery cell for the charger.",
    ),
    ("Cleo", "Yeah, sounds good."),
    (
        "Ben",
        "The voltage sensor of the charger needs a new circuit as well.",
    ),
    (
        "Anna",
        "The supplier has the sensor in stock, so the circuit is not a problem.",
    ),
    (
        "Cleo",
        "I'll order the voltage sensor from the supplier by Monday.",
    ),
    (
        "Ben",
        "Next topic, hiring: the pipeline has two candidates for the support team.",
    ),
    (
        "Anna",
        "The interview panel liked one candidate because she knows our customers.",
    ),
    (
        "Cleo",
        "The other candidate wants to work from another country.",
    ),
    (
        "Ben",
        "The interview panel meets the second candidate next week.",
    ),
    (
        "Anna",
        "We agreed that the panel makes an offer to the first candidate.",
    ),
    (
        "Cleo",
        "Great, the support team needs somebody before the launch in May.",
    ),
    (
        "Ben",
        "The launch in May depends on the battery and on the support team.",
    ),
    (
        "Anna",
        "Action item: Ben writes the offer for the candidate by Wednesday.",
    ),
    ("Cleo", "Thank you all, that was a good meeting."),
];

/// A meeting of Anna, Ben and Cleo.
struct Room {
    test: TestApp,
    anna: Actor,
    ben: Actor,
    id: MeetingId,
}

impl Room {
    async fn on(db: meetmind_store::testing::TestDb) -> Self {
        let test = TestApp::on(db, Settings::default()).await;
        let (anna, ben) = (test.user("anna").await, test.user("ben").await);
        let id = meeting(&test, &anna, None, "Launch").await;
        let room = Self {
            test,
            anna,
            ben,
            id,
        };
        room.name_host(id, "Anna").await;
        room.join(id, &room.ben, "Ben", MeetingRole::Participant)
            .await;
        room
    }

    fn app(&self) -> &App {
        &self.test.app
    }

    async fn name_host(&self, id: MeetingId, name: &str) {
        let mut tx = self.app().store().begin().await.expect("a transaction");
        let user_id = self.anna.user_id().expect("a user");
        let mut host = tx
            .participant_find_user(id, user_id)
            .await
            .expect("a row")
            .expect("the host");
        host.name = name.to_owned();
        tx.participant_update(&host).await.expect("an update");
        tx.commit().await.expect("a commit");
    }

    async fn join(&self, id: MeetingId, who: &Actor, name: &str, role: MeetingRole) {
        let now = self.app().now();
        let participant = Participant {
            id: self.app().entropy().id(now),
            meeting_id: id,
            user_id: who.user_id(),
            agent_id: None,
            name: name.to_owned(),
            role,
            state: ParticipantState::Joined,
            muted: false,
            joined_at: Some(now),
            left_at: None,
            created_at: now,
            updated_at: now,
        };
        let mut tx = self.app().store().begin().await.expect("a transaction");
        tx.participant_insert(&participant)
            .await
            .expect("a participant");
        tx.commit().await.expect("a commit");
    }

    async fn say(&self, turns: std::ops::Range<usize>) -> Vec<SegmentId> {
        say(&self.test, self.id, &SCRIPT[turns.clone()], turns.start).await
    }

    async fn refresh(&self, is_final: bool) -> NotesPass {
        self.test.clock.advance(std::time::Duration::from_secs(1));
        let ctx = self.app().system_ctx();
        self.app()
            .notes_refresh(&ctx, self.id, is_final)
            .await
            .expect("a pass")
    }

    async fn actions(&self) -> Vec<Action> {
        let mut conn = self.app().store().read().await.expect("a connection");
        conn.action_list(self.id, None, None, 100)
            .await
            .expect("actions")
    }

    async fn decisions(&self) -> Vec<Decision> {
        let mut conn = self.app().store().read().await.expect("a connection");
        conn.decision_list(self.id, None, None, 100)
            .await
            .expect("decisions")
    }

    async fn topics(&self) -> Vec<Topic> {
        let mut conn = self.app().store().read().await.expect("a connection");
        conn.topic_list(self.id, None, 100).await.expect("topics")
    }

    async fn summary(&self) -> Summary {
        let mut conn = self.app().store().read().await.expect("a connection");
        conn.summary_find(self.id)
            .await
            .expect("a row")
            .expect("a summary")
    }

    async fn events(&self, kind: EventKind) -> Vec<Event> {
        let mut conn = self.app().store().read().await.expect("a connection");
        let all = conn
            .event_list(EventTopic::Meeting(self.id), 0, 10_000)
            .await
            .expect("events");
        all.into_iter().filter(|event| event.kind == kind).collect()
    }

    /// Every row cites what it says it cites, and nothing is there twice.
    async fn check(&self) {
        let mut conn = self.app().store().read().await.expect("a connection");
        let said: HashSet<SegmentId> = conn
            .segment_finals(self.id)
            .await
            .expect("segments")
            .iter()
            .map(|s| s.id)
            .collect();
        let summary = conn
            .summary_find(self.id)
            .await
            .expect("a row")
            .expect("a summary");
        let mut rows = Vec::new();
        for row in conn.topic_list(self.id, None, 100).await.expect("topics") {
            rows.push((
                conn.citation_list(Citing::Topic, row.id).await,
                row.segment_ids,
            ));
        }
        for row in conn
            .highlight_list(self.id, None, 100)
            .await
            .expect("highlights")
        {
            rows.push((
                conn.citation_list(Citing::Highlight, row.id).await,
                row.segment_ids,
            ));
        }
        for row in conn
            .action_list(self.id, None, None, 100)
            .await
            .expect("actions")
        {
            rows.push((
                conn.citation_list(Citing::Action, row.id).await,
                row.segment_ids,
            ));
        }
        for row in conn
            .decision_list(self.id, None, None, 100)
            .await
            .expect("decisions")
        {
            rows.push((
                conn.citation_list(Citing::Decision, row.id).await,
                row.segment_ids,
            ));
        }
        assert!(
            summary
                .lines
                .iter()
                .all(|line| !line.segment_ids.is_empty())
        );
        let cited = summary
            .lines
            .iter()
            .flat_map(|line| line.segment_ids.clone())
            .collect();
        rows.push((conn.citation_list(Citing::Summary, summary.id).await, cited));
        for (stored, mut ids) in rows {
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(stored.expect("citations"), ids);
            assert!(ids.iter().all(|id| said.contains(id)));
        }
        let mut texts: Vec<String> = self
            .actions()
            .await
            .iter()
            .map(|a| normalised(&a.text))
            .collect();
        texts.extend(self.decisions().await.iter().map(|d| normalised(&d.text)));
        let count = texts.len();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), count, "an item is there twice");
    }
}

async fn meeting(
    test: &TestApp,
    host: &Actor,
    series_id: Option<SeriesId>,
    title: &str,
) -> MeetingId {
    let new = MeetingNew {
        title: title.to_owned(),
        series_id,
        ..MeetingNew::default()
    };
    let meeting = test
        .app
        .meeting_create(&test.ctx(host), new)
        .await
        .expect("a meeting");
    meeting.id
}

async fn say(test: &TestApp, id: MeetingId, lines: &[(&str, &str)], from: usize) -> Vec<SegmentId> {
    let mut tx = test.app.store().begin().await.expect("a transaction");
    let mut ids = Vec::new();
    for (at, (speaker, text)) in lines.iter().enumerate() {
        let start_ms = (from + at) as i64 * 60_000;
        let now = test.app.now();
        let segment = Segment {
            id: test.app.entropy().id(now),
            meeting_id: id,
            participant_id: None,
            speaker: (*speaker).to_owned(),
            text: (*text).to_owned(),
            start_ms,
            end_ms: start_ms + 50_000,
            confidence: None,
            language: None,
            is_final: true,
            external_id: None,
            attribution: Attribution::Declared,
            version: 1,
            corrected_at: None,
            created_at: now,
            updated_at: now,
        };
        tx.segment_insert(&segment).await.expect("a segment");
        ids.push(segment.id);
    }
    tx.commit().await.expect("a commit");
    ids
}

async fn correct(room: &Room, id: SegmentId, text: &str) {
    let mut tx = room.app().store().begin().await.expect("a transaction");
    let now = room.app().now();
    let mut segment = tx.segment_get(room.id, id).await.expect("a segment");
    segment.text = text.to_owned();
    segment.version += 1;
    segment.corrected_at = Some(now);
    tx.segment_update(&segment).await.expect("an update");
    tx.derived_mark_stale(id, now).await.expect("stale rows");
    tx.commit().await.expect("a commit");
}

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
    app.notes_refresh(&ctx, first, true).await.expect("a pass");
    room.test.clock.advance(std::time::Duration::from_secs(1));
    say(&room.test, second, &[("Ben", "We decided to use normal batteries instead of the kinetic charger.")], 0).await;
    app.notes_refresh(&ctx, second, true).await.expect("a pass");

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
    app.notes_refresh(&ctx, first, true).await.expect("a pass");
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
        assert_eq!(room.refresh(true).await.changed, false);
        assert_eq!(room.summary().await.segment_count, turns.len() as i64);
    }
}
