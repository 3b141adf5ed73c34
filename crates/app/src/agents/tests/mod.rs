//! Agents and runs, from asking for one to its end.

mod answering;
mod following;
mod lifecycle;
mod quotas;
mod rights;
mod takeover;
mod workers;

use std::time::Duration;

use meetmind_core::*;
use meetmind_store::testing::TestDb;
use serde_json::{Value, json};

use super::*;
use crate::testing::TestApp;
use crate::{Entropy, MeetingNew, Settings};

/// A live meeting with its host, and one agent of the host.
struct Room {
    test: TestApp,
    anna: Actor,
    meeting: Meeting,
    agent: Agent,
}

impl Room {
    async fn new(role: AgentRole) -> Self {
        Self::over(TestApp::new().await, role).await
    }

    async fn on(db: TestDb, role: AgentRole) -> Self {
        Self::over(TestApp::on(db, Settings::default()).await, role).await
    }

    async fn with(settings: Settings) -> Self {
        Self::over(TestApp::with(settings).await, AgentRole::Scribe).await
    }

    async fn over(test: TestApp, role: AgentRole) -> Self {
        let anna = test.user("anna").await;
        let meeting = planned(&test, &anna).await;
        let meeting = begin(&test, meeting).await;
        let agent = agent(&test, &anna, "Max", role).await;
        Self {
            test,
            anna,
            meeting,
            agent,
        }
    }

    fn app(&self) -> &App {
        &self.test.app
    }

    fn ctx(&self) -> Ctx {
        self.test.ctx(&self.anna)
    }

    /// Asks for a run of the room's agent.
    async fn ask_for_run(&self) -> Run {
        self.app()
            .meeting_agent_add(&self.ctx(), self.meeting.id, self.agent.id)
            .await
            .expect("a queued run")
    }

    /// A run of the room's agent that is live here.
    async fn live_run(&self) -> Run {
        let run = self.ask_for_run().await;
        self.tick().await;
        let run = self.run(run.id).await;
        assert_eq!(run.state, RunState::Live);
        run
    }

    async fn tick(&self) -> RunTick {
        self.app()
            .tick_runs(&self.app().system_ctx())
            .await
            .expect("a turn")
    }

    async fn run(&self, id: RunId) -> Run {
        let mut conn = self.test.db.store.read().await.expect("a connection");
        conn.run_get(id).await.expect("the run")
    }

    /// `(from, to, reason)` of each step, and the check that the steps join up.
    async fn life(&self, id: RunId) -> Vec<(RunState, String)> {
        let mut conn = self.test.db.store.read().await.expect("a connection");
        let steps = conn.run_event_list(id, None, 1000).await.expect("steps");
        let mut last = None;
        for step in &steps {
            assert_eq!(step.from_state, last, "the steps join up");
            last = Some(step.to_state);
        }
        steps
            .into_iter()
            .map(|step| (step.to_state, step.reason_code))
            .collect()
    }

    /// Stores events of the meeting, as other parts do.
    async fn happened(&self, kind: EventKind, data: &[Value]) {
        let ctx = self.ctx();
        let mut change = self.app().change(&ctx).await.expect("a change");
        for data in data {
            change
                .meeting_event(self.meeting.id, kind, data)
                .await
                .expect("an event");
        }
        change.commit().await.expect("a commit");
    }

    async fn said(&self, count: usize) {
        // Later words first: the order of speech is not the order of arrival.
        let data: Vec<Value> = (0..count)
            .map(|number| json!({ "start_ms": (count - number) * 1000 }))
            .collect();
        self.happened(EventKind::SegmentFinalized, &data).await;
    }

    async fn end_meeting(&self) {
        let ctx = self.ctx();
        let mut change = self.app().change(&ctx).await.expect("a change");
        let meeting = change.meeting_get(self.meeting.id).await.expect("it");
        self.app()
            .meeting_end_within(&mut change, &ctx, meeting)
            .await
            .expect("an end");
        change.commit().await.expect("a commit");
    }

    /// Another process on the same database and clock.
    async fn other_process(&self) -> App {
        App::new(
            self.test.db.store.clone(),
            self.app().settings().clone(),
            Box::new(self.test.clock.clone()),
            Entropy::seeded(99),
        )
        .await
        .expect("an app")
    }
}

async fn planned(test: &TestApp, host: &Actor) -> Meeting {
    let new = MeetingNew {
        title: "Weekly".to_owned(),
        ..MeetingNew::default()
    };
    test.app
        .meeting_create(&test.ctx(host), new)
        .await
        .expect("a meeting")
}

async fn begin(test: &TestApp, meeting: Meeting) -> Meeting {
    let ctx = test.app.system_ctx();
    let mut change = test.app.change(&ctx).await.expect("a change");
    let meeting = test
        .app
        .meeting_start_within(&mut change, &ctx, meeting)
        .await
        .expect("a start");
    change.commit().await.expect("a commit");
    meeting
}

async fn agent(test: &TestApp, owner: &Actor, name: &str, role: AgentRole) -> Agent {
    let new = AgentNew {
        name: name.to_owned(),
        role: Some(role),
        ..AgentNew::default()
    };
    test.app
        .agent_create(&test.ctx(owner), new)
        .await
        .expect("an agent")
        .agent
}

fn code<T: std::fmt::Debug>(outcome: Result<T>) -> Code {
    outcome.expect_err("a refusal").code
}
