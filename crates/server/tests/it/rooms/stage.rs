//! Where the scenarios play: the server inside, or a real LiveKit server beside it.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, header};
use axum::routing::post;
use livekit_protocol::WebhookEvent;
use meetmind_app::testing::TestApp;
use meetmind_app::{BackgroundTasks, Clock as _, LiveKitSettings, Rooms, Settings, SystemClock};
use meetmind_core::{Actor, EventTopic, MeetingId, ParticipantId};
use meetmind_media::driver::DriverConfig;
use meetmind_media::token::{ApiKey, Claims, VideoGrant};
use meetmind_media::webhook;
use meetmind_server::testing::TestServer;
use meetmind_store::testing::TestDb;
use meetmind_store::{Engine, RoomMember};
use serde_json::Value;

use super::peer::PATIENCE;

const KEY: &str = "devkey";
const SECRET: &str = "a secret of at least thirty-two bytes";

/// The webhooks that arrived and were signed well.
pub(crate) type Collected = Arc<Mutex<Vec<WebhookEvent>>>;

/// A process that ends with the test.
pub(crate) struct LiveKit(Child);

impl Drop for LiveKit {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server with rooms.
pub(crate) struct Stage {
    pub(crate) server: Arc<TestServer>,
    /// Where clients signal, `ws://…`.
    pub(crate) url: String,
    pub(crate) collected: Collected,
    pub(crate) is_remote: bool,
    _rooms: Option<Rooms>,
    _background: BackgroundTasks,
    livekit: Option<LiveKit>,
}

/// Takes webhooks; those whose signature does not hold are refused.
async fn collector() -> (String, Collected) {
    let collected = Collected::default();
    let keep = Arc::clone(&collected);
    let take = move |headers: HeaderMap, body: Bytes| async move {
        let authorization = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let keys = [ApiKey::new(KEY, SECRET)].into_iter().collect();
        // The sender's clock stands still; what is looked at here is the signature.
        let now = SystemClock.now();
        match webhook::verify(&body, authorization, &keys, now) {
            Ok(event) => {
                keep.lock().expect("a lock").push(event);
                http::StatusCode::OK
            }
            Err(_) => http::StatusCode::UNAUTHORIZED,
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = Router::new().route("/hook", post(take));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (format!("http://{address}/hook"), collected)
}

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.outbound.allow_private = true;
    settings.outbound.timeout = Duration::from_secs(2);
    settings.reconnect_window = Duration::from_secs(2);
    settings
}

async fn app(engine: Engine, settings: Settings) -> Option<TestApp> {
    let db = TestDb::new(engine).await.expect("a test database")?;
    let app = TestApp::on(db, settings).await;
    // Tokens are shown to servers whose clock is the real one.
    let behind = SystemClock.now().micros() - app.app.now().micros();
    let behind = u64::try_from(behind).expect("the test's clock stands in the past");
    app.clock.advance(Duration::from_micros(behind));
    Some(app)
}

impl Stage {
    /// The server inside, on one of the engines.
    pub(crate) async fn embedded(engine: Engine) -> Option<Self> {
        let (hook, collected) = collector().await;
        let settings = Settings {
            livekit_webhook_urls: vec![hook],
            ..settings()
        };
        let server = Arc::new(TestServer::over(app(engine, settings).await?));
        let rooms = server
            .app
            .app
            .rooms_open(driver(), Some((KEY.to_owned(), SECRET.to_owned())))
            .await
            .expect("rooms");
        let address = server.listen_as(&Actor::Anonymous).await;
        Some(Self {
            _background: server.app.app.start(),
            server,
            url: format!("ws://{address}"),
            collected,
            is_remote: false,
            _rooms: Some(rooms),
            livekit: None,
        })
    }

    /// A real LiveKit server, where one is at hand.
    pub(crate) async fn remote() -> Option<Self> {
        let program = livekit_server()?;
        let (hook, collected) = collector().await;
        let port = free_tcp();
        let settings = Settings {
            livekit: Some(LiveKitSettings {
                url: format!("ws://127.0.0.1:{port}"),
                api_key: KEY.to_owned(),
                api_secret: SECRET.to_owned(),
            }),
            ..settings()
        };
        let server = Arc::new(TestServer::over(app(Engine::Sqlite, settings).await?));
        let address = server.listen_as(&Actor::Anonymous).await;
        let ours = format!("http://{address}/webhooks/livekit");
        let livekit = livekit(&program, port, &[&ours, &hook]).await;
        server.app.app.rooms_connect().await.expect("a connection");
        Some(Self {
            _background: server.app.app.start(),
            server,
            url: format!("ws://127.0.0.1:{port}"),
            collected,
            is_remote: true,
            _rooms: None,
            livekit: Some(livekit),
        })
    }

    /// Calls LiveKit's API at our own address, as whoever has the key pair.
    pub(crate) async fn twirp(&self, service: &str, method: &str, body: Value) -> (u16, Value) {
        let grant = VideoGrant {
            room: body["room"].as_str().unwrap_or_default().to_owned(),
            room_admin: true,
            room_create: true,
            room_list: true,
            ..VideoGrant::default()
        };
        let now = self.server.app.app.now();
        let token = ApiKey::new(KEY, SECRET)
            .sign(&Claims::server_call(grant), now, Duration::from_secs(60))
            .expect("a token");
        let request = Request::post(format!("/twirp/livekit.{service}/{method}"))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))
            .expect("a request");
        let answer = self.server.send(&Actor::Anonymous, request).await;
        (answer.status.as_u16(), answer.json())
    }

    /// Sends the LiveKit process a signal, by its name.
    pub(crate) fn livekit_signal(&self, name: &str) {
        let livekit = self.livekit.as_ref().expect("a LiveKit server");
        let sent = Command::new("kill")
            .args([format!("-{name}"), livekit.0.id().to_string()])
            .status();
        assert!(sent.expect("kill runs").success());
    }

    /// Posts a webhook to our own server, signed with the key pair or with another secret; gives the status.
    pub(crate) async fn tell(&self, event: &WebhookEvent, secret: Option<&str>) -> u16 {
        let key = ApiKey::new(KEY, secret.unwrap_or(SECRET));
        let body = webhook::body(event).expect("JSON");
        let signed = webhook::sign(body, &key, self.server.app.app.now()).expect("a signature");
        let request = Request::post("/webhooks/livekit")
            .header(header::AUTHORIZATION, signed.authorization)
            .header(header::CONTENT_TYPE, webhook::CONTENT_TYPE)
            .body(Body::from(signed.body))
            .expect("a request");
        let answer = self.server.send(&Actor::Anonymous, request).await;
        answer.status.as_u16()
    }

    /// The identities in a room whose media flows.
    pub(crate) async fn present(&self, meeting: MeetingId) -> Vec<String> {
        let room = serde_json::json!({ "room": meeting });
        let (status, answer) = self.twirp("RoomService", "ListParticipants", room).await;
        let none = Vec::new();
        let list = answer["participants"].as_array().unwrap_or(&none);
        let mut present: Vec<String> = list
            .iter()
            .filter(|it| status == 200 && it["state"] == "ACTIVE")
            .map(|it| it["identity"].as_str().unwrap_or_default().to_owned())
            .collect();
        present.sort();
        present
    }

    /// A participant as the database has it.
    pub(crate) async fn member(&self, meeting: MeetingId, id: ParticipantId) -> RoomMember {
        let mut conn = self.server.app.db.store.read().await.expect("a connection");
        conn.room_member_find(meeting, id)
            .await
            .expect("a row")
            .expect("a participant")
    }

    /// The types of a meeting's events about one participant.
    pub(crate) async fn told_of(&self, meeting: MeetingId, id: ParticipantId) -> Vec<String> {
        let mut conn = self.server.app.db.store.read().await.expect("a connection");
        let events = conn
            .event_list(EventTopic::Meeting(meeting), 0, 1000)
            .await
            .expect("the events");
        events
            .iter()
            .filter(|event| event.data["id"] == serde_json::json!(id))
            .map(|event| event.kind.to_string())
            .collect()
    }

    /// Waits until the condition holds; nothing else tells when it does.
    pub(crate) async fn until<F: Future<Output = bool>>(
        &self,
        what: &str,
        mut condition: impl FnMut() -> F,
    ) {
        let holds = async {
            while !condition().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, holds)
            .await
            .unwrap_or_else(|_| panic!("not in time: {what}"));
    }

    /// The webhooks of a room so far, as (event, identity).
    pub(crate) fn hooks(&self, meeting: MeetingId) -> Vec<(String, String)> {
        let room = meeting.to_string();
        let collected = self.collected.lock().expect("a lock");
        collected
            .iter()
            .filter(|event| event.room.as_ref().is_some_and(|it| it.name == room))
            .map(|event| {
                let identity = event.participant.as_ref().map(|it| it.identity.clone());
                (event.event.clone(), identity.unwrap_or_default())
            })
            .collect()
    }
}

/// One thread on ports that the system picks.
pub(crate) fn driver() -> DriverConfig {
    DriverConfig {
        listen: vec!["127.0.0.1".parse().expect("an address")],
        udp_port: 0,
        tcp_port: Some(0),
        shards: 1,
        ..DriverConfig::default()
    }
}

fn free_tcp() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

fn free_udp() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("an address").port()
}

/// The program that `LIVEKIT_SERVER` names, or `livekit-server` on the path.
#[expect(
    clippy::disallowed_methods,
    reason = "what a machine has to test with is no setting of the program"
)]
fn livekit_server() -> Option<String> {
    if let Ok(named) = std::env::var("LIVEKIT_SERVER")
        && !named.is_empty()
    {
        return Some(named);
    }
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join("livekit-server"))
        .find(|program| program.is_file());
    if found.is_none() {
        // Written past the capture of the test runner: a skip must be seen.
        static SAID: std::sync::Once = std::sync::Once::new();
        SAID.call_once(|| {
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                b"SKIPPED: the room scenarios on a real LiveKit server. No livekit-server is on PATH and \
                  LIVEKIT_SERVER names none: `go install github.com/livekit/livekit-server/cmd/server@v1.13.5` gets one.\n",
            );
        });
    }
    found.map(|program| program.to_string_lossy().into_owned())
}

async fn livekit(program: &str, port: u16, hooks: &[&str]) -> LiveKit {
    let config = serde_json::json!({
        "port": port,
        "bind_addresses": ["127.0.0.1"],
        "rtc": { "udp_port": free_udp(), "tcp_port": free_tcp(), "node_ip": "127.0.0.1", "enable_loopback_candidate": true, "use_external_ip": false },
        "keys": { KEY: SECRET },
        "webhook": { "api_key": KEY, "urls": hooks },
        "room": { "departure_timeout": 2 },
    });
    let log = std::fs::File::create(std::env::temp_dir().join(format!("livekit-{port}.log")));
    let log = log.map_or_else(|_| Stdio::null(), Stdio::from);
    let child = Command::new(program)
        .args(["--config-body", &config.to_string()])
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("the LiveKit server starts");
    let livekit = LiveKit(child);
    let address: SocketAddr = ([127, 0, 0, 1], port).into();
    let up = async {
        while tokio::net::TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, up)
        .await
        .expect("the LiveKit server listens");
    livekit
}
