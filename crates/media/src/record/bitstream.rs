//! What a file's header needs to know of a video stream: the picture's size, and H264's parameter sets.
//! Every function takes hostile bytes and answers `None` where they make no sense.

/// Width and height of a picture, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureSize {
    /// Pixels per line.
    pub width: u32,
    /// Lines.
    pub height: u32,
}

impl PictureSize {
    fn new(width: u32, height: u32) -> Option<Self> {
        let held = 1..=65_536;
        (held.contains(&width) && held.contains(&height)).then_some(PictureSize { width, height })
    }
}

/// The size in a VP8 key frame (RFC 6386, 9.1); `None` for other frames.
pub fn vp8_key_frame(frame: &[u8]) -> Option<PictureSize> {
    let header = frame.get(..10)?;
    if header[0] & 1 != 0 || header[3..6] != [0x9d, 0x01, 0x2a] {
        return None;
    }
    let width = u16::from_le_bytes([header[6], header[7]]) & 0x3fff;
    let height = u16::from_le_bytes([header[8], header[9]]) & 0x3fff;
    PictureSize::new(u32::from(width), u32::from(height))
}

/// The size in a VP9 key frame (VP9 bitstream specification, 6.2); `None` for other frames.
pub fn vp9_key_frame(frame: &[u8]) -> Option<PictureSize> {
    const SRGB: u32 = 7;
    let mut bits = Bits::new(frame);
    if bits.take(2)? != 2 {
        return None;
    }
    let profile = bits.take(1)? | bits.take(1)? << 1;
    if profile == 3 {
        bits.take(1)?;
    }
    let show_existing = bits.take(1)?;
    let frame_type = bits.take(1)?;
    bits.take(2)?;
    if show_existing != 0 || frame_type != 0 || bits.take(24)? != 0x49_83_42 {
        return None;
    }
    if profile >= 2 {
        bits.take(1)?;
    }
    let subsampled = profile == 1 || profile == 3;
    if bits.take(3)? != SRGB {
        bits.take(if subsampled { 4 } else { 1 })?;
    } else if subsampled {
        bits.take(1)?;
    }
    PictureSize::new(bits.take(16)? + 1, bits.take(16)? + 1)
}

/// The size in an H264 sequence parameter set, its NAL header included (H.264, 7.3.2.1.1).
pub fn h264_size(sps: &[u8]) -> Option<PictureSize> {
    const WITH_CHROMA: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];
    let plain = without_emulation(sps.get(1..)?);
    let mut bits = Bits::new(&plain);
    let profile = bits.take(8)?;
    bits.take(16)?;
    bits.unsigned()?;
    let mut chroma = 1;
    let mut separate_planes = 0;
    if WITH_CHROMA.contains(&profile) {
        chroma = bits.unsigned()?;
        if chroma == 3 {
            separate_planes = bits.take(1)?;
        }
        bits.unsigned()?;
        bits.unsigned()?;
        bits.take(1)?;
        if bits.take(1)? == 1 {
            skip_scaling_lists(&mut bits, if chroma == 3 { 12 } else { 8 })?;
        }
    }
    bits.unsigned()?;
    skip_order_count(&mut bits)?;
    bits.unsigned()?;
    bits.take(1)?;
    let width_blocks = bits.unsigned()?.checked_add(1)?;
    let height_units = bits.unsigned()?.checked_add(1)?;
    let frames_only = bits.take(1)?;
    if frames_only == 0 {
        bits.take(1)?;
    }
    bits.take(1)?;
    let mut crop = [0; 4];
    if bits.take(1)? == 1 {
        for side in &mut crop {
            *side = bits.unsigned()?;
        }
    }
    let fields = 2 - frames_only;
    let planar = chroma != 0 && separate_planes == 0;
    let crop_x = if planar && chroma != 3 { 2 } else { 1 };
    let crop_y = fields * if planar && chroma == 1 { 2 } else { 1 };
    let width = width_blocks.checked_mul(16)?;
    let height = height_units.checked_mul(16)?.checked_mul(fields)?;
    let cut_x = crop[0].checked_add(crop[1])?.checked_mul(crop_x)?;
    let cut_y = crop[2].checked_add(crop[3])?.checked_mul(crop_y)?;
    PictureSize::new(width.checked_sub(cut_x)?, height.checked_sub(cut_y)?)
}

fn skip_order_count(bits: &mut Bits<'_>) -> Option<()> {
    match bits.unsigned()? {
        0 => {
            bits.unsigned()?;
        }
        1 => {
            bits.take(1)?;
            bits.unsigned()?;
            bits.unsigned()?;
            let count = bits.unsigned()?;
            if count > 255 {
                return None;
            }
            for _ in 0..count {
                bits.unsigned()?;
            }
        }
        _ => {}
    }
    Some(())
}

fn skip_scaling_lists(bits: &mut Bits<'_>, lists: usize) -> Option<()> {
    for list in 0..lists {
        if bits.take(1)? == 0 {
            continue;
        }
        let mut last = 8_i64;
        let mut next = 8_i64;
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                next = (last + bits.signed()?).rem_euclid(256);
            }
            if next != 0 {
                last = next;
            }
        }
    }
    Some(())
}

/// The decoder configuration of an H264 track in MP4 and Matroska (ISO/IEC 14496-15, 5.2.4.1) with one
/// sequence and one picture parameter set; NAL lengths are four bytes.
pub fn h264_configuration(sps: &[u8], pps: &[u8]) -> Option<Vec<u8>> {
    let sps_length = u16::try_from(sps.len()).ok()?;
    let pps_length = u16::try_from(pps.len()).ok()?;
    let profile = sps.get(1..4)?;
    let mut record = vec![1];
    record.extend_from_slice(profile);
    record.extend_from_slice(&[0xff, 0xe1]);
    record.extend_from_slice(&sps_length.to_be_bytes());
    record.extend_from_slice(sps);
    record.push(1);
    record.extend_from_slice(&pps_length.to_be_bytes());
    record.extend_from_slice(pps);
    if [100, 110, 122, 144].contains(&profile[0]) {
        // 4:2:0 with 8 bits, all that WebRTC's profiles allow; no extension sets.
        record.extend_from_slice(&[0xfd, 0xf8, 0xf8, 0]);
    }
    Some(record)
}

/// Takes the bytes out that keep start codes from appearing (H.264, 7.4.1).
fn without_emulation(bytes: &[u8]) -> Vec<u8> {
    let mut plain: Vec<u8> = Vec::with_capacity(bytes.len());
    let mut zeros = 0;
    for &byte in bytes {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        plain.push(byte);
    }
    plain
}

/// Reads bits, the highest first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Bits { bytes, at: 0 }
    }

    /// The next `count` bits, at most 32.
    fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0_u32;
        for _ in 0..count {
            let byte = *self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    /// An Exp-Golomb number (H.264, 9.1) of at most 31 bits.
    fn unsigned(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.take(1)? == 0 {
            zeros += 1;
            if zeros > 30 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.take(zeros)?)
    }

    fn signed(&mut self) -> Option<i64> {
        let code = i64::from(self.unsigned()?);
        Some(if code % 2 == 0 {
            -(code / 2)
        } else {
            (code + 1) / 2
        })
    }
}
