//! A running recording: the thread between a room's [`Tap`] and the files.
//!
//! The machine of [`crate::record`] makes bytes of packets; here is the clock that drives it and the disk
//! it ends on. Each recording has a thread of its own, so that a slow disk holds up nothing but itself:
//! what the room forwards meanwhile waits in the tap, and is dropped and counted when it is too much.

mod files;
mod run;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::record::spec::RecordingSpec;
use crate::record::tap::{Tap, TapEvent};

pub(crate) use files::{Files, free_bytes};
#[cfg(test)]
pub(crate) use run::Run;
pub use run::{INDEX, KeptIndex, SkippedTrack};

/// How a recording is made.
#[derive(Debug, Clone)]
pub struct RecordingOptions {
    /// What to record.
    pub spec: RecordingSpec,
    /// Where: a directory that is not there yet. Its parents are made.
    pub directory: PathBuf,
    /// It ends by itself after this time.
    pub max_duration: Duration,
    /// It ends by itself when its files have this many bytes.
    pub max_bytes: u64,
    /// It ends by itself when the disk has fewer bytes than this left.
    pub keep_free_bytes: u64,
}

/// Why a recording cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum RecordingRefusal {
    /// The disk has too little room.
    #[error("the disk has {free} bytes left, and {needed} are to stay free")]
    DiskFull {
        /// What is left.
        free: u64,
        /// What is to stay free.
        needed: u64,
    },
    /// The directory cannot be made.
    #[error("the directory of the recording cannot be made: {0}")]
    Directory(#[from] std::io::Error),
    /// The codec cannot be made.
    #[error(transparent)]
    Recorder(#[from] crate::record::spec::RecorderError),
    /// The media server cannot answer.
    #[error(transparent)]
    Unavailable(#[from] crate::server::Unavailable),
}

/// Why a recording ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordingEnd {
    /// It was stopped.
    Stopped,
    /// It was as long as it may be.
    TimeLimit,
    /// It was as large as it may be.
    SizeLimit,
    /// The disk has no room for more.
    DiskFull,
    /// Something failed, in words for the log.
    Failed(String),
}

/// A recording that has ended.
#[derive(Debug, Clone)]
pub struct RecordingResult {
    /// Why.
    pub end: RecordingEnd,
    /// What there is, as far as it was written.
    pub kept: KeptIndex,
}

/// How far a recording is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecordingProgress {
    /// How long it has run.
    pub duration_ms: u64,
    /// Bytes of its files.
    pub size_bytes: u64,
    /// Packets dropped because the disk or this machine was too slow.
    pub dropped_packets: u64,
}

/// A running recording. Dropping it stops it.
#[derive(Debug)]
pub struct Recording {
    tap: Arc<Tap>,
    progress: Arc<Mutex<RecordingProgress>>,
}

impl Recording {
    /// Starts the thread. `ask` is called with the sid of a track whose sender should send a key frame,
    /// `ended` before the result is there.
    pub(crate) fn start(
        options: RecordingOptions,
        tap: Arc<Tap>,
        ask: impl Fn(String) + Send + 'static,
        ended: impl FnOnce() + Send + 'static,
    ) -> Result<(Self, oneshot::Receiver<RecordingResult>), RecordingRefusal> {
        let started = Instant::now();
        let files = Files::new(&options.directory)?;
        let free = free_bytes(&options.directory)?;
        if free < options.keep_free_bytes {
            // Only what was made a moment ago is taken away.
            let _ = std::fs::remove_dir_all(&options.directory);
            return Err(RecordingRefusal::DiskFull {
                free,
                needed: options.keep_free_bytes,
            });
        }
        let progress = Arc::new(Mutex::new(RecordingProgress::default()));
        let run = run::Run::new(options, files, &tap, &progress, started)?;
        let (result, ends) = oneshot::channel();
        std::thread::Builder::new()
            .name("recording".to_owned())
            .spawn(move || {
                let outcome = run.run(ask);
                ended();
                // Nobody may wait for it any more.
                let _ = result.send(outcome);
            })?;
        Ok((Self { tap, progress }, ends))
    }

    /// A participant allows or forbids to be recorded, from now on. Who was never heard of here is not
    /// recorded.
    pub fn consent(&self, participant: &str, allowed: bool) {
        self.tap.push(TapEvent::Consent {
            participant: participant.to_owned(),
            allowed,
            at: Instant::now(),
        });
    }

    /// Whether agents that are no participants of the meeting, but came by a token for agents, are
    /// recorded, from now on. At first they are not.
    pub fn agents(&self, allowed: bool) {
        self.tap.push(TapEvent::Agents {
            allowed,
            at: Instant::now(),
        });
    }

    /// Ends it. The result comes when all files are complete.
    pub fn stop(&self) {
        self.tap.stop();
    }

    /// How far it is; a few moments old.
    pub fn progress(&self) -> RecordingProgress {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.tap.stop();
    }
}
