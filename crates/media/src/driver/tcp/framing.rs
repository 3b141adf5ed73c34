//! RFC 4571: each packet on a stream is preceded by its length in two bytes.

use crate::driver::udp::DATAGRAM_BYTES;

/// Bytes asked of the connection at a time, and so the most that waits beside an unfinished frame.
const CHUNK: usize = 4096;
const LENGTH_BYTES: usize = 2;

/// A frame longer than any packet of WebRTC; the stream cannot be trusted any more.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {0} bytes")]
pub(crate) struct FrameTooLong(usize);

/// Cuts a stream into frames. Holds less than one frame and one chunk.
#[derive(Debug, Default)]
pub(crate) struct Framer {
    buffer: Vec<u8>,
    /// Where the bytes not yet given out begin.
    start: usize,
}

impl Framer {
    /// The buffer to read into: append at most what it has room for.
    pub(crate) fn space(&mut self) -> &mut Vec<u8> {
        self.buffer.drain(..self.start);
        self.start = 0;
        if self.buffer.capacity() - self.buffer.len() < CHUNK {
            self.buffer.reserve_exact(CHUNK);
        }
        &mut self.buffer
    }

    /// The next whole frame. Empty frames carry nothing and are skipped.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, FrameTooLong> {
        loop {
            let rest = self.buffer.get(self.start..).unwrap_or_default();
            let Some((length, rest)) = rest.split_first_chunk::<LENGTH_BYTES>() else {
                return Ok(None);
            };
            let length = usize::from(u16::from_be_bytes(*length));
            if length > DATAGRAM_BYTES {
                return Err(FrameTooLong(length));
            }
            if rest.len() < length {
                return Ok(None);
            }
            let at = self.start + LENGTH_BYTES;
            self.start = at + length;
            if length > 0 {
                return Ok(self.buffer.get(at..self.start));
            }
        }
    }

    /// The next whole frame, which stays.
    pub(crate) fn peek(&mut self) -> Result<Option<&[u8]>, FrameTooLong> {
        let Some(length) = self.next()?.map(<[u8]>::len) else {
            return Ok(None);
        };
        let end = self.start;
        self.start -= LENGTH_BYTES + length;
        Ok(self.buffer.get(end - length..end))
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.buffer.capacity()
    }
}

/// Appends a frame; `false` when it is longer than a frame can say.
pub(crate) fn write(datagram: &[u8], to: &mut Vec<u8>) -> bool {
    let Ok(length) = u16::try_from(datagram.len()) else {
        return false;
    };
    to.extend_from_slice(&length.to_be_bytes());
    to.extend_from_slice(datagram);
    true
}
