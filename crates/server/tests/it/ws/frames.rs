//! Frames that clients send, good and bad.

use super::*;

#[tokio::test]
async fn bad_frames_are_answered_until_it_is_too_much() {
    let room = Room::new().await;
    let mut client = Client::ready(room.server.listen_as(&room.anna).await).await;
    let bad = [
        ("{", "INVALID_JSON"),
        ("null", "VALIDATION_FAILED"),
        ("[]", "VALIDATION_FAILED"),
        ("{}", "VALIDATION_FAILED"),
        (r#"{"op":"dance"}"#, "VALIDATION_FAILED"),
        (r#"{"op":"subscribe"}"#, "VALIDATION_FAILED"),
        (r#"{"op":"subscribe","topic":7}"#, "VALIDATION_FAILED"),
        (
            r#"{"op":"subscribe","topic":"meeting:mtg_x\u0000"}"#,
            "VALIDATION_FAILED",
        ),
        (r#"{"op":"auth","token":"again"}"#, "BAD_REQUEST"),
    ];
    for (text, code) in bad {
        client.text(text.to_owned()).await;
        let answer = client.frame().await;
        assert_eq!(
            (answer["op"].clone(), answer["code"].clone()),
            (json!("error"), json!(code)),
            "{text}"
        );
    }
    let negative = json!({ "op": "subscribe", "topic": room.topic(), "after": -1 });
    client.send(negative).await;
    assert_eq!(client.frame().await["code"], "VALIDATION_FAILED");
    client
        .0
        .send(Message::Binary(vec![1, 2].into()))
        .await
        .expect("a frame");
    assert_eq!(client.frame().await["code"], "BAD_REQUEST");
    // It still works.
    assert_eq!(
        client.subscribe(&room.topic(), None).await["op"],
        "subscribed"
    );
    for _ in 0..9 {
        client.text("?".to_owned()).await;
        assert_eq!(client.frame().await["code"], "INVALID_JSON");
    }
    assert_eq!(client.end().await, Some(1008));
}

#[tokio::test]
async fn a_frame_that_is_too_large_ends_the_socket() {
    let room = Room::new().await;
    let mut client = Client::ready(room.server.listen_as(&room.anna).await).await;
    client.text(format!("\"{}\"", "x".repeat(100_000))).await;
    assert!(matches!(client.end().await, None | Some(1009)));
}

#[tokio::test]
async fn signals_reach_the_others_with_the_senders_name_on_them() {
    let room = Room::new().await;
    let (ben, participant) = room.with("ben", MeetingRole::Participant).await;
    let mut sender = Client::ready(room.server.listen_as(&ben).await).await;
    let signal = json!({ "op": "signal", "topic": room.topic(), "type": "reaction", "data": { "emoji": "👍", "participant_id": "par_forged" } });
    sender.send(signal.clone()).await;
    assert_eq!(sender.frame().await["code"], "NOT_FOUND");
    sender.subscribe(&room.topic(), None).await;
    let mut host = Client::ready(room.server.listen_as(&room.anna).await).await;
    host.subscribe(&room.topic(), None).await;
    sender.send(signal).await;
    let expected = json!({ "topic": room.topic(), "type": "reaction", "data": { "emoji": "👍", "participant_id": participant.id } });
    assert_eq!(host.frame().await, expected);
    assert_eq!(sender.frame().await, expected);
}

#[tokio::test]
async fn signals_have_their_bounds() {
    let room = Room::new().await;
    let (viewer, _) = room.with("vera", MeetingRole::Viewer).await;
    let mut looker = Client::ready(room.server.listen_as(&viewer).await).await;
    looker.subscribe(&room.topic(), None).await;
    looker.send(json!({ "op": "signal", "topic": room.topic(), "type": "hand", "data": { "up": true } })).await;
    assert_eq!(looker.frame().await["code"], "FORBIDDEN");

    let mut host = Client::ready(room.server.listen_as(&room.anna).await).await;
    host.subscribe(&room.topic(), None).await;
    for (kind, data, code) in [
        (
            "typing",
            json!({ "text": "x".repeat(2000) }),
            "VALIDATION_FAILED",
        ),
        ("typing", json!([1]), "VALIDATION_FAILED"),
        ("shouting", json!({}), "VALIDATION_FAILED"),
    ] {
        host.send(json!({ "op": "signal", "topic": room.topic(), "type": kind, "data": data }))
            .await;
        assert_eq!(host.frame().await["code"], code);
    }
    let mut limited = false;
    for _ in 0..200 {
        host.send(json!({ "op": "signal", "topic": room.topic(), "type": "typing" }))
            .await;
        limited |= host.frame().await["code"] == "RATE_LIMITED";
    }
    assert!(limited);
}

#[tokio::test]
async fn a_socket_holds_a_hundred_subscriptions() {
    let room = Room::new().await;
    let mut client = Client::ready(room.server.listen_as(&room.anna).await).await;
    let mut answers = vec![];
    for number in 0..101 {
        let made = room
            .server
            .post(
                &room.anna,
                "/api/meetings",
                json!({ "title": number.to_string() }),
            )
            .await;
        let topic = format!("meeting:{}", made.data()["id"].as_str().expect("an id"));
        answers.push(client.subscribe(&topic, None).await["op"].clone());
    }
    assert_eq!(
        answers.iter().filter(|op| **op == "subscribed").count(),
        100
    );
    assert_eq!(answers[100], "error");
}
