//! Nothing is lost or doubled, whoever is slow or goes away.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_keeps_falling_off_hears_everything_once() {
    let room = Room::new().await;
    let address = room.server.listen_as(&room.anna).await;
    let total = 501;
    let writer = async {
        for _ in 0..500 {
            room.events(1).await;
        }
    };
    let reader = async {
        let (mut last, mut turn, mut connections) = (0, 7u64, 0);
        while last < total {
            connections += 1;
            let mut client = Client::ready(address).await;
            client.subscribe(&room.topic(), Some(last)).await;
            // A small generator of our own: the same falls each time.
            turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            for _ in 0..=(turn >> 33) % 40 {
                if last == total {
                    break;
                }
                let frame = client.frame().await;
                assert_eq!(frame["seq"], last + 1, "{frame}");
                last += 1;
            }
            // Dropped without a farewell, with frames still on their way.
        }
        connections
    };
    let ((), connections) = tokio::join!(writer, reader);
    assert!(connections > 10, "{connections}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_slowly_hears_everything_once() {
    let room = Room::new().await;
    let address = room.server.listen_as(&room.anna).await;
    let mut client = Client::ready(address).await;
    let answer = client.subscribe(&room.topic(), None).await;
    assert_eq!(
        answer,
        json!({ "op": "subscribed", "topic": room.topic(), "seq": 1 })
    );
    // More than the ring of the bus holds, in a few changes, and 6 MB: more than sockets hold.
    for _ in 0..3 {
        room.events(2000).await;
    }
    read_through(&mut client, 1, 6001).await;
    room.events(1).await;
    read_through(&mut client, 6001, 6002).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_clients_hear_the_same() {
    let room = Room::new().await;
    let (ben, _) = room.with("ben", MeetingRole::Viewer).await;
    let mut addresses = vec![];
    // A user may hold fifty streams: each listener is one of four people.
    for actor in [
        room.anna.clone(),
        ben,
        room.with("cleo", MeetingRole::Participant).await.0,
        room.with("dina", MeetingRole::Cohost).await.0,
    ] {
        addresses.push(room.server.listen_as(&actor).await);
    }
    let mut clients = vec![];
    for number in 0..200 {
        let mut client = Client::ready(addresses[number % 4]).await;
        client.subscribe(&room.topic(), Some(0)).await;
        clients.push(client);
    }
    let readers: Vec<_> = clients
        .into_iter()
        .map(|mut client| tokio::spawn(async move { read_through(&mut client, 0, 41).await }))
        .collect();
    for _ in 0..40 {
        room.events(1).await;
    }
    for reader in readers {
        reader.await.expect("a reader");
    }
}

#[tokio::test]
async fn what_is_no_longer_kept_is_gone() {
    let room = Room::new().await;
    room.events(4).await;
    let future = Timestamp::parse("2030-01-01T00:00:00Z").expect("a time");
    let mut tx = room.server.app.db.store.begin().await.expect("a change");
    tx.event_trim(future, 10).await.expect("a trim");
    tx.commit().await.expect("a commit");
    room.events(1).await;
    let mut client = Client::ready(room.server.listen_as(&room.anna).await).await;
    let gone = json!({ "op": "gone", "topic": room.topic(), "oldest": 6 });
    assert_eq!(client.subscribe(&room.topic(), Some(2)).await, gone);
    // Ahead of all that ever was: a database that was set back.
    assert_eq!(client.subscribe(&room.topic(), Some(99)).await, gone);
    let answer = client.subscribe(&room.topic(), Some(5)).await;
    assert_eq!(answer["op"], "subscribed");
    read_through(&mut client, 5, 6).await;
}

#[tokio::test]
async fn topics_do_not_mix_and_unsubscribing_ends_one() {
    let room = Room::new().await;
    let other = room
        .server
        .post(&room.anna, "/api/meetings", json!({ "title": "Other" }))
        .await;
    let other: EventTopic = format!("meeting:{}", other.data()["id"].as_str().expect("an id"))
        .parse()
        .expect("a topic");
    let own = format!("user:{}", room.anna.user_id().expect("a user"));
    let mut client = Client::ready(room.server.listen_as(&room.anna).await).await;
    for topic in [room.topic(), own.clone()] {
        assert_eq!(client.subscribe(&topic, None).await["op"], "subscribed");
    }
    room.server
        .app
        .events(other, EventKind::MessagePosted, json!({}), 1)
        .await;
    room.events(1).await;
    let own_topic: EventTopic = own.parse().expect("a topic");
    room.server
        .app
        .events(own_topic, EventKind::MemorySaved, json!({ "n": 1 }), 1)
        .await;
    let (first, second) = (client.frame().await, client.frame().await);
    assert_eq!(
        (first["topic"].clone(), first["seq"].clone()),
        (json!(room.topic()), json!(2))
    );
    assert_eq!(
        (
            second["topic"].clone(),
            second["type"].clone(),
            second["v"].clone()
        ),
        (json!(own), json!("memory.saved"), json!(1))
    );
    client
        .send(json!({ "op": "unsubscribe", "topic": room.topic() }))
        .await;
    assert_eq!(
        client.frame().await,
        json!({ "op": "unsubscribed", "topic": room.topic() })
    );
    room.events(1).await;
    client.send(json!({ "op": "ping" })).await;
    assert_eq!(client.frame().await, json!({ "op": "pong" }));
}
