//! Sound and picture: the LiveKit server inside, and who may use it for what.
//!
//! The media crate knows rooms; this module knows meetings. A room is named after its meeting
//! (`mtg_…`), a participant's identity is the id of its place in it (`par_…`). Rooms of other names
//! belong to whoever signs tokens with the server's key pair, as on any LiveKit server.

mod people;
mod workers;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use livekit_protocol::CreateRoomRequest;
use meetmind_core::{Code, Error, MeetingId, ParticipantId, ParticipantState, Result};
use meetmind_media::driver::{DriverConfig, RelayHandle};
use meetmind_media::service::{
    self, DispatchCall, HttpAnswer, HttpRequest, RoomAnswer, RoomCall, TwirpError,
};
use meetmind_media::signal::join::{self, Join, Refusal, Route};
use meetmind_media::token::{ApiKey, ApiKeys};
use meetmind_media::{
    JoinError, MediaCallError, MediaConfig, MediaServer, MediaStop, RoomEvents, Session,
};
use tokio::task::JoinHandle;

pub use workers::WorkerSocket;

use crate::{App, LiveKitSettings};

/// How long a participant may be away before it has left: long enough for a client to find another
/// network, short enough that the others are not left talking to nobody.
const RECONNECT_WINDOW: Duration = Duration::from_secs(30);

/// The server inside, once it runs.
#[derive(Default)]
pub(crate) struct State {
    embedded: OnceLock<Embedded>,
}

struct Embedded {
    server: MediaServer,
    keys: ApiKeys,
    key: ApiKey,
    url: String,
    workers: workers::State,
}

/// The running server inside; whoever started it stops it.
pub struct Rooms {
    stop: MediaStop,
    server: MediaServer,
    listening: JoinHandle<()>,
}

impl App {
    /// Starts the LiveKit server inside. `pair` is the operator's own key pair; without one the
    /// instance makes its own, once.
    ///
    /// # Errors
    /// A port is taken or an address does not exist; the message names it.
    pub async fn rooms_open(
        &self,
        driver: DriverConfig,
        pair: Option<(String, String)>,
    ) -> Result<Rooms> {
        let (key, secret) = match pair {
            Some(pair) => pair,
            None => self.own_key_pair().await?,
        };
        let key = ApiKey::new(key, secret);
        let keys: ApiKeys = [key.clone()].into_iter().collect();
        let seed = u64::from_le_bytes(self.entropy().bytes());
        let config = MediaConfig {
            driver,
            key: key.clone(),
            ice_servers: Vec::new(),
            empty_timeout: Duration::from_secs(300),
            departure_timeout: Duration::from_secs(20),
            reconnect_window: RECONNECT_WINDOW,
            started_ms: self.now().micros() / 1000,
            started: Instant::now(),
            seed,
        };
        let (server, stop, events) = MediaServer::start(&config)
            .map_err(|error| Error::new(Code::Internal, error.to_string()))?;
        let workers = workers::State::new(self, keys.clone(), server.info().clone());
        let embedded = Embedded {
            server: server.clone(),
            keys,
            key,
            url: socket_url(&self.settings().public_url),
            workers,
        };
        if self.inner.rooms.embedded.set(embedded).is_err() {
            return Err(Error::new(Code::Conflict, "the media server runs already"));
        }
        let listening = tokio::spawn(self.clone().rooms_listen(events));
        Ok(Rooms {
            stop,
            server,
            listening,
        })
    }

    /// Where clients of the server inside connect, for whoever signs tokens with its key pair.
    pub fn rooms_url(&self) -> String {
        socket_url(&self.settings().public_url)
    }

    /// The key pair that this instance made for itself; it is made when it is first asked for.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn own_key_pair(&self) -> Result<(String, String)> {
        const NAME: &str = "livekit_key_pair";
        if let Some(stored) = self.store().instance_get(NAME).await?
            && let Some((key, secret)) = stored.split_once(' ')
        {
            return Ok((key.to_owned(), secret.to_owned()));
        }
        let hex = |bytes: &[u8]| -> String { bytes.iter().map(|it| format!("{it:02x}")).collect() };
        let key = format!("API{}", hex(&self.entropy().bytes::<6>()));
        let secret = hex(&self.entropy().bytes::<32>());
        self.store()
            .instance_set(NAME, &format!("{key} {secret}"))
            .await?;
        Ok((key, secret))
    }

    /// The LiveKit server that meetings use, if there is one.
    pub(crate) fn livekit(&self) -> Option<LiveKitSettings> {
        match self.inner.rooms.embedded.get() {
            Some(embedded) => Some(LiveKitSettings {
                url: embedded.url.clone(),
                api_key: embedded.key.key().to_owned(),
                api_secret: embedded.key.secret().to_owned(),
            }),
            None => self.settings().livekit.clone(),
        }
    }

    /// The server inside, where one runs.
    pub(crate) fn media_server(&self) -> Option<&MediaServer> {
        Some(&self.inner.rooms.embedded.get()?.server)
    }

    fn embedded(&self) -> std::result::Result<&Embedded, Refusal> {
        self.inner
            .rooms
            .embedded
            .get()
            .ok_or_else(Refusal::room_not_found)
    }

    /// Opens a signal connection (`/rtc`, `/rtc/v1`).
    ///
    /// # Errors
    /// The status and text to answer instead of the upgrade.
    pub async fn rtc_join(
        &self,
        route: Route,
        query: &str,
        authorization: Option<&str>,
        address: Option<String>,
    ) -> std::result::Result<Session, Refusal> {
        let embedded = self.embedded()?;
        let mut join = self.rtc_check(route, query, authorization, false).await?;
        join.client.address = address.unwrap_or_default();
        embedded
            .server
            .join(join)
            .await
            .map_err(|error| match error {
                JoinError::Refused(meetmind_media::room::Refusal::Full) => Refusal::room_full(),
                _ => Refusal::limit_exceeded(),
            })
    }

    /// What `/rtc/validate` answers: whether a join with these words would be let in.
    ///
    /// # Errors
    /// The status and text that say why not.
    pub async fn rtc_check(
        &self,
        route: Route,
        query: &str,
        authorization: Option<&str>,
        strict: bool,
    ) -> std::result::Result<Join, Refusal> {
        let embedded = self.embedded()?;
        let join = join::parse(
            route,
            query,
            authorization,
            strict,
            &embedded.keys,
            self.now(),
        )?;
        let Ok(meeting) = join.room.parse::<MeetingId>() else {
            return Ok(join);
        };
        // The token was given to somebody who was in; since then they may have been put out.
        let Ok(participant) = join.identity.parse::<ParticipantId>() else {
            return Ok(join);
        };
        let found = async {
            let mut conn = self.store().read().await?;
            conn.participant_get(meeting, participant).await
        };
        match found.await {
            Ok(participant) if participant.state == ParticipantState::Joined => Ok(join),
            Ok(_) | Err(meetmind_store::Error::NotFound(_)) => Err(Refusal::no_permission()),
            Err(error) => {
                tracing::error!(%error, "a participant could not be looked up");
                Err(Refusal::limit_exceeded())
            }
        }
    }

    /// A call of LiveKit's server APIs.
    pub async fn twirp(&self, request: &HttpRequest<'_>) -> HttpAnswer {
        let Ok(embedded) = self.embedded() else {
            return TwirpError::unavailable("no media server runs here").answer();
        };
        let accepted = match service::decode(request, &embedded.keys, self.now()) {
            Ok(accepted) => accepted,
            Err(answer) => return answer,
        };
        match accepted.call {
            service::Call::Room(call) => match embedded.server.call(call).await {
                Ok(answer) => answer.answer(accepted.wire),
                Err(MediaCallError::Call(error)) => error.answer(),
                Err(MediaCallError::Unavailable(error)) => {
                    TwirpError::unavailable(error.to_string()).answer()
                }
            },
            service::Call::Dispatch(call) => {
                if let DispatchCall::Create(request) = &call {
                    // An agent may be sent into a room before anybody is in it.
                    let room = RoomCall::Create(CreateRoomRequest {
                        name: request.room.clone(),
                        ..CreateRoomRequest::default()
                    });
                    if let Ok(RoomAnswer::Create(room)) = embedded.server.call(room).await {
                        embedded.workers.room_known(self, room);
                    }
                }
                match embedded.workers.dispatch(self, call) {
                    Ok(answer) => answer.answer(accepted.wire),
                    Err(error) => error.answer(),
                }
            }
        }
    }

    /// Applies what happens in rooms, in order.
    async fn rooms_listen(self, mut events: RoomEvents) {
        while let Some(event) = events.recv().await {
            if let Some(embedded) = self.inner.rooms.embedded.get() {
                embedded.workers.room_event(&self, &event);
            }
        }
    }
}

impl std::fmt::Debug for Rooms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rooms").finish_non_exhaustive()
    }
}

impl Rooms {
    /// Where clients reach the media ports, for people.
    pub fn describe(&self) -> String {
        let list = |addresses: &[std::net::SocketAddr]| {
            let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            texts.join(", ")
        };
        let (udp, tcp) = (list(self.server.udp()), list(self.server.tcp()));
        let mut text = format!("udp {udp}");
        if !tcp.is_empty() {
            text += &format!(" · tcp {tcp}");
        }
        if let Some((_, port)) = self.server.relay() {
            text += &format!(" · turn udp port {port}");
        }
        text
    }

    /// The TURN relay inside, which takes streams; none when it is off.
    pub fn relay(&self) -> Option<RelayHandle> {
        self.server.relay().map(|relay| relay.0)
    }

    /// Tells every client to come back, then ends the threads; waits no longer than `within`.
    pub async fn stop(self, within: Duration) {
        if tokio::time::timeout(within, self.server.drain())
            .await
            .is_err()
        {
            tracing::warn!("not every room was told of the end");
        }
        let stop = self.stop;
        // Ending waits for threads, which a task of the runtime must not.
        let ended = tokio::task::spawn_blocking(move || stop.stop(within)).await;
        if ended.is_err() {
            tracing::warn!("the media server ended by a panic");
        }
        self.listening.abort();
    }
}

/// The address under which clients signal: the public one, with the scheme of sockets.
fn socket_url(public_url: &str) -> String {
    match public_url.split_once("://") {
        Some(("https", rest)) => format!("wss://{rest}"),
        Some((_, rest)) => format!("ws://{rest}"),
        None => format!("ws://{public_url}"),
    }
}
