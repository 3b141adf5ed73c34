//! Telling listeners in this process what was stored.
//!
//! The bus only wakes; the store is the record. A listener that lags re-reads what it missed
//! from the `events` table, so nothing is lost and nothing waits for a slow reader: the ring of
//! the bus is the one queue, shared by all.

use std::sync::Arc;

use bytes::Bytes;
use meetmind_core::{
    Actor, Event, EventTopic, MeetingId, ParticipantId, Signal, SignalKind, UserId,
};
use tokio::sync::broadcast;

/// How many events a slow listener may be behind before it must re-read.
const CAPACITY: usize = 4096;

/// How many changes of authority a listener may miss before it must check itself.
const AUTHORITY_CAPACITY: usize = 256;

/// What is published.
#[derive(Debug, Clone)]
pub enum Published {
    /// A stored event, with its wire text made once for all listeners.
    Event {
        /// What it is about.
        topic: EventTopic,
        /// The event.
        event: Arc<Event>,
        /// The event as JSON, in UTF-8.
        json: Bytes,
    },
    /// Something that passes.
    Signal {
        /// What it is about.
        topic: EventTopic,
        /// Its type.
        kind: SignalKind,
        /// The signal as JSON, in UTF-8.
        json: Bytes,
    },
}

/// Whose authority may have become less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorityChange {
    /// A user's: a session, a key or the account was ended, or the part in a meeting.
    User(UserId),
    /// That of a guest, who lost the place in the meeting.
    Guest(ParticipantId),
    /// Everybody's in a meeting that went away. Those who listen to the meeting itself hear of
    /// its end as an event; those who listen to its runs do not.
    Meeting(MeetingId),
}

impl AuthorityChange {
    /// Whether it is this actor's.
    pub fn is_of(self, actor: &Actor) -> bool {
        match self {
            Self::User(id) => actor.user_id() == Some(id),
            Self::Guest(id) => {
                matches!(actor, Actor::Guest { participant_id, .. } if *participant_id == id)
            }
            Self::Meeting(_) => false,
        }
    }
}

/// The bus of one process.
#[derive(Debug, Clone)]
pub struct Bus {
    events: broadcast::Sender<Published>,
    authority: broadcast::Sender<AuthorityChange>,
}

impl Bus {
    pub(crate) fn new() -> Self {
        Self {
            events: broadcast::channel(CAPACITY).0,
            authority: broadcast::channel(AUTHORITY_CAPACITY).0,
        }
    }

    /// Listens from now on. `RecvError::Lagged` means: read the store from your last number.
    pub fn subscribe(&self) -> broadcast::Receiver<Published> {
        self.events.subscribe()
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.events.receiver_count()
    }

    pub(crate) fn publish(&self, topic: EventTopic, event: Event) {
        if let Ok(json) = serde_json::to_vec(&event) {
            let _ = self.events.send(Published::Event {
                topic,
                event: Arc::new(event),
                json: json.into(),
            });
        }
    }

    /// Sends what passes; nobody may be listening.
    pub fn signal(&self, topic: EventTopic, signal: &Signal) {
        if let Ok(json) = serde_json::to_vec(signal) {
            let _ = self.events.send(Published::Signal {
                topic,
                kind: signal.kind,
                json: json.into(),
            });
        }
    }

    /// Tells listeners to prove themselves anew. Call it after the commit of the change: open
    /// streams end at once then, and otherwise within a minute.
    pub fn authority_changed(&self, change: AuthorityChange) {
        let _ = self.authority.send(change);
    }

    /// Hears of whose listeners must prove themselves anew. `RecvError::Lagged` means: it may be
    /// you.
    pub fn authority(&self) -> broadcast::Receiver<AuthorityChange> {
        self.authority.subscribe()
    }
}
