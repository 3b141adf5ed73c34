//! The way of a packet: from its publisher's connection to every subscriber's.

use livekit_protocol as proto;
use str0m::bwe::BweKind;
use str0m::format::CodecSpec;
use str0m::rtp::{RtpPacket, RtpWrite};
use str0m::{Event, IceConnectionState};

use super::event::RoomEventKind;
use super::participant::Mode;
use super::recent::LayerSet;
use super::track::Track;
use super::{Room, Step};
use crate::audio::red::unwrap_red;
use crate::forward::{Codec, Forwarder, Keyframe, LayerIndex, PacketIn, SenderReport, Verdict};
use crate::peer::{ConnectionKey, ConnectionRole, TrackKey};

impl Room {
    /// One event of one connection.
    pub(super) fn on_event(&mut self, from: ConnectionKey, event: Event, step: &mut Step<'_>) {
        let key = from.participant();
        match event {
            Event::RtpPacket(packet) => self.on_packet(key, packet, step),
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
                self.on_estimate(key, can_probe.then_some(estimate.as_u64()), step);
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
    fn on_packet(&mut self, key: u64, packet: RtpPacket, step: &mut Step<'_>) {
        let Some((track_key, layer, first)) = self.place(key, &packet, step) else {
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
        let encoding = Encoding {
            codec,
            spec,
            red: red.is_some(),
        };
        let input = encoding.input(layer, &packet);
        if !codec.is_audio() {
            track.layers.packet(
                layer,
                codec.temporal(&packet.payload),
                packet.payload.len(),
                packet.header.marker,
                step.now,
            );
            if input.keyframe != Keyframe::No {
                track.keyframes.keyframe(layer);
            }
        }
        let subscribers = std::mem::take(&mut track.subscribers);
        let mut recent = std::mem::take(&mut track.recent);
        if first && !codec.is_audio() {
            // A layer that was not there until now may be what somebody should get.
            for listener in &subscribers {
                self.allocate(*listener, step);
            }
        }
        let mut wanted = LayerSet::default();
        for listener in &subscribers {
            let (waits, missed) = self.forward(*listener, track_key, encoding, &input, &packet);
            wanted.add(waits);
            if missed == 0 {
                continue;
            }
            // Packets of this keyframe overtook its first.
            for kept in recent.following(layer, &packet, missed) {
                let input = encoding.input(layer, kept);
                self.forward(*listener, track_key, encoding, &input, kept);
            }
        }
        if self.tap.is_some() {
            wanted.add(self.tap_packet(track_key, codec, encoding.red, &input, &packet));
        }
        if wanted.contains(layer) {
            recent.keep(layer, packet);
        } else {
            recent.forget(layer);
        }
        if let Some(track) = self.tracks.get_mut(&track_key) {
            track.subscribers = subscribers;
            track.recent = recent;
        }
        for layer in wanted.iter() {
            self.ask_keyframe(track_key, layer, step);
        }
    }

    /// Forwards one packet to one subscriber. Answers the layer whose keyframe it waits for, and how many
    /// packets after this one it would have needed earlier ([`Verdict::Send`]).
    fn forward(
        &mut self,
        listener: u64,
        track: TrackKey,
        encoding: Encoding,
        input: &PacketIn<'_>,
        packet: &RtpPacket,
    ) -> (Option<LayerIndex>, u16) {
        let nothing = (None, 0);
        let Some(participant) = self.participants.get_mut(&listener) else {
            return nothing;
        };
        let Some(subscription) = participant.subscriptions.get_mut(&track) else {
            return nothing;
        };
        if !subscription.negotiated || subscription.settings.disabled {
            return nothing;
        }
        let Some(mid) = subscription.mid else {
            return nothing;
        };
        let role = match participant.mode {
            Mode::Single => ConnectionRole::Publisher,
            Mode::Dual => ConnectionRole::Subscriber,
        };
        let sender = participant
            .subscriber
            .as_mut()
            .unwrap_or(&mut participant.publisher);
        if !sender.is_connected() {
            return nothing;
        }
        let theirs = packet.header.payload_type;
        let known = subscription
            .payload_types
            .iter()
            .find(|(from, _)| *from == theirs);
        let agreed = match known {
            Some((_, to)) => *to,
            None => {
                let to = sender.outgoing(mid, &encoding.spec);
                subscription.payload_types.push((theirs, to));
                to
            }
        };
        let Some(outgoing) = agreed else {
            return nothing;
        };
        let forwarder = subscription.forwarder.get_or_insert_with(|| {
            let mut forwarder = Forwarder::new(encoding.codec, 1);
            forwarder.set_target(subscription.target);
            forwarder.set_max_temporal(subscription.max_temporal);
            forwarder
        });
        let verdict = forwarder.packet(input);
        let waits_for = forwarder.wants_keyframe();
        let mut overtaken = 0;
        if let Verdict::Send {
            seq,
            rtp_time,
            vp8,
            nackable,
            missed,
        } = verdict
        {
            overtaken = missed;
            let (payload_type, payload) = match (encoding.red, outgoing.red) {
                (true, Some(red)) => (red, packet.payload.clone()),
                // A client that takes no redundancy gets the newest frame alone.
                (true, None) => match unwrap_red(&packet.payload) {
                    Some(red) => (outgoing.payload_type, red.primary.into()),
                    None => return (waits_for, 0),
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
        (waits_for, overtaken)
    }

    /// Which track and layer a packet belongs to, and whether it is the first of its stream.
    fn place(
        &mut self,
        key: u64,
        packet: &RtpPacket,
        step: &mut Step<'_>,
    ) -> Option<(TrackKey, LayerIndex, bool)> {
        let participant = self.participants.get_mut(&key)?;
        let ssrc = packet.header.ssrc;
        if let Some(place) = participant.incoming.get(&ssrc) {
            return Some((place.0, place.1, false));
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
        Some((track.key, layer, true))
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

impl Encoding {
    /// What a packet of this encoding says to the forwarders.
    fn input(self, layer: LayerIndex, packet: &RtpPacket) -> PacketIn<'_> {
        let report = packet.last_sender_info.as_ref().map(|info| SenderReport {
            ntp_time: info.ntp_time,
            rtp_time: info.rtp_time.numer() as u32,
        });
        PacketIn {
            layer,
            source: *packet.header.ssrc,
            seq: *packet.seq_no,
            rtp_time: packet.header.timestamp,
            marker: packet.header.marker,
            payload: &packet.payload,
            received: packet.timestamp,
            report,
            keyframe: self.codec.keyframe(&packet.payload),
        }
    }
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
