//! What a room hands to a recording: a queue between the thread that forwards packets and the one that
//! writes files.
//!
//! The forwarding thread never waits: it holds the lock for one push, wakes nobody, and drops packets
//! when the other side is behind. What is not a packet is never dropped; its number is bounded by the
//! room's own limits.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::spec::{TrackCodec, TrackPacket};

/// Packets that may wait: at 5,000 a second (fifty people with cameras) three seconds.
const MAX_PACKETS: usize = 16_384;

/// Bytes of payloads that may wait.
const MAX_BYTES: usize = 16 << 20;

/// Why a track is not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// No file can be made of its codec here.
    UnsupportedCodec,
    /// It is encrypted end to end: the server cannot hear it.
    Encrypted,
    /// Its owner does not let everybody in the room have it.
    Restricted,
}

impl SkipReason {
    /// The word for clients.
    pub fn as_str(self) -> &'static str {
        match self {
            SkipReason::UnsupportedCodec => "unsupported_codec",
            SkipReason::Encrypted => "encrypted",
            SkipReason::Restricted => "restricted",
        }
    }
}

/// Something of a room that a recording has to know, in the order in which it happened.
#[derive(Debug, Clone)]
pub enum TapEvent {
    /// A track sent its first packet.
    Started {
        /// The participant's identity.
        participant: String,
        /// Whether the participant is an agent, by its token.
        agent: bool,
        /// The track's sid.
        track: Arc<str>,
        /// What it carries.
        codec: TrackCodec,
        /// When.
        at: Instant,
    },
    /// A track flows that is not recorded.
    Skipped {
        /// The participant's identity.
        participant: String,
        /// The track's sid.
        track: Arc<str>,
        /// What it carries, such as `video/AV1`.
        mime: String,
        /// Why.
        reason: SkipReason,
    },
    /// A packet of a track that started.
    Packet {
        /// The track's sid.
        track: Arc<str>,
        /// The packet.
        packet: TrackPacket,
    },
    /// A track ended.
    Ended {
        /// The track's sid.
        track: Arc<str>,
        /// When.
        at: Instant,
    },
    /// A participant allows or forbids to be recorded.
    Consent {
        /// The participant's identity.
        participant: String,
        /// Whether it allows it.
        allowed: bool,
        /// Since when.
        at: Instant,
    },
    /// Whether agents, who are not asked, are recorded.
    Agents {
        /// Whether they are.
        allowed: bool,
        /// Since when.
        at: Instant,
    },
}

/// The queue of one recording.
#[derive(Debug, Default)]
pub struct Tap {
    state: Mutex<State>,
    stopped: Condvar,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<TapEvent>,
    packets: usize,
    bytes: usize,
    dropped: u64,
    stop: bool,
    closed: bool,
}

impl Tap {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked did so between two pushes, which is no bad state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters something. A packet is dropped, and counted, when too many wait; everything is ignored when
    /// nobody reads any more.
    pub fn push(&self, event: TapEvent) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        if let TapEvent::Packet { packet, .. } = &event {
            let bytes = packet.payload.len();
            if state.packets >= MAX_PACKETS || state.bytes + bytes > MAX_BYTES {
                state.dropped += 1;
                return;
            }
            state.packets += 1;
            state.bytes += bytes;
        }
        state.events.push_back(event);
    }

    /// Asks the reader to finish: what is in the queue is the end of the recording.
    pub fn stop(&self) {
        self.lock().stop = true;
        self.stopped.notify_all();
    }

    /// Takes everything that waits; before that, rests for `at_most` unless it is to stop. The flag says
    /// whether it is.
    pub fn take(&self, at_most: Duration) -> (VecDeque<TapEvent>, bool) {
        let mut state = self.lock();
        if !state.stop {
            state = self
                .stopped
                .wait_timeout_while(state, at_most, |state| !state.stop)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        state.packets = 0;
        state.bytes = 0;
        (std::mem::take(&mut state.events), state.stop)
    }

    /// Nothing is read any more.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.events = VecDeque::new();
    }

    /// Packets dropped so far because the reader was behind.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }
}
