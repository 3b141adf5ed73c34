//! Telling listeners in this process what was stored.
//!
//! The bus only wakes; the store is the record. A listener that lags re-reads what it missed
//! from the `events` table, so nothing is lost and nothing waits for a slow reader: the ring of
//! the bus is the one queue, shared by all.

use std::sync::Arc;

use bytes::Bytes;
use meetmind_core::{Event, EventTopic, Signal, UserId};
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
        /// The signal as JSON, in UTF-8.
        json: Bytes,
    },
}

/// The bus of one process.
#[derive(Debug, Clone)]
pub struct Bus {
    events: broadcast::Sender<Published>,
    authority: broadcast::Sender<UserId>,
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
                json: json.into(),
            });
        }
    }

    /// Tells listeners to prove themselves anew, because a session, a key or the account of this
    /// user was ended. Call it after the commit of that change: open streams end at once then,
    /// and otherwise within a minute.
    pub fn authority_changed(&self, user_id: UserId) {
        let _ = self.authority.send(user_id);
    }

    /// Hears of users whose listeners must prove themselves anew. `RecvError::Lagged` means: it
    /// may be you.
    pub fn authority(&self) -> broadcast::Receiver<UserId> {
        self.authority.subscribe()
    }
}
