//! What a machine wants done: datagrams to send and peers to find.

use std::ops::Range;

use super::demux::{Change, Path};

/// What one call of a machine may put out before the rest is dropped: a 1,200-byte packet to 25,000
/// subscribers. A bound, not an aim; the driver sends and empties the outbox long before.
const LIMIT_BYTES: usize = 32 << 20;
/// Above this the buffer's memory is given back after a burst.
const KEEP_BYTES: usize = 1 << 20;

/// Collects the outputs of a [`Machine`](super::Machine). Datagrams lie one after the other in one
/// buffer that is used again, so nothing is allocated per packet.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    datagrams: Vec<Queued>,
    changes: Vec<Change>,
    dropped: u64,
}

/// One datagram in the outbox's buffer.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) path: Path,
    pub(crate) range: Range<usize>,
}

impl Outbox {
    /// An empty outbox. The driver has its own; a test of a machine makes one to look into.
    #[must_use]
    pub fn new() -> Outbox {
        Outbox::default()
    }

    /// Queues a datagram. Order is kept per path. Bytes are copied; the caller keeps its buffer.
    ///
    /// For a transmit of str0m: `protocol` = `proto`, `local` = `source`, `remote` = `destination`.
    pub fn send(&mut self, path: Path, datagram: &[u8]) {
        let start = self.bytes.len();
        if start + datagram.len() > LIMIT_BYTES {
            self.dropped += 1;
            return;
        }
        self.bytes.extend_from_slice(datagram);
        self.datagrams.push(Queued {
            path,
            range: start..self.bytes.len(),
        });
    }

    /// From now on, ICE checks with this local user name fragment go to `peer`. Call it for a new peer
    /// and again after an ICE restart; the last four fragments of a peer are kept.
    pub fn register(&mut self, ufrag: &str, peer: u64) {
        self.changes.push(Change::Register {
            ufrag: ufrag.into(),
            peer,
        });
    }

    /// The peer accepted an ICE check from this path (`Rtc::accepts` said yes, so its integrity was
    /// right): everything else from there belongs to `peer`, also when the path was another peer's.
    /// Cheap to repeat is not: call it when the path is new to the peer, not for each check.
    pub fn accept(&mut self, path: Path, peer: u64) {
        self.changes.push(Change::Accept { path, peer });
    }

    /// The peer is gone: its fragments and paths are removed, its TCP connections closed once what is
    /// queued for them is written.
    pub fn forget(&mut self, peer: u64) {
        self.changes.push(Change::Forget { peer });
    }

    /// The datagrams queued, oldest first.
    pub fn datagrams(&self) -> impl Iterator<Item = (Path, &[u8])> {
        self.datagrams
            .iter()
            .map(|q| (q.path, &self.bytes[q.range.clone()]))
    }

    /// How many datagrams are queued.
    #[must_use]
    pub fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// Whether no datagram is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Empties the outbox: datagrams, changes and all.
    pub fn clear(&mut self) {
        self.clear_datagrams();
        self.changes.clear();
    }

    pub(crate) fn queued(&self) -> (&[Queued], &[u8]) {
        (&self.datagrams, &self.bytes)
    }

    pub(crate) fn clear_datagrams(&mut self) {
        self.datagrams.clear();
        self.bytes.clear();
        if self.bytes.capacity() > KEEP_BYTES {
            self.bytes.shrink_to(KEEP_BYTES);
            self.datagrams.shrink_to(KEEP_BYTES / 1024);
        }
    }

    pub(crate) fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Datagrams that did not fit since the last call.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}
