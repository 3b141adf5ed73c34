//! A meeting from packets to files.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::packets::VP8_KEY;
use super::parse::{ogg, webm};
use crate::audio::opus::{Decoder, packet_facts};
use crate::audio::tests::tone_packets;
use crate::record::depacketize::VideoCodec;
use crate::record::index::{ConsentSpan, RecordingIndex};
use crate::record::recorder::Recorder;
use crate::record::spec::{RecorderOutput, RecordingSpec, TrackCodec, TrackPacket, TrackStart};

pub(super) fn ms(value: u64) -> Duration {
    Duration::from_millis(value)
}

/// A recording in simulated time, and the files that come of it. Times are ms since its start.
pub(super) struct Meeting {
    pub(super) recorder: Recorder,
    pub(super) started: Instant,
    pub(super) files: BTreeMap<String, Vec<u8>>,
    key_frames_wanted: usize,
}

impl Meeting {
    pub(super) fn new(spec: RecordingSpec) -> Self {
        let started = Instant::now();
        let recorder = Recorder::new(spec, started).unwrap();
        Meeting {
            recorder,
            started,
            files: BTreeMap::new(),
            key_frames_wanted: 0,
        }
    }

    pub(super) fn track(&mut self, participant: &str, track: &str, codec: TrackCodec, at: u64) {
        let start = TrackStart {
            participant: participant.to_owned(),
            track: track.to_owned(),
            codec,
        };
        self.recorder
            .track_started(start, self.started + ms(at))
            .unwrap();
    }

    pub(super) fn consent(&mut self, participant: &str, allowed: bool, at: u64) {
        self.recorder
            .consent(participant, allowed, self.started + ms(at))
            .unwrap();
        self.collect();
    }

    pub(super) fn packet(&mut self, track: &str, seq: u64, rtp_time: u32, payload: &[u8], at: u64) {
        let packet = TrackPacket {
            seq,
            rtp_time,
            marker: true,
            red: false,
            payload: Arc::from(payload),
            received: self.started + ms(at),
        };
        self.recorder.packet(track, packet).unwrap();
        self.collect();
    }

    pub(super) fn tick(&mut self, at: u64) {
        self.recorder.tick(self.started + ms(at)).unwrap();
        self.collect();
    }

    pub(super) fn finish(&mut self, at: u64) -> RecordingIndex {
        let index = self.recorder.finish(self.started + ms(at)).unwrap();
        self.collect();
        index
    }

    pub(super) fn collect(&mut self) {
        while let Some(output) = self.recorder.poll_output() {
            let RecorderOutput::Chunk(chunk) = output else {
                self.key_frames_wanted += 1;
                continue;
            };
            let file = self.files.entry(chunk.file.to_string()).or_default();
            let at = chunk.at as usize;
            assert!(at <= file.len(), "a hole in {}", chunk.file);
            let overlap = (file.len() - at).min(chunk.bytes.len());
            file[at..at + overlap].copy_from_slice(&chunk.bytes[..overlap]);
            file.extend_from_slice(&chunk.bytes[overlap..]);
        }
    }
}

/// For each 20 ms of an Ogg file, whether it is loud.
fn loud_frames(file: &[u8]) -> Vec<bool> {
    let mut decoder = Decoder::new().unwrap();
    let mut loud = Vec::new();
    for packet in ogg(file, false).packets {
        assert!(packet_facts(&packet).is_ok());
        for frame in decoder.decode(&packet).unwrap().chunks(960) {
            loud.push(frame.iter().any(|sample| sample.unsigned_abs() > 2_000));
        }
    }
    loud
}

#[test]
fn the_mix_and_the_tracks_lie_on_one_time_line() {
    let mut meeting = Meeting::new(RecordingSpec::default());
    meeting.consent("ann", true, 0);
    meeting.track("ann", "TR_a", TrackCodec::Opus, 0);
    let packets = tone_packets(50);
    for frame in 0..250_u64 {
        let at = frame * 20;
        // Ann speaks from 2 s to 3 s.
        if (100..150).contains(&frame) {
            let payload = &packets[frame as usize - 100];
            meeting.packet("TR_a", frame, (frame * 960) as u32, payload, at);
        }
        meeting.tick(at);
    }
    let index = meeting.finish(5_000);
    assert_eq!(index.duration_ms, 5_000);
    let names: Vec<&str> = index.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["mixed.ogg", "tracks/ann-TR_a.ogg"]);
    assert_eq!(
        (index.files[1].start_ms, index.files[1].duration_ms),
        (2_000, 1_000)
    );
    for file in &index.files {
        assert_eq!(file.size_bytes, meeting.files[&file.name].len() as u64);
    }
    let mix = loud_frames(&meeting.files["mixed.ogg"]);
    assert!((249..=251).contains(&mix.len()), "{}", mix.len());
    let first = mix.iter().position(|loud| *loud).unwrap();
    let last = mix.iter().rposition(|loud| *loud).unwrap();
    assert!((99..=102).contains(&first), "{first}");
    assert!((147..=156).contains(&last), "{last}");
}

#[test]
fn nothing_is_written_without_consent_or_after_its_withdrawal() {
    let mut meeting = Meeting::new(RecordingSpec::default());
    meeting.consent("ann", true, 0);
    meeting.track("ann", "TR_a", TrackCodec::Opus, 0);
    meeting.track("bob", "TR_b", TrackCodec::Opus, 0);
    let packets = tone_packets(200);
    for frame in 0..200_u64 {
        let at = frame * 20;
        if frame == 100 {
            meeting.consent("ann", false, at);
        }
        let payload = &packets[frame as usize];
        meeting.packet("TR_a", frame, (frame * 960) as u32, payload, at);
        meeting.packet("TR_b", frame, (frame * 960) as u32, payload, at);
        meeting.tick(at);
    }
    let index = meeting.finish(4_000);
    assert!(!meeting.files.contains_key("tracks/bob-TR_b.ogg"));
    let spans = &index.participants[0].consent;
    assert_eq!(
        spans,
        &[ConsentSpan {
            from_ms: 0,
            to_ms: Some(2_000)
        }]
    );
    assert!(index.participants[1].consent.is_empty());
    let track = &meeting.files["tracks/ann-TR_a.ogg"];
    // Nothing of what came after the two seconds.
    assert_eq!(ogg(track, false).granules.last(), Some(&96_000));
    let mix = loud_frames(&meeting.files["mixed.ogg"]);
    assert!(mix[20..80].iter().all(|loud| *loud));
    let last = mix.iter().rposition(|loud| *loud).unwrap();
    assert!(last <= 101, "{last}");
}

#[test]
fn consent_given_again_goes_on_in_the_same_file_at_the_right_time() {
    let mut meeting = Meeting::new(RecordingSpec {
        mixed: false,
        ..RecordingSpec::default()
    });
    meeting.track("ann", "TR_a", TrackCodec::Opus, 0);
    meeting.consent("ann", true, 0);
    let packets = tone_packets(300);
    for frame in 0..300_u64 {
        let at = frame * 20;
        match frame {
            100 => meeting.consent("ann", false, at),
            200 => meeting.consent("ann", true, at),
            _ => {}
        }
        let payload = &packets[frame as usize];
        meeting.packet("TR_a", frame, (frame * 960) as u32, payload, at);
    }
    let index = meeting.finish(6_000);
    assert_eq!(index.files[0].duration_ms, 6_000);
    let loud = loud_frames(&meeting.files["tracks/ann-TR_a.ogg"]);
    assert_eq!(loud.len(), 300);
    assert!(loud[105..198].iter().all(|loud| !loud));
    assert!(loud[205..].iter().all(|loud| *loud));
}

#[test]
fn a_video_track_waits_for_a_key_frame_and_asks_for_one() {
    let spec = RecordingSpec {
        mixed: false,
        video_tracks: true,
        ..RecordingSpec::default()
    };
    let mut meeting = Meeting::new(spec);
    meeting.consent("ann", true, 0);
    meeting.track("ann", "TR_v", TrackCodec::Video(VideoCodec::Vp8), 0);
    let key = [&[0x10][..], &VP8_KEY, &[1, 2, 3]].concat();
    for frame in 0..150_u64 {
        let payload = if frame == 60 {
            key.clone()
        } else {
            vec![0x10, 1, 9, 9]
        };
        meeting.packet(
            "TR_v",
            frame,
            (frame * 3_000) as u32,
            &payload,
            frame * 100 / 3,
        );
        meeting.tick(frame * 100 / 3);
    }
    let index = meeting.finish(5_000);
    assert!(meeting.key_frames_wanted >= 1);
    assert_eq!(index.files[0].name, "tracks/ann-TR_v.webm");
    assert!((1_999..=2_001).contains(&index.files[0].start_ms));
    let file = webm(&meeting.files["tracks/ann-TR_v.webm"], false);
    assert_eq!(file.blocks.len(), 90);
    assert!(file.blocks[0].key && file.blocks[0].at_ms == 0);
    assert!((2_960..=2_970).contains(&file.blocks[89].at_ms));
    assert!(file.known_size, "the patches were applied");
    assert_eq!(file.cues.len(), 1);
}

#[test]
fn file_names_are_harmless_and_differ() {
    let mut meeting = Meeting::new(RecordingSpec {
        mixed: false,
        ..RecordingSpec::default()
    });
    for (participant, track) in [
        ("../../etc/x", "TR_1"),
        ("..?..?etc?x", "TR_1"),
        ("", "ü/\0"),
    ] {
        meeting.consent(participant, true, 0);
        meeting.track(participant, track, TrackCodec::Opus, 0);
        meeting.packet(track, 1, 0, &[0xf8, 0xff, 0xfe], 10);
    }
    meeting.finish(1_000);
    let names: Vec<&str> = meeting.files.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "tracks/_-___.ogg",
            "tracks/______etc_x-TR_1-2.ogg",
            "tracks/______etc_x-TR_1.ogg"
        ]
    );
}
