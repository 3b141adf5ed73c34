//! Asking for runs, their states, and their end.

use super::advance::Step;
use super::*;

#[tokio::test]
async fn every_step_that_the_machine_lacks_is_refused_and_every_other_is_written_down() {
    let room = Room::new(AgentRole::Scribe).await;
    let run = room.ask_for_run().await;
    let ctx = room.ctx();
    for &from in RunState::ALL {
        for &to in RunState::ALL {
            // Each pair in a change of its own that is given up.
            let mut change = room.app().change(&ctx).await.expect("a change");
            let at = Run {
                state: from,
                ended_at: from.is_terminal().then_some(ctx.now),
                ..run.clone()
            };
            assert!(change.run_state_set(&run, &at).await.expect("an update"));
            let before = change
                .run_event_list(run.id, None, 10)
                .await
                .expect("steps");
            let step = Step::to(to, RunReason::Requested);
            let outcome = room.app().run_advance(&mut change, &ctx, &at, step).await;
            let after = change
                .run_event_list(run.id, None, 10)
                .await
                .expect("steps");
            let stays_live = from == RunState::Live && to == RunState::Live;
            if from.may_become(to) || stays_live {
                let new = outcome.expect("a step");
                assert_eq!((new.state, new.ended_at.is_some()), (to, to.is_terminal()));
                assert_eq!(new.activity.is_some(), to == RunState::Live);
                assert_eq!(after.len(), before.len() + 1, "{from} -> {to}");
                assert_eq!(after.last().map(|step| step.from_state), Some(Some(from)));
            } else {
                assert_eq!(code(outcome), Code::Conflict, "{from} -> {to}");
                assert_eq!(after.len(), before.len(), "{from} -> {to}");
            }
        }
    }
}

#[tokio::test]
async fn who_moves_a_run_that_moved_meanwhile_moves_nothing() {
    let room = Room::new(AgentRole::Scribe).await;
    let stale = room.ask_for_run().await;
    room.tick().await;
    let ctx = room.ctx();
    let mut change = room.app().change(&ctx).await.expect("a change");
    let step = Step::to(RunState::Cancelled, RunReason::Stopped);
    let outcome = room
        .app()
        .run_advance(&mut change, &ctx, &stale, step)
        .await;
    assert_eq!(code(outcome), Code::Conflict);
    drop(change);
    assert_eq!(room.run(stale.id).await.state, RunState::Live);
}

meetmind_store::both_engines!(a_run_becomes_live_step_by_step_and_ends_with_the_meeting, db => {
    let room = Room::on(db, AgentRole::Scribe).await;
    let run = room.live_run().await;
    let participant = room.test.db.store.read().await.expect("a connection")
        .participant_find_agent(room.meeting.id, room.agent.id).await.expect("a row").expect("a participant");
    assert_eq!((participant.role, participant.state, participant.name.as_str()), (MeetingRole::Agent, ParticipantState::Joined, "Max"));
    assert_eq!(run.participant_id, Some(participant.id));
    room.end_meeting().await;
    room.tick().await;
    let life = room.life(run.id).await;
    let words: Vec<(RunState, &str)> = life.iter().map(|(state, reason)| (*state, reason.as_str())).collect();
    assert_eq!(words, vec![
        (RunState::Queued, "requested"), (RunState::Dispatching, "claimed"), (RunState::Starting, "prepared"), (RunState::Joining, "entering"),
        (RunState::Live, "joined"), (RunState::Draining, "meeting_ended"), (RunState::Completed, "meeting_ended"),
    ]);
    let mut conn = room.test.db.store.read().await.expect("a connection");
    let told = conn.event_list(EventTopic::Run(run.id), 0, 100).await.expect("events");
    assert_eq!(told.len(), 7, "each step is an event of the run");
    let told = conn.event_list(EventTopic::Meeting(room.meeting.id), 0, 100).await.expect("events");
    assert_eq!(told.iter().filter(|event| event.kind == EventKind::AgentStateChanged).count(), 7, "and of the meeting");
});

meetmind_store::both_engines!(of_sixteen_starts_at_once_one_wins, db => {
    let room = std::sync::Arc::new(Room::on(db, AgentRole::Scribe).await);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let room = std::sync::Arc::clone(&room);
        tasks.spawn(async move { room.app().meeting_agent_add(&room.ctx(), room.meeting.id, room.agent.id).await });
    }
    let outcomes = tasks.join_all().await;
    let won: Vec<&Run> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
    assert_eq!(won.len(), 1, "{outcomes:?}");
    for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert_eq!(error.code, Code::AgentAlreadyRunning, "{error:?}");
        assert_eq!(error.details.as_ref().map(|details| details["run_id"].clone()), Some(json!(won[0].id)));
    }
});

#[tokio::test]
async fn a_run_for_a_planned_meeting_waits_for_it_and_auto_join_adds_no_second() {
    let room = Room::new(AgentRole::Scribe).await;
    let later = planned(&room.test, &room.anna).await;
    let run = room
        .app()
        .meeting_agent_add(&room.ctx(), later.id, room.agent.id)
        .await
        .expect("a run");
    assert!(run.message.contains("waits"), "{}", run.message);
    let status = AgentStatus::Running;
    let detail = room
        .app()
        .agent_status_set(&room.ctx(), room.agent.id, status, None, None)
        .await
        .expect("a status");
    assert!(detail.agent.auto_join);
    assert_eq!(room.tick().await.claimed, 0);
    let other = agent(&room.test, &room.anna, "Eva", AgentRole::Assistant).await;
    room.app()
        .agent_status_set(&room.ctx(), other.id, status, None, None)
        .await
        .expect("a status");
    begin(&room.test, later.clone()).await;
    assert_eq!(room.tick().await.claimed, 2);
    let rows = room
        .app()
        .meeting_agent_list(&room.ctx(), later.id, &PageQuery::default())
        .await
        .expect("agents");
    let mut names: Vec<_> = rows
        .items
        .iter()
        .map(|row| row.agent_name.as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["Eva", "Max"]);
}

#[tokio::test]
async fn a_run_whose_meeting_goes_away_is_cancelled_in_the_queue() {
    let room = Room::new(AgentRole::Scribe).await;
    let later = planned(&room.test, &room.anna).await;
    let new = MeetingNew {
        title: "With Max".to_owned(),
        agents: vec![room.agent.id, room.agent.id],
        ..MeetingNew::default()
    };
    let with_max = room
        .app()
        .meeting_create(&room.ctx(), new)
        .await
        .expect("a meeting");
    room.app()
        .meeting_delete(&room.ctx(), with_max.id)
        .await
        .expect("a deletion");
    assert_eq!(room.tick().await.ended, 1);
    let runs = room
        .app()
        .agent_runs(&room.ctx(), room.agent.id, &PageQuery::default())
        .await
        .expect("runs");
    assert_eq!(runs.items[0].state, RunState::Cancelled);
    assert_eq!(runs.items[0].reason_code, "meeting_ended");
    assert_eq!(later.status, MeetingStatus::Scheduled);
}

#[tokio::test]
async fn stopping_and_disabling_act_at_once_and_say_why() {
    let room = Room::new(AgentRole::Scribe).await;
    let run = room.live_run().await;
    room.app()
        .run_stop(&room.ctx(), run.id, Some("enough for today"))
        .await
        .expect("a stop");
    assert!(room.app().inner.agents.find(run.id).is_none());
    let stopped = room.run(run.id).await;
    assert_eq!(
        (stopped.state, stopped.message.as_str()),
        (RunState::Completed, "enough for today")
    );
    let again = room
        .app()
        .run_stop(&room.ctx(), run.id, None)
        .await
        .expect("it stays");
    assert_eq!(again.updated_at, stopped.updated_at);

    let run = room.live_run().await;
    let set = |status| {
        let (room, ctx) = (&room, room.ctx());
        async move {
            room.app()
                .agent_status_set(&ctx, room.agent.id, status, None, None)
                .await
                .expect("a status")
        }
    };
    let detail = set(AgentStatus::Disabled).await;
    assert_eq!(
        (detail.status, detail.runs.len()),
        (AgentStatus::Disabled, 0)
    );
    assert_eq!(room.run(run.id).await.state, RunState::Cancelled);
    let refused = room
        .app()
        .meeting_agent_add(&room.ctx(), room.meeting.id, room.agent.id)
        .await;
    assert_eq!(code(refused), Code::Conflict);
    assert_eq!(set(AgentStatus::Stopped).await.status, AgentStatus::Stopped);
    room.live_run().await;
    let left = set(AgentStatus::Stopped).await;
    assert!(!left.agent.auto_join);
    let mut conn = room.test.db.store.read().await.expect("a connection");
    let participant = conn
        .participant_find_agent(room.meeting.id, room.agent.id)
        .await
        .expect("a row")
        .expect("one participant for all runs");
    assert_eq!(participant.state, ParticipantState::Left);
}

#[tokio::test]
async fn deleting_an_agent_cancels_its_runs_first() {
    let room = Room::new(AgentRole::Scribe).await;
    let run = room.live_run().await;
    room.app()
        .agent_delete(&room.ctx(), room.agent.id)
        .await
        .expect("a deletion");
    assert_eq!(
        code(room.app().run_get(&room.ctx(), run.id).await),
        Code::NotFound
    );
    let mut conn = room.test.db.store.read().await.expect("a connection");
    let told = conn
        .event_list(EventTopic::Meeting(room.meeting.id), 0, 100)
        .await
        .expect("events");
    assert!(
        told.iter()
            .any(|event| event.data["reason_code"] == "agent_deleted")
    );
    assert_eq!(room.tick().await.held, 0);
}

#[tokio::test]
async fn a_new_version_is_for_the_next_run_and_old_versions_stay() {
    let room = Room::new(AgentRole::Scribe).await;
    let run = room.ask_for_run().await;
    let patch = AgentPatch {
        instructions: Some(Some("be brief".to_owned())),
        ..AgentPatch::default()
    };
    let app = room.app();
    assert_eq!(
        code(
            app.agent_update(&room.ctx(), room.agent.id, patch.clone(), Some(7))
                .await
        ),
        Code::PreconditionFailed
    );
    let detail = app
        .agent_update(&room.ctx(), room.agent.id, patch, Some(1))
        .await
        .expect("a version");
    assert_eq!(
        (detail.agent.version, detail.status),
        (2, AgentStatus::Running)
    );
    let role = AgentPatch {
        role: Some(AgentRole::Assistant),
        ..AgentPatch::default()
    };
    assert_eq!(
        code(
            app.agent_update(&room.ctx(), room.agent.id, role, None)
                .await
        ),
        Code::Conflict
    );
    room.tick().await;
    let held = app.inner.agents.find(run.id).expect("a live run");
    assert_eq!(
        (
            held.agent.version,
            held.agent.config.instructions.as_deref()
        ),
        (1, None)
    );
    let page = PageQuery {
        limit: 1,
        after: None,
    };
    let versions = app
        .agent_versions(&room.ctx(), room.agent.id, &page)
        .await
        .expect("versions");
    assert_eq!(
        (versions.items[0].version, versions.next_cursor.is_some()),
        (2, true)
    );
}
