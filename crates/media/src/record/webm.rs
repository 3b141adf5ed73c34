//! Writes WebM and Matroska files (RFC 9559) with one video track, one Opus track or both.
//!
//! The file begins as a live stream: a segment of unknown length, and clusters that are written whole and
//! never touched again, so a file that ends in the middle plays up to its last cluster. At the end
//! an index of key frames is appended, and the few places before it that had to be left open (length,
//! duration, table of contents) are handed out as [`Patch`]es for a sink that can overwrite; without them
//! the file plays as well, players only have to search.

use std::io::{self, Write};

use super::bitstream::PictureSize;
use super::ogg::opus_head;
use crate::audio::opus::{Layout, SAMPLE_RATE_HZ};

/// A cluster is written at the latest after this time: what a crash loses.
const CLUSTER_MS: u64 = 2_000;

/// A cluster is written at the latest when it is this long.
const CLUSTER_BYTES: usize = 8 << 20;

/// Room for the table of contents: three entries of 21 bytes, and what announces them.
const SEEK_ROOM: usize = 80;

/// Index entries at most: key frames of a day at two per second would be more than players like.
const MAX_CUES: usize = 50_000;

/// The codec of a video track, as the file names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebmVideoCodec {
    /// `V_VP8`.
    Vp8,
    /// `V_VP9`.
    Vp9,
    /// `V_MPEG4/ISO/AVC` with its decoder configuration; makes the file Matroska, not WebM.
    H264 {
        /// The `AVCDecoderConfigurationRecord`.
        configuration: Vec<u8>,
    },
}

/// What the headers of a file say. At least one track.
#[derive(Debug, Clone, Default)]
pub struct WebmOptions {
    /// The video track.
    pub video: Option<(WebmVideoCodec, PictureSize)>,
    /// The Opus track: channels, and the encoder's delay in samples.
    pub audio: Option<(Layout, u16)>,
}

/// A track of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebmTrack {
    /// The video track, number 1.
    Video,
    /// The Opus track, number 2.
    Audio,
}

/// Bytes that replace others of the same length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Where, in bytes from the start of the file.
    pub at: u64,
    /// The new bytes.
    pub bytes: Vec<u8>,
}

#[derive(Debug)]
struct Cluster {
    start_ms: u64,
    blocks: Vec<u8>,
    /// Time of the first key frame, for the index.
    key_ms: Option<u64>,
}

/// A WebM file in the making.
#[derive(Debug)]
pub struct WebmWriter<W: Write> {
    out: W,
    bytes: u64,
    /// Where the segment's data begins; positions in the index count from here.
    segment_start: u64,
    info_at: u64,
    duration_at: u64,
    tracks_at: u64,
    cluster: Option<Cluster>,
    cues: Vec<(u64, u64)>,
    main_track: WebmTrack,
    last_ms: [u64; 2],
    end_ms: u64,
    finished: bool,
}

impl<W: Write> WebmWriter<W> {
    /// Writes the headers.
    ///
    /// # Errors
    /// What the sink answers, or `InvalidInput` when there is no track.
    pub fn new(out: W, options: &WebmOptions) -> io::Result<Self> {
        if options.video.is_none() && options.audio.is_none() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a file without tracks",
            ));
        }
        let matroska = matches!(options.video, Some((WebmVideoCodec::H264 { .. }, _)));
        let mut head = element(0x1a45_dfa3, &ebml_header(matroska));
        // The segment, its length unknown.
        head.extend_from_slice(&[0x18, 0x53, 0x80, 0x67, 0x01]);
        head.extend_from_slice(&[0xff; 7]);
        let segment_start = head.len() as u64;
        head.extend_from_slice(&void(SEEK_ROOM));
        let info_at = head.len() as u64;
        let (info, duration_offset) = segment_info();
        head.extend_from_slice(&info);
        let tracks_at = head.len() as u64;
        head.extend_from_slice(&element(0x1654_ae6b, &track_entries(options)));
        let mut writer = WebmWriter {
            out,
            bytes: 0,
            segment_start,
            info_at,
            duration_at: info_at + duration_offset as u64,
            tracks_at,
            cluster: None,
            cues: Vec::new(),
            main_track: if options.video.is_some() {
                WebmTrack::Video
            } else {
                WebmTrack::Audio
            },
            last_ms: [0; 2],
            end_ms: 0,
            finished: false,
        };
        writer.write(&head)?;
        Ok(writer)
    }

    /// Adds a frame at `at_ms` from the start of the file. Times of one track that run backwards are held
    /// at the latest one. `lasts_ms` is only used for the file's duration.
    ///
    /// # Errors
    /// What the sink answers.
    pub fn frame(
        &mut self,
        track: WebmTrack,
        at_ms: u64,
        lasts_ms: u64,
        key: bool,
        data: &[u8],
    ) -> io::Result<()> {
        if self.finished {
            return Ok(());
        }
        let (number, last_ms) = match track {
            WebmTrack::Video => (1_u8, &mut self.last_ms[0]),
            WebmTrack::Audio => (2, &mut self.last_ms[1]),
        };
        let at_ms = at_ms.max(*last_ms);
        *last_ms = at_ms;
        let main_key = key && track == self.main_track;
        let begin_anew = self.cluster.as_ref().is_some_and(|cluster| {
            let age = at_ms.saturating_sub(cluster.start_ms);
            // A key frame begins a cluster, so that seeking lands on it; but sound alone has only those.
            (main_key && (track == WebmTrack::Video || age >= CLUSTER_MS / 2))
                || age >= CLUSTER_MS
                || cluster.blocks.len() + data.len() > CLUSTER_BYTES
        });
        if begin_anew {
            self.flush()?;
        }
        let cluster = self.cluster.get_or_insert_with(|| Cluster {
            start_ms: at_ms,
            blocks: Vec::new(),
            key_ms: None,
        });
        // Within a cluster times are 16 bits wide; one track may lag behind the cluster's start.
        let lag = at_ms as i64 - cluster.start_ms as i64;
        let relative = lag.clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i16;
        if main_key && cluster.key_ms.is_none() {
            cluster.key_ms = Some(at_ms);
        }
        let mut header = vec![0x80 | number];
        header.extend_from_slice(&relative.to_be_bytes());
        header.push(if key { 0x80 } else { 0 });
        cluster.blocks.push(0xa3);
        cluster
            .blocks
            .extend_from_slice(&size((header.len() + data.len()) as u64));
        cluster.blocks.extend_from_slice(&header);
        cluster.blocks.extend_from_slice(data);
        self.end_ms = self.end_ms.max(at_ms + lasts_ms);
        Ok(())
    }

    /// Writes the pending cluster now.
    ///
    /// # Errors
    /// What the sink answers.
    pub fn flush(&mut self) -> io::Result<()> {
        let Some(cluster) = self.cluster.take() else {
            return Ok(());
        };
        let position = self.bytes - self.segment_start;
        if let Some(key_ms) = cluster.key_ms
            && self.cues.len() < MAX_CUES
        {
            self.cues.push((key_ms, position));
        }
        let mut content = uint(0xe7, cluster.start_ms);
        content.extend_from_slice(&cluster.blocks);
        self.write(&element(0x1f43_b675, &content))
    }

    /// Writes what is pending and the index. The patches complete the file; nothing can be added after.
    ///
    /// # Errors
    /// What the sink answers.
    pub fn finish(&mut self) -> io::Result<Vec<Patch>> {
        if self.finished {
            return Ok(Vec::new());
        }
        self.flush()?;
        self.finished = true;
        let mut positions = vec![
            (0x1549_a966_u32, self.info_at),
            (0x1654_ae6b, self.tracks_at),
        ];
        if !self.cues.is_empty() {
            positions.push((0x1c53_bb6b, self.bytes));
            let number = if self.main_track == WebmTrack::Video {
                1
            } else {
                2
            };
            let mut points = Vec::new();
            for (key_ms, cluster) in &self.cues {
                let mut place = uint(0xf7, number);
                place.extend_from_slice(&uint(0xf1, *cluster));
                let mut point = uint(0xb3, *key_ms);
                point.extend_from_slice(&element(0xb7, &place));
                points.extend_from_slice(&element(0xbb, &point));
            }
            self.write(&element(0x1c53_bb6b, &points))?;
        }
        let mut length = vec![0x01];
        length.extend_from_slice(&(self.bytes - self.segment_start).to_be_bytes()[1..]);
        Ok(vec![
            Patch {
                at: self.segment_start - 8,
                bytes: length,
            },
            Patch {
                at: self.segment_start,
                bytes: self.seek_head(&positions),
            },
            Patch {
                at: self.duration_at,
                bytes: duration(self.end_ms),
            },
        ])
    }

    /// When the last frame so far ends, in ms from the start of the file.
    pub fn duration_ms(&self) -> u64 {
        self.end_ms
    }

    /// Bytes handed to the sink so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The sink, to take what was written out of it.
    pub fn sink(&mut self) -> &mut W {
        &mut self.out
    }

    fn seek_head(&self, positions: &[(u32, u64)]) -> Vec<u8> {
        let mut entries = Vec::new();
        for (id, at) in positions {
            let mut entry = element(0x53ab, &id.to_be_bytes());
            let from_segment = at - self.segment_start;
            entry.extend_from_slice(&element(0x53ac, &from_segment.to_be_bytes()));
            entries.extend_from_slice(&element(0x4dbb, &entry));
        }
        let mut head = element(0x114d_9b74, &entries);
        let rest = SEEK_ROOM - head.len();
        head.extend_from_slice(&void(rest));
        head
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}

fn ebml_header(matroska: bool) -> Vec<u8> {
    let kind: &[u8] = if matroska { b"matroska" } else { b"webm" };
    [
        uint(0x4286, 1),
        uint(0x42f7, 1),
        uint(0x42f2, 4),
        uint(0x42f3, 8),
        element(0x4282, kind),
        uint(0x4287, 4),
        uint(0x4285, 2),
    ]
    .concat()
}

/// The segment's information and where in it the duration's place is.
fn segment_info() -> (Vec<u8>, usize) {
    // Times are milliseconds.
    let mut content = uint(0x2a_d7b1, 1_000_000);
    content.extend_from_slice(&element(0x4d80, b"MeetMind"));
    content.extend_from_slice(&element(0x5741, b"MeetMind"));
    content.extend_from_slice(&void(duration(0).len()));
    let info = element(0x1549_a966, &content);
    let duration_offset = info.len() - duration(0).len();
    (info, duration_offset)
}

fn duration(ms: u64) -> Vec<u8> {
    element(0x4489, &(ms as f64).to_be_bytes())
}

fn track_entries(options: &WebmOptions) -> Vec<u8> {
    let mut entries = Vec::new();
    if let Some((codec, picture)) = &options.video {
        let (name, private): (&[u8], &[u8]) = match codec {
            WebmVideoCodec::Vp8 => (b"V_VP8", &[]),
            WebmVideoCodec::Vp9 => (b"V_VP9", &[]),
            WebmVideoCodec::H264 { configuration } => (b"V_MPEG4/ISO/AVC", configuration),
        };
        let mut entry = track_entry(1, 1, name, private);
        let mut video = uint(0xb0, u64::from(picture.width));
        video.extend_from_slice(&uint(0xba, u64::from(picture.height)));
        entry.extend_from_slice(&element(0xe0, &video));
        entries.extend_from_slice(&element(0xae, &entry));
    }
    if let Some((layout, pre_skip)) = &options.audio {
        let mut entry = track_entry(2, 2, b"A_OPUS", &opus_head(*layout, *pre_skip));
        let delay_ns = u64::from(*pre_skip) * 1_000_000_000 / u64::from(SAMPLE_RATE_HZ);
        entry.extend_from_slice(&uint(0x56aa, delay_ns));
        // What a decoder needs to hear before a seek point: 80 ms (RFC 7845, 4.6).
        entry.extend_from_slice(&uint(0x56bb, 80_000_000));
        let mut audio = element(0xb5, &f64::from(SAMPLE_RATE_HZ).to_be_bytes());
        audio.extend_from_slice(&uint(0x9f, layout.channels() as u64));
        entry.extend_from_slice(&element(0xe1, &audio));
        entries.extend_from_slice(&element(0xae, &entry));
    }
    entries
}

fn track_entry(number: u64, kind: u64, codec: &[u8], private: &[u8]) -> Vec<u8> {
    let mut entry = [
        uint(0xd7, number),
        uint(0x73c5, number),
        // No lacing.
        uint(0x9c, 0),
        uint(0x83, kind),
        element(0x86, codec),
    ]
    .concat();
    if !private.is_empty() {
        entry.extend_from_slice(&element(0x63a2, private));
    }
    entry
}

/// An EBML element (RFC 8794): id, size, content.
fn element(id: u32, content: &[u8]) -> Vec<u8> {
    let id_bytes = id.to_be_bytes();
    let skip = id.leading_zeros() as usize / 8;
    let mut bytes = Vec::with_capacity(content.len() + 12);
    bytes.extend_from_slice(&id_bytes[skip..]);
    bytes.extend_from_slice(&size(content.len() as u64));
    bytes.extend_from_slice(content);
    bytes
}

fn uint(id: u32, value: u64) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let skip = (value.leading_zeros() as usize / 8).min(7);
    element(id, &bytes[skip..])
}

/// A filler of exactly `length` bytes, 2 to 128.
fn void(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    bytes[0] = 0xec;
    bytes[1] = 0x80 | (length - 2) as u8;
    bytes
}

/// A size of one to eight bytes: as many as it needs, and never all ones, which means "unknown".
fn size(value: u64) -> Vec<u8> {
    let mut length = 1;
    while length < 8 && value >= (1 << (7 * length)) - 1 {
        length += 1;
    }
    let marked = value | 1 << (7 * length);
    marked.to_be_bytes()[8 - length..].to_vec()
}
