//! All rooms of one thread, as one state machine.
//!
//! A room lives on one shard for its whole life (by the hash of its name), so no lock is held while a
//! packet is forwarded. Commands come from the signal connections and server calls, datagrams and time
//! from the driver.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, oneshot};

use crate::driver::{Datagram, Machine, Outbox};
use crate::peer::ConnectionKey;
use crate::record::tap::Tap;
use crate::room::{Refusal, Room, RoomEvent, Settings, SignalSink, Step};
use crate::service::{RoomAnswer, RoomCall, TwirpCode, TwirpError};
use crate::signal::join::Join;

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
        call: Box<RoomCall>,
        reply: oneshot::Sender<Result<RoomAnswer, TwirpError>>,
    },
    /// A recording of the room begins, or goes on in the next room of that name.
    StartTap { room: String, tap: Arc<Tap> },
    /// It has ended.
    StopTap { room: String, tap: Arc<Tap> },
    /// A recorded track needs a key frame.
    TapKeyframe { room: String, track: String },
    /// No more joins; everybody is told to come back elsewhere or later.
    Drain { reply: oneshot::Sender<()> },
}

/// The rooms of one shard.
pub(crate) struct Shard {
    settings: Settings,
    rng: StdRng,
    rooms: HashMap<u64, Room>,
    names: HashMap<String, u64>,
    /// In which room a participant is.
    members: HashMap<u64, u64>,
    /// Recordings by the name of their room: a room may end and come again while its meeting goes on.
    taps: HashMap<String, Arc<Tap>>,
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
            taps: HashMap::new(),
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
        config: &proto::CreateRoomRequest,
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
        let mut room = Room::new(name, config, &mut step);
        if let Some(tap) = self.taps.get(name) {
            room.start_tap(Arc::clone(tap), &mut step);
        }
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
        if join.reconnect {
            let resumed = self.names.get(&join.room).copied().and_then(|room| {
                let sink = sink.clone();
                self.with_room(room, now, out, |room, step| room.resume(&join, sink, step))
                    .flatten()
            });
            if let Some((participant, generation)) = resumed {
                return Ok(SignalId {
                    participant,
                    generation,
                });
            }
            // The client asks to go on with what is not here: it has to join anew, and is told so.
            let leave = proto::LeaveRequest {
                can_reconnect: true,
                reason: proto::DisconnectReason::StateMismatch as i32,
                action: proto::leave_request::Action::Reconnect as i32,
                regions: None,
            };
            // The queue is new and empty.
            let _ = sink.try_send(proto::SignalResponse {
                message: Some(Message::Leave(leave)),
            });
            return Ok(SignalId {
                participant: 0,
                generation: 0,
            });
        }
        if self.draining {
            return Err(Refusal::Draining);
        }
        let room = self.room(&join.room, &join.room_settings, now, out);
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

    fn call(
        &mut self,
        call: RoomCall,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<RoomAnswer, TwirpError> {
        match call {
            RoomCall::Create(request) => {
                let name = request.name.clone();
                let key = self.room(&name, &request, now, out);
                let room = self.rooms.get(&key).map(Room::describe).unwrap_or_default();
                Ok(RoomAnswer::Create(room))
            }
            RoomCall::List(request) => {
                let names = request.names;
                let mut rooms: Vec<_> = self
                    .rooms
                    .values()
                    .filter(|room| names.is_empty() || names.iter().any(|it| it == room.name()))
                    .map(Room::describe)
                    .collect();
                rooms.sort_by(|a, b| a.name.cmp(&b.name));
                Ok(RoomAnswer::List(proto::ListRoomsResponse { rooms }))
            }
            RoomCall::Delete(request) => self.in_room(&request.room, now, out, |room, step| {
                room.finish(proto::DisconnectReason::RoomDeleted, step);
                Ok(RoomAnswer::Delete(proto::DeleteRoomResponse {}))
            }),
            RoomCall::ListParticipants(request) => {
                self.in_room(&request.room, now, out, |room, _| {
                    let participants = room.describe_participants();
                    Ok(RoomAnswer::ListParticipants(
                        proto::ListParticipantsResponse { participants },
                    ))
                })
            }
            RoomCall::GetParticipant(request) => {
                self.in_room(&request.room, now, out, |room, _| {
                    let participant = room.get_participant(&request.identity)?;
                    Ok(RoomAnswer::GetParticipant(participant))
                })
            }
            RoomCall::RemoveParticipant(request) => {
                self.in_room(&request.room, now, out, |room, step| {
                    room.remove_participant(&request.identity, step)?;
                    Ok(RoomAnswer::RemoveParticipant(
                        proto::RemoveParticipantResponse {},
                    ))
                })
            }
            RoomCall::MuteTrack(request) => self.in_room(&request.room, now, out, |room, step| {
                let track = Some(room.mute_published_track(&request, step)?);
                Ok(RoomAnswer::MuteTrack(proto::MuteRoomTrackResponse {
                    track,
                }))
            }),
            RoomCall::UpdateParticipant(request) => {
                self.in_room(&request.room.clone(), now, out, |room, step| {
                    let participant = room.update_participant(request, step)?;
                    Ok(RoomAnswer::UpdateParticipant(participant))
                })
            }
            RoomCall::UpdateSubscriptions(request) => {
                self.in_room(&request.room.clone(), now, out, |room, step| {
                    room.update_subscriptions(request, step)?;
                    Ok(RoomAnswer::UpdateSubscriptions(
                        proto::UpdateSubscriptionsResponse {},
                    ))
                })
            }
            RoomCall::SendData(request) => {
                self.in_room(&request.room.clone(), now, out, |room, step| {
                    room.send_room_data(request, step);
                    Ok(RoomAnswer::SendData(proto::SendDataResponse {}))
                })
            }
            RoomCall::UpdateMetadata(request) => {
                self.in_room(&request.room, now, out, |room, _| {
                    let room = room.update_metadata(request.metadata.clone())?;
                    Ok(RoomAnswer::UpdateMetadata(room))
                })
            }
            RoomCall::ForwardParticipant(_)
            | RoomCall::MoveParticipant(_)
            | RoomCall::PerformRpc(_) => Err(TwirpError::new(
                TwirpCode::Unimplemented,
                "this server does not do that",
            )),
        }
    }

    fn in_room(
        &mut self,
        name: &str,
        now: Instant,
        out: &mut Outbox,
        work: impl FnOnce(&mut Room, &mut Step<'_>) -> Result<RoomAnswer, TwirpError>,
    ) -> Result<RoomAnswer, TwirpError> {
        let key = self.names.get(name).copied();
        key.and_then(|key| self.with_room(key, now, out, work))
            .unwrap_or(Err(TwirpError::room_not_found()))
    }
}

impl Machine for Shard {
    type Command = Command;

    fn command(&mut self, command: Command, now: Instant, out: &mut Outbox) {
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
            Command::StartTap { room, tap } => {
                if let Some(room) = self.names.get(&room).copied() {
                    let tap = Arc::clone(&tap);
                    self.with_room(room, now, out, |room, step| room.start_tap(tap, step));
                }
                self.taps.insert(room, tap);
            }
            Command::StopTap { room, tap } => {
                if self
                    .taps
                    .get(&room)
                    .is_some_and(|own| Arc::ptr_eq(own, &tap))
                {
                    self.taps.remove(&room);
                }
                if let Some(room) = self.names.get(&room).copied() {
                    self.with_room(room, now, out, |room, step| room.stop_tap(&tap, step));
                }
            }
            Command::TapKeyframe { room, track } => {
                if let Some(room) = self.names.get(&room).copied() {
                    self.with_room(room, now, out, |room, step| {
                        room.tap_keyframe(&track, step);
                    });
                }
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

    fn datagram(
        &mut self,
        connection: u64,
        datagram: Datagram<'_>,
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

    fn flush(&mut self, now: Instant, out: &mut Outbox) {
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

    fn timeout(&mut self, now: Instant, out: &mut Outbox) {
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

    fn next_timeout(&self) -> Option<Instant> {
        self.rooms.values().map(Room::next_timeout).min()
    }
}
