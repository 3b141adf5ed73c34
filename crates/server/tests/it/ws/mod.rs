//! `/ws` over real sockets.

mod authority;
mod frames;
mod replay;

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use meetmind_app::AuthorityChange;
use meetmind_core::*;
use meetmind_server::testing::TestServer;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// A client of the socket.
struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// What a client hears: a frame, or the end with its code.
#[derive(Debug, Clone, PartialEq)]
enum Heard {
    Frame(Value),
    End(Option<u16>),
}

impl Client {
    async fn connect(address: std::net::SocketAddr) -> Self {
        let (socket, _) = connect_async(format!("ws://{address}/ws"))
            .await
            .expect("a socket");
        Self(socket)
    }

    /// Connects and waits for `ready`.
    async fn ready(address: std::net::SocketAddr) -> Self {
        let mut client = Self::connect(address).await;
        assert_eq!(client.frame().await, json!({ "op": "ready" }));
        client
    }

    async fn send(&mut self, frame: Value) {
        self.text(frame.to_string()).await;
    }

    async fn text(&mut self, text: String) {
        let _ = self.0.send(Message::Text(text.into())).await;
    }

    async fn subscribe(&mut self, topic: &str, after: Option<i64>) -> Value {
        self.send(json!({ "op": "subscribe", "topic": topic, "after": after }))
            .await;
        self.frame().await
    }

    async fn hear(&mut self) -> Heard {
        let next = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => {
                        return Heard::Frame(serde_json::from_str(&text).expect("JSON"));
                    }
                    Some(Ok(Message::Close(frame))) => {
                        return Heard::End(frame.map(|frame| frame.code.into()));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Heard::End(None),
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), next)
            .await
            .expect("a frame in time")
    }

    async fn frame(&mut self) -> Value {
        match self.hear().await {
            Heard::Frame(frame) => frame,
            Heard::End(code) => panic!("the socket ended with {code:?}"),
        }
    }

    /// The close code, after any frames.
    async fn end(&mut self) -> Option<u16> {
        loop {
            if let Heard::End(code) = self.hear().await {
                return code;
            }
        }
    }
}

/// A server with one meeting of Anna's.
struct Room {
    server: TestServer,
    anna: Actor,
    id: MeetingId,
    topic: EventTopic,
}

impl Room {
    async fn new() -> Self {
        let server = TestServer::new().await;
        let anna = server.app.user("anna").await;
        let made = server
            .post(&anna, "/api/meetings", json!({ "title": "Weekly" }))
            .await;
        let id: MeetingId = made.data()["id"]
            .as_str()
            .expect("an id")
            .parse()
            .expect("an id");
        Self {
            server,
            anna,
            id,
            topic: EventTopic::Meeting(id),
        }
    }

    /// Somebody with an account and a part in the meeting.
    async fn with(&self, name: &str, role: MeetingRole) -> (Actor, Participant) {
        let actor = self.server.app.user(name).await;
        let now = self.server.app.app.now();
        let participant = Participant {
            id: self.server.app.app.entropy().id(now),
            meeting_id: self.id,
            user_id: actor.user_id(),
            agent_id: None,
            name: name.to_owned(),
            role,
            state: ParticipantState::Joined,
            muted: false,
            joined_at: Some(now),
            left_at: None,
            created_at: now,
            updated_at: now,
        };
        let mut tx = self.server.app.db.store.begin().await.expect("a change");
        tx.participant_insert(&participant)
            .await
            .expect("a participant");
        tx.commit().await.expect("a commit");
        (actor, participant)
    }

    async fn set(&self, participant: &Participant) {
        let mut tx = self.server.app.db.store.begin().await.expect("a change");
        tx.participant_update(participant).await.expect("an update");
        tx.commit().await.expect("a commit");
    }

    async fn events(&self, count: usize) {
        let data = json!({ "text": "x".repeat(1000) });
        self.server
            .app
            .events(self.topic, EventKind::MessagePosted, data, count)
            .await;
    }

    fn topic(&self) -> String {
        self.topic.to_string()
    }
}

/// Reads events until number `last`; all must come once and in order after `after`.
async fn read_through(client: &mut Client, after: i64, last: i64) {
    for expected in after + 1..=last {
        let frame = client.frame().await;
        assert_eq!(frame["seq"], expected, "{frame}");
    }
}

async fn refused_upgrade(address: std::net::SocketAddr, query: &str, origin: Option<&str>) -> u16 {
    let mut request = format!("ws://{address}/ws{query}")
        .into_client_request()
        .expect("a request");
    if let Some(origin) = origin {
        request
            .headers_mut()
            .insert("origin", origin.parse().expect("a header"));
    }
    match connect_async(request).await {
        Ok(_) => 101,
        Err(tokio_tungstenite::tungstenite::Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("{error}"),
    }
}
