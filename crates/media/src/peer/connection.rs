//! One peer connection: a str0m instance behind a wrapper that always drains it.
//!
//! str0m wants every mutation followed by `poll_output` until it answers with a time-out. It keeps one
//! received RTP packet at most, so a second datagram fed before the drain silently replaces the first.
//! Nothing here hands the instance out: a datagram goes in through [`Connection::receive`], every other
//! change through [`Connection::change`], and both drain before they return. Only outgoing packets may
//! gather (str0m queues them), until [`Connection::flush`]: a burst then costs one walk of its tree.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::bwe::Bitrate;
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::{ChannelConfig, ChannelId, Reliability};
use str0m::format::{CodecSpec, PayloadParams};
use str0m::media::{KeyframeRequestKind, MediaKind, Mid, Pt, Rid};
use str0m::net::{Protocol, Receive, TcpType};
use str0m::rtp::{RtpWrite, Ssrc};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig, RtcError};

use super::moves::{self, Whereabouts};
use crate::driver::{Datagram, Outbox, Path};
use crate::room::STATS_EVERY;

/// Names one peer connection within a shard; the demultiplexer finds it by this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ConnectionKey(u64);

/// Which of a participant's connections it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectionRole {
    /// The client offers: what it publishes, and in single mode also what it receives.
    Publisher,
    /// The server offers: what the client receives, in dual mode.
    Subscriber,
}

impl ConnectionKey {
    pub(crate) fn new(participant: u64, role: ConnectionRole) -> Self {
        Self(participant << 1 | u64::from(role == ConnectionRole::Subscriber))
    }

    /// From the number that [`Outbox::register`] was told.
    pub(crate) fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    pub(crate) fn raw(self) -> u64 {
        self.0
    }

    pub(crate) fn participant(self) -> u64 {
        self.0 >> 1
    }

    pub(crate) fn role(self) -> ConnectionRole {
        if self.0 & 1 == 1 {
            ConnectionRole::Subscriber
        } else {
            ConnectionRole::Publisher
        }
    }
}

/// What every connection of a shard shares.
#[derive(Debug, Clone)]
pub(crate) struct Transport {
    /// Where clients reach the UDP port.
    pub(crate) udp: Vec<SocketAddr>,
    /// Where clients reach the ICE-TCP port.
    pub(crate) tcp: Vec<SocketAddr>,
    /// The first guess of a subscriber's bandwidth, bits per second.
    pub(crate) initial_bps: u64,
}

/// The labels of LiveKit's data channels, in the order in which they are opened.
pub(crate) const CHANNEL_LABELS: [&str; 3] = ["_reliable", "_lossy", "_data_track"];

/// The largest data-channel message that is taken, bytes. LiveKit's SDKs cut streams into chunks of 15 kB
/// and refuse user packets over 64 kB; the rest is room for the envelope.
const MESSAGE_BYTES_MAX: u32 = 128 * 1024;

/// What SCTP may hold of unsent data per connection, bytes; more waits in the channel's own queue.
const SCTP_BUFFER_BYTES: usize = 1024 * 1024;

/// How many ways to the client are remembered as accepted.
const PATHS: usize = 8;
/// The payload types under which a client takes an encoding.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outgoing {
    pub(crate) payload_type: Pt,
    /// The type for the same wrapped in RED (RFC 2198), if the client takes it.
    pub(crate) red: Option<Pt>,
}

/// An offer of ours, and what completes it.
pub(crate) type Offer = (SdpOffer, SdpPendingOffer);

/// One peer connection.
pub(crate) struct Connection {
    key: ConnectionKey,
    /// Where checks of the client were accepted from, newest last.
    paths: Vec<Path>,
    whereabouts: Whereabouts,
    rtc: Rtc,
    deadline: Instant,
    /// Packets were written that the last drain has not seen.
    unsent: bool,
    events: VecDeque<Event>,
    failed: Option<RtcError>,
}

impl Connection {
    /// A connection that waits for its first offer or answer, reachable on all of `transport`.
    pub(crate) fn new(
        key: ConnectionKey,
        transport: &Transport,
        now: Instant,
        out: &mut Outbox,
    ) -> Self {
        let config = RtcConfig::new()
            .set_ice_lite(true)
            .set_rtp_mode(true)
            .enable_opus(true, true)
            .set_stats_interval(Some(STATS_EVERY))
            .set_sctp_max_message_size(MESSAGE_BYTES_MAX)
            .set_sctp_max_buffered_amount(SCTP_BUFFER_BYTES)
            // Audio is not held back for order: receivers have their own jitter buffer.
            .set_reordering_size_audio(0)
            .enable_bwe(Some(Bitrate::bps(transport.initial_bps)));
        let mut rtc = config.build(now);
        for address in &transport.udp {
            if let Ok(candidate) = Candidate::host(*address, Protocol::Udp) {
                rtc.add_local_candidate(candidate);
            }
        }
        for address in &transport.tcp {
            let passive = Candidate::builder().tcp().host(*address);
            if let Ok(candidate) = passive.tcptype(TcpType::Passive).build() {
                rtc.add_local_candidate(candidate);
            }
        }
        let ufrag = rtc.direct_api().local_ice_credentials().ufrag;
        out.register(&ufrag, key.raw());
        Self {
            key,
            paths: Vec::new(),
            whereabouts: Whereabouts::default(),
            rtc,
            deadline: now,
            unsent: false,
            events: VecDeque::new(),
            failed: None,
        }
    }

    pub(crate) fn key(&self) -> ConnectionKey {
        self.key
    }

    /// When [`Self::timeout`] wants to be called.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }
    /// Feeds one datagram. False when it is not for this connection (a check with other credentials).
    pub(crate) fn receive(
        &mut self,
        datagram: Datagram<'_>,
        now: Instant,
        out: &mut Outbox,
    ) -> bool {
        let Path {
            protocol,
            local,
            remote,
        } = datagram.path;
        let Ok(receive) = Receive::new(protocol, remote, local, datagram.bytes) else {
            return false;
        };
        self.flush(now, out);
        let input = Input::Receive(now, receive);
        if !self.rtc.accepts(&input) {
            return false;
        }
        if self.paths.last() != Some(&datagram.path) && !self.paths.contains(&datagram.path) {
            out.accept(datagram.path, self.key.raw());
            if self.paths.len() == PATHS {
                self.paths.remove(0);
            }
            self.paths.push(datagram.path);
        }
        if let Err(error) = self.change(now, out, |rtc| rtc.handle_input(input)) {
            self.failed.get_or_insert(error);
        }
        if let Some(left) = self.whereabouts.hear(datagram.path, datagram.bytes, now) {
            for candidate in moves::candidates(&left) {
                self.change(now, out, |rtc| {
                    rtc.direct_api().invalidate_candidate(&candidate)
                });
            }
        }
        true
    }

    /// Lets time pass. Cheap when nothing is due.
    pub(crate) fn timeout(&mut self, now: Instant, out: &mut Outbox) {
        if self.unsent || self.deadline <= now {
            self.unsent = false;
            let result = self.change(now, out, |rtc| rtc.handle_input(Input::Timeout(now)));
            if let Err(error) = result {
                self.failed.get_or_insert(error);
            }
        }
    }

    /// Queues one packet; it leaves at the next [`Self::flush`]. False when there is no such stream.
    pub(crate) fn write(&mut self, mid: Mid, packet: RtpWrite) -> bool {
        let mut api = self.rtc.direct_api();
        // Not by SSRC: str0m keeps a renewed stream under its first one.
        let Some(stream) = api.stream_tx_by_mid(mid, None) else {
            return false;
        };
        stream.write_rtp(packet);
        self.unsent = true;
        true
    }

    /// Sends what was written.
    pub(crate) fn flush(&mut self, now: Instant, out: &mut Outbox) {
        if self.unsent {
            self.timeout(now, out);
        }
    }

    /// What happened, oldest first.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Why the connection ended, once.
    pub(crate) fn take_failure(&mut self) -> Option<RtcError> {
        self.failed.take()
    }

    /// Whether media can flow.
    pub(crate) fn is_connected(&self) -> bool {
        self.rtc.is_connected()
    }

    /// Answers the client's offer.
    ///
    /// # Errors
    /// The description is not one that str0m can serve.
    pub(crate) fn accept_offer(
        &mut self,
        offer: SdpOffer,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<SdpAnswer, RtcError> {
        let answer = self.change(now, out, |rtc| rtc.sdp_api().accept_offer(offer));
        self.register_ufrag(out);
        answer
    }

    /// Completes an offer of ours.
    ///
    /// # Errors
    /// The answer does not fit the offer.
    pub(crate) fn accept_answer(
        &mut self,
        pending: SdpPendingOffer,
        answer: SdpAnswer,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), RtcError> {
        self.change(now, out, |rtc| rtc.sdp_api().accept_answer(pending, answer))
    }

    /// Opens LiveKit's three data channels; in dual mode the server does.
    pub(crate) fn open_channels(
        &mut self,
        now: Instant,
        out: &mut Outbox,
    ) -> (Vec<(&'static str, ChannelId)>, Option<Offer>) {
        self.change(now, out, |rtc| {
            let mut api = rtc.sdp_api();
            let channels = CHANNEL_LABELS
                .into_iter()
                .map(|label| {
                    let ordered = label == CHANNEL_LABELS[0];
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
                    (label, api.add_channel_with_config(config))
                })
                .collect();
            (channels, api.apply())
        })
    }

    /// Asks the publisher of an incoming stream for a keyframe.
    pub(crate) fn request_keyframe(
        &mut self,
        mid: Mid,
        rid: Option<Rid>,
        now: Instant,
        out: &mut Outbox,
    ) {
        self.change(now, out, |rtc| {
            let mut api = rtc.direct_api();
            if let Some(stream) = api.stream_rx_by_mid(mid, rid) {
                stream.request_keyframe(KeyframeRequestKind::Pli);
            }
        });
    }

    /// Gives a section that carried another track before a fresh stream.
    pub(crate) fn renew_stream(
        &mut self,
        mid: Mid,
        kind: MediaKind,
        now: Instant,
        out: &mut Outbox,
    ) {
        self.change(now, out, |rtc| {
            let mut api = rtc.direct_api();
            let ssrc = api.new_ssrc();
            let repair = (kind == MediaKind::Video).then(|| api.new_ssrc());
            api.reset_stream_tx(mid, None, ssrc, repair);
        });
    }

    /// Whether a section can send.
    pub(crate) fn can_send(&mut self, mid: Mid, now: Instant, out: &mut Outbox) -> bool {
        self.change(now, out, |rtc| {
            rtc.direct_api().stream_tx_by_mid(mid, None).is_some()
        })
    }

    /// Which section, and layer of it, an incoming stream belongs to.
    pub(crate) fn incoming(
        &mut self,
        ssrc: Ssrc,
        now: Instant,
        out: &mut Outbox,
    ) -> Option<(Mid, Option<Rid>)> {
        self.change(now, out, |rtc| {
            let mut api = rtc.direct_api();
            api.stream_rx(&ssrc)
                .map(|stream| (stream.mid(), stream.rid()))
        })
    }

    /// How a payload type of this connection is encoded.
    pub(crate) fn spec(&self, payload_type: Pt) -> Option<CodecSpec> {
        self.rtc
            .codec_config()
            .params()
            .iter()
            .find(|params| params.pt() == payload_type)
            .map(|params| params.spec())
    }

    /// Whether a payload type carries redundant audio (RFC 2198), and of which primary type.
    pub(crate) fn red_of(&self, payload_type: Pt) -> Option<Pt> {
        self.rtc
            .codec_config()
            .params()
            .iter()
            .find(|params| params.red() == Some(payload_type))
            .map(|params| params.pt())
    }

    /// How this connection's client takes an encoding on a section; none if it does not.
    pub(crate) fn outgoing(&self, mid: Mid, spec: &CodecSpec) -> Option<Outgoing> {
        let agreed = self.rtc.media(mid)?.remote_pts();
        let fits = |params: &&PayloadParams| {
            let theirs = params.spec();
            theirs.codec == spec.codec
                && agreed.contains(&params.pt())
                && theirs.format.profile_level_id.map(|id| id >> 8)
                    == spec.format.profile_level_id.map(|id| id >> 8)
                && theirs.format.packetization_mode == spec.format.packetization_mode
                && theirs.format.profile_id == spec.format.profile_id
        };
        let params = self.rtc.codec_config().params().iter().find(fits)?;
        Some(Outgoing {
            payload_type: params.pt(),
            red: params.red(),
        })
    }

    /// What the bandwidth probe should try to reach, bits per second.
    pub(crate) fn set_desired_bitrate(&mut self, bps: u64, now: Instant, out: &mut Outbox) {
        self.change(now, out, |rtc| {
            rtc.bwe().set_bitrate(Bitrate::bps(0), Bitrate::bps(bps));
        });
    }

    /// Writes one message to a channel. False when the association's buffer has no room for it.
    pub(crate) fn write_channel(
        &mut self,
        channel: ChannelId,
        bytes: &[u8],
        now: Instant,
        out: &mut Outbox,
    ) -> bool {
        self.change(now, out, |rtc| {
            rtc.channel(channel)
                .is_some_and(|mut channel| channel.write(true, bytes).unwrap_or(false))
        })
    }

    /// Asks for [`Event::ChannelBufferedAmountLow`] when less than `bytes` wait in the channel.
    pub(crate) fn wake_below(
        &mut self,
        channel: ChannelId,
        bytes: usize,
        now: Instant,
        out: &mut Outbox,
    ) {
        self.change(now, out, |rtc| {
            if let Some(mut channel) = rtc.channel(channel) {
                channel.set_buffered_amount_low_threshold(bytes);
            }
        });
    }

    /// Says goodbye on the wire and forgets the addresses.
    pub(crate) fn close(&mut self, now: Instant, out: &mut Outbox) {
        self.change(now, out, |rtc| {
            // An instance that never connected has nobody to say goodbye to.
            let _ = rtc.close();
        });
        out.forget(self.key.raw());
    }

    /// Changes the instance and drains it.
    pub(crate) fn change<R>(
        &mut self,
        now: Instant,
        out: &mut Outbox,
        change: impl FnOnce(&mut Rtc) -> R,
    ) -> R {
        let result = change(&mut self.rtc);
        self.drain(now, out);
        result
    }

    /// Polls until the instance has nothing more to say.
    fn drain(&mut self, now: Instant, out: &mut Outbox) {
        // What is due at once (packets just written) is sent in this call; the bound keeps a
        // time-out that stays in the past from holding the shard.
        for _ in 0..4 {
            let deadline = loop {
                match self.rtc.poll_output() {
                    Ok(Output::Timeout(at)) => break at,
                    Ok(Output::Transmit(transmit)) => {
                        let path = Path {
                            protocol: transmit.proto,
                            local: transmit.source,
                            remote: transmit.destination,
                        };
                        out.send(path, &transmit.contents);
                    }
                    Ok(Output::Event(event)) => self.events.push_back(event),
                    Err(error) => {
                        self.failed.get_or_insert(error);
                        self.deadline = now + Duration::from_secs(3600);
                        return;
                    }
                }
            };
            self.deadline = deadline;
            if deadline > now || !self.rtc.is_alive() {
                return;
            }
            if let Err(error) = self.rtc.handle_input(Input::Timeout(now)) {
                self.failed.get_or_insert(error);
                return;
            }
        }
    }

    /// A restart of ICE brings new credentials.
    fn register_ufrag(&mut self, out: &mut Outbox) {
        let ufrag = self.rtc.direct_api().local_ice_credentials().ufrag;
        out.register(&ufrag, self.key.raw());
    }
}
