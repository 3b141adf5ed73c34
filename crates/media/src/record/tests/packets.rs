//! Frames out of RTP packets.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::record::bitstream::{
    PictureSize, h264_configuration, h264_size, vp8_key_frame, vp9_key_frame,
};
use crate::record::depacketize::{Depacketizer, VideoCodec, VideoFrame, VideoPacket};
use crate::record::reorder::Reorder;

/// The start of a VP8 key frame of 640 × 360.
pub(super) const VP8_KEY: [u8; 10] = [0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01];

/// A baseline parameter set of 1280 × 720, level 3.1, as OpenH264 writes it, and a picture set.
const SPS: [u8; 16] = [
    0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x28, 0x02, 0xdd, 0x80, 0xb5, 0x01, 0x01, 0x01, 0x40,
];
const PPS: [u8; 4] = [0x68, 0xce, 0x3c, 0x80];

fn push(
    depacketizer: &mut Depacketizer,
    rtp_time: u32,
    marker: bool,
    payload: &[u8],
    missing: u64,
) -> Option<VideoFrame> {
    depacketizer.push(VideoPacket {
        rtp_time,
        marker,
        payload,
        missing,
    })
}

#[test]
fn vp8_frames_are_whole_and_wait_for_a_key_frame_after_a_loss() {
    let mut vp8 = Depacketizer::new(VideoCodec::Vp8);
    let delta = [0x10, 0x01, 7, 7];
    assert!(
        push(&mut vp8, 1, true, &delta, 0).is_none(),
        "no key frame yet"
    );
    // Descriptor with a 15-bit picture id, a level-zero index and a layer.
    let start = [&[0x90, 0xe0, 0x81, 0x23, 5, 0x40][..], &VP8_KEY].concat();
    assert!(push(&mut vp8, 2, false, &start, 0).is_none());
    let key = push(&mut vp8, 2, true, &[0x00, 1, 2, 3], 0).unwrap();
    assert_eq!(
        key.key.unwrap().size,
        PictureSize {
            width: 640,
            height: 360
        }
    );
    assert_eq!(key.data, [&VP8_KEY[..], &[1, 2, 3]].concat());
    assert_eq!(push(&mut vp8, 3, true, &delta, 0).unwrap().data, [1, 7, 7]);
    assert!(
        push(&mut vp8, 5, true, &delta, 1).is_none(),
        "something is missing"
    );
    assert!(vp8.waits_for_key_frame());
    assert!(push(&mut vp8, 6, true, &delta, 0).is_none());
    assert!(push(&mut vp8, 7, true, &[&[0x10][..], &VP8_KEY].concat(), 0).is_some());
    assert!(push(&mut vp8, 8, true, &delta, 0).is_some());
}

#[test]
fn vp9_takes_the_lowest_spatial_layer() {
    let mut vp9 = Depacketizer::new(VideoCodec::Vp9);
    // Profile 0, key frame, sync code, BT.601, 320 × 180.
    let key = [0x82, 0x49, 0x83, 0x42, 0x20, 0x13, 0xf0, 0x0b, 0x30];
    assert_eq!(
        vp9_key_frame(&key),
        Some(PictureSize {
            width: 320,
            height: 180
        })
    );
    let lowest = [&[0xae, 0x81, 0x00, 0x00, 0x00, 0x10, 1, 64, 0, 180][..]].concat();
    // I, L, B, E, V: picture id, layer 0, index, structure of one layer with a size.
    let first = [&lowest[..], &key].concat();
    let frame = push(&mut vp9, 9, false, &first, 0).unwrap();
    assert_eq!(frame.data, key);
    let upper = [0xac, 0x81, 0x00, 0x02, 0x00, 9, 9];
    assert!(push(&mut vp9, 9, true, &upper, 0).is_none());
    assert!(!vp9.waits_for_key_frame());
}

#[test]
fn h264_units_get_lengths_and_the_parameter_sets_a_configuration() {
    assert_eq!(
        h264_size(&SPS),
        Some(PictureSize {
            width: 1280,
            height: 720
        })
    );
    let mut h264 = Depacketizer::new(VideoCodec::H264);
    let mut aggregate = vec![0x78, 0, SPS.len() as u8];
    aggregate.extend_from_slice(&SPS);
    aggregate.extend_from_slice(&[0, PPS.len() as u8]);
    aggregate.extend_from_slice(&PPS);
    assert!(push(&mut h264, 4, false, &aggregate, 0).is_none());
    assert!(push(&mut h264, 4, false, &[0x7c, 0x85, 1, 2], 0).is_none());
    let key = push(&mut h264, 4, true, &[0x7c, 0x45, 3], 0).unwrap();
    let configuration = key.key.unwrap().configuration;
    assert_eq!(configuration, h264_configuration(&SPS, &PPS).unwrap());
    assert_eq!(key.data[key.data.len() - 8..], [0, 0, 0, 4, 0x65, 1, 2, 3]);
    assert!(push(&mut h264, 5, true, &[0x41, 8], 0).is_some());
    assert!(
        push(&mut h264, 6, true, &[0x7c, 0x81, 1], 0).is_none(),
        "a unit without its end"
    );
}

#[test]
fn packets_come_out_in_order_and_a_hole_is_waited_for_but_not_for_ever() {
    let start = Instant::now();
    let hold = Duration::from_millis(500);
    let mut queue = Reorder::new(hold);
    for seq in [10, 12, 11, 11, 14] {
        queue.push(seq, start, seq);
    }
    assert!(
        queue.pop(start).is_none(),
        "the first may have been overtaken"
    );
    let later = start + hold;
    assert_eq!(queue.pop(later), Some((10, 0)));
    assert_eq!(queue.pop(start), Some((11, 0)));
    assert_eq!(queue.pop(start), Some((12, 0)));
    assert!(queue.pop(start).is_none());
    assert_eq!(queue.pop(later), Some((14, 1)));
    assert!(!queue.push(13, later, 13), "too late");
}

proptest! {
    #[test]
    fn depacketizers_and_header_readers_take_any_bytes(
        codec in prop_oneof![Just(VideoCodec::Vp8), Just(VideoCodec::Vp9), Just(VideoCodec::H264)],
        packets in proptest::collection::vec(
            (0..4_u32, any::<bool>(), 0..2_u64, proptest::collection::vec(any::<u8>(), 0..80)),
            0..40,
        ),
    ) {
        let mut depacketizer = Depacketizer::new(codec);
        for (rtp_time, marker, missing, payload) in packets {
            let _ = vp8_key_frame(&payload);
            let _ = vp9_key_frame(&payload);
            let _ = h264_size(&payload);
            push(&mut depacketizer, rtp_time, marker, &payload, missing);
        }
    }
}
