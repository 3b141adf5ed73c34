//! Layer changes, losses and temporal layers, as the receiver sees them.

use std::time::{Duration, Instant, SystemTime};

use super::network::{
    Encoder, Packet, Picture, Sent, Way, decodable, feed, longest_freeze, receive, travel,
};
use crate::forward::{Codec, Forwarder, KeyframeThrottle};

const PERFECT: Way = Way {
    loss: 0.0,
    jitter: Duration::ZERO,
    duplicates: 0.0,
    again: None,
};

/// Runs three layers for some seconds over the way; keyframes come when the forwarder asks for them.
/// `steer` is called every 33 ms with the picture's number.
fn run(
    encoders: &mut [Encoder],
    seconds: u64,
    way: Way,
    mut steer: impl FnMut(u64, &mut Forwarder),
) -> Vec<Sent> {
    let start = Instant::now();
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let mut forwarder = Forwarder::new(Codec::Vp8, 65_500);
    let mut throttle = KeyframeThrottle::new();
    let mut under_way: Vec<(Duration, Packet)> = Vec::new();
    let (mut seen, mut out) = (Vec::new(), Vec::new());
    for n in 0..seconds * 30 {
        let at = Duration::from_micros(n * 33_333);
        let now = start + at;
        steer(n, &mut forwarder);
        if let Some(layer) = forwarder.wants_keyframe() {
            let mut asked = throttle.poll(now);
            asked.extend(throttle.request(layer, now).then_some(layer));
            for layer in asked {
                encoders[usize::from(layer)].key_wanted = true;
            }
        }
        for encoder in encoders.iter_mut() {
            let packets = encoder.picture(at, wall);
            under_way.extend(travel(packets, way, n * 3 + u64::from(encoder.layer)));
        }
        under_way.sort_by_key(|(at, p)| (*at, p.source, p.seq));
        let next = at + Duration::from_micros(33_333);
        let arrived = under_way.partition_point(|(at, _)| *at < next);
        for (at, packet) in under_way.drain(..arrived) {
            feed(
                &mut forwarder,
                Codec::Vp8,
                &packet,
                &seen,
                start + at,
                &mut out,
            );
            if packet.payload[6] & 1 == 0 && packet.payload[0] & 0x10 != 0 {
                throttle.keyframe(packet.layer);
            }
            seen.push(packet);
        }
    }
    out
}

fn encoders(seed: u64) -> Vec<Encoder> {
    (0..3).map(|layer| Encoder::new(layer, seed)).collect()
}

fn assert_in_step(shown: &[&Picture]) {
    for pair in shown.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        let forward = b.rtp_time.wrapping_sub(a.rtp_time);
        assert!(
            (1..1 << 31).contains(&forward),
            "time went back: {a:?} {b:?}"
        );
        let passed = (b.captured.saturating_sub(a.captured).as_micros() * 9 / 100) as u32;
        assert!(forward.abs_diff(passed) <= 10, "time jumped: {a:?} {b:?}");
        assert!(
            (b.id.wrapping_sub(a.id) & 0x7fff) < 0x4000,
            "picture id went back: {a:?} {b:?}"
        );
        assert!(
            b.tl0.wrapping_sub(a.tl0) < 0x80,
            "TL0PICIDX went back: {a:?} {b:?}"
        );
    }
}

#[test]
fn changing_layers_every_second_neither_freezes_nor_leaves_a_hole() {
    let sent = run(&mut encoders(1), 20, PERFECT, |n, f| {
        if n % 30 == 0 {
            f.set_target(Some([0, 2, 1, 2, 0, 1][(n / 30 % 6) as usize]));
        }
    });
    for (n, s) in sent.iter().enumerate() {
        assert_eq!(s.seq, 65_500 + n as u64);
    }
    let pictures = receive(&sent);
    let shown = decodable(&pictures);
    assert!(shown.len() >= 595, "{}", shown.len());
    assert!(longest_freeze(&shown) < Duration::from_millis(70));
    assert_in_step(&shown);
    // A change may cut the layer before in the middle of a picture, which keeps its id.
    for pair in pictures.windows(2) {
        assert_eq!(pair[1].id, (pair[0].id + 1) & 0x7fff);
        let keys = u8::from(pair[1].key);
        assert_eq!(pair[1].key_index, (pair[0].key_index + keys) & 0x1f);
    }
    assert!(
        shown
            .windows(2)
            .filter(|p| p[0].layer != p[1].layer)
            .count()
            >= 15
    );
}

#[test]
fn without_sender_reports_the_arrival_keeps_time_even() {
    let mut encoders = encoders(2);
    for encoder in &mut encoders {
        encoder.reports = false;
    }
    let sent = run(&mut encoders, 10, PERFECT, |n, f| {
        if n % 45 == 0 {
            f.set_target(Some((n / 45 % 3) as u8));
        }
    });
    let pictures = receive(&sent);
    let shown = decodable(&pictures);
    for pair in shown.windows(2) {
        let forward = pair[1].rtp_time.wrapping_sub(pair[0].rtp_time);
        assert!((2_500..3_600).contains(&forward), "{pair:?}");
    }
}

#[test]
fn jitter_reordering_and_duplicates_cost_no_picture() {
    let way = Way {
        loss: 0.05,
        jitter: Duration::from_millis(200),
        duplicates: 0.03,
        again: Some(Duration::from_millis(60)),
    };
    let sent = run(&mut encoders(3), 30, way, |n, f| {
        if n % 90 == 0 {
            f.set_target(Some([1, 2, 0, 2][(n / 90 % 4) as usize]));
        }
    });
    let pictures = receive(&sent);
    let shown = decodable(&pictures);
    let freeze = longest_freeze(&shown);
    assert!(
        shown.len() * 100 >= pictures.len() * 97,
        "{} of {}",
        shown.len(),
        pictures.len()
    );
    assert!(freeze < Duration::from_millis(400), "{freeze:?}");
    assert!(
        shown
            .windows(2)
            .filter(|p| p[0].layer != p[1].layer)
            .count()
            >= 8
    );
}

#[test]
fn what_the_publisher_lost_stays_a_gap_of_its_size() {
    let way = Way {
        loss: 0.05,
        ..PERFECT
    };
    let mut encoders = encoders(4);
    let sent = run(&mut encoders, 10, way, |n, f| {
        if n == 0 {
            f.set_target(Some(0));
        }
    });
    let first = &sent[0];
    for s in &sent {
        assert_eq!(s.seq - first.seq, s.packet.seq - first.packet.seq);
    }
    assert!(sent.len() < 295);
}

#[test]
fn leaving_out_temporal_layers_keeps_numbers_and_picture_ids_without_holes() {
    let sent = run(&mut encoders(5), 12, PERFECT, |n, f| {
        f.set_target(Some(2));
        f.set_max_temporal([2, 0, 1, u8::MAX][(n / 90) as usize]);
    });
    for (n, s) in sent.iter().enumerate() {
        assert_eq!(s.seq, 65_500 + n as u64);
    }
    let pictures = receive(&sent);
    let shown = decodable(&pictures);
    assert_eq!(shown.len(), pictures.len());
    for pair in shown.windows(2) {
        assert_eq!(pair[1].id, (pair[0].id + 1) & 0x7fff);
    }
    let in_second = |s: u64| {
        let range = Duration::from_secs(s)..Duration::from_secs(s + 1);
        shown.iter().filter(|p| range.contains(&p.captured)).count()
    };
    assert_eq!(in_second(1), 30);
    assert!((7..=8).contains(&in_second(4)), "{}", in_second(4));
    assert!((15..=16).contains(&in_second(7)), "{}", in_second(7));
    assert_eq!(in_second(10), 30);
}

#[test]
fn temporal_layers_left_out_of_a_lossy_stream_still_decode() {
    let way = Way {
        loss: 0.05,
        jitter: Duration::from_millis(40),
        duplicates: 0.02,
        again: Some(Duration::from_millis(50)),
    };
    let sent = run(&mut encoders(6), 20, way, |_, f| {
        f.set_target(Some(1));
        f.set_max_temporal(1);
    });
    let pictures = receive(&sent);
    let shown = decodable(&pictures);
    assert!(shown.len() >= 280, "{}", shown.len());
    assert!(longest_freeze(&shown) <= Duration::from_millis(300));
}

#[test]
fn a_pause_ends_with_a_keyframe_and_leaves_no_hole() {
    let sent = run(&mut encoders(7), 9, PERFECT, |n, f| {
        f.set_target(if (n / 60) % 2 == 0 { Some(1) } else { None });
    });
    for (n, s) in sent.iter().enumerate() {
        assert_eq!(s.seq, 65_500 + n as u64);
    }
    let pictures = receive(&sent);
    let shown = decodable(&pictures);
    assert_eq!(shown.len(), pictures.len());
    assert!(longest_freeze(&shown) > Duration::from_millis(1_900));
    assert_in_step(&shown);
}
