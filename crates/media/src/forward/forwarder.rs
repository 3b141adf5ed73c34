//! One subscription's stream: which packets go out, and under which numbers.

use std::time::{Duration, Instant, SystemTime};

use str0m::rtp::Vp8Patch;

use super::{
    Codec, Keyframe, LayerIndex,
    rewrite::{Clock, Runs, Seen, Vp8Header, Vp8Last, Vp8Rewrite},
};

/// A jump forward in sequence numbers beyond this is a new beginning, not a loss: nobody can ask for
/// that many packets again (receivers remember about a thousand).
const MAX_LOSS: u64 = 1_000;

/// A packet further behind than this is not late: the publisher counts anew, if the next one follows.
const MAX_LATE: u64 = 3_000;

/// For how long after a change the source before is taken for late packets instead of a change back.
const OLD_SOURCE: Duration = Duration::from_secs(1);

/// How many packets after an overtaken keyframe's first may be asked for again.
const MAX_MISSED: u64 = 256;

/// The wall clock and the RTP clock of one stream at one moment, from its RTCP sender report.
#[derive(Clone, Copy, Debug)]
pub struct SenderReport {
    /// The publisher's wall clock; only distances matter.
    pub ntp_time: SystemTime,
    /// The stream's RTP timestamp at that moment.
    pub rtp_time: u32,
}

/// A packet of the published track, of any of its layers.
#[derive(Clone, Copy, Debug)]
pub struct PacketIn<'a> {
    /// The simulcast layer it belongs to; 0 for audio and for a single layer.
    pub layer: LayerIndex,
    /// The stream's SSRC. Another one on the same layer is a restarted track.
    pub source: u32,
    /// Extended sequence number of the stream.
    pub seq: u64,
    /// RTP timestamp.
    pub rtp_time: u32,
    /// RTP marker: the last packet of a picture.
    pub marker: bool,
    /// RTP payload without header and padding.
    pub payload: &'a [u8],
    /// When it arrived.
    pub received: Instant,
    /// The newest sender report of this stream, if one came.
    pub report: Option<SenderReport>,
    /// [`Codec::keyframe`] of the payload, found once per packet and not once per subscriber.
    pub keyframe: Keyframe,
}

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does not go to this subscriber.
    Drop,
    /// It goes out.
    Send {
        /// Extended sequence number; the first one ever is below 65,536.
        seq: u64,
        /// RTP timestamp.
        rtp_time: u32,
        /// Changes to the VP8 descriptor.
        vp8: Option<Vp8Patch>,
        /// Whether to keep it for retransmission (video).
        nackable: bool,
        /// That many packets which follow this one in the source came before it and were dropped,
        /// because the keyframe they belong to had not begun. Whoever still has them passes
        /// `seq + 1 ..= seq + missed` of the source in again; nearly always 0.
        missed: u16,
    },
}

/// The stream that is being forwarded, or was before it.
#[derive(Clone, Debug)]
struct Segment {
    layer: LayerIndex,
    source: u32,
    numbers: Runs,
    time_offset: u32,
    vp8: Option<Vp8Rewrite>,
}

/// Decides for one subscription what goes out of one track.
///
/// - Video changes layers, begins and resumes only with a keyframe of the wanted layer; until it
///   comes, the layer before goes on.
/// - Outgoing sequence numbers close up over what is left out on purpose and keep the gaps of what
///   the publisher lost. A late packet gets the number that was kept for it, a duplicate the number
///   of the first.
/// - Timestamps go on evenly over changes of layer and source, pauses and mutes.
/// - VP8 picture id, TL0PICIDX and KEYIDX go on over all of them too.
///
/// Costs some 300 bytes, plus 3 kB while temporal layers are being left out.
#[derive(Clone, Debug)]
pub struct Forwarder {
    codec: Codec,
    target: Option<LayerIndex>,
    current: Option<Segment>,
    previous: Option<Box<Segment>>,
    switched: Option<Instant>,
    next_out: u64,
    clock: Clock,
    vp8_last: Vp8Last,
    max_temporal: u8,
    temporal: u8,
    /// The newest packet of the stream that is waited for: source, number, arrival.
    candidate: Option<(u32, u64, Instant)>,
    /// The number that would prove that the publisher counts anew.
    anew: Option<u64>,
    parameter_sets: bool,
}

impl Forwarder {
    /// A forwarder that sends nothing until it has a target. `first_seq` is 16 bits wide because an
    /// SRTP stream must begin in its first cycle.
    pub fn new(codec: Codec, first_seq: u16) -> Self {
        Self {
            codec,
            target: None,
            current: None,
            previous: None,
            switched: None,
            next_out: u64::from(first_seq),
            clock: Clock::new(codec.clock_hz()),
            vp8_last: Vp8Last::default(),
            max_temporal: u8::MAX,
            temporal: u8::MAX,
            candidate: None,
            anew: None,
            parameter_sets: false,
        }
    }

    /// Wants another layer, or none (paused). Takes effect at once for none, else with a keyframe.
    pub fn set_target(&mut self, target: Option<LayerIndex>) {
        if self.target != target {
            self.candidate = None;
        }
        self.target = target;
        if target.is_none() {
            self.end();
        }
    }

    /// The layer that is wanted; nothing if paused.
    pub fn target(&self) -> Option<LayerIndex> {
        self.target
    }

    /// The layer that goes out now; nothing before the first keyframe and while paused.
    pub fn layer(&self) -> Option<LayerIndex> {
        self.current.as_ref().map(|segment| segment.layer)
    }

    /// Leaves out VP8 temporal layers above this one (fewer pictures per second); `u8::MAX` leaves
    /// out none. Lowers at the next picture, rises at the next one that allows it.
    pub fn set_max_temporal(&mut self, max: u8) {
        self.max_temporal = max;
        self.temporal = self.temporal.min(max);
    }

    /// The layer of which a keyframe is needed to go on; nothing when all is well. Ask after
    /// [`set_target`](Self::set_target) and regularly, and pass it to the track's throttle.
    pub fn wants_keyframe(&self) -> Option<LayerIndex> {
        let target = self.target.filter(|_| !self.codec.is_audio())?;
        let wanting = self.layer() != Some(target) || self.candidate.is_some();
        wanting.then_some(target)
    }

    /// Decides one packet. Constant time but for late packets, which look through at most 128 runs.
    pub fn packet(&mut self, packet: &PacketIn<'_>) -> Verdict {
        let Some(target) = self.target else {
            return Verdict::Drop;
        };
        self.parameter_sets |= packet.keyframe == Keyframe::Start;
        let ours = self
            .current
            .as_ref()
            .is_some_and(|s| s.layer == packet.layer && s.source == packet.source);
        if ours {
            if let Some(verdict) = self.current_packet(packet) {
                return verdict;
            }
        } else if let Some(verdict) = self.previous_packet(packet) {
            return verdict;
        }
        if packet.layer == target || self.codec.is_audio() {
            self.begin(packet)
        } else {
            Verdict::Drop
        }
    }

    /// A packet of the stream that goes out; nothing if the stream has begun anew.
    fn current_packet(&mut self, packet: &PacketIn<'_>) -> Option<Verdict> {
        let segment = self.current.as_mut()?;
        let highest = segment.numbers.highest_in();
        if packet.seq > highest {
            if packet.seq - highest > MAX_LOSS {
                self.end();
                return None;
            }
            self.anew = None;
            return Some(self.newest(packet));
        }
        if highest - packet.seq > MAX_LATE {
            if self.anew == Some(packet.seq) {
                self.anew = None;
                self.end();
                // The old numbers mean something else now.
                self.previous = None;
                return None;
            }
            self.anew = Some(packet.seq + 1);
            return Some(Verdict::Drop);
        }
        let out = segment.late(packet, self.codec, &mut self.vp8_last);
        Some(out.map_or(Verdict::Drop, |(seq, vp8)| {
            self.send(seq, self.clock.map(packet.rtp_time), vp8)
        }))
    }

    /// A packet above all others of the stream that goes out.
    fn newest(&mut self, packet: &PacketIn<'_>) -> Verdict {
        let Some(segment) = self.current.as_mut() else {
            return Verdict::Drop;
        };
        let gone = |at| packet.received.saturating_duration_since(at) > OLD_SOURCE;
        if self.target == Some(segment.layer) && self.candidate.is_some_and(|(_, _, at)| gone(at)) {
            // Another stream on this layer said a word and fell silent: nothing to wait for.
            self.candidate = None;
        }
        let skipped = packet.seq - segment.numbers.highest_in() > 1;
        let header = match self.codec {
            Codec::Vp8 => Vp8Header::parse(packet.payload),
            _ => None,
        };
        // A packet without payload is padding of the publisher's pacer.
        let mut keep = !packet.payload.is_empty();
        let mut keep_skipped = true;
        if let (Some(header), Some(vp8)) = (&header, &mut segment.vp8) {
            if header.keyframe {
                self.temporal = self.max_temporal;
            } else if header.sync && header.temporal <= self.max_temporal {
                self.temporal = self.temporal.max(header.temporal);
            }
            let wanted = header.temporal <= self.temporal || header.temporal == 0;
            let fate = vp8.push(header, wanted, packet.marker, skipped);
            keep = fate.keep;
            keep_skipped = fate.keep_skipped;
        }
        let Some(seq) = segment.numbers.push(packet.seq, keep, keep_skipped) else {
            return Verdict::Drop;
        };
        let patch = match (&header, &segment.vp8) {
            (Some(header), Some(vp8)) => vp8.patch(header, &mut self.vp8_last),
            _ => None,
        };
        self.clock.sent(packet);
        self.send(seq, self.clock.map(packet.rtp_time), patch)
    }

    /// A late packet of the stream before the change; nothing if it is none.
    fn previous_packet(&mut self, packet: &PacketIn<'_>) -> Option<Verdict> {
        let segment = self.previous.as_ref()?;
        let current = self.current.as_ref()?;
        if segment.layer != packet.layer || segment.source != packet.source {
            return None;
        }
        // The clock of these is that of their time; the indices sent last are already beyond them.
        let late = segment.late(packet, self.codec, &mut self.vp8_last.clone());
        if let Some((seq, vp8)) = late {
            let time = packet.rtp_time.wrapping_sub(segment.time_offset);
            return Some(self.send(seq, time, vp8));
        }
        let recent = self
            .switched
            .is_some_and(|at| packet.received.saturating_duration_since(at) < OLD_SOURCE);
        // A stream that was replaced has stragglers; a layer that was left may be wanted again.
        (recent && segment.layer == current.layer).then_some(Verdict::Drop)
    }

    /// Begins with this packet if that is possible.
    fn begin(&mut self, packet: &PacketIn<'_>) -> Verdict {
        let mut missed = 0;
        if !self.codec.is_audio() {
            let newest = match self.candidate {
                Some((source, newest, _)) if source == packet.source => newest,
                _ => packet.seq,
            };
            self.candidate = Some((packet.source, newest.max(packet.seq), packet.received));
            let starts = match packet.keyframe {
                Keyframe::Start => true,
                Keyframe::Bare => !self.parameter_sets,
                Keyframe::No => false,
            };
            missed = newest.saturating_sub(packet.seq);
            if !starts || missed > MAX_MISSED {
                return Verdict::Drop;
            }
        }
        let vp8 = match self.codec {
            Codec::Vp8 => match Vp8Header::parse(packet.payload) {
                Some(header) => Some((header, Vp8Rewrite::new(&header, &self.vp8_last))),
                None => return Verdict::Drop,
            },
            _ => None,
        };
        self.end();
        let same = self
            .previous
            .as_ref()
            .is_some_and(|s| s.layer == packet.layer && s.source == packet.source);
        self.clock.switch(packet, same);
        self.clock.sent(packet);
        let patch = vp8
            .as_ref()
            .and_then(|(header, vp8)| vp8.patch(header, &mut self.vp8_last));
        let seq = self.next_out;
        self.current = Some(Segment {
            layer: packet.layer,
            source: packet.source,
            numbers: Runs::new(packet.seq, seq),
            time_offset: self.clock.offset(),
            vp8: vp8.map(|(_, vp8)| vp8),
        });
        self.temporal = self.max_temporal;
        self.candidate = None;
        self.switched = Some(packet.received);
        match self.send(seq, self.clock.map(packet.rtp_time), patch) {
            Verdict::Send {
                seq,
                rtp_time,
                vp8,
                nackable,
                ..
            } => Verdict::Send {
                seq,
                rtp_time,
                vp8,
                nackable,
                missed: missed as u16,
            },
            Verdict::Drop => Verdict::Drop,
        }
    }

    /// Ends the stream that goes out; what comes next continues after it.
    fn end(&mut self) {
        if let Some(segment) = self.current.take() {
            self.next_out = segment.numbers.next_out();
            self.previous = Some(Box::new(segment));
        }
    }

    fn send(&self, seq: u64, rtp_time: u32, vp8: Option<Vp8Patch>) -> Verdict {
        Verdict::Send {
            seq,
            rtp_time,
            vp8,
            nackable: !self.codec.is_audio(),
            missed: 0,
        }
    }
}

impl Segment {
    /// The number kept for a late packet and its VP8 changes; nothing if it was left out, is too old
    /// or was never reckoned with.
    fn late(
        &self,
        packet: &PacketIn<'_>,
        codec: Codec,
        last: &mut Vp8Last,
    ) -> Option<(u64, Option<Vp8Patch>)> {
        let Seen::Kept(seq) = self.numbers.seen(packet.seq) else {
            return None;
        };
        if packet.payload.is_empty() {
            return None;
        }
        let (Codec::Vp8, Some(vp8)) = (codec, &self.vp8) else {
            return Some((seq, None));
        };
        let Some(header) = Vp8Header::parse(packet.payload) else {
            return Some((seq, None));
        };
        if vp8.was_left_out(&header) {
            return None;
        }
        Some((seq, vp8.patch(&header, last)))
    }
}
