//! What other threads see of a shard.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::inbox::{Inbox, Parcel};
use super::stats::Counters;
use super::tcp::Connections;

/// The shared side of one shard.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) index: usize,
    pub(crate) inbox: Inbox,
    /// Wakes the shard; several wake-ups before it looks are one.
    pub(crate) wake: Notify,
    pub(crate) counters: Counters,
    pub(crate) tcp: Connections,
    /// The shard's reactor, for the connections of its peers.
    pub(crate) runtime: Handle,
    stopping: AtomicBool,
}

impl Link {
    pub(crate) fn new(index: usize, inbox_bytes: usize, runtime: Handle) -> Link {
        Link {
            index,
            inbox: Inbox::new(inbox_bytes),
            wake: Notify::new(),
            counters: Counters::default(),
            tcp: Connections::default(),
            runtime,
            stopping: AtomicBool::new(false),
        }
    }

    /// Hands datagrams to the shard; `from` is empty afterwards. Returns how many were dropped.
    pub(crate) fn deliver(&self, from: &mut Parcel) -> u64 {
        let (dropped, wake) = self.inbox.append(from);
        if wake {
            self.wake.notify_one();
        }
        dropped
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}
