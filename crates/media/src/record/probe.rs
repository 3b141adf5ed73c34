//! Reads how long a recorded file plays and how much of it is whole: for files whose process died.
//!
//! Only files of [`super::ogg`] and [`super::webm`] are understood. A file is read once, in pieces, and
//! never held in memory.

use std::io::{self, Read, Seek, SeekFrom};

/// The longest page or element head that is looked at, in bytes.
const HEAD: usize = 27 + 255;

/// What a file holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Probe {
    /// How long it plays.
    pub duration_ms: u64,
    /// Bytes up to the end of the last whole page or cluster: what follows can be cut off.
    pub whole_bytes: u64,
}

/// An Ogg file with one Opus stream.
///
/// # Errors
/// When the file cannot be read.
pub fn ogg(file: &mut (impl Read + Seek)) -> io::Result<Probe> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut probe = Probe::default();
    let mut head = [0; HEAD];
    loop {
        let at = probe.whole_bytes;
        file.seek(SeekFrom::Start(at))?;
        let got = read_up_to(file, &mut head)?;
        // A second beginning is none of ours.
        if got < 27 || head[..5] != *b"OggS\0" || (at > 0 && head[5] & 0x02 != 0) {
            return Ok(probe);
        }
        let segments = usize::from(head[26]);
        if got < 27 + segments {
            return Ok(probe);
        }
        let body: u64 = head[27..27 + segments]
            .iter()
            .map(|length| u64::from(*length))
            .sum();
        let end = at + 27 + segments as u64 + body;
        if end > length {
            return Ok(probe);
        }
        let mut granule = [0; 8];
        granule.copy_from_slice(&head[6..14]);
        // Headers and pages without a whole packet have no position of their own.
        let granule = u64::from_le_bytes(granule);
        if granule != u64::MAX {
            probe.duration_ms = granule / 48;
        }
        probe.whole_bytes = end;
    }
}

/// A WebM or Matroska file of ours.
///
/// # Errors
/// When the file cannot be read.
pub fn webm(file: &mut (impl Read + Seek)) -> io::Result<Probe> {
    const SEGMENT: u32 = 0x1853_8067;
    const CLUSTER: u32 = 0x1f43_b675;
    const EBML: u32 = 0x1a45_dfa3;
    let length = file.seek(SeekFrom::End(0))?;
    let mut probe = Probe::default();
    let mut at = 0;
    while let Some(element) = element_at(file, at)? {
        let content = at + element.head;
        if element.id == SEGMENT {
            // Its length may be open; what is in it follows in any case.
            at = content;
            probe.whole_bytes = at;
            continue;
        }
        let Some(end) = element
            .size
            .and_then(|size| content.checked_add(size))
            .filter(|end| *end <= length)
        else {
            break;
        };
        if at == 0 && element.id != EBML {
            break;
        }
        if element.id == CLUSTER {
            probe.duration_ms = probe.duration_ms.max(cluster_end(file, content, end)?);
        }
        probe.whole_bytes = end;
        at = end;
    }
    Ok(probe)
}

/// The time of a cluster's last block, in ms.
fn cluster_end(file: &mut (impl Read + Seek), mut at: u64, end: u64) -> io::Result<u64> {
    let (mut start, mut last) = (0, 0);
    while at < end {
        let Some(element) = element_at(file, at)? else {
            break;
        };
        let content = at + element.head;
        let size = element.size.unwrap_or(0);
        let mut bytes = [0; 8];
        file.seek(SeekFrom::Start(content))?;
        match element.id {
            0xe7 if size <= 8 => {
                let width = usize::try_from(size).unwrap_or(0);
                let got = read_up_to(file, &mut bytes[..width])?;
                start = bytes[..got]
                    .iter()
                    .fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
            }
            0xa3 if read_up_to(file, &mut bytes[..3])? == 3 => {
                let lag = i16::from_be_bytes([bytes[1], bytes[2]]);
                last = last.max(start.saturating_add_signed(i64::from(lag)));
            }
            _ => {}
        }
        at = content + size;
    }
    Ok(last.max(start))
}

struct Element {
    id: u32,
    /// Bytes of id and size.
    head: u64,
    /// None for an open end.
    size: Option<u64>,
}

/// The head of an EBML element (RFC 8794); none at the end and for what is no element.
fn element_at(file: &mut (impl Read + Seek), at: u64) -> io::Result<Option<Element>> {
    let mut bytes = [0; 12];
    file.seek(SeekFrom::Start(at))?;
    let got = read_up_to(file, &mut bytes)?;
    let bytes = &bytes[..got];
    let Some(first) = bytes.first() else {
        return Ok(None);
    };
    let id_length = first.leading_zeros() as usize + 1;
    if id_length > 4 || bytes.len() <= id_length {
        return Ok(None);
    }
    let id = bytes[..id_length]
        .iter()
        .fold(0, |id, byte| id << 8 | u32::from(*byte));
    let rest = &bytes[id_length..];
    let size_length = rest[0].leading_zeros() as usize + 1;
    if size_length > 8 || rest.len() < size_length {
        return Ok(None);
    }
    let raw = rest[..size_length]
        .iter()
        .fold(0, |size, byte| size << 8 | u64::from(*byte));
    let size = raw & !(1 << (7 * size_length));
    let open = size == (1 << (7 * size_length)) - 1;
    Ok(Some(Element {
        id,
        head: (id_length + size_length) as u64,
        size: (!open).then_some(size),
    }))
}

/// Reads until the buffer is full or the file ends.
fn read_up_to(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(count) => got += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}
