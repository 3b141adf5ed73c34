//! What of a picture goes to whom: keyframes on request, the bandwidth divided, layers nobody wants.

use std::time::Duration;

use livekit_protocol as proto;
use livekit_protocol::signal_response::Message;
use str0m::media::KeyframeRequest;

use super::{Room, Step};
use crate::forward::{Dynacast, LayerIndex, LayerRate, Wanted};
use crate::peer::{ConnectionKey, ConnectionRole, TrackKey};

/// An estimate begins with a guess and rises from there by probes. For so long after the client's first
/// feedback one that is not below the guess says only that nothing was lost; taken at its word, it would
/// make every new viewer fall from the layer it began with, and rise again.
const SETTLING: Duration = Duration::from_secs(3);

impl Room {
    /// What can be sent to a client, in bit/s; none while that cannot be found out.
    pub(super) fn on_estimate(&mut self, key: u64, bps: Option<u64>, step: &mut Step<'_>) {
        let guess = step.settings.transport.initial_bps;
        if let Some(participant) = self.participants.get_mut(&key) {
            participant.estimate_bps = bps;
            if bps.is_some_and(|bps| bps != guess) {
                participant.measured_since.get_or_insert(step.now);
            }
        }
        self.allocate(key, step);
    }

    /// A subscriber's decoder lost its way.
    pub(super) fn on_keyframe_request(
        &mut self,
        key: u64,
        request: KeyframeRequest,
        step: &mut Step<'_>,
    ) {
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
        let guess = step.settings.transport.initial_bps;
        let settled = participant
            .measured_since
            .is_some_and(|since| now.saturating_duration_since(since) >= SETTLING);
        let estimate = participant
            .estimate_bps
            .filter(|bps| settled || *bps < guess);
        let bandwidth = match (estimate, participant.limit_bps) {
            (Some(estimate), Some(limit)) => Some(estimate.min(limit)),
            (estimate, limit) => estimate.or(limit),
        };
        let decision = participant.allocator.update(bandwidth, &wanted, now);
        for (track, target) in decision.targets {
            let Some(subscription) = participant.subscriptions.get_mut(&track) else {
                continue;
            };
            subscription.target = target;
            if let Some(track) = self.tracks.get(&track) {
                let fps = track.layers.wish(&subscription.settings).max_fps;
                subscription.max_temporal = target.filter(|_| fps > 0).map_or(u8::MAX, |layer| {
                    track.layers.temporal_for_fps(layer, fps, now)
                });
            }
            if let Some(forwarder) = &mut subscription.forwarder {
                forwarder.set_target(target);
                forwarder.set_max_temporal(subscription.max_temporal);
            }
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
