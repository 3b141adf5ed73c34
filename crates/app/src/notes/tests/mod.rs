//! A scripted meeting, and what passes over it must hold, on both engines.

mod answers;
mod passes;

use std::collections::HashSet;

use meetmind_core::*;
use meetmind_store::Citing;

use super::merge::normalised;
use super::*;
use crate::testing::TestApp;
use crate::{App, MeetingNew, Settings};

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
            .highlight_list(self.id, None, None, None, 100)
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
