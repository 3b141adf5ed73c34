//! Speakers and connection quality.

use std::time::{Duration, Instant};

use livekit_protocol::{ConnectionQuality, SpeakerInfo};

use crate::forward::{Codec, Speakers, TrackScore, Window, WorstScore};

/// A participant's packets of 20 ms; `None` is a packet DTX left out.
fn talk(levels: impl Fn(u64) -> Option<u8>, packets: u64) -> Vec<SpeakerInfo> {
    let start = Instant::now();
    let mut speakers = Speakers::new();
    let mut told = Vec::new();
    for n in 0..packets {
        let now = start + Duration::from_millis(n * 20);
        if let Some(level) = levels(n) {
            // Close below the wrap of timestamps.
            let time = (u32::MAX - 48_000).wrapping_add(n as u32 * 960);
            speakers.observe("PA_a", 7, level, time, now);
        }
        told.extend(speakers.poll(now));
    }
    told
}

#[test]
fn a_voice_becomes_active_and_inactive_once() {
    let told = talk(|n| Some(if (50..150).contains(&n) { 15 } else { 90 }), 300);
    assert!(told[0].active && told[0].level > 0.1, "{told:?}");
    assert!(told.iter().all(|s| s.level <= 1.0));
    let silent: Vec<_> = told.iter().filter(|s| !s.active).collect();
    assert_eq!(silent.len(), 1);
    assert_eq!(silent[0].level, 0.0);
    assert!(told.len() <= 4, "only changes are told: {told:?}");
}

#[test]
fn a_voice_in_less_than_two_fifths_of_the_window_is_none() {
    assert!(talk(|n| Some(if n % 20 < 7 { 20 } else { 90 }), 300).is_empty());
    assert!(!talk(|n| Some(if n % 20 < 10 { 20 } else { 90 }), 300).is_empty());
    assert!(talk(|_| Some(36), 300).is_empty());
}

#[test]
fn a_cough_after_silence_does_not_count_for_the_silence() {
    assert!(talk(|n| (n % 20 == 0).then_some(10), 300).is_empty());
}

#[test]
fn who_stops_sending_falls_silent() {
    let told = talk(|n| (n < 100).then_some(10), 300);
    assert!(told[0].active);
    assert!(!told.last().unwrap().active);
}

const FIVE: Duration = Duration::from_secs(5);

fn after(codec: Codec, windows: &[Window]) -> WorstScore {
    let mut now = Instant::now();
    let mut score = TrackScore::new(codec, false, now);
    for window in windows {
        now += FIVE;
        score.update(window, FIVE, true, now);
    }
    WorstScore::of([&score])
}

fn audio(packets: u32, lost: u32) -> Window {
    Window {
        packets,
        lost,
        rtt: Some(Duration::from_millis(40)),
        jitter: Duration::from_millis(5),
        ..Window::default()
    }
}

#[test]
fn loss_lowers_the_word_step_by_step() {
    let word = |lost| after(Codec::Opus, &[audio(250, lost); 6]).quality();
    assert_eq!(word(0), ConnectionQuality::Excellent);
    assert_eq!(word(10), ConnectionQuality::Good);
    assert_eq!(word(30), ConnectionQuality::Poor);
}

#[test]
fn silence_with_dtx_stays_excellent_even_with_a_packet_lost() {
    let talking = [audio(250, 0); 3];
    let silent = [audio(13, 1), audio(12, 0), audio(13, 0)];
    let windows: Vec<_> = talking.into_iter().chain(silent).collect();
    assert_eq!(
        after(Codec::Opus, &windows).quality(),
        ConnectionQuality::Excellent
    );
}

#[test]
fn a_stream_that_dries_up_is_poor_and_a_muted_one_excellent() {
    assert_eq!(
        after(Codec::Opus, &[audio(0, 0)]).quality(),
        ConnectionQuality::Poor
    );
    let start = Instant::now();
    let mut score = TrackScore::new(Codec::Opus, false, start);
    score.set_muted(true, start);
    score.update(&Window::default(), FIVE, true, start + FIVE);
    assert_eq!(
        WorstScore::of([&score]).quality(),
        ConnectionQuality::Excellent
    );
}

#[test]
fn a_lost_transport_is_lost_until_it_is_back() {
    let start = Instant::now();
    let mut score = TrackScore::new(Codec::Vp8, false, start);
    score.update(&Window::default(), FIVE, false, start + FIVE);
    assert_eq!(WorstScore::of([&score]).quality(), ConnectionQuality::Lost);
    for n in 2..6 {
        score.update(&audio(500, 0), FIVE, true, start + n * FIVE);
    }
    assert_eq!(
        WorstScore::of([&score]).quality(),
        ConnectionQuality::Excellent
    );
}

#[test]
fn layers_and_bitrate_below_the_expected_count_for_video() {
    let window = |bytes, layers_missing| Window {
        bytes,
        expected_bits: 8_000_000,
        layers_missing,
        ..audio(500, 0)
    };
    let word = |w| after(Codec::Vp8, &[w; 5]).quality();
    assert_eq!(word(window(1_000_000, 0.0)), ConnectionQuality::Excellent);
    assert_eq!(word(window(200_000, 0.0)), ConnectionQuality::Good);
    assert_eq!(word(window(1_000_000, 1.0)), ConnectionQuality::Good);
    assert_eq!(word(window(1_000_000, 2.0)), ConnectionQuality::Poor);
}

#[test]
fn the_opinion_score_runs_from_one_to_four_and_a_half() {
    assert!((WorstScore { score: 100.0 }.mos() - 4.5).abs() < 0.01);
    assert!((WorstScore { score: 0.0 }.mos() - 1.0).abs() < 0.01);
    assert_eq!(WorstScore::of([]).quality(), ConnectionQuality::Excellent);
}
