//! Linux: recvmmsg, sendmmsg, and UDP segmentation offload for runs of equal packets to one peer.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmsg,
};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny};

use super::{BATCH, DATAGRAM_BYTES, Received, Tally};
use crate::driver::outbox::Queued;

/// From how many packets on a run is worth a call of its own. See the measurement in the driver's docs.
const RUN: usize = 4;
/// The kernel's limits for one segmented send: UDP_MAX_SEGMENTS and the size of an IP packet.
const RUN_MAX: usize = 64;
const RUN_BYTES: usize = 65_000;

/// Receives batches into buffers of its own.
pub(crate) struct Receiver {
    buffer: Box<[u8]>,
    headers: MultiHeaders<SockaddrStorage>,
    received: Vec<Received>,
}

impl Receiver {
    pub(crate) fn new() -> Receiver {
        Receiver {
            buffer: vec![0; BATCH * DATAGRAM_BYTES].into(),
            headers: MultiHeaders::preallocate(BATCH, None),
            received: Vec::with_capacity(BATCH),
        }
    }

    /// Receives up to [`BATCH`] datagrams; fewer means that the socket is empty.
    pub(crate) fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.received.clear();
        let mut chunks = self.buffer.chunks_exact_mut(DATAGRAM_BYTES);
        let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
            std::array::from_fn(|_| [IoSliceMut::new(chunks.next().unwrap_or_default())]);
        let results = recvmmsg(
            socket.as_raw_fd(),
            &mut self.headers,
            &mut slices,
            MsgFlags::MSG_DONTWAIT,
            None,
        )?;
        for result in results {
            let remote = result.address.as_ref().and_then(|a| {
                let v4 = a.as_sockaddr_in().map(|a| SocketAddr::V4((*a).into()));
                v4.or_else(|| a.as_sockaddr_in6().map(|a| SocketAddr::V6((*a).into())))
            });
            // An address of another family cannot come from a UDP socket; the place is kept all the same.
            let remote = remote.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)));
            let truncated = result.flags.contains(MsgFlags::MSG_TRUNC);
            self.received.push(Received {
                remote,
                len: result.bytes.min(DATAGRAM_BYTES),
                truncated,
            });
        }
        Ok(self.received.len())
    }

    /// The datagrams of the last batch.
    pub(crate) fn batch(&self) -> impl Iterator<Item = (Received, &[u8])> {
        self.received
            .iter()
            .zip(self.buffer.chunks_exact(DATAGRAM_BYTES))
            .map(|(r, chunk)| (*r, &chunk[..r.len]))
    }

    /// One datagram of the last batch.
    pub(crate) fn datagram(&self, index: usize) -> &[u8] {
        let start = index * DATAGRAM_BYTES;
        self.received
            .get(index)
            .and_then(|r| self.buffer.get(start..start + r.len))
            .unwrap_or_default()
    }
}

/// Sends batches.
pub(crate) struct Sender {
    /// Cleared when the kernel or the card cannot segment; then every packet goes as itself.
    segments: bool,
}

impl Sender {
    pub(crate) fn new() -> Sender {
        Sender { segments: true }
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
        let all = Datagrams { queued, bytes };
        let mut rest = which;
        while !rest.is_empty() {
            let run = if self.segments { all.run(rest) } else { 1 };
            let (result, tried) = if run >= RUN {
                (self.send_run(socket, &rest[..run], &all), run)
            } else {
                let mut end = run;
                while end < rest.len() && end < BATCH {
                    let next = if self.segments {
                        all.run(&rest[end..])
                    } else {
                        1
                    };
                    if next >= RUN {
                        break;
                    }
                    end += next;
                }
                let end = end.min(BATCH);
                (send_many(socket, &rest[..end], &all), end)
            };
            tally.calls += 1;
            match result {
                Ok(sent) => {
                    // Fewer than tried: the next call says why.
                    let (done, left) = rest.split_at(sent.min(tried));
                    tally.packets += done.len() as u64;
                    tally.bytes += done.iter().map(|i| all.get(*i).1.len() as u64).sum::<u64>();
                    rest = left;
                }
                Err(Errno::EAGAIN | Errno::ENOBUFS) => {
                    tally.socket_full += rest.len() as u64;
                    return;
                }
                Err(Errno::EINTR) => {}
                Err(_) if run >= RUN => self.segments = false,
                Err(_) => {
                    tally.failed += 1;
                    rest = &rest[1..];
                }
            }
        }
    }

    /// Sends a run as one buffer that the kernel cuts up; returns how many datagrams went.
    fn send_run(
        &self,
        socket: &UdpSocket,
        run: &[u32],
        all: &Datagrams<'_>,
    ) -> Result<usize, Errno> {
        let Some(first) = run.first() else {
            return Ok(0);
        };
        let (remote, datagram) = all.get(*first);
        let slices: Vec<IoSlice<'_>> = run.iter().map(|i| IoSlice::new(all.get(*i).1)).collect();
        let Ok(segment) = u16::try_from(datagram.len()) else {
            return Err(Errno::EMSGSIZE);
        };
        let control = [ControlMessage::UdpGsoSegments(&segment)];
        let to = SockaddrStorage::from(remote);
        sendmsg(
            socket.as_raw_fd(),
            &slices,
            &control,
            MsgFlags::MSG_DONTWAIT,
            Some(&to),
        )
        .map(|_| run.len())
    }
}

/// Sends datagrams to different peers in one call; returns how many of the first went.
fn send_many(socket: &UdpSocket, which: &[u32], all: &Datagrams<'_>) -> Result<usize, Errno> {
    let addresses: Vec<SocketAddrAny> = which.iter().map(|i| all.get(*i).0.into()).collect();
    let slices: Vec<[IoSlice<'_>; 1]> = which
        .iter()
        .map(|i| [IoSlice::new(all.get(*i).1)])
        .collect();
    let mut controls: Vec<SendAncillaryBuffer<'_, '_, '_>> =
        which.iter().map(|_| Default::default()).collect();
    let mut messages: Vec<MMsgHdr<'_>> = addresses
        .iter()
        .zip(&slices)
        .zip(&mut controls)
        .map(|((address, slice), control)| MMsgHdr::new_with_addr(address, slice, control))
        .collect();
    rustix::net::sendmmsg(socket, &mut messages, SendFlags::DONTWAIT)
        .map_err(|e| Errno::from_raw(e.raw_os_error()))
}

/// The outbox's datagrams, by index.
struct Datagrams<'a> {
    queued: &'a [Queued],
    bytes: &'a [u8],
}

impl<'a> Datagrams<'a> {
    fn get(&self, index: u32) -> (SocketAddr, &'a [u8]) {
        let queued = &self.queued[index as usize];
        (queued.path.remote, &self.bytes[queued.range.clone()])
    }

    /// How many datagrams from the first on go to one peer in equal size; the last may be shorter.
    fn run(&self, which: &[u32]) -> usize {
        let Some((first, others)) = which.split_first() else {
            return 0;
        };
        let (remote, datagram) = self.get(*first);
        let size = datagram.len();
        if size == 0 {
            return 1;
        }
        let mut run = 1;
        for index in others.iter().take((RUN_BYTES / size).clamp(1, RUN_MAX) - 1) {
            let (other, next) = self.get(*index);
            if other != remote || next.len() > size || next.is_empty() {
                break;
            }
            run += 1;
            if next.len() < size {
                break;
            }
        }
        run
    }
}
