//! Who may see, run and rein in agents.

use super::*;

#[tokio::test]
async fn strangers_see_no_agents_and_no_runs_and_members_see_but_do_not_rein() {
    let room = Room::new(AgentRole::Assistant).await;
    let run = room.live_run().await;
    let (ben, admin) = (room.test.user("ben").await, room.test.user("root").await);
    let Actor::User { user_id, proof, .. } = admin else {
        unreachable!("a user")
    };
    let admin = Actor::User {
        user_id,
        role: UserRole::Admin,
        proof,
    };
    let app = room.app();
    let as_ben = || room.test.ctx(&ben);
    assert_eq!(
        code(app.agent_get(&as_ben(), room.agent.id).await),
        Code::NotFound
    );
    assert_eq!(
        code(
            app.agent_runs(&as_ben(), room.agent.id, &PageQuery::default())
                .await
        ),
        Code::NotFound
    );
    assert_eq!(code(app.run_get(&as_ben(), run.id).await), Code::NotFound);
    assert_eq!(
        code(app.run_stop(&as_ben(), run.id, None).await),
        Code::NotFound
    );
    assert_eq!(
        code(app.run_say(&as_ben(), run.id, "hi").await),
        Code::NotFound
    );
    assert_eq!(
        code(
            app.meeting_agent_list(&as_ben(), room.meeting.id, &PageQuery::default())
                .await
        ),
        Code::NotFound
    );
    assert_eq!(
        code(
            app.meeting_agent_remove(&as_ben(), room.meeting.id, room.agent.id)
                .await
        ),
        Code::NotFound
    );
    assert_eq!(
        code(
            app.agent_list(&as_ben(), None, true, &PageQuery::default())
                .await
        ),
        Code::Forbidden
    );
    assert_eq!(
        code(app.admin_runs(&as_ben(), None, &PageQuery::default()).await),
        Code::Forbidden
    );
    let nobody = room.test.ctx(&Actor::Anonymous);
    assert_eq!(
        code(app.run_get(&nobody, run.id).await),
        Code::Unauthenticated
    );
    assert_eq!(
        code(app.agent_get(&nobody, room.agent.id).await),
        Code::Unauthenticated
    );

    // Ben comes in as a participant with an agent of his own.
    let ctx = room.ctx();
    let mut tx = room.test.db.store.begin().await.expect("a transaction");
    let host = tx
        .participant_find_user(room.meeting.id, room.meeting.owner_id)
        .await
        .expect("a row")
        .expect("the host");
    let as_participant = Participant {
        id: app.entropy().id(ctx.now),
        user_id: ben.user_id(),
        role: MeetingRole::Participant,
        state: ParticipantState::Joined,
        ..host
    };
    tx.participant_insert(&as_participant)
        .await
        .expect("a participant");
    tx.commit().await.expect("a commit");
    assert_eq!(
        app.run_get(&as_ben(), run.id).await.expect("the run").id,
        run.id
    );
    assert_eq!(
        code(app.run_mute(&as_ben(), run.id, true).await),
        Code::Forbidden
    );
    assert_eq!(
        code(app.run_stop(&as_ben(), run.id, None).await),
        Code::Forbidden
    );
    let bens = agent(&room.test, &ben, "Bo", AgentRole::Scribe).await;
    assert_eq!(
        code(
            app.meeting_agent_add(&as_ben(), room.meeting.id, bens.id)
                .await
        ),
        Code::Forbidden
    );
    assert_eq!(
        code(
            app.agent_status_set(
                &as_ben(),
                bens.id,
                AgentStatus::Running,
                Some(room.meeting.id),
                None
            )
            .await
        ),
        Code::Forbidden
    );
    // The host runs the meeting but does not own Ben's agent.
    assert_eq!(
        code(
            app.meeting_agent_add(&room.ctx(), room.meeting.id, bens.id)
                .await
        ),
        Code::NotFound
    );

    let as_admin = room.test.ctx(&admin);
    assert_eq!(
        app.admin_runs(&as_admin, Some(RunState::Live), &PageQuery::default())
            .await
            .expect("runs")
            .items
            .len(),
        1
    );
    assert_eq!(
        app.agent_list(&as_admin, None, true, &PageQuery::default())
            .await
            .expect("agents")
            .items
            .len(),
        2
    );
    assert_eq!(
        code(app.run_say(&as_admin, run.id, "hi").await),
        Code::NotFound
    );
    assert_eq!(
        app.run_stop(&as_admin, run.id, None)
            .await
            .expect("a stop")
            .state,
        RunState::Completed
    );
}

#[tokio::test]
async fn keys_need_the_scope_and_ended_meetings_take_no_agents() {
    let room = Room::new(AgentRole::Scribe).await;
    let Actor::User { user_id, role, .. } = room.anna else {
        unreachable!("a user")
    };
    let with = |scopes: &[Scope]| {
        let key = Id::from_uuid(uuid::Uuid::from_u128(1));
        room.test.ctx(&Actor::User {
            user_id,
            role,
            proof: Proof::ApiKey(key, scopes.to_vec()),
        })
    };
    let app = room.app();
    let reading = with(&[Scope::AgentsRead, Scope::MeetingsRead, Scope::MeetingsWrite]);
    assert!(app.agent_get(&reading, room.agent.id).await.is_ok());
    assert_eq!(
        code(
            app.meeting_agent_add(&reading, room.meeting.id, room.agent.id)
                .await
        ),
        Code::ScopeMissing
    );
    let running = with(&[Scope::AgentsRun]);
    assert_eq!(
        code(
            app.meeting_agent_add(&running, room.meeting.id, room.agent.id)
                .await
        ),
        Code::ScopeMissing
    );
    let both = with(&[Scope::AgentsRun, Scope::MeetingsWrite]);
    let run = app
        .meeting_agent_add(&both, room.meeting.id, room.agent.id)
        .await
        .expect("a run");
    assert_eq!(
        code(app.run_get(&running, run.id).await),
        Code::ScopeMissing
    );
    room.end_meeting().await;
    room.tick().await;
    assert_eq!(
        code(
            app.meeting_agent_add(&room.ctx(), room.meeting.id, room.agent.id)
                .await
        ),
        Code::MeetingEnded
    );
}
