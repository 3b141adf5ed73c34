//! Assembles video frames from RTP packets: VP8 (RFC 7741), VP9 (RFC 9628) and H264 (RFC 6184).
//!
//! Packets come in order, with the number of packets missing before each ([`super::reorder`]). A frame is
//! handed out only when all of it is there; after a loss everything is dropped until the next key frame,
//! since a file cannot ask for a repair later. str0m has depacketizers, but keeps them to itself
//! in RTP mode.

use super::bitstream::{PictureSize, h264_configuration, h264_size, vp8_key_frame, vp9_key_frame};

/// A frame longer than this is dropped, in bytes.
const MAX_FRAME_BYTES: usize = 4 << 20;

/// The codecs whose frames can be assembled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VideoCodec {
    /// VP8.
    Vp8,
    /// VP9; of several spatial layers the lowest.
    Vp9,
    /// H264; frames come out with four-byte NAL lengths.
    H264,
}

/// One RTP packet of a video track.
#[derive(Debug, Clone, Copy)]
pub struct VideoPacket<'a> {
    /// The RTP timestamp, 90 kHz: equal for all packets of a frame.
    pub rtp_time: u32,
    /// The RTP marker: the last packet of a frame.
    pub marker: bool,
    /// The payload, descriptor included.
    pub payload: &'a [u8],
    /// How many packets are missing before this one.
    pub missing: u64,
}

/// A whole frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoFrame {
    /// The RTP timestamp of its packets.
    pub rtp_time: u32,
    /// Set on key frames: how large the picture is.
    pub key: Option<KeyFrame>,
    /// What the decoder gets.
    pub data: Vec<u8>,
}

/// What a key frame says of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFrame {
    /// The picture's size.
    pub size: PictureSize,
    /// The decoder configuration; empty but for H264.
    pub configuration: Vec<u8>,
}

/// What was lost on the way. Counted since the depacketizer was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FrameCounters {
    /// Frames handed out.
    pub frames: u64,
    /// Frames dropped: incomplete, malformed or after a loss.
    pub dropped: u64,
}

#[derive(Debug)]
struct Assembly {
    rtp_time: u32,
    data: Vec<u8>,
    /// Start of an H264 fragmented NAL unit's length in `data`, while its end is outstanding.
    fragment: Option<usize>,
    key: bool,
}

/// Whether a packet's part could be added to the frame.
enum Added {
    More,
    /// The frame is whole although the marker may come later.
    Whole,
    /// The packet is of no interest.
    Nothing,
    Broken,
}

/// Assembles the frames of one track.
#[derive(Debug)]
pub struct Depacketizer {
    codec: VideoCodec,
    assembly: Option<Assembly>,
    /// No frame is handed out before the next key frame.
    waiting_for_key: bool,
    /// Timestamp of the frame whose packets are being dropped, or that is already whole.
    done: Option<u32>,
    parameter_sets: (Vec<u8>, Vec<u8>),
    counters: FrameCounters,
}

impl Depacketizer {
    /// A depacketizer that waits for its first key frame.
    pub fn new(codec: VideoCodec) -> Self {
        Depacketizer {
            codec,
            assembly: None,
            waiting_for_key: true,
            done: None,
            parameter_sets: (Vec::new(), Vec::new()),
            counters: FrameCounters::default(),
        }
    }

    /// What happened so far.
    pub fn counters(&self) -> FrameCounters {
        self.counters
    }

    /// Whether nothing can be handed out before a key frame: the caller should ask the sender for one.
    pub fn waits_for_key_frame(&self) -> bool {
        self.waiting_for_key
    }

    /// Forgets the unfinished frame and waits for a key frame.
    pub fn reset(&mut self) {
        self.assembly = None;
        self.done = None;
        self.waiting_for_key = true;
    }

    /// Enters the next packet; returns the frame it completes.
    pub fn push(&mut self, packet: VideoPacket<'_>) -> Option<VideoFrame> {
        if packet.missing > 0 {
            self.drop_frame(None);
        }
        // Padding for bandwidth probes has no payload.
        if packet.payload.is_empty() || self.done == Some(packet.rtp_time) {
            return None;
        }
        if self
            .assembly
            .as_ref()
            .is_some_and(|open| open.rtp_time != packet.rtp_time)
        {
            // The end of the last frame never came.
            self.drop_frame(None);
        }
        let mut assembly = self.assembly.take().unwrap_or_else(|| Assembly {
            rtp_time: packet.rtp_time,
            data: Vec::new(),
            fragment: None,
            key: false,
        });
        let added = match self.codec {
            VideoCodec::Vp8 => add_vp8(&mut assembly, packet.payload),
            VideoCodec::Vp9 => add_vp9(&mut assembly, packet.payload),
            VideoCodec::H264 => self.add_h264(&mut assembly, packet.payload),
        };
        let whole = match added {
            Some(Added::More) => packet.marker,
            Some(Added::Whole) => true,
            Some(Added::Nothing) => {
                if !assembly.data.is_empty() {
                    self.assembly = Some(assembly);
                }
                return None;
            }
            Some(Added::Broken) | None => {
                self.drop_frame(Some(packet.rtp_time));
                return None;
            }
        };
        if assembly.data.len() > MAX_FRAME_BYTES || (whole && assembly.fragment.is_some()) {
            self.drop_frame(Some(packet.rtp_time));
            return None;
        }
        if !whole {
            self.assembly = Some(assembly);
            return None;
        }
        self.done = Some(packet.rtp_time);
        self.finish(assembly)
    }

    fn drop_frame(&mut self, done: Option<u32>) {
        if self.assembly.take().is_some() || done.is_some() {
            self.counters.dropped += 1;
        }
        self.done = done;
        self.waiting_for_key = true;
    }

    fn finish(&mut self, assembly: Assembly) -> Option<VideoFrame> {
        let Assembly {
            rtp_time,
            data,
            key,
            ..
        } = assembly;
        let key = match self.codec {
            VideoCodec::Vp8 => vp8_key_frame(&data).map(plain_key),
            VideoCodec::Vp9 => vp9_key_frame(&data).map(plain_key),
            VideoCodec::H264 if key => {
                let (sps, pps) = &self.parameter_sets;
                h264_size(sps)
                    .zip(h264_configuration(sps, pps).filter(|_| !pps.is_empty()))
                    .map(|(size, configuration)| KeyFrame {
                        size,
                        configuration,
                    })
            }
            VideoCodec::H264 => None,
        };
        if self.waiting_for_key && key.is_none() {
            self.counters.dropped += 1;
            return None;
        }
        self.waiting_for_key = false;
        self.counters.frames += 1;
        Some(VideoFrame {
            rtp_time,
            key,
            data,
        })
    }

    fn add_h264(&mut self, assembly: &mut Assembly, payload: &[u8]) -> Option<Added> {
        let header = *payload.first()?;
        match header & 0x1f {
            1..=23 => {
                if assembly.fragment.is_some() {
                    return Some(Added::Broken);
                }
                self.add_unit(assembly, payload)?;
            }
            // STAP-A: units of 16-bit length in a row.
            24 => {
                let mut rest = &payload[1..];
                while let [high, low, after @ ..] = rest {
                    let length = usize::from(u16::from_be_bytes([*high, *low]));
                    let unit = after.get(..length)?;
                    rest = &after[length..];
                    if !unit.is_empty() {
                        self.add_unit(assembly, unit)?;
                    }
                }
            }
            // FU-A: one unit over several packets.
            28 => {
                let fragment_header = *payload.get(1)?;
                let part = &payload[2..];
                if fragment_header & 0x80 != 0 {
                    if assembly.fragment.is_some() {
                        return Some(Added::Broken);
                    }
                    assembly.fragment = Some(assembly.data.len());
                    assembly.data.extend_from_slice(&[0; 4]);
                    assembly.data.push(header & 0xe0 | fragment_header & 0x1f);
                }
                let start = assembly.fragment?;
                assembly.data.extend_from_slice(part);
                if fragment_header & 0x40 != 0 {
                    assembly.fragment = None;
                    let length = u32::try_from(assembly.data.len() - start - 4).ok()?;
                    assembly.data[start..start + 4].copy_from_slice(&length.to_be_bytes());
                    assembly.key |= self.note_unit(&assembly.data[start + 4..]);
                }
            }
            _ => return Some(Added::Broken),
        }
        Some(Added::More)
    }

    fn add_unit(&mut self, assembly: &mut Assembly, unit: &[u8]) -> Option<()> {
        let length = u32::try_from(unit.len()).ok()?;
        assembly.data.extend_from_slice(&length.to_be_bytes());
        assembly.data.extend_from_slice(unit);
        assembly.key |= self.note_unit(unit);
        Some(())
    }

    /// Keeps parameter sets; returns whether the unit is part of a key frame.
    fn note_unit(&mut self, unit: &[u8]) -> bool {
        match unit.first().map(|header| header & 0x1f) {
            Some(5) => return true,
            Some(7) => self.parameter_sets.0 = unit.to_vec(),
            Some(8) => self.parameter_sets.1 = unit.to_vec(),
            _ => {}
        }
        false
    }
}

fn plain_key(size: PictureSize) -> KeyFrame {
    KeyFrame {
        size,
        configuration: Vec::new(),
    }
}

/// RFC 7741, 4.2: a descriptor of 1 to 6 bytes before the frame's bytes.
fn add_vp8(assembly: &mut Assembly, payload: &[u8]) -> Option<Added> {
    let (&first, mut rest) = payload.split_first()?;
    if first & 0x80 != 0 {
        let (&extension, after) = rest.split_first()?;
        rest = after;
        if extension & 0x80 != 0 {
            let long = rest.first()? & 0x80 != 0;
            rest = rest.get(if long { 2 } else { 1 }..)?;
        }
        let indexes = usize::from(extension & 0x40 != 0) + usize::from(extension & 0x30 != 0);
        rest = rest.get(indexes..)?;
    }
    let starts = first & 0x10 != 0 && first & 0x07 == 0;
    if starts != assembly.data.is_empty() || rest.is_empty() {
        return Some(Added::Broken);
    }
    assembly.data.extend_from_slice(rest);
    Some(Added::More)
}

/// RFC 9628, 4.2: a descriptor of 1 to some 40 bytes before the frame's bytes.
fn add_vp9(assembly: &mut Assembly, payload: &[u8]) -> Option<Added> {
    let (&first, mut rest) = payload.split_first()?;
    let has = |bit: u8| first & bit != 0;
    let (begins, ends) = (has(0x08), has(0x04));
    if has(0x80) {
        let long = rest.first()? & 0x80 != 0;
        rest = rest.get(if long { 2 } else { 1 }..)?;
    }
    let flexible = has(0x10);
    if has(0x20) {
        let spatial_layer = rest.first()? >> 1 & 7;
        rest = rest.get(if flexible { 1 } else { 2 }..)?;
        if spatial_layer != 0 {
            return Some(Added::Nothing);
        }
    }
    if flexible && has(0x40) {
        for index in 0..3 {
            let (&reference, after) = rest.split_first()?;
            rest = after;
            if reference & 1 == 0 {
                break;
            }
            if index == 2 {
                return Some(Added::Broken);
            }
        }
    }
    if has(0x02) {
        rest = skip_vp9_structure(rest)?;
    }
    if begins != assembly.data.is_empty() || rest.is_empty() {
        return Some(Added::Broken);
    }
    assembly.data.extend_from_slice(rest);
    Some(if ends { Added::Whole } else { Added::More })
}

fn skip_vp9_structure(payload: &[u8]) -> Option<&[u8]> {
    let (&header, mut rest) = payload.split_first()?;
    let layers = usize::from(header >> 5) + 1;
    if header & 0x10 != 0 {
        rest = rest.get(4 * layers..)?;
    }
    if header & 0x08 != 0 {
        let (&pictures, after) = rest.split_first()?;
        rest = after;
        for _ in 0..pictures {
            let (&picture, after) = rest.split_first()?;
            rest = after.get(usize::from(picture >> 2 & 3)..)?;
        }
    }
    Some(rest)
}
