//! What a client's signal messages do.

use livekit_protocol as proto;
use livekit_protocol::DisconnectReason;
use livekit_protocol::request_response::Reason;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message;
use livekit_protocol::simulate_scenario::Scenario;
use str0m::Candidate;

use super::track::Track;
use super::{Room, Step, limits};
use crate::peer::TrackKey;

impl Room {
    /// One message of one signal connection; messages of a connection that was replaced are ignored.
    pub(crate) fn signal(
        &mut self,
        key: u64,
        generation: u64,
        request: Request,
        step: &mut Step<'_>,
    ) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        if participant.generation != generation {
            return;
        }
        participant.last_signal_at = step.now;
        if !participant.budget.take(cost(&request), step.now) {
            tracing::debug!(participant = participant.sid(), "too many signal messages");
            self.remove(key, DisconnectReason::StateMismatch, true, step);
            return;
        }
        self.handle(key, request, step);
        self.settle(step);
    }

    fn handle(&mut self, key: u64, request: Request, step: &mut Step<'_>) {
        match request {
            Request::Offer(offer) => self.on_offer(key, &offer, step),
            Request::Answer(answer) => self.on_answer(key, &answer, step),
            Request::Trickle(trickle) => self.on_trickle(key, &trickle, step),
            Request::AddTrack(request) => self.add_track(key, request, step),
            Request::Mute(mute) => self.on_mute(key, &mute, step),
            Request::Subscription(update) => self.on_subscription(key, &update, step),
            Request::TrackSetting(settings) => self.on_track_setting(key, &settings, step),
            Request::Leave(_) => self.remove(key, DisconnectReason::ClientInitiated, false, step),
            Request::SubscriptionPermission(listeners) => {
                self.on_subscription_permission(key, listeners, step);
            }
            Request::SyncState(state) => self.on_sync_state(key, &state, step),
            Request::Simulate(scenario) => self.on_simulate(key, scenario, step),
            Request::UpdateMetadata(update) => self.on_update_metadata(key, update, step),
            Request::UpdateAudioTrack(update) => {
                self.update_track(key, &update.track_sid, |track| {
                    track.info.audio_features = update.features;
                });
            }
            Request::UpdateVideoTrack(update) => {
                self.update_track(key, &update.track_sid, |track| {
                    track.info.width = update.width;
                    track.info.height = update.height;
                });
            }
            #[expect(deprecated, reason = "older clients send it still")]
            Request::UpdateLayers(update) => {
                self.update_track(key, &update.track_sid, |track| {
                    track.layers.update(&update.layers);
                    track.info.layers = update.layers;
                });
            }
            Request::Ping(at) => self.reply(key, Message::Pong(at)),
            Request::PingReq(ping) => {
                let pong = proto::Pong {
                    last_ping_timestamp: ping.timestamp,
                    timestamp: step.wall_ms(),
                };
                self.reply(key, Message::PongResp(pong));
            }
            // A client waits for an answer to these, or its publishing call never returns.
            Request::PublishDataTrackRequest(_) => {
                self.refuse(key, 0, "data tracks are not served")
            }
            Request::StoreDataBlobRequest(_) | Request::GetDataBlobRequest(_) => {
                self.refuse(key, 0, "data blobs are not served");
            }
            Request::UnpublishDataTrackRequest(_) | Request::UpdateDataSubscription(_) => {}
        }
    }

    fn reply(&mut self, key: u64, message: Message) {
        if let Some(participant) = self.participants.get_mut(&key) {
            participant.send(message);
        }
    }

    fn refuse(&mut self, key: u64, request_id: u32, message: &str) {
        self.reply(
            key,
            Message::RequestResponse(proto::RequestResponse {
                request_id,
                reason: Reason::UnsupportedType as i32,
                message: message.to_owned(),
                request: None,
            }),
        );
    }

    /// The server's own candidates suffice: it learns a client's addresses from its checks. A candidate
    /// that is told speeds up nothing but is harmless; what does not parse is ignored.
    fn on_trickle(&mut self, key: u64, trickle: &proto::TrickleRequest, step: &mut Step<'_>) {
        #[derive(serde::Deserialize)]
        struct Init {
            candidate: String,
        }
        let Ok(init) = serde_json::from_str::<Init>(&trickle.candidate_init) else {
            return;
        };
        let Ok(candidate) = Candidate::from_sdp_string(&init.candidate) else {
            return;
        };
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        let for_subscriber = trickle.target == proto::SignalTarget::Subscriber as i32;
        let connection = match participant.subscriber.as_mut() {
            Some(subscriber) if for_subscriber => subscriber,
            _ => &mut participant.publisher,
        };
        connection.change(step.now, step.out, |rtc| {
            rtc.add_remote_candidate(candidate)
        });
        self.touched.push(connection.key());
    }

    fn on_track_setting(
        &mut self,
        key: u64,
        settings: &proto::UpdateTrackSettings,
        step: &mut Step<'_>,
    ) {
        let tracks: Vec<TrackKey> = self
            .tracks
            .values()
            .filter(|track| settings.track_sids.contains(&track.info.sid))
            .map(|track| track.key)
            .collect();
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        for track in &tracks {
            if let Some(subscription) = participant.subscriptions.get_mut(track) {
                subscription.settings = proto::UpdateTrackSettings {
                    track_sids: Vec::new(),
                    ..settings.clone()
                };
                if let (true, Some(forwarder)) = (settings.disabled, &mut subscription.forwarder) {
                    forwarder.set_target(None);
                }
            }
        }
        for track in tracks {
            self.wanted_changed(track, key, step);
        }
        self.allocate(key, step);
    }

    /// What a resumed client believes; where it differs from what is true here, it has to join anew.
    pub(super) fn on_sync_state(
        &mut self,
        key: u64,
        state: &proto::SyncState,
        step: &mut Step<'_>,
    ) {
        let published = state.publish_tracks.iter().all(|published| {
            let sid = published.track.as_ref().map(|track| track.sid.as_str());
            self.tracks
                .values()
                .any(|track| track.owner == key && Some(track.info.sid.as_str()) == sid)
        });
        if !published {
            self.reconnect_fully(key);
            return;
        }
        if let Some(wishes) = &state.subscription {
            // Auto-subscribing clients list what they do not want, the others what they want.
            self.on_subscription(key, wishes, step);
        }
        let disabled = proto::UpdateTrackSettings {
            track_sids: state.track_sids_disabled.clone(),
            disabled: true,
            ..proto::UpdateTrackSettings::default()
        };
        if !disabled.track_sids.is_empty() {
            self.on_track_setting(key, &disabled, step);
        }
        self.replay(key, &state.datachannel_receive_states, step);
    }

    /// Asks a client to join anew, keeping nothing.
    fn reconnect_fully(&mut self, key: u64) {
        self.reply(
            key,
            Message::Leave(proto::LeaveRequest {
                can_reconnect: true,
                reason: DisconnectReason::StateMismatch as i32,
                action: proto::leave_request::Action::Reconnect as i32,
                regions: None,
            }),
        );
    }

    /// Faults that a client asks for to test itself.
    fn on_simulate(&mut self, key: u64, scenario: proto::SimulateScenario, step: &mut Step<'_>) {
        match scenario.scenario {
            Some(Scenario::ServerLeave(true)) => {
                self.remove(key, DisconnectReason::ServerShutdown, true, step);
            }
            // The signal goes without a word; the client resumes.
            Some(Scenario::NodeFailure(true) | Scenario::DisconnectSignalOnResume(true)) => {
                if let Some(participant) = self.participants.get_mut(&key) {
                    participant.signal = None;
                    participant.gone_since.get_or_insert(step.now);
                }
            }
            Some(Scenario::Migration(true) | Scenario::LeaveRequestFullReconnect(true)) => {
                self.reconnect_fully(key);
            }
            Some(Scenario::SubscriberBandwidth(bps)) => {
                if let Some(participant) = self.participants.get_mut(&key) {
                    participant.limit_bps = u64::try_from(bps).ok().filter(|bps| *bps > 0);
                }
                self.allocate(key, step);
            }
            Some(Scenario::SpeakerUpdate(seconds)) => {
                let Some(sid) = self.participants.get(&key).map(|it| it.sid().to_owned()) else {
                    return;
                };
                let speakers = vec![proto::SpeakerInfo {
                    sid,
                    level: 0.9,
                    active: seconds > 0,
                }];
                self.broadcast(
                    &Message::SpeakersChanged(proto::SpeakersChanged { speakers }),
                    None,
                );
            }
            _ => {}
        }
    }

    fn on_update_metadata(
        &mut self,
        key: u64,
        update: proto::UpdateParticipantMetadata,
        step: &mut Step<'_>,
    ) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        let reason = if participant.permission.can_update_metadata {
            match self.set_metadata(
                key,
                Some(update.metadata).filter(|it| !it.is_empty()),
                Some(update.name).filter(|it| !it.is_empty()),
                update.attributes,
            ) {
                Ok(()) => Reason::Ok,
                Err(_) => Reason::LimitExceeded,
            }
        } else {
            Reason::NotAllowed
        };
        self.reply(
            key,
            Message::RequestResponse(proto::RequestResponse {
                request_id: update.request_id,
                reason: reason as i32,
                ..proto::RequestResponse::default()
            }),
        );
        let _ = step;
    }

    /// Changes what others read of a participant; an attribute with an empty value is taken away.
    ///
    /// # Errors
    /// One of the texts is longer than a client may publish.
    pub(super) fn set_metadata(
        &mut self,
        key: u64,
        metadata: Option<String>,
        name: Option<String>,
        attributes: std::collections::HashMap<String, String>,
    ) -> Result<(), &'static str> {
        let Some(participant) = self.participants.get_mut(&key) else {
            return Err("the participant does not exist");
        };
        let mut merged = participant.info.attributes.clone();
        for (name, value) in attributes {
            if value.is_empty() {
                merged.remove(&name);
            } else {
                merged.insert(name, value);
            }
        }
        let bytes: usize = merged
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        if bytes > limits::ATTRIBUTES_BYTES
            || metadata
                .as_ref()
                .is_some_and(|it| it.len() > limits::METADATA_BYTES)
            || name
                .as_ref()
                .is_some_and(|it| it.len() > limits::NAME_BYTES)
        {
            return Err("the text is longer than its limit");
        }
        participant.info.attributes = merged;
        if let Some(metadata) = metadata {
            participant.info.metadata = metadata;
        }
        if let Some(name) = name {
            participant.info.name = name;
        }
        self.announce(key, true);
        Ok(())
    }

    fn update_track(&mut self, key: u64, sid: &str, change: impl FnOnce(&mut Track)) {
        let Some(track) = self
            .tracks
            .values_mut()
            .find(|track| track.owner == key && track.info.sid == sid)
        else {
            return;
        };
        change(track);
        self.announce(key, false);
    }
}

/// What a request takes of the budget: descriptions are work for milliseconds, and a client waits for the
/// answer to one before it sends the next.
fn cost(request: &Request) -> f64 {
    match request {
        Request::Offer(_) | Request::Answer(_) => 5.0,
        _ => 1.0,
    }
}
