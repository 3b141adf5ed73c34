//! All rooms of one thread, as one state machine.
//!
//! A room lives on one shard for its whole life (by the hash of its name), so no lock is held while a
//! packet is forwarded. Commands come from the signal connections and server calls, datagrams and time
//! from the driver.

use std::collections::HashMap;
use std::time::Instant;

use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, oneshot};

use crate::driver::Outbox;
use crate::peer::ConnectionKey;
use crate::room::{CallError, Join, Refusal, Room, RoomEvent, Settings, SignalSink, Step};

/// Names one signal connection: the participant, and which of its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SignalId {
    pub(crate) participant: u64,
    pub(crate) generation: u64,
}

/// What the rest of the program asks of a shard.
pub(crate) enum Command {
    /// A checked participant is at the door, or back at it.
    Join {
        join: Box<Join>,
        sink: SignalSink,
        reply: oneshot::Sender<Result<SignalId, Refusal>>,
    },
    /// One message from a client.
    Signal { id: SignalId, request: Box<Request> },
    /// A signal connection ended.
    SignalClosed(SignalId),
    /// A server call.
    Call {
        call: Box<Call>,
        reply: oneshot::Sender<Result<Answer, CallError>>,
    },
    /// No more joins; everybody is told to come back elsewhere or later.
    Drain { reply: oneshot::Sender<()> },
}

/// The server calls that one room answers, and the list of rooms.
#[derive(Debug)]
pub(crate) enum Call {
    CreateRoom(proto::CreateRoomRequest),
    ListRooms(Vec<String>),
    DeleteRoom(String),
    ListParticipants(String),
    GetParticipant { room: String, identity: String },
    RemoveParticipant { room: String, identity: String },
    MuteTrack(proto::MuteRoomTrackRequest),
    UpdateParticipant(proto::UpdateParticipantRequest),
    UpdateSubscriptions(proto::UpdateSubscriptionsRequest),
    SendData(proto::SendDataRequest),
    UpdateRoomMetadata { room: String, metadata: String },
    SetRecording { room: String, active: bool },
}

/// What a call answers.
#[derive(Debug)]
pub(crate) enum Answer {
    Done,
    Room(Box<proto::Room>),
    Rooms(Vec<proto::Room>),
    Participant(Box<proto::ParticipantInfo>),
    Participants(Vec<proto::ParticipantInfo>),
    Track(Box<proto::TrackInfo>),
}

/// The rooms of one shard.
pub(crate) struct Shard {
    settings: Settings,
    rng: StdRng,
    rooms: HashMap<u64, Room>,
    names: HashMap<String, u64>,
    /// In which room a participant is.
    members: HashMap<u64, u64>,
    next_room: u64,
    next_participant: u64,
    events: mpsc::UnboundedSender<RoomEvent>,
    draining: bool,
}

impl Shard {
    pub(crate) fn new(
        settings: Settings,
        rng: StdRng,
        events: mpsc::UnboundedSender<RoomEvent>,
    ) -> Self {
        Self {
            settings,
            rng,
            rooms: HashMap::new(),
            names: HashMap::new(),
            members: HashMap::new(),
            next_room: 0,
            next_participant: 0,
            events,
            draining: false,
        }
    }

    /// Does something with a room, passes on what it tells, and drops it when it has ended.
    fn with_room<R>(
        &mut self,
        key: u64,
        now: Instant,
        out: &mut Outbox,
        work: impl FnOnce(&mut Room, &mut Step<'_>) -> R,
    ) -> Option<R> {
        let room = self.rooms.get_mut(&key)?;
        let (mut events, mut left) = (Vec::new(), Vec::new());
        let mut step = Step {
            now,
            out,
            rng: &mut self.rng,
            settings: &self.settings,
            events: &mut events,
            left: &mut left,
        };
        let result = work(room, &mut step);
        let finished = room.is_finished();
        let name = room.name().to_owned();
        for participant in left {
            self.members.remove(&participant);
        }
        for event in events {
            // Without a receiver the program is on its way down.
            let _ = self.events.send(event);
        }
        if finished {
            self.rooms.remove(&key);
            self.names.remove(&name);
        }
        Some(result)
    }

    /// The room of that name, made if need be.
    fn room(
        &mut self,
        name: &str,
        config: &proto::RoomConfiguration,
        now: Instant,
        out: &mut Outbox,
    ) -> u64 {
        if let Some(key) = self.names.get(name) {
            return *key;
        }
        self.next_room += 1;
        let (mut events, mut left) = (Vec::new(), Vec::new());
        let mut step = Step {
            now,
            out,
            rng: &mut self.rng,
            settings: &self.settings,
            events: &mut events,
            left: &mut left,
        };
        let room = Room::new(name, config, &mut step);
        self.rooms.insert(self.next_room, room);
        self.names.insert(name.to_owned(), self.next_room);
        for event in events {
            let _ = self.events.send(event);
        }
        self.next_room
    }

    fn join(
        &mut self,
        join: Join,
        sink: SignalSink,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<SignalId, Refusal> {
        if join.request.reconnect {
            let resumed = self.names.get(&join.room).copied().and_then(|room| {
                let (identity, sid) = (&join.identity, &join.request.participant_sid);
                let sink = sink.clone();
                self.with_room(room, now, out, |room, step| {
                    room.resume(identity, sid, sink, step)
                })
                .flatten()
            });
            if let Some((participant, generation)) = resumed {
                return Ok(SignalId {
                    participant,
                    generation,
                });
            }
            return Err(Refusal::NothingToResume);
        }
        if self.draining {
            return Err(Refusal::Draining);
        }
        let config = join.room_config.clone().unwrap_or_default();
        let room = self.room(&join.room, &config, now, out);
        self.next_participant += 1;
        let participant = self.next_participant;
        self.members.insert(participant, room);
        let joined = self.with_room(room, now, out, |room, step| {
            room.join(participant, join, sink, step)
        });
        match joined {
            Some(Ok(generation)) => Ok(SignalId {
                participant,
                generation,
            }),
            refused => {
                self.members.remove(&participant);
                Err(refused.and_then(Result::err).unwrap_or(Refusal::Full))
            }
        }
    }

    fn call(&mut self, call: Call, now: Instant, out: &mut Outbox) -> Result<Answer, CallError> {
        match call {
            Call::CreateRoom(request) => {
                let config = proto::RoomConfiguration {
                    name: request.name.clone(),
                    empty_timeout: request.empty_timeout,
                    departure_timeout: request.departure_timeout,
                    max_participants: request.max_participants,
                    metadata: request.metadata,
                    agents: request.agents,
                    ..proto::RoomConfiguration::default()
                };
                let key = self.room(&request.name, &config, now, out);
                let room = self.rooms.get(&key).map(Room::describe).unwrap_or_default();
                Ok(Answer::Room(Box::new(room)))
            }
            Call::ListRooms(names) => {
                let mut rooms: Vec<_> = self
                    .rooms
                    .values()
                    .filter(|room| names.is_empty() || names.iter().any(|it| it == room.name()))
                    .map(Room::describe)
                    .collect();
                rooms.sort_by(|a, b| a.name.cmp(&b.name));
                Ok(Answer::Rooms(rooms))
            }
            Call::DeleteRoom(name) => self.in_room(&name, now, out, |room, step| {
                room.finish(proto::DisconnectReason::RoomDeleted, step);
                Ok(Answer::Done)
            }),
            Call::ListParticipants(name) => self.in_room(&name, now, out, |room, _| {
                Ok(Answer::Participants(room.describe_participants()))
            }),
            Call::GetParticipant { room, identity } => {
                self.in_room(&room, now, out, |room, _| {
                    Ok(Answer::Participant(Box::new(room.get_participant(&identity)?)))
                })
            }
            Call::RemoveParticipant { room, identity } => {
                self.in_room(&room, now, out, |room, step| {
                    room.remove_participant(&identity, step)?;
                    Ok(Answer::Done)
                })
            }
            Call::MuteTrack(request) => {
                self.in_room(&request.room.clone(), now, out, |room, step| {
                    let track = room.mute_published_track(&request, step)?;
                    Ok(Answer::Track(Box::new(track)))
                })
            }
            Call::UpdateParticipant(request) => {
                self.in_room(&request.room.clone(), now, out, |room, step| {
                    let participant = room.update_participant(request, step)?;
                    Ok(Answer::Participant(Box::new(participant)))
                })
            }
            Call::UpdateSubscriptions(request) => {
                self.in_room(&request.room.clone(), now, out, |room, step| {
                    room.update_subscriptions(request, step)?;
                    Ok(Answer::Done)
                })
            }
            Call::SendData(request) => {
                self.in_room(&request.room.clone(), now, out, |room, step| {
                    room.send_room_data(request, step);
                    Ok(Answer::Done)
                })
            }
            Call::UpdateRoomMetadata { room, metadata } => {
                self.in_room(&room, now, out, |room, _| {
                    Ok(Answer::Room(Box::new(room.update_metadata(metadata)?)))
                })
            }
            Call::SetRecording { room, active } => self.in_room(&room, now, out, |room, _| {
                room.set_recording(active);
                Ok(Answer::Done)
            }),
        }
    }

    fn in_room(
        &mut self,
        name: &str,
        now: Instant,
        out: &mut Outbox,
        work: impl FnOnce(&mut Room, &mut Step<'_>) -> Result<Answer, CallError>,
    ) -> Result<Answer, CallError> {
        let key = self.names.get(name).copied();
        key.and_then(|key| self.with_room(key, now, out, work))
            .unwrap_or(Err(CallError::NotFound("the room")))
    }

    /// Does what the rest of the program asks.
    pub(crate) fn command(&mut self, command: Command, now: Instant, out: &mut Outbox) {
        match command {
            Command::Join { join, sink, reply } => {
                let joined = self.join(*join, sink, now, out);
                if let Err(Ok(id)) = reply.send(joined) {
                    // Whoever asked has hung up already.
                    self.command(Command::SignalClosed(id), now, out);
                }
            }
            Command::Signal { id, request } => {
                if let Some(room) = self.members.get(&id.participant).copied() {
                    self.with_room(room, now, out, |room, step| {
                        room.signal(id.participant, id.generation, *request, step);
                    });
                }
            }
            Command::SignalClosed(id) => {
                if let Some(room) = self.members.get(&id.participant).copied() {
                    self.with_room(room, now, out, |room, step| {
                        room.signal_closed(id.participant, id.generation, step);
                    });
                }
            }
            Command::Call { call, reply } => {
                let _ = reply.send(self.call(*call, now, out));
            }
            Command::Drain { reply } => {
                self.draining = true;
                let rooms: Vec<u64> = self.rooms.keys().copied().collect();
                for room in rooms {
                    self.with_room(room, now, out, |room, step| room.drain(step));
                }
                let _ = reply.send(());
            }
        }
    }

    /// One datagram for one of our connections.
    pub(crate) fn datagram(
        &mut self,
        connection: u64,
        datagram: str0m::net::Receive<'_>,
        now: Instant,
        out: &mut Outbox,
    ) {
        let key = ConnectionKey::from_raw(connection);
        let Some(room) = self.members.get(&key.participant()).copied() else {
            out.forget(connection);
            return;
        };
        self.with_room(room, now, out, |room, step| {
            room.datagram(key, datagram, step);
        });
    }

    /// A burst of datagrams is over: what they caused is sent.
    pub(crate) fn flush(&mut self, now: Instant, out: &mut Outbox) {
        let rooms: Vec<u64> = self
            .rooms
            .iter()
            .filter(|(_, room)| room.has_unsent())
            .map(|(key, _)| *key)
            .collect();
        for room in rooms {
            self.with_room(room, now, out, |room, step| room.flush(step));
        }
    }

    /// Lets time pass.
    pub(crate) fn timeout(&mut self, now: Instant, out: &mut Outbox) {
        let due: Vec<u64> = self
            .rooms
            .iter()
            .filter(|(_, room)| room.next_timeout() <= now)
            .map(|(key, _)| *key)
            .collect();
        for room in due {
            self.with_room(room, now, out, |room, step| room.timeout(step));
        }
    }

    /// The soonest moment at which [`Self::timeout`] has work; none without rooms.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.rooms.values().map(Room::next_timeout).min()
    }
}
