//! Recordings of rooms: what clients sent, encrypted, over a network, is in the files.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message;

use super::kit::World;
use crate::audio::opus::Decoder;
use crate::audio::tests::tone_packets_of;
use crate::record::index::RecordingIndex;
use crate::record::probe;
use crate::record::spec::RecordingSpec;
use crate::record::tap::{Tap, TapEvent};
use crate::record::tests::ffmpeg::ffmpeg;
use crate::record::tests::parse;
use crate::recording::{
    Files, KeptIndex, RecordingEnd, RecordingOptions, RecordingProgress, RecordingResult, Run,
};
use crate::service::RoomCall;

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
        let until = world.seconds() + seconds;
        while world.seconds() < until {
            world.run((until - world.seconds()).min(0.1));
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
        assert!((ours - theirs).abs() < 0.05, "{name}: {ours} s, ffmpeg plays {theirs} s");
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
        let right = if *heard { found > 3_000.0 } else { found < 100.0 };
        assert!(right, "{name} by {by}: {hz} Hz from {from} to {to} s has {found:.0}");
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
    world.signal(client, Request::Mute(proto::MuteTrackRequest { sid, muted }));
}

fn seconds_of(index: &RecordingIndex) -> f64 {
    index.duration_ms as f64 / 1_000.0
}

#[test]
fn two_who_speak_at_once_a_pause_and_a_late_one_are_where_they_belong() {
    let mut world = World::new();
    let (ada, ben) = (world.join("ada", true), world.join("ben", false));
    let mut taping = Taping::new(&mut world, &["ada", "ben", "cy"]);
    let first = speak(&mut world, ada, 300.0);
    let second = speak(&mut world, ben, 700.0);
    taping.pass(&mut world, 0.4);
    let both = taping.seconds(&world);
    taping.pass(&mut world, 3.0);
    // Ada holds her tongue.
    let silent = taping.seconds(&world);
    mute(&mut world, ada, &first, true);
    world.client(ada).sources.get_mut("mic").expect("a mic").muted = true;
    taping.pass(&mut world, 3.0);
    let again = taping.seconds(&world);
    mute(&mut world, ada, &first, false);
    world.client(ada).sources.get_mut("mic").expect("a mic").muted = false;
    taping.pass(&mut world, 2.0);
    let cy = world.join("cy", true);
    let third = speak(&mut world, cy, 1_100.0);
    taping.pass(&mut world, 0.4);
    let late = taping.seconds(&world);
    taping.pass(&mut world, 3.0);
    let end = taping.seconds(&world);
    let result = taping.finish(&mut world);
    let index = &result.kept.index;

    assert!((seconds_of(index) - end).abs() < 0.3, "{index:?}");
    assert_eq!(result.kept.dropped_packets, 0);
    let edge = 0.5;
    taping.sound(
        "mixed.ogg",
        &[
            (300.0, both, silent, true),
            (700.0, both, end - edge, true),
            (300.0, silent + edge, again, false),
            (300.0, again + edge, end - edge, true),
            (1_100.0, 0.0, late - 2.0, false),
            (1_100.0, late, end - edge, true),
        ],
    );
    let file = |track: &str| {
        let of = |file: &&crate::record::index::IndexedFile| file.track.as_deref() == Some(track);
        let file = index.files.iter().find(of).expect("a file");
        (file.name.clone(), file.start_ms as f64 / 1_000.0)
    };
    // Each track has its own voice alone, at its own time.
    let (name, start) = file(&first);
    taping.sound(
        &name,
        &[
            (300.0, both - start, silent - start, true),
            (300.0, silent - start + edge, again - start - edge, false),
            (300.0, again - start + edge, end - start - edge, true),
            (700.0, both - start, end - start - edge, false),
        ],
    );
    let (name, start) = file(&second);
    let span = (both - start, end - start - edge);
    taping.sound(&name, &[(700.0, span.0, span.1, true), (300.0, span.0, span.1, false)]);
    let (name, start) = file(&third);
    assert!((late - 1.5..late).contains(&start), "begins at {start}, heard from {late}");
    taping.sound(&name, &[(1_100.0, late - start, end - start - edge, true)]);
}

#[test]
fn nobody_is_recorded_without_consent_or_after_its_withdrawal() {
    let mut world = World::new();
    let (ada, ben) = (world.join("ada", true), world.join("ben", true));
    let mut taping = Taping::new(&mut world, &["ada"]);
    speak(&mut world, ada, 300.0);
    let never = speak(&mut world, ben, 700.0);
    taping.pass(&mut world, 2.0);
    let granted = taping.seconds(&world);
    taping.consent(&world, "ben", true);
    taping.pass(&mut world, 3.0);
    let withdrawn = taping.seconds(&world);
    taping.consent(&world, "ben", false);
    taping.pass(&mut world, 3.0);
    let end = taping.seconds(&world);
    let result = taping.finish(&mut world);
    taping.sound(
        "mixed.ogg",
        &[
            (300.0, 1.0, end - 0.5, true),
            (700.0, 0.0, granted - 0.02, false),
            (700.0, granted + 0.5, withdrawn - 0.3, true),
            (700.0, withdrawn + 0.02, end, false),
        ],
    );
    let index = result.kept.index;
    let file = index.files.iter().find(|file| file.track.as_deref() == Some(never.as_str()));
    let file = file.expect("a file");
    let length = file.duration_ms as f64 / 1_000.0;
    assert!((file.start_ms as f64 / 1_000.0 - granted).abs() < 0.1, "{file:?}");
    assert!(length < withdrawn - granted + 0.1, "{file:?}");
    let ben = index.participants.iter().find(|it| it.identity == "ben").expect("ben");
    let [span] = &ben.consent[..] else {
        panic!("{ben:?}")
    };
    let at = |ms: u64| ms as f64 / 1_000.0;
    assert!((at(span.from_ms) - granted).abs() < 0.01);
    assert!((at(span.to_ms.expect("an end")) - withdrawn).abs() < 0.01);
}

#[test]
fn who_never_agreed_leaves_no_trace_in_any_file() {
    let mut world = World::new();
    let ada = world.join("ada", true);
    let mut taping = Taping::new(&mut world, &[]);
    speak(&mut world, ada, 300.0);
    world.show(ada, "cam", &[("q", 300_000)]);
    taping.pass(&mut world, 3.0);
    let end = taping.seconds(&world);
    let result = taping.finish(&mut world);
    let names: Vec<_> = result.kept.index.files.iter().map(|it| it.name.clone()).collect();
    assert_eq!(names, ["mixed.ogg"]);
    assert_eq!(fs::read_dir(taping.path("tracks")).expect("a folder").count(), 0);
    taping.sound("mixed.ogg", &[(300.0, 0.0, end - 0.1, false)]);
}

#[test]
fn a_muted_track_is_not_recorded_whatever_its_client_still_sends() {
    for by_server in [false, true] {
        let mut world = World::new();
        let ada = world.join("ada", true);
        let mut taping = Taping::new(&mut world, &["ada"]);
        let track = speak(&mut world, ada, 300.0);
        taping.pass(&mut world, 2.0);
        let muted = taping.seconds(&world);
        if by_server {
            let request = proto::MuteRoomTrackRequest {
                room: "hall".to_owned(),
                identity: "ada".to_owned(),
                track_sid: track,
                muted: true,
            };
            world.call(RoomCall::MuteTrack(request)).expect("muted");
        } else {
            mute(&mut world, ada, &track, true);
        }
        taping.pass(&mut world, 2.0);
        let end = taping.seconds(&world);
        taping.finish(&mut world);
        taping.sound(
            "mixed.ogg",
            &[(300.0, 1.0, muted, true), (300.0, muted + 0.3, end - 0.2, false)],
        );
    }
}

#[test]
fn a_bad_line_costs_no_time() {
    let mut world = World::new();
    let ada = world.join("ada", true);
    let mut taping = Taping::new(&mut world, &["ada"]);
    let track = speak(&mut world, ada, 300.0);
    world.client(ada).up.loss = 0.1;
    world.client(ada).up.jitter = Duration::from_millis(80);
    let began = taping.seconds(&world);
    taping.pass(&mut world, 10.0);
    let end = taping.seconds(&world);
    world.client(ada).up.loss = 0.0;
    let result = taping.finish(&mut world);
    taping.sound("mixed.ogg", &[(300.0, began + 0.5, end - 0.5, true)]);
    let index = result.kept.index;
    let file = index.files.iter().find(|file| file.track.as_deref() == Some(track.as_str()));
    let file = file.expect("a file");
    let length = file.duration_ms as f64 / 1_000.0;
    assert!((length - (end - began)).abs() < 0.6, "{length} s of {}", end - began);
    assert!((seconds_of(&index) - end).abs() < 0.3);
}

#[test]
fn a_picture_is_recorded_in_its_best_layer_though_nobody_watches() {
    let mut world = World::new();
    let ada = world.join("ada", true);
    let layers = [("q", 100_000), ("h", 300_000), ("f", 800_000)];
    let track = world.show(ada, "cam", &layers);
    world.run(7.0);
    // Nobody watched, so the client was told to stop.
    let told = |world: &mut World| -> Option<bool> {
        world.client(ada).said.iter().rev().find_map(|message| match message {
            Message::SubscribedQualityUpdate(update) => {
                Some(update.subscribed_codecs[0].qualities[2].enabled)
            }
            _ => None,
        })
    };
    assert_eq!(told(&mut world), Some(false));
    let mut taping = Taping::new(&mut world, &["ada"]);
    assert_eq!(told(&mut world), Some(true));
    taping.pass(&mut world, 5.0);
    // A lost packet is repaired by a keyframe that the recording asks for.
    world.client(ada).up.loss = 0.02;
    taping.pass(&mut world, 10.0);
    world.client(ada).up.loss = 0.0;
    taping.pass(&mut world, 3.0);
    let result = taping.finish(&mut world);
    let index = result.kept.index;
    let file = index.files.iter().find(|file| file.track.as_deref() == Some(track.as_str()));
    let file = file.expect("a file");
    assert!(file.name.ends_with(".webm"), "{}", file.name);
    let parsed = parse::webm(&taping.bytes(&file.name), false);
    assert_eq!(parsed.size, Some((1_280, 720)));
    // 18 s of 30 pictures, few of them lost.
    assert!(parsed.blocks.len() > 400, "{} pictures", parsed.blocks.len());
    let highest = |block: &parse::Block| block.data.last() == Some(&2);
    assert!(parsed.blocks.iter().all(highest), "another layer");
    let mut file = fs::File::open(taping.path(&file.name)).expect("a file");
    let probed = probe::webm(&mut file).expect("a file that can be read");
    assert!((17_000..18_500).contains(&probed.duration_ms), "{probed:?}");
    assert_eq!(probed.whole_bytes, file.metadata().expect("a length").len());
    world.run(6.0);
    assert_eq!(told(&mut world), Some(false), "the recording is over");
}

#[test]
fn everybody_is_told_also_in_the_next_room_of_that_name() {
    let mut world = World::new();
    let ada = world.join("ada", true);
    let taping = Taping::new(&mut world, &[]);
    let told = |world: &mut World, client: usize| -> Option<bool> {
        world.client(client).said.iter().rev().find_map(|message| match message {
            Message::RoomUpdate(update) => Some(update.room.as_ref()?.active_recording),
            Message::Join(join) => Some(join.room.as_ref()?.active_recording),
            _ => None,
        })
    };
    world.run(0.1);
    assert_eq!(told(&mut world, ada), Some(true));
    let delete = proto::DeleteRoomRequest { room: "hall".to_owned() };
    world.call(RoomCall::Delete(delete)).expect("deleted");
    let ben = world.join("ben", true);
    assert_eq!(told(&mut world, ben), Some(true));
    let other = Arc::new(Tap::default());
    world.stop_tap(&other);
    world.run(0.1);
    assert_eq!(told(&mut world, ben), Some(true), "that was another recording");
    world.stop_tap(&taping.tap);
    world.run(0.1);
    assert_eq!(told(&mut world, ben), Some(false));
}

#[test]
fn what_cannot_be_recorded_is_named() {
    let mut world = World::new();
    let ada = world.join("ada", true);
    let ben = world.join("ben", true);
    let mut taping = Taping::new(&mut world, &["ada", "ben"]);
    let Request::AddTrack(mut request) =
        world.client(ada).add_track("mic", str0m::media::MediaKind::Audio, &[])
    else {
        unreachable!("a track")
    };
    request.encryption = proto::encryption::Type::Gcm as i32;
    world.say(ada, Request::AddTrack(request));
    let closed = world.speak(ben, "mic");
    let permission = proto::SubscriptionPermission::default();
    world.signal(ben, Request::SubscriptionPermission(permission));
    taping.pass(&mut world, 1.0);
    let encrypted = world.client(ada).track("mic");
    let result = taping.finish(&mut world);
    let mut skipped: Vec<_> = result
        .kept
        .skipped
        .iter()
        .map(|it| (it.participant.as_str(), it.track.clone(), it.reason.as_str()))
        .collect();
    skipped.sort();
    // Ben's first packets may have come before he closed his track; he is not heard after that.
    assert_eq!(skipped[0], ("ada", encrypted, "encrypted"));
    if let Some(second) = skipped.get(1) {
        assert_eq!(*second, ("ben", closed, "restricted"));
    }
}

#[test]
fn what_a_killed_process_leaves_plays_up_to_its_last_second() {
    let mut world = World::new();
    let ada = world.join("ada", true);
    let mut taping = Taping::new(&mut world, &["ada"]);
    let track = speak(&mut world, ada, 300.0);
    world.show(ada, "cam", &[("q", 300_000)]);
    let began = taping.seconds(&world);
    taping.pass(&mut world, 8.0);
    let end = taping.seconds(&world);
    // As `kill -9` does: nothing is finished, and the last write got half-way.
    drop(taping.run.take());
    let kept: KeptIndex =
        serde_json::from_slice(&taping.bytes(crate::recording::INDEX)).expect("an index");
    assert!(kept.index.files.iter().any(|file| file.track.as_deref() == Some(track.as_str())));
    let mut played = 0;
    for entry in fs::read_dir(taping.path("tracks")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let mut bytes = fs::read(&path).expect("a file");
        let whole = bytes.len() as u64;
        bytes.extend_from_slice(b"OggS\0\0\0\0half a page");
        fs::write(&path, &bytes).expect("written");
        let mut file = fs::File::open(&path).expect("a file");
        let is_ogg = path.extension().is_some_and(|it| it == "ogg");
        let probed = if is_ogg {
            probe::ogg(&mut file)
        } else {
            bytes.truncate(bytes.len() - 15);
            probe::webm(&mut file)
        };
        let probed = probed.expect("readable");
        assert_eq!(probed.whole_bytes, whole, "{}", path.display());
        let seconds = probed.duration_ms as f64 / 1_000.0;
        assert!(
            (end - began - 3.0..end - began + 0.5).contains(&seconds),
            "{}: {seconds} s",
            path.display()
        );
        played += 1;
    }
    assert_eq!(played, 2);
    if let Some(ffmpeg) = ffmpeg() {
        let sound = decoded(ffmpeg, &taping.path("mixed.ogg"));
        check("mixed.ogg", "ffmpeg", &sound, &[(300.0, began + 0.5, end - 1.5, true)]);
    } else {
        eprintln!("SKIPPED: no ffmpeg on this machine; nothing played the files of a killed process");
    }
}
