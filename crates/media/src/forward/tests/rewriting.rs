//! Numbers and timestamps: audio, wraps, restarts, and what must hold for any input.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use crate::forward::{Codec, Forwarder, Keyframe, PacketIn, Verdict};

fn packet(source: u32, seq: u64, rtp_time: u32, received: Instant) -> PacketIn<'static> {
    PacketIn {
        layer: 0,
        source,
        seq,
        rtp_time,
        marker: false,
        payload: &[1, 2, 3],
        received,
        report: None,
        keyframe: Keyframe::Start,
    }
}

fn opus(first_seq: u16) -> Forwarder {
    let mut forwarder = Forwarder::new(Codec::Opus, first_seq);
    forwarder.set_target(Some(0));
    forwarder
}

fn sent(verdict: Verdict) -> Option<(u64, u32)> {
    match verdict {
        Verdict::Send { seq, rtp_time, .. } => Some((seq, rtp_time)),
        Verdict::Drop => None,
    }
}

#[test]
fn a_new_stream_begins_below_65536_whatever_the_source_counts() {
    let (mut forwarder, now) = (opus(65_535), Instant::now());
    let first = sent(forwarder.packet(&packet(1, 3 << 16, 0, now)));
    assert_eq!(first, Some((65_535, 0)));
    let second = sent(forwarder.packet(&packet(1, (3 << 16) + 1, 960, now)));
    assert_eq!(second, Some((65_536, 960)));
}

#[test]
fn numbers_and_times_go_on_over_their_wraps() {
    let (mut forwarder, start) = (opus(65_000), Instant::now());
    for n in 0..200_000_u64 {
        let time = (u32::MAX - 5_000_000).wrapping_add(n as u32 * 960);
        let at = start + Duration::from_millis(n * 20);
        let out = sent(forwarder.packet(&packet(1, 65_400 + n, time, at)));
        assert_eq!(out, Some((65_000 + n, time)));
    }
}

#[test]
fn a_silence_of_dtx_passes_with_its_time() {
    let (mut forwarder, now) = (opus(10), Instant::now());
    forwarder.packet(&packet(1, 100, 0, now));
    let later = now + Duration::from_secs(30);
    let out = sent(forwarder.packet(&packet(1, 101, 1_440_000, later)));
    assert_eq!(out, Some((11, 1_440_000)));
}

#[test]
fn a_restarted_microphone_goes_on_without_a_jump() {
    let (mut forwarder, start) = (opus(10), Instant::now());
    for n in 0..50_u64 {
        forwarder.packet(&packet(
            1,
            900 + n,
            n as u32 * 960,
            start + Duration::from_millis(n * 20),
        ));
    }
    let at = start + Duration::from_millis(1_200);
    let (seq, time) = sent(forwarder.packet(&packet(2, 40_000, 3_000_000_000, at))).unwrap();
    assert_eq!(seq, 60);
    assert!(time.abs_diff(1_200 * 48) < 100, "{time}");
    assert_eq!(
        sent(forwarder.packet(&packet(1, 900 + 50, 50 * 960, at))),
        None
    );
    // What was lost of the old source and comes late finds its place: none here, all were given.
    let again = sent(forwarder.packet(&packet(1, 949, 49 * 960, at)));
    assert_eq!(again, Some((59, 49 * 960)));
    let next = sent(forwarder.packet(&packet(2, 40_001, 3_000_000_960, at))).unwrap();
    assert_eq!(next, (61, time + 960));
}

#[test]
fn late_packets_of_the_source_before_fill_their_gap() {
    let (mut forwarder, now) = (opus(0), Instant::now());
    for seq in [10, 11, 13] {
        forwarder.packet(&packet(1, seq, seq as u32 * 960, now));
    }
    forwarder.packet(&packet(2, 500, 7, now));
    assert_eq!(
        sent(forwarder.packet(&packet(1, 12, 12 * 960, now))),
        Some((2, 12 * 960))
    );
    assert_eq!(sent(forwarder.packet(&packet(1, 14, 14 * 960, now))), None);
}

#[test]
fn a_publisher_that_counts_anew_is_followed() {
    let (mut forwarder, now) = (opus(0), Instant::now());
    forwarder.packet(&packet(1, 50_000, 0, now));
    assert_eq!(
        sent(forwarder.packet(&packet(1, 90_000, 960, now)))
            .unwrap()
            .0,
        1
    );
    assert_eq!(sent(forwarder.packet(&packet(1, 5, 1_920, now))), None);
    assert_eq!(
        sent(forwarder.packet(&packet(1, 6, 2_880, now))).unwrap().0,
        2
    );
    assert_eq!(
        sent(forwarder.packet(&packet(1, 7, 3_840, now))).unwrap().0,
        3
    );
}

#[test]
fn a_restarted_camera_waits_for_a_keyframe_of_the_new_stream() {
    let mut forwarder = Forwarder::new(Codec::H264, 0);
    forwarder.set_target(Some(0));
    let now = Instant::now();
    assert_eq!(forwarder.wants_keyframe(), Some(0));
    forwarder.packet(&packet(1, 1, 0, now));
    assert_eq!(forwarder.wants_keyframe(), None);
    let delta = PacketIn {
        keyframe: Keyframe::No,
        ..packet(2, 70, 5, now)
    };
    assert_eq!(forwarder.packet(&delta), Verdict::Drop);
    assert_eq!(forwarder.wants_keyframe(), Some(0));
    assert_eq!(sent(forwarder.packet(&packet(2, 71, 9, now))).unwrap().0, 1);
    assert_eq!(forwarder.wants_keyframe(), None);
}

#[test]
fn h264_begins_with_parameter_sets_where_there_are_any() {
    let mut forwarder = Forwarder::new(Codec::H264, 0);
    forwarder.set_target(Some(1));
    let now = Instant::now();
    let bare = PacketIn {
        keyframe: Keyframe::Bare,
        ..packet(1, 1, 0, now)
    };
    forwarder.packet(&packet(1, 0, 0, now));
    assert_eq!(
        forwarder.packet(&PacketIn { layer: 1, ..bare }),
        Verdict::Drop
    );
    let mut forwarder = Forwarder::new(Codec::H264, 0);
    forwarder.set_target(Some(0));
    assert!(sent(forwarder.packet(&bare)).is_some());
}

#[test]
fn padding_of_the_publisher_leaves_no_hole() {
    let (mut forwarder, now) = (opus(0), Instant::now());
    forwarder.packet(&packet(1, 1, 0, now));
    let padding = PacketIn {
        payload: &[],
        ..packet(1, 2, 0, now)
    };
    assert_eq!(forwarder.packet(&padding), Verdict::Drop);
    assert_eq!(
        sent(forwarder.packet(&packet(1, 3, 960, now))).unwrap().0,
        1
    );
    assert_eq!(forwarder.packet(&padding), Verdict::Drop);
}

/// What may happen to a forwarder, small enough to collide often.
#[derive(Clone, Debug)]
enum Step {
    Target(Option<u8>),
    Temporal(u8),
    Packet {
        layer: u8,
        source: u32,
        back: u64,
        skip: u64,
        payload: Vec<u8>,
        time: u32,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let payload = prop_oneof![
        Just(vec![]),
        prop::collection::vec(any::<u8>(), 0..12),
        (any::<bool>(), any::<u16>(), 0_u8..3, any::<bool>()).prop_map(
            |(start, id, tid, key)| vec![
                0x80 | if start { 0x10 } else { 0 },
                0xf0,
                0x80 | (id >> 8) as u8,
                id as u8,
                3,
                tid << 6 | 4,
                u8::from(!key),
                9,
            ]
        ),
    ];
    prop_oneof![
        1 => prop::option::of(0_u8..3).prop_map(Step::Target),
        1 => (0_u8..4).prop_map(Step::Temporal),
        20 => (0_u8..3, 0_u32..2, prop_oneof![Just(0_u64), 0_u64..20, 0_u64..9_000], prop_oneof![Just(0_u64), 0_u64..4, 0_u64..2_000], payload, any::<u32>())
            .prop_map(|(layer, source, back, skip, payload, time)| Step::Packet { layer, source, back, skip, payload, time }),
    ]
}

proptest! {
    #[test]
    fn no_two_different_packets_share_a_number_and_numbers_have_no_holes_of_ours(
        steps in prop::collection::vec(step(), 1..400),
        codec in prop::sample::select(vec![Codec::Opus, Codec::Vp8, Codec::H264, Codec::Av1]),
        first in any::<u16>(),
    ) {
        let mut forwarder = Forwarder::new(codec, first);
        let start = Instant::now();
        let mut newest: HashMap<(u8, u32), u64> = HashMap::new();
        // A number of a source always carries the same packet.
        let mut packets: HashMap<(u8, u32, u64), (Vec<u8>, u32)> = HashMap::new();
        let mut given: HashMap<u64, (u8, u32, u64)> = HashMap::new();
        let mut skipped = 0_u64;
        for (n, step) in steps.into_iter().enumerate() {
            match step {
                Step::Target(target) => forwarder.set_target(target),
                Step::Temporal(max) => forwarder.set_max_temporal(max),
                Step::Packet { layer, source, back, skip, payload, time } => {
                    let top = newest.entry((layer, source)).or_insert(100_000);
                    let seq = if back == 0 { *top + 1 + skip } else { top.saturating_sub(back) };
                    if seq > *top {
                        skipped += seq - *top - 1;
                        *top = seq;
                    }
                    let id = (layer, source, seq);
                    let (payload, rtp_time) = packets.entry(id).or_insert((payload, time)).clone();
                    let input = PacketIn {
                        layer,
                        source: source + 10 * u32::from(layer),
                        seq,
                        rtp_time,
                        marker: time % 2 == 0,
                        payload: &payload,
                        received: start + Duration::from_millis(n as u64 * 7),
                        report: None,
                        keyframe: codec.keyframe(&payload),
                    };
                    if let Verdict::Send { seq: out, .. } = forwarder.packet(&input) {
                        prop_assert!(out >= u64::from(first));
                        let other = given.insert(out, id);
                        prop_assert!(other.is_none_or(|other| other == id), "{out}: {other:?} {id:?}");
                    }
                }
            }
        }
        if let Some(highest) = given.keys().max() {
            let holes = highest + 1 - u64::from(first) - given.len() as u64;
            // A gap is never larger than what the publisher skipped.
            prop_assert!(holes <= skipped, "{holes} holes, {skipped} skipped");
        }
    }

    #[test]
    fn in_order_packets_go_out_contiguous_and_in_time(
        gaps in prop::collection::vec((1_u64..40, 0_usize..3), 1..300),
    ) {
        let mut forwarder = opus(7);
        let start = Instant::now();
        let (mut at, mut seqs, mut expected) = (Duration::ZERO, [5_u64; 3], 7);
        let mut last: Option<u32> = None;
        for (gap, source) in gaps {
            at += Duration::from_millis(gap * 1_020);
            seqs[source] += 1;
            let time = (at.as_millis() as u32 * 48).wrapping_add(source as u32 * 0x4fff_ffff);
            let input = packet(source as u32, seqs[source], time, start + at);
            let (seq, time) = sent(forwarder.packet(&input)).unwrap();
            prop_assert_eq!(seq, expected);
            expected += 1;
            if let Some(last) = last {
                let forward = time.wrapping_sub(last);
                prop_assert!(forward.abs_diff(gap as u32 * 1_020 * 48) <= 48);
            }
            last = Some(time);
        }
    }
}
