//! Recordings, their files, and files that are to go.

use meetmind_core::{
    MeetingId, RecordedParticipant, Recording, RecordingFile, RecordingFileId, RecordingId,
    Timestamp, UserId,
};
use sqlx::types::Json;

use crate::db::{execute, fetch_all, fetch_one, fetch_optional};
use crate::erasure::ErasureCounts;
use crate::statements::statements;
use crate::{Conn, Error, Result};

macro_rules! recording_columns {
    () => {
        "id, meeting_id, mode, status, reason, started_by, stopped_by, started_at, ended_at, duration_ms, size_bytes, dropped_packets, participants, skipped"
    };
}

macro_rules! file_columns {
    () => {
        "id, recording_id, kind, participant_id, track, name, content_type, start_ms, duration_ms, size_bytes, sha256"
    };
}

statements! {
    RECORDING_INSERT = "INSERT INTO recordings (id, meeting_id, mode, status, reason, started_by, stopped_by, started_at, ended_at, duration_ms, size_bytes, dropped_packets, participants, skipped)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
    RECORDING_GET = concat!("SELECT ", recording_columns!(), " FROM recordings WHERE meeting_id = $1 AND id = $2");
    RECORDING_RUNNING = concat!("SELECT ", recording_columns!(), " FROM recordings WHERE meeting_id = $1 AND status = 'recording'");
    RECORDING_LIST = concat!("SELECT ", recording_columns!(), " FROM recordings WHERE meeting_id = $1 AND (id < $2 OR $2 IS NULL) ORDER BY id DESC LIMIT $3");
    // What no process holds any more is found among these at the start.
    RECORDING_UNFINISHED = concat!("SELECT ", recording_columns!(), " FROM recordings WHERE status = 'recording' AND ended_at IS NULL ORDER BY id");
    RECORDING_ENDED_BEFORE = concat!("SELECT ", recording_columns!(), " FROM recordings WHERE ended_at < $1 ORDER BY ended_at, id LIMIT $2");
    RECORDING_STOPPER_SET = "UPDATE recordings SET stopped_by = $2 WHERE id = $1 AND status = 'recording' AND stopped_by IS NULL";
    RECORDING_END = "UPDATE recordings SET status = $2, reason = $3, ended_at = $4, duration_ms = $5, size_bytes = $6, dropped_packets = $7, participants = $8, skipped = $9
        WHERE id = $1 AND status = 'recording'";
    RECORDING_LESSEN = "UPDATE recordings SET size_bytes = $2, participants = $3 WHERE id = $1";
    RECORDING_DELETE = "DELETE FROM recordings WHERE id = $1";
    RECORDING_COUNT = "SELECT COUNT(*), (SELECT COUNT(*) FROM recording_files f JOIN recordings r ON r.id = f.recording_id WHERE r.meeting_id = $1)
        FROM recordings WHERE meeting_id = $1";
    RECORDING_SIZES = "SELECT COUNT(*), CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) FROM recording_files";
    RECORDING_FILE_INSERT = "INSERT INTO recording_files (id, recording_id, kind, participant_id, track, name, content_type, start_ms, duration_ms, size_bytes, sha256)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    RECORDING_FILES = concat!("SELECT ", file_columns!(), " FROM recording_files WHERE recording_id = $1 ORDER BY id");
    RECORDING_FILE_GET = concat!("SELECT ", file_columns!(), " FROM recording_files WHERE recording_id = $1 AND id = $2");
    RECORDING_FILE_DELETE = "DELETE FROM recording_files WHERE id = $1";
    RECORDING_FILES_OF_USER = "SELECT f.id, f.name, r.id, r.meeting_id FROM participants p JOIN recording_files f ON f.participant_id = p.id
        JOIN recordings r ON r.id = f.recording_id WHERE p.user_id = $1 ORDER BY f.id LIMIT $2";
    REMOVAL_MARK = "INSERT INTO file_removals (path, marked_at, attempts, last_error) VALUES ($1, $2, 0, NULL) ON CONFLICT (path) DO NOTHING";
    REMOVAL_LIST = "SELECT path FROM file_removals WHERE (path > $1 OR $1 IS NULL) ORDER BY path LIMIT $2";
    REMOVAL_DONE = "DELETE FROM file_removals WHERE path = $1";
    REMOVAL_FAILED = "UPDATE file_removals SET attempts = attempts + 1, last_error = $2 WHERE path = $1";
}

/// What an ended recording is.
#[derive(Debug, Clone)]
pub struct RecordingOutcome {
    /// The row as it is from now on; what describes the beginning is not written again.
    pub recording: Recording,
    /// Its files.
    pub files: Vec<RecordingFile>,
}

impl Conn {
    /// Adds a recording.
    ///
    /// # Errors
    /// [`Error::Duplicate`] while another one of the meeting runs.
    pub async fn recording_insert(&mut self, r: &Recording) -> Result<()> {
        execute!(
            self,
            RECORDING_INSERT,
            r.id,
            r.meeting_id,
            r.mode,
            r.status,
            r.reason,
            &r.started_by,
            &r.stopped_by,
            r.started_at,
            r.ended_at,
            r.duration_ms,
            r.size_bytes,
            r.dropped_packets,
            Json(&r.participants),
            Json(&r.skipped)
        )?;
        Ok(())
    }

    /// One recording of a meeting.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database cannot be reached.
    pub async fn recording_get(
        &mut self,
        meeting_id: MeetingId,
        id: RecordingId,
    ) -> Result<Recording> {
        fetch_optional!(self, RECORDING_GET, meeting_id, id)?.ok_or(Error::NotFound("recording"))
    }

    /// The recording of a meeting that runs, by what the table says.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn recording_running(&mut self, meeting_id: MeetingId) -> Result<Option<Recording>> {
        fetch_optional!(self, RECORDING_RUNNING, meeting_id)
    }

    /// The recordings of a meeting, newest first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn recording_list(
        &mut self,
        meeting_id: MeetingId,
        before: Option<RecordingId>,
        limit: i64,
    ) -> Result<Vec<Recording>> {
        fetch_all!(self, RECORDING_LIST, meeting_id, before, limit)
    }

    /// All recordings that run, or ran when their process died.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn recording_unfinished(&mut self) -> Result<Vec<Recording>> {
        fetch_all!(self, RECORDING_UNFINISHED)
    }

    /// Recordings that ended before a moment, oldest first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn recording_ended_before(
        &mut self,
        before: Timestamp,
        limit: i64,
    ) -> Result<Vec<Recording>> {
        fetch_all!(self, RECORDING_ENDED_BEFORE, before, limit)
    }

    /// Notes who stopped a running recording; the first one stays.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn recording_stopper_set(&mut self, id: RecordingId, actor: &str) -> Result<()> {
        execute!(self, RECORDING_STOPPER_SET, id, actor)?;
        Ok(())
    }

    /// Ends a running recording and adds its files; false if it had ended or is gone.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn recording_end(&mut self, outcome: &RecordingOutcome) -> Result<bool> {
        let r = &outcome.recording;
        let ended = execute!(
            self,
            RECORDING_END,
            r.id,
            r.status,
            r.reason,
            r.ended_at,
            r.duration_ms,
            r.size_bytes,
            r.dropped_packets,
            Json(&r.participants),
            Json(&r.skipped)
        )?;
        if ended == 0 {
            return Ok(false);
        }
        for f in &outcome.files {
            execute!(
                self,
                RECORDING_FILE_INSERT,
                f.id,
                f.recording_id,
                f.kind,
                f.participant_id,
                &f.track,
                &f.name,
                &f.content_type,
                f.start_ms,
                f.duration_ms,
                f.size_bytes,
                &f.sha256
            )?;
        }
        Ok(true)
    }

    /// The size and the people of a recording after files of it were taken out.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn recording_lessen(
        &mut self,
        id: RecordingId,
        size_bytes: i64,
        participants: &[RecordedParticipant],
    ) -> Result<()> {
        execute!(self, RECORDING_LESSEN, id, size_bytes, Json(participants))?;
        Ok(())
    }

    /// Deletes a recording with the rows of its files; false if it was gone. Mark the files before.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn recording_delete(&mut self, id: RecordingId) -> Result<bool> {
        Ok(execute!(self, RECORDING_DELETE, id)? == 1)
    }

    /// How many recordings and files go with a meeting.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn recording_counts(&mut self, meeting_id: MeetingId) -> Result<ErasureCounts> {
        let (recordings, files): (i64, i64) = fetch_one!(self, RECORDING_COUNT, meeting_id)?;
        let count = |rows| u64::try_from(rows).unwrap_or(0);
        Ok(vec![
            ("recordings", count(recordings)),
            ("recording_files", count(files)),
        ])
    }

    /// How many files of recordings there are, and their bytes.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn recording_sizes(&mut self) -> Result<(i64, i64)> {
        fetch_one!(self, RECORDING_SIZES)
    }

    /// The files of a recording, in the order in which they were entered.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn recording_files(&mut self, id: RecordingId) -> Result<Vec<RecordingFile>> {
        fetch_all!(self, RECORDING_FILES, id)
    }

    /// One file of a recording.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database cannot be reached.
    pub async fn recording_file_get(
        &mut self,
        id: RecordingId,
        file: RecordingFileId,
    ) -> Result<RecordingFile> {
        fetch_optional!(self, RECORDING_FILE_GET, id, file)?
            .ok_or(Error::NotFound("file of this recording"))
    }

    /// Deletes the row of a file. Mark the file before.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn recording_file_delete(&mut self, id: RecordingFileId) -> Result<()> {
        execute!(self, RECORDING_FILE_DELETE, id)?;
        Ok(())
    }

    /// Files with the tracks of one user, in whatever meeting: the file, its name, its recording and
    /// meeting.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn recording_files_of_user(
        &mut self,
        id: UserId,
        limit: i64,
    ) -> Result<Vec<(RecordingFileId, String, RecordingId, MeetingId)>> {
        fetch_all!(self, RECORDING_FILES_OF_USER, id, limit)
    }

    /// Marks a file or folder, named from the folder of recordings on, to be removed.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn removal_mark(&mut self, path: &str, now: Timestamp) -> Result<()> {
        execute!(self, REMOVAL_MARK, path, now)?;
        Ok(())
    }

    /// What is marked, in the order of its names.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn removal_list(&mut self, after: Option<&str>, limit: i64) -> Result<Vec<String>> {
        let rows: Vec<(String,)> = fetch_all!(self, REMOVAL_LIST, after, limit)?;
        Ok(rows.into_iter().map(|(path,)| path).collect())
    }

    /// It is gone.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn removal_done(&mut self, path: &str) -> Result<()> {
        execute!(self, REMOVAL_DONE, path)?;
        Ok(())
    }

    /// It could not be removed this time.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn removal_failed(&mut self, path: &str, error: &str) -> Result<()> {
        execute!(self, REMOVAL_FAILED, path, error)?;
        Ok(())
    }
}
