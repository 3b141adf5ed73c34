//! What a shard counts. Written by the shard (and, for TCP, its connections), read by anybody at any time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A shard's counters since its start, at one moment. Packets are datagrams or frames, bytes are their
/// contents without headers of UDP or TCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardStats {
    /// Packets given to this shard's machine.
    pub packets_in: u64,
    /// Bytes given to this shard's machine.
    pub bytes_in: u64,
    /// Packets given to the kernel, or to a TCP connection's queue.
    pub packets_out: u64,
    /// Bytes given to the kernel, or to a TCP connection's queue.
    pub bytes_out: u64,
    /// Packets received for a peer of another shard and passed on.
    pub passed_on: u64,
    /// Packets that were dropped, by reason.
    pub dropped: Drops,
    /// Calls of the kernel to send; `packets_out` over it is the mean batch.
    pub sends: u64,
    /// Times the shard went to sleep.
    pub waits: u64,
    /// Time spent working, not waiting.
    pub busy: Duration,
    /// TCP connections of this shard's peers.
    pub tcp_connections: u64,
    /// Commands waiting now.
    pub commands_queued: u64,
    /// Packets from other threads waiting now.
    pub packets_queued: u64,
}

/// Why packets were dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    /// Neither STUN nor DTLS nor RTP, or broken STUN.
    pub malformed: u64,
    /// Larger than a packet of WebRTC may be.
    pub oversized: u64,
    /// An ICE check for no known peer.
    pub unknown_ufrag: u64,
    /// Traffic from a path without an accepted check.
    pub unknown_path: u64,
    /// The queue to the shard of the packet's peer was full.
    pub shard_full: u64,
    /// The socket's send buffer was full.
    pub socket_full: u64,
    /// The kernel refused the packet for another reason (no route, forbidden, too large).
    pub send_failed: u64,
    /// No socket or connection for the path.
    pub no_route: u64,
    /// The TCP connection's queue was full: a slow reader.
    pub tcp_full: u64,
    /// One call of the machine put out more than an outbox holds.
    pub outbox_full: u64,
}

macro_rules! counters {
    ($($name:ident),+ $(,)?) => {
        /// The live counters behind [`ShardStats`].
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub(crate) $name: Counter),+ }
    };
}

counters!(
    packets_in,
    bytes_in,
    packets_out,
    bytes_out,
    passed_on,
    sends,
    waits,
    busy_ns,
    tcp_connections,
    malformed,
    oversized,
    unknown_ufrag,
    unknown_path,
    shard_full,
    socket_full,
    send_failed,
    no_route,
    tcp_full,
    outbox_full,
);

/// One number; order between counters is not promised.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        // Most counters stand still most of the time.
        if n != 0 {
            self.0.fetch_add(n, Relaxed);
        }
    }

    pub(crate) fn subtract(&self, n: u64) {
        self.0.fetch_sub(n, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Counters {
    pub(crate) fn snapshot(&self) -> ShardStats {
        ShardStats {
            packets_in: self.packets_in.get(),
            bytes_in: self.bytes_in.get(),
            packets_out: self.packets_out.get(),
            bytes_out: self.bytes_out.get(),
            passed_on: self.passed_on.get(),
            dropped: Drops {
                malformed: self.malformed.get(),
                oversized: self.oversized.get(),
                unknown_ufrag: self.unknown_ufrag.get(),
                unknown_path: self.unknown_path.get(),
                shard_full: self.shard_full.get(),
                socket_full: self.socket_full.get(),
                send_failed: self.send_failed.get(),
                no_route: self.no_route.get(),
                tcp_full: self.tcp_full.get(),
                outbox_full: self.outbox_full.get(),
            },
            sends: self.sends.get(),
            waits: self.waits.get(),
            busy: Duration::from_nanos(self.busy_ns.get()),
            tcp_connections: self.tcp_connections.get(),
            commands_queued: 0,
            packets_queued: 0,
        }
    }
}
