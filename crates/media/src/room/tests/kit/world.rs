//! A shard, its clients, and the time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use str0m::media::MediaKind;
use str0m::net::Protocol;
use tokio::sync::{mpsc, oneshot};

use super::client::Client;
use super::network::{Air, Flight};
use crate::driver::{Datagram, Demux, DemuxVerdict, Machine as _, Outbox, Path};
use crate::peer::Transport;
use crate::record::tap::Tap;
use crate::room::{Refusal, RoomEvent, Settings};
use crate::service::{RoomAnswer, RoomCall, TwirpError};
use crate::shard::{Command, Shard, SignalId};
use crate::signal::join::Join;
use crate::token::{ApiKey, Claims, VideoGrant};

const SERVER: ([u8; 4], u16) = ([10, 0, 0, 1], 7882);

/// Everything.
pub(in crate::room::tests) struct World {
    shard: Shard,
    out: Outbox,
    demux: Demux,
    air: Air,
    rng: StdRng,
    began: Instant,
    pub(in crate::room::tests) now: Instant,
    clients: Vec<Client>,
    pub(in crate::room::tests) events: mpsc::UnboundedReceiver<RoomEvent>,
}

/// Somebody about to join.
pub(in crate::room::tests) struct Guest {
    pub(in crate::room::tests) join: Join,
}

impl Guest {
    /// With every permission, to the room `hall`.
    pub(in crate::room::tests) fn new(identity: &str, single: bool) -> Self {
        Self::with(identity, single, |_| {})
    }

    /// With a grant that differs.
    pub(in crate::room::tests) fn with(
        identity: &str,
        single: bool,
        grant: impl FnOnce(&mut VideoGrant),
    ) -> Self {
        let mut video = VideoGrant {
            room: "hall".to_owned(),
            room_join: true,
            can_update_own_metadata: Some(true),
            ..VideoGrant::default()
        };
        grant(&mut video);
        let claims = Claims {
            sub: identity.to_owned(),
            name: identity.to_owned(),
            video: Some(video),
            ..Claims::default()
        };
        let join = Join {
            room: "hall".to_owned(),
            identity: identity.to_owned(),
            permissions: claims.permissions(),
            claims,
            room_settings: proto::CreateRoomRequest::default(),
            single_peer_connection: single,
            client: proto::ClientInfo::default(),
            auto_subscribe: true,
            auto_subscribe_data_track: None,
            adaptive_stream: false,
            subscriber_allow_pause: None,
            reconnect: false,
            reconnect_reason: proto::ReconnectReason::RrUnknown,
            participant_sid: String::new(),
            add_track_requests: Vec::new(),
            publisher_offer: None,
            sync_state: None,
        };
        Self { join }
    }
}

impl World {
    pub(in crate::room::tests) fn new() -> Self {
        let began = Instant::now();
        let settings = Settings {
            transport: Transport {
                udp: vec![SocketAddr::from(SERVER)],
                tcp: Vec::new(),
                initial_bps: 1_000_000,
            },
            server: proto::ServerInfo::default(),
            ice_servers: Vec::new(),
            turn: None,
            key: ApiKey::new("devkey", "secretsecretsecretsecretsecretsecret"),
            empty_timeout: Duration::from_secs(300),
            departure_timeout: Duration::from_secs(20),
            reconnect_window: Duration::from_secs(15),
            epoch: (began, 1_700_000_000_000),
            sif_trailer: vec![7; 24],
        };
        let (sender, events) = mpsc::unbounded_channel();
        Self {
            shard: Shard::new(settings, StdRng::seed_from_u64(1), sender),
            out: Outbox::new(),
            demux: Demux::default(),
            air: Air::default(),
            rng: StdRng::seed_from_u64(2),
            began,
            now: began,
            clients: Vec::new(),
            events,
        }
    }

    /// Lets somebody in and waits until the media could flow.
    pub(in crate::room::tests) fn join(&mut self, identity: &str, single: bool) -> usize {
        let client = self.enter(Guest::new(identity, single)).expect("let in");
        self.run(1.0);
        client
    }

    /// Asks for entry.
    pub(in crate::room::tests) fn enter(&mut self, guest: Guest) -> Result<usize, Refusal> {
        let mut join = guest.join;
        let number = self.clients.len();
        let single = join.single_peer_connection;
        let port = u16::try_from(number + 1).expect("few clients");
        let (mut client, offer) = Client::new(&join.identity, single, port, self.now);
        if single {
            join.publisher_offer = Some(offer.clone());
        }
        let (sink, signal) = mpsc::channel(1_000);
        client.signal = Some(signal);
        client.id = self.knock(join, sink)?;
        self.clients.push(client);
        if !single {
            self.signal(number, Request::Offer(offer));
        }
        self.pump();
        Ok(number)
    }

    fn knock(
        &mut self,
        join: Join,
        sink: mpsc::Sender<proto::SignalResponse>,
    ) -> Result<SignalId, Refusal> {
        let (reply, mut answer) = oneshot::channel();
        let command = Command::Join {
            join: Box::new(join),
            sink,
            reply,
        };
        self.shard.command(command, self.now, &mut self.out);
        answer.try_recv().expect("an answer at once")
    }

    /// The client's signal connection is cut.
    pub(in crate::room::tests) fn cut(&mut self, client: usize) {
        let id = self.clients[client].id;
        self.clients[client].signal = None;
        let command = Command::SignalClosed(id);
        self.shard.command(command, self.now, &mut self.out);
        self.pump();
    }

    /// The client comes back on a new signal connection.
    pub(in crate::room::tests) fn resume(&mut self, client: usize) {
        let sid = self.clients[client].sid();
        let single = self.clients[client].subscriber.is_none();
        let mut guest = Guest::new(&self.clients[client].identity, single);
        guest.join.reconnect = true;
        guest.join.participant_sid = sid;
        let (sink, signal) = mpsc::channel(1_000);
        self.clients[client].signal = Some(signal);
        self.clients[client].id = self.knock(guest.join, sink).expect("answered");
        self.pump();
    }

    pub(in crate::room::tests) fn signal(&mut self, client: usize, request: Request) {
        let command = Command::Signal {
            id: self.clients[client].id,
            request: Box::new(request),
        };
        self.shard.command(command, self.now, &mut self.out);
    }

    /// Says something and lets a moment pass.
    pub(in crate::room::tests) fn say(&mut self, client: usize, request: Request) {
        self.signal(client, request);
        self.run(0.3);
    }

    /// A server call.
    pub(in crate::room::tests) fn call(
        &mut self,
        call: RoomCall,
    ) -> Result<RoomAnswer, TwirpError> {
        let (reply, mut answer) = oneshot::channel();
        let call = Box::new(call);
        let command = Command::Call { call, reply };
        self.shard.command(command, self.now, &mut self.out);
        self.pump();
        answer.try_recv().expect("an answer at once")
    }

    pub(in crate::room::tests) fn client(&mut self, client: usize) -> &mut Client {
        &mut self.clients[client]
    }

    /// A microphone goes on.
    pub(in crate::room::tests) fn speak(&mut self, client: usize, cid: &str) -> String {
        let request = self.clients[client].add_track(cid, MediaKind::Audio, &[]);
        self.say(client, request);
        self.clients[client].track(cid)
    }

    /// A camera goes on, with one layer or several.
    pub(in crate::room::tests) fn show(
        &mut self,
        client: usize,
        cid: &str,
        layers: &[(&'static str, u64)],
    ) -> String {
        let request = self.clients[client].add_track(cid, MediaKind::Video, layers);
        self.say(client, request);
        self.clients[client].track(cid)
    }

    /// The client takes a track back.
    pub(in crate::room::tests) fn stop(&mut self, client: usize, cid: &str) {
        self.clients[client].stop(cid);
        self.run(0.3);
    }

    /// Whether a room of that name is there.
    pub(in crate::room::tests) fn rooms(&mut self) -> Vec<proto::Room> {
        match self.call(RoomCall::List(proto::ListRoomsRequest::default())) {
            Ok(RoomAnswer::List(list)) => list.rooms,
            other => panic!("{other:?}"),
        }
    }

    /// The client stops reading what the server says, without closing the connection.
    pub(in crate::room::tests) fn stall(
        &mut self,
        client: usize,
    ) -> Option<mpsc::Receiver<proto::SignalResponse>> {
        self.clients[client].signal.take()
    }

    /// Says something to everybody.
    pub(in crate::room::tests) fn broadcast_metadata(&mut self, metadata: &str) {
        let request = proto::UpdateRoomMetadataRequest {
            room: "hall".to_owned(),
            metadata: metadata.to_owned(),
        };
        self.call(RoomCall::UpdateMetadata(request))
            .expect("changed");
    }

    /// The server goes down.
    pub(in crate::room::tests) fn drain(&mut self) {
        let (reply, _done) = oneshot::channel();
        self.shard
            .command(Command::Drain { reply }, self.now, &mut self.out);
        self.pump();
    }

    /// A recording of the room begins.
    pub(in crate::room::tests) fn start_tap(&mut self, tap: &Arc<Tap>) {
        let (room, tap) = ("hall".to_owned(), Arc::clone(tap));
        let command = Command::StartTap { room, tap };
        self.shard.command(command, self.now, &mut self.out);
        self.pump();
    }

    /// The recording of the room ends.
    pub(in crate::room::tests) fn stop_tap(&mut self, tap: &Arc<Tap>) {
        let (room, tap) = ("hall".to_owned(), Arc::clone(tap));
        let command = Command::StopTap { room, tap };
        self.shard.command(command, self.now, &mut self.out);
        self.pump();
    }

    /// The recorder's decoder has lost its way.
    pub(in crate::room::tests) fn tap_keyframe(&mut self, track: String) {
        let room = "hall".to_owned();
        let command = Command::TapKeyframe { room, track };
        self.shard.command(command, self.now, &mut self.out);
        self.pump();
    }

    /// Seconds since the beginning.
    pub(in crate::room::tests) fn seconds(&self) -> f64 {
        (self.now - self.began).as_secs_f64()
    }

    /// Delivers a datagram of nobody.
    pub(in crate::room::tests) fn inject(&mut self, from: SocketAddr, bytes: &[u8]) {
        self.deliver(&Flight {
            from,
            to: SocketAddr::from(SERVER),
            bytes: bytes.to_vec(),
        });
        self.pump();
    }

    /// Lets time pass.
    pub(in crate::room::tests) fn run(&mut self, seconds: f64) {
        let until = self.now + Duration::from_secs_f64(seconds);
        let mut stuck = 0;
        loop {
            self.pump();
            let next = [self.air.next(), self.shard.next_timeout()]
                .into_iter()
                .chain(self.clients.iter().map(Client::next))
                .flatten()
                .min()
                .filter(|next| *next <= until);
            let Some(next) = next else { break };
            stuck = if next <= self.now { stuck + 1 } else { 0 };
            assert!(stuck < 10_000, "time stands still");
            self.now = self.now.max(next);
            while let Some(flight) = self.air.arrived(self.now) {
                self.deliver(&flight);
                self.transmit();
            }
            if self.shard.next_timeout().is_some_and(|at| at <= self.now) {
                self.shard.timeout(self.now, &mut self.out);
            }
            for client in &mut self.clients {
                client.pass(self.now);
            }
        }
        self.now = until;
        self.pump();
    }

    fn deliver(&mut self, flight: &Flight) {
        if flight.to != SocketAddr::from(SERVER) {
            for client in &mut self.clients {
                if client.receive(flight, self.now) {
                    break;
                }
            }
            return;
        }
        let path = Path {
            protocol: Protocol::Udp,
            local: flight.to,
            remote: flight.from,
        };
        let found = self.demux.view().find(&path, &flight.bytes);
        if let DemuxVerdict::Owner(owner) = found {
            let bytes = &flight.bytes;
            let datagram = Datagram { path, bytes };
            self.shard
                .datagram(owner.peer, datagram, self.now, &mut self.out);
        }
    }

    /// Passes on everything that anybody said, until nobody has more to say.
    fn pump(&mut self) {
        loop {
            self.transmit();
            let mut said = Vec::new();
            for (at, client) in self.clients.iter_mut().enumerate() {
                said.extend(client.listen().into_iter().map(|it| (at, it)));
                if client.signal.is_some() {
                    said.extend(client.offer(self.now).map(|it| (at, it)));
                }
            }
            if said.is_empty() {
                break;
            }
            for (client, request) in said {
                self.signal(client, request);
            }
        }
    }

    fn transmit(&mut self) {
        self.shard.flush(self.now, &mut self.out);
        self.demux.apply(0, self.out.take_changes());
        for (path, bytes) in self.out.datagrams() {
            let to = path.remote;
            let receiver = self.clients.iter_mut().find(|it| it.is_at(to));
            if let Some(client) = receiver {
                let flight = Flight {
                    from: path.local,
                    to,
                    bytes: bytes.to_vec(),
                };
                self.air
                    .send(flight, &mut client.down, self.now, &mut self.rng);
            }
        }
        self.out.clear();
        for client in &mut self.clients {
            let mut flights = Vec::new();
            client.drain(self.now, &mut flights);
            for flight in flights {
                self.air
                    .send(flight, &mut client.up, self.now, &mut self.rng);
            }
        }
    }
}
