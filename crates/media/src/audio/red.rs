//! Redundant audio (RFC 2198): one RTP payload that carries the newest packet and copies of older ones.

use str0m::rtp::RedDecoder;

/// One older packet inside a RED payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedundantBlock<'a> {
    /// How much older than the primary block, in ticks of the RTP clock, 1 to 16,383.
    pub timestamp_offset: u32,
    /// The codec's packet.
    pub payload: &'a [u8],
}

/// A RED payload taken apart. Payloads borrow from the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Red<'a> {
    /// The packet this RTP packet stands for; empty when the sender had nothing to say.
    pub primary: &'a [u8],
    /// Older packets of the same payload type, oldest first, at most 32.
    pub redundant: Vec<RedundantBlock<'a>>,
}

/// Takes a RED payload apart; `None` if its headers and lengths do not add up or it has more than 32
/// redundant blocks. Empty blocks, blocks of another payload type than the primary's and blocks that
/// claim not to be older are left out.
pub fn unwrap_red(payload: &[u8]) -> Option<Red<'_>> {
    let blocks = RedDecoder::decode(payload).ok()?;
    let (primary, older) = blocks.split_last()?;
    if !primary.is_primary {
        return None;
    }
    let redundant = older
        .iter()
        .filter(|block| block.pt == primary.pt && block.timestamp_offset > 0)
        .filter(|block| !block.payload.is_empty())
        .map(|block| RedundantBlock {
            timestamp_offset: block.timestamp_offset,
            payload: block.payload,
        })
        .collect();
    Some(Red {
        primary: primary.payload,
        redundant,
    })
}
