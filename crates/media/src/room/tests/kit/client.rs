//! A LiveKit client as far as the server can tell.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message;
use prost::Message as _;
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::{ChannelConfig, ChannelId, Reliability};
use str0m::media::{Direction, MediaKind, Mid, Simulcast, SimulcastLayer};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpPacket;
use str0m::{Event, Input};
use tokio::sync::mpsc;

use super::network::{Flight, Link};
use super::peer::Peer;
use super::source::Source;
use crate::shard::SignalId;

/// What is to be negotiated with the next offer.
enum Change {
    Receive(MediaKind),
    Publish(String, MediaKind, Vec<&'static str>),
    Stop(Mid),
}

/// A packet that arrived.
pub(in crate::room::tests) struct Got {
    pub(in crate::room::tests) track: String,
    pub(in crate::room::tests) at: Instant,
    pub(in crate::room::tests) packet: RtpPacket,
}

impl Got {
    /// The simulcast layer that the source wrote into a picture.
    pub(in crate::room::tests) fn layer(&self) -> u8 {
        *self.packet.payload.last().expect("a payload")
    }
}

/// One client.
pub(in crate::room::tests) struct Client {
    pub(in crate::room::tests) identity: String,
    pub(in crate::room::tests) id: SignalId,
    sid: Option<String>,
    pub(super) signal: Option<mpsc::Receiver<proto::SignalResponse>>,
    /// Everything that the server said.
    pub(in crate::room::tests) said: Vec<Message>,
    pub(super) publisher: Peer,
    pub(super) subscriber: Option<Peer>,
    pub(in crate::room::tests) up: Link,
    pub(in crate::room::tests) down: Link,
    pub(in crate::room::tests) sources: HashMap<String, Source>,
    cids: HashMap<Mid, (String, Vec<&'static str>)>,
    rates: HashMap<String, Vec<u64>>,
    pending: Option<(SdpPendingOffer, u32)>,
    wanted: VecDeque<Change>,
    /// What it offered when it came.
    pub(in crate::room::tests) first_offer: String,
    offers: u32,
    again: bool,
    /// Whether offers of the server are answered.
    pub(in crate::room::tests) answers: bool,
    mids: HashMap<String, String>,
    channels: HashMap<&'static str, ChannelId>,
    labels: HashMap<(bool, ChannelId), String>,
    pub(in crate::room::tests) got: Vec<Got>,
    pub(in crate::room::tests) data: Vec<(String, proto::DataPacket)>,
}

impl Client {
    pub(super) fn new(
        identity: &str,
        single: bool,
        number: u16,
        now: Instant,
    ) -> (Self, proto::SessionDescription) {
        let address = |port| SocketAddr::from(([10, 1, (number >> 8) as u8, number as u8], port));
        let mut client = Self {
            identity: identity.to_owned(),
            id: SignalId {
                participant: 0,
                generation: 0,
            },
            sid: None,
            signal: None,
            said: Vec::new(),
            publisher: Peer::new(address(5000), now),
            subscriber: (!single).then(|| Peer::new(address(5001), now)),
            up: Link::default(),
            down: Link::default(),
            sources: HashMap::new(),
            cids: HashMap::new(),
            rates: HashMap::new(),
            pending: None,
            wanted: VecDeque::new(),
            first_offer: String::new(),
            offers: 0,
            again: false,
            answers: true,
            mids: HashMap::new(),
            channels: HashMap::new(),
            labels: HashMap::new(),
            got: Vec::new(),
            data: Vec::new(),
        };
        let mut api = client.publisher.rtc.sdp_api();
        for (label, ordered) in [("_reliable", true), ("_lossy", false)] {
            let reliability = if ordered {
                Reliability::Reliable
            } else {
                Reliability::MaxRetransmits { retransmits: 0 }
            };
            let config = ChannelConfig {
                label: label.to_owned(),
                ordered,
                reliability,
                ..ChannelConfig::default()
            };
            let id = api.add_channel_with_config(config);
            client.channels.insert(label, id);
        }
        let (offer, pending) = api.apply().expect("channels need an offer");
        client.offers = 1;
        client.pending = Some((pending, 1));
        client.first_offer = offer.to_sdp_string();
        let first = description("offer", &offer.to_sdp_string(), 1);
        (client, first)
    }

    pub(super) fn peers(&mut self) -> impl Iterator<Item = &mut Peer> {
        [Some(&mut self.publisher), self.subscriber.as_mut()]
            .into_iter()
            .flatten()
    }

    /// Whether the server sees one of its connections there.
    pub(super) fn is_at(&self, address: SocketAddr) -> bool {
        let peers = [Some(&self.publisher), self.subscriber.as_ref()];
        peers.into_iter().flatten().any(|it| it.outer == address)
    }

    pub(super) fn next(&self) -> Option<Instant> {
        let peers = [Some(&self.publisher), self.subscriber.as_ref()];
        let deadlines = peers.into_iter().flatten().filter(|it| !it.down);
        let sources = self.sources.values().map(|it| it.next);
        deadlines.map(|it| it.deadline).chain(sources).min()
    }

    /// The participant's own id.
    pub(in crate::room::tests) fn sid(&self) -> String {
        self.sid.clone().expect("joined")
    }

    /// What the server knows a published track by.
    pub(in crate::room::tests) fn track(&self, cid: &str) -> String {
        let published = self.said.iter().rev().find_map(|message| match message {
            Message::TrackPublished(published) if published.cid == cid => published.track.as_ref(),
            _ => None,
        });
        published.expect("published").sid.clone()
    }

    /// Why the server ended the session, if it did.
    pub(in crate::room::tests) fn left(&self) -> Option<&proto::LeaveRequest> {
        self.said.iter().rev().find_map(|message| match message {
            Message::Leave(leave) => Some(leave),
            _ => None,
        })
    }

    /// The newest word on another participant.
    pub(in crate::room::tests) fn sees(&self, identity: &str) -> Option<&proto::ParticipantInfo> {
        let of = |list: &'_ [proto::ParticipantInfo]| -> Option<usize> {
            list.iter().position(|it| it.identity == identity)
        };
        self.said.iter().rev().find_map(|message| match message {
            Message::Update(update) => of(&update.participants).map(|at| &update.participants[at]),
            Message::Join(join) => {
                of(&join.other_participants).map(|at| &join.other_participants[at])
            }
            _ => None,
        })
    }

    /// The packets of one track.
    pub(in crate::room::tests) fn heard(&self, track: &str) -> Vec<&Got> {
        self.got.iter().filter(|it| it.track == track).collect()
    }

    /// Announces a track and offers it; the request comes back, to be sent first.
    pub(in crate::room::tests) fn add_track(
        &mut self,
        cid: &str,
        kind: MediaKind,
        layers: &[(&'static str, u64)],
    ) -> Request {
        let (source, r#type) = match kind {
            MediaKind::Audio => (proto::TrackSource::Microphone, proto::TrackType::Audio),
            MediaKind::Video => (proto::TrackSource::Camera, proto::TrackType::Video),
        };
        let qualities = if layers.len() == 1 {
            2..3
        } else {
            0..layers.len() as i32
        };
        let request = proto::AddTrackRequest {
            cid: cid.to_owned(),
            r#type: r#type as i32,
            source: source as i32,
            layers: layers
                .iter()
                .zip(qualities)
                .map(|((rid, bps), quality)| proto::VideoLayer {
                    quality,
                    rid: (*rid).to_owned(),
                    width: 320 << quality,
                    height: 180 << quality,
                    bitrate: *bps as u32,
                    ..proto::VideoLayer::default()
                })
                .collect(),
            ..proto::AddTrackRequest::default()
        };
        let rids = if layers.len() > 1 {
            layers.iter().map(|(rid, _)| *rid).collect()
        } else {
            Vec::new()
        };
        let rates = layers.iter().map(|(_, bps)| *bps).collect();
        self.rates.insert(cid.to_owned(), rates);
        self.wanted
            .push_back(Change::Publish(cid.to_owned(), kind, rids));
        self.again = true;
        Request::AddTrack(request)
    }

    /// Takes a track's section back.
    pub(in crate::room::tests) fn stop(&mut self, cid: &str) {
        let source = self.sources.remove(cid).expect("a source");
        self.wanted.push_back(Change::Stop(source.mid));
        self.again = true;
    }

    /// Sends a packet over a channel.
    pub(in crate::room::tests) fn send_data(&mut self, label: &str, packet: &proto::DataPacket) {
        let id = self.channels[label];
        let bytes = packet.encode_to_vec();
        let mut channel = self.publisher.rtc.channel(id).expect("an open channel");
        assert!(channel.write(true, &bytes).expect("a channel"));
    }

    /// The offer, if something has to be negotiated and none is out.
    pub(super) fn offer(&mut self, now: Instant) -> Option<Request> {
        if self.pending.is_some() || !self.again {
            return None;
        }
        self.again = false;
        let mut api = self.publisher.rtc.sdp_api();
        let mut added = Vec::new();
        for change in self.wanted.drain(..) {
            match change {
                Change::Receive(kind) => {
                    api.add_media(kind, Direction::RecvOnly, None, None, None);
                }
                Change::Publish(cid, kind, rids) => {
                    let simulcast = (!rids.is_empty()).then(|| Simulcast {
                        send: rids.iter().map(|rid| SimulcastLayer::new(rid)).collect(),
                        recv: Vec::new(),
                    });
                    let stream = Some("stream".to_owned());
                    let mid = api.add_media(
                        kind,
                        Direction::SendOnly,
                        stream,
                        Some(cid.clone()),
                        simulcast,
                    );
                    added.push((mid, cid, kind, rids));
                }
                Change::Stop(mid) => api.set_direction(mid, Direction::Inactive),
            }
        }
        let (sdp, pending) = match api.apply() {
            Some((offer, pending)) => (offer.to_sdp_string(), pending),
            None => {
                // The server wants an offer although nothing changed here: the same again.
                let mut api = self.publisher.rtc.sdp_api();
                api.ice_restart(true);
                let (offer, pending) = api.apply()?;
                (offer.to_sdp_string(), pending)
            }
        };
        self.offers += 1;
        self.pending = Some((pending, self.offers));
        for (mid, cid, kind, rids) in added {
            let rates = self.rates.get(&cid).cloned().unwrap_or_default();
            let source = match kind {
                MediaKind::Audio => Source::sound(mid, now),
                MediaKind::Video if rids.is_empty() => Source::picture(
                    mid,
                    &[(None, rates.first().copied().unwrap_or(300_000))],
                    now,
                ),
                MediaKind::Video => {
                    let layers: Vec<_> = rids
                        .iter()
                        .zip(rates)
                        .map(|(rid, bps)| (Some((*rid).into()), bps))
                        .collect();
                    Source::picture(mid, &layers, now)
                }
            };
            self.sources.insert(cid.clone(), source);
            self.cids.insert(mid, (cid, rids));
        }
        Some(Request::Offer(description("offer", &sdp, self.offers)))
    }

    /// Works off what the server said; answers what to say.
    pub(super) fn listen(&mut self) -> Vec<Request> {
        let mut replies = Vec::new();
        while let Some(response) = self.signal.as_mut().and_then(|it| it.try_recv().ok()) {
            let Some(message) = response.message else {
                continue;
            };
            match &message {
                Message::Answer(answer) => {
                    if let Some((pending, id)) = self.pending.take() {
                        assert_eq!(answer.id, id, "an answer names its offer");
                        let sdp = SdpAnswer::from_sdp_string(&answer.sdp).expect("an answer");
                        let api = self.publisher.rtc.sdp_api();
                        api.accept_answer(pending, sdp).expect("a fitting answer");
                        self.publisher.fresh = true;
                        self.mids.extend(answer.mid_to_track_id.clone());
                    }
                }
                Message::Offer(offer) if self.answers => {
                    let subscriber = self.subscriber.as_mut().expect("two connections");
                    let sdp = SdpOffer::from_sdp_string(&offer.sdp).expect("an offer");
                    let answer = subscriber.rtc.sdp_api().accept_offer(sdp).expect("taken");
                    subscriber.fresh = true;
                    self.mids.extend(offer.mid_to_track_id.clone());
                    let answer = description("answer", &answer.to_sdp_string(), offer.id);
                    replies.push(Request::Answer(answer));
                }
                Message::Join(join) => {
                    self.sid = join.participant.as_ref().map(|it| it.sid.clone());
                }
                Message::MediaSectionsRequirement(needed) => {
                    for _ in 0..needed.num_audios {
                        self.wanted.push_back(Change::Receive(MediaKind::Audio));
                    }
                    for _ in 0..needed.num_videos {
                        self.wanted.push_back(Change::Receive(MediaKind::Video));
                    }
                    self.again = true;
                }
                _ => {}
            }
            self.said.push(message);
        }
        replies
    }

    /// Drains the connections.
    pub(super) fn drain(&mut self, now: Instant, air: &mut Vec<Flight>) {
        for publishes in [true, false] {
            let mut events = Vec::new();
            let peer = match (publishes, self.subscriber.as_mut()) {
                (true, _) => &mut self.publisher,
                (false, Some(subscriber)) => subscriber,
                (false, None) => continue,
            };
            peer.drain(now, air, &mut events);
            for event in events {
                self.on_event(publishes, event, now);
            }
        }
    }

    fn on_event(&mut self, publishes: bool, event: Event, now: Instant) {
        match event {
            Event::RtpPacket(packet) => {
                let peer = match (publishes, self.subscriber.as_mut()) {
                    (false, Some(subscriber)) => subscriber,
                    _ => &mut self.publisher,
                };
                let mut api = peer.rtc.direct_api();
                let mid = api.stream_rx(&packet.header.ssrc).map(|it| it.mid());
                let track = mid.and_then(|mid| self.mids.get(&mid.to_string()));
                let track = track.cloned().unwrap_or_default();
                if !packet.payload.is_empty() {
                    self.got.push(Got {
                        track,
                        at: now,
                        packet,
                    });
                }
            }
            Event::KeyframeRequest(request) => {
                let cid = self.cids.get(&request.mid).map(|(cid, _)| cid.clone());
                if let Some(source) = cid.and_then(|cid| self.sources.get_mut(&cid)) {
                    source.keyframe(request.rid);
                }
            }
            Event::ChannelOpen(id, label) => {
                self.labels.insert((publishes, id), label);
            }
            Event::ChannelData(data) => {
                let label = self.labels.get(&(publishes, data.id)).cloned();
                let packet = proto::DataPacket::decode(&*data.data).expect("a packet");
                self.data.push((label.unwrap_or_default(), packet));
            }
            _ => {}
        }
    }

    /// A viewer lost its picture.
    pub(in crate::room::tests) fn ask_keyframe(&mut self, track: &str) {
        let mid = self
            .mids
            .iter()
            .find(|(_, of)| *of == track)
            .expect("a section")
            .0;
        let peer = self.subscriber.as_mut().unwrap_or(&mut self.publisher);
        let mut api = peer.rtc.direct_api();
        let stream = api
            .stream_rx_by_mid(Mid::from(mid.as_str()), None)
            .expect("a stream");
        stream.request_keyframe(str0m::media::KeyframeRequestKind::Pli);
    }

    /// From now on the server sees the client elsewhere.
    pub(in crate::room::tests) fn rebind(&mut self) {
        for peer in self.peers() {
            let port = peer.outer.port() + 1_000;
            peer.outer.set_port(port);
        }
    }

    pub(super) fn receive(&mut self, flight: &Flight, now: Instant) -> bool {
        let peer = self.peers().find(|it| it.outer == flight.to && !it.down);
        if let Some(peer) = peer {
            let inner = peer.inner;
            if let Ok(receive) = Receive::new(Protocol::Udp, flight.from, inner, &flight.bytes) {
                let input = Input::Receive(now, receive);
                if peer.rtc.accepts(&input) {
                    peer.rtc.handle_input(input).expect("a datagram");
                }
            }
            return true;
        }
        false
    }

    pub(super) fn pass(&mut self, now: Instant) {
        for peer in self.peers().filter(|it| !it.down) {
            if peer.deadline <= now {
                peer.rtc
                    .handle_input(Input::Timeout(now))
                    .expect("time passes");
            }
        }
        for source in self.sources.values_mut() {
            source.emit(&mut self.publisher.rtc, now);
        }
    }
}

pub(in crate::room::tests) fn description(
    kind: &str,
    sdp: &str,
    id: u32,
) -> proto::SessionDescription {
    proto::SessionDescription {
        r#type: kind.to_owned(),
        sdp: sdp.to_owned(),
        id,
        ..proto::SessionDescription::default()
    }
}
