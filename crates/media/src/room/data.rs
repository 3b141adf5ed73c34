//! Data channels: packets between participants, queued per channel, kept for those who resume.

use std::sync::Arc;
use std::time::Duration;

use livekit_protocol as proto;
use livekit_protocol::data_packet::Value;
use prost::Message as _;
use str0m::channel::ChannelId;

use super::participant::SentPacket;
use super::{Room, Shared, Step};
use crate::peer::{CHANNEL_LABELS, ConnectionKey};

/// Position of the channels in [`CHANNEL_LABELS`].
pub(super) const RELIABLE: usize = 0;
const LOSSY: usize = 1;

/// What may wait in one channel, bytes. Reliable data beyond it means that the client reads nothing: its
/// session is ended rather than that packets are dropped without a word. Lossy data is simply dropped.
const RELIABLE_QUEUE_BYTES: usize = 4 * 1024 * 1024;
const LOSSY_QUEUE_BYTES: usize = 64 * 1024;

/// What is kept of sent reliable packets per participant, to be sent again after a resume.
const REPLAY_BYTES: usize = 1024 * 1024;
const REPLAY_TIME: Duration = Duration::from_secs(30);

/// Below how many unsent bytes a channel is filled again.
const REFILL_BELOW: usize = 64 * 1024;

impl Room {
    pub(super) fn on_channel_open(
        &mut self,
        from: ConnectionKey,
        id: ChannelId,
        label: &str,
        step: &mut Step<'_>,
    ) {
        let Some(index) = CHANNEL_LABELS.iter().position(|it| *it == label) else {
            return;
        };
        let Some(participant) = self.participants.get_mut(&from.participant()) else {
            return;
        };
        // In dual mode the client's own channels only bring data in; ours carry it out.
        if participant.sender().key() != from {
            participant.incoming_channels.insert((from, id), index);
            return;
        }
        participant.incoming_channels.insert((from, id), index);
        let channel = &mut participant.channels[index];
        channel.id = Some(id);
        channel.open = true;
        participant
            .sender()
            .wake_below(id, REFILL_BELOW, step.now, step.out);
        self.touched.push(from);
        self.drain_channel(from.participant(), index, step);
    }

    pub(super) fn on_channel_room(&mut self, key: u64, id: ChannelId, step: &mut Step<'_>) {
        let index = self
            .participants
            .get(&key)
            .and_then(|it| it.channels.iter().position(|it| it.id == Some(id)));
        if let Some(index) = index {
            self.drain_channel(key, index, step);
        }
    }

    /// A packet from a participant: it is stamped with who sent it and goes to whom it names, or to all.
    pub(super) fn on_channel_data(
        &mut self,
        from: ConnectionKey,
        id: ChannelId,
        bytes: &[u8],
        step: &mut Step<'_>,
    ) {
        let key = from.participant();
        let Some(participant) = self.participants.get(&key) else {
            return;
        };
        let Some(index) = participant.incoming_channels.get(&(from, id)).copied() else {
            return;
        };
        if index > LOSSY || !participant.permission.can_publish_data {
            return;
        }
        let Ok(mut packet) = proto::DataPacket::decode(bytes) else {
            return;
        };
        packet.participant_sid = participant.sid().to_owned();
        packet.participant_identity = participant.identity().to_owned();
        stamp(&mut packet, participant.sid(), participant.identity());
        self.send_data(Some(key), packet, index, step);
    }

    /// Sends a packet to those it names, or to everybody but its sender.
    pub(super) fn send_data(
        &mut self,
        from: Option<u64>,
        mut packet: proto::DataPacket,
        index: usize,
        step: &mut Step<'_>,
    ) {
        let names = std::mem::take(&mut packet.destination_identities);
        let sids = match &mut packet.value {
            Some(Value::User(user)) => destination_sids(user),
            _ => Vec::new(),
        };
        let bytes: Shared = Arc::from(packet.encode_to_vec());
        let to: Vec<u64> = self
            .participants
            .values()
            .filter(|it| Some(it.key) != from)
            .filter(|it| {
                (names.is_empty() && sids.is_empty())
                    || names.iter().any(|name| name == it.identity())
                    || sids.iter().any(|sid| sid == it.sid())
            })
            .map(|it| it.key)
            .collect();
        for key in to {
            if index == RELIABLE && packet.sequence != 0 {
                self.remember(key, &packet, &bytes, step);
            }
            self.queue_data(key, index, bytes.clone(), step);
        }
    }

    /// Keeps a reliable packet for a client that may come back and say what it has.
    fn remember(
        &mut self,
        key: u64,
        packet: &proto::DataPacket,
        bytes: &Shared,
        step: &mut Step<'_>,
    ) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        participant.sent_reliable_bytes += bytes.len();
        participant.sent_reliable.push_back(SentPacket {
            publisher_sid: packet.participant_sid.clone(),
            sequence: packet.sequence,
            bytes: bytes.clone(),
            at: step.now,
        });
        while let Some(oldest) = participant.sent_reliable.front() {
            let expired = step.now.saturating_duration_since(oldest.at) > REPLAY_TIME;
            if !expired && participant.sent_reliable_bytes <= REPLAY_BYTES {
                break;
            }
            participant.sent_reliable_bytes -= oldest.bytes.len();
            participant.sent_reliable.pop_front();
        }
    }

    fn queue_data(&mut self, key: u64, index: usize, bytes: Shared, step: &mut Step<'_>) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        let channel = &mut participant.channels[index];
        let most = if index == RELIABLE {
            RELIABLE_QUEUE_BYTES
        } else {
            LOSSY_QUEUE_BYTES
        };
        if channel.waiting_bytes + bytes.len() > most {
            if index == RELIABLE {
                self.on_connection_lost(key, step);
            }
            return;
        }
        channel.waiting_bytes += bytes.len();
        channel.waiting.push_back(bytes);
        self.drain_channel(key, index, step);
    }

    /// Writes what waits, as long as the association takes it.
    fn drain_channel(&mut self, key: u64, index: usize, step: &mut Step<'_>) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        let sender = participant
            .subscriber
            .as_mut()
            .unwrap_or(&mut participant.publisher);
        let channel = &mut participant.channels[index];
        let (Some(id), true) = (channel.id, channel.open) else {
            return;
        };
        let mut wrote = false;
        while let Some(bytes) = channel.waiting.front() {
            if !sender.write_channel(id, bytes, step.now, step.out) {
                break;
            }
            channel.waiting_bytes -= bytes.len();
            channel.waiting.pop_front();
            wrote = true;
        }
        if wrote {
            self.touched.push(sender.key());
        }
    }

    /// After a resume: sends again what the client says it has not received.
    pub(super) fn replay(
        &mut self,
        key: u64,
        states: &[proto::DataChannelReceiveState],
        step: &mut Step<'_>,
    ) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        let again: Vec<Shared> = participant
            .sent_reliable
            .iter()
            .filter(|sent| {
                states
                    .iter()
                    .find(|state| state.publisher_sid == sent.publisher_sid)
                    .is_none_or(|state| sent.sequence > state.last_seq)
            })
            .map(|sent| sent.bytes.clone())
            .collect();
        for bytes in again {
            self.queue_data(key, RELIABLE, bytes, step);
        }
    }
}

/// Older clients read who sent a user packet from the packet within.
fn stamp(packet: &mut proto::DataPacket, sid: &str, identity: &str) {
    if let Some(Value::User(user)) = &mut packet.value {
        #[expect(deprecated, reason = "older clients read these fields still")]
        {
            user.participant_sid = sid.to_owned();
            user.participant_identity = identity.to_owned();
        }
    }
}

/// Older clients address user packets within the packet.
fn destination_sids(user: &mut proto::UserPacket) -> Vec<String> {
    #[expect(deprecated, reason = "older clients write these fields still")]
    std::mem::take(&mut user.destination_sids)
}
