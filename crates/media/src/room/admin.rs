//! What a server call does to a room (LiveKit's `RoomService`).

use livekit_protocol as proto;
use livekit_protocol::DisconnectReason;
use livekit_protocol::data_packet::Value;
use livekit_protocol::signal_response::Message;

use super::{Room, Step, limits};
use crate::peer::TrackKey;
use crate::service::{TwirpCode, TwirpError};
use crate::token::Permissions;

impl Room {
    fn key_of(&self, identity: &str) -> Result<u64, TwirpError> {
        self.by_identity
            .get(identity)
            .copied()
            .ok_or_else(TwirpError::participant_not_found)
    }

    /// One participant, with its tracks.
    pub(crate) fn get_participant(
        &self,
        identity: &str,
    ) -> Result<proto::ParticipantInfo, TwirpError> {
        self.describe_participant(self.key_of(identity)?)
            .ok_or_else(TwirpError::participant_not_found)
    }

    /// Puts a participant out.
    pub(crate) fn remove_participant(
        &mut self,
        identity: &str,
        step: &mut Step<'_>,
    ) -> Result<(), TwirpError> {
        let key = self.key_of(identity)?;
        self.remove(key, DisconnectReason::ParticipantRemoved, true, step);
        Ok(())
    }

    /// Mutes a participant's track, or unmutes it.
    pub(crate) fn mute_published_track(
        &mut self,
        request: &proto::MuteRoomTrackRequest,
        step: &mut Step<'_>,
    ) -> Result<proto::TrackInfo, TwirpError> {
        let key = self.key_of(&request.identity)?;
        let track = self
            .tracks
            .values()
            .find(|track| track.owner == key && track.info.sid == request.track_sid)
            .map(|track| track.key)
            .ok_or_else(TwirpError::track_not_found)?;
        self.set_muted(track, request.muted, true, step);
        self.tracks
            .get(&track)
            .map(|track| track.info.clone())
            .ok_or_else(TwirpError::track_not_found)
    }

    /// Changes a participant's name, metadata, attributes or permissions.
    pub(crate) fn update_participant(
        &mut self,
        request: proto::UpdateParticipantRequest,
        step: &mut Step<'_>,
    ) -> Result<proto::ParticipantInfo, TwirpError> {
        let key = self.key_of(&request.identity)?;
        if let Some(permission) = request.permission {
            self.set_permission(key, permission, step);
        }
        self.set_metadata(
            key,
            Some(request.metadata).filter(|it| !it.is_empty()),
            Some(request.name).filter(|it| !it.is_empty()),
            request.attributes,
        )
        .map_err(too_long)?;
        self.describe_participant(key)
            .ok_or_else(TwirpError::participant_not_found)
    }

    /// New permissions apply at once: what may no longer be published or heard ends.
    fn set_permission(
        &mut self,
        key: u64,
        permission: proto::ParticipantPermission,
        step: &mut Step<'_>,
    ) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        participant.permission = Permissions::from_proto(&permission);
        let forbidden: Vec<TrackKey> = self
            .tracks
            .values()
            .filter(|track| track.owner == key && !participant.may_publish(track.info.source))
            .map(|track| track.key)
            .collect();
        let hears = participant.permission.can_subscribe;
        let heard: Vec<TrackKey> = participant.subscriptions.keys().copied().collect();
        for track in forbidden {
            self.unpublish(track, step);
        }
        if hears {
            self.subscribe_to_all(key, step);
            self.negotiate(key, step);
        } else {
            for track in heard {
                self.unsubscribe(key, track, step);
            }
        }
        self.refresh_token(key, step);
    }

    /// Subscribes a participant to tracks, or ends that.
    pub(crate) fn update_subscriptions(
        &mut self,
        request: proto::UpdateSubscriptionsRequest,
        step: &mut Step<'_>,
    ) -> Result<(), TwirpError> {
        let key = self.key_of(&request.identity)?;
        let update = proto::UpdateSubscription {
            track_sids: request.track_sids,
            subscribe: request.subscribe,
            participant_tracks: request.participant_tracks,
        };
        self.on_subscription(key, &update, step);
        self.settle(step);
        Ok(())
    }

    /// Sends data in the server's name.
    pub(crate) fn send_room_data(&mut self, request: proto::SendDataRequest, step: &mut Step<'_>) {
        let lossy = request.kind == proto::data_packet::Kind::Lossy as i32;
        #[expect(deprecated, reason = "older servers address by these fields still")]
        let user = proto::UserPacket {
            payload: request.data,
            topic: request.topic,
            nonce: request.nonce,
            destination_sids: request.destination_sids,
            ..proto::UserPacket::default()
        };
        let packet = proto::DataPacket {
            destination_identities: request.destination_identities,
            value: Some(Value::User(user)),
            ..proto::DataPacket::default()
        };
        self.send_data(None, packet, usize::from(lossy), step);
        self.settle(step);
    }

    /// Changes the room's metadata.
    pub(crate) fn update_metadata(&mut self, metadata: String) -> Result<proto::Room, TwirpError> {
        if metadata.len() > limits::METADATA_BYTES {
            return Err(too_long("the metadata is longer than its limit"));
        }
        self.info.metadata = metadata;
        let room = self.describe();
        self.broadcast(
            &Message::RoomUpdate(proto::RoomUpdate {
                room: Some(room.clone()),
            }),
            None,
        );
        Ok(room)
    }

    /// Whether a recording of the room runs; every client is told.
    pub(super) fn set_recording(&mut self, active: bool) {
        if self.info.active_recording == active {
            return;
        }
        self.info.active_recording = active;
        let room = self.describe();
        self.broadcast(
            &Message::RoomUpdate(proto::RoomUpdate { room: Some(room) }),
            None,
        );
    }
}

fn too_long(what: &str) -> TwirpError {
    TwirpError::new(TwirpCode::InvalidArgument, what)
}
