//! The end of a recording in the database, also of one whose process died.

use std::collections::BTreeSet;
use std::time::Duration;

use meetmind_core::{
    Ctx, Error, EventKind, MeetingId, ParticipantId, Recording, RecordingFile, RecordingId,
    RecordingReason, RecordingStatus, Result, Timestamp,
};
use meetmind_media::KeptIndex;
use meetmind_store::RecordingOutcome;

use super::disk::{self, FoundFile};
use crate::App;

/// A recording of which nothing is found here may run in another process, but not for longer than the
/// longest one may plus this.
const GRACE: Duration = Duration::from_secs(3_600);

impl App {
    /// Ends the recordings that a process before left behind: what they have is kept, and they are
    /// `interrupted`. Those of other processes, whose folders are not here, are left to them.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn recordings_recover(&self, ctx: &Ctx) -> Result<usize> {
        let rows = self.store().read().await?.recording_unfinished().await?;
        let mut recovered = 0;
        for recording in rows {
            let running = self.inner.recordings.of(recording.meeting_id);
            if running.is_some_and(|running| running.id == recording.id)
                || recording.started_at >= ctx.now
            {
                continue;
            }
            let directory = self.recording_directory(recording.meeting_id, recording.id);
            let longest = self.settings().recordings.max_duration + GRACE;
            if !directory.exists() && recording.started_at.plus(longest) > ctx.now {
                continue;
            }
            let id = recording.id;
            match self.recording_recover(ctx, recording).await {
                Ok(()) => recovered += 1,
                Err(error) => {
                    tracing::warn!(recording_id = %id, %error, "what is left of a recording could not be taken up");
                }
            }
        }
        Ok(recovered)
    }

    /// Ends a recording whose process died.
    pub(super) async fn recording_recover(&self, ctx: &Ctx, recording: Recording) -> Result<()> {
        let status = RecordingStatus::Interrupted;
        let reason = RecordingReason::ProcessDied;
        let (meeting_id, id) = (recording.meeting_id, recording.id);
        self.recording_enter_end(ctx, meeting_id, id, status, reason, None)
            .await
    }

    /// Enters the end of a recording with its files, and tells of it. One that has ended stays as it is.
    ///
    /// # Errors
    /// `NOT_FOUND` when it is gone; when a file cannot be read or the database refuses.
    pub(super) async fn recording_enter_end(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        id: RecordingId,
        status: RecordingStatus,
        reason: RecordingReason,
        kept: Option<KeptIndex>,
    ) -> Result<()> {
        let mut conn = self.store().read().await?;
        let recording = conn.recording_get(meeting_id, id).await?;
        let people = conn.consent_recording(meeting_id).await?;
        drop(conn);
        let people: BTreeSet<ParticipantId> = people.into_iter().map(|(id, ..)| id).collect();
        let directory = self.recording_directory(meeting_id, id);
        let (died, started_at) = (kept.is_none(), recording.started_at);
        let found = tokio::task::spawn_blocking(move || disk::find(&directory, kept, started_at))
            .await
            .map_err(Error::internal)?
            .map_err(Error::internal)?;
        let length = Duration::from_millis(u64::try_from(found.duration_ms).unwrap_or(0));
        let ended_at = if died {
            started_at.plus(length)
        } else {
            ctx.now.max(started_at)
        };
        let files: Vec<RecordingFile> = found
            .files
            .into_iter()
            .zip(0..)
            .map(|(file, number)| {
                // Ids sort by time: files stay in the order of their names.
                let at = ctx.now.plus(Duration::from_micros(number));
                self.file_row(at, id, &people, file)
            })
            .collect();
        let recording = Recording {
            status,
            reason: Some(reason),
            ended_at: Some(ended_at),
            duration_ms: found.duration_ms,
            size_bytes: files.iter().map(|file| file.size_bytes).sum(),
            dropped_packets: found.dropped_packets,
            participants: found.participants,
            skipped: found.skipped,
            ..recording
        };
        let outcome = RecordingOutcome { recording, files };
        let mut change = self.change(ctx).await?;
        change.meeting_lock(meeting_id).await?;
        // The stopper may have been noted since it was read.
        let stopped_by = change.recording_get(meeting_id, id).await?.stopped_by;
        if !change.recording_end(&outcome).await? {
            return Ok(());
        }
        let kind = match status {
            RecordingStatus::Failed => EventKind::RecordingFailed,
            _ => EventKind::RecordingStopped,
        };
        // Who was recorded when is for who asks.
        let told = Recording {
            stopped_by,
            participants: Vec::new(),
            skipped: Vec::new(),
            ..outcome.recording
        };
        change.meeting_event(meeting_id, kind, &told).await?;
        change.commit().await
    }

    fn file_row(
        &self,
        at: Timestamp,
        recording_id: RecordingId,
        people: &BTreeSet<ParticipantId>,
        file: FoundFile,
    ) -> RecordingFile {
        let participant_id = file
            .identity
            .and_then(|identity| identity.parse().ok())
            .filter(|id| people.contains(id));
        RecordingFile {
            id: self.entropy().id(at),
            recording_id,
            kind: file.kind,
            participant_id,
            track: file.track,
            name: file.name,
            content_type: file.content_type.to_owned(),
            start_ms: file.start_ms,
            duration_ms: file.duration_ms,
            size_bytes: file.size_bytes,
            sha256: file.sha256,
        }
    }
}
