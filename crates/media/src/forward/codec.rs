//! What the forwarder must know of a codec: its clock and where a keyframe begins.

/// The codec of a forwarded track, as far as forwarding differs by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Opus, plain or wrapped in RED; any other audio with a clock of 48 kHz.
    Opus,
    /// PCMU, PCMA and whatever else has a clock of 8 kHz.
    Audio8k,
    /// VP8 (RFC 7741): the descriptor is rewritten, temporal layers can be left out.
    Vp8,
    /// H264 (RFC 6184).
    H264,
    /// VP9 (RFC 9628), forwarded with all its spatial layers.
    Vp9,
    /// AV1 (AOM RTP specification), forwarded with all its spatial layers.
    Av1,
}

/// Whether a receiver that knows nothing can begin at this packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keyframe {
    /// It cannot.
    No,
    /// It can: the first packet of a keyframe.
    Start,
    /// It can if it has the parameter sets already: an H264 IDR slice without an SPS before it.
    /// Good enough for an encoder that sends its parameter sets but once.
    Bare,
}

impl Codec {
    /// RTP clock in Hz.
    pub fn clock_hz(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            Self::Audio8k => 8_000,
            Self::Vp8 | Self::H264 | Self::Vp9 | Self::Av1 => 90_000,
        }
    }

    /// Whether decoding can begin at any packet.
    pub fn is_audio(self) -> bool {
        matches!(self, Self::Opus | Self::Audio8k)
    }

    /// The temporal layer of an RTP payload (without header): VP8's, 0 where none is named. Total.
    pub fn temporal(self, payload: &[u8]) -> u8 {
        match self {
            Self::Vp8 => super::rewrite::Vp8Header::parse(payload).map_or(0, |h| h.temporal),
            _ => 0,
        }
    }

    /// Classifies an RTP payload (without header). Total: any bytes give an answer.
    ///
    /// Only what stays readable in end-to-end encrypted frames is looked at: RTP descriptors, the
    /// first byte of a VP8 frame and the headers of H264 NAL units.
    pub fn keyframe(self, payload: &[u8]) -> Keyframe {
        let start = match self {
            Self::Opus | Self::Audio8k => !payload.is_empty(),
            Self::Vp8 => super::rewrite::Vp8Header::parse(payload).is_some_and(|h| h.keyframe),
            Self::H264 => return h264(payload),
            Self::Vp9 => vp9(payload),
            // Aggregation header Z|Y|W W|N|…: N opens a coded video sequence, Z continues an OBU.
            Self::Av1 => payload.len() > 1 && payload[0] & 0x88 == 0x08,
        };
        if start { Keyframe::Start } else { Keyframe::No }
    }
}

/// Highest number of aggregated NAL units that are looked at; senders put two or three together.
const MAX_NAL_UNITS: usize = 16;

fn h264(payload: &[u8]) -> Keyframe {
    const IDR: u8 = 5;
    const SPS: u8 = 7;
    const STAP_A: u8 = 24;
    const FU_A: u8 = 28;
    let of = |kind: u8| match kind & 0x1f {
        SPS => Keyframe::Start,
        IDR => Keyframe::Bare,
        _ => Keyframe::No,
    };
    let Some((&first, rest)) = payload.split_first() else {
        return Keyframe::No;
    };
    match first & 0x1f {
        STAP_A => {
            let mut found = Keyframe::No;
            let mut rest = rest;
            for _ in 0..MAX_NAL_UNITS {
                let Some((size, tail)) = rest.split_first_chunk::<2>() else {
                    break;
                };
                let size = usize::from(u16::from_be_bytes(*size));
                let Some((unit, tail)) = tail.split_at_checked(size) else {
                    break;
                };
                match unit.first().map_or(Keyframe::No, |kind| of(*kind)) {
                    Keyframe::Start => return Keyframe::Start,
                    Keyframe::Bare => found = Keyframe::Bare,
                    Keyframe::No => {}
                }
                rest = tail;
            }
            found
        }
        FU_A => match rest.first() {
            Some(header) if header & 0x80 != 0 => of(*header),
            _ => Keyframe::No,
        },
        _ => of(first),
    }
}

/// Descriptor I|P|L|F|B|E|V|Z: the first packet (B) of a picture that refers to no other (P = 0), in
/// its lowest spatial layer. RFC 9628 4.2.
fn vp9(payload: &[u8]) -> bool {
    let Some(&first) = payload.first() else {
        return false;
    };
    if first & 0x48 != 0x08 {
        return false;
    }
    let mut at = 1;
    if first & 0x80 != 0 {
        match payload.get(at) {
            Some(id) if id & 0x80 != 0 => at += 2,
            Some(_) => at += 1,
            None => return false,
        }
    }
    let spatial = if first & 0x20 == 0 {
        Some(0)
    } else {
        payload.get(at).map(|layer| layer >> 1 & 7)
    };
    spatial == Some(0) && payload.len() > at
}
