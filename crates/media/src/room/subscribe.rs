//! Subscribing: who may hear what, and who wants it.

use std::collections::HashMap;

use livekit_protocol as proto;
use livekit_protocol::signal_response::Message;

use super::participant::Subscription;
use super::{Room, Step, limits};
use crate::peer::TrackKey;

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
            // Sound has one layer; that of a picture the allocator chooses.
            target: kind.is_audio().then_some(0),
            max_temporal: u8::MAX,
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
}
