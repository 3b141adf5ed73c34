//! Joining, resuming and leaving.

use std::collections::{HashMap, VecDeque};

use livekit_protocol as proto;
use livekit_protocol::DisconnectReason;
use livekit_protocol::participant_info::State;
use livekit_protocol::signal_response::Message;

use super::event::RoomEventKind;
use super::participant::{Budget, Mode, Participant, SignalSink};
use super::quality::Quality;
use super::{Room, Step, enabled_codecs, limits};
use crate::forward::Allocator;
use crate::peer::{CHANNEL_LABELS, Connection, ConnectionKey, ConnectionRole, SendSections};
use crate::signal::join::Join;

/// Why somebody was not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The room holds as many as it may.
    #[error("the room is full")]
    Full,
    /// The server is going down.
    #[error("the server is shutting down")]
    Draining,
}

/// Seconds between a client's pings, and without one before it counts as gone.
const PING_INTERVAL_S: i32 = 5;
const PING_TIMEOUT_S: i32 = 15;

impl Room {
    /// Lets a participant in. Answers the generation of its signal connection.
    ///
    /// # Errors
    /// The room is full.
    pub(crate) fn join(
        &mut self,
        key: u64,
        join: Join,
        sink: SignalSink,
        step: &mut Step<'_>,
    ) -> Result<u64, Refusal> {
        if let Some(old) = self.by_identity.get(&join.identity).copied() {
            self.remove(old, DisconnectReason::DuplicateIdentity, true, step);
        }
        let most = match self.info.max_participants {
            0 => limits::PARTICIPANTS,
            most => (most as usize).min(limits::PARTICIPANTS),
        };
        let present = self
            .participants
            .values()
            .filter(|it| !it.permission.hidden)
            .count();
        if present >= most {
            return Err(Refusal::Full);
        }
        let now = step.now;
        let wall_ms = step.wall_ms();
        let single = join.single_peer_connection;
        let info = proto::ParticipantInfo {
            sid: step.sid("PA_"),
            identity: join.identity.clone(),
            name: join.claims.name.clone(),
            metadata: join.claims.metadata.clone(),
            attributes: join.claims.attributes.clone().into_iter().collect(),
            state: State::Joined as i32,
            joined_at: wall_ms / 1000,
            joined_at_ms: wall_ms,
            version: 0,
            kind: join.claims.participant_kind() as i32,
            client_protocol: join.client.client_protocol,
            ..proto::ParticipantInfo::default()
        };
        let connection = |role, out: &mut _| {
            let key = ConnectionKey::new(key, role);
            Connection::new(key, &step.settings.transport, now, out)
        };
        let publisher = connection(ConnectionRole::Publisher, step.out);
        let subscriber = (!single).then(|| connection(ConnectionRole::Subscriber, step.out));
        let mut participant = Participant {
            key,
            info,
            permission: join.permissions,
            claims: join.claims,
            mode: if single { Mode::Single } else { Mode::Dual },
            signal: Some(sink),
            generation: 1,
            auto_subscribe: join.auto_subscribe,
            publisher,
            subscriber,
            sections: SendSections::new(!single),
            pending_offer: None,
            offer_again: false,
            offer_id: 0,
            incoming: HashMap::new(),
            subscriptions: HashMap::new(),
            allocator: Allocator::new(),
            estimate_bps: None,
            measured_since: None,
            limit_bps: None,
            desired_bps: 0,
            quality: Quality::default(),
            channels: Default::default(),
            incoming_channels: HashMap::new(),
            sent_reliable: VecDeque::new(),
            sent_reliable_bytes: 0,
            listeners: None,
            refreshed_at: now,
            last_signal_at: now,
            joined_at: now,
            gone_since: None,
            budget: Budget::new(now),
        };
        let own = proto::ParticipantInfo {
            permission: Some(participant.permission.to_proto()),
            ..participant.info.clone()
        };
        let response = proto::JoinResponse {
            room: Some(self.describe()),
            participant: Some(own),
            other_participants: self.describe_participants(),
            server_version: step.settings.server.version.clone(),
            ice_servers: step.settings.ice_servers(participant.sid(), now),
            subscriber_primary: !single,
            client_configuration: Some(proto::ClientConfiguration::default()),
            ping_timeout: PING_TIMEOUT_S,
            ping_interval: PING_INTERVAL_S,
            server_info: Some(step.settings.server.clone()),
            sif_trailer: step.settings.sif_trailer.clone(),
            enabled_publish_codecs: enabled_codecs(),
            fast_publish: participant.permission.can_publish,
            ..proto::JoinResponse::default()
        };
        participant.send(Message::Join(response));
        self.by_identity.insert(join.identity, key);
        self.participants.insert(key, participant);
        self.had_participants = true;
        self.empty_since = None;
        self.announce(key, false);
        for request in join.add_track_requests {
            self.add_track(key, request, step);
        }
        if !single {
            self.open_channels(key, step);
        }
        self.subscribe_to_all(key, step);
        match join.publisher_offer {
            Some(offer) => self.on_offer(key, &offer, step),
            None => self.negotiate(key, step),
        }
        self.settle(step);
        Ok(1)
    }

    /// The dual mode's server opens the data channels, with its first offer.
    fn open_channels(&mut self, key: u64, step: &mut Step<'_>) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        let Some(subscriber) = participant.subscriber.as_mut() else {
            return;
        };
        let (channels, offer) = subscriber.open_channels(step.now, step.out);
        for (label, id) in channels {
            if let Some(index) = CHANNEL_LABELS.iter().position(|it| *it == label) {
                participant.channels[index].id = Some(id);
            }
        }
        if let Some((offer, pending)) = offer {
            self.send_offer(key, &offer, pending, step);
        }
    }

    /// A client returns on a new signal connection and keeps its media. Answers the generation of the
    /// connection, or none when there is nothing to resume: then the client has to join anew.
    pub(crate) fn resume(
        &mut self,
        join: &Join,
        sink: SignalSink,
        step: &mut Step<'_>,
    ) -> Option<(u64, u64)> {
        let key = *self.by_identity.get(&join.identity)?;
        let room = self.describe();
        let everybody = self.describe_participants();
        let participant = self.participants.get_mut(&key)?;
        if participant.sid() != join.participant_sid {
            return None;
        }
        participant.generation += 1;
        let generation = participant.generation;
        participant.signal = Some(sink);
        participant.gone_since = None;
        participant.last_signal_at = step.now;
        // `reconnect` must be the first message; the whole state follows, since anything may have been missed.
        participant.send(Message::Reconnect(proto::ReconnectResponse {
            ice_servers: step.settings.ice_servers(participant.sid(), step.now),
            client_configuration: Some(proto::ClientConfiguration::default()),
            server_info: Some(step.settings.server.clone()),
            last_message_seq: 0,
        }));
        participant.send(Message::Update(proto::ParticipantUpdate {
            participants: everybody,
        }));
        participant.send(Message::RoomUpdate(proto::RoomUpdate { room: Some(room) }));
        self.refresh_token(key, step);
        // An offer may have been lost with the old signal, or its answer; taken twice it does no harm.
        if let Some(participant) = self.participants.get_mut(&key)
            && let Some(pending) = &mut participant.pending_offer
        {
            pending.since = step.now;
            let again = pending.description.clone();
            participant.send(Message::Offer(again));
        }
        // With one connection, state and offer may come with the request itself.
        if let Some(state) = &join.sync_state {
            self.on_sync_state(key, state, step);
        }
        match &join.publisher_offer {
            Some(offer) => self.on_offer(key, offer, step),
            None => self.negotiate(key, step),
        }
        self.settle(step);
        Some((key, generation))
    }

    /// The signal connection of that generation is gone; the media may go on until it returns.
    pub(crate) fn signal_closed(&mut self, key: u64, generation: u64, step: &mut Step<'_>) {
        if let Some(participant) = self.participants.get_mut(&key)
            && participant.generation == generation
        {
            participant.signal = None;
            participant.gone_since.get_or_insert(step.now);
        }
    }

    /// A peer connection ended on its own.
    pub(super) fn on_connection_lost(&mut self, key: u64, step: &mut Step<'_>) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        participant.gone_since.get_or_insert(step.now);
        // A dead instance cannot be revived by a resume: the client has to come back with new ones.
        participant.send(Message::Leave(proto::LeaveRequest {
            can_reconnect: true,
            reason: DisconnectReason::MediaFailure as i32,
            action: proto::leave_request::Action::Reconnect as i32,
            regions: None,
        }));
    }

    /// Takes a participant out; with `tell`, it is told why and not to come back by itself.
    pub(crate) fn remove(
        &mut self,
        key: u64,
        reason: DisconnectReason,
        tell: bool,
        step: &mut Step<'_>,
    ) {
        let tracks: Vec<_> = self
            .tracks
            .values()
            .filter(|track| track.owner == key)
            .map(|track| track.key)
            .collect();
        for track in tracks {
            self.unpublish(track, step);
        }
        let Some(mut participant) = self.participants.remove(&key) else {
            return;
        };
        step.left.push(key);
        self.by_identity.remove(participant.identity());
        if tell {
            participant.send(Message::Leave(proto::LeaveRequest {
                can_reconnect: false,
                reason: reason as i32,
                action: proto::leave_request::Action::Disconnect as i32,
                regions: None,
            }));
        }
        for track in participant.subscriptions.keys() {
            self.forget_subscriber(*track, key);
            self.wanted_changed(*track, key, step);
        }
        let was_active = participant.is_active();
        participant.info.state = State::Disconnected as i32;
        participant.info.disconnect_reason = reason as i32;
        participant.info.version += 1;
        let info = proto::ParticipantInfo {
            permission: Some(participant.permission.to_proto()),
            ..participant.info.clone()
        };
        for connection in participant.connections() {
            connection.close(step.now, step.out);
        }
        self.speakers.remove(participant.sid());
        if !participant.permission.hidden {
            self.broadcast(
                &Message::Update(proto::ParticipantUpdate {
                    participants: vec![info.clone()],
                }),
                None,
            );
        }
        let kind = if was_active {
            RoomEventKind::Left(info)
        } else {
            RoomEventKind::Aborted(info)
        };
        self.emit(kind, step);
        if self.participants.is_empty() {
            self.empty_since = Some(step.now);
        }
    }

    /// The server goes down: everybody is told to come back, and may do so at once elsewhere.
    pub(crate) fn drain(&mut self, step: &mut Step<'_>) {
        for participant in self.participants.values_mut() {
            participant.send(Message::Leave(proto::LeaveRequest {
                can_reconnect: true,
                reason: DisconnectReason::ServerShutdown as i32,
                action: proto::leave_request::Action::Reconnect as i32,
                regions: None,
            }));
            for connection in participant.connections() {
                connection.close(step.now, step.out);
            }
        }
    }

    /// Ends the room for everybody.
    pub(crate) fn finish(&mut self, reason: DisconnectReason, step: &mut Step<'_>) {
        let everybody: Vec<u64> = self.participants.keys().copied().collect();
        for key in everybody {
            self.remove(key, reason, true, step);
        }
        if !self.finished {
            self.finished = true;
            self.emit(RoomEventKind::Finished, step);
        }
    }
}
