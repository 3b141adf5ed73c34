//! Tests of the codec, the clock, the jitter buffer and the mixer, in simulated time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::clock::RtpClock;
use super::jitter::{Content, JitterBuffer};
use super::lateness::DelayBounds;
use super::mixer::{MAX_CATCH_UP_FRAMES, Mixer, SourcePacket};
use super::opus::{Decoder, Encoder, FRAME_SAMPLES, Layout, packet_facts};
use super::red::unwrap_red;

/// Frames of a 300 Hz tone at a quarter of full scale, encoded.
pub(crate) fn tone_packets(count: usize) -> Vec<Arc<[u8]>> {
    tone_packets_of(300.0, count)
}

/// Frames of a tone at a quarter of full scale, encoded.
pub(crate) fn tone_packets_of(hz: f32, count: usize) -> Vec<Arc<[u8]>> {
    let mut encoder = Encoder::voice(32_000).unwrap();
    (0..count)
        .map(|frame| {
            let pcm: Vec<i16> = (0..FRAME_SAMPLES)
                .map(|sample| {
                    let time = (frame * FRAME_SAMPLES + sample) as f32 / 48_000.0;
                    ((time * hz * std::f32::consts::TAU).sin() * 8_000.0) as i16
                })
                .collect();
            Arc::from(encoder.encode(&pcm).unwrap())
        })
        .collect()
}

fn ms(value: u64) -> Duration {
    Duration::from_millis(value)
}

#[test]
fn a_tone_survives_encoding_and_decoding() {
    let mut decoder = Decoder::new().unwrap();
    let mut energy = 0.0;
    for packet in tone_packets(50) {
        let pcm = decoder.decode(&packet).unwrap();
        assert_eq!(pcm.len(), FRAME_SAMPLES);
        energy = pcm
            .iter()
            .map(|sample| f64::from(*sample).powi(2))
            .sum::<f64>()
            / 960.0;
    }
    // A sine of amplitude 8,000 has a mean square of 32 million.
    assert!((20e6..45e6).contains(&energy), "mean square {energy}");
}

#[test]
fn a_packet_tells_its_length_channels_and_pauses() {
    let facts = packet_facts(&[0xf8, 0xff, 0xfe]).unwrap();
    assert_eq!(
        (facts.samples, facts.frames, facts.layout),
        (960, 1, Layout::Mono)
    );
    assert!(!facts.is_dtx());
    assert!(packet_facts(&[0x78]).unwrap().is_dtx());
    let six = packet_facts(&[0xff, 0x06, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]).unwrap();
    assert_eq!(
        (six.samples, six.frames, six.layout),
        (5_760, 6, Layout::Stereo)
    );
    assert!(packet_facts(&[]).is_err(), "an empty packet");
    assert!(packet_facts(&[0xff, 0x07]).is_err(), "140 ms");
    assert!(
        packet_facts(&[0xf9, 1, 2, 3]).is_err(),
        "two frames of unequal length under code 1"
    );
    assert!(
        packet_facts(&[0xfb, 0x41, 200, 1]).is_err(),
        "more padding than packet"
    );
}

#[test]
fn red_yields_its_primary_and_older_blocks_of_the_same_kind() {
    // One block of type 111, 960 older, two bytes; one of type 13; the primary of type 111.
    let payload = [
        0x80 | 111,
        15,
        0,
        2,
        0x80 | 13,
        15,
        0,
        1,
        111,
        1,
        2,
        3,
        4,
        5,
    ];
    let red = unwrap_red(&payload).unwrap();
    assert_eq!(red.primary, [4, 5]);
    assert_eq!(red.redundant.len(), 1);
    assert_eq!(
        (red.redundant[0].timestamp_offset, red.redundant[0].payload),
        (960, &[1, 2][..])
    );
    assert!(unwrap_red(&payload[..8]).is_none());
}

#[test]
fn the_clock_follows_a_crystal_that_is_100_ppm_fast_for_three_hours() {
    let origin = Instant::now();
    let mut clock = RtpClock::new(48_000, origin);
    let first = 4_294_000_000_u32;
    for packet in 0..(3 * 3_600 * 50_u64) {
        // 20 ms of media take 19.998 ms of wall time; the network adds 0 to 30 ms.
        let captured = Duration::from_micros(packet * 19_998);
        let arrived = origin + captured + ms(packet * 7 % 31);
        let rtp_time = first.wrapping_add((packet * 960) as u32);
        let placement = clock.place(rtp_time, arrived).unwrap();
        assert!(!placement.restarted);
        let error = placement.wall - captured.as_micros() as i64 * 48 / 1_000;
        assert!(
            (-1..=1_500).contains(&error),
            "packet {packet} is {error} samples off"
        );
    }
}

#[test]
fn one_stray_timestamp_is_dropped_and_two_are_a_restart() {
    let origin = Instant::now();
    let mut clock = RtpClock::new(48_000, origin);
    assert!(clock.place(1_000, origin).is_some());
    assert!(clock.place(900_000_000, origin + ms(20)).is_none());
    assert!(
        !clock
            .place(1_000 + 1_920, origin + ms(40))
            .unwrap()
            .restarted
    );
    assert!(clock.place(700_000_000, origin + ms(60)).is_none());
    assert!(clock.place(700_000_960, origin + ms(80)).unwrap().restarted);
}

/// Plays `packets` through a buffer; `arrival` gives each packet's arrival in ms or loses it.
fn play(
    packets: &[Arc<[u8]>],
    frames: u64,
    arrival: impl Fn(u64) -> Option<u64>,
) -> (JitterBuffer, Vec<Content>) {
    let origin = Instant::now();
    let mut buffer = JitterBuffer::new(DelayBounds::default(), origin).unwrap();
    let mut due: Vec<(u64, u64)> = (0..packets.len() as u64)
        .filter_map(|index| arrival(index).map(|at| (at, index)))
        .collect();
    due.sort();
    let mut next = 0;
    let mut contents = Vec::new();
    for frame in 0..frames {
        while let Some(&(at, index)) = due.get(next).filter(|(at, _)| *at <= frame * 20) {
            let payload = Arc::clone(&packets[index as usize]);
            let rtp_time = (index * 960) as u32;
            buffer.insert(1_000 + index, rtp_time, payload, origin + ms(at));
            next += 1;
        }
        contents.push(buffer.pull(origin + ms(frame * 20)).content);
    }
    (buffer, contents)
}

#[test]
fn a_smooth_track_is_decoded_without_concealment() {
    let (buffer, contents) = play(&tone_packets(200), 200, |index| Some(index * 20));
    assert_eq!(buffer.counters().concealed_samples, 0);
    assert_eq!(buffer.counters().lost, 0);
    assert!(
        contents
            .iter()
            .filter(|content| **content == Content::Decoded)
            .count()
            >= 195
    );
}

#[test]
fn lost_packets_are_counted_and_concealed() {
    let arrival = |index: u64| (!index.is_multiple_of(10)).then_some(index * 20);
    let (buffer, _) = play(&tone_packets(200), 200, arrival);
    let counters = buffer.counters();
    assert!((18..=20).contains(&counters.lost), "{counters:?}");
    assert!(counters.concealed_samples >= 17 * 960, "{counters:?}");
}

#[test]
fn jitter_of_100_ms_deepens_the_buffer_until_nothing_is_late() {
    let jittery = |index: u64| Some(index * 20 + index * 37 % 101);
    let (buffer, contents) = play(&tone_packets(600), 600, jittery);
    assert!(
        buffer.target_delay() >= ms(90),
        "{:?}",
        buffer.target_delay()
    );
    let tail = &contents[300..];
    let concealed = tail
        .iter()
        .filter(|content| **content != Content::Decoded)
        .count();
    assert!(
        concealed <= 12,
        "{concealed} of 300 frames, {:?}",
        buffer.counters()
    );
}

#[test]
fn a_packet_that_comes_twice_is_played_once() {
    let origin = Instant::now();
    let mut buffer = JitterBuffer::new(DelayBounds::default(), origin).unwrap();
    let packets = tone_packets(2);
    for _ in 0..3 {
        buffer.insert(7, 0, Arc::clone(&packets[0]), origin);
    }
    assert_eq!(buffer.counters().duplicated, 2);
}

#[test]
fn a_pause_of_the_sender_is_silence_and_not_a_loss() {
    // Packets 50 to 99 are not sent at all: the sequence numbers go on without a gap.
    let packets = tone_packets(150);
    let origin = Instant::now();
    let mut buffer = JitterBuffer::new(DelayBounds::default(), origin).unwrap();
    let mut seq = 0;
    for frame in 0..150_u64 {
        let at = origin + ms(frame * 20);
        if !(50..100).contains(&frame) {
            let payload = if frame == 49 {
                Arc::from([0x78_u8])
            } else {
                packets[frame as usize].clone()
            };
            buffer.insert(seq, (frame * 960) as u32, payload, at);
            seq += 1;
        }
        buffer.pull(at);
    }
    let counters = buffer.counters();
    assert_eq!(
        (counters.lost, counters.concealed_samples),
        (0, 0),
        "{counters:?}"
    );
}

#[test]
fn redundancy_replaces_a_lost_packet() {
    let packets = tone_packets(100);
    let origin = Instant::now();
    let mut buffer = JitterBuffer::new(
        DelayBounds {
            min: ms(60),
            max: ms(200),
        },
        origin,
    )
    .unwrap();
    for frame in 0..100_u64 {
        let at = origin + ms(frame * 20);
        if frame % 5 != 3 {
            let index = frame as usize;
            let red = if index == 0 {
                [&[111][..], &packets[0]].concat()
            } else {
                let older = &packets[index - 1];
                let length = older.len() as u16;
                let header = [0x80 | 111, 15, (length >> 8) as u8, length as u8, 111];
                [&header[..], older, &packets[index]].concat()
            };
            buffer.insert_red(frame, (frame * 960) as u32, &red, at);
        }
        buffer.pull(at);
    }
    assert_eq!(buffer.counters().lost, 0, "{:?}", buffer.counters());
    assert!(buffer.counters().from_redundancy >= 18);
}

#[test]
fn a_mix_of_many_loud_voices_stays_below_full_scale_and_is_heard() {
    let origin = Instant::now();
    let mut mixer = Mixer::new(Layout::Stereo, DelayBounds::default(), origin);
    for source in 0..20 {
        assert!(mixer.add(source, 4.0, source as f32 / 10.0 - 1.0).unwrap());
    }
    let packets = tone_packets(60);
    let mut loudest = 0;
    for (frame, payload) in packets.iter().enumerate() {
        let arrived = origin + ms(frame as u64 * 20);
        for source in 0..20 {
            let packet = SourcePacket {
                seq: frame as u64,
                rtp_time: (frame * 960) as u32,
                payload: Arc::clone(payload),
                red: false,
                arrived,
            };
            mixer.insert(source, packet);
        }
        while let Some(mixed) = mixer.poll(arrived) {
            assert_eq!(mixed.pcm.len(), 2 * FRAME_SAMPLES);
            loudest = mixed
                .pcm
                .iter()
                .map(|sample| sample.unsigned_abs())
                .max()
                .unwrap();
            assert!(loudest < 32_200, "{loudest}");
        }
    }
    assert!(loudest > 15_000, "{loudest}");
}

#[test]
fn mixed_frames_keep_to_the_clock_however_late_the_caller_is() {
    let origin = Instant::now();
    let mut mixer = Mixer::new(Layout::Mono, DelayBounds::default(), origin);
    let late = origin + ms(20 * 100 + 13);
    let indexes: Vec<u64> = std::iter::from_fn(|| mixer.poll(late))
        .map(|frame| frame.index)
        .collect();
    assert_eq!(indexes, (0..=100).collect::<Vec<_>>());
    let much_later = late + ms(20 * (MAX_CATCH_UP_FRAMES + 50));
    let after = mixer.poll(much_later).unwrap();
    assert_eq!(after.index, 100 + MAX_CATCH_UP_FRAMES + 50);
    assert!(mixer.poll(much_later).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn packet_facts_and_red_take_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(facts) = packet_facts(&bytes) {
            prop_assert!((120..=5_760).contains(&facts.samples));
            prop_assert!(facts.dtx_frames <= facts.frames && facts.frames <= 48);
        }
        let _ = unwrap_red(&bytes);
    }

    #[test]
    fn the_decoder_survives_any_packets(
        packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 1..8),
    ) {
        let mut decoder = Decoder::new().unwrap();
        for packet in packets {
            if let Ok(facts) = packet_facts(&packet)
                && let Ok(pcm) = decoder.decode(&packet)
            {
                prop_assert_eq!(pcm.len(), facts.samples);
            }
            let _ = decoder.recover(&packet, 960);
            prop_assert_ne!(decoder.conceal(960), Err(super::opus::OpusError::Crashed));
        }
    }

    #[test]
    fn a_buffer_gives_a_frame_per_pull_whatever_comes(
        events in proptest::collection::vec((0..60_u64, any::<u16>(), any::<bool>(), 0..4_usize), 1..150),
    ) {
        let origin = Instant::now();
        let mut buffer = JitterBuffer::new(DelayBounds::default(), origin).unwrap();
        let payloads: [&[u8]; 4] = [&[0xf8, 0xff, 0xfe], &[0x78], &[0xfb, 0x06], &[0xff, 0x00]];
        let mut now = origin;
        let mut rtp_time = 0_u32;
        for (step, jump, wild, payload) in events {
            now += ms(step);
            rtp_time = rtp_time.wrapping_add(if wild { u32::from(jump) << 14 } else { 960 });
            buffer.insert(u64::from(jump), rtp_time, Arc::from(payloads[payload]), now);
            let frame = buffer.pull(now);
            prop_assert_eq!(frame.pcm.len(), FRAME_SAMPLES);
        }
    }
}
