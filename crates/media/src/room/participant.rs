//! A participant of a room: who it is, its signal, its connections, what it listens to.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use livekit_protocol as proto;
use livekit_protocol::signal_response::Message;
use str0m::change::SdpPendingOffer;
use str0m::channel::ChannelId;
use str0m::media::{MediaKind, Mid, Pt};
use str0m::rtp::Ssrc;
use tokio::sync::mpsc;

use super::quality::Quality;
use crate::forward::{Allocator, Forwarder, LayerIndex};
use crate::peer::{Connection, ConnectionKey, Outgoing, SendSections, TrackKey};
use crate::token::{Claims, Permissions};

/// The way out of one signal connection; the driver's side encodes and writes.
pub(crate) type SignalSink = mpsc::Sender<proto::SignalResponse>;

/// How many peer connections the client uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One, offered by the client (`/rtc/v1`).
    Single,
    /// One for each direction (`/rtc`).
    Dual,
}

/// What one participant receives of one track.
pub(crate) struct Subscription {
    pub(crate) track: TrackKey,
    pub(crate) kind: MediaKind,
    /// The section it is sent on.
    pub(crate) mid: Option<Mid>,
    pub(crate) forwarder: Option<Forwarder>,
    /// The publisher's payload types and what they are called towards this subscriber.
    pub(crate) payload_types: Vec<(Pt, Option<Outgoing>)>,
    /// Whether the section was negotiated, so that packets may flow.
    pub(crate) negotiated: bool,
    /// Whether the publisher was told of its first subscriber.
    pub(crate) announced: bool,
    /// What the client asked of this track (`track_setting`).
    pub(crate) settings: proto::UpdateTrackSettings,
    /// What the allocator decided: the layer, none while paused; and the highest VP8 temporal layer.
    pub(crate) target: Option<LayerIndex>,
    pub(crate) max_temporal: u8,
}

/// An offer of ours that the client has not answered.
pub(crate) struct PendingOffer {
    pub(crate) changes: SdpPendingOffer,
    /// As it was sent, to be sent again after a resume.
    pub(crate) description: proto::SessionDescription,
    pub(crate) since: Instant,
}

/// Data that waits for room in a channel.
#[derive(Default)]
pub(crate) struct ChannelQueue {
    pub(crate) id: Option<ChannelId>,
    pub(crate) open: bool,
    pub(crate) waiting: VecDeque<std::sync::Arc<[u8]>>,
    pub(crate) waiting_bytes: usize,
}

/// One participant.
pub(crate) struct Participant {
    pub(crate) key: u64,
    /// What the others see, without the tracks.
    pub(crate) info: proto::ParticipantInfo,
    pub(crate) permission: Permissions,
    /// What the token said, to be said again in a fresh one.
    pub(crate) claims: Claims,
    pub(crate) mode: Mode,
    /// The signal connection that serves the participant now.
    pub(crate) signal: Option<SignalSink>,
    /// Counts the signal connections of one session; messages of an older one are ignored.
    pub(crate) generation: u64,
    pub(crate) auto_subscribe: bool,
    pub(crate) publisher: Connection,
    pub(crate) subscriber: Option<Connection>,
    /// The sections of the connection that sends to the client.
    pub(crate) sections: SendSections,
    pub(crate) pending_offer: Option<PendingOffer>,
    /// Something changed while an offer was out.
    pub(crate) offer_again: bool,
    pub(crate) offer_id: u32,
    /// Incoming streams that have been placed.
    pub(crate) incoming: HashMap<Ssrc, (TrackKey, LayerIndex)>,
    pub(crate) subscriptions: HashMap<TrackKey, Subscription>,
    pub(crate) allocator: Allocator,
    /// What can be sent to the client, bit/s, as estimated and as limited for a test.
    pub(crate) estimate_bps: Option<u64>,
    /// Since when the estimate rests on feedback from the client; before, it is a guess.
    pub(crate) measured_since: Option<Instant>,
    pub(crate) limit_bps: Option<u64>,
    /// What the probe was last told to reach, bit/s.
    pub(crate) desired_bps: u64,
    pub(crate) quality: Quality,
    /// Reliable, lossy, data track: in the order of [`crate::peer::CHANNEL_LABELS`].
    pub(crate) channels: [ChannelQueue; 3],
    /// Which channel a stream of which connection is, for data that comes in.
    pub(crate) incoming_channels: HashMap<(ConnectionKey, ChannelId), usize>,
    /// Reliable packets sent lately, kept to be sent again after a resume.
    pub(crate) sent_reliable: VecDeque<SentPacket>,
    pub(crate) sent_reliable_bytes: usize,
    /// Who may listen, when the participant restricts it.
    pub(crate) listeners: Option<proto::SubscriptionPermission>,
    /// When the token that refreshes itself was last sent.
    pub(crate) refreshed_at: Instant,
    pub(crate) last_signal_at: Instant,
    pub(crate) joined_at: Instant,
    /// Since when nothing reaches the client: its signal or its media is gone.
    pub(crate) gone_since: Option<Instant>,
    /// Requests left in the current second.
    pub(crate) budget: Budget,
}

/// One reliable packet as it went to a participant.
pub(crate) struct SentPacket {
    pub(crate) publisher_sid: String,
    pub(crate) sequence: u32,
    pub(crate) bytes: std::sync::Arc<[u8]>,
    pub(crate) at: Instant,
}

/// A bucket of requests: so many at once, so many per second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    tokens: f64,
    at: Instant,
}

impl Budget {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            tokens: Self::BURST,
            at: now,
        }
    }

    /// A client that joins a full room subscribes, adjusts and mutes in one burst of some hundreds.
    const BURST: f64 = 500.0;
    const PER_SECOND: f64 = 100.0;

    /// Takes what a request costs; false when the client asks more than a person's client ever does.
    pub(crate) fn take(&mut self, cost: f64, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.tokens = (self.tokens + passed * Self::PER_SECOND).min(Self::BURST);
        if self.tokens < cost {
            return false;
        }
        self.tokens -= cost;
        true
    }
}

impl Participant {
    /// Sends one message to the client. A client that does not read its signal loses it: the session
    /// then has to be resumed, which begins with the whole state.
    pub(crate) fn send(&mut self, message: Message) {
        let Some(signal) = &self.signal else { return };
        let response = proto::SignalResponse {
            message: Some(message),
        };
        if signal.try_send(response).is_err() {
            self.signal = None;
        }
    }

    /// The connection that sends to the client.
    pub(crate) fn sender(&mut self) -> &mut Connection {
        self.subscriber.as_mut().unwrap_or(&mut self.publisher)
    }

    /// Every connection of the participant.
    pub(crate) fn connections(&mut self) -> impl Iterator<Item = &mut Connection> {
        [Some(&mut self.publisher), self.subscriber.as_mut()]
            .into_iter()
            .flatten()
    }

    pub(crate) fn is_active(&self) -> bool {
        self.info.state == proto::participant_info::State::Active as i32
    }

    /// Whether the participant may publish from this source.
    pub(crate) fn may_publish(&self, source: i32) -> bool {
        let source = proto::TrackSource::try_from(source).unwrap_or(proto::TrackSource::Unknown);
        self.permission.may_publish(source)
    }

    pub(crate) fn identity(&self) -> &str {
        &self.info.identity
    }

    pub(crate) fn sid(&self) -> &str {
        &self.info.sid
    }
}
