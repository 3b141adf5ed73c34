//! The way of a packet: from its publisher's connection to every subscriber's.

use livekit_protocol as proto;
use livekit_protocol::signal_response::Message;
use str0m::bwe::BweKind;
use str0m::format::CodecSpec;
use str0m::media::KeyframeRequest;
use str0m::rtp::{RtpPacket, RtpWrite};
use str0m::{Event, IceConnectionState};

use super::event::RoomEventKind;
use super::participant::Mode;
use super::track::Track;
use super::{Room, Step};
use crate::audio::red::unwrap_red;
use crate::forward::{
    Codec, Dynacast, Forwarder, Keyframe, LayerIndex, LayerRate, PacketIn, SenderReport, Verdict,
    Wanted,
};
use crate::peer::{ConnectionKey, ConnectionRole, TrackKey};

impl Room {
    /// One event of one connection.
    pub(super) fn on_event(&mut self, from: ConnectionKey, event: Event, step: &mut Step<'_>) {
        let key = from.participant();
        match event {
            Event::RtpPacket(packet) => self.on_packet(key, &packet, step),
            Event::Connected => self.on_connected(key, from.role(), step),
            Event::IceConnectionStateChange(state) => {
                if let Some(participant) = self.participants.get_mut(&key) {
                    match state {
                        IceConnectionState::Disconnected => {
                            participant.gone_since.get_or_insert(step.now);
                        }
                        IceConnectionState::Connected | IceConnectionState::Completed
                            if participant.signal.is_some() =>
                        {
                            participant.gone_since = None;
                        }
                        _ => {}
                    }
                }
            }
            Event::KeyframeRequest(request) => self.on_keyframe_request(key, request, step),
            Event::EgressBitrateEstimate(BweKind::Twcc {
                estimate,
                can_probe,
            }) => {
                if let Some(participant) = self.participants.get_mut(&key) {
                    // Without feedback from the client the figure is the first guess and means nothing.
                    participant.estimate_bps = can_probe.then_some(estimate.as_u64());
                }
                self.allocate(key, step);
            }
            Event::ChannelOpen(id, label) => self.on_channel_open(from, id, &label, step),
            Event::ChannelData(data) => self.on_channel_data(from, data.id, &data.data, step),
            Event::ChannelBufferedAmountLow(id) => self.on_channel_room(key, id, step),
            Event::ChannelClose(id) => {
                if let Some(participant) = self.participants.get_mut(&key) {
                    for channel in &mut participant.channels {
                        if channel.id == Some(id) {
                            channel.open = false;
                        }
                    }
                }
            }
            Event::MediaEgressStats(stats) => {
                let Some(participant) = self.participants.get_mut(&key) else {
                    return;
                };
                let track = participant.sections.track(stats.mid);
                if let Some(track) = track.and_then(|track| self.tracks.get(&track)) {
                    let codec = track.codec.unwrap_or(Codec::Opus);
                    participant
                        .quality
                        .egress(&stats, codec, track.info.muted, step.now);
                }
            }
            Event::MediaIngressStats(stats) => {
                let Some(participant) = self.participants.get_mut(&key) else {
                    return;
                };
                let of = |track: &&Track| track.owner == key && track.mid == Some(stats.mid);
                if let Some(track) = self.tracks.values().find(of) {
                    let codec = track.codec.unwrap_or(Codec::Opus);
                    participant
                        .quality
                        .ingress(&stats, codec, track.info.muted, step.now);
                }
            }
            Event::Closed => self.on_connection_lost(key, step),
            _ => {}
        }
    }

    fn on_connected(&mut self, key: u64, role: ConnectionRole, step: &mut Step<'_>) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        if participant.signal.is_some() {
            participant.gone_since = None;
        }
        let primary = match participant.mode {
            Mode::Single => true,
            Mode::Dual => role == ConnectionRole::Subscriber,
        };
        if primary && !participant.is_active() {
            participant.info.state = proto::participant_info::State::Active as i32;
            self.announce(key, true);
            if let Some(info) = self.describe_participant(key) {
                self.emit(RoomEventKind::Joined(info), step);
            }
        }
    }

    /// A packet of a publisher: it is placed (track and layer), measured, and forwarded.
    fn on_packet(&mut self, key: u64, packet: &RtpPacket, step: &mut Step<'_>) {
        let Some((track_key, layer)) = self.place(key, packet, step) else {
            return;
        };
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        let Some(track) = self.tracks.get_mut(&track_key) else {
            return;
        };
        if let Some(level) = packet.header.ext_vals.audio_level
            && !track.info.muted
        {
            self.speakers.observe(
                participant.sid(),
                *packet.header.ssrc,
                level.unsigned_abs(),
                packet.header.timestamp,
                step.now,
            );
        }
        if packet.payload.is_empty() || track.muted_by_server {
            return;
        }
        let payload_type = packet.header.payload_type;
        let red = participant.publisher.red_of(payload_type);
        let spec = match track.specs.get(&payload_type) {
            Some(spec) => *spec,
            None => {
                let Some(spec) = participant.publisher.spec(red.unwrap_or(payload_type)) else {
                    return;
                };
                let Some(codec) = codec_of(spec.codec) else {
                    return;
                };
                track.specs.insert(payload_type, spec);
                track.codec = Some(codec);
                spec
            }
        };
        let Some(codec) = track.codec else {
            return;
        };
        let report = packet.last_sender_info.as_ref().map(|info| SenderReport {
            ntp_time: info.ntp_time,
            rtp_time: info.rtp_time.numer() as u32,
        });
        let input = PacketIn {
            layer,
            source: *packet.header.ssrc,
            seq: *packet.seq_no,
            rtp_time: packet.header.timestamp,
            marker: packet.header.marker,
            payload: &packet.payload,
            received: packet.timestamp,
            report,
            keyframe: codec.keyframe(&packet.payload),
        };
        if !codec.is_audio() {
            let bytes = packet.payload.len();
            track
                .layers
                .packet(layer, 0, bytes, packet.header.marker, step.now);
            if input.keyframe != Keyframe::No {
                track.keyframes.keyframe(layer);
            }
        }
        let subscribers = std::mem::take(&mut track.subscribers);
        let mut wanted: Option<LayerIndex> = None;
        for listener in &subscribers {
            let waits = self.forward(
                *listener,
                track_key,
                Encoding {
                    codec,
                    spec,
                    red: red.is_some(),
                },
                &input,
                packet,
            );
            wanted = wanted.max(waits);
        }
        if let Some(track) = self.tracks.get_mut(&track_key) {
            track.subscribers = subscribers;
        }
        if let Some(layer) = wanted {
            self.ask_keyframe(track_key, layer, step);
        }
    }

    /// Forwards one packet to one subscriber. Answers the layer whose keyframe it waits for.
    fn forward(
        &mut self,
        listener: u64,
        track: TrackKey,
        encoding: Encoding,
        input: &PacketIn<'_>,
        packet: &RtpPacket,
    ) -> Option<LayerIndex> {
        let participant = self.participants.get_mut(&listener)?;
        let subscription = participant.subscriptions.get_mut(&track)?;
        if !subscription.negotiated || subscription.settings.disabled {
            return None;
        }
        let mid = subscription.mid?;
        let role = match participant.mode {
            Mode::Single => ConnectionRole::Publisher,
            Mode::Dual => ConnectionRole::Subscriber,
        };
        let sender = participant
            .subscriber
            .as_mut()
            .unwrap_or(&mut participant.publisher);
        if !sender.is_connected() {
            return None;
        }
        let theirs = packet.header.payload_type;
        let known = subscription
            .payload_types
            .iter()
            .find(|(from, _)| *from == theirs);
        let outgoing = match known {
            Some((_, to)) => *to,
            None => {
                let to = sender.outgoing(mid, &encoding.spec);
                subscription.payload_types.push((theirs, to));
                to
            }
        }?;
        let forwarder = subscription.forwarder.get_or_insert_with(|| {
            let mut forwarder = Forwarder::new(encoding.codec, 1);
            forwarder.set_target((!subscription.paused).then_some(input.layer));
            forwarder
        });
        let verdict = forwarder.packet(input);
        let waits_for = forwarder.wants_keyframe();
        if let Verdict::Send {
            seq,
            rtp_time,
            vp8,
            nackable,
            missed: _,
        } = verdict
        {
            let (payload_type, payload) = match (encoding.red, outgoing.red) {
                (true, Some(red)) => (red, packet.payload.clone()),
                // A client that takes no redundancy gets the newest frame alone.
                (true, None) => match unwrap_red(&packet.payload) {
                    Some(red) => (outgoing.payload_type, red.primary.into()),
                    None => return waits_for,
                },
                (false, _) => (outgoing.payload_type, packet.payload.clone()),
            };
            let mut extensions = packet.header.ext_vals.clone();
            extensions.mid = None;
            extensions.rid = None;
            extensions.rid_repair = None;
            extensions.transport_cc = None;
            extensions.abs_send_time = None;
            let mut write = RtpWrite::new(
                payload_type,
                seq.into(),
                rtp_time,
                packet.timestamp,
                payload,
            )
            .marker(packet.header.marker)
            .ext_vals(extensions)
            .nackable(nackable);
            if let Some(patch) = vp8 {
                write = write.vp8_patch(patch);
            }
            if sender.write(mid, write) {
                let connection = ConnectionKey::new(listener, role);
                if self.unsent.last() != Some(&connection) {
                    self.unsent.push(connection);
                }
            }
        }
        waits_for
    }

    /// Which track and layer a packet belongs to.
    fn place(
        &mut self,
        key: u64,
        packet: &RtpPacket,
        step: &mut Step<'_>,
    ) -> Option<(TrackKey, LayerIndex)> {
        let participant = self.participants.get_mut(&key)?;
        let ssrc = packet.header.ssrc;
        if let Some(place) = participant.incoming.get(&ssrc) {
            return Some(*place);
        }
        let (mid, rid) = participant.publisher.incoming(ssrc, step.now, step.out)?;
        let track = self
            .tracks
            .values_mut()
            .find(|track| track.owner == key && track.mid == Some(mid))?;
        let layer = track.layers.by_rid(rid.as_deref())?;
        if !track.rids.iter().any(|(known, _)| *known == layer) {
            track.rids.push((layer, rid));
        }
        participant.incoming.insert(ssrc, (track.key, layer));
        Some((track.key, layer))
    }

    /// A subscriber's decoder lost its way.
    fn on_keyframe_request(&mut self, key: u64, request: KeyframeRequest, step: &mut Step<'_>) {
        let Some(participant) = self.participants.get(&key) else {
            return;
        };
        let Some(track) = participant.sections.track(request.mid) else {
            return;
        };
        let layer = participant
            .subscriptions
            .get(&track)
            .and_then(|subscription| subscription.forwarder.as_ref()?.layer());
        if let Some(layer) = layer {
            self.ask_keyframe(track, layer, step);
        }
    }

    /// Asks the publisher for a keyframe of one layer, unless it was asked a moment ago.
    pub(super) fn ask_keyframe(&mut self, key: TrackKey, layer: LayerIndex, step: &mut Step<'_>) {
        let due = self
            .tracks
            .get_mut(&key)
            .is_some_and(|track| track.keyframes.request(layer, step.now));
        if due {
            self.send_keyframe_request(key, layer, step);
        }
    }

    pub(super) fn send_keyframe_request(
        &mut self,
        key: TrackKey,
        layer: LayerIndex,
        step: &mut Step<'_>,
    ) {
        let Some(track) = self.tracks.get(&key) else {
            return;
        };
        let rid = track
            .rids
            .iter()
            .find(|(known, _)| *known == layer)
            .and_then(|(_, rid)| *rid);
        let (owner, mid) = (track.owner, track.mid);
        let (Some(mid), Some(participant)) = (mid, self.participants.get_mut(&owner)) else {
            return;
        };
        participant
            .publisher
            .request_keyframe(mid, rid, step.now, step.out);
        self.touched
            .push(ConnectionKey::new(owner, ConnectionRole::Publisher));
    }

    /// Decides again what a subscriber's bandwidth is spent on.
    pub(super) fn allocate(&mut self, key: u64, step: &mut Step<'_>) {
        let now = step.now;
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        let mut wanted = Vec::new();
        for subscription in participant.subscriptions.values() {
            let Some(track) = self.tracks.get(&subscription.track) else {
                continue;
            };
            if !subscription.negotiated || subscription.kind.is_audio() {
                continue;
            }
            let wish = track.layers.wish(&subscription.settings);
            let layers = (0..track.layers.count())
                .map(|layer| LayerRate {
                    bps: track.layers.bps(layer, now),
                    live: track.layers.live(layer),
                })
                .collect();
            wanted.push(Wanted {
                key: subscription.track,
                screen: track.info.source == proto::TrackSource::ScreenShare as i32,
                priority: subscription.settings.priority,
                enabled: wish.enabled && !track.info.muted,
                max_layer: wish.max_layer,
                layers,
            });
        }
        wanted.sort_unstable_by_key(|wanted| wanted.key);
        let bandwidth = match (participant.estimate_bps, participant.limit_bps) {
            (Some(estimate), Some(limit)) => Some(estimate.min(limit)),
            (estimate, limit) => estimate.or(limit),
        };
        let decision = participant.allocator.update(bandwidth, &wanted, now);
        for (track, target) in decision.targets {
            let Some(subscription) = participant.subscriptions.get_mut(&track) else {
                continue;
            };
            if let Some(forwarder) = &mut subscription.forwarder {
                forwarder.set_target(target);
                if let Some(track) = self.tracks.get(&track) {
                    let fps = track.layers.wish(&subscription.settings).max_fps;
                    let most = target.filter(|_| fps > 0).map_or(u8::MAX, |layer| {
                        track.layers.temporal_for_fps(layer, fps, now)
                    });
                    forwarder.set_max_temporal(most);
                }
            }
            subscription.paused = target.is_none();
        }
        let mut states = Vec::new();
        for change in decision.changes {
            if let Some(track) = self.tracks.get(&change.key) {
                states.push((track.owner, track.info.sid.clone(), change.state));
            }
        }
        // The probe is only disturbed when what is worth reaching has changed much.
        if decision.desired_bps.abs_diff(participant.desired_bps) * 10 > participant.desired_bps {
            participant.desired_bps = decision.desired_bps;
            let sender = participant.sender();
            sender.set_desired_bitrate(decision.desired_bps, now, step.out);
            let connection = sender.key();
            self.touched.push(connection);
        }
        if states.is_empty() {
            return;
        }
        let stream_states = states
            .into_iter()
            .map(|(owner, track_sid, state)| proto::StreamStateInfo {
                participant_sid: self
                    .participants
                    .get(&owner)
                    .map(|owner| owner.sid().to_owned())
                    .unwrap_or_default(),
                track_sid,
                state: state as i32,
            })
            .collect();
        if let Some(participant) = self.participants.get_mut(&key) {
            participant.send(Message::StreamStateUpdate(proto::StreamStateUpdate {
                stream_states,
            }));
        }
    }

    /// The quality somebody wants of a track may have changed: its publisher can stop or start layers.
    pub(super) fn wanted_changed(&mut self, key: TrackKey, subscriber: u64, step: &mut Step<'_>) {
        let Some(track) = self.tracks.get_mut(&key) else {
            return;
        };
        if !track.kind().is_video() {
            return;
        }
        let wish = self
            .participants
            .get(&subscriber)
            .and_then(|participant| participant.subscriptions.get(&key))
            .map(|subscription| track.layers.wish(&subscription.settings));
        let quality = wish.map_or(proto::VideoQuality::Off, |wish| wish.quality);
        let codec = track.info.mime_type.clone();
        let update = track.dynacast.want(subscriber, &codec, quality, step.now);
        self.send_dynacast(key, update);
    }

    /// Tells the publisher which layers are wanted.
    pub(super) fn send_dynacast(
        &mut self,
        key: TrackKey,
        update: Option<Vec<proto::SubscribedCodec>>,
    ) {
        let (Some(track), Some(update)) = (self.tracks.get(&key), update) else {
            return;
        };
        let update = Dynacast::update(&track.info.sid, update);
        let owner = track.owner;
        if let Some(owner) = self.participants.get_mut(&owner) {
            owner.send(Message::SubscribedQualityUpdate(update));
        }
    }
}

/// How the packets of a payload type are encoded.
#[derive(Clone, Copy)]
struct Encoding {
    codec: Codec,
    spec: CodecSpec,
    /// Wrapped in RED (RFC 2198).
    red: bool,
}

/// What forwarding has to know of str0m's codec; none for what is not forwarded.
fn codec_of(codec: str0m::format::Codec) -> Option<Codec> {
    use str0m::format::Codec as Theirs;
    match codec {
        Theirs::Opus => Some(Codec::Opus),
        Theirs::PCMU | Theirs::PCMA => Some(Codec::Audio8k),
        Theirs::Vp8 => Some(Codec::Vp8),
        Theirs::H264 => Some(Codec::H264),
        Theirs::Vp9 => Some(Codec::Vp9),
        Theirs::Av1 => Some(Codec::Av1),
        _ => None,
    }
}
