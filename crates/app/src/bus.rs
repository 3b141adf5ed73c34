//! Telling listeners in this process what was stored.
//!
//! The bus only wakes; the store is the record. A listener that lags re-reads what it missed
//! from the `events` table, so nothing is lost and nothing waits for a slow reader.

use std::sync::Arc;

use meetmind_core::{Event, EventTopic, Signal};
use tokio::sync::broadcast;

/// How many events a slow listener may be behind before it must re-read.
const CAPACITY: usize = 4096;

/// What is published.
#[derive(Debug, Clone)]
pub enum Published {
    /// A stored event, with its wire text made once for all listeners.
    Event {
        /// What it is about.
        topic: EventTopic,
        /// The event.
        event: Arc<Event>,
        /// The event as JSON.
        json: Arc<str>,
    },
    /// Something that passes.
    Signal {
        /// What it is about.
        topic: EventTopic,
        /// The signal as JSON.
        json: Arc<str>,
    },
}

/// The bus of one process.
#[derive(Debug, Clone)]
pub struct Bus(broadcast::Sender<Published>);

impl Bus {
    pub(crate) fn new() -> Self {
        Self(broadcast::channel(CAPACITY).0)
    }

    /// Listens from now on. `RecvError::Lagged` means: read the store from your last number.
    pub fn subscribe(&self) -> broadcast::Receiver<Published> {
        self.0.subscribe()
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.0.receiver_count()
    }

    pub(crate) fn publish(&self, topic: EventTopic, event: Event) {
        if let Ok(json) = serde_json::to_string(&event) {
            let _ = self.0.send(Published::Event {
                topic,
                event: Arc::new(event),
                json: json.into(),
            });
        }
    }

    /// Sends what passes; nobody may be listening.
    pub fn signal(&self, topic: EventTopic, signal: &Signal) {
        if let Ok(json) = serde_json::to_string(signal) {
            let _ = self.0.send(Published::Signal {
                topic,
                json: json.into(),
            });
        }
    }
}
