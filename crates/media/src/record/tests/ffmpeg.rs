//! Recordings in the hands of somebody else's player, where there is one.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use super::recording::{Meeting, ms};
use crate::audio::tests::tone_packets;
use crate::record::depacketize::VideoCodec;
use crate::record::spec::{RecordingSpec, TrackCodec, TrackPacket};

/// Plays a finished and a cut recording with ffmpeg, where there is one.
#[test]
fn ffmpeg_decodes_whole_and_cut_files() {
    let Some(ffmpeg) = ffmpeg() else {
        eprintln!("SKIPPED: no ffmpeg on this machine; the files were only checked by our parser");
        return;
    };
    let mut meeting = Meeting::new(RecordingSpec::default());
    meeting.consent("ann", true, 0);
    meeting.track("ann", "TR_a", TrackCodec::Opus, 0);
    let packets = tone_packets(300);
    for frame in 0..500_u64 {
        let at = frame * 20;
        // A pause of four seconds in the middle.
        if !(100..300).contains(&frame) {
            let payload = &packets[(frame % 300) as usize];
            meeting.packet("TR_a", frame, (frame * 960) as u32, payload, at);
        }
        meeting.tick(at);
    }
    meeting.finish(10_000);
    for name in ["mixed.ogg", "tracks/ann-TR_a.ogg"] {
        let file = &meeting.files[name];
        for (length, seconds) in [(file.len(), 9.9), (file.len() - 500, 8.0)] {
            let options = ["-f", "s16le", "-ac", "1", "-ar", "48000"];
            let samples = decoded(ffmpeg, &file[..length], &options) / 2;
            let played = samples as f64 / 48_000.0;
            assert!(
                (seconds..10.1).contains(&played),
                "{name} cut at {length} plays {played} s"
            );
        }
    }
}

pub(crate) fn ffmpeg() -> Option<&'static str> {
    // The test reads no environment; these are the places where packages put it.
    [
        "/usr/bin/ffmpeg",
        "/usr/local/bin/ffmpeg",
        "/opt/homebrew/bin/ffmpeg",
    ]
    .into_iter()
    .find(|path| Path::new(path).exists())
}

/// How many bytes ffmpeg makes of a file.
fn decoded(ffmpeg: &str, file: &[u8], options: &[&str]) -> usize {
    let name = format!("meetmind-{}-{}", std::process::id(), file.len());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, file).unwrap();
    let output = Command::new(ffmpeg)
        .args(["-v", "error", "-i"])
        .arg(&path)
        .args(options)
        .arg("-")
        .output()
        .unwrap();
    std::fs::remove_file(&path).unwrap();
    output.stdout.len()
}

/// Encodes a test picture with ffmpeg, sends it as RTP with a lost packet, and has ffmpeg count the
/// frames of the recording.
#[test]
fn ffmpeg_decodes_recorded_video() {
    let Some(ffmpeg) = ffmpeg() else {
        eprintln!("SKIPPED: no ffmpeg on this machine; video was only checked by our parser");
        return;
    };
    for (codec, encoder, format) in [
        (VideoCodec::Vp8, "libvpx", "ivf"),
        (VideoCodec::Vp9, "libvpx-vp9", "ivf"),
        (VideoCodec::H264, "libx264", "h264"),
    ] {
        let Some(frames) = encoded_frames(ffmpeg, encoder, format) else {
            eprintln!("SKIPPED: this ffmpeg has no {encoder}");
            continue;
        };
        assert_eq!(frames.len(), 60, "{encoder}");
        let spec = RecordingSpec {
            mixed: false,
            video_tracks: true,
            ..RecordingSpec::default()
        };
        let mut meeting = Meeting::new(spec);
        meeting.consent("ann", true, 0);
        meeting.track("ann", "TR_v", TrackCodec::Video(codec), 0);
        let mut seq = 0;
        for (index, frame) in frames.iter().enumerate() {
            let packets = packetized(codec, frame);
            for (number, payload) in packets.iter().enumerate() {
                seq += 1;
                // The first packet of frame 40 is lost; frame 45 is the next key frame.
                if index == 40 && number == 0 {
                    continue;
                }
                let at = index as u64 * 100 / 3;
                let packet = TrackPacket {
                    seq,
                    rtp_time: (index * 3_000) as u32,
                    marker: number + 1 == packets.len(),
                    red: false,
                    payload: Arc::from(&payload[..]),
                    received: meeting.started + ms(at),
                };
                meeting.recorder.packet("TR_v", packet).unwrap();
                meeting.collect();
            }
        }
        meeting.finish(2_000);
        let (name, file) = meeting.files.iter().next().unwrap();
        for (length, expected) in [(file.len(), 55..=55), (file.len() * 3 / 4, 15..=54)] {
            // Frames as they are: otherwise ffmpeg repeats one where some are missing.
            let raw = [
                "-fps_mode",
                "passthrough",
                "-f",
                "rawvideo",
                "-pix_fmt",
                "gray",
            ];
            let played = decoded(ffmpeg, &file[..length], &raw);
            let count = played / (160 * 120);
            assert!(
                expected.contains(&count),
                "{name} of {length} bytes plays {count} frames"
            );
        }
    }
}

/// 60 frames of 160 × 120 with a key frame every 15, two slices' worth of detail.
fn encoded_frames(ffmpeg: &str, encoder: &str, format: &str) -> Option<Vec<Vec<u8>>> {
    let output = Command::new(ffmpeg)
        .args([
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc=size=160x120:rate=30",
        ])
        .args([
            "-frames:v",
            "60",
            "-pix_fmt",
            "yuv420p",
            "-c:v",
            encoder,
            "-g",
            "15",
        ])
        .args([
            "-b:v",
            "2M",
            "-bf",
            "0",
            "-auto-alt-ref",
            "0",
            "-lag-in-frames",
            "0",
        ])
        .args(["-f", format, "-"])
        .output()
        .unwrap();
    if !output.status.success() {
        return None;
    }
    let bytes = output.stdout;
    let mut frames = Vec::new();
    if format == "ivf" {
        let mut rest = &bytes[32..];
        while rest.len() >= 12 {
            let length = u32::from_le_bytes(rest[..4].try_into().unwrap()) as usize;
            frames.push(rest[12..12 + length].to_vec());
            rest = &rest[12 + length..];
        }
        return Some(frames);
    }
    // Annex B: a frame ends with its picture's unit; each unit keeps a 32-bit length here.
    let mut frame = Vec::new();
    let mut units: Vec<&[u8]> = Vec::new();
    let starts: Vec<usize> = (0..bytes.len() - 3)
        .filter(|at| bytes[*at..at + 3] == [0, 0, 1])
        .collect();
    for (index, start) in starts.iter().enumerate() {
        let end = starts.get(index + 1).copied().unwrap_or(bytes.len());
        let unit = &bytes[start + 3..end];
        let trailing = unit.iter().rev().take_while(|byte| **byte == 0).count();
        units.push(&unit[..unit.len() - trailing]);
    }
    for unit in units {
        frame.extend_from_slice(&(unit.len() as u32).to_be_bytes());
        frame.extend_from_slice(unit);
        if matches!(unit[0] & 0x1f, 1 | 5) {
            frames.push(std::mem::take(&mut frame));
        }
    }
    Some(frames)
}

fn packetized(codec: VideoCodec, frame: &[u8]) -> Vec<Vec<u8>> {
    const ROOM: usize = 400;
    let count = frame.len().div_ceil(ROOM);
    let chunks = frame.chunks(ROOM).enumerate();
    match codec {
        VideoCodec::Vp8 => chunks
            .map(|(index, chunk)| [&[if index == 0 { 0x10 } else { 0 }][..], chunk].concat())
            .collect(),
        VideoCodec::Vp9 => chunks
            .map(|(index, chunk)| {
                let begins = if index == 0 { 0x08 } else { 0 };
                let ends = if index + 1 == count { 0x04 } else { 0 };
                [&[begins | ends][..], chunk].concat()
            })
            .collect(),
        VideoCodec::H264 => {
            let mut packets = Vec::new();
            let mut rest = frame;
            while !rest.is_empty() {
                let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
                let unit = &rest[4..4 + length];
                rest = &rest[4 + length..];
                if length <= ROOM {
                    packets.push(unit.to_vec());
                    continue;
                }
                let parts = (length - 1).div_ceil(ROOM);
                for (index, part) in unit[1..].chunks(ROOM).enumerate() {
                    let first = if index == 0 { 0x80 } else { 0 };
                    let last = if index + 1 == parts { 0x40 } else { 0 };
                    let header = [unit[0] & 0xe0 | 28, first | last | unit[0] & 0x1f];
                    packets.push([&header[..], part].concat());
                }
            }
            packets
        }
    }
}
