//! Recordings: who may start and stop them, what there is, and fetching it.
//!
//! The room hands its packets to a thread that writes files (`media`); here is what that means for a
//! meeting. Rows tell of a recording from its beginning, of its files from its end. Files lie under
//! `recordings/<meeting>/<recording>/` in the data directory; before one is removed it is marked in the
//! database, so that a removal that fails is tried again.

mod disk;
mod erase;
mod recover;
mod remove;
mod run;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meetmind_core::{
    Code, ConsentPolicy, Ctx, Error, EventKind, MeetingAction, MeetingId, MeetingStatus, Page,
    PageQuery, Recording, RecordingFile, RecordingFileId, RecordingId, RecordingMode,
    RecordingReason, RecordingStatus, Result,
};
use serde_json::json;

use crate::App;
use crate::meetings::{cursor_id, cursor_of, meeting_access};
use run::Running;

/// How long a stop waits for the files to be complete. Those of long recordings with pictures may take
/// longer; the recording shows as running until then.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// The recordings that run in this process, by their meeting.
#[derive(Default)]
pub(crate) struct State {
    running: Mutex<HashMap<MeetingId, Arc<Running>>>,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, HashMap<MeetingId, Arc<Running>>> {
        // The map is whole between two calls.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, meeting_id: MeetingId) -> Option<Arc<Running>> {
        self.lock().get(&meeting_id).cloned()
    }

    fn all(&self) -> Vec<Arc<Running>> {
        self.lock().values().cloned().collect()
    }
}

/// A file of a recording, opened.
#[derive(Debug)]
pub struct RecordingDownload {
    /// What is known of it.
    pub file: RecordingFile,
    /// Its bytes.
    pub bytes: tokio::fs::File,
}

impl App {
    /// Starts a recording of a meeting that runs. Only who consents is recorded, under the meeting's
    /// consent policy, from the moment and as long as that holds.
    ///
    /// # Errors
    /// `NOT_FOUND`; `FORBIDDEN` for viewers and agents; `MEETING_ENDED`; `CONSENT_DENIED` where the policy
    /// is `off`; `CONFLICT` when the meeting has not begun, is being recorded, or meets on another LiveKit
    /// server; `QUOTA_EXCEEDED` when too many recordings run; `STORAGE_FULL`.
    pub async fn recording_start(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        mode: RecordingMode,
    ) -> Result<Recording> {
        self.refuse_when_draining()?;
        // From now on nothing that changes consent can be missed.
        let bus = self.bus().subscribe();
        let mut change = self.change(ctx).await?;
        change.meeting_lock(meeting_id).await?;
        let access = meeting_access(&mut change, ctx, meeting_id, MeetingAction::Record).await?;
        match access.meeting.status {
            MeetingStatus::Live => {}
            MeetingStatus::Ended => {
                return Err(Error::new(Code::MeetingEnded, "the meeting has ended"));
            }
            MeetingStatus::Scheduled => {
                return Err(Error::new(
                    Code::Conflict,
                    "the meeting has not begun: somebody has to join first",
                ));
            }
        }
        if access.meeting.consent_policy == ConsentPolicy::Off {
            return Err(Error::new(
                Code::ConsentDenied,
                "this meeting keeps nothing: its consent policy is off",
            ));
        }
        if let Some(other) = change.recording_running(meeting_id).await? {
            return Err(
                Error::new(Code::Conflict, "the meeting is being recorded already")
                    .with_details(json!({ "recording_id": other.id })),
            );
        }
        let (current, limit) = (
            self.inner.recordings.lock().len(),
            self.settings().recordings.max_running,
        );
        if current >= limit {
            return Err(
                Error::new(Code::QuotaExceeded, "too many recordings run at the moment")
                    .with_details(json!({ "current": current, "limit": limit, "reset": null })),
            );
        }
        let recording = Recording {
            id: self.id(ctx),
            meeting_id,
            mode,
            status: RecordingStatus::Recording,
            reason: None,
            started_by: ctx.actor.key(),
            stopped_by: None,
            started_at: ctx.now,
            ended_at: None,
            duration_ms: 0,
            size_bytes: 0,
            dropped_packets: 0,
            participants: Vec::new(),
            skipped: Vec::new(),
        };
        change.recording_insert(&recording).await?;
        change
            .meeting_event(meeting_id, EventKind::RecordingStarted, &recording)
            .await?;
        let details = json!({ "meeting_id": meeting_id, "mode": mode });
        change
            .audit("recording.started", recording.id, details)
            .await?;
        // Nothing is recorded before the consents are known, which is after the commit.
        let begun = self.recording_begin(&recording)?;
        if let Err(error) = change.commit().await {
            self.recording_discard(begun).await;
            return Err(error);
        }
        self.recording_run(begun, bus).await;
        Ok(recording)
    }

    /// Stops a recording, and waits a while for its files to be complete. Stopping one that has ended is no
    /// change.
    ///
    /// # Errors
    /// `NOT_FOUND`; `FORBIDDEN` for viewers and agents; `CONFLICT` when it runs in another process.
    pub async fn recording_stop(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        id: RecordingId,
    ) -> Result<Recording> {
        let mut change = self.change(ctx).await?;
        meeting_access(&mut change, ctx, meeting_id, MeetingAction::Record).await?;
        let recording = change.recording_get(meeting_id, id).await?;
        if recording.status != RecordingStatus::Recording {
            return Ok(recording);
        }
        change.recording_stopper_set(id, &ctx.actor.key()).await?;
        change.commit().await?;
        if !self
            .recording_halt(meeting_id, RecordingReason::Requested)
            .await
        {
            if !self.recording_directory(meeting_id, id).exists() {
                return Err(Error::new(
                    Code::Conflict,
                    "the recording runs in another process of this server",
                ));
            }
            // Nobody writes it any more.
            self.recording_recover(ctx, recording).await?;
        }
        let mut conn = self.store().read().await?;
        let recording = conn.recording_get(meeting_id, id).await?;
        Ok(self.as_it_runs(recording))
    }

    /// The recordings of a meeting, newest first.
    ///
    /// # Errors
    /// `NOT_FOUND` for who has no part in it, `INVALID_CURSOR`.
    pub async fn recording_list(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        page: &PageQuery,
    ) -> Result<Page<Recording>> {
        let before = cursor_id(page)?;
        let mut conn = self.store().read().await?;
        meeting_access(&mut conn, ctx, meeting_id, MeetingAction::Read).await?;
        let rows = conn
            .recording_list(meeting_id, before, page.limit + 1)
            .await?;
        let rows = rows.into_iter().map(|row| self.as_it_runs(row)).collect();
        Ok(Page::from_rows(rows, page.limit, |row| cursor_of(row.id)))
    }

    /// One recording with its files, of which there are at most 4,096.
    ///
    /// # Errors
    /// `NOT_FOUND` for who has no part in the meeting.
    pub async fn recording_get(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        id: RecordingId,
    ) -> Result<(Recording, Vec<RecordingFile>)> {
        let mut conn = self.store().read().await?;
        meeting_access(&mut conn, ctx, meeting_id, MeetingAction::Read).await?;
        let recording = conn.recording_get(meeting_id, id).await?;
        let files = conn.recording_files(id).await?;
        Ok((self.as_it_runs(recording), files))
    }

    /// Opens a file of a recording, for who may read what was said.
    ///
    /// # Errors
    /// `NOT_FOUND` for who has no part in the meeting, and for a file that is not in the data directory any
    /// more; `SCOPE_MISSING`.
    pub async fn recording_file_open(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        id: RecordingId,
        file: RecordingFileId,
    ) -> Result<RecordingDownload> {
        let mut conn = self.store().read().await?;
        meeting_access(&mut conn, ctx, meeting_id, MeetingAction::ReadTranscript).await?;
        conn.recording_get(meeting_id, id).await?;
        let file = conn.recording_file_get(id, file).await?;
        drop(conn);
        let path = self.recording_directory(meeting_id, id).join(&file.name);
        match tokio::fs::File::open(&path).await {
            Ok(bytes) => Ok(RecordingDownload { file, bytes }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                tracing::error!(recording_id = %id, file = file.name, "a file of a recording is not in the data directory");
                Err(Error::not_found("file of this recording"))
            }
            Err(error) => Err(Error::internal(error)),
        }
    }

    /// Deletes a recording with its files; one that runs is stopped first.
    ///
    /// # Errors
    /// `NOT_FOUND`; `FORBIDDEN` for all but the host.
    pub async fn recording_delete(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        id: RecordingId,
    ) -> Result<Recording> {
        let mut conn = self.store().read().await?;
        meeting_access(&mut conn, ctx, meeting_id, MeetingAction::Delete).await?;
        let recording = conn.recording_get(meeting_id, id).await?;
        drop(conn);
        if recording.status == RecordingStatus::Recording {
            self.recording_halt(meeting_id, RecordingReason::Requested)
                .await;
        }
        let mut change = self.change(ctx).await?;
        meeting_access(&mut change, ctx, meeting_id, MeetingAction::Delete).await?;
        let recording = change.recording_get(meeting_id, id).await?;
        self.recording_remove_within(&mut change, ctx, &recording)
            .await?;
        let details = json!({ "meeting_id": meeting_id });
        change.audit("recording.deleted", id, details).await?;
        change.commit().await?;
        Ok(recording)
    }

    /// The folder of a recording.
    pub(crate) fn recording_directory(&self, meeting_id: MeetingId, id: RecordingId) -> PathBuf {
        self.settings()
            .recordings
            .directory
            .join(meeting_id.to_string())
            .join(id.to_string())
    }

    /// A row with what only the running recording knows.
    fn as_it_runs(&self, mut recording: Recording) -> Recording {
        let running = self.inner.recordings.of(recording.meeting_id);
        if let Some(running) = running.filter(|running| running.id == recording.id)
            && recording.status == RecordingStatus::Recording
        {
            running.describe(&mut recording);
        }
        recording
    }
}
