//! The newest packets of a video track, kept while somebody waits for a keyframe of it.
//!
//! On a network that changes the order, packets of a keyframe can come before its first one. Nobody who
//! waits for the keyframe could use them then; when the first has come they are given out again, which is
//! a round trip sooner than the receiver's own request.

use std::collections::VecDeque;

use str0m::rtp::RtpPacket;

use crate::forward::LayerIndex;

/// How many packets of one layer are kept: as many as a forwarder asks for again.
const PACKETS: usize = 256;

/// The kept packets of all layers.
#[derive(Default)]
pub(crate) struct Recent {
    layers: [VecDeque<RtpPacket>; LayerSet::LAYERS],
}

impl Recent {
    /// Keeps a packet, and gives up the oldest if there are too many.
    pub(crate) fn keep(&mut self, layer: LayerIndex, packet: RtpPacket) {
        if let Some(kept) = self.layers.get_mut(usize::from(layer)) {
            if kept.len() == PACKETS {
                kept.pop_front();
            }
            kept.push_back(packet);
        }
    }

    /// Nobody waits for this layer.
    pub(crate) fn forget(&mut self, layer: LayerIndex) {
        if let Some(kept) = self.layers.get_mut(usize::from(layer)) {
            kept.clear();
        }
    }

    /// The kept ones among the `count` packets after `first` in its stream, in their order.
    pub(crate) fn following(
        &self,
        layer: LayerIndex,
        first: &RtpPacket,
        count: u16,
    ) -> Vec<&RtpPacket> {
        let seq = *first.seq_no;
        let wanted = seq + 1..=seq + u64::from(count);
        let mut found: Vec<&RtpPacket> = self
            .layers
            .get(usize::from(layer))
            .into_iter()
            .flatten()
            .filter(|kept| kept.header.ssrc == first.header.ssrc)
            .filter(|kept| wanted.contains(&*kept.seq_no))
            .collect();
        found.sort_unstable_by_key(|kept| *kept.seq_no);
        found.dedup_by_key(|kept| *kept.seq_no);
        found
    }
}

/// Some of a track's layers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LayerSet(u8);

impl LayerSet {
    /// More layers than a track has.
    const LAYERS: usize = 4;

    pub(crate) fn add(&mut self, layer: Option<LayerIndex>) {
        if let Some(layer) = layer.filter(|layer| usize::from(*layer) < Self::LAYERS) {
            self.0 |= 1 << layer;
        }
    }

    pub(crate) fn contains(self, layer: LayerIndex) -> bool {
        usize::from(layer) < Self::LAYERS && self.0 & 1 << layer != 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = LayerIndex> {
        (0..Self::LAYERS as LayerIndex).filter(move |layer| self.contains(*layer))
    }
}
