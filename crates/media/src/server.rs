//! The LiveKit-compatible server as the rest of the program sees it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use str0m::net::Protocol;
use tokio::sync::{mpsc, oneshot};

use crate::driver::{
    CommandError, Driver, DriverConfig, DriverError, RelayHandle, ShardHandle, ShardStats,
};
use crate::peer::Transport;
use crate::record::tap::Tap;
use crate::recording::{Recording, RecordingOptions, RecordingRefusal, RecordingResult};
use crate::room::{Refusal, RoomEvent, Settings};
use crate::service::{RoomAnswer, RoomCall, TwirpError};
use crate::shard::{Command, Shard, SignalId};
use crate::signal::join::Join;
use crate::token::ApiKey;
use crate::turn::TurnOffer;

/// Messages that may wait for a client that does not read its signal connection.
const SIGNAL_QUEUE: usize = 512;

/// The version of LiveKit's server whose behaviour this one follows; clients decide by it what they use.
pub const LIVEKIT_VERSION: &str = "1.13.5";

/// Signal protocol 16: data channels negotiated in-band, no packet trailers.
const PROTOCOL: i32 = 16;

/// How the server is set up.
#[derive(Debug, Clone)]
pub struct MediaConfig {
    /// Ports, addresses, threads.
    pub driver: DriverConfig,
    /// Signs the tokens that clients resume with.
    pub key: ApiKey,
    /// STUN and TURN servers that clients are told of; none are needed where the ports are reachable.
    pub ice_servers: Vec<proto::IceServer>,
    /// How long a room nobody has joined stays.
    pub empty_timeout: Duration,
    /// How long a room stays after the last one left.
    pub departure_timeout: Duration,
    /// How long a participant may be away before it counts as gone.
    pub reconnect_window: Duration,
    /// Wall time of `started`, ms since 1970.
    pub started_ms: i64,
    /// The moment `started_ms` names.
    pub started: Instant,
    /// Where ids come from.
    pub seed: u64,
}

/// The server is not there to answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// Its queue is full: it has more to do than it can.
    #[error("the media server is busy")]
    Busy,
    /// It has stopped or is about to.
    #[error("the media server has stopped")]
    Stopped,
}

/// Why a join failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The room does not let the participant in.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The server cannot answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why a server call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MediaCallError {
    /// The room answers with an error.
    #[error(transparent)]
    Call(#[from] TwirpError),
    /// The server cannot answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// The running server. Cheap to clone.
#[derive(Clone)]
pub struct MediaServer {
    shards: Arc<[ShardHandle<Command>]>,
    info: proto::ServerInfo,
    udp: Arc<[SocketAddr]>,
    tcp: Arc<[SocketAddr]>,
    relay: Option<(RelayHandle, u16)>,
}

/// Stops the server; whoever holds it decides when.
pub struct MediaStop(Driver<Command>);

/// The facts of all rooms, in the order in which they happened in each.
pub type RoomEvents = mpsc::UnboundedReceiver<RoomEvent>;

impl MediaServer {
    /// Opens the ports and starts the threads.
    ///
    /// # Errors
    /// A port is taken, an address does not exist, a thread cannot be started.
    pub fn start(config: &MediaConfig) -> Result<(Self, MediaStop, RoomEvents), DriverError> {
        let (events, receiver) = mpsc::unbounded_channel();
        let mut rng = StdRng::seed_from_u64(config.seed);
        let mut trailer = vec![0; 24];
        rng.fill_bytes(&mut trailer);
        let info = proto::ServerInfo {
            version: LIVEKIT_VERSION.to_owned(),
            protocol: PROTOCOL,
            agent_protocol: 1,
            node_id: format!("ND_{:012x}", rng.random::<u64>() >> 16),
            ..proto::ServerInfo::default()
        };
        let turn = config.driver.turn.as_ref();
        let turn = turn.map(|it| (it, Arc::new(TurnOffer::new(it))));
        let driver = Driver::start(&config.driver, |index, candidates| {
            let of = |protocol| {
                candidates
                    .iter()
                    .filter(|candidate| candidate.protocol == protocol)
                    .map(|candidate| candidate.address)
                    .collect()
            };
            let settings = Settings {
                transport: Transport {
                    udp: of(Protocol::Udp),
                    tcp: of(Protocol::Tcp),
                    initial_bps: 1_000_000,
                },
                server: info.clone(),
                ice_servers: config.ice_servers.clone(),
                turn: turn.as_ref().map(|it| it.1.clone()),
                key: config.key.clone(),
                empty_timeout: config.empty_timeout,
                departure_timeout: config.departure_timeout,
                reconnect_window: config.reconnect_window,
                epoch: (config.started, config.started_ms),
                sif_trailer: trailer.clone(),
            };
            let seed = config.seed.wrapping_add(index as u64 + 1);
            Shard::new(settings, StdRng::seed_from_u64(seed), events.clone())
        })?;
        let addresses = |protocol| {
            driver
                .candidates()
                .iter()
                .filter(|candidate| candidate.protocol == protocol)
                .map(|candidate| candidate.address)
                .collect()
        };
        let server = Self {
            shards: driver.shards().to_vec().into(),
            info,
            udp: addresses(Protocol::Udp),
            tcp: addresses(Protocol::Tcp),
            relay: driver.relay(),
        };
        if let (Some((config, offer)), Some((_, port))) = (turn, &server.relay) {
            offer.opened(config, &server.udp, *port);
        }
        Ok((server, MediaStop(driver), receiver))
    }

    /// What clients and workers are told of this server.
    pub fn info(&self) -> &proto::ServerInfo {
        &self.info
    }

    /// Where clients reach the UDP port.
    pub fn udp(&self) -> &[SocketAddr] {
        &self.udp
    }

    /// Where clients reach the TCP port.
    pub fn tcp(&self) -> &[SocketAddr] {
        &self.tcp
    }

    /// The TURN relay, which takes streams, and its UDP port; none when it is off.
    pub fn relay(&self) -> Option<(RelayHandle, u16)> {
        self.relay.clone()
    }

    /// The counters of each thread.
    pub fn stats(&self) -> Vec<ShardStats> {
        self.shards.iter().map(ShardHandle::stats).collect()
    }

    /// A room lives on one thread, found by its name.
    fn shard(&self, room: &str) -> Option<&ShardHandle<Command>> {
        let mut hasher = DefaultHasher::new();
        room.hash(&mut hasher);
        let index = hasher.finish() % self.shards.len().max(1) as u64;
        self.shards.get(usize::try_from(index).unwrap_or(0))
    }

    fn command(shard: Option<&ShardHandle<Command>>, command: Command) -> Result<(), Unavailable> {
        let shard = shard.ok_or(Unavailable::Stopped)?;
        shard.send(command).map_err(|error| match error {
            CommandError::Full(_) => Unavailable::Busy,
            CommandError::Stopped(_) => Unavailable::Stopped,
        })
    }

    /// Lets a participant in, or back in.
    ///
    /// # Errors
    /// The room refuses, or the server cannot answer.
    pub async fn join(&self, join: Join) -> Result<Session, JoinError> {
        let shard = self.shard(&join.room).cloned();
        let (sink, messages) = mpsc::channel(SIGNAL_QUEUE);
        let (reply, joined) = oneshot::channel();
        let join = Box::new(join);
        Self::command(shard.as_ref(), Command::Join { join, sink, reply })?;
        let id = joined.await.map_err(|_| Unavailable::Stopped)??;
        Ok(Session {
            shard: shard.ok_or(Unavailable::Stopped)?,
            id,
            messages,
        })
    }

    /// A server call. A list of rooms asks all threads, everything else the room's own.
    ///
    /// # Errors
    /// What the room answers, or that the server cannot.
    pub async fn call(&self, call: RoomCall) -> Result<RoomAnswer, MediaCallError> {
        if let RoomCall::List(request) = call {
            let mut rooms = Vec::new();
            for shard in self.shards.iter() {
                let call = RoomCall::List(request.clone());
                if let RoomAnswer::List(answer) = Self::ask(Some(shard), call).await? {
                    rooms.extend(answer.rooms);
                }
            }
            rooms.sort_by(|a, b| a.name.cmp(&b.name));
            return Ok(RoomAnswer::List(proto::ListRoomsResponse { rooms }));
        }
        Self::ask(self.shard(room_of(&call)), call).await
    }

    async fn ask(
        shard: Option<&ShardHandle<Command>>,
        call: RoomCall,
    ) -> Result<RoomAnswer, MediaCallError> {
        let (reply, answer) = oneshot::channel();
        let call = Box::new(call);
        Self::command(shard, Command::Call { call, reply })?;
        let answer = answer.await.map_err(|_| Unavailable::Stopped)?;
        Ok(answer?)
    }

    /// Records a room, and tells its clients so; whether the room is there already does not matter. The
    /// result comes when the recording has ended and its files are complete. One recording per room: a
    /// second one takes the first one's place.
    ///
    /// # Errors
    /// The directory cannot be made, the disk is full, or the server cannot answer.
    pub fn record(
        &self,
        room: &str,
        options: RecordingOptions,
    ) -> Result<(Recording, oneshot::Receiver<RecordingResult>), RecordingRefusal> {
        let shard = self.shard(room).cloned().ok_or(Unavailable::Stopped)?;
        let tap = Arc::new(Tap::default());
        let ask = {
            let (shard, room) = (shard.clone(), room.to_owned());
            move |track| {
                let room = room.clone();
                // A busy room is asked again soon.
                let _ = Self::command(Some(&shard), Command::TapKeyframe { room, track });
            }
        };
        let ended = {
            let (shard, room, tap) = (shard.clone(), room.to_owned(), Arc::clone(&tap));
            move || Self::tap_ended(&shard, &room, &tap)
        };
        let started = Recording::start(options, Arc::clone(&tap), ask, ended)?;
        let room = room.to_owned();
        Self::command(Some(&shard), Command::StartTap { room, tap })?;
        Ok(started)
    }

    /// Tells a room that its recording has ended; called on the recording's own thread.
    fn tap_ended(shard: &ShardHandle<Command>, room: &str, tap: &Arc<Tap>) {
        const PAUSE: Duration = Duration::from_millis(100);
        for _ in 0..50 {
            let (room, tap) = (room.to_owned(), Arc::clone(tap));
            match Self::command(Some(shard), Command::StopTap { room, tap }) {
                Err(Unavailable::Busy) => std::thread::sleep(PAUSE),
                Ok(()) | Err(Unavailable::Stopped) => return,
            }
        }
        tracing::warn!(room, "a room was too busy to hear that its recording ended");
    }

    /// Sends everybody off, to come back to the next process; no more joins. Returns when all were told.
    pub async fn drain(&self) {
        for shard in self.shards.iter() {
            let (reply, told) = oneshot::channel();
            if Self::command(Some(shard), Command::Drain { reply }).is_ok() {
                // A thread that ended has told nobody, and nobody waits for it.
                let _ = told.await;
            }
        }
    }
}

impl MediaStop {
    /// Ends the threads; blocks until they have, or `within` is over.
    pub fn stop(self, within: Duration) {
        if let Err(busy) = self.0.stop(within) {
            tracing::warn!(%busy, "the media server did not stop in time");
        }
    }
}

/// The room a call is about.
fn room_of(call: &RoomCall) -> &str {
    match call {
        RoomCall::Create(request) => &request.name,
        RoomCall::List(_) => "",
        RoomCall::Delete(request) => &request.room,
        RoomCall::ListParticipants(request) => &request.room,
        RoomCall::GetParticipant(request) | RoomCall::RemoveParticipant(request) => &request.room,
        RoomCall::MuteTrack(request) => &request.room,
        RoomCall::UpdateParticipant(request) => &request.room,
        RoomCall::UpdateSubscriptions(request) => &request.room,
        RoomCall::SendData(request) => &request.room,
        RoomCall::UpdateMetadata(request) => &request.room,
        RoomCall::ForwardParticipant(request) => &request.room,
        RoomCall::MoveParticipant(request) => &request.room,
        RoomCall::PerformRpc(request) => &request.room,
    }
}

/// One signal connection. Dropping it closes it; the client may come back and resume.
pub struct Session {
    shard: ShardHandle<Command>,
    id: SignalId,
    messages: mpsc::Receiver<proto::SignalResponse>,
}

impl Session {
    /// Passes a client's message on.
    ///
    /// # Errors
    /// The server cannot take it: the connection is to be closed.
    pub fn send(&self, request: Request) -> Result<(), Unavailable> {
        let request = Box::new(request);
        MediaServer::command(
            Some(&self.shard),
            Command::Signal {
                id: self.id,
                request,
            },
        )
    }

    /// The next message for the client; none when the server is done with this connection.
    pub async fn next(&mut self) -> Option<proto::SignalResponse> {
        self.messages.recv().await
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A server that has stopped needs no word.
        let _ = MediaServer::command(Some(&self.shard), Command::SignalClosed(self.id));
    }
}
