//! Publishing: announcing tracks, the client's offers, muting, ending tracks.

use std::collections::HashMap;
use std::time::Instant;

use livekit_protocol as proto;
use livekit_protocol::signal_response::Message;
use str0m::change::SdpOffer;
use str0m::media::{MediaKind, Mid};

use super::event::RoomEventKind;
use super::participant::Mode;
use super::recent::Recent;
use super::track::{self, Track};
use super::{Room, Step, limits};
use crate::forward::{Dynacast, KeyframeThrottle, Layers};
use crate::peer::TrackKey;
use crate::signal::sdp::{self, AssignedTrack};

impl Room {
    /// A client announces a track. The answer comes at once; the track is live when its section is negotiated.
    pub(super) fn add_track(
        &mut self,
        key: u64,
        request: proto::AddTrackRequest,
        step: &mut Step<'_>,
    ) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        let announced = self
            .tracks
            .values()
            .filter(|track| track.owner == key)
            .count();
        let refused = if !participant.may_publish(request.source) {
            Some(proto::request_response::Reason::NotAllowed)
        } else if announced >= limits::TRACKS {
            Some(proto::request_response::Reason::LimitExceeded)
        } else if request.cid.is_empty() || request.name.len() > limits::NAME_BYTES {
            Some(proto::request_response::Reason::InvalidRequest)
        } else {
            None
        };
        if let Some(reason) = refused {
            participant.send(Message::RequestResponse(proto::RequestResponse {
                reason: reason as i32,
                message: "the track was not accepted".to_owned(),
                request: Some(proto::request_response::Request::AddTrack(request)),
                ..proto::RequestResponse::default()
            }));
            return;
        }
        // After a full reconnect the client announces its tracks again and names their old ids.
        let prefix = track::sid_prefix(request.r#type, request.source);
        let sid = step.sid(prefix);
        let cid = request.cid.clone();
        let info = track::describe(request, sid);
        self.next_track += 1;
        let track = Track {
            key: self.next_track,
            owner: key,
            cid: cid.clone(),
            layers: Layers::new(track::layers(&info), step.now),
            rids: Vec::new(),
            dynacast: Dynacast::new(&track::codecs(&info), step.now),
            info: info.clone(),
            mid: None,
            specs: HashMap::new(),
            codec: None,
            keyframes: KeyframeThrottle::default(),
            recent: Recent::default(),
            subscribers: Vec::new(),
            muted_by_server: false,
        };
        self.tracks.insert(track.key, track);
        participant.send(Message::TrackPublished(proto::TrackPublishedResponse {
            cid,
            track: Some(info),
        }));
    }

    /// The client's offer: its own tracks, and in single mode the sections it receives on.
    pub(super) fn on_offer(
        &mut self,
        key: u64,
        offer: &proto::SessionDescription,
        step: &mut Step<'_>,
    ) {
        if let Err(reason) = self.answer_offer(key, offer, step) {
            tracing::debug!(reason, "an offer was refused");
            self.remove(key, proto::DisconnectReason::StateMismatch, true, step);
            return;
        }
        self.negotiate(key, step);
    }

    fn answer_offer(
        &mut self,
        key: u64,
        offer: &proto::SessionDescription,
        step: &mut Step<'_>,
    ) -> Result<(), &'static str> {
        if offer.sdp.len() > limits::SDP_BYTES {
            return Err("the description is too long");
        }
        let sections = sdp::sections(&offer.sdp).map_err(|_| "the description does not parse")?;
        let parsed =
            SdpOffer::from_sdp_string(&offer.sdp).map_err(|_| "the description does not parse")?;
        let Some(participant) = self.participants.get_mut(&key) else {
            return Ok(());
        };
        let single = participant.mode == Mode::Single;
        let receiving = |section: &&sdp::Section| {
            !section.rejected
                && matches!(
                    section.direction,
                    sdp::Direction::RecvOnly | sdp::Direction::SendRecv
                )
        };
        let is_media = |section: &&sdp::Section| {
            matches!(
                section.kind,
                sdp::SectionKind::Audio | sdp::SectionKind::Video
            )
        };
        let mut withdrawn = Vec::new();
        if single {
            for section in sections.iter().filter(is_media) {
                let mid = Mid::from(section.mid.as_str());
                if !receiving(&section)
                    && let Some(track) = participant.sections.withdraw(mid)
                {
                    withdrawn.push(track);
                }
            }
        }
        for track in withdrawn {
            if let Some(subscription) = participant.subscriptions.get_mut(&track) {
                subscription.mid = None;
                subscription.negotiated = false;
            }
        }
        // A section that is used again gets its fresh SSRC before the answer is written with it.
        self.place_subscriptions(key, step);
        let Some(participant) = self.participants.get_mut(&key) else {
            return Ok(());
        };
        let answer = participant
            .publisher
            .accept_offer(parsed, step.now, step.out)
            .map_err(|_| "the description cannot be served")?;
        if single {
            for section in sections.iter().filter(is_media).filter(receiving) {
                let kind = match section.kind {
                    sdp::SectionKind::Audio => MediaKind::Audio,
                    _ => MediaKind::Video,
                };
                participant
                    .sections
                    .offer(Mid::from(section.mid.as_str()), kind);
            }
        }
        self.place_subscriptions(key, step);
        let live = self.match_sections(key, &sections, step.now);
        self.send_answer(key, &answer.to_sdp_string(), offer.id);
        self.end_stopped(key, &sections, step);
        self.touched.push(crate::peer::ConnectionKey::new(
            key,
            crate::peer::ConnectionRole::Publisher,
        ));
        self.mark_negotiated(key, step);
        if !live.is_empty() {
            self.tracks_live(key, &live, step);
        }
        Ok(())
    }

    /// Finds for each section that the client sends on the track it announced. Answers those that are new.
    fn match_sections(
        &mut self,
        key: u64,
        sections: &[sdp::Section],
        now: Instant,
    ) -> Vec<TrackKey> {
        let mut live = Vec::new();
        for section in sections {
            let cid = section.track_id.as_str();
            if cid.is_empty() || !section.direction.sends() || section.rejected {
                continue;
            }
            let mid = Mid::from(section.mid.as_str());
            let announced = self
                .tracks
                .values_mut()
                .filter(|track| track.owner == key && track.answers_to(cid))
                .min_by_key(|track| (track.mid.is_some_and(|it| it != mid), track.key));
            if let Some(track) = announced
                && track.mid != Some(mid)
            {
                let first = track.mid.is_none();
                track.mid = Some(mid);
                track.info.mid.clone_from(&section.mid);
                if first {
                    if let Some(name) = track::video_codec(section) {
                        // The announcement may not have said it; the description does.
                        track.info.mime_type = format!("video/{name}");
                        let names = track::codecs(&track.info);
                        track.dynacast = Dynacast::new(&names, now);
                    }
                    live.push(track.key);
                }
            }
        }
        live
    }

    fn send_answer(&mut self, key: u64, answer: &str, id: u32) {
        let Some(participant) = self.participants.get(&key) else {
            return;
        };
        let single = participant.mode == Mode::Single;
        let msids = self.msids(key);
        let mid_to_track_id = msids
            .iter()
            .map(|(mid, assigned)| (mid.clone(), assigned.track_sid.clone()))
            .collect();
        let sdp = if single {
            sdp::rewrite_answer(answer, &msids).unwrap_or_else(|_| answer.to_owned())
        } else {
            answer.to_owned()
        };
        if let Some(participant) = self.participants.get_mut(&key) {
            participant.send(Message::Answer(proto::SessionDescription {
                r#type: "answer".to_owned(),
                sdp,
                id,
                mid_to_track_id,
            }));
        }
    }

    /// What each sending section of a participant carries, in LiveKit's naming: the stream is
    /// `<participant sid>|<track sid>`, the track is its sid.
    pub(super) fn msids(&self, key: u64) -> HashMap<String, AssignedTrack> {
        let Some(participant) = self.participants.get(&key) else {
            return HashMap::new();
        };
        participant
            .sections
            .assigned()
            .filter_map(|(mid, track)| {
                let track = self.tracks.get(&track)?;
                let owner = self.participants.get(&track.owner)?;
                let assigned = AssignedTrack {
                    participant_sid: owner.sid().to_owned(),
                    track_sid: track.info.sid.clone(),
                };
                Some((mid.to_string(), assigned))
            })
            .collect()
    }

    /// A track whose section stopped sending has ended.
    fn end_stopped(&mut self, key: u64, sections: &[sdp::Section], step: &mut Step<'_>) {
        let sending: Vec<&str> = sections
            .iter()
            .filter(|section| section.direction.sends() && !section.rejected)
            .map(|section| section.mid.as_str())
            .collect();
        let stopped: Vec<TrackKey> = self
            .tracks
            .values()
            .filter(|track| track.owner == key && track.is_live())
            .filter(|track| !sending.contains(&track.info.mid.as_str()))
            .map(|track| track.key)
            .collect();
        for track in stopped {
            self.unpublish(track, step);
        }
    }

    /// New tracks: the room hears of them, and those who take everything subscribe.
    fn tracks_live(&mut self, key: u64, live: &[TrackKey], step: &mut Step<'_>) {
        self.announce(key, true);
        for track in live {
            self.tap_wants(*track, true, step);
            let Some(info) = self.tracks.get(track).map(|track| track.info.clone()) else {
                continue;
            };
            if let Some(owner) = self.describe_participant(key) {
                self.emit(RoomEventKind::Published(owner, info), step);
            }
        }
        let others: Vec<u64> = self
            .participants
            .values()
            .filter(|other| other.key != key && other.auto_subscribe)
            .map(|other| other.key)
            .collect();
        for other in others {
            for track in live {
                self.subscribe(other, *track, step);
            }
            self.negotiate(other, step);
        }
    }

    /// Ends a track for everybody.
    pub(super) fn unpublish(&mut self, key: TrackKey, step: &mut Step<'_>) {
        let Some(track) = self.tracks.remove(&key) else {
            return;
        };
        self.tap_ended(key, step);
        for subscriber in &track.subscribers {
            if let Some(participant) = self.participants.get_mut(subscriber) {
                participant.subscriptions.remove(&key);
                if let Some(mid) = participant.sections.release(key) {
                    participant.quality.forget(true, mid);
                }
            }
        }
        for subscriber in track.subscribers {
            self.negotiate_release(subscriber, step);
        }
        if let Some(owner) = self.participants.get_mut(&track.owner) {
            owner.incoming.retain(|_, (of, _)| *of != key);
            if let Some(mid) = track.mid {
                owner.quality.forget(false, mid);
            }
            owner.send(Message::TrackUnpublished(proto::TrackUnpublishedResponse {
                track_sid: track.info.sid.clone(),
            }));
        }
        if track.mid.is_some() {
            self.announce(track.owner, true);
            if let Some(owner) = self.describe_participant(track.owner) {
                self.emit(RoomEventKind::Unpublished(owner, track.info), step);
            }
        }
    }

    /// The owner mutes or unmutes.
    pub(super) fn on_mute(
        &mut self,
        key: u64,
        mute: &proto::MuteTrackRequest,
        step: &mut Step<'_>,
    ) {
        let Some(track) = self
            .tracks
            .values_mut()
            .find(|track| track.owner == key && track.info.sid == mute.sid)
        else {
            return;
        };
        if !mute.muted {
            track.muted_by_server = false;
        }
        let track = track.key;
        self.set_muted(track, mute.muted, false, step);
    }

    /// Mutes or unmutes a track. With `by_server` its client is told to do it as well.
    pub(super) fn set_muted(
        &mut self,
        key: TrackKey,
        muted: bool,
        by_server: bool,
        step: &mut Step<'_>,
    ) {
        let Some(track) = self.tracks.get_mut(&key) else {
            return;
        };
        if track.info.muted == muted {
            return;
        }
        track.info.muted = muted;
        track.muted_by_server = by_server && muted;
        let (owner, info) = (track.owner, track.info.clone());
        if by_server && let Some(participant) = self.participants.get_mut(&owner) {
            participant.send(Message::Mute(proto::MuteTrackRequest {
                sid: info.sid.clone(),
                muted,
            }));
        }
        self.announce(owner, by_server);
        // Muted it takes nothing of the bandwidth, unmuted it wants a keyframe at once.
        let viewers = match self.tracks.get(&key) {
            Some(track) if track.kind().is_video() => track.subscribers.clone(),
            _ => Vec::new(),
        };
        for viewer in viewers {
            self.allocate(viewer, step);
        }
        if let Some(owner) = self.describe_participant(owner) {
            self.emit(RoomEventKind::Muted(owner, info), step);
        }
    }
}
