//! ICE-TCP (RFC 6544), the passive side: peers connect, and speak in frames of RFC 4571.

mod connection;
mod framing;
mod listener;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::demux::Path;

#[cfg(test)]
pub(crate) use self::framing::{Framer, write as write_frame};
pub(crate) use self::listener::{Listeners, bind};

/// Memory that a connection's empty buffer may keep.
const KEEP_BYTES: usize = 16 << 10;

/// The open connections of one shard's peers.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: Mutex<HashMap<Path, Arc<Outgoing>>>,
}

impl Connections {
    /// A view for one flush.
    pub(crate) fn view(&self) -> MutexGuard<'_, HashMap<Path, Arc<Outgoing>>> {
        lock(&self.open)
    }

    /// Closes the connections of a peer once their queues are written.
    pub(crate) fn close_peer(&self, peer: u64) {
        for outgoing in self.view().values().filter(|o| o.peer == peer) {
            outgoing.close();
        }
    }

    pub(crate) fn any(&self) -> bool {
        !self.view().is_empty()
    }

    /// Whether any connection has something to write.
    pub(crate) fn pending(&self) -> bool {
        self.view().values().any(|o| o.pending())
    }
}

/// The bounded way out of one connection.
#[derive(Debug)]
pub(crate) struct Outgoing {
    peer: u64,
    queue: Mutex<Queue>,
    limit_bytes: usize,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    frames: Vec<u8>,
    writing: bool,
    closed: bool,
}

impl Outgoing {
    fn new(peer: u64, limit_bytes: usize) -> Outgoing {
        Outgoing {
            peer,
            queue: Mutex::default(),
            limit_bytes,
            wake: Notify::new(),
        }
    }

    /// Queues a packet as a frame; `false` when the reader is too slow and the packet is dropped.
    pub(crate) fn push(&self, datagram: &[u8]) -> bool {
        let mut queue = lock(&self.queue);
        if queue.closed || queue.frames.len() + datagram.len() > self.limit_bytes {
            return false;
        }
        let was_empty = queue.frames.is_empty();
        let fits = framing::write(datagram, &mut queue.frames);
        drop(queue);
        if was_empty {
            self.wake.notify_one();
        }
        fits
    }

    fn close(&self) {
        lock(&self.queue).closed = true;
        self.wake.notify_one();
    }

    fn pending(&self) -> bool {
        let queue = lock(&self.queue);
        queue.writing || !queue.frames.is_empty()
    }

    /// Waits for frames and swaps them into `frames`, whose old content has been written; `false` when
    /// the connection is to be closed.
    async fn take(&self, frames: &mut Vec<u8>) -> bool {
        frames.clear();
        if frames.capacity() > KEEP_BYTES {
            *frames = Vec::new();
        }
        loop {
            {
                let mut queue = lock(&self.queue);
                queue.writing = !queue.frames.is_empty();
                if queue.writing {
                    std::mem::swap(&mut queue.frames, frames);
                    return true;
                }
                if queue.closed {
                    return false;
                }
            }
            self.wake.notified().await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
