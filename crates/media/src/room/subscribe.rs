//! Subscribing: who may hear what, and getting it negotiated.

use std::collections::HashMap;

use livekit_protocol as proto;
use livekit_protocol::signal_response::Message;
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind};

use super::participant::{Mode, Subscription};
use super::{Room, Step, limits};
use crate::peer::{ConnectionKey, ConnectionRole, TrackKey};
use crate::signal::sdp;

impl Room {
    /// Whether the owner lets this participant listen to the track.
    fn may_listen(&self, listener: u64, track: TrackKey) -> bool {
        let (Some(participant), Some(track)) =
            (self.participants.get(&listener), self.tracks.get(&track))
        else {
            return false;
        };
        let Some(owner) = self.participants.get(&track.owner) else {
            return false;
        };
        if !participant.permission.can_subscribe || owner.permission.hidden {
            return false;
        }
        let Some(listeners) = &owner.listeners else {
            return true;
        };
        listeners.all_participants
            || listeners.track_permissions.iter().any(|allowed| {
                let named = allowed.participant_sid == participant.sid()
                    || (!allowed.participant_identity.is_empty()
                        && allowed.participant_identity == participant.identity());
                named && (allowed.all_tracks || allowed.track_sids.contains(&track.info.sid))
            })
    }

    /// Notes the wish; [`Self::negotiate`] gets it a section.
    pub(super) fn subscribe(&mut self, key: u64, track_key: TrackKey, step: &mut Step<'_>) {
        let allowed = self.may_listen(key, track_key);
        let Some(track) = self.tracks.get_mut(&track_key) else {
            return;
        };
        let (owner, kind, sid) = (track.owner, track.kind(), track.info.sid.clone());
        if owner == key || !track.is_live() {
            return;
        }
        let owner_sid = self.participants.get(&owner).map(|it| it.sid().to_owned());
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        if participant.subscriptions.contains_key(&track_key) {
            return;
        }
        if !allowed {
            participant.send(Message::SubscriptionPermissionUpdate(
                proto::SubscriptionPermissionUpdate {
                    participant_sid: owner_sid.unwrap_or_default(),
                    track_sid: sid,
                    allowed: false,
                },
            ));
            return;
        }
        let subscription = Subscription {
            track: track_key,
            kind,
            mid: None,
            forwarder: None,
            payload_types: Vec::new(),
            negotiated: false,
            announced: false,
            settings: proto::UpdateTrackSettings {
                quality: proto::VideoQuality::High as i32,
                ..proto::UpdateTrackSettings::default()
            },
            paused: false,
        };
        participant.subscriptions.insert(track_key, subscription);
        if let Some(track) = self.tracks.get_mut(&track_key) {
            track.subscribers.push(key);
        }
        self.wanted_changed(track_key, key, step);
    }

    /// Subscribes to everything that is there, if the client takes everything.
    pub(super) fn subscribe_to_all(&mut self, key: u64, step: &mut Step<'_>) {
        let takes_all = self
            .participants
            .get(&key)
            .is_some_and(|participant| participant.auto_subscribe);
        if !takes_all {
            return;
        }
        let mut tracks: Vec<TrackKey> = self
            .tracks
            .values()
            .filter(|track| track.is_live() && track.owner != key)
            .map(|track| track.key)
            .collect();
        tracks.sort_unstable();
        for track in tracks {
            self.subscribe(key, track, step);
        }
    }

    pub(super) fn unsubscribe(&mut self, key: u64, track: TrackKey, step: &mut Step<'_>) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        if participant.subscriptions.remove(&track).is_none() {
            return;
        }
        participant.sections.release(track);
        self.forget_subscriber(track, key);
        self.wanted_changed(track, key, step);
        self.negotiate_release(key, step);
    }

    pub(super) fn forget_subscriber(&mut self, track: TrackKey, key: u64) {
        if let Some(track) = self.tracks.get_mut(&track) {
            track.subscribers.retain(|subscriber| *subscriber != key);
        }
    }

    /// The client's list of what it wants or no longer wants.
    pub(super) fn on_subscription(
        &mut self,
        key: u64,
        update: &proto::UpdateSubscription,
        step: &mut Step<'_>,
    ) {
        let sids = update.track_sids.iter().chain(
            update
                .participant_tracks
                .iter()
                .flat_map(|of| &of.track_sids),
        );
        let by_sid: HashMap<&str, TrackKey> = self
            .tracks
            .values()
            .map(|track| (track.info.sid.as_str(), track.key))
            .collect();
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for sid in sids.take(limits::SIDS_PER_REQUEST) {
            match by_sid.get(sid.as_str()) {
                Some(track) => found.push(*track),
                None => missing.push(sid.clone()),
            }
        }
        for track in found {
            if update.subscribe {
                self.subscribe(key, track, step);
            } else {
                self.unsubscribe(key, track, step);
            }
        }
        if update.subscribe
            && let Some(participant) = self.participants.get_mut(&key)
        {
            for track_sid in missing {
                participant.send(Message::SubscriptionResponse(proto::SubscriptionResponse {
                    track_sid,
                    err: proto::SubscriptionError::SeTrackNotfound as i32,
                }));
            }
        }
        self.negotiate(key, step);
    }

    /// A publisher says who may listen to what.
    pub(super) fn on_subscription_permission(
        &mut self,
        key: u64,
        listeners: proto::SubscriptionPermission,
        step: &mut Step<'_>,
    ) {
        let Some(owner) = self.participants.get_mut(&key) else {
            return;
        };
        let owner_sid = owner.sid().to_owned();
        owner.listeners = Some(listeners);
        let tracks: Vec<(TrackKey, String)> = self
            .tracks
            .values()
            .filter(|track| track.owner == key && track.is_live())
            .map(|track| (track.key, track.info.sid.clone()))
            .collect();
        let others: Vec<(u64, bool)> = self
            .participants
            .values()
            .filter(|other| other.key != key)
            .map(|other| (other.key, other.auto_subscribe))
            .collect();
        for (other, takes_all) in others {
            for (track, sid) in &tracks {
                let allowed = self.may_listen(other, *track);
                let listens = self
                    .participants
                    .get(&other)
                    .is_some_and(|it| it.subscriptions.contains_key(track));
                if allowed == listens {
                    continue;
                }
                if listens {
                    self.unsubscribe(other, *track, step);
                }
                if let Some(participant) = self.participants.get_mut(&other) {
                    participant.send(Message::SubscriptionPermissionUpdate(
                        proto::SubscriptionPermissionUpdate {
                            participant_sid: owner_sid.clone(),
                            track_sid: sid.clone(),
                            allowed,
                        },
                    ));
                }
                if allowed && takes_all {
                    self.subscribe(other, *track, step);
                }
            }
            self.negotiate(other, step);
        }
    }

    /// Gets sections for the subscriptions that have none: an offer of ours in dual mode, in single mode
    /// a request that the client offer more.
    pub(super) fn negotiate(&mut self, key: u64, step: &mut Step<'_>) {
        let Some(participant) = self.participants.get(&key) else {
            return;
        };
        let waiting = |kind| {
            participant
                .subscriptions
                .values()
                .filter(|it| it.mid.is_none() && it.kind == kind)
                .count()
        };
        let (audio, video) = (waiting(MediaKind::Audio), waiting(MediaKind::Video));
        match participant.mode {
            Mode::Single if audio + video > 0 => {
                let lacking = |count: usize, kind| {
                    let lacking = count.saturating_sub(participant.sections.free(kind));
                    u32::try_from(lacking).unwrap_or(u32::MAX)
                };
                // Nothing lacking still makes the client offer again, and that is what assigns.
                let requirement = proto::MediaSectionsRequirement {
                    num_audios: lacking(audio, MediaKind::Audio),
                    num_videos: lacking(video, MediaKind::Video),
                };
                if let Some(participant) = self.participants.get_mut(&key) {
                    participant.send(Message::MediaSectionsRequirement(requirement));
                }
            }
            Mode::Dual if audio + video > 0 || participant.offer_again => self.offer(key, step),
            _ => {}
        }
    }

    /// A section fell free. In dual mode the offer that says so can wait for the next subscription: the
    /// client drops the track by the participant's update. In single mode the client owns the sections.
    pub(super) fn negotiate_release(&mut self, key: u64, step: &mut Step<'_>) {
        let waits = self.participants.get(&key).is_some_and(|participant| {
            participant
                .subscriptions
                .values()
                .any(|subscription| subscription.mid.is_none())
        });
        if waits {
            self.negotiate(key, step);
        }
    }

    /// Puts waiting subscriptions on free sections of the connection (single mode: sections the client offered).
    pub(super) fn place_subscriptions(&mut self, key: u64, step: &mut Step<'_>) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        let mut waiting: Vec<(TrackKey, MediaKind)> = participant
            .subscriptions
            .values()
            .filter(|subscription| subscription.mid.is_none())
            .map(|subscription| (subscription.track, subscription.kind))
            .collect();
        waiting.sort_unstable_by_key(|(track, _)| *track);
        for (track, kind) in waiting {
            let Some(section) = participant.sections.assign(track, kind) else {
                continue;
            };
            let sender = participant
                .subscriber
                .as_mut()
                .unwrap_or(&mut participant.publisher);
            if section.used {
                sender.renew_stream(section.mid, kind, step.now, step.out);
            }
            if let Some(subscription) = participant.subscriptions.get_mut(&track) {
                subscription.mid = Some(section.mid);
                subscription.negotiated = false;
            }
        }
    }

    /// Dual mode: offers what waits. One offer is out at a time.
    fn offer(&mut self, key: u64, step: &mut Step<'_>) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        if participant.pending_offer.is_some() {
            participant.offer_again = true;
            return;
        }
        participant.offer_again = false;
        self.place_subscriptions(key, step);
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        let mut waiting: Vec<(TrackKey, MediaKind)> = participant
            .subscriptions
            .values()
            .filter(|subscription| subscription.mid.is_none())
            .map(|subscription| (subscription.track, subscription.kind))
            .collect();
        waiting.sort_unstable_by_key(|(track, _)| *track);
        let reused: Vec<_> = participant
            .subscriptions
            .values()
            .filter(|subscription| !subscription.negotiated)
            .filter_map(|subscription| subscription.mid)
            .collect();
        let Some(subscriber) = participant.subscriber.as_mut() else {
            return;
        };
        let (added, offer) = subscriber.change(step.now, step.out, |rtc| {
            let mut api = rtc.sdp_api();
            let added: Vec<_> = waiting
                .iter()
                .map(|(track, kind)| {
                    let mid = api.add_media(*kind, Direction::SendOnly, None, None, None);
                    (*track, *kind, mid)
                })
                .collect();
            for mid in &reused {
                // The direction is what it was; stating it again makes the offer necessary.
                api.set_direction(*mid, Direction::Inactive);
                api.set_direction(*mid, Direction::SendOnly);
            }
            (added, api.apply())
        });
        for (track, kind, mid) in added {
            participant.sections.offer(mid, kind);
            participant.sections.assign(track, kind);
            if let Some(subscription) = participant.subscriptions.get_mut(&track) {
                subscription.mid = Some(mid);
            }
        }
        if let Some((offer, pending)) = offer {
            self.send_offer(key, &offer, pending);
        }
    }

    /// Sends an offer of ours.
    pub(super) fn send_offer(&mut self, key: u64, offer: &SdpOffer, pending: SdpPendingOffer) {
        let msids = self.msids(key);
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        participant.pending_offer = Some(pending);
        participant.offer_id += 1;
        let id = participant.offer_id;
        let mid_to_track_id = msids
            .iter()
            .map(|(mid, assigned)| (mid.clone(), assigned.track_sid.clone()))
            .collect();
        let offer = offer.to_sdp_string();
        let sdp = sdp::rewrite_answer(&offer, &msids).unwrap_or(offer);
        participant.send(Message::Offer(proto::SessionDescription {
            r#type: "offer".to_owned(),
            sdp,
            id,
            mid_to_track_id,
        }));
    }

    /// Dual mode: the client answers our offer.
    pub(super) fn on_answer(
        &mut self,
        key: u64,
        answer: &proto::SessionDescription,
        step: &mut Step<'_>,
    ) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        // An answer to an offer that was given up (a resume came between) says nothing any more.
        if answer.id != 0 && answer.id != participant.offer_id {
            return;
        }
        let Some(pending) = participant.pending_offer.take() else {
            return;
        };
        let Some(subscriber) = participant.subscriber.as_mut() else {
            return;
        };
        let accepted = (answer.sdp.len() <= limits::SDP_BYTES)
            .then(|| SdpAnswer::from_sdp_string(&answer.sdp).ok())
            .flatten()
            .is_some_and(|answer| {
                subscriber
                    .accept_answer(pending, answer, step.now, step.out)
                    .is_ok()
            });
        self.touched
            .push(ConnectionKey::new(key, ConnectionRole::Subscriber));
        if !accepted {
            tracing::debug!("an answer did not fit its offer");
            self.remove(key, proto::DisconnectReason::StateMismatch, true, step);
            return;
        }
        self.mark_negotiated(key, step);
        self.negotiate(key, step);
    }

    /// The sections of the last description are agreed on: packets may flow, and publishers hear of their
    /// first subscriber now. Waiting for the first packet instead would keep an agent silent for ever that
    /// waits for its listener before it speaks.
    pub(super) fn mark_negotiated(&mut self, key: u64, step: &mut Step<'_>) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        let sender = participant
            .subscriber
            .as_mut()
            .unwrap_or(&mut participant.publisher);
        let mut agreed = Vec::new();
        for subscription in participant.subscriptions.values_mut() {
            let Some(mid) = subscription.mid else {
                continue;
            };
            if !subscription.negotiated {
                subscription.negotiated = sender.can_send(mid, step.now, step.out);
                subscription.payload_types.clear();
                subscription.forwarder = None;
            }
            if subscription.negotiated && !subscription.announced {
                subscription.announced = true;
                agreed.push(subscription.track);
            }
        }
        for track in agreed {
            let Some((owner, track_sid)) = self
                .tracks
                .get(&track)
                .map(|track| (track.owner, track.info.sid.clone()))
            else {
                continue;
            };
            if let Some(owner) = self.participants.get_mut(&owner) {
                owner.send(Message::TrackSubscribed(proto::TrackSubscribed {
                    track_sid,
                }));
            }
        }
    }
}
