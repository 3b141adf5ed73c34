//! Who may name whom, and whose words are kept.

use super::*;

#[tokio::test]
async fn only_hosts_agents_and_recorders_name_other_speakers() {
    let server = TestServer::new().await;
    let (anna, ben, vera, cora, eve) = (
        server.app.user("anna").await,
        server.app.user("ben").await,
        server.app.user("vera").await,
        server.app.user("cora").await,
        server.app.user("eve").await,
    );
    let (id, path) = meeting(&server, &anna, "implied").await;
    let path = format!("{path}/transcript");
    let ben_id = participant(&server, id, ben.user_id(), "Ben", MeetingRole::Participant).await;
    participant(&server, id, vera.user_id(), "Vera", MeetingRole::Viewer).await;
    participant(&server, id, cora.user_id(), "Cora", MeetingRole::Cohost).await;
    let guest = participant(&server, id, None, "Gus", MeetingRole::Participant).await;
    let guest = Actor::Guest {
        participant_id: guest,
        meeting_id: id,
        role: MeetingRole::Participant,
    };
    let stray = Actor::Guest {
        participant_id: ben_id,
        meeting_id: server.app.app.entropy().id(server.app.app.now()),
        role: MeetingRole::Participant,
    };
    let recorder = key(&ben, &[Scope::TranscriptsWrite]);
    let reader = key(&anna, &[Scope::TranscriptsRead]);
    let writer = key(&ben, &[Scope::MeetingsWrite]);
    let cases = [
        ("host", &anna, 201, 201),
        ("cohost", &cora, 201, 403),
        ("participant", &ben, 201, 403),
        ("viewer", &vera, 403, 403),
        ("guest", &guest, 201, 403),
        ("guest of another meeting", &stray, 404, 404),
        ("stranger", &eve, 404, 404),
        ("anonymous", &Actor::Anonymous, 401, 401),
        ("recorder key", &recorder, 201, 201),
        ("key without the scope", &reader, 403, 403),
        ("key for meetings", &writer, 201, 403),
        (
            "viewer's key",
            &key(&vera, &[Scope::TranscriptsWrite]),
            403,
            403,
        ),
    ];
    for (who, actor, own, other) in cases {
        let answer = server.post(actor, &path, json!({ "text": "mine" })).await;
        assert_eq!(answer.status.as_u16(), own, "{who}: {}", answer.json());
        let answer = server
            .post(actor, &path, json!({ "text": "theirs", "speaker": "vERA" }))
            .await;
        assert_eq!(answer.status.as_u16(), other, "{who}: {}", answer.json());
    }
    let matched = server
        .post(&anna, &path, json!({ "text": "x", "speaker": "bEN" }))
        .await
        .data();
    assert_eq!(
        (
            matched["speaker"].as_str(),
            matched["participant_id"].as_str()
        ),
        (Some("Ben"), Some(ben_id.to_string().as_str()))
    );
    let unknown = server
        .post(&anna, &path, json!({ "text": "x", "speaker": "Nobody" }))
        .await
        .data();
    assert_eq!(
        (
            unknown["speaker"].as_str(),
            unknown["participant_id"].as_str()
        ),
        (Some("Nobody"), None)
    );
}

/// An agent in the meeting, with its row.
async fn agent(server: &TestServer, id: MeetingId, owner: &Actor) -> Actor {
    let now = server.app.app.now();
    let (agent_id, participant_id): (AgentId, ParticipantId) = (
        server.app.app.entropy().id(now),
        server.app.app.entropy().id(now),
    );
    let row = Participant {
        id: participant_id,
        meeting_id: id,
        user_id: None,
        agent_id: Some(agent_id),
        name: "Scribe".to_owned(),
        role: MeetingRole::Agent,
        state: ParticipantState::Joined,
        muted: false,
        joined_at: Some(now),
        left_at: None,
        created_at: now,
        updated_at: now,
    };
    let mut tx = server.app.db.store.begin().await.expect("a transaction");
    let owner_id = owner.user_id().expect("a user");
    server
        .app
        .db
        .store
        .seed_agent(&mut tx, agent_id, owner_id)
        .await
        .expect("an agent");
    tx.participant_insert(&row).await.expect("a participant");
    tx.commit().await.expect("a commit");
    Actor::Agent {
        agent_id,
        run_id: server.app.app.entropy().id(now),
        owner_id,
        meeting_id: id,
    }
}

#[tokio::test]
async fn an_agent_attributes_by_track_and_corrects_only_itself() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let (id, path) = meeting(&server, &anna, "ask").await;
    let path = format!("{path}/transcript");
    let scribe = agent(&server, id, &anna).await;
    let ben = participant(&server, id, None, "Ben", MeetingRole::Participant).await;
    assert_eq!(
        server
            .post(&scribe, &path, json!({ "text": "x", "speaker": "Ben" }))
            .await
            .code(),
        "CONSENT_DENIED"
    );
    consent(
        &server,
        id,
        ben,
        ConsentState::Granted,
        ConsentState::Denied,
    )
    .await;
    let said = server
        .post(&scribe, &path, json!({ "text": "x", "speaker": "Ben" }))
        .await
        .data();
    assert_eq!(said["attribution"], "track");
    let nobody = server
        .post(&scribe, &path, json!({ "text": "x", "speaker": "Nobody" }))
        .await;
    assert_eq!(nobody.code(), "CONSENT_DENIED", "an agent cannot vouch");
    let theirs = format!("{path}/{}", said["id"].as_str().expect("an id"));
    assert_eq!(
        server
            .call(&scribe, Method::PATCH, &theirs, json!({ "text": "y" }))
            .await
            .code(),
        "FORBIDDEN"
    );
    assert_eq!(
        server
            .call(&scribe, Method::DELETE, &theirs, Value::Null)
            .await
            .code(),
        "FORBIDDEN"
    );
    let own = server
        .post(&scribe, &path, json!({ "text": "noted" }))
        .await
        .data();
    let own = format!("{path}/{}", own["id"].as_str().expect("an id"));
    assert_eq!(
        server
            .call(
                &scribe,
                Method::PATCH,
                &own,
                json!({ "text": "well noted" })
            )
            .await
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn nothing_is_kept_without_consent_and_a_list_is_all_or_nothing() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let (id, path) = meeting(&server, &anna, "ask").await;
    let path = format!("{path}/transcript");
    let ben = participant(&server, id, None, "Ben", MeetingRole::Participant).await;
    let list =
        json!([{ "text": "fine", "speaker": "Nobody" }, { "text": "secret", "speaker": "Ben" }]);
    let refused = server.post(&anna, &path, list.clone()).await;
    assert_eq!(
        (
            refused.code().as_str(),
            refused.json()["error"]["details"]["index"].as_i64()
        ),
        ("CONSENT_DENIED", Some(1))
    );
    assert_eq!(
        server
            .post(&anna, &path, json!({ "text": "own" }))
            .await
            .code(),
        "CONSENT_DENIED",
        "the host was asked as well"
    );
    assert_eq!(server.get(&anna, &path).await.data()["items"], json!([]));
    assert_eq!(
        events(&server, id).await.len(),
        1,
        "nothing was told, the meeting has not started"
    );
    consent(
        &server,
        id,
        ben,
        ConsentState::Granted,
        ConsentState::Pending,
    )
    .await;
    assert_eq!(
        server.post(&anna, &path, list).await.status,
        StatusCode::CREATED
    );
    consent(
        &server,
        id,
        ben,
        ConsentState::Denied,
        ConsentState::Pending,
    )
    .await;
    assert_eq!(
        server
            .post(&anna, &path, json!({ "text": "x", "speaker": "ben" }))
            .await
            .code(),
        "CONSENT_DENIED"
    );

    // Two people of one name: both must agree, and neither is named.
    let other = participant(&server, id, None, "Kim", MeetingRole::Participant).await;
    let kim = participant(&server, id, None, "kim", MeetingRole::Participant).await;
    consent(
        &server,
        id,
        other,
        ConsentState::Granted,
        ConsentState::Pending,
    )
    .await;
    assert_eq!(
        server
            .post(&anna, &path, json!({ "text": "x", "speaker": "Kim" }))
            .await
            .code(),
        "CONSENT_DENIED"
    );
    consent(
        &server,
        id,
        kim,
        ConsentState::Granted,
        ConsentState::Pending,
    )
    .await;
    assert_eq!(
        server
            .post(&anna, &path, json!({ "text": "x", "speaker": "Kim" }))
            .await
            .data()["participant_id"],
        Value::Null
    );

    let (_, off) = meeting(&server, &anna, "off").await;
    assert_eq!(
        server
            .post(&anna, &format!("{off}/transcript"), json!({ "text": "x" }))
            .await
            .code(),
        "CONSENT_DENIED"
    );
}
