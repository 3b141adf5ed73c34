//! Keyframe throttle, dynacast, layers, keyframe detection.

use std::time::{Duration, Instant};

use livekit_protocol::{SubscribedCodec, UpdateTrackSettings, VideoLayer, VideoQuality};
use proptest::prelude::*;

use crate::forward::{Codec, Dynacast, Keyframe, KeyframeThrottle, Layers};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn a_request_within_the_window_is_remembered_and_issued_after_it() {
    let (start, mut throttle) = (Instant::now(), KeyframeThrottle::new());
    assert!(throttle.request(1, start));
    throttle.keyframe(1);
    assert!(!throttle.request(1, start + ms(100)));
    assert!(
        throttle.request(0, start + ms(100)),
        "another layer has its own window"
    );
    throttle.keyframe(0);
    assert_eq!(throttle.next_poll(), Some(start + ms(500)));
    assert!(throttle.poll(start + ms(499)).is_empty());
    assert_eq!(throttle.poll(start + ms(500)), [1]);
}

#[test]
fn a_request_is_repeated_each_second_until_a_keyframe_comes() {
    let (start, mut throttle) = (Instant::now(), KeyframeThrottle::new());
    let mut sent = u32::from(throttle.request(2, start));
    for n in 1..350 {
        sent += u32::from(throttle.request(2, start + ms(n * 10)));
        sent += throttle.poll(start + ms(n * 10)).len() as u32;
    }
    assert_eq!(sent, 4);
    throttle.keyframe(2);
    assert_eq!(throttle.next_poll(), None);
    assert!(throttle.poll(start + ms(9_000)).is_empty());
}

fn enabled(codecs: &[SubscribedCodec]) -> Vec<Vec<bool>> {
    let of = |c: &SubscribedCodec| c.qualities.iter().map(|q| q.enabled).collect();
    codecs.iter().map(of).collect()
}

#[test]
fn dynacast_rises_at_once_and_falls_after_five_seconds() {
    let start = Instant::now();
    let mut dynacast = Dynacast::new(&["video/VP8"], start);
    assert_eq!(dynacast.want(1, "vp8", VideoQuality::Low, start), None);
    assert_eq!(dynacast.poll(start + ms(4_999)), None);
    let told = dynacast.poll(start + ms(5_000)).unwrap();
    assert_eq!(told[0].codec, "vp8");
    assert_eq!(enabled(&told), [[true, false, false]]);
    let told = dynacast
        .want(2, "vp8", VideoQuality::High, start + ms(6_000))
        .unwrap();
    assert_eq!(enabled(&told), [[true, true, true]]);
    assert_eq!(dynacast.remove(2, start + ms(7_000)), None);
    // It came back in time: nobody hears of it.
    assert_eq!(
        dynacast.want(2, "vp8", VideoQuality::High, start + ms(11_000)),
        None
    );
    assert_eq!(dynacast.poll(start + ms(20_000)), None);
    dynacast.remove(1, start + ms(20_000));
    dynacast.remove(2, start + ms(20_000));
    let told = dynacast.poll(start + ms(25_000)).unwrap();
    assert_eq!(enabled(&told), [[false, false, false]]);
}

#[test]
fn dynacast_counts_each_codec_by_itself() {
    let start = Instant::now();
    let mut dynacast = Dynacast::new(&["vp9", "vp8"], start);
    dynacast.want(1, "vp8", VideoQuality::Medium, start);
    let told = dynacast.poll(start + ms(5_000)).unwrap();
    assert_eq!(enabled(&told), [[false, false, false], [true, true, false]]);
}

fn three(start: Instant) -> Layers {
    let layer = |quality: VideoQuality, width, height, bitrate| VideoLayer {
        quality: quality as i32,
        width,
        height,
        bitrate,
        ..VideoLayer::default()
    };
    let layers = [
        layer(VideoQuality::High, 1280, 720, 1_700_000),
        layer(VideoQuality::Low, 320, 180, 150_000),
        layer(VideoQuality::Medium, 640, 360, 500_000),
    ];
    Layers::new(&layers, start)
}

#[test]
fn wishes_choose_the_smallest_layer_that_fills_the_size() {
    let layers = three(Instant::now());
    let wish = |width, height, quality: VideoQuality, disabled| {
        let settings = UpdateTrackSettings {
            width,
            height,
            quality: quality as i32,
            disabled,
            ..UpdateTrackSettings::default()
        };
        let wish = layers.wish(&settings);
        (wish.max_layer, wish.quality, wish.enabled)
    };
    assert_eq!(
        wish(400, 200, VideoQuality::High, false),
        (1, VideoQuality::Medium, true)
    );
    assert_eq!(
        wish(200, 300, VideoQuality::High, false),
        (1, VideoQuality::Medium, true)
    );
    assert_eq!(
        wish(4000, 3000, VideoQuality::Low, false),
        (2, VideoQuality::High, true)
    );
    assert_eq!(
        wish(0, 0, VideoQuality::Low, false),
        (0, VideoQuality::Low, true)
    );
    assert_eq!(wish(0, 0, VideoQuality::High, true).1, VideoQuality::Off);
    assert_eq!(
        [Some("q"), Some("f"), None, Some("x")].map(|r| layers.by_rid(r)),
        [Some(0), Some(2), Some(0), None]
    );
}

#[test]
fn layers_are_measured_and_found_stopped() {
    let start = Instant::now();
    let mut layers = three(start);
    for n in 0..150_u64 {
        let now = start + ms(n * 33);
        layers.packet(0, [0, 2, 1, 2][n as usize % 4], 600, true, now);
        if n < 75 {
            layers.packet(2, 0, 5_000, true, now);
        }
    }
    let now = start + ms(4_950);
    let bps = layers.measured_bps(0, u8::MAX, now).unwrap();
    assert!((138_000..153_000).contains(&bps), "{bps}");
    let fps = layers.measured_fps(0, 0, now).unwrap();
    assert!((6.5..8.5).contains(&fps), "{fps}");
    assert_eq!([0, 1, 2].map(|l| layers.live(l)), [true, false, false]);
    assert_eq!(
        layers.bps(2, now),
        1_700_000,
        "what stopped costs what was announced"
    );
    assert_eq!(layers.temporal_for_fps(0, 15, now), 1);
    assert_eq!(layers.temporal_for_fps(0, 30, now), u8::MAX);
    assert_eq!(layers.temporal_for_fps(0, 1, now), 0);
    assert!(layers.live(0), "a muted track keeps its layer");
}

#[test]
fn keyframes_are_found_where_they_begin() {
    let cases: [(Codec, &[u8], Keyframe); 14] = [
        (Codec::Vp8, &[0x10, 0x00], Keyframe::Start),
        (Codec::Vp8, &[0x10, 0x01], Keyframe::No),
        (Codec::Vp8, &[0x00, 0x00], Keyframe::No),
        (Codec::H264, &[0x67, 1], Keyframe::Start),
        (Codec::H264, &[24, 0, 1, 0x67, 0, 1, 0x68], Keyframe::Start),
        (Codec::H264, &[24, 0, 9, 0x67], Keyframe::No),
        (Codec::H264, &[28, 0x85, 0], Keyframe::Bare),
        (Codec::H264, &[28, 0x05, 0], Keyframe::No),
        (Codec::H264, &[0x41, 1], Keyframe::No),
        (Codec::Vp9, &[0x88, 0x05, 1], Keyframe::Start),
        (Codec::Vp9, &[0xc8, 0x05, 1], Keyframe::No),
        (Codec::Vp9, &[0xa8, 0x80, 0x05, 0x02, 1], Keyframe::No),
        (Codec::Av1, &[0x18, 0x0a], Keyframe::Start),
        (Codec::Av1, &[0x10, 0x0a], Keyframe::No),
    ];
    for (codec, payload, expected) in cases {
        assert_eq!(codec.keyframe(payload), expected, "{codec:?} {payload:x?}");
    }
}

proptest! {
    #[test]
    fn any_payload_gets_an_answer(payload in prop::collection::vec(any::<u8>(), 0..40)) {
        for codec in [Codec::Opus, Codec::Vp8, Codec::H264, Codec::Vp9, Codec::Av1] {
            codec.keyframe(&payload);
        }
    }
}
