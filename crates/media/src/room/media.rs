//! The way of a packet: from its publisher's connection to every subscriber's.

use std::time::Instant;

use livekit_protocol as proto;
use livekit_protocol::signal_response::Message;
use str0m::bwe::BweKind;
use str0m::media::KeyframeRequest;
use str0m::rtp::{RtpPacket, RtpWrite};
use str0m::{Event, IceConnectionState};

use super::event::RoomEventKind;
use super::participant::Mode;
use super::track::layer_of;
use super::{Room, Step};
use crate::forward::{Codec, Forwarder, PacketIn, Verdict};
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
            Event::EgressBitrateEstimate(BweKind::Twcc(estimate)) => {
                if let Some(participant) = self.participants.get_mut(&key) {
                    participant.allocator.estimate(estimate.as_u64(), step.now);
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
                if let Some(participant) = self.participants.get_mut(&key) {
                    participant.quality.egress(&stats, step.now);
                }
            }
            Event::MediaIngressStats(stats) => {
                if let Some(participant) = self.participants.get_mut(&key) {
                    participant.quality.ingress(&stats, step.now);
                }
            }
            Event::SenderFeedback(feedback) => self.on_sender_report(key, &feedback),
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
            self.speakers.level(key, level, step.now);
        }
        if packet.payload.is_empty() || track.muted_by_server {
            return;
        }
        let payload_type = packet.header.payload_type;
        let spec = match track.specs.get(&payload_type) {
            Some(spec) => *spec,
            None => {
                let red = participant.publisher.red_of(payload_type);
                let Some(spec) = participant.publisher.spec(red.unwrap_or(payload_type)) else {
                    return;
                };
                track.specs.insert(payload_type, spec);
                track.codec = Some(Codec::from(spec.codec));
                spec
            }
        };
        let red = participant.publisher.red_of(payload_type).is_some();
        let codec = *track.codec.get_or_insert_with(|| Codec::from(spec.codec));
        let encrypted = track.info.encryption != proto::encryption::Type::None as i32;
        let input = PacketIn {
            layer,
            seq: *packet.seq_no,
            rtp_time: packet.header.timestamp,
            marker: packet.header.marker,
            payload: &packet.payload,
            received: packet.timestamp,
            keyframe: codec.is_keyframe(&packet.payload, encrypted),
        };
        track.layers.packet(&input, step.now);
        if input.keyframe {
            track.keyframes.arrived(layer, step.now);
        }
        let muted = track.info.muted;
        let subscribers = std::mem::take(&mut track.subscribers);
        let mut wanted: Option<usize> = None;
        for listener in &subscribers {
            if let Some(layer) = self.forward(*listener, track_key, codec, &spec, red, &input, packet)
            {
                wanted = Some(wanted.map_or(layer, |other| other.max(layer)));
                self.ask_keyframe(track_key, layer, step);
            }
        }
        let _ = (muted, wanted);
        if let Some(track) = self.tracks.get_mut(&track_key) {
            track.subscribers = subscribers;
        }
    }

    /// Forwards one packet to one subscriber. Answers the layer whose keyframe it waits for.
    #[expect(clippy::too_many_arguments, reason = "the packet and what was found out about it")]
    fn forward(
        &mut self,
        listener: u64,
        track: TrackKey,
        codec: Codec,
        spec: &str0m::format::CodecSpec,
        red: bool,
        input: &PacketIn<'_>,
        packet: &RtpPacket,
    ) -> Option<usize> {
        let participant = self.participants.get_mut(&listener)?;
        let subscription = participant.subscriptions.get_mut(&track)?;
        if !subscription.negotiated || subscription.settings.disabled {
            return None;
        }
        let (mid, ssrc) = (subscription.mid?, subscription.ssrc?);
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
        let payload_type = match known {
            Some((_, to)) => *to,
            None => {
                let to = sender.payload_type(mid, spec, red);
                subscription.payload_types.push((theirs, to));
                to
            }
        }?;
        let forwarder = subscription.forwarder.get_or_insert_with(|| {
            let mut forwarder = Forwarder::new(codec, 1);
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
        } = verdict
        {
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
                packet.payload.clone(),
            )
            .marker(packet.header.marker)
            .ext_vals(extensions)
            .nackable(nackable);
            if let Some(patch) = vp8 {
                write = write.vp8_patch(patch);
            }
            if sender.write(ssrc, write) {
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
    ) -> Option<(TrackKey, usize)> {
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
        let layer = layer_of(rid, &track.info);
        track.layers.stream(layer, rid);
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
            .and_then(|subscription| subscription.forwarder.as_ref()?.current());
        if let Some(layer) = layer {
            self.ask_keyframe(track, layer, step);
        }
    }

    /// Asks the publisher for a keyframe of one layer, unless it was asked a moment ago.
    pub(super) fn ask_keyframe(&mut self, track: TrackKey, layer: usize, step: &mut Step<'_>) {
        let Some(track) = self.tracks.get_mut(&track) else {
            return;
        };
        if !track.keyframes.ask(layer, step.now) {
            return;
        }
        let (owner, mid, rid) = (track.owner, track.mid, track.layers.rid(layer));
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
        let mut wishes = Vec::new();
        for subscription in participant.subscriptions.values() {
            if !subscription.negotiated || subscription.kind.is_audio() {
                continue;
            }
            if let Some(track) = self.tracks.get(&subscription.track) {
                wishes.push(crate::forward::Wish::new(
                    subscription.track,
                    &track.info,
                    &track.layers,
                    &subscription.settings,
                    now,
                ));
            }
        }
        wishes.sort_unstable_by_key(|wish| wish.track);
        let decision = participant.allocator.allocate(&wishes, now);
        let mut states = Vec::new();
        for (track_key, target) in decision.targets {
            let Some(subscription) = participant.subscriptions.get_mut(&track_key) else {
                continue;
            };
            subscription.paused = target.is_none() && !subscription.settings.disabled;
            if let Some(forwarder) = &mut subscription.forwarder {
                forwarder.set_target(target);
            }
        }
        for (track_key, state) in decision.states {
            let Some(track) = self.tracks.get(&track_key) else {
                continue;
            };
            states.push((track.owner, track.info.sid.clone(), state));
        }
        if let Some(bps) = decision.desired_bps {
            let connection = participant.sender().key();
            participant
                .sender()
                .set_desired_bitrate(bps, now, step.out);
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

    /// Layers of one source are aligned by the sender's own clock, once it has told it.
    fn on_sender_report(&mut self, key: u64, feedback: &str0m::media::SenderFeedback) {
        let _ = (key, feedback);
    }

    /// The largest quality anybody wants of a track may have changed: its publisher can stop or start layers.
    pub(super) fn wanted_changed(&mut self, track_key: TrackKey, step: &mut Step<'_>) {
        let Some(track) = self.tracks.get_mut(&track_key) else {
            return;
        };
        if !track.kind().is_video() {
            return;
        }
        let wanted = track
            .subscribers
            .iter()
            .filter_map(|subscriber| {
                let participant = self.participants.get(subscriber)?;
                let settings = &participant.subscriptions.get(&track_key)?.settings;
                Some(crate::forward::wanted_quality(settings, &track.info))
            })
            .max_by_key(|quality| *quality as i32 % 3 + i32::from(*quality as i32 == 3) * -9)
            .unwrap_or(proto::VideoQuality::Off);
        track.dynacast.want(wanted, step.now);
        self.send_dynacast(track_key, step.now);
    }

    /// Tells the publisher which layers are wanted, when that is due.
    pub(super) fn send_dynacast(&mut self, track_key: TrackKey, now: Instant) {
        let Some(track) = self.tracks.get_mut(&track_key) else {
            return;
        };
        let Some(update) = track.dynacast.due(&track.info, now) else {
            return;
        };
        let owner = track.owner;
        if let Some(owner) = self.participants.get_mut(&owner) {
            owner.send(Message::SubscribedQualityUpdate(update));
        }
    }
}
