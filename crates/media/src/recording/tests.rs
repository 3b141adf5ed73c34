//! The thread of a recording, and the disk.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{
    Files, Recording, RecordingEnd, RecordingOptions, RecordingProgress, RecordingRefusal, Run,
};
use crate::audio::tests::tone_packets;
use crate::record::spec::{RecordingSpec, TrackCodec, TrackPacket};
use crate::record::tap::{Tap, TapEvent};

fn folder() -> PathBuf {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("meetmind-thread-{}-{number}", std::process::id()))
}

fn options(directory: PathBuf) -> RecordingOptions {
    RecordingOptions {
        spec: RecordingSpec::default(),
        directory,
        max_duration: Duration::from_secs(60),
        max_bytes: 1 << 30,
        keep_free_bytes: 0,
    }
}

fn start(
    options: RecordingOptions,
) -> Result<
    (
        Recording,
        tokio::sync::oneshot::Receiver<super::RecordingResult>,
    ),
    RecordingRefusal,
> {
    Recording::start(options, Arc::new(Tap::default()), |_| {}, || {})
}

#[test]
fn a_recording_ends_by_itself_at_its_limits() {
    let mut short = options(folder());
    short.max_duration = Duration::from_millis(40);
    let directory = short.directory.clone();
    let (_recording, ends) = start(short).expect("a recording");
    assert_eq!(
        ends.blocking_recv().expect("an end").end,
        RecordingEnd::TimeLimit
    );
    std::fs::remove_dir_all(directory).expect("removed");

    let mut small = options(folder());
    small.max_bytes = 1;
    let directory = small.directory.clone();
    let (_recording, ends) = start(small).expect("a recording");
    assert_eq!(
        ends.blocking_recv().expect("an end").end,
        RecordingEnd::SizeLimit
    );
    std::fs::remove_dir_all(directory).expect("removed");
}

#[test]
fn a_disk_that_is_too_full_lets_none_begin() {
    let mut full = options(folder());
    full.keep_free_bytes = u64::MAX;
    let directory = full.directory.clone();
    let refusal = start(full).expect_err("a refusal");
    assert!(
        matches!(refusal, RecordingRefusal::DiskFull { .. }),
        "{refusal}"
    );
    assert!(!directory.exists());
}

/// The kernel's own full disk: every write to it says that there is no room.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_up_ends_the_recording_and_says_so() {
    let directory = folder();
    let files = Files::new(&directory).expect("a folder");
    std::os::unix::fs::symlink("/dev/full", directory.join("mixed.ogg")).expect("a link");
    let tap = Arc::new(Tap::default());
    let progress = Arc::new(Mutex::new(RecordingProgress::default()));
    let run = Run::new(
        options(directory.clone()),
        files,
        &tap,
        &progress,
        Instant::now(),
    );
    let result = run.expect("a recorder").run(|_| {});
    assert_eq!(result.end, RecordingEnd::DiskFull);
    // The rest goes into nothing, and waits for nobody.
    tap.push(TapEvent::Agents {
        allowed: true,
        at: Instant::now(),
    });
    assert!(tap.take(Duration::ZERO).0.is_empty());
    std::fs::remove_dir_all(directory).expect("removed");
}

#[test]
fn dropping_a_recording_completes_its_files() {
    let options = options(folder());
    let directory = options.directory.clone();
    let (recording, ends) = start(options).expect("a recording");
    drop(recording);
    let result = ends.blocking_recv().expect("an end");
    assert_eq!(result.end, RecordingEnd::Stopped);
    let names: Vec<_> = result
        .kept
        .index
        .files
        .iter()
        .map(|it| it.name.as_str())
        .collect();
    assert_eq!(names, ["mixed.ogg"]);
    std::fs::remove_dir_all(directory).expect("removed");
}

#[test]
fn a_tap_that_nobody_empties_drops_packets_and_nothing_else() {
    let tap = Tap::default();
    let payload = tone_packets(1).remove(0);
    let track: Arc<str> = Arc::from("TR_a");
    let now = Instant::now();
    for seq in 0..20_000 {
        tap.push(TapEvent::Packet {
            track: Arc::clone(&track),
            packet: TrackPacket {
                seq,
                rtp_time: 0,
                marker: false,
                red: false,
                payload: Arc::clone(&payload),
                received: now,
            },
        });
    }
    tap.push(TapEvent::Started {
        participant: "ada".to_owned(),
        agent: false,
        track,
        codec: TrackCodec::Opus,
        at: now,
    });
    let dropped = tap.dropped();
    let (events, stop) = tap.take(Duration::ZERO);
    assert_eq!(events.len() as u64, 20_000 - dropped + 1);
    assert!(dropped > 0 && !stop);
    assert!(matches!(events.back(), Some(TapEvent::Started { .. })));
}
