//! Getting subscriptions negotiated: sections, our offers, the client's answers.

use livekit_protocol as proto;
use livekit_protocol::signal_response::Message;
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind};

use super::participant::{Mode, PendingOffer};
use super::{Room, Step, limits};
use crate::peer::{ConnectionKey, ConnectionRole, TrackKey};
use crate::signal::sdp;

impl Room {
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
            Mode::Dual
                if audio + video > 0
                    || participant.offer_again
                    || participant.sections.owes_rest() =>
            {
                self.offer(key, step);
            }
            _ => {}
        }
    }

    /// A section fell free. In dual mode the client is told, so that the section can be used again. In
    /// single mode it is the client's, and only who waits for one is served.
    pub(super) fn negotiate_release(&mut self, key: u64, step: &mut Step<'_>) {
        let concerns = self.participants.get(&key).is_some_and(|participant| {
            participant.mode == Mode::Dual
                || participant
                    .subscriptions
                    .values()
                    .any(|subscription| subscription.mid.is_none())
        });
        if concerns {
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
        // Who gets a section that comes to rest with this offer waits for its answer.
        for kind in [MediaKind::Audio, MediaKind::Video] {
            let mut coming = participant.sections.coming_free(kind);
            waiting.retain(|(_, of)| {
                let waits = *of == kind && coming > 0;
                coming -= usize::from(waits);
                !waits
            });
        }
        let resting = participant.sections.offer_rest();
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
            for mid in &resting {
                api.set_direction(*mid, Direction::Inactive);
            }
            for mid in &reused {
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
        match offer {
            Some((offer, pending)) => self.send_offer(key, &offer, pending, step),
            // What had to be said was said already: the sections are at rest.
            None if !resting.is_empty() => {
                participant.sections.rest_agreed();
                self.negotiate(key, step);
            }
            None => {}
        }
    }

    /// Sends an offer of ours.
    pub(super) fn send_offer(
        &mut self,
        key: u64,
        offer: &SdpOffer,
        changes: SdpPendingOffer,
        step: &mut Step<'_>,
    ) {
        let msids = self.msids(key);
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        participant.offer_id += 1;
        let id = participant.offer_id;
        let mid_to_track_id = msids
            .iter()
            .map(|(mid, assigned)| (mid.clone(), assigned.track_sid.clone()))
            .collect();
        let offer = offer.to_sdp_string();
        let sdp = sdp::rewrite_answer(&offer, &msids).unwrap_or(offer);
        let description = proto::SessionDescription {
            r#type: "offer".to_owned(),
            sdp,
            id,
            mid_to_track_id,
        };
        participant.pending_offer = Some(PendingOffer {
            changes,
            description: description.clone(),
            since: step.now,
        });
        participant.send(Message::Offer(description));
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
        // The second answer to an offer that was sent twice says nothing.
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
                    .accept_answer(pending.changes, answer, step.now, step.out)
                    .is_ok()
            });
        self.touched
            .push(ConnectionKey::new(key, ConnectionRole::Subscriber));
        if !accepted {
            tracing::debug!("an answer did not fit its offer");
            self.remove(key, proto::DisconnectReason::StateMismatch, true, step);
            return;
        }
        if let Some(participant) = self.participants.get_mut(&key) {
            participant.sections.rest_agreed();
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
        let mut pictures = false;
        for subscription in participant.subscriptions.values_mut() {
            let Some(mid) = subscription.mid else {
                continue;
            };
            if !subscription.negotiated {
                subscription.negotiated = sender.can_send(mid, step.now, step.out);
                subscription.payload_types.clear();
                subscription.forwarder = None;
                pictures |= subscription.negotiated && subscription.kind.is_video();
            }
            if subscription.negotiated && !subscription.announced {
                subscription.announced = true;
                agreed.push(subscription.track);
            }
        }
        if pictures {
            self.allocate(key, step);
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
