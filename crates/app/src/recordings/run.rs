//! A recording at work: whose consent holds, when it ends, and what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use meetmind_core::{
    Code, ConsentPolicy, ConsentState, Ctx, Error, Event, EventKind, EventTopic, MeetingId,
    MeetingRole, MeetingStatus, ParticipantId, Recording, RecordingId, RecordingMode,
    RecordingReason, RecordingStatus, Result,
};
use meetmind_media::record::spec::RecordingSpec;
use meetmind_media::{RecordingEnd, RecordingOptions, RecordingRefusal, RecordingResult};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{oneshot, watch};

use super::STOP_WAIT;
use crate::{App, Published};

/// After a failure of the database consents are read again, and an end is entered again, so much later.
const AGAIN: Duration = Duration::from_secs(1);

/// How often the end of a recording is tried to be entered. What is not entered then is found at the next
/// start of the process.
const END_ATTEMPTS: usize = 60;

/// A recording that runs.
pub(super) struct Running {
    pub(super) id: RecordingId,
    meeting_id: MeetingId,
    media: meetmind_media::Recording,
    /// Why it was stopped.
    reason: Mutex<Option<RecordingReason>>,
    /// Who is recorded at the moment, as the media thread was told, and who ever was. Held over reading and
    /// telling, so that nobody tells what is no longer true.
    consents: tokio::sync::Mutex<Consents>,
    ended: watch::Sender<bool>,
}

#[derive(Default)]
struct Consents {
    agents: bool,
    now: BTreeMap<ParticipantId, bool>,
    ever: BTreeSet<ParticipantId>,
}

/// A recording that the media server has begun, and of which nobody else knows yet.
pub(super) struct Begun {
    running: Arc<Running>,
    ends: oneshot::Receiver<RecordingResult>,
}

impl Running {
    pub(super) fn describe(&self, recording: &mut Recording) {
        let progress = self.media.progress();
        let number = |value| i64::try_from(value).unwrap_or(i64::MAX);
        recording.duration_ms = number(progress.duration_ms);
        recording.size_bytes = number(progress.size_bytes);
        recording.dropped_packets = number(progress.dropped_packets);
    }

    fn stop(&self, reason: RecordingReason) {
        self.reason
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(reason);
        self.media.stop();
    }

    fn reason(&self) -> Option<RecordingReason> {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether words of this participant may be in it.
    pub(super) async fn ever_recorded(&self, participant_id: ParticipantId) -> bool {
        self.consents.lock().await.ever.contains(&participant_id)
    }
}

impl App {
    /// Has the media server begin. Nobody is recorded yet.
    pub(super) fn recording_begin(&self, recording: &Recording) -> Result<Begun> {
        let server = self.media_server().ok_or_else(|| {
            Error::new(
                Code::Conflict,
                "this meeting meets on another LiveKit server: record it there",
            )
        })?;
        let settings = &self.settings().recordings;
        let mix = recording.mode != RecordingMode::Tracks;
        let tracks = recording.mode != RecordingMode::Mix;
        let options = RecordingOptions {
            spec: RecordingSpec {
                mixed: mix,
                audio_tracks: tracks,
                video_tracks: tracks,
                comments: vec![("MEETING".to_owned(), recording.meeting_id.to_string())],
                ..RecordingSpec::default()
            },
            directory: self.recording_directory(recording.meeting_id, recording.id),
            max_duration: settings.max_duration,
            max_bytes: settings.max_bytes,
            keep_free_bytes: settings.min_free_bytes,
        };
        let started = server.record(&recording.meeting_id.to_string(), options);
        let (media, ends) = started.map_err(refused)?;
        let running = Running {
            id: recording.id,
            meeting_id: recording.meeting_id,
            media,
            reason: Mutex::new(None),
            consents: tokio::sync::Mutex::default(),
            ended: watch::Sender::new(false),
        };
        let running = Arc::new(running);
        // Before its row can be seen, so that nobody takes it for one of a process that died.
        self.inner
            .recordings
            .lock()
            .insert(running.meeting_id, Arc::clone(&running));
        Ok(Begun { running, ends })
    }

    /// Takes back what was begun: its row could not be written.
    pub(super) async fn recording_discard(&self, begun: Begun) {
        begun.running.media.stop();
        let _ = begun.ends.await;
        self.recording_forget(&begun.running);
        let directory = self.recording_directory(begun.running.meeting_id, begun.running.id);
        if let Err(error) = tokio::fs::remove_dir_all(&directory).await {
            tracing::warn!(%error, directory = %directory.display(), "the folder of a recording that did not begin is left over");
        }
    }

    /// Lets a recording run: from now on those who consent are recorded.
    pub(super) async fn recording_run(&self, begun: Begun, bus: Receiver<Published>) {
        let Begun { running, ends } = begun;
        metrics::gauge!("meetmind_recordings_running").increment(1.0);
        let known = self.recording_consents(&running).await;
        if let Err(error) = &known {
            tracing::warn!(recording_id = %running.id, %error, "nobody is recorded yet: the consents cannot be read");
        }
        let app = self.clone();
        tokio::spawn(async move {
            app.recording_follow(running, ends, bus, known.is_err())
                .await
        });
    }

    /// Tells the media thread who is recorded from now on, as far as that changed.
    async fn recording_consents(&self, running: &Running) -> Result<()> {
        let mut consents = running.consents.lock().await;
        let mut conn = self.store().read().await?;
        let policy = conn.meeting_get(running.meeting_id).await?.consent_policy;
        let people = conn.consent_recording(running.meeting_id).await?;
        drop(conn);
        let agents = policy != ConsentPolicy::Off;
        if consents.agents != agents {
            consents.agents = agents;
            running.media.agents(agents);
        }
        for (id, role, word) in people {
            let word = word.filter(|word| *word != ConsentState::Pending);
            let allowed = match role {
                // Agents need no consent.
                MeetingRole::Agent => agents,
                _ => policy.permits(word),
            };
            if consents.now.insert(id, allowed).unwrap_or(false) != allowed {
                running.media.consent(&id.to_string(), allowed);
            }
            if allowed {
                consents.ever.insert(id);
            }
        }
        Ok(())
    }

    /// Consent in a meeting changed: its recording follows before anybody is answered.
    pub(crate) async fn recording_consents_changed(&self, meeting_id: MeetingId) {
        let Some(running) = self.inner.recordings.of(meeting_id) else {
            return;
        };
        if let Err(error) = self.recording_consents(&running).await {
            // What cannot be known is not recorded.
            tracing::error!(%meeting_id, %error, "the consents cannot be read: the recording ends");
            running.stop(RecordingReason::WriteFailed);
        }
    }

    /// Keeps a recording to what happens in its meeting, until it ends.
    async fn recording_follow(
        self,
        running: Arc<Running>,
        mut ends: oneshot::Receiver<RecordingResult>,
        mut bus: Receiver<Published>,
        mut unread: bool,
    ) {
        let topic = EventTopic::Meeting(running.meeting_id);
        let result = loop {
            let mut changed = false;
            let again = async {
                if unread {
                    tokio::time::sleep(AGAIN).await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                result = &mut ends => break result.ok(),
                () = again => changed = true,
                heard = bus.recv() => match heard {
                    Ok(Published::Event { topic: about, event, .. }) if about == topic => {
                        changed = touches_consent(&event);
                        if ends_recording(&event) {
                            running.stop(RecordingReason::MeetingEnded);
                        }
                    }
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => {
                        changed = true;
                        if self.meeting_is_over(running.meeting_id).await {
                            running.stop(RecordingReason::MeetingEnded);
                        }
                    }
                    Err(RecvError::Closed) => running.stop(RecordingReason::ServerStopped),
                },
            }
            if changed {
                unread = false;
                if let Err(error) = self.recording_consents(&running).await {
                    tracing::warn!(recording_id = %running.id, %error, "the consents cannot be read; trying again");
                    unread = true;
                }
            }
        };
        self.recording_ended(&running, result).await;
        self.recording_forget(&running);
        metrics::gauge!("meetmind_recordings_running").decrement(1.0);
    }

    /// A recording is none that runs any more.
    fn recording_forget(&self, running: &Running) {
        let mut map = self.inner.recordings.lock();
        if map
            .get(&running.meeting_id)
            .is_some_and(|own| own.id == running.id)
        {
            map.remove(&running.meeting_id);
        }
        drop(map);
        running.ended.send_replace(true);
    }

    async fn meeting_is_over(&self, id: MeetingId) -> bool {
        let found = async {
            let mut conn = self.store().read().await?;
            conn.meeting_get(id).await
        };
        match found.await {
            Ok(meeting) => meeting.status == MeetingStatus::Ended || meeting.archived_at.is_some(),
            Err(error) => matches!(error, meetmind_store::Error::NotFound(_)),
        }
    }

    /// Writes down how a recording ended.
    async fn recording_ended(&self, running: &Running, result: Option<RecordingResult>) {
        let stopped = running.reason();
        let (status, reason) = match result.as_ref().map(|result| &result.end) {
            Some(RecordingEnd::Stopped) => match stopped {
                Some(RecordingReason::ServerStopped) => {
                    (RecordingStatus::Interrupted, RecordingReason::ServerStopped)
                }
                Some(RecordingReason::WriteFailed) => {
                    (RecordingStatus::Failed, RecordingReason::WriteFailed)
                }
                reason => (
                    RecordingStatus::Completed,
                    reason.unwrap_or(RecordingReason::Requested),
                ),
            },
            Some(RecordingEnd::TimeLimit) => {
                (RecordingStatus::Completed, RecordingReason::TimeLimit)
            }
            Some(RecordingEnd::SizeLimit) => {
                (RecordingStatus::Completed, RecordingReason::SizeLimit)
            }
            Some(RecordingEnd::DiskFull) => (RecordingStatus::Failed, RecordingReason::DiskFull),
            Some(RecordingEnd::Failed(error)) => {
                tracing::error!(recording_id = %running.id, error, "a recording failed");
                (RecordingStatus::Failed, RecordingReason::WriteFailed)
            }
            None => {
                tracing::error!(recording_id = %running.id, "the thread of a recording panicked");
                (RecordingStatus::Failed, RecordingReason::WriteFailed)
            }
        };
        let kept = result.map(|result| result.kept);
        for attempt in 1..=END_ATTEMPTS {
            let ctx = self.system_ctx();
            let entered = self.recording_enter_end(
                &ctx,
                running.meeting_id,
                running.id,
                status,
                reason,
                kept.clone(),
            );
            match entered.await {
                Ok(()) => return,
                // It was erased meanwhile, and its files are marked.
                Err(error) if error.code == Code::NotFound => return,
                Err(error) => {
                    tracing::warn!(recording_id = %running.id, attempt, %error, "the end of a recording could not be entered");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// Stops the recording of a meeting that runs in this process, and waits a while for its end. False
    /// when none runs here.
    pub(crate) async fn recording_halt(
        &self,
        meeting_id: MeetingId,
        reason: RecordingReason,
    ) -> bool {
        let Some(running) = self.inner.recordings.of(meeting_id) else {
            return false;
        };
        let mut ended = running.ended.subscribe();
        running.stop(reason);
        // A sender that is gone has ended too.
        let _ = tokio::time::timeout(STOP_WAIT, ended.wait_for(|ended| *ended)).await;
        true
    }

    /// The process is on its way out: all recordings are completed, as far as that goes in the time.
    pub async fn recordings_end(&self, within: Duration) {
        let all = self.inner.recordings.all();
        for running in &all {
            running.stop(RecordingReason::ServerStopped);
        }
        let ended = async {
            for running in &all {
                let _ = running.ended.subscribe().wait_for(|ended| *ended).await;
            }
        };
        if tokio::time::timeout(within, ended).await.is_err() {
            tracing::warn!("not every recording was completed; the next start does that");
        }
    }

    /// Stops the recordings that run of meetings of a user, or with the user in them.
    pub(crate) async fn recordings_halt_of(&self, ctx: &Ctx) -> Result<()> {
        let Some(user_id) = ctx.actor.user_id() else {
            return Ok(());
        };
        for running in self.inner.recordings.all() {
            let mut conn = self.store().read().await?;
            let meeting = conn.meeting_get(running.meeting_id).await?;
            let part = conn
                .participant_find_user(running.meeting_id, user_id)
                .await?;
            drop(conn);
            let heard = match part {
                Some(part) => running.ever_recorded(part.id).await,
                None => false,
            };
            if heard || meeting.owner_id == user_id {
                self.recording_halt(running.meeting_id, RecordingReason::Erased)
                    .await;
            }
        }
        Ok(())
    }

    /// Stops the recording of a meeting that runs, if words of the participant may be in it.
    pub(crate) async fn recording_halt_with(
        &self,
        meeting_id: MeetingId,
        participant_id: ParticipantId,
    ) {
        if let Some(running) = self.inner.recordings.of(meeting_id)
            && running.ever_recorded(participant_id).await
        {
            self.recording_halt(meeting_id, RecordingReason::Erased)
                .await;
        }
    }
}

fn refused(refusal: RecordingRefusal) -> Error {
    let text = refusal.to_string();
    match refusal {
        RecordingRefusal::DiskFull { .. } => {
            Error::new(Code::StorageFull, "the disk is too full to record")
        }
        RecordingRefusal::Directory(error) if error.kind() == std::io::ErrorKind::StorageFull => {
            Error::new(Code::StorageFull, "the disk is full: nothing was saved")
        }
        RecordingRefusal::Unavailable(_) => Error::new(
            Code::Unavailable,
            "the media server cannot answer now: try again",
        ),
        refusal => return Error::internal(refusal),
    }
    .with_source(text)
}

/// Whether an event may change who is recorded.
fn touches_consent(event: &Event) -> bool {
    matches!(
        event.kind,
        EventKind::ConsentChanged
            | EventKind::MeetingUpdated
            | EventKind::ParticipantInvited
            | EventKind::ParticipantJoined
            | EventKind::ParticipantUpdated
    )
}

/// Whether the meeting is over with it.
fn ends_recording(event: &Event) -> bool {
    matches!(
        event.kind,
        EventKind::MeetingEnded | EventKind::MeetingArchived | EventKind::MeetingErased
    )
}
