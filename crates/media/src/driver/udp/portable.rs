//! Any Unix: one call of the kernel per datagram.

use std::io;
use std::net::UdpSocket;

use super::{BATCH, DATAGRAM_BYTES, Received, Tally};
use crate::driver::outbox::Queued;

/// Receives batches into buffers of its own.
pub(crate) struct Receiver {
    buffer: Box<[u8]>,
    received: Vec<Received>,
}

impl Receiver {
    pub(crate) fn new() -> Receiver {
        // One byte more each: there is no flag that says that a datagram was cut.
        Receiver {
            buffer: vec![0; BATCH * (DATAGRAM_BYTES + 1)].into(),
            received: Vec::with_capacity(BATCH),
        }
    }

    /// Receives up to [`BATCH`] datagrams; fewer means that the socket is empty.
    pub(crate) fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.received.clear();
        for chunk in self.buffer.chunks_exact_mut(DATAGRAM_BYTES + 1) {
            match socket.recv_from(chunk) {
                Ok((len, remote)) => {
                    let truncated = len > DATAGRAM_BYTES;
                    self.received.push(Received {
                        remote,
                        len: len.min(DATAGRAM_BYTES),
                        truncated,
                    });
                }
                Err(error) if self.received.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(self.received.len())
    }

    /// The datagrams of the last batch.
    pub(crate) fn batch(&self) -> impl Iterator<Item = (Received, &[u8])> {
        self.received
            .iter()
            .zip(self.buffer.chunks_exact(DATAGRAM_BYTES + 1))
            .map(|(r, chunk)| (*r, &chunk[..r.len]))
    }

    /// One datagram of the last batch.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn datagram(&self, index: usize) -> &[u8] {
        let start = index * (DATAGRAM_BYTES + 1);
        self.received
            .get(index)
            .and_then(|r| self.buffer.get(start..start + r.len))
            .unwrap_or_default()
    }
}

/// Sends batches.
pub(crate) struct Sender;

impl Sender {
    pub(crate) fn new() -> Sender {
        Sender
    }

    /// Sends the datagrams `which` in order. Never blocks: when the socket's buffer is full the rest is
    /// dropped and counted.
    pub(crate) fn send(
        &mut self,
        socket: &UdpSocket,
        which: &[u32],
        queued: &[Queued],
        bytes: &[u8],
        tally: &mut Tally,
    ) {
        for (done, index) in which.iter().enumerate() {
            let datagram = &queued[*index as usize];
            tally.calls += 1;
            match socket.send_to(&bytes[datagram.range.clone()], datagram.path.remote) {
                Ok(sent) => {
                    tally.packets += 1;
                    tally.bytes += sent as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    tally.socket_full += (which.len() - done) as u64;
                    return;
                }
                Err(_) => tally.failed += 1,
            }
        }
    }
}
