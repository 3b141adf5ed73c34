//! One connection of a known peer; runs on the thread of the peer's shard.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, timeout, timeout_at};

use super::framing::{FrameTooLong, Framer};
use super::listener::Admission;
use super::{Outgoing, lock};
use crate::driver::config::TcpLimits;
use crate::driver::demux::{Demux, Owner, Path, Verdict};
use crate::driver::inbox::Parcel;
use crate::driver::link::Link;

/// A connection whose first frame named a peer.
pub(crate) struct Connection {
    pub(crate) path: Path,
    pub(crate) owner: Owner,
    pub(crate) link: Arc<Link>,
    pub(crate) demux: Arc<Demux>,
    pub(crate) limits: TcpLimits,
    /// What was read so far, the first frame included.
    pub(crate) framer: Framer,
    /// Counts the connection until it ends.
    pub(crate) admission: Admission,
}

/// Takes the connection out of all tables, however its task ends.
struct Entry {
    path: Path,
    link: Arc<Link>,
    demux: Arc<Demux>,
    _admission: Admission,
}

impl Drop for Entry {
    fn drop(&mut self) {
        lock(&self.link.tcp.open).remove(&self.path);
        self.demux.close(&self.path);
        self.link.counters.tcp_connections.subtract(1);
    }
}

impl Connection {
    /// Serves the connection until either side closes it, a limit is passed or the shard ends.
    pub(crate) async fn run(self, stream: std::net::TcpStream) {
        let Connection {
            path,
            owner,
            link,
            demux,
            limits,
            framer,
            admission,
        } = self;
        let outgoing = Arc::new(Outgoing::new(owner.peer, limits.queue_bytes));
        lock(&link.tcp.open).insert(path, outgoing.clone());
        link.counters.tcp_connections.add(1);
        let _entry = Entry {
            path,
            link: link.clone(),
            demux: demux.clone(),
            _admission: admission,
        };
        let Ok(stream) = TcpStream::from_std(stream) else {
            return;
        };
        let (read, write) = stream.into_split();
        let incoming = Incoming {
            path,
            owner,
            link,
            demux,
            parcel: Parcel::default(),
        };
        // The two halves end each other.
        let result = tokio::select! {
            result = incoming.read(read, framer, limits.idle) => result,
            result = write_frames(write, &outgoing, limits.stalled_write) => result,
        };
        match result {
            Ok(()) => {}
            Err(error) => {
                tracing::debug!(remote = %path.remote, %error, "ICE-TCP connection ended")
            }
        }
    }
}

struct Incoming {
    path: Path,
    owner: Owner,
    link: Arc<Link>,
    demux: Arc<Demux>,
    parcel: Parcel,
}

impl Incoming {
    async fn read(
        mut self,
        mut stream: OwnedReadHalf,
        mut framer: Framer,
        idle: Duration,
    ) -> io::Result<()> {
        let mut last = Instant::now();
        loop {
            if self
                .deliver(&mut framer)
                .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?
            {
                last = Instant::now();
            }
            let Ok(read) = timeout_at(last + idle, stream.read_buf(framer.space())).await else {
                return Err(io::ErrorKind::TimedOut.into());
            };
            if read? == 0 {
                return Ok(());
            }
        }
    }

    /// Hands the whole frames to the shard; returns whether there were any for the connection's peer.
    fn deliver(&mut self, framer: &mut Framer) -> Result<bool, FrameTooLong> {
        let (mut no_ufrag, mut no_path, mut malformed) = (0, 0, 0);
        let view = self.demux.view();
        let result = loop {
            match framer.next() {
                Ok(Some(frame)) => match view.find(&self.path, frame) {
                    Verdict::Owner(owner) if owner == self.owner => {
                        self.parcel.push(owner.peer, self.path, frame)
                    }
                    // One connection, one peer: a check for another one has its own connection.
                    Verdict::Owner(_) | Verdict::UnknownPath => no_path += 1,
                    Verdict::UnknownUfrag => no_ufrag += 1,
                    Verdict::Malformed => malformed += 1,
                },
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        drop(view);
        let any = self.parcel.len() > 0;
        let counters = &self.link.counters;
        if any {
            counters.shard_full.add(self.link.deliver(&mut self.parcel));
        }
        counters.unknown_ufrag.add(no_ufrag);
        counters.unknown_path.add(no_path);
        counters.malformed.add(malformed);
        result.map(|()| any)
    }
}

async fn write_frames(
    mut stream: OwnedWriteHalf,
    outgoing: &Outgoing,
    stalled: Duration,
) -> io::Result<()> {
    let mut frames = Vec::new();
    while outgoing.take(&mut frames).await {
        let mut rest = frames.as_slice();
        while !rest.is_empty() {
            let Ok(written) = timeout(stalled, stream.write(rest)).await else {
                return Err(io::ErrorKind::TimedOut.into());
            };
            match written? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => rest = rest.get(n..).unwrap_or_default(),
            }
        }
    }
    stream.shutdown().await
}
