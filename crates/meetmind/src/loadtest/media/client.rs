//! One participant: joins by `/rtc` with two peer connections, publishes, counts what it receives.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message;
use prost::Message as _;
use str0m::Event;
use str0m::media::{KeyframeRequestKind, MediaKind, Mid};
use str0m::rtp::Ssrc;
use tokio::time::{sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message as Frame;
use url::Url;

use super::peer::Peer;
use super::receive::{Arrived, Stream, Tally};
use super::source::{LAYERS, Source};
use super::trace::Trace;
use crate::dial::{self, Socket};

/// Everybody is being let in.
pub(super) const JOINING: u8 = 0;
/// What arrives counts.
pub(super) const MEASURING: u8 = 1;
/// What is on its way still counts, new packets do not.
pub(super) const ENDING: u8 = 2;
/// Nothing counts; some lose their signal connection and come back.
pub(super) const RESUMING: u8 = 3;
/// Everybody leaves.
pub(super) const LEAVING: u8 = 4;

/// How long a step of joining may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// A client's ping, as LiveKit asks for.
const PING_EVERY: Duration = Duration::from_secs(5);
/// How often a client looks where the run stands.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The largest datagram.
const DATAGRAM_BYTES: usize = 2_048;

/// What all clients share.
pub(super) struct Shared {
    pub(super) url: Url,
    pub(super) epoch: Instant,
    pub(super) phase: AtomicU8,
    /// When counting ended, µs after `epoch`: what was sent later does not count.
    pub(super) ended_us: AtomicU64,
    /// Clients that receive everything they should.
    pub(super) ready: AtomicU64,
    /// Packets sent while counting.
    pub(super) sent: AtomicU64,
    pub(super) sound: Arc<[Vec<u8>]>,
}

impl Shared {
    fn phase(&self) -> u8 {
        self.phase.load(Ordering::Relaxed)
    }
}

/// What one client does.
pub(super) struct Role {
    pub(super) number: u64,
    pub(super) token: String,
    pub(super) audio: bool,
    pub(super) video: bool,
    pub(super) simulcast: bool,
    /// Tracks that it will receive.
    pub(super) expects: usize,
    /// Whether it loses its signal connection at the end and comes back.
    pub(super) resumes: bool,
}

/// What one client saw.
#[derive(Default)]
pub(super) struct Outcome {
    /// From before the signal connection to the join's answer, and to the first packet of media (without
    /// anything to receive: to connected).
    pub(super) joined: Duration,
    pub(super) media: Option<Duration>,
    /// From the loss of the signal connection to the server's word that the session goes on.
    pub(super) resumed: Option<Duration>,
    pub(super) audio: Tally,
    pub(super) video: Tally,
    /// Tracks that never arrived.
    pub(super) missing: u64,
    pub(super) keyframes_asked: u64,
}

struct Client {
    shared: Arc<Shared>,
    role: Role,
    socket: Socket,
    publisher: Peer,
    subscriber: Peer,
    sid: String,
    sources: Vec<Source>,
    streams: HashMap<Ssrc, (Stream, bool)>,
    began: Instant,
    outcome: Outcome,
    phase: u8,
    ready: bool,
    offer_id: u32,
    events: Vec<Event>,
    closed: bool,
}

/// Runs one participant to the end of the run.
pub(super) async fn run(shared: Arc<Shared>, role: Role) -> Result<Outcome> {
    let number = role.number;
    Client::join(shared, role)
        .await
        .with_context(|| format!("participant {number} cannot join"))?
        .stay()
        .await
        .with_context(|| format!("participant {number}"))
}

impl Client {
    async fn join(shared: Arc<Shared>, role: Role) -> Result<Self> {
        let began = Instant::now();
        let mut socket = open(&shared.url, &role.token, None).await?;
        let first = timeout(PATIENCE, next(&mut socket))
            .await
            .context("no answer in time")??;
        let Some(Message::Join(join)) = first else {
            bail!("the first message is no join");
        };
        let joined = began.elapsed();
        let towards = towards(&shared.url).await?;
        let now = Instant::now();
        let mut client = Self {
            publisher: Peer::new(towards, now)?,
            subscriber: Peer::new(towards, now)?,
            sid: join.participant.unwrap_or_default().sid,
            sources: Vec::new(),
            streams: HashMap::new(),
            began,
            outcome: Outcome {
                joined,
                ..Outcome::default()
            },
            phase: JOINING,
            ready: false,
            offer_id: 0,
            events: Vec::new(),
            closed: false,
            shared,
            role,
            socket,
        };
        client.publish().await?;
        Ok(client)
    }

    /// Announces and offers what is published.
    async fn publish(&mut self) -> Result<()> {
        let mut tracks = Vec::new();
        if self.role.audio {
            tracks.push((MediaKind::Audio, format!("a{}", self.role.number), false));
        }
        if self.role.video {
            let cid = format!("v{}", self.role.number);
            tracks.push((MediaKind::Video, cid, self.role.simulcast));
        }
        if tracks.is_empty() {
            return Ok(());
        }
        for (kind, cid, simulcast) in &tracks {
            self.say(Request::AddTrack(announcement(*kind, cid, *simulcast)))
                .await?;
        }
        let (mids, sdp) = self.publisher.publish(&tracks)?;
        self.offer(sdp).await?;
        // Not all at the same moment: encoders of different people are not in step.
        let start = Instant::now() + Duration::from_millis(self.role.number * 7 % 33);
        for ((kind, _, simulcast), mid) in tracks.iter().zip(mids) {
            self.sources.push(match kind {
                MediaKind::Audio => Source::sound(mid, self.shared.sound.clone(), start),
                MediaKind::Video => Source::picture(mid, *simulcast, start),
            });
        }
        Ok(())
    }

    async fn offer(&mut self, sdp: String) -> Result<()> {
        self.offer_id += 1;
        self.say(Request::Offer(description("offer", sdp, self.offer_id)))
            .await
    }

    async fn say(&mut self, message: Request) -> Result<()> {
        let request = proto::SignalRequest {
            message: Some(message),
        };
        let frame = Frame::Binary(request.encode_to_vec().into());
        self.socket
            .send(frame)
            .await
            .context("the signal connection")
    }

    /// Stays until the run is over.
    async fn stay(mut self) -> Result<Outcome> {
        let mut buffer = vec![0; DATAGRAM_BYTES];
        let mut ping = tokio::time::interval(PING_EVERY);
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            let now = Instant::now();
            self.settle(now);
            let deadline = self.deadline();
            tokio::select! {
                biased;
                _ = look.tick() => {
                    self.look();
                    if self.phase == LEAVING {
                        break;
                    }
                    if self.phase == RESUMING && self.role.resumes && self.outcome.resumed.is_none() {
                        self.resume().await?;
                    }
                }
                message = next(&mut self.socket), if !self.closed => self.on_message(message?).await?,
                _ = ping.tick() => {
                    let ping = proto::Ping::default();
                    self.say(Request::PingReq(ping)).await?;
                }
                ready = self.publisher.socket.readable() => {
                    ready?;
                    self.publisher.read(&mut buffer, &mut self.events);
                }
                ready = self.subscriber.socket.readable() => {
                    ready?;
                    self.subscriber.read(&mut buffer, &mut self.events);
                }
                () = sleep_until(deadline.into()) => {}
            }
        }
        let _ = self
            .say(Request::Leave(proto::LeaveRequest::default()))
            .await;
        self.publisher.rtc.disconnect();
        self.subscriber.rtc.disconnect();
        Ok(self.outcome)
    }

    fn deadline(&self) -> Instant {
        let peers = [&self.publisher, &self.subscriber];
        let peers = peers.iter().filter(|it| !it.is_down).map(|it| it.deadline);
        let sources = self.sources.iter().map(Source::next);
        let idle = Instant::now() + LOOK_EVERY;
        peers.chain(sources).min().unwrap_or(idle).min(idle)
    }

    /// Sends what is due and works off what happened.
    fn settle(&mut self, now: Instant) {
        let mut sent = 0;
        for source in &mut self.sources {
            if source.next() <= now {
                sent += source.emit(&mut self.publisher.rtc, self.shared.epoch, now);
            }
        }
        if self.phase == MEASURING {
            self.shared.sent.fetch_add(sent, Ordering::Relaxed);
        }
        self.publisher.drain(now, &mut self.events);
        self.subscriber.drain(now, &mut self.events);
        for event in std::mem::take(&mut self.events) {
            self.on_event(event);
        }
        if !self.ready && self.is_complete() {
            self.ready = true;
            self.shared.ready.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn is_complete(&mut self) -> bool {
        let published = self.sources.is_empty() || self.publisher.rtc.is_connected();
        if published && self.role.expects == 0 {
            self.outcome.media.get_or_insert(self.began.elapsed());
        }
        published && self.streams.len() >= self.role.expects
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::RtpPacket(packet) if !packet.payload.is_empty() => {
                if self.phase > ENDING {
                    return;
                }
                let now = packet.timestamp;
                let ssrc = packet.header.ssrc;
                let ended_us = self.shared.ended_us.load(Ordering::Relaxed);
                if Trace::read(&packet.payload).is_some_and(|it| it.sent_us > ended_us) {
                    return;
                }
                if !self.streams.contains_key(&ssrc) {
                    let Some(is_video) = kind_of(&mut self.subscriber, ssrc) else {
                        return;
                    };
                    self.outcome
                        .media
                        .get_or_insert(now.saturating_duration_since(self.began));
                    self.streams.insert(ssrc, (Stream::new(is_video), is_video));
                }
                let Some((stream, _)) = self.streams.get_mut(&ssrc) else {
                    return;
                };
                let arrived = Arrived {
                    seq: *packet.seq_no,
                    marker: packet.header.marker,
                    payload: &packet.payload,
                    now,
                };
                if stream.receive(&arrived, self.shared.epoch) {
                    self.outcome.keyframes_asked += 1;
                    let mut api = self.subscriber.rtc.direct_api();
                    if let Some(stream) = api.stream_rx(&ssrc) {
                        stream.request_keyframe(KeyframeRequestKind::Pli);
                    }
                }
            }
            Event::KeyframeRequest(request) => {
                let mid: Mid = request.mid;
                for source in self.sources.iter_mut().filter(|it| it.mid() == mid) {
                    source.keyframe(request.rid);
                }
            }
            _ => {}
        }
    }

    async fn on_message(&mut self, message: Option<Message>) -> Result<()> {
        match message {
            Some(Message::Answer(answer)) => self.publisher.on_answer(&answer.sdp),
            Some(Message::Offer(offer)) => {
                let sdp = self.subscriber.on_offer(&offer.sdp)?;
                self.say(Request::Answer(description("answer", sdp, offer.id)))
                    .await
            }
            Some(Message::Trickle(trickle)) => {
                let peer = if trickle.target == proto::SignalTarget::Subscriber as i32 {
                    &mut self.subscriber
                } else {
                    &mut self.publisher
                };
                peer.on_candidate(&trickle.candidate_init);
                Ok(())
            }
            Some(Message::Leave(leave)) => bail!("the server sent it off: {:?}", leave.reason()),
            _ => Ok(()),
        }
    }

    fn look(&mut self) {
        let phase = self.shared.phase();
        if phase == self.phase {
            return;
        }
        if self.phase == JOINING {
            for (stream, _) in self.streams.values_mut() {
                stream.restart();
            }
        }
        if phase > ENDING && self.phase <= ENDING {
            self.finish();
        }
        self.phase = phase;
    }

    /// Adds up the streams.
    fn finish(&mut self) {
        let ended = Duration::from_micros(self.shared.ended_us.load(Ordering::Relaxed));
        let now = self.shared.epoch + ended;
        let arrived = self.streams.len();
        for (_, (stream, is_video)) in self.streams.drain() {
            let tally = stream.finish(now);
            if is_video {
                self.outcome.video.merge(&tally);
            } else {
                self.outcome.audio.merge(&tally);
            }
        }
        self.outcome.missing = self.role.expects.saturating_sub(arrived) as u64;
    }

    /// Loses the signal connection and comes back, as a client does whose network changed.
    async fn resume(&mut self) -> Result<()> {
        let lost = Instant::now();
        let sid = self.sid.clone();
        self.socket = open(&self.shared.url, &self.role.token, Some(&sid)).await?;
        let first = timeout(PATIENCE, next(&mut self.socket))
            .await
            .context("no answer to a resume")??;
        if !matches!(first, Some(Message::Reconnect(_))) {
            bail!("a resume was answered by {first:?}");
        }
        self.outcome.resumed = Some(lost.elapsed());
        self.say(Request::SyncState(proto::SyncState::default()))
            .await?;
        if !self.sources.is_empty() {
            let sdp = self.publisher.restart()?;
            self.offer(sdp).await?;
        }
        Ok(())
    }
}

/// Whether a stream is video; none when it is not known yet.
fn kind_of(peer: &mut Peer, ssrc: Ssrc) -> Option<bool> {
    let mid = peer.rtc.direct_api().stream_rx(&ssrc)?.mid();
    Some(peer.rtc.media(mid)?.kind() == MediaKind::Video)
}

fn announcement(kind: MediaKind, cid: &str, simulcast: bool) -> proto::AddTrackRequest {
    let (source, r#type) = match kind {
        MediaKind::Audio => (proto::TrackSource::Microphone, proto::TrackType::Audio),
        MediaKind::Video => (proto::TrackSource::Camera, proto::TrackType::Video),
    };
    let layers: &[_] = match kind {
        MediaKind::Audio => &[],
        MediaKind::Video if simulcast => &LAYERS,
        MediaKind::Video => &LAYERS[2..],
    };
    let layers: Vec<proto::VideoLayer> = layers
        .iter()
        .map(|(rid, width, height, bps)| proto::VideoLayer {
            quality: LAYERS.iter().position(|it| it.0 == *rid).unwrap_or(0) as i32,
            rid: (*rid).to_owned(),
            width: *width,
            height: *height,
            bitrate: *bps,
            ..proto::VideoLayer::default()
        })
        .collect();
    let (width, height) = layers.last().map_or((0, 0), |it| (it.width, it.height));
    proto::AddTrackRequest {
        cid: cid.to_owned(),
        name: cid.to_owned(),
        r#type: r#type as i32,
        source: source as i32,
        width,
        height,
        layers,
        ..proto::AddTrackRequest::default()
    }
}

fn description(kind: &str, sdp: String, id: u32) -> proto::SessionDescription {
    proto::SessionDescription {
        r#type: kind.to_owned(),
        sdp,
        id,
        ..proto::SessionDescription::default()
    }
}

/// Opens the signal connection; with `sid`, to go on with that session.
async fn open(url: &Url, token: &str, sid: Option<&str>) -> Result<Socket> {
    let mut url = url.clone();
    let path = format!("{}/rtc", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url.query_pairs_mut()
        .append_pair("access_token", token)
        .append_pair("protocol", "15")
        .append_pair("sdk", "rust")
        .append_pair("version", env!("CARGO_PKG_VERSION"))
        .append_pair("auto_subscribe", "1");
    if let Some(sid) = sid {
        url.query_pairs_mut()
            .append_pair("reconnect", "1")
            .append_pair("sid", sid);
    }
    let wire = dial::wire(&url, None).await?;
    Ok(dial::upgrade(wire, &url).await?)
}

/// The next message of the server; none for frames that carry none.
async fn next(socket: &mut Socket) -> Result<Option<Message>> {
    match socket.next().await {
        Some(Ok(Frame::Binary(bytes))) => Ok(proto::SignalResponse::decode(bytes)?.message),
        Some(Ok(Frame::Close(_))) | None => bail!("the server closed the signal connection"),
        Some(Ok(_)) => Ok(None),
        Some(Err(error)) => Err(error).context("the signal connection"),
    }
}

/// An address of the server, to find the own one.
async fn towards(url: &Url) -> Result<SocketAddr> {
    let addresses = dial::Place::of(url)?.resolve().await?;
    let v4 = addresses.iter().find(|it| it.is_ipv4());
    v4.or(addresses.first())
        .copied()
        .context("the server has no address")
}
