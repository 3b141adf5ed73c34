//! How many agents and runs somebody may have.

use super::*;

#[tokio::test]
async fn quotas_are_refused_with_how_much_is_used_and_when_it_resets() {
    let mut settings = Settings::default();
    settings.quotas.agents = 3;
    settings.quotas.concurrent_runs = 1;
    settings.quotas.runs_per_day = 3;
    let room = Room::with(settings).await;
    let second = agent(&room.test, &room.anna, "Eva", AgentRole::Assistant).await;
    agent(&room.test, &room.anna, "Kim", AgentRole::Scribe).await;
    let new = AgentNew {
        name: "One too many".to_owned(),
        ..AgentNew::default()
    };
    let error = room
        .app()
        .agent_create(&room.ctx(), new)
        .await
        .expect_err("a refusal");
    let details = error.details.expect("details");
    assert_eq!(
        (error.code, &details["current"], &details["limit"]),
        (Code::QuotaExceeded, &json!(3), &json!(3))
    );

    let run = room.live_run().await;
    let add = |id| {
        let ctx = room.ctx();
        let room = &room;
        async move {
            room.app()
                .meeting_agent_add(&ctx, room.meeting.id, id)
                .await
        }
    };
    let error = add(second.id).await.expect_err("a refusal");
    let details = error.details.expect("details");
    assert_eq!(
        (error.code, &details["quota"], &details["reset"]),
        (Code::QuotaExceeded, &json!("concurrent_runs"), &Value::Null)
    );
    for _ in 0..2 {
        room.app()
            .meeting_agent_remove(&room.ctx(), room.meeting.id, room.agent.id)
            .await
            .expect("a removal");
        room.live_run().await;
    }
    room.app()
        .meeting_agent_remove(&room.ctx(), room.meeting.id, room.agent.id)
        .await
        .expect("a removal");
    let error = add(second.id).await.expect_err("a refusal");
    let retry_after = error.retry_after_s();
    let details = error.details.expect("details");
    assert_eq!(details["quota"], "runs_per_day");
    assert_eq!(
        details["reset"],
        json!(run.created_at.plus(Duration::from_secs(86_400)))
    );
    assert_eq!(retry_after, Some(86_401));
    room.test.clock.advance(Duration::from_secs(86_401));
    add(second.id).await.expect("a new day");
}

#[tokio::test]
async fn an_owner_with_all_places_taken_waits_in_the_queue_when_agents_join_by_themselves() {
    let mut settings = Settings::default();
    settings.quotas.concurrent_runs = 1;
    let room = Room::with(settings).await;
    let first = room.live_run().await;
    let other = agent(&room.test, &room.anna, "Eva", AgentRole::Assistant).await;
    room.app()
        .agent_status_set(&room.ctx(), other.id, AgentStatus::Running, None, None)
        .await
        .expect("a status");
    let later = planned(&room.test, &room.anna).await;
    begin(&room.test, later).await;
    assert_eq!(room.tick().await.claimed, 0);
    room.app()
        .run_stop(&room.ctx(), first.id, None)
        .await
        .expect("a stop");
    assert_eq!(room.tick().await.claimed, 1);
}
