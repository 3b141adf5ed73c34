//! `/api/meetings/{id}/events`

use axum::body::Body;
use axum::http::{Method, Request};
use meetmind_core::*;
use meetmind_server::testing::{TestAnswer, TestServer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn room() -> (TestServer, Actor, MeetingId) {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let made = server
        .post(&anna, "/api/meetings", json!({ "title": "Weekly" }))
        .await;
    let id = made.data()["id"]
        .as_str()
        .expect("an id")
        .parse()
        .expect("an id");
    (server, anna, id)
}

fn body(answer: &TestAnswer) -> String {
    String::from_utf8(answer.bytes.to_vec()).expect("text")
}

/// The events of a stream that ended: id, name, data.
fn parsed(text: &str) -> Vec<(Option<i64>, String, Value)> {
    text.split("\n\n")
        .filter(|block| block.contains("data:"))
        .map(|block| {
            let field = |name: &str| {
                block
                    .lines()
                    .find_map(|line| line.strip_prefix(name))
                    .map(str::trim)
            };
            let id = field("id:").map(|id| id.parse().expect("a number"));
            let data = serde_json::from_str(field("data:").expect("data")).expect("JSON");
            (id, field("event:").expect("a name").to_owned(), data)
        })
        .collect()
}

/// Reads what comes until it holds `mark`; everything to the end when it never does.
async fn read_until(socket: &mut tokio::net::TcpStream, text: &mut String, mark: &str) {
    let mut buffer = [0; 16 * 1024];
    while !text.contains(mark) {
        let count = socket.read(&mut buffer).await.expect("bytes");
        if count == 0 {
            return;
        }
        text.push_str(std::str::from_utf8(&buffer[..count]).expect("text"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_goes_on_where_it_broke_off_and_ends_with_the_meeting() {
    let (server, anna, id) = room().await;
    let topic = EventTopic::Meeting(id);
    let post = async |count| {
        server
            .app
            .events(topic, EventKind::MessagePosted, json!({ "n": 1 }), count)
            .await;
    };
    post(700).await;
    let address = server.listen_as(&anna).await;
    let mut socket = tokio::net::TcpStream::connect(address)
        .await
        .expect("a socket");
    // `Last-Event-ID` comes before `after`. In HTTP/1.0 the body is the text itself.
    let request =
        format!("GET /api/meetings/{id}/events?after=600 HTTP/1.0\r\nlast-event-id: 1\r\n\r\n");
    socket
        .write_all(request.as_bytes())
        .await
        .expect("a request");
    let mut text = String::new();
    read_until(&mut socket, &mut text, "id: 701\n").await;
    post(300).await;
    read_until(&mut socket, &mut text, "id: 1001\n").await;
    let path = format!("/api/meetings/{id}");
    server.call(&anna, Method::DELETE, &path, Value::Null).await;
    read_until(&mut socket, &mut text, "never").await;
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    let events = parsed(body);
    let numbers: Vec<i64> = events.iter().filter_map(|event| event.0).collect();
    assert_eq!(numbers, (2..=1002).collect::<Vec<i64>>());
    assert_eq!(
        (events[0].1.as_str(), events[0].2["seq"].clone()),
        ("message.posted", json!(2))
    );
    let names: Vec<&str> = events.iter().map(|event| event.1.as_str()).collect();
    assert_eq!(names[1000..], ["meeting.archived", "closed"]);
}

#[tokio::test]
async fn what_is_no_longer_kept_is_gone() {
    let (server, anna, id) = room().await;
    let future = Timestamp::parse("2030-01-01T00:00:00Z").expect("a time");
    let mut tx = server.app.db.store.begin().await.expect("a change");
    tx.event_trim(future, 10).await.expect("a trim");
    tx.commit().await.expect("a commit");
    let answer = server
        .get(&anna, &format!("/api/meetings/{id}/events?after=0"))
        .await;
    let topic = EventTopic::Meeting(id).to_string();
    assert_eq!(
        parsed(&body(&answer)),
        vec![(
            Some(1),
            "gone".to_owned(),
            json!({ "op": "gone", "topic": topic, "oldest": 2 })
        )]
    );
}

#[tokio::test]
async fn a_stream_opens_only_to_who_may_read_what_is_said() {
    let (server, anna, id) = room().await;
    let stranger = server.app.user("eve").await;
    let path = format!("/api/meetings/{id}/events");
    let Actor::User { user_id, role, .. } = anna.clone() else {
        panic!("a user");
    };
    let key = Actor::User {
        user_id,
        role,
        proof: Proof::ApiKey(
            ApiKeyId::from_uuid(uuid::Uuid::from_u128(5)),
            vec![Scope::MeetingsRead],
        ),
    };
    assert_eq!(
        server.get(&Actor::Anonymous, &path).await.code(),
        "UNAUTHENTICATED"
    );
    assert_eq!(server.get(&stranger, &path).await.code(), "NOT_FOUND");
    assert_eq!(server.get(&key, &path).await.code(), "SCOPE_MISSING");
    assert_eq!(
        server.get(&anna, &format!("{path}?after=-1")).await.code(),
        "VALIDATION_FAILED"
    );
    let odd = Request::get(&path)
        .header("last-event-id", "x")
        .body(Body::empty())
        .expect("a request");
    assert_eq!(server.send(&anna, odd).await.code(), "VALIDATION_FAILED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_when_its_session_does_and_when_the_server_drains() {
    let (server, anna, id) = room().await;
    let Actor::User { user_id, role, .. } = anna.clone() else {
        panic!("a user");
    };
    let ended = Actor::User {
        user_id,
        role,
        proof: Proof::Session(SessionId::from_uuid(uuid::Uuid::from_u128(77))),
    };
    let path = format!("/api/meetings/{id}/events");
    let listening = async {
        while server.app.app.bus().listeners() == 0 {
            tokio::task::yield_now().await;
        }
    };
    let (answer, ()) = tokio::join!(server.get(&ended, &path), async {
        listening.await;
        // The listener may not have opened its second ear yet: said until it hears.
        while server.app.app.bus().listeners() > 0 {
            server
                .app
                .app
                .bus()
                .authority_changed(meetmind_app::AuthorityChange::User(user_id));
            tokio::task::yield_now().await;
        }
    });
    let events = parsed(&body(&answer));
    assert_eq!(
        (events[0].1.as_str(), events[0].2["reason"].clone()),
        ("closed", json!("SESSION_REVOKED"))
    );
    let (answer, ()) = tokio::join!(server.get(&anna, &path), async {
        while server.app.app.bus().listeners() == 0 {
            tokio::task::yield_now().await;
        }
        server.app.app.drain_begin();
    });
    // Either it was open and ended, or it came too late to open.
    assert!(parsed(&body(&answer)).is_empty());
}
