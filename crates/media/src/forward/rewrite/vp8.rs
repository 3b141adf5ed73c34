//! The VP8 payload descriptor (RFC 7741 4.2): what it says and how its indices stay in step.

use str0m::rtp::{Vp8Descriptor, Vp8Patch};

use super::{Runs, Seen};

/// What forwarding needs of a VP8 payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vp8Header {
    /// The first packet of a picture.
    pub(crate) start: bool,
    /// The first packet of a keyframe.
    pub(crate) keyframe: bool,
    /// Temporal layer; 0 where none is named.
    pub(crate) temporal: u8,
    /// The picture refers only to temporal layer 0: going up may begin here.
    pub(crate) sync: bool,
    picture: Option<u16>,
    wide: bool,
    tl0: Option<u8>,
    key: Option<u8>,
    descriptor: Vp8Descriptor,
}

impl Vp8Header {
    /// Reads a payload; nothing if it is too short or breaks the descriptor's rules.
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        let descriptor = Vp8Descriptor::parse(payload).ok()?;
        let first = *payload.first()?;
        let start = first & 0x17 == 0x10;
        let (mut temporal, mut sync, mut wide) = (0, false, false);
        // str0m keeps the temporal layer to itself, so it is found once more; the lengths were
        // checked by its parser.
        if first & 0x80 != 0 {
            let flags = *payload.get(1)?;
            let mut at = 2;
            if flags & 0x80 != 0 {
                wide = payload.get(at)? & 0x80 != 0;
                at += if wide { 2 } else { 1 };
            }
            if flags & 0x40 != 0 {
                at += 1;
            }
            if flags & 0x20 != 0 {
                let octet = *payload.get(at)?;
                temporal = octet >> 6;
                sync = octet & 0x20 != 0;
            }
        }
        Some(Self {
            start,
            keyframe: start && descriptor.starts_keyframe(payload),
            temporal,
            sync,
            picture: descriptor.picture_id(),
            wide,
            tl0: descriptor.tl0_pic_idx(),
            key: descriptor.key_idx(),
            descriptor,
        })
    }
}

/// The indices last sent, from which the next source goes on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Vp8Last {
    picture: Option<u64>,
    tl0: Option<u8>,
    key: Option<u8>,
}

/// Where unwrapped picture ids begin: high enough that no late picture lies below zero.
const PICTURE_ORIGIN: u64 = 1 << 32;

/// The rewriting of one source.
#[derive(Clone, Debug)]
pub(crate) struct Vp8Rewrite {
    pictures: Option<Runs>,
    tl0_offset: u8,
    key_offset: u8,
    /// The newest packet in order: its picture ended with it; its picture was left out.
    ended: bool,
    left_out: bool,
}

/// What becomes of a packet in sequence.
pub(crate) struct Vp8Fate {
    /// It goes out.
    pub(crate) keep: bool,
    /// What was skipped just before it may still be wanted.
    pub(crate) keep_skipped: bool,
}

impl Vp8Rewrite {
    /// Begins a source with its first packet, going on after what was sent last.
    pub(crate) fn new(first: &Vp8Header, last: &Vp8Last) -> Self {
        let pictures = first.picture.map(|id| {
            let id = PICTURE_ORIGIN + u64::from(id);
            Runs::new(id, last.picture.map_or(id, |last| last + 1))
        });
        let step = |now: Option<u8>, last: Option<u8>| match (now, last) {
            (Some(now), Some(last)) => now.wrapping_sub(last).wrapping_sub(1),
            _ => 0,
        };
        Self {
            pictures,
            tl0_offset: step(first.tl0, last.tl0),
            key_offset: step(first.key, last.key),
            ended: false,
            left_out: false,
        }
    }

    /// Decides a packet that is the newest of its source. `skipped`: sequence numbers are missing
    /// just before it.
    pub(crate) fn push(
        &mut self,
        header: &Vp8Header,
        wanted: bool,
        marker: bool,
        skipped: bool,
    ) -> Vp8Fate {
        let (keep, owned) = match (self.extended(header), &mut self.pictures) {
            (Some(id), Some(pictures)) if id > pictures.highest_in() => {
                let next = id == pictures.highest_in() + 1;
                // Pictures that were skipped stay reserved: they may come late.
                pictures.push(id, wanted, true);
                (wanted, next.then_some(header.start))
            }
            (Some(id), Some(pictures)) => match pictures.seen(id) {
                Seen::LeftOut => (false, Some(false)),
                Seen::Kept(_) => (true, Some(false)),
                Seen::Unknown if header.keyframe => {
                    // An encoder that began anew counts from anywhere.
                    let next = pictures.next_out();
                    *pictures = Runs::new(id, next);
                    (true, None)
                }
                Seen::Unknown => (wanted, None),
            },
            _ => (wanted, None),
        };
        // Skipped packets belong to this picture unless it begins here, or to the one before unless
        // that had ended. If all possible owners were left out, so are they.
        let mut keep_skipped = true;
        if let (true, Some(start)) = (skipped, owned) {
            let same = !start && self.left_out && !keep;
            let before = !self.ended && self.left_out;
            let ours = !start && !keep;
            keep_skipped = !match (self.ended, start) {
                (true, true) => false,
                (true, false) => ours,
                (false, true) => before,
                (false, false) => same,
            };
        }
        self.ended = marker;
        self.left_out = !keep;
        Vp8Fate { keep, keep_skipped }
    }

    /// Whether a late packet's picture was left out.
    pub(crate) fn was_left_out(&self, header: &Vp8Header) -> bool {
        match (self.extended(header), &self.pictures) {
            (Some(id), Some(pictures)) => pictures.seen(id) == Seen::LeftOut,
            _ => false,
        }
    }

    /// The byte changes for a packet that goes out; `last` is moved forward.
    pub(crate) fn patch(&self, header: &Vp8Header, last: &mut Vp8Last) -> Option<Vp8Patch> {
        let mut patch = header.descriptor.patch();
        if let (Some(id), Some(pictures)) = (self.extended(header), &self.pictures) {
            let out = match pictures.seen(id) {
                Seen::Kept(out) => out,
                // Out of any order: shown with the shift of now.
                _ => (pictures.next_out() + id).saturating_sub(pictures.highest_in() + 1),
            };
            last.picture = Some(last.picture.map_or(out, |newest| newest.max(out)));
            let mask = if header.wide { 0x7fff } else { 0x7f };
            patch = patch.picture_id((out & mask) as u16);
        }
        if let Some(tl0) = header.tl0 {
            let out = tl0.wrapping_sub(self.tl0_offset);
            last.tl0 = Some(newest_u8(last.tl0, out));
            patch = patch.tl0_pic_idx(out);
        }
        if let Some(key) = header.key {
            let out = key.wrapping_sub(self.key_offset) & 0x1f;
            last.key = Some(match last.key {
                Some(newest) if out.wrapping_sub(newest) & 0x1f >= 0x10 => newest,
                _ => out,
            });
            patch = patch.key_idx(out);
        }
        patch.build().ok()
    }

    /// The picture id on a line without wraps, near the newest known.
    fn extended(&self, header: &Vp8Header) -> Option<u64> {
        let id = header.picture?;
        let newest = self.pictures.as_ref()?.highest_in();
        let bits = if header.wide { 15 } else { 7 };
        let circle = 1_u64 << bits;
        let forward = u64::from(id).wrapping_sub(newest) & (circle - 1);
        Some(if forward < circle / 2 {
            newest + forward
        } else {
            (newest + forward).saturating_sub(circle)
        })
    }
}

fn newest_u8(last: Option<u8>, now: u8) -> u8 {
    match last {
        Some(last) if now.wrapping_sub(last) >= 0x80 => last,
        _ => now,
    }
}
