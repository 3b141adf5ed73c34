//! Recordings of rooms: what clients sent, encrypted, over a network, is in the files.

mod files;
mod sound;

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;

use super::kit::World;
use crate::audio::opus::Decoder;
use crate::audio::tests::tone_packets_of;
use crate::record::index::{IndexedFile, RecordingIndex};
use crate::record::spec::RecordingSpec;
use crate::record::tap::{Tap, TapEvent};
use crate::record::tests::ffmpeg::ffmpeg;
use crate::record::tests::parse;
use crate::recording::{
    Files, RecordingEnd, RecordingOptions, RecordingProgress, RecordingResult, Run,
};

const RATE: usize = 48_000;

/// A folder that is removed with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("meetmind-recording-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A recording of the room of a world, in its time.
struct Taping {
    folder: Folder,
    tap: Arc<Tap>,
    run: Option<Run>,
    wanted: RefCell<Vec<String>>,
    began: Instant,
}

impl Taping {
    fn new(world: &mut World, allowed: &[&str]) -> Self {
        let folder = Folder::new();
        let tap = Arc::new(Tap::default());
        let options = RecordingOptions {
            spec: RecordingSpec {
                video_tracks: true,
                ..RecordingSpec::default()
            },
            directory: folder.0.clone(),
            max_duration: Duration::from_secs(3_600),
            max_bytes: 1 << 30,
            keep_free_bytes: 0,
        };
        let files = Files::new(&folder.0).expect("a folder");
        let progress = Arc::new(Mutex::new(RecordingProgress::default()));
        let run = Run::new(options, files, &tap, &progress, world.now).expect("a recorder");
        let taping = Self {
            folder,
            tap,
            run: Some(run),
            wanted: RefCell::default(),
            began: world.now,
        };
        for participant in allowed {
            taping.consent(world, participant, true);
        }
        world.start_tap(&taping.tap);
        taping
    }

    fn consent(&self, world: &World, participant: &str, allowed: bool) {
        self.tap.push(TapEvent::Consent {
            participant: participant.to_owned(),
            allowed,
            at: world.now,
        });
    }

    /// Lets time pass for the room and the recording.
    fn pass(&mut self, world: &mut World, seconds: f64) {
        for _ in 0..(seconds * 10.0).round() as usize {
            world.run(0.1);
            let (events, _) = self.tap.take(Duration::ZERO);
            let ask = |track| self.wanted.borrow_mut().push(track);
            let run = self.run.as_mut().expect("a recording");
            run.turn(events, world.now, &ask).expect("room on the disk");
            for track in self.wanted.take() {
                world.tap_keyframe(track);
            }
        }
    }

    fn seconds(&self, world: &World) -> f64 {
        (world.now - self.began).as_secs_f64()
    }

    fn finish(&mut self, world: &mut World) -> RecordingResult {
        self.pass(world, 0.1);
        let result = self.run.take().expect("a recording");
        let result = result.finish(RecordingEnd::Stopped);
        world.stop_tap(&self.tap);
        assert_eq!(result.end, RecordingEnd::Stopped);
        result
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.0.join(name)
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).expect("a file")
    }

    /// A file's sound, by our decoder; and by ffmpeg's, where there is one, which must hear the same.
    fn sound(&self, name: &str, tones: &[(f64, f64, f64, bool)]) {
        let file = parse::ogg(&self.bytes(name), false);
        let mut decoder = Decoder::new().expect("a decoder");
        let mut samples = Vec::new();
        for packet in &file.packets {
            let pcm = decoder.decode(packet).expect("a packet");
            samples.extend(pcm.iter().map(|sample| f64::from(*sample)));
        }
        check(name, "our decoder", &samples, tones);
        let Some(ffmpeg) = ffmpeg() else {
            eprintln!("SKIPPED: no ffmpeg on this machine; {name} was only heard by our decoder");
            return;
        };
        let played = decoded(ffmpeg, &self.path(name));
        check(name, "ffmpeg", &played, tones);
        let ours = samples.len() as f64 / RATE as f64;
        let theirs = played.len() as f64 / RATE as f64;
        assert!(
            (ours - theirs).abs() < 0.05,
            "{name}: {ours} s, ffmpeg plays {theirs} s"
        );
    }
}

fn decoded(ffmpeg: &str, path: &Path) -> Vec<f64> {
    let output = Program::new(ffmpeg)
        .args(["-v", "error", "-i"])
        .arg(path)
        .args(["-f", "s16le", "-ac", "1", "-ar", "48000", "-"])
        .output()
        .expect("ffmpeg runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
    output
        .stdout
        .chunks_exact(2)
        .map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]])))
        .collect()
}

/// The amplitude of a tone in a piece of sound (Goertzel's algorithm).
fn amplitude(samples: &[f64], hz: f64) -> f64 {
    let step = std::f64::consts::TAU * hz / RATE as f64;
    let (mut re, mut im) = (0.0, 0.0);
    for (index, sample) in samples.iter().enumerate() {
        re += sample * (step * index as f64).cos();
        im += sample * (step * index as f64).sin();
    }
    2.0 * re.hypot(im) / samples.len() as f64
}

/// Holds sound against a list of (tone in Hz, from, to in seconds, whether it is heard).
fn check(name: &str, by: &str, samples: &[f64], tones: &[(f64, f64, f64, bool)]) {
    for (hz, from, to, heard) in tones {
        let at = |seconds: f64| ((seconds * RATE as f64) as usize).min(samples.len());
        let piece = &samples[at(*from)..at(*to)];
        assert!(
            piece.len() as f64 / RATE as f64 > (to - from) * 0.9,
            "{name} by {by} has only {} s",
            samples.len() as f64 / RATE as f64
        );
        let found = amplitude(piece, *hz);
        // Sent with 8,000.
        let right = if *heard {
            found > 3_000.0
        } else {
            found < 100.0
        };
        assert!(
            right,
            "{name} by {by}: {hz} Hz from {from} to {to} s has {found:.0}"
        );
    }
}

fn speak(world: &mut World, client: usize, hz: f32) -> String {
    let track = world.speak(client, "mic");
    sound(world, client, hz);
    track
}

fn sound(world: &mut World, client: usize, hz: f32) {
    let source = world.client(client).sources.get_mut("mic").expect("a mic");
    source.sound = tone_packets_of(hz, 500);
}

fn mute(world: &mut World, client: usize, sid: &str, muted: bool) {
    let sid = sid.to_owned();
    world.signal(
        client,
        Request::Mute(proto::MuteTrackRequest { sid, muted }),
    );
}

/// The file of a track.
fn file_of<'a>(index: &'a RecordingIndex, track: &str) -> &'a IndexedFile {
    let of = |file: &&IndexedFile| file.track.as_deref() == Some(track);
    index.files.iter().find(of).expect("a file")
}

fn seconds_of(index: &RecordingIndex) -> f64 {
    index.duration_ms as f64 / 1_000.0
}
