//! The bounded ways into a shard from other threads: commands, and datagrams that another shard's socket
//! or a TCP connection received.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::demux::Path;

/// Datagrams of a parcel, one after the other in one buffer.
#[derive(Debug, Default)]
pub(crate) struct Parcel {
    bytes: Vec<u8>,
    entries: Vec<(u64, Path, Range<usize>)>,
}

impl Parcel {
    pub(crate) fn push(&mut self, peer: u64, path: Path, datagram: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(datagram);
        self.entries.push((peer, path, start..self.bytes.len()));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, Path, &[u8])> {
        self.entries
            .iter()
            .map(|(peer, path, range)| (*peer, *path, &self.bytes[range.clone()]))
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }
}

/// Datagrams from other threads. The shard swaps its empty parcel for the full one, so both buffers are
/// used again and the lock is held for a copy at most.
#[derive(Debug)]
pub(crate) struct Inbox {
    parcel: Mutex<Parcel>,
    limit_bytes: usize,
}

impl Inbox {
    pub(crate) fn new(limit_bytes: usize) -> Inbox {
        Inbox {
            parcel: Mutex::default(),
            limit_bytes,
        }
    }

    /// Appends as much as fits and empties `from`; returns how many datagrams were dropped, and whether
    /// the shard has to be woken (it sleeps only when the inbox is empty).
    pub(crate) fn append(&self, from: &mut Parcel) -> (u64, bool) {
        let mut parcel = lock(&self.parcel);
        let (wake, mut dropped) = (parcel.entries.is_empty(), 0);
        for (peer, path, datagram) in from.iter() {
            if parcel.bytes.len() + datagram.len() > self.limit_bytes {
                dropped += 1;
            } else {
                parcel.push(peer, path, datagram);
            }
        }
        from.clear();
        (dropped, wake)
    }

    /// Takes what is there; `into` must be empty.
    pub(crate) fn take(&self, into: &mut Parcel) {
        let mut parcel = lock(&self.parcel);
        if !parcel.entries.is_empty() {
            std::mem::swap(&mut *parcel, into);
        }
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.parcel).entries.len()
    }
}

/// Why a command was not taken; gives it back.
#[derive(Debug, thiserror::Error)]
pub enum CommandError<C> {
    /// The shard's queue is full: it cannot keep up, and the caller has to shed load.
    #[error("the shard's command queue is full")]
    Full(C),
    /// The shard has stopped.
    #[error("the shard has stopped")]
    Stopped(C),
}

#[derive(Debug)]
pub(crate) struct Commands<C> {
    queue: Mutex<(VecDeque<C>, bool)>,
    limit: usize,
}

impl<C> Commands<C> {
    pub(crate) fn new(limit: usize) -> Commands<C> {
        Commands {
            queue: Mutex::new((VecDeque::new(), false)),
            limit,
        }
    }

    pub(crate) fn push(&self, command: C, wake: &Notify) -> Result<(), CommandError<C>> {
        let mut queue = lock(&self.queue);
        let (commands, closed) = &mut *queue;
        if *closed {
            return Err(CommandError::Stopped(command));
        }
        if commands.len() >= self.limit {
            return Err(CommandError::Full(command));
        }
        let was_empty = commands.is_empty();
        commands.push_back(command);
        drop(queue);
        if was_empty {
            wake.notify_one();
        }
        Ok(())
    }

    pub(crate) fn pop(&self) -> Option<C> {
        lock(&self.queue).0.pop_front()
    }

    /// From now on commands are refused; those queued can still be taken.
    pub(crate) fn close(&self) {
        lock(&self.queue).1 = true;
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.queue).0.len()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
