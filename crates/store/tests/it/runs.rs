//! Agents and runs: derived status, one open run, claims, fencing.

use meetmind_core::*;
use meetmind_store::testing::TestDb;
use meetmind_store::{Conn, both_engines};

fn id<T: Id>(number: u128) -> T {
    T::from_uuid(uuid::Uuid::from_u128(number))
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn agent(number: u128) -> Agent {
    Agent {
        id: id(number),
        owner_id: id(1),
        name: format!("Agent {number}"),
        role: AgentRole::Scribe,
        config: AgentConfig {
            tools: vec!["search".to_owned()],
            address_policy: Some(AddressPolicy::Questions),
            ..AgentConfig::default()
        },
        version: 1,
        auto_join: number.is_multiple_of(2),
        disabled_at: None,
        created_at: at(1),
        updated_at: at(1),
    }
}

fn run(number: u128, agent: u128, meeting: u128) -> Run {
    Run {
        id: id(number),
        agent_id: id(agent),
        agent_version: 1,
        owner_id: id(1),
        meeting_id: id(meeting),
        participant_id: None,
        state: RunState::Queued,
        activity: None,
        reason_code: "requested".to_owned(),
        message: "Somebody asked for it.".to_owned(),
        attempt: 1,
        seen_seq: 0,
        counters: RunCounters::default(),
        lease_owner: None,
        lease_until: None,
        created_at: at(1),
        live_at: None,
        ended_at: None,
        updated_at: at(1),
    }
}

async fn add_meeting(tx: &mut Conn, number: u128, status: MeetingStatus) {
    let meeting = Meeting {
        id: id(number),
        owner_id: id(1),
        series_id: None,
        title: "Weekly".to_owned(),
        description: None,
        status,
        starts_at: None,
        ends_at: None,
        time_zone: None,
        started_at: None,
        ended_at: None,
        access: MeetingAccess::Invite,
        lobby: false,
        locked: false,
        consent_policy: ConsentPolicy::Ask,
        memory_mode: MemoryMode::Auto,
        memory_retention_days: None,
        glossary: Vec::new(),
        version: 1,
        created_at: at(1),
        updated_at: at(1),
        archived_at: None,
    };
    tx.meeting_insert(&meeting, "code")
        .await
        .expect("a meeting");
}

/// A user, agents 1 to 4, live meetings 1 and 2, planned meeting 3.
async fn seed(db: &TestDb) {
    let mut tx = db.store.begin().await.expect("a transaction");
    db.store
        .seed_user(&mut tx, id(1), "anna@example.com")
        .await
        .expect("a user");
    for number in 1..=4 {
        tx.agent_insert(&agent(number)).await.expect("an agent");
    }
    for (number, status) in [
        (1, MeetingStatus::Live),
        (2, MeetingStatus::Live),
        (3, MeetingStatus::Scheduled),
    ] {
        add_meeting(&mut tx, number, status).await;
    }
    tx.commit().await.expect("a commit");
}

both_engines!(agents_are_listed_by_the_status_that_follows_from_their_runs, db => {
    seed(&db).await;
    let mut tx = db.store.begin().await.expect("a transaction");
    assert!(tx.run_insert(&run(1, 1, 1)).await.expect("a run"));
    assert!(tx.run_insert(&run(2, 2, 3)).await.expect("a run"));
    let disabled = Agent { disabled_at: Some(at(2)), ..agent(2) };
    tx.agent_standing_set(&disabled).await.expect("an update");
    let ids = |agents: Vec<Agent>| agents.into_iter().map(|agent| agent.id.uuid().as_u128()).collect::<Vec<_>>();
    assert_eq!(ids(tx.agent_list(Some(id(1)), None, None, 10).await.expect("a list")), [4, 3, 2, 1]);
    assert_eq!(ids(tx.agent_list(None, Some(AgentStatus::Running), None, 10).await.expect("a list")), [1]);
    assert_eq!(ids(tx.agent_list(None, Some(AgentStatus::Disabled), None, 10).await.expect("a list")), [2]);
    assert_eq!(ids(tx.agent_list(None, Some(AgentStatus::Stopped), Some(id(4)), 10).await.expect("a list")), [3]);
    assert_eq!(ids(tx.agent_list(Some(id(9)), None, None, 10).await.expect("a list")), [0; 0]);
    assert_eq!(ids(tx.agent_list_auto_join(id(1), 10).await.expect("a list")), [4]);
    assert_eq!(tx.agent_get(id(3)).await.expect("an agent"), agent(3));
    assert_eq!(tx.agent_count(id(1)).await.expect("a count"), 4);
    let open = tx.run_list_open_between(id(1), id(2), Some(id(1))).await.expect("runs");
    assert_eq!(open.iter().map(|run| run.agent_id).collect::<Vec<AgentId>>(), [id(1), id(2)]);
});

both_engines!(versions_stay_and_an_update_on_an_old_one_changes_nothing, db => {
    seed(&db).await;
    let mut tx = db.store.begin().await.expect("a transaction");
    let changed = Agent { name: "New".to_owned(), version: 2, updated_at: at(2), ..agent(1) };
    assert!(tx.agent_update(&changed).await.expect("an update"));
    assert!(!tx.agent_update(&changed).await.expect("an update"));
    let versions = tx.agent_version_list(id(1), None, 10).await.expect("versions");
    assert_eq!(versions.iter().map(|version| version.version).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(tx.agent_version_list(id(1), Some(2), 10).await.expect("versions").len(), 1);
    assert_eq!(tx.agent_version_get(id(1), 1).await.expect("a version").config, agent(1).config);
});

both_engines!(a_second_open_run_is_not_added_and_a_closed_one_makes_room, db => {
    seed(&db).await;
    let mut tx = db.store.begin().await.expect("a transaction");
    assert!(tx.run_insert(&run(1, 1, 1)).await.expect("a run"));
    assert!(!tx.run_insert(&run(2, 1, 1)).await.expect("no second run"));
    assert!(tx.run_insert(&run(3, 1, 2)).await.expect("a run elsewhere"));
    let open = tx.run_lock(id(1)).await.expect("a run");
    let closed = Run { state: RunState::Cancelled, ended_at: Some(at(2)), ..open.clone() };
    assert!(tx.run_state_set(&open, &closed).await.expect("an update"));
    assert!(!tx.run_state_set(&open, &closed).await.expect("an update"), "it stands elsewhere now");
    assert!(tx.run_insert(&run(4, 1, 1)).await.expect("a run"));
    let rows = tx.run_list_of_meeting(id(1), None, 10).await.expect("agents");
    assert_eq!(rows.iter().map(|row| (row.run.id, row.agent_name.as_str())).collect::<Vec<_>>(), [(id(4), "Agent 1")]);
    assert_eq!(tx.run_count_since(id(1), at(0)).await.expect("a count"), (3, Some(at(1))));
    assert_eq!(tx.run_count_since(id(1), at(1)).await.expect("a count"), (0, None));
});

both_engines!(racing_nodes_claim_each_run_once_and_only_in_live_meetings, db => {
    seed(&db).await;
    let mut tx = db.store.begin().await.expect("a transaction");
    for (number, agent, meeting) in [(1, 1, 1), (2, 2, 1), (3, 3, 2), (4, 4, 2), (5, 1, 3)] {
        tx.run_insert(&run(number, agent, meeting)).await.expect("a run");
    }
    tx.commit().await.expect("a commit");
    let mut nodes = tokio::task::JoinSet::new();
    for node in ["a", "b", "c"] {
        let store = db.store.clone();
        nodes.spawn(async move {
            let mut claimed = Vec::new();
            loop {
                let mut tx = store.begin().await.expect("a transaction");
                let Some(old) = tx.run_claim(node, at(100), 10).await.expect("a claim") else { return claimed };
                assert_eq!(old.lease_owner.as_deref(), Some(node));
                let new = Run { state: RunState::Dispatching, ..old.clone() };
                assert!(tx.run_state_set(&old, &new).await.expect("an update"));
                tx.commit().await.expect("a commit");
                claimed.push(old.id.uuid().as_u128());
            }
        });
    }
    let mut claimed: Vec<u128> = nodes.join_all().await.into_iter().flatten().collect();
    claimed.sort_unstable();
    assert_eq!(claimed, [1, 2, 3, 4]);
});

both_engines!(a_full_owner_gets_no_place_and_a_lost_lease_takes_no_heartbeat, db => {
    seed(&db).await;
    let mut tx = db.store.begin().await.expect("a transaction");
    tx.run_insert(&run(1, 1, 1)).await.expect("a run");
    tx.run_insert(&run(2, 2, 1)).await.expect("a run");
    let old = tx.run_claim("a", at(10), 1).await.expect("a claim").expect("a run");
    let held = Run { state: RunState::Dispatching, ..old.clone() };
    assert!(tx.run_state_set(&old, &held).await.expect("an update"));
    assert!(tx.run_claim("a", at(10), 1).await.expect("a claim").is_none());
    let progress = Run { seen_seq: 7, counters: RunCounters { segments: 3, ..RunCounters::default() }, ..held };
    assert!(tx.run_heartbeat(&progress, "a", at(20)).await.expect("a heartbeat"));
    assert!(!tx.run_heartbeat(&progress, "b", at(20)).await.expect("a heartbeat"));
    let older = Run { attempt: 0, ..progress.clone() };
    assert!(!tx.run_heartbeat(&older, "a", at(20)).await.expect("a heartbeat"));
    assert!(tx.run_list_expired(at(20), 10).await.expect("runs").is_empty());
    let expired = tx.run_list_expired(at(21), 10).await.expect("runs");
    assert_eq!((expired[0].seen_seq, expired[0].counters.segments), (7, 3));
    assert_eq!(tx.run_list_orphaned("b", 10).await.expect("runs").len(), 1);
    assert!(tx.run_list_orphaned("a", 10).await.expect("runs").is_empty());
    let mut counts = tx.run_count_by_state().await.expect("counts");
    counts.sort_unstable();
    assert_eq!(counts, [(RunState::Queued, 1), (RunState::Dispatching, 1)]);
});
