//! Who hears what, and when it ends.

use super::*;

#[tokio::test]
async fn without_a_good_credential_nothing_opens() {
    let room = Room::new().await;
    let address = room.server.listen_as(&Actor::Anonymous).await;
    for first in [
        json!({ "op": "auth", "token": "wrong" }).to_string(),
        json!({ "op": "subscribe", "topic": room.topic() }).to_string(),
        "not json".to_owned(),
    ] {
        let mut client = Client::connect(address).await;
        client.text(first).await;
        assert_eq!(client.frame().await["op"], "error");
        assert_eq!(client.end().await, Some(4401));
    }
    assert_eq!(refused_upgrade(address, "?ticket=used", None).await, 401);
}

#[tokio::test]
async fn a_foreign_page_cannot_use_the_cookie() {
    let room = Room::new().await;
    let address = room.server.listen_as(&room.anna).await;
    for (origin, status) in [
        (Some("https://evil.example"), 403),
        (Some("http://127.0.0.1:8000.evil.example"), 403),
        (Some("null"), 403),
        (Some("http://127.0.0.1:8000"), 101),
        (None, 101),
    ] {
        assert_eq!(
            refused_upgrade(address, "", origin).await,
            status,
            "{origin:?}"
        );
    }
    let plain = room.server.get(&room.anna, "/ws").await;
    assert_eq!(
        (plain.status.as_u16(), plain.code().as_str()),
        (400, "BAD_REQUEST")
    );
}

#[tokio::test]
async fn a_topic_is_open_only_to_who_has_a_part_in_it() {
    let room = Room::new().await;
    let stranger = room.server.app.user("eve").await;
    let Actor::User { user_id, role, .. } = room.anna.clone() else {
        panic!("a user");
    };
    let key = |scopes: &[Scope]| Actor::User {
        user_id,
        role,
        proof: Proof::ApiKey(
            ApiKeyId::from_uuid(uuid::Uuid::from_u128(5)),
            scopes.to_vec(),
        ),
    };
    let run = "run:run_00000000000000000000000001".to_owned();
    let own = format!("user:{user_id}");
    let cases = [
        (stranger.clone(), room.topic(), "NOT_FOUND"),
        (stranger.clone(), own.clone(), "NOT_FOUND"),
        (stranger, run, "NOT_FOUND"),
        (key(&[Scope::MeetingsRead]), room.topic(), "SCOPE_MISSING"),
        (
            key(&[Scope::TranscriptsRead]),
            room.topic(),
            "SCOPE_MISSING",
        ),
        (key(&[Scope::MemoryRead]), own.clone(), "SCOPE_MISSING"),
        (key(&[Scope::AgentsRead]), own.clone(), "SCOPE_MISSING"),
        (
            room.anna.clone(),
            "meeting:nonsense".to_owned(),
            "VALIDATION_FAILED",
        ),
        (
            room.anna.clone(),
            "weather:today".to_owned(),
            "VALIDATION_FAILED",
        ),
    ];
    for (actor, topic, code) in cases {
        let mut client = Client::ready(room.server.listen_as(&actor).await).await;
        let answer = client.subscribe(&topic, Some(0)).await;
        assert_eq!(
            (answer["op"].clone(), answer["code"].clone()),
            (json!("error"), json!(code)),
            "{topic}"
        );
    }
    let full = key(&[
        Scope::MeetingsRead,
        Scope::TranscriptsRead,
        Scope::MemoryRead,
        Scope::AgentsRead,
    ]);
    let mut client = Client::ready(room.server.listen_as(&full).await).await;
    assert_eq!(
        client.subscribe(&room.topic(), None).await["op"],
        "subscribed"
    );
    assert_eq!(client.subscribe(&own, None).await["op"], "subscribed");
}

#[tokio::test]
async fn who_is_removed_hears_no_more() {
    let room = Room::new().await;
    let (ben, participant) = room.with("ben", MeetingRole::Participant).await;
    let mut listener = Client::ready(room.server.listen_as(&ben).await).await;
    listener.subscribe(&room.topic(), None).await;
    let mut host = Client::ready(room.server.listen_as(&room.anna).await).await;
    host.subscribe(&room.topic(), None).await;
    let removed = Participant {
        state: ParticipantState::Removed,
        ..participant
    };
    room.set(&removed).await;
    let data = serde_json::to_value(&removed).expect("JSON");
    room.server
        .app
        .events(room.topic, EventKind::ParticipantRemoved, data, 1)
        .await;
    room.events(1).await;
    let closed = json!({ "op": "closed", "topic": room.topic(), "reason": "NOT_FOUND" });
    assert_eq!(listener.frame().await, closed);
    read_through(&mut host, 1, 3).await;
    // Nor by coming back, nor by reading up.
    assert_eq!(
        listener.subscribe(&room.topic(), Some(0)).await["code"],
        "NOT_FOUND"
    );
}

#[tokio::test]
async fn who_is_removed_while_behind_hears_no_more() {
    let room = Room::new().await;
    let (ben, participant) = room.with("ben", MeetingRole::Participant).await;
    let mut listener = Client::ready(room.server.listen_as(&ben).await).await;
    listener.subscribe(&room.topic(), None).await;
    room.set(&Participant {
        state: ParticipantState::Removed,
        ..participant
    })
    .await;
    // An event that was stored but not told makes the next one leave a gap.
    let mut tx = room.server.app.db.store.begin().await.expect("a change");
    tx.event_append(
        room.topic,
        EventKind::MessagePosted,
        Timestamp::from_micros(0),
        json!({}),
    )
    .await
    .expect("an event");
    tx.commit().await.expect("a commit");
    room.events(1).await;
    assert_eq!(listener.frame().await["op"], "closed");
}

#[tokio::test]
async fn a_deleted_meeting_says_so_and_closes() {
    let room = Room::new().await;
    let mut client = Client::ready(room.server.listen_as(&room.anna).await).await;
    client.subscribe(&room.topic(), None).await;
    let path = format!("/api/meetings/{}", room.id);
    room.server
        .call(&room.anna, axum::http::Method::DELETE, &path, Value::Null)
        .await;
    assert_eq!(client.frame().await["type"], "meeting.archived");
    assert_eq!(
        client.frame().await,
        json!({ "op": "closed", "topic": room.topic(), "reason": "NOT_FOUND" })
    );
}

#[tokio::test]
async fn the_end_of_a_session_ends_its_sockets_and_no_others() {
    let room = Room::new().await;
    let (ben, _) = room.with("ben", MeetingRole::Participant).await;
    let Actor::User { user_id, role, .. } = ben else {
        panic!("a user");
    };
    // A session that the database does not know counts as ended.
    let ended = Actor::User {
        user_id,
        role,
        proof: Proof::Session(SessionId::from_uuid(uuid::Uuid::from_u128(77))),
    };
    let mut listener = Client::ready(room.server.listen_as(&ended).await).await;
    listener.subscribe(&room.topic(), None).await;
    let mut host = Client::ready(room.server.listen_as(&room.anna).await).await;
    host.subscribe(&room.topic(), None).await;
    room.server
        .app
        .app
        .bus()
        .authority_changed(AuthorityChange::User(user_id));
    assert_eq!(listener.end().await, Some(4401));
    room.events(1).await;
    read_through(&mut host, 1, 2).await;
}

#[tokio::test]
async fn a_draining_server_sends_its_clients_elsewhere() {
    let room = Room::new().await;
    let address = room.server.listen_as(&room.anna).await;
    let mut client = Client::ready(address).await;
    client.subscribe(&room.topic(), None).await;
    let nobody = room.server.listen_as(&Actor::Anonymous).await;
    let mut silent = Client::connect(nobody).await;
    room.server.app.app.drain_begin();
    assert_eq!(client.end().await, Some(1012));
    assert_eq!(
        silent.end().await,
        Some(1012),
        "one that has not said who it is"
    );
    room.server.app.app.streams_ended().await;
    assert_eq!(Client::connect(address).await.end().await, Some(1012));
}

#[tokio::test]
async fn one_user_holds_at_most_fifty_streams() {
    let room = Room::new().await;
    let address = room.server.listen_as(&room.anna).await;
    let mut clients = vec![];
    for _ in 0..50 {
        clients.push(Client::ready(address).await);
    }
    let mut refused = Client::connect(address).await;
    assert_eq!(refused.frame().await["code"], "QUOTA_EXCEEDED");
    assert_eq!(refused.end().await, Some(1008));
    // Whoever leaves makes room.
    let mut leaving = clients.pop().expect("a client");
    leaving.0.close(None).await.expect("a farewell");
    leaving.end().await;
    while room.server.app.app.bus().listeners() > 49 {
        tokio::task::yield_now().await;
    }
    let mut next = Client::connect(address).await;
    assert_eq!(next.frame().await["op"], "ready");
}

/// Listens to a run of Anna's agent in her meeting; gives the topic too.
async fn listening_to_a_run(room: &Room, listener: &Actor) -> (Client, String) {
    let new = json!({ "name": "Max", "role": "scribe" });
    let agent = room
        .server
        .post(&room.anna, "/api/agents", new)
        .await
        .data();
    let path = format!("/api/meetings/{}/agents", room.id);
    let body = json!({ "agent_id": agent["id"] });
    let run = room.server.post(&room.anna, &path, body).await.data();
    let topic = format!("run:{}", run["id"].as_str().expect("an id"));
    let mut client = Client::ready(room.server.listen_as(listener).await).await;
    let answer = client.subscribe(&topic, None).await;
    assert_eq!(answer["op"], "subscribed", "{answer}");
    (client, topic)
}

#[tokio::test]
async fn who_is_removed_hears_no_more_of_runs_at_once() {
    let room = Room::new().await;
    let (ben, participant) = room.with("ben", MeetingRole::Participant).await;
    let gustav = crate::people::guest(&room.server, room.id, "Gustav").await;
    let Actor::Guest { participant_id, .. } = gustav else {
        panic!("a guest");
    };
    for (who, place) in [(ben, participant.id), (gustav, participant_id)] {
        let (mut client, topic) = listening_to_a_run(&room, &who).await;
        let path = format!("/api/meetings/{}/participants/{place}", room.id);
        let removed = room
            .server
            .call(&room.anna, axum::http::Method::DELETE, &path, Value::Null)
            .await;
        assert_eq!(removed.status.as_u16(), 200, "{}", removed.json());
        let closed = json!({ "op": "closed", "topic": topic, "reason": "NOT_FOUND" });
        assert_eq!(client.frame().await, closed);
    }
}

#[tokio::test]
async fn a_meeting_that_goes_away_takes_its_runs_along() {
    for query in ["", "?erase=true"] {
        let room = Room::new().await;
        let (ben, _) = room.with("ben", MeetingRole::Participant).await;
        let (mut client, topic) = listening_to_a_run(&room, &ben).await;
        let mut meeting = Client::ready(room.server.listen_as(&ben).await).await;
        meeting.subscribe(&room.topic(), None).await;
        let path = format!("/api/meetings/{}{query}", room.id);
        room.server
            .call(&room.anna, axum::http::Method::DELETE, &path, Value::Null)
            .await;
        let closed = json!({ "op": "closed", "topic": topic, "reason": "NOT_FOUND" });
        while client.frame().await != closed {}
        let closed = json!({ "op": "closed", "topic": room.topic(), "reason": "NOT_FOUND" });
        while meeting.frame().await != closed {}
    }
}
