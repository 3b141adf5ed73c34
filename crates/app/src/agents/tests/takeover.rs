//! Processes that die, restart, drain, and panic.

use super::held::Held;
use super::*;

const LEASE: Duration = Duration::from_secs(16);

meetmind_store::both_engines!(a_run_of_a_silent_node_is_taken_up_by_another_where_it_was, db => {
    let room = Room::on(db, AgentRole::Scribe).await;
    let run = room.live_run().await;
    room.said(3).await;
    room.tick().await;
    // The counters are written with the next heartbeat.
    room.tick().await;
    let other = room.other_process().await;
    assert_eq!(other.tick_runs(&other.system_ctx()).await.expect("a turn"), RunTick::default(), "a lease that runs is respected");
    room.test.clock.advance(LEASE);
    let tick = other.tick_runs(&other.system_ctx()).await.expect("a turn");
    assert_eq!((tick.requeued, tick.claimed, tick.held), (1, 1, 1));
    let taken = room.run(run.id).await;
    assert_eq!((taken.state, taken.attempt, taken.counters.segments), (RunState::Live, 2, 3));
    assert_eq!(taken.lease_owner, Some(other.node_id().to_string()));
    // The first node comes back to itself: it holds nothing any more and changes nothing.
    assert_eq!(room.tick().await.held, 0);
    room.said(2).await;
    other.tick_runs(&other.system_ctx()).await.expect("a turn");
    other.tick_runs(&other.system_ctx()).await.expect("a turn");
    assert_eq!(room.run(run.id).await.counters.segments, 5, "nothing lost, nothing twice");
    let life = room.life(run.id).await;
    assert!(life.iter().any(|(state, reason)| *state == RunState::Queued && reason == "lease_expired"));
});

#[tokio::test]
async fn a_run_over_which_three_processes_died_is_lost() {
    let room = Room::new(AgentRole::Scribe).await;
    let run = room.live_run().await;
    for attempt in 2..=3 {
        room.test.clock.advance(LEASE);
        let other = room.other_process().await;
        other.tick_runs(&other.system_ctx()).await.expect("a turn");
        assert_eq!(room.run(run.id).await.attempt, attempt);
    }
    room.test.clock.advance(LEASE);
    let other = room.other_process().await;
    let tick = other.tick_runs(&other.system_ctx()).await.expect("a turn");
    assert_eq!((tick.requeued, tick.ended), (0, 1));
    let lost = room.run(run.id).await;
    assert_eq!(
        (lost.state, lost.reason_code.as_str()),
        (RunState::Lost, "attempts_exhausted")
    );
    room.ask_for_run().await;
}

#[tokio::test]
async fn a_run_whose_node_and_meeting_are_gone_is_lost() {
    let room = Room::new(AgentRole::Scribe).await;
    let run = room.live_run().await;
    room.end_meeting().await;
    room.test.clock.advance(LEASE);
    let other = room.other_process().await;
    other.tick_runs(&other.system_ctx()).await.expect("a turn");
    let lost = room.run(run.id).await;
    assert_eq!(
        (lost.state, lost.reason_code.as_str()),
        (RunState::Lost, "meeting_ended")
    );
}

#[tokio::test]
async fn a_restarted_process_does_not_wait_for_the_lease_on_sqlite() {
    let room = Room::new(AgentRole::Scribe).await;
    let run = room.live_run().await;
    let restarted = room.other_process().await;
    assert_eq!(restarted.recover_runs().await.expect("a recovery"), 1);
    assert_eq!(room.run(run.id).await.reason_code, "process_restarted");
    let tick = restarted
        .tick_runs(&restarted.system_ctx())
        .await
        .expect("a turn");
    assert_eq!(tick.claimed, 1);
    assert_eq!(
        restarted.recover_runs().await.expect("a recovery"),
        0,
        "its own runs stay"
    );
}

meetmind_store::both_engines!(a_draining_process_hands_its_runs_over, db => {
    let room = Room::on(db, AgentRole::Scribe).await;
    let run = room.live_run().await;
    room.said(4).await;
    room.tick().await;
    room.app().drain_begin();
    assert_eq!(room.app().runs_hand_over(&room.app().system_ctx()).await.expect("a hand-over"), 1);
    let waiting = room.run(run.id).await;
    assert_eq!((waiting.state, waiting.reason_code.as_str(), waiting.counters.segments), (RunState::Queued, "node_draining", 4));
    assert_eq!(room.tick().await, RunTick::default(), "a draining process claims nothing");
    let next = room.other_process().await;
    assert_eq!(next.tick_runs(&next.system_ctx()).await.expect("a turn").claimed, 1);
    let life = room.life(run.id).await;
    assert!(life.iter().any(|(state, _)| *state == RunState::Draining));
    let mut conn = room.test.db.store.read().await.expect("a connection");
    let told = conn.event_list(EventTopic::Meeting(room.meeting.id), 0, 100).await.expect("events");
    assert!(!told.iter().any(|event| event.kind == EventKind::ParticipantLeft), "for the others it never left");
});

#[tokio::test]
async fn a_panic_fails_its_own_run_only() {
    let room = Room::new(AgentRole::Scribe).await;
    let run = room.live_run().await;
    let second = agent(&room.test, &room.anna, "Eva", AgentRole::Scribe).await;
    let other = room
        .app()
        .meeting_agent_add(&room.ctx(), room.meeting.id, second.id)
        .await
        .expect("a run");
    room.tick().await;
    let held: Arc<Held> = room.app().inner.agents.find(run.id).expect("a live run");
    let ctx = room.app().system_ctx();
    let work = async { panic!("as a test wants it") };
    assert_eq!(
        room.app().run_guard(&ctx, &held, work).await,
        follow::Turn::Gone
    );
    let failed = room.run(run.id).await;
    assert_eq!(
        (failed.state, failed.reason_code.as_str()),
        (RunState::Failed, "crashed")
    );
    room.tick().await;
    assert_eq!(room.run(other.id).await.state, RunState::Live);
}
