//! What a packet of the load carries at its end: who sent it, when, and as which one.

use std::time::{Duration, Instant};

/// The last bytes of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trace {
    /// Since the start of the run; sender and receiver are one process with one clock.
    pub(super) sent_us: u64,
    /// Which simulcast layer; 0 for sound.
    pub(super) layer: u8,
    /// Counts the packets of the layer.
    pub(super) number: u32,
}

/// Nothing else ends like this by chance.
const MAGIC: [u8; 4] = *b"mmLT";

impl Trace {
    /// Bytes of a trace.
    pub(super) const BYTES: usize = 17;

    pub(super) fn new(epoch: Instant, now: Instant, layer: u8, number: u64) -> Self {
        Self {
            sent_us: now.saturating_duration_since(epoch).as_micros() as u64,
            layer,
            number: number as u32,
        }
    }

    /// Over the last bytes of the payload.
    pub(super) fn write(self, payload: &mut [u8]) {
        if let Some(end) = payload.last_chunk_mut::<{ Self::BYTES }>() {
            end[..8].copy_from_slice(&self.sent_us.to_be_bytes());
            end[8] = self.layer;
            end[9..13].copy_from_slice(&self.number.to_be_bytes());
            end[13..].copy_from_slice(&MAGIC);
        }
    }

    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let end = payload.last_chunk::<{ Self::BYTES }>()?;
        let (sent, rest) = end.split_first_chunk::<8>()?;
        let (layer, rest) = rest.split_first()?;
        let (number, magic) = rest.split_first_chunk::<4>()?;
        (magic == MAGIC).then(|| Self {
            sent_us: u64::from_be_bytes(*sent),
            layer: *layer,
            number: u32::from_be_bytes(*number),
        })
    }

    /// How long it took, for a receiver at `now`.
    pub(super) fn age(&self, epoch: Instant, now: Instant) -> Duration {
        let sent = epoch + Duration::from_micros(self.sent_us);
        now.saturating_duration_since(sent)
    }
}
