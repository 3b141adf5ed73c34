//! Strict parsers of the two file formats: everything the formats demand is asserted.

/// One Opus packet of an Ogg file and the granule position of its page.
pub(crate) struct OggFile {
    pub(crate) channels: u8,
    pub(crate) pre_skip: u16,
    pub(crate) packets: Vec<Vec<u8>>,
    pub(crate) granules: Vec<u64>,
    pub(crate) ended: bool,
}

/// Bitwise, so that it shares nothing with the writer's table.
fn crc(bytes: &[u8]) -> u32 {
    let mut crc = 0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            crc = if crc >> 31 == 1 {
                (crc << 1) ^ 0x04c1_1db7
            } else {
                crc << 1
            };
        }
    }
    crc
}

/// Parses whole pages; with `cut`, a partial page at the end is allowed.
pub(crate) fn ogg(mut file: &[u8], cut: bool) -> OggFile {
    let mut packets: Vec<Vec<u8>> = Vec::new();
    let mut granules = Vec::new();
    let mut sequence = 0_u32;
    let mut ended = false;
    let mut serial = None;
    while !file.is_empty() {
        let whole = file.len() >= 27 && {
            let count = usize::from(file[26]);
            file.len() >= 27 + count
                && file.len()
                    >= 27
                        + count
                        + file[27..27 + count]
                            .iter()
                            .map(|l| usize::from(*l))
                            .sum::<usize>()
        };
        if !whole && cut {
            break;
        }
        assert!(whole, "a partial page");
        assert!(!ended, "a page after the end of the stream");
        assert_eq!(&file[..5], b"OggS\0");
        let flags = file[5];
        assert_eq!(flags & 2 != 0, sequence == 0, "beginning of stream");
        assert_eq!(flags & 1, 0, "no packet goes on over pages here");
        ended = flags & 4 != 0;
        let granule = u64::from_le_bytes(file[6..14].try_into().unwrap());
        let this = u32::from_le_bytes(file[14..18].try_into().unwrap());
        assert_eq!(*serial.get_or_insert(this), this);
        assert_eq!(
            u32::from_le_bytes(file[18..22].try_into().unwrap()),
            sequence
        );
        sequence += 1;
        let count = usize::from(file[26]);
        let lacing = &file[27..27 + count];
        let length = 27 + count + lacing.iter().map(|l| usize::from(*l)).sum::<usize>();
        let mut zeroed = file[..length].to_vec();
        let sum = u32::from_le_bytes(zeroed[22..26].try_into().unwrap());
        zeroed[22..26].fill(0);
        assert_eq!(crc(&zeroed), sum, "page {sequence}");
        let mut body = &file[27 + count..length];
        let mut packet = 0;
        for lace in lacing {
            packet += usize::from(*lace);
            if *lace < 255 {
                packets.push(body[..packet].to_vec());
                body = &body[packet..];
                packet = 0;
            }
        }
        assert_eq!(packet, 0, "an unfinished packet");
        granules.push(granule);
        file = &file[length..];
    }
    let head = packets.remove(0);
    assert_eq!(&head[..9], b"OpusHead\x01");
    assert_eq!(head.len(), 19);
    let tags = packets.remove(0);
    assert_eq!(&tags[..8], b"OpusTags");
    assert_eq!(granules[..2], [0, 0]);
    let samples: u64 = packets
        .iter()
        .map(|packet| crate::audio::opus::packet_facts(packet).unwrap().samples as u64)
        .sum();
    if packets.is_empty() {
        return OggFile {
            channels: head[9],
            pre_skip: 0,
            packets,
            granules,
            ended,
        };
    }
    assert_eq!(
        *granules.last().unwrap(),
        samples,
        "the last granule counts all samples"
    );
    assert!(granules.is_sorted());
    let pre_skip = u16::from_le_bytes([head[10], head[11]]);
    OggFile {
        channels: head[9],
        pre_skip,
        packets,
        granules,
        ended,
    }
}

/// One block of a WebM file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) track: u8,
    pub(crate) at_ms: i64,
    pub(crate) key: bool,
    pub(crate) data: Vec<u8>,
}

/// What a WebM file contains.
#[derive(Debug, Default)]
pub(crate) struct WebmFile {
    pub(crate) kind: String,
    pub(crate) codecs: Vec<String>,
    pub(crate) size: Option<(u64, u64)>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) duration_ms: Option<f64>,
    /// Cue times and whether a cluster really begins at each position.
    pub(crate) cues: Vec<(u64, bool)>,
    pub(crate) seeks: usize,
    pub(crate) known_size: bool,
}

fn vint(bytes: &[u8], keep_marker: bool) -> (u64, usize) {
    let length = bytes[0].leading_zeros() as usize + 1;
    let mut value = u64::from(bytes[0]);
    if !keep_marker {
        value &= (1 << (8 - length)) - 1;
    }
    for byte in &bytes[1..length] {
        value = value << 8 | u64::from(*byte);
    }
    (value, length)
}

/// Splits elements; with `cut`, an incomplete one at the end is left out.
fn elements(mut bytes: &[u8], cut: bool) -> Vec<(u64, &[u8])> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        if cut && bytes.len() < 12 {
            break;
        }
        let (id, id_length) = vint(bytes, true);
        let (size, size_length) = vint(&bytes[id_length..], false);
        let start = id_length + size_length;
        let end = start + size as usize;
        if cut && end > bytes.len() {
            break;
        }
        found.push((id, &bytes[start..end]));
        bytes = &bytes[end..];
    }
    found
}

fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

pub(crate) fn webm(file: &[u8], cut: bool) -> WebmFile {
    let mut parsed = WebmFile::default();
    let (id, id_length) = vint(file, true);
    assert_eq!(id, 0x1a45_dfa3);
    let (size, size_length) = vint(&file[id_length..], false);
    let head_end = id_length + size_length + size as usize;
    for (id, content) in elements(&file[id_length + size_length..head_end], false) {
        if id == 0x4282 {
            parsed.kind = String::from_utf8(content.to_vec()).unwrap();
        }
    }
    assert_eq!(file[head_end..head_end + 4], [0x18, 0x53, 0x80, 0x67]);
    let length = number(&file[head_end + 5..head_end + 12]);
    let segment = &file[head_end + 12..];
    parsed.known_size = length != 0x00ff_ffff_ffff_ffff;
    if parsed.known_size {
        assert_eq!(length as usize, segment.len());
    }
    for (id, content) in elements(segment, cut) {
        match id {
            0x114d_9b74 => {
                for (_, seek) in elements(content, false) {
                    let parts = elements(seek, false);
                    let at = number(parts[1].1) as usize;
                    assert_eq!(
                        segment[at..at + 4],
                        *parts[0].1,
                        "a seek entry points elsewhere"
                    );
                    parsed.seeks += 1;
                }
            }
            0x1549_a966 => {
                for (id, content) in elements(content, false) {
                    if id == 0x4489 {
                        let bytes = content.try_into().unwrap();
                        parsed.duration_ms = Some(f64::from_be_bytes(bytes));
                    }
                }
            }
            0x1654_ae6b => tracks(content, &mut parsed),
            0x1f43_b675 => cluster(content, &mut parsed),
            0x1c53_bb6b => {
                for (_, point) in elements(content, false) {
                    let parts = elements(point, false);
                    let at = number(elements(parts[1].1, false)[1].1) as usize;
                    let right = segment[at..at + 4] == [0x1f, 0x43, 0xb6, 0x75];
                    parsed.cues.push((number(parts[0].1), right));
                }
            }
            0xec => {}
            other => panic!("unknown element {other:x}"),
        }
    }
    parsed
}

fn tracks(content: &[u8], parsed: &mut WebmFile) {
    for (_, entry) in elements(content, false) {
        for (id, content) in elements(entry, false) {
            match id {
                0x86 => parsed
                    .codecs
                    .push(String::from_utf8(content.to_vec()).unwrap()),
                0xe0 => {
                    let parts = elements(content, false);
                    parsed.size = Some((number(parts[0].1), number(parts[1].1)));
                }
                _ => {}
            }
        }
    }
}

fn cluster(content: &[u8], parsed: &mut WebmFile) {
    let parts = elements(content, false);
    assert_eq!(parts[0].0, 0xe7, "a cluster begins with its time");
    let start = number(parts[0].1) as i64;
    for (id, block) in &parts[1..] {
        assert_eq!(*id, 0xa3);
        let relative = i16::from_be_bytes([block[1], block[2]]);
        parsed.blocks.push(Block {
            track: block[0] & 0x7f,
            at_ms: start + i64::from(relative),
            key: block[3] & 0x80 != 0,
            data: block[4..].to_vec(),
        });
    }
}
