//! Sound and picture: the LiveKit server inside, and who may use it for what.
//!
//! The media crate knows rooms; this module knows meetings. A room is named after its meeting
//! (`mtg_…`), a participant's identity is the id of its place in it (`par_…`). Rooms of other names
//! belong to whoever signs tokens with the server's key pair, as on any LiveKit server.

mod backend;
mod events;
mod follow;
mod grants;
mod inbound;
mod outbox;
mod reconcile;
mod workers;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use meetmind_core::{Code, Error, MeetingId, MeetingRole, MeetingStatus, Result};
use meetmind_media::driver::{DriverConfig, RelayHandle};
use meetmind_media::service::{self, HttpAnswer, HttpRequest, RoomCall, TwirpError};
use meetmind_media::signal::join::{self, Join, Refusal, Route};
use meetmind_media::token::{ApiKey, ApiKeys};
use meetmind_media::{JoinError, MediaConfig, MediaServer, MediaStop, Session};
use tokio::task::JoinHandle;

pub use inbound::WebhookOutcome;
pub use workers::WorkerSocket;

use crate::{App, LiveKitSettings};
use follow::Hints;

/// The server inside once it runs, or the other one, and what keeps rooms in line with their meetings.
#[derive(Default)]
pub(crate) struct State {
    embedded: OnceLock<Embedded>,
    remote: OnceLock<backend::Remote>,
    follower: follow::Follower,
    positions: outbox::Positions,
    seen: inbound::Seen,
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
    app: App,
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
            reconnect_window: self.settings().reconnect_window,
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
        self.rooms_follow().await?;
        Ok(Rooms {
            app: self.clone(),
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
        let meeting = join.room.parse::<MeetingId>();
        let session = embedded
            .server
            .join(join)
            .await
            .map_err(|error| match error {
                JoinError::Refused(meetmind_media::room::Refusal::Full) => Refusal::room_full(),
                _ => Refusal::limit_exceeded(),
            })?;
        if let Ok(meeting) = meeting {
            // What changed between the check and the join is found out by one more look.
            self.room_mark(meeting, Hints::default());
        }
        Ok(session)
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
        match join.room.parse::<MeetingId>() {
            Ok(meeting) => self.rtc_check_meeting(meeting, join).await,
            Err(_) => Ok(join),
        }
    }

    /// The token was given to somebody who was in, with the role of then. What counts is now: whether
    /// they may be in, under which name, and what their role may do.
    async fn rtc_check_meeting(
        &self,
        id: MeetingId,
        mut join: Join,
    ) -> std::result::Result<Join, Refusal> {
        let identity = grants::participant_of(&join.identity);
        let found = async {
            let mut conn = self.store().read().await?;
            let meeting = conn.meeting_get(id).await?;
            let member = match identity {
                Some((participant, _)) => conn.room_member_find(id, participant).await?,
                None => None,
            };
            let metadata = conn.room_metadata_find(id).await?;
            Ok::<_, meetmind_store::Error>((meeting, member, metadata))
        };
        let (meeting, member, metadata) = found.await.map_err(|error| match error {
            meetmind_store::Error::NotFound(_) => Refusal::room_not_found(),
            error => {
                tracing::error!(%error, "a participant could not be looked up");
                Refusal::limit_exceeded()
            }
        })?;
        let is_over = meeting.status == MeetingStatus::Ended || meeting.archived_at.is_some();
        match (identity, member) {
            (Some((_, is_second)), Some(member)) if grants::may_be_in(&meeting, &member) => {
                let participant = member.participant;
                join.permissions = reconcile::permissions(participant.role, is_second);
                if participant.role != MeetingRole::Agent {
                    join.claims.metadata = grants::metadata(&participant);
                }
                join.claims.name = participant.name;
            }
            // Others than participants come with a token of whoever has the key pair: agents' jobs, tools.
            (None, _) if !is_over => {}
            _ => return Err(Refusal::no_permission()),
        }
        join.room_settings.metadata = metadata.unwrap_or_else(|| self.room_metadata(&meeting));
        Ok(join)
    }

    /// A call of LiveKit's server APIs. Where another LiveKit server is configured, it is passed on to it.
    pub async fn twirp(&self, request: &HttpRequest<'_>) -> HttpAnswer {
        let rooms = &self.inner.rooms;
        let embedded = rooms.embedded.get().map(|embedded| &embedded.keys);
        let Some(keys) = embedded.or_else(|| rooms.remote.get().map(|remote| &remote.keys)) else {
            return TwirpError::unavailable("no media server runs here").answer();
        };
        let accepted = match service::decode(request, keys, self.now()) {
            Ok(accepted) => accepted,
            Err(answer) => return answer,
        };
        let answer = match accepted.call {
            service::Call::Room(call) => {
                let call = self.room_settings_of(call).await;
                match self.room_call(call.clone()).await {
                    Ok(answer) => {
                        self.room_metadata_keep(&call).await;
                        return answer.answer(accepted.wire);
                    }
                    Err(error) => error,
                }
            }
            service::Call::Dispatch(call) => match self.room_dispatch(call).await {
                Ok(answer) => return answer.answer(accepted.wire),
                Err(error) => error,
            },
        };
        answer.twirp().answer()
    }

    /// A meeting's room that is made without metadata gets that of the meeting.
    async fn room_settings_of(&self, call: RoomCall) -> RoomCall {
        match call {
            RoomCall::Create(mut request) if request.metadata.is_empty() => {
                if let Some(settings) = self.room_settings(&request.name).await {
                    request.metadata = settings.metadata;
                }
                RoomCall::Create(request)
            }
            call => call,
        }
    }

    /// Keeps the metadata that a caller gave a meeting's room, so that it outlasts the process.
    async fn room_metadata_keep(&self, call: &RoomCall) {
        let (room, metadata) = match call {
            RoomCall::UpdateMetadata(request) => (&request.room, &request.metadata),
            RoomCall::Create(request) => (&request.name, &request.metadata),
            _ => return,
        };
        let Ok(meeting) = room.parse::<MeetingId>() else {
            return;
        };
        if self.wrote_room_metadata(meeting, metadata) {
            return;
        }
        let kept = async {
            let mut tx = self.store().begin().await?;
            tx.room_metadata_set(meeting, metadata, self.now()).await?;
            tx.commit().await
        };
        if let Err(error) = kept.await {
            tracing::warn!(%error, "a room's metadata could not be written down: it would not outlast a restart");
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
    pub async fn stop(mut self, within: Duration) {
        // That the clients go now is no word on who is in the meetings.
        self.app.inner.rooms.follower.stop();
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
        // What the rooms told last is still to be written down.
        if tokio::time::timeout(within, &mut self.listening)
            .await
            .is_err()
        {
            self.listening.abort();
        }
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
