//! The thread of a recording.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::files::{Files, free_bytes};
use super::{RecordingEnd, RecordingOptions, RecordingProgress, RecordingResult};
use crate::record::index::RecordingIndex;
use crate::record::recorder::Recorder;
use crate::record::spec::{RecorderError, RecorderOutput, TrackStart};
use crate::record::tap::{Tap, TapEvent};

/// The name of the table of contents in a recording's directory: what is left to tell of a recording whose
/// process died.
pub const INDEX: &str = "index.json";

/// How often the tap is emptied. Packets are entered at the times at which they came, so this is no delay
/// of anything but the disk.
const EVERY: Duration = Duration::from_millis(50);

/// Packets that lie further apart have the mixer run between them, as it would have in time.
const STEP: Duration = Duration::from_millis(20);

/// How often the table of contents is written and the disk is looked at.
const KEEP_EVERY: Duration = Duration::from_secs(5);

/// A track that flowed and was not recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedTrack {
    /// The participant's identity.
    pub participant: String,
    /// The track's sid.
    pub track: String,
    /// What it carries, such as `video/AV1`.
    pub mime: String,
    /// Why, as [`crate::record::tap::SkipReason::as_str`] has it.
    pub reason: String,
}

/// The table of contents as it is kept beside the files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptIndex {
    /// Files and people.
    #[serde(flatten)]
    pub index: RecordingIndex,
    /// What was not recorded, at most 1,000 tracks.
    pub skipped: Vec<SkippedTrack>,
    /// Packets dropped because the disk or this machine was too slow.
    pub dropped_packets: u64,
}

/// Tracks that are told of as skipped, at most.
const MAX_SKIPPED: usize = 1_000;

/// A recording at work: everything but the clock.
pub(crate) struct Run {
    options: RecordingOptions,
    recorder: Recorder,
    files: Files,
    tap: Arc<Tap>,
    progress: Arc<Mutex<RecordingProgress>>,
    started: Instant,
    /// The time up to which the recorder has run.
    reached: Instant,
    skipped: Vec<SkippedTrack>,
    /// Identities of agents, who are not asked one by one.
    agents: BTreeSet<String>,
    agents_allowed: bool,
    next_keep: Instant,
    told_dropped: u64,
}

/// Why it does not go on.
enum Stop {
    End(RecordingEnd),
    Failed(RecorderError),
}

impl From<RecorderError> for Stop {
    fn from(error: RecorderError) -> Self {
        Stop::Failed(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Stop::Failed(RecorderError::Io(error))
    }
}

impl Stop {
    fn end(self) -> RecordingEnd {
        match self {
            Stop::End(end) => end,
            Stop::Failed(RecorderError::Io(error))
                if matches!(
                    error.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                ) =>
            {
                RecordingEnd::DiskFull
            }
            Stop::Failed(error) => RecordingEnd::Failed(error.to_string()),
        }
    }
}

impl Run {
    pub(crate) fn new(
        options: RecordingOptions,
        files: Files,
        tap: &Arc<Tap>,
        progress: &Arc<Mutex<RecordingProgress>>,
        started: Instant,
    ) -> Result<Self, RecorderError> {
        Ok(Self {
            recorder: Recorder::new(options.spec.clone(), started)?,
            options,
            files,
            tap: Arc::clone(tap),
            progress: Arc::clone(progress),
            started,
            reached: started,
            skipped: Vec::new(),
            agents: BTreeSet::new(),
            agents_allowed: false,
            next_keep: started,
            told_dropped: 0,
        })
    }

    /// Records until it is stopped, or cannot go on.
    pub(super) fn run(mut self, ask: impl Fn(String)) -> RecordingResult {
        loop {
            let (events, stop) = self.tap.take(EVERY);
            if let Err(end) = self.turn(events, Instant::now(), &ask) {
                return self.finish(end);
            }
            if stop {
                return self.finish(RecordingEnd::Stopped);
            }
        }
    }

    /// Completes the files, as far as there is room for them.
    pub(crate) fn finish(mut self, mut end: RecordingEnd) -> RecordingResult {
        self.tap.close();
        // What is in the buffers belongs to it, if there is still room on the disk.
        let finished = self.recorder.finish(self.reached);
        let written = match &end {
            RecordingEnd::DiskFull | RecordingEnd::Failed(_) => Ok(()),
            _ => finished
                .map_err(Stop::from)
                .and_then(|_| self.write(&|_| {}))
                .and_then(|()| Ok(self.files.sync()?)),
        };
        if let Err(stop) = written {
            end = stop.end();
        }
        let kept = self.kept();
        if let Err(error) = self.keep(&kept) {
            tracing::warn!(%error, "a recording's table of contents could not be written");
        }
        self.tell();
        RecordingResult { end, kept }
    }

    /// Enters what came, and lets the time pass.
    ///
    /// # Errors
    /// Why the recording has to end.
    pub(crate) fn turn(
        &mut self,
        events: VecDeque<TapEvent>,
        now: Instant,
        ask: &impl Fn(String),
    ) -> Result<(), RecordingEnd> {
        self.step(events, now, ask).map_err(Stop::end)
    }

    fn step(
        &mut self,
        events: VecDeque<TapEvent>,
        now: Instant,
        ask: &impl Fn(String),
    ) -> Result<(), Stop> {
        for event in events {
            self.event(event)?;
        }
        self.advance(now)?;
        self.write(ask)?;
        self.tell();
        if self.reached.saturating_duration_since(self.started) >= self.options.max_duration {
            return Err(Stop::End(RecordingEnd::TimeLimit));
        }
        if self.files.bytes() >= self.options.max_bytes {
            return Err(Stop::End(RecordingEnd::SizeLimit));
        }
        if self.reached >= self.next_keep {
            self.next_keep = self.reached + KEEP_EVERY;
            self.keep(&self.kept())?;
            if free_bytes(&self.options.directory)? < self.options.keep_free_bytes {
                return Err(Stop::End(RecordingEnd::DiskFull));
            }
        }
        Ok(())
    }

    /// Lets the recorder's time pass in the steps in which it would have.
    fn advance(&mut self, to: Instant) -> Result<(), RecorderError> {
        while self.reached + STEP <= to {
            self.reached += STEP;
            self.recorder.tick(self.reached)?;
        }
        Ok(())
    }

    fn event(&mut self, event: TapEvent) -> Result<(), RecorderError> {
        match event {
            TapEvent::Packet { track, packet } => {
                self.advance(packet.received)?;
                self.recorder.packet(&track, packet)
            }
            TapEvent::Started {
                participant,
                agent,
                track,
                codec,
                at,
            } => {
                if agent && self.agents.insert(participant.clone()) {
                    self.recorder
                        .consent(&participant, self.agents_allowed, at)?;
                }
                let start = TrackStart {
                    participant: participant.clone(),
                    track: track.to_string(),
                    codec,
                };
                match self.recorder.track_started(start, at) {
                    // The others go on.
                    Err(RecorderError::TooMany(what)) => {
                        self.skip(SkippedTrack {
                            participant,
                            track: track.to_string(),
                            mime: String::new(),
                            reason: format!("too_many_{what}"),
                        });
                        Ok(())
                    }
                    outcome => outcome,
                }
            }
            TapEvent::Skipped {
                participant,
                track,
                mime,
                reason,
            } => {
                self.skip(SkippedTrack {
                    participant,
                    track: track.to_string(),
                    mime,
                    reason: reason.as_str().to_owned(),
                });
                Ok(())
            }
            TapEvent::Ended { track, at } => self.recorder.track_ended(&track, at),
            TapEvent::Consent {
                participant,
                allowed,
                at,
            } => match self.recorder.consent(&participant, allowed, at) {
                // Who is too many is not recorded.
                Err(RecorderError::TooMany(_)) => Ok(()),
                outcome => outcome,
            },
            TapEvent::Agents { allowed, at } => {
                self.agents_allowed = allowed;
                for agent in &self.agents {
                    self.recorder.consent(agent, allowed, at)?;
                }
                Ok(())
            }
        }
    }

    fn skip(&mut self, track: SkippedTrack) {
        if self.skipped.len() < MAX_SKIPPED {
            self.skipped.push(track);
        }
    }

    fn write(&mut self, ask: &impl Fn(String)) -> Result<(), Stop> {
        while let Some(output) = self.recorder.poll_output() {
            match output {
                RecorderOutput::Chunk(chunk) => self.files.write(&chunk)?,
                RecorderOutput::KeyFrameWanted { track } => ask(track),
            }
        }
        Ok(())
    }

    fn kept(&self) -> KeptIndex {
        KeptIndex {
            index: self.recorder.index(),
            skipped: self.skipped.clone(),
            dropped_packets: self.tap.dropped(),
        }
    }

    fn keep(&self, kept: &KeptIndex) -> io::Result<()> {
        self.files.replace(INDEX, &serde_json::to_vec(kept)?)
    }

    fn tell(&mut self) {
        let since = self.reached.saturating_duration_since(self.started);
        let dropped = self.tap.dropped();
        if dropped > self.told_dropped {
            metrics::counter!("meetmind_recording_packets_dropped_total")
                .increment(dropped - self.told_dropped);
            self.told_dropped = dropped;
        }
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = RecordingProgress {
            duration_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            size_bytes: self.files.bytes(),
            dropped_packets: dropped,
        };
    }
}
