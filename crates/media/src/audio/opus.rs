//! The Opus codec (RFC 6716). Every call of the codec library in this crate is in this file, so that
//! another library means another version of this file and of nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ropus::{Application, Bitrate, Channels, DecodeMode, InbandFec, Signal};

/// The one sample rate of this crate, and the RTP clock of Opus (RFC 7587, 4.1), in Hz.
pub const SAMPLE_RATE_HZ: u32 = 48_000;

/// Samples per channel in the 20 ms frame that all parts of this crate exchange.
pub const FRAME_SAMPLES: usize = 960;

/// Samples per channel in the longest packet Opus allows, 120 ms.
pub const MAX_PACKET_SAMPLES: usize = 5_760;

/// The longest packet that is looked at, in bytes: 48 frames of 1,275 bytes and their lengths would
/// be 61 kB, but a packet that does not fit into one datagram did not come from a voice encoder.
pub const MAX_PACKET_BYTES: usize = 8_192;

/// Concealment works in steps of 2.5 ms.
const CONCEAL_STEP_SAMPLES: usize = 120;

/// Why the codec refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpusError {
    /// The encoder or decoder could not be made or rejected its input; the codec's own words.
    #[error("opus: {0}")]
    Codec(String),
    /// The packet is empty, too long, or its parts do not add up.
    #[error("malformed opus packet")]
    Malformed,
    /// The codec library panicked; the decoder was made anew and may be used further.
    #[error("the opus decoder failed on this packet and was restarted")]
    Crashed,
}

/// How many channels a stream of PCM has. Stereo PCM is interleaved, left first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// One channel.
    Mono,
    /// Two channels.
    Stereo,
}

impl Layout {
    /// The number of channels, 1 or 2.
    pub fn channels(self) -> usize {
        match self {
            Layout::Mono => 1,
            Layout::Stereo => 2,
        }
    }

    fn codec(self) -> Channels {
        match self {
            Layout::Mono => Channels::Mono,
            Layout::Stereo => Channels::Stereo,
        }
    }
}

/// What a packet says of itself, read without decoding it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketFacts {
    /// Length in samples per channel at 48 kHz, 120 to 5,760.
    pub samples: usize,
    /// Number of frames, 1 to 48.
    pub frames: usize,
    /// How many of them carry no sound: the encoder was in discontinuous transmission.
    pub dtx_frames: usize,
    /// Whether the encoder coded one channel or two.
    pub layout: Layout,
}

impl PacketFacts {
    /// Whether the packet carries no sound at all.
    pub fn is_dtx(&self) -> bool {
        self.dtx_frames == self.frames
    }
}

/// Reads the table-of-contents byte and the frame lengths of one packet (RFC 6716, 3.1 and 3.2).
///
/// # Errors
/// [`OpusError::Malformed`] when one of the seven rules of RFC 6716, 3.4 is broken, or the packet is
/// longer than [`MAX_PACKET_BYTES`].
pub fn packet_facts(packet: &[u8]) -> Result<PacketFacts, OpusError> {
    parse_packet(packet).ok_or(OpusError::Malformed)
}

fn parse_packet(packet: &[u8]) -> Option<PacketFacts> {
    let (&toc, body) = packet.split_first()?;
    if packet.len() > MAX_PACKET_BYTES {
        return None;
    }
    let config = toc >> 3;
    let frame_samples = match config {
        // SILK: 10, 20, 40, 60 ms.
        0..=11 => [480, 960, 1_920, 2_880][usize::from(config & 3)],
        // Hybrid: 10, 20 ms.
        12..=15 => [480, 960][usize::from(config & 1)],
        // CELT: 2.5, 5, 10, 20 ms.
        _ => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let (frames, dtx_frames) = match toc & 3 {
        0 => (1, usize::from(silent(body.len())?)),
        1 => {
            if !body.len().is_multiple_of(2) {
                return None;
            }
            (2, 2 * usize::from(silent(body.len() / 2)?))
        }
        2 => {
            let (first, rest) = frame_length(body)?;
            let second = rest.len().checked_sub(first)?;
            (
                2,
                usize::from(silent(first)?) + usize::from(silent(second)?),
            )
        }
        _ => parse_counted(body)?,
    };
    let samples = frame_samples * frames;
    if samples > MAX_PACKET_SAMPLES {
        return None;
    }
    let layout = if toc & 4 == 0 {
        Layout::Mono
    } else {
        Layout::Stereo
    };
    Some(PacketFacts {
        samples,
        frames,
        dtx_frames,
        layout,
    })
}

/// Code 3: a count byte, optional padding, then frames of equal or of given lengths.
/// Returns the number of frames and how many of them are silent.
fn parse_counted(body: &[u8]) -> Option<(usize, usize)> {
    let (&count, mut rest) = body.split_first()?;
    let frames = usize::from(count & 0x3f);
    if frames == 0 || frames > 48 {
        return None;
    }
    let mut padding = 0;
    if count & 0x40 != 0 {
        loop {
            let (&byte, after) = rest.split_first()?;
            rest = after;
            padding += usize::from(byte.min(254));
            if byte != 255 {
                break;
            }
        }
    }
    if count & 0x80 == 0 {
        let room = rest.len().checked_sub(padding)?;
        if !room.is_multiple_of(frames) {
            return None;
        }
        return Some((frames, frames * usize::from(silent(room / frames)?)));
    }
    let mut announced = 0;
    let mut dtx_frames = 0;
    for _ in 1..frames {
        let (length, after) = frame_length(rest)?;
        rest = after;
        announced += length;
        dtx_frames += usize::from(silent(length)?);
    }
    let last = rest.len().checked_sub(padding + announced)?;
    Some((frames, dtx_frames + usize::from(silent(last)?)))
}

/// One frame length and what follows it (RFC 6716, 3.2.1).
fn frame_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match bytes {
        [first @ 0..=251, rest @ ..] => Some((usize::from(*first), rest)),
        [first, second, rest @ ..] => Some((usize::from(*first) + 4 * usize::from(*second), rest)),
        _ => None,
    }
}

/// Whether a frame of this length is silent; `None` when no frame may be so long.
/// A frame of at most one byte is what encoders send in discontinuous transmission.
fn silent(length: usize) -> Option<bool> {
    (length <= 1_275).then_some(length <= 1)
}

/// A decoder of one track into mono PCM; stereo packets are mixed down by the codec.
pub struct Decoder {
    codec: ropus::Decoder,
    scratch: Box<[i16; MAX_PACKET_SAMPLES]>,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}

impl Decoder {
    /// A decoder that has heard nothing yet.
    ///
    /// # Errors
    /// [`OpusError::Codec`] if the library refuses its own defaults.
    pub fn new() -> Result<Self, OpusError> {
        Ok(Decoder {
            codec: new_codec()?,
            scratch: Box::new([0; MAX_PACKET_SAMPLES]),
        })
    }

    /// Decodes one packet; returns as many samples as [`packet_facts`] announced.
    ///
    /// # Errors
    /// [`OpusError::Malformed`] before the codec sees a packet that breaks the format's rules, or the
    /// codec's own refusal. The decoder stays usable.
    pub fn decode(&mut self, packet: &[u8]) -> Result<&[i16], OpusError> {
        packet_facts(packet)?;
        self.run(packet, MAX_PACKET_SAMPLES, DecodeMode::Normal)
    }

    /// Invents `samples` (rounded up to 2.5 ms, at most 120 ms) for a packet that never came.
    ///
    /// # Errors
    /// The codec's own refusal.
    pub fn conceal(&mut self, samples: usize) -> Result<&[i16], OpusError> {
        self.run(&[], conceal_length(samples), DecodeMode::Normal)
    }

    /// Fills a gap of `samples` before `next` from the redundancy `next` may carry (in-band FEC), and
    /// by concealment where it carries none. Rounded as in [`Decoder::conceal`].
    ///
    /// # Errors
    /// As [`Decoder::decode`].
    pub fn recover(&mut self, next: &[u8], samples: usize) -> Result<&[i16], OpusError> {
        packet_facts(next)?;
        self.run(next, conceal_length(samples), DecodeMode::Fec)
    }

    fn run(&mut self, packet: &[u8], room: usize, mode: DecodeMode) -> Result<&[i16], OpusError> {
        let Decoder { codec, scratch } = self;
        let output = &mut scratch[..room];
        // The bytes come from strangers and the library indexes in thousands of places. A panic there
        // must cost this one track a click, not a thread of meetings; the state is discarded.
        let outcome = catch_unwind(AssertUnwindSafe(|| codec.decode(packet, output, mode)));
        match outcome {
            Ok(Ok(samples)) => Ok(&self.scratch[..samples.min(room)]),
            Ok(Err(error)) => Err(OpusError::Codec(error.to_string())),
            Err(_) => {
                self.codec = new_codec()?;
                Err(OpusError::Crashed)
            }
        }
    }
}

fn new_codec() -> Result<ropus::Decoder, OpusError> {
    ropus::Decoder::new(SAMPLE_RATE_HZ, Channels::Mono)
        .map_err(|error| OpusError::Codec(error.to_string()))
}

fn conceal_length(samples: usize) -> usize {
    samples
        .next_multiple_of(CONCEAL_STEP_SAMPLES)
        .clamp(CONCEAL_STEP_SAMPLES, MAX_PACKET_SAMPLES)
}

/// An encoder of 20 ms frames of voice at 48 kHz, with in-band redundancy against loss.
pub struct Encoder {
    codec: ropus::Encoder,
    layout: Layout,
    packet: Box<[u8; 1_500]>,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder")
            .field("layout", &self.layout)
            .finish_non_exhaustive()
    }
}

impl Encoder {
    /// An encoder for one voice: mono, in-band FEC for 5 % loss. `bitrate_bps` is held between 6,000
    /// and 510,000, the format's limits; 24,000 to 32,000 is clear full-band speech.
    ///
    /// # Errors
    /// [`OpusError::Codec`] if the library refuses the settings.
    pub fn voice(bitrate_bps: u32) -> Result<Self, OpusError> {
        let builder = builder(Layout::Mono, Application::Voip, bitrate_bps)
            .signal(Signal::Voice)
            .inband_fec(InbandFec::Enabled)
            .packet_loss_perc(5);
        Encoder::build(builder, Layout::Mono)
    }

    /// An encoder for files: no redundancy, since a file loses nothing.
    ///
    /// # Errors
    /// [`OpusError::Codec`] if the library refuses the settings.
    pub fn file(layout: Layout, bitrate_bps: u32) -> Result<Self, OpusError> {
        Encoder::build(builder(layout, Application::Voip, bitrate_bps), layout)
    }

    fn build(builder: ropus::EncoderBuilder, layout: Layout) -> Result<Self, OpusError> {
        let codec = builder
            .build()
            .map_err(|error| OpusError::Codec(error.to_string()))?;
        Ok(Encoder {
            codec,
            layout,
            packet: Box::new([0; 1_500]),
        })
    }

    /// Encodes one frame of [`FRAME_SAMPLES`] samples per channel, interleaved.
    ///
    /// # Errors
    /// [`OpusError::Codec`] when `pcm` has another length.
    pub fn encode(&mut self, pcm: &[i16]) -> Result<&[u8], OpusError> {
        if pcm.len() != FRAME_SAMPLES * self.layout.channels() {
            return Err(OpusError::Codec(format!(
                "a frame of {} samples",
                pcm.len()
            )));
        }
        let length = self
            .codec
            .encode(pcm, self.packet.as_mut_slice())
            .map_err(|error| OpusError::Codec(error.to_string()))?;
        Ok(&self.packet[..length.min(1_500)])
    }

    /// How many samples of the first decoded packet come before the first encoded sample; what a
    /// player has to skip (`pre-skip` in Ogg, `CodecDelay` in WebM).
    pub fn lookahead_samples(&self) -> u16 {
        u16::try_from(self.codec.lookahead()).unwrap_or(u16::MAX)
    }
}

fn builder(layout: Layout, application: Application, bitrate_bps: u32) -> ropus::EncoderBuilder {
    ropus::Encoder::builder(SAMPLE_RATE_HZ, layout.codec(), application)
        .bitrate(Bitrate::Bits(bitrate_bps.clamp(6_000, 510_000)))
        // The middle of the scale: many voices share a core, and speech gains little from more.
        .complexity(5)
        .vbr(true)
}
