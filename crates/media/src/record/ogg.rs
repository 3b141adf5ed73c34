//! Writes Ogg files with one Opus stream (RFC 3533, RFC 7845) into anything that takes bytes.
//!
//! A page is written when it is complete, at the latest after one second of sound, and never touched
//! again: a file that ends in the middle plays up to its last whole page.

use std::io::{self, Write};

use crate::audio::opus::{FRAME_SAMPLES, Layout, SAMPLE_RATE_HZ, packet_facts};

/// Sound in one page at most, in samples: what a crash loses.
const PAGE_SAMPLES: u64 = SAMPLE_RATE_HZ as u64;

/// The encoder delay to declare for packets of an unknown encoder: libopus' own, 6.5 ms.
pub const COMMON_PRE_SKIP: u16 = 312;

/// 20 ms of silence: a full-band CELT packet whose frame says "silence".
pub const SILENT_PACKET: [u8; 3] = [0xf8, 0xff, 0xfe];

/// 120 ms of silence: six of those frames in one packet, so that an hour of pause costs 0.5 MB.
const LONG_SILENT_PACKET: [u8; 14] = [
    0xfb, 0x06, 0xff, 0xfe, 0xff, 0xfe, 0xff, 0xfe, 0xff, 0xfe, 0xff, 0xfe, 0xff, 0xfe,
];
const LONG_SILENT_SAMPLES: u64 = 5_760;

/// A packet may lie this far before the end of what is written, in samples (60 ms), before it is left
/// out so that the file keeps wall time.
const MAX_LEAD_SAMPLES: u64 = 2_880;

/// A gap is filled from this size on, in samples (40 ms): smaller ones are jitter of the clocks.
const MIN_GAP_SAMPLES: u64 = 1_920;

/// What the headers of a file say.
#[derive(Debug, Clone)]
pub struct OggOptions {
    /// One channel or two at the player.
    pub layout: Layout,
    /// Samples a player drops from the beginning: the encoder's delay.
    pub pre_skip: u16,
    /// The stream's number; any value, different for files that may be joined.
    pub serial: u32,
    /// `NAME=value` comments. More than 60 kB of them are cut off.
    pub comments: Vec<(String, String)>,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Written, after so many samples of silence.
    After(u64),
    /// Left out: its place in time is already taken, or it is not an Opus packet.
    LeftOut,
}

/// An Ogg/Opus file in the making.
#[derive(Debug)]
pub struct OggOpusWriter<W: Write> {
    out: W,
    serial: u32,
    sequence: u32,
    /// Samples written or pending.
    position: u64,
    page: Page,
    bytes: u64,
    finished: bool,
}

#[derive(Debug, Default)]
struct Page {
    lacing: Vec<u8>,
    body: Vec<u8>,
    samples: u64,
}

impl<W: Write> OggOpusWriter<W> {
    /// Writes the two header pages.
    ///
    /// # Errors
    /// What the sink answers.
    pub fn new(out: W, options: &OggOptions) -> io::Result<Self> {
        let mut writer = OggOpusWriter {
            out,
            serial: options.serial,
            sequence: 0,
            position: 0,
            page: Page::default(),
            bytes: 0,
            finished: false,
        };
        writer
            .page
            .add(&opus_head(options.layout, options.pre_skip), 0);
        writer.write_page(0x02, 0)?;
        writer.page.add(&opus_tags(&options.comments), 0);
        writer.write_page(0, 0)?;
        Ok(writer)
    }

    /// Writes one packet untouched. `at` is where it belongs, in samples from the start of the file.
    /// Gaps of 40 ms and more before it are filled with silence; packets that come 60 ms or more too
    /// early for what is already written are left out, so that a fast crystal does not carry the file
    /// away from wall time (100 ppm cost one packet of 20 ms in 200 s).
    ///
    /// # Errors
    /// What the sink answers.
    pub fn packet(&mut self, at: u64, packet: &[u8]) -> io::Result<Written> {
        let Ok(facts) = packet_facts(packet) else {
            return Ok(Written::LeftOut);
        };
        if self.finished || at + MAX_LEAD_SAMPLES <= self.position {
            return Ok(Written::LeftOut);
        }
        let filled = self.silence_until(at)?;
        self.push(packet, facts.samples as u64)?;
        Ok(Written::After(filled))
    }

    /// Fills with silence up to the time `at`, in samples from the start of the file, if that is 40 ms
    /// or more away; returns how many samples were filled.
    ///
    /// # Errors
    /// What the sink answers.
    pub fn silence_until(&mut self, at: u64) -> io::Result<u64> {
        let frame = FRAME_SAMPLES as u64;
        let gap = at.saturating_sub(self.position);
        if gap < MIN_GAP_SAMPLES || self.finished {
            return Ok(0);
        }
        let fill = gap / frame * frame;
        let mut left = fill;
        while left >= LONG_SILENT_SAMPLES {
            self.push(&LONG_SILENT_PACKET, LONG_SILENT_SAMPLES)?;
            left -= LONG_SILENT_SAMPLES;
        }
        while left >= frame {
            self.push(&SILENT_PACKET, frame)?;
            left -= frame;
        }
        Ok(fill)
    }

    /// Writes the pending page now.
    ///
    /// # Errors
    /// What the sink answers.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.page.lacing.is_empty() {
            return Ok(());
        }
        self.write_page(0, self.granule())
    }

    /// Writes the last page, marked as the end of the stream. Nothing can be written after it.
    ///
    /// # Errors
    /// What the sink answers.
    pub fn finish(&mut self) -> io::Result<()> {
        if self.finished {
            return Ok(());
        }
        self.finished = true;
        self.write_page(0x04, self.granule())
    }

    /// The length of the sound so far, in samples.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Bytes handed to the sink so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The sink, to take what was written out of it.
    pub fn sink(&mut self) -> &mut W {
        &mut self.out
    }

    /// The granule position counts every decoded sample, the pre-skip's among them: players subtract it
    /// (RFC 7845, 4).
    fn granule(&self) -> u64 {
        self.position
    }

    fn push(&mut self, packet: &[u8], samples: u64) -> io::Result<()> {
        let segments = packet.len() / 255 + 1;
        // A full page waits for the next packet: the last page of a file must end with a packet
        // (RFC 7845, 4), because players look there for the length.
        if self.page.samples >= PAGE_SAMPLES || self.page.lacing.len() + segments > 255 {
            self.flush()?;
        }
        self.page.add(packet, samples);
        self.position += samples;
        Ok(())
    }

    fn write_page(&mut self, flags: u8, granule: u64) -> io::Result<()> {
        let Page { lacing, body, .. } = std::mem::take(&mut self.page);
        let mut page = Vec::with_capacity(27 + lacing.len() + body.len());
        page.extend_from_slice(b"OggS\0");
        page.push(flags);
        page.extend_from_slice(&granule.to_le_bytes());
        page.extend_from_slice(&self.serial.to_le_bytes());
        page.extend_from_slice(&self.sequence.to_le_bytes());
        page.extend_from_slice(&[0; 4]);
        // `push` keeps pages at 255 segments, headers are cut to fit.
        page.push(lacing.len() as u8);
        page.extend_from_slice(&lacing);
        page.extend_from_slice(&body);
        let crc = page_crc(&page);
        page[22..26].copy_from_slice(&crc.to_le_bytes());
        self.sequence += 1;
        self.bytes += page.len() as u64;
        self.out.write_all(&page)
    }
}

impl Page {
    fn add(&mut self, packet: &[u8], samples: u64) {
        self.lacing
            .extend(std::iter::repeat_n(255, packet.len() / 255));
        self.lacing.push((packet.len() % 255) as u8);
        self.body.extend_from_slice(packet);
        self.samples += samples;
    }
}

/// The identification header (RFC 7845, 5.1); also WebM's private data of an Opus track.
pub fn opus_head(layout: Layout, pre_skip: u16) -> Vec<u8> {
    let mut head = Vec::with_capacity(19);
    head.extend_from_slice(b"OpusHead");
    head.push(1);
    head.push(layout.channels() as u8);
    head.extend_from_slice(&pre_skip.to_le_bytes());
    head.extend_from_slice(&SAMPLE_RATE_HZ.to_le_bytes());
    // No output gain; mapping family 0.
    head.extend_from_slice(&[0, 0, 0]);
    head
}

/// The comment header (RFC 7845, 5.2), kept within one page.
fn opus_tags(comments: &[(String, String)]) -> Vec<u8> {
    const ROOM_BYTES: usize = 60_000;
    const VENDOR: &str = "MeetMind";
    let mut entries = Vec::new();
    let mut count = 0_u32;
    for (name, value) in comments {
        let entry = format!("{}={value}", name.replace('=', "_"));
        if entries.len() + entry.len() + 4 > ROOM_BYTES {
            break;
        }
        entries.extend_from_slice(&(entry.len() as u32).to_le_bytes());
        entries.extend_from_slice(entry.as_bytes());
        count += 1;
    }
    let mut tags = Vec::with_capacity(24 + entries.len());
    tags.extend_from_slice(b"OpusTags");
    tags.extend_from_slice(&(VENDOR.len() as u32).to_le_bytes());
    tags.extend_from_slice(VENDOR.as_bytes());
    tags.extend_from_slice(&count.to_le_bytes());
    tags.extend_from_slice(&entries);
    tags
}

const CRC_TABLE: [u32; 256] = crc_table();

const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = (index as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 0x8000_0000 != 0 {
                (value << 1) ^ 0x04c1_1db7
            } else {
                value << 1
            };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

/// Ogg's checksum (RFC 3533, 6): CRC-32 with polynomial 0x04c11db7, not reflected, starting at zero.
fn page_crc(page: &[u8]) -> u32 {
    page.iter().fold(0, |crc, byte| {
        (crc << 8) ^ CRC_TABLE[usize::from((crc >> 24) as u8 ^ byte)]
    })
}
