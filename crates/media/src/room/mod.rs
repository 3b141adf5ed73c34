//! Rooms, participants, tracks and subscriptions as one state machine.
//!
//! A [`Room`] takes signal messages, datagrams and the passing of time, and answers through its [`Step`]:
//! datagrams into the outbox, messages into the participants' signal sinks, facts into the events. It does
//! no IO and reads no clock. One file per concern: `join` (and resume, and leaving), `publish`, `subscribe`,
//! `negotiate` (sections and offers), `media` (the packets), `bandwidth` (who gets which layer), `data`, `admin` (server calls), `record` (the tap of a recording), `upkeep` (what happens with time).

mod admin;
mod bandwidth;
mod data;
mod event;
mod join;
mod media;
mod negotiate;
mod participant;
mod publish;
mod quality;
mod recent;
mod record;
mod signals;
mod subscribe;
#[cfg(test)]
mod tests;
mod track;
mod upkeep;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use livekit_protocol::signal_response::Message;
use rand::RngExt as _;
use rand::rngs::StdRng;

pub use event::{RoomEvent, RoomEventKind};
pub use join::Refusal;
pub use participant::Mode;
pub(crate) use participant::SignalSink;
pub(crate) use quality::STATS_EVERY;

use crate::driver::{Datagram, Outbox};
use crate::forward::Speakers;
use crate::peer::{ConnectionKey, ConnectionRole, TrackKey, Transport};
use crate::token::ApiKey;
use crate::turn::TurnOffer;
use participant::Participant;
use track::Track;

/// What all rooms of a server share.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) transport: Transport,
    pub(crate) server: proto::ServerInfo,
    pub(crate) ice_servers: Vec<proto::IceServer>,
    /// The relay, when it is on.
    pub(crate) turn: Option<Arc<TurnOffer>>,
    /// Signs the tokens with which a client resumes after its own has run out.
    pub(crate) key: ApiKey,
    /// How long a room nobody joined stays, and one that everybody left.
    pub(crate) empty_timeout: Duration,
    pub(crate) departure_timeout: Duration,
    /// How long a participant may be away before it has left.
    pub(crate) reconnect_window: Duration,
    /// Wall time at a known instant, ms since 1970: rooms and participants carry wall times.
    pub(crate) epoch: (Instant, i64),
    /// Random bytes that mark frames the server puts into an encrypted stream.
    pub(crate) sif_trailer: Vec<u8>,
}

impl Settings {
    /// Wall time of an instant, ms since 1970.
    pub(crate) fn wall_ms(&self, at: Instant) -> i64 {
        let (base, wall) = self.epoch;
        let passed = at.saturating_duration_since(base).as_millis();
        wall.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX))
    }

    /// The STUN and TURN servers for one participant, with credentials of its own.
    pub(crate) fn ice_servers(&self, sid: &str, at: Instant) -> Vec<proto::IceServer> {
        let turn = self.turn.iter();
        let turn = turn.map(|turn| turn.server(sid, self.wall_ms(at)));
        self.ice_servers.iter().cloned().chain(turn).collect()
    }
}

/// What one step of the machine works with.
pub(crate) struct Step<'a> {
    pub(crate) now: Instant,
    pub(crate) out: &'a mut Outbox,
    pub(crate) rng: &'a mut StdRng,
    pub(crate) settings: &'a Settings,
    pub(crate) events: &'a mut Vec<RoomEvent>,
    /// Participants that are in no room any more.
    pub(crate) left: &'a mut Vec<u64>,
}

impl Step<'_> {
    /// A server id in LiveKit's form: the prefix and twelve letters and digits.
    pub(crate) fn sid(&mut self, prefix: &str) -> String {
        const ALPHABET: &[u8; 57] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
        let mut sid = String::with_capacity(prefix.len() + 12);
        sid.push_str(prefix);
        if !prefix.contains('_') {
            sid.push('_');
        }
        for _ in 0..12 {
            sid.push(char::from(
                ALPHABET[self.rng.random_range(0..ALPHABET.len())],
            ));
        }
        sid
    }

    pub(crate) fn wall_ms(&self) -> i64 {
        self.settings.wall_ms(self.now)
    }
}

/// How many participants of one room, tracks of one participant and bytes of text the server takes.
pub(crate) mod limits {
    pub(crate) const PARTICIPANTS: usize = 3_000;
    pub(crate) const TRACKS: usize = 50;
    pub(crate) const METADATA_BYTES: usize = 512 * 1024;
    pub(crate) const ATTRIBUTES_BYTES: usize = 64 * 1024;
    pub(crate) const NAME_BYTES: usize = 256;
    pub(crate) const SDP_BYTES: usize = 512 * 1024;
    pub(crate) const SIDS_PER_REQUEST: usize = 10_000;
}

/// One room.
pub(crate) struct Room {
    pub(crate) info: proto::Room,
    /// By key, in the order in which they joined.
    participants: BTreeMap<u64, Participant>,
    by_identity: HashMap<String, u64>,
    tracks: HashMap<TrackKey, Track>,
    next_track: TrackKey,
    speakers: Speakers,
    /// Connections with events that nobody has looked at.
    touched: Vec<ConnectionKey>,
    /// Connections with packets written and not sent.
    unsent: Vec<ConnectionKey>,
    created_at: Instant,
    empty_since: Option<Instant>,
    had_participants: bool,
    next_upkeep: Instant,
    upkeeps: u64,
    /// The recording that runs.
    tap: Option<record::RoomTap>,
    finished: bool,
}

impl Room {
    /// A room without anybody in it.
    pub(crate) fn new(name: &str, config: &proto::CreateRoomRequest, step: &mut Step<'_>) -> Self {
        let wall_ms = step.wall_ms();
        let seconds = |value: u32, default: Duration| {
            if value == 0 {
                u32::try_from(default.as_secs()).unwrap_or(u32::MAX)
            } else {
                value
            }
        };
        let info = proto::Room {
            sid: step.sid("RM_"),
            name: name.to_owned(),
            empty_timeout: seconds(config.empty_timeout, step.settings.empty_timeout),
            departure_timeout: seconds(config.departure_timeout, step.settings.departure_timeout),
            max_participants: config.max_participants,
            creation_time: wall_ms / 1000,
            creation_time_ms: wall_ms,
            enabled_codecs: enabled_codecs(),
            metadata: config.metadata.clone(),
            ..proto::Room::default()
        };
        let room = Self {
            info,
            participants: BTreeMap::new(),
            by_identity: HashMap::new(),
            tracks: HashMap::new(),
            next_track: 0,
            speakers: Speakers::new(),
            touched: Vec::new(),
            unsent: Vec::new(),
            created_at: step.now,
            empty_since: Some(step.now),
            had_participants: false,
            next_upkeep: step.now + upkeep::INTERVAL,
            upkeeps: 0,
            tap: None,
            finished: false,
        };
        room.emit(RoomEventKind::Started(config.agents.clone()), step);
        room
    }

    pub(crate) fn name(&self) -> &str {
        &self.info.name
    }

    /// Whether packets were written that [`Self::flush`] has to send.
    pub(crate) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Whether the room has ended and can be dropped.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    /// What clients and server calls are told of the room.
    pub(crate) fn describe(&self) -> proto::Room {
        let visible = self
            .participants
            .values()
            .filter(|participant| !participant.permission.hidden);
        let (mut people, mut publishers) = (0, 0);
        for participant in visible {
            people += 1;
            publishers += u32::from(self.publishes(participant.key));
        }
        proto::Room {
            num_participants: people,
            num_publishers: publishers,
            ..self.info.clone()
        }
    }

    /// What others see of a participant, with its live tracks.
    pub(crate) fn describe_participant(&self, key: u64) -> Option<proto::ParticipantInfo> {
        let participant = self.participants.get(&key)?;
        let mut tracks: Vec<&Track> = self
            .tracks
            .values()
            .filter(|track| track.owner == key && track.is_live())
            .collect();
        tracks.sort_by_key(|track| track.key);
        Some(proto::ParticipantInfo {
            is_publisher: !tracks.is_empty(),
            tracks: tracks.iter().map(|track| track.info.clone()).collect(),
            permission: Some(participant.permission.to_proto()),
            ..participant.info.clone()
        })
    }

    fn publishes(&self, key: u64) -> bool {
        self.tracks
            .values()
            .any(|track| track.owner == key && track.is_live())
    }

    /// All participants that others may see.
    pub(crate) fn describe_participants(&self) -> Vec<proto::ParticipantInfo> {
        self.participants
            .values()
            .filter(|participant| !participant.permission.hidden)
            .filter_map(|participant| self.describe_participant(participant.key))
            .collect()
    }

    /// Sends one message to everybody but `except`.
    fn broadcast(&mut self, message: &Message, except: Option<u64>) {
        for participant in self.participants.values_mut() {
            if Some(participant.key) != except {
                participant.send(message.clone());
            }
        }
    }

    /// Tells the room of a change of one participant: with `to_self`, the participant too.
    fn announce(&mut self, key: u64, to_self: bool) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        participant.info.version += 1;
        let hidden = participant.permission.hidden;
        let Some(info) = self.describe_participant(key) else {
            return;
        };
        let update = Message::Update(proto::ParticipantUpdate {
            participants: vec![info],
        });
        if hidden {
            if to_self && let Some(participant) = self.participants.get_mut(&key) {
                participant.send(update);
            }
            return;
        }
        self.broadcast(&update, (!to_self).then_some(key));
    }

    fn emit(&self, kind: RoomEventKind, step: &mut Step<'_>) {
        step.events.push(RoomEvent {
            at_ms: step.wall_ms(),
            room: self.describe(),
            kind,
        });
    }

    /// The soonest moment at which [`Self::timeout`] has work.
    pub(crate) fn next_timeout(&self) -> Instant {
        self.participants
            .values()
            .flat_map(|participant| {
                [
                    Some(participant.publisher.deadline()),
                    participant.subscriber.as_ref().map(|it| it.deadline()),
                ]
            })
            .flatten()
            .fold(self.next_upkeep, Instant::min)
    }

    /// One datagram for one connection. False when the connection is gone or refuses it.
    pub(crate) fn datagram(
        &mut self,
        key: ConnectionKey,
        datagram: Datagram<'_>,
        step: &mut Step<'_>,
    ) -> bool {
        let Some(participant) = self.participants.get_mut(&key.participant()) else {
            return false;
        };
        let connection = match key.role() {
            ConnectionRole::Publisher => &mut participant.publisher,
            ConnectionRole::Subscriber => match participant.subscriber.as_mut() {
                Some(subscriber) => subscriber,
                None => return false,
            },
        };
        let taken = connection.receive(datagram, step.now, step.out);
        self.touched.push(key);
        self.settle(step);
        taken
    }

    /// Handles what the connections said, until none has anything left to say.
    fn settle(&mut self, step: &mut Step<'_>) {
        while let Some(key) = self.touched.pop() {
            while let Some(participant) = self.participants.get_mut(&key.participant()) {
                let connection = match key.role() {
                    ConnectionRole::Publisher => &mut participant.publisher,
                    ConnectionRole::Subscriber => match participant.subscriber.as_mut() {
                        Some(subscriber) => subscriber,
                        None => break,
                    },
                };
                if let Some(event) = connection.next_event() {
                    self.on_event(key, event, step);
                    continue;
                }
                if let Some(error) = connection.take_failure() {
                    tracing::debug!(%error, participant = participant.sid(), "a peer connection failed");
                    self.on_connection_lost(key.participant(), step);
                }
                break;
            }
        }
    }

    /// Sends what was written since the last flush: once after each burst of datagrams.
    pub(crate) fn flush(&mut self, step: &mut Step<'_>) {
        let mut unsent = std::mem::take(&mut self.unsent);
        for key in unsent.drain(..) {
            let Some(participant) = self.participants.get_mut(&key.participant()) else {
                continue;
            };
            match key.role() {
                ConnectionRole::Publisher => participant.publisher.flush(step.now, step.out),
                ConnectionRole::Subscriber => {
                    if let Some(subscriber) = participant.subscriber.as_mut() {
                        subscriber.flush(step.now, step.out);
                    }
                }
            }
            self.touched.push(key);
        }
        self.unsent = unsent;
        self.settle(step);
    }

    /// Lets time pass for every connection whose moment has come, and for the room.
    pub(crate) fn timeout(&mut self, step: &mut Step<'_>) {
        let now = step.now;
        for participant in self.participants.values_mut() {
            for connection in participant.connections() {
                if connection.deadline() <= now {
                    connection.timeout(now, step.out);
                    self.touched.push(connection.key());
                }
            }
        }
        self.settle(step);
        if self.next_upkeep <= now {
            self.next_upkeep = now + upkeep::INTERVAL;
            self.upkeep(step);
            self.settle(step);
        }
        self.flush(step);
    }
}

/// What clients may publish.
pub(crate) fn enabled_codecs() -> Vec<proto::Codec> {
    [
        "audio/opus",
        "audio/red",
        "video/VP8",
        "video/H264",
        "video/VP9",
        "video/AV1",
        "video/rtx",
    ]
    .into_iter()
    .map(|mime| proto::Codec {
        mime: mime.to_owned(),
        fmtp_line: String::new(),
    })
    .collect()
}

/// Shared bytes of one message to many.
pub(crate) type Shared = Arc<[u8]>;
