//! Whose packet is it? One table for all shards: user name fragment → peer for ICE checks, network path
//! → peer for everything else.
//!
//! A reader takes the lock once for a whole batch of datagrams, so that the lock's cache line is not
//! fought over per packet. Writers come only when a peer joins, moves or goes.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use str0m::net::Protocol;

use super::stun::{Kind, classify};

/// More paths than an honest peer has at a time; the oldest gives way.
const PATHS_PER_PEER: usize = 16;
/// The current fragment and that of the ICE restarts around it; the oldest gives way.
const UFRAGS_PER_PEER: usize = 4;

/// The way between one local candidate and one remote address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// UDP, or TCP with the framing of RFC 4571.
    pub protocol: Protocol,
    /// The host candidate (what the answer says), which may be another address than the socket's.
    pub local: SocketAddr,
    /// The peer's address as the socket sees it.
    pub remote: SocketAddr,
}

/// A peer, named by its shard and by the key that the shard's machine gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    pub(crate) shard: usize,
    pub(crate) peer: u64,
}

/// The answer for one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// An ICE check or other traffic of this peer.
    Owner(Owner),
    /// A check for a fragment that nobody registered.
    UnknownUfrag,
    /// Not a check, from a path on which no check was accepted.
    UnknownPath,
    /// Nothing that an ICE peer sends.
    Malformed,
}

/// What a machine told about its peers.
#[derive(Debug)]
pub(crate) enum Change {
    Register { ufrag: Box<str>, peer: u64 },
    Accept { path: Path, peer: u64 },
    Forget { peer: u64 },
}

#[derive(Default)]
struct Tables {
    ufrags: HashMap<Box<str>, Owner>,
    paths: HashMap<Path, Owner>,
    peers: HashMap<Owner, Entries>,
}

/// What points to a peer, oldest first.
#[derive(Default)]
struct Entries {
    ufrags: Vec<Box<str>>,
    paths: Vec<Path>,
}

#[derive(Default)]
pub(crate) struct Demux {
    tables: RwLock<Tables>,
}

/// A consistent view of the table; held for one batch, never while a machine runs.
pub(crate) struct DemuxView<'a>(RwLockReadGuard<'a, Tables>);

impl Demux {
    pub(crate) fn view(&self) -> DemuxView<'_> {
        DemuxView(self.tables.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Applies the changes of one shard, in order.
    pub(crate) fn apply(&self, shard: usize, changes: impl IntoIterator<Item = Change>) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            match change {
                Change::Register { ufrag, peer } => tables.register(ufrag, Owner { shard, peer }),
                Change::Accept { path, peer } => tables.accept(path, Owner { shard, peer }),
                Change::Forget { peer } => tables.forget(Owner { shard, peer }),
            }
        }
    }

    /// Takes a path out that cannot carry anything any more: a closed TCP connection.
    pub(crate) fn close(&self, path: &Path) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        tables.unlink_path(path);
    }

    /// Peers, fragments and paths in the table.
    #[cfg(test)]
    pub(crate) fn sizes(&self) -> (usize, usize, usize) {
        let view = self.view();
        (view.0.peers.len(), view.0.ufrags.len(), view.0.paths.len())
    }
}

impl DemuxView<'_> {
    pub(crate) fn find(&self, path: &Path, datagram: &[u8]) -> Verdict {
        match classify(datagram) {
            Kind::Check { ufrag } => match self.0.ufrags.get(ufrag) {
                Some(owner) => Verdict::Owner(*owner),
                None => Verdict::UnknownUfrag,
            },
            Kind::Established => match self.0.paths.get(path) {
                Some(owner) => Verdict::Owner(*owner),
                None => Verdict::UnknownPath,
            },
            Kind::Malformed => Verdict::Malformed,
        }
    }
}

impl Tables {
    fn register(&mut self, ufrag: Box<str>, owner: Owner) {
        if let Some(holder) = self.ufrags.get(&ufrag) {
            if *holder != owner {
                // Fragments are random: two peers with the same one are a fault of whoever made them.
                tracing::warn!(
                    shard = owner.shard,
                    peer = owner.peer,
                    "ICE user name is taken by another peer"
                );
            }
            return;
        }
        self.ufrags.insert(ufrag.clone(), owner);
        let entries = self.peers.entry(owner).or_default();
        entries.ufrags.push(ufrag);
        if entries.ufrags.len() > UFRAGS_PER_PEER {
            let oldest = entries.ufrags.remove(0);
            self.ufrags.remove(&oldest);
        }
    }

    fn accept(&mut self, path: Path, owner: Owner) {
        match self.paths.get(&path) {
            Some(holder) if *holder == owner => return,
            Some(_) => self.unlink_path(&path),
            None => {}
        }
        // A peer that is gone, or never said its fragment, must not leave an entry behind.
        let Some(entries) = self.peers.get_mut(&owner) else {
            return;
        };
        entries.paths.push(path);
        self.paths.insert(path, owner);
        if entries.paths.len() > PATHS_PER_PEER {
            let oldest = entries.paths.remove(0);
            self.paths.remove(&oldest);
        }
    }

    fn forget(&mut self, owner: Owner) {
        let Some(entries) = self.peers.remove(&owner) else {
            return;
        };
        for ufrag in &entries.ufrags {
            self.ufrags.remove(ufrag);
        }
        for path in &entries.paths {
            self.paths.remove(path);
        }
    }

    fn unlink_path(&mut self, path: &Path) {
        if let Some(owner) = self.paths.remove(path)
            && let Some(entries) = self.peers.get_mut(&owner)
        {
            entries.paths.retain(|p| p != path);
        }
    }
}
