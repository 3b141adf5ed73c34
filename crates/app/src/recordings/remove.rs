//! Removing files: first marked with the change that makes them needless, then removed, again and again
//! until they are gone.

use std::io;
use std::path::{Component, Path, PathBuf};

use meetmind_core::{Ctx, Error, EventKind, JobKind, MeetingId, Recording, RecordingId, Result};
use serde_json::json;

use crate::{App, Change};

/// Marks looked at, and recordings that outlived their time removed, in one go.
const BATCH: i64 = 100;

/// Goes a day; what is left over waits for the next one.
const BATCHES_MAX: usize = 1_000;

/// The name of a recording's folder, from the folder of all recordings on.
pub(super) fn folder(meeting_id: MeetingId, id: RecordingId) -> String {
    format!("{meeting_id}/{id}")
}

impl App {
    /// Deletes a recording within a change; its files follow.
    pub(super) async fn recording_remove_within(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        recording: &Recording,
    ) -> Result<()> {
        let Recording { id, meeting_id, .. } = *recording;
        change.recording_delete(id).await?;
        self.files_remove_within(change, ctx, &[folder(meeting_id, id)])
            .await?;
        let data = json!({ "id": id, "meeting_id": meeting_id });
        change
            .meeting_event(meeting_id, EventKind::RecordingDeleted, &data)
            .await
    }

    /// Marks files and folders, named from the folder of all recordings on, and queues their removal.
    pub(crate) async fn files_remove_within(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        paths: &[String],
    ) -> Result<()> {
        if paths.is_empty() {
            return Ok(());
        }
        for path in paths {
            change.removal_mark(path, ctx.now).await?;
        }
        // A job that is at work may have passed these by: it is not taken for this one.
        self.job_queue(change, ctx, JobKind::RemoveFiles, json!({}), ctx.now, None)
            .await
    }

    /// Removes what is marked.
    ///
    /// # Errors
    /// When something could not be removed, so that it is tried again; when the database cannot be reached.
    pub(crate) async fn files_remove(&self, _ctx: &Ctx) -> Result<()> {
        let base = self.settings().recordings.directory.clone();
        let mut after: Option<String> = None;
        let mut failure = None;
        loop {
            let mut conn = self.store().read().await?;
            let paths = conn.removal_list(after.as_deref(), BATCH).await?;
            drop(conn);
            let Some(last) = paths.last() else {
                return failure.map_or(Ok(()), |error| Err(Error::internal(error)));
            };
            after = Some(last.clone());
            for path in paths {
                let (base, name) = (base.clone(), path.clone());
                let removed = tokio::task::spawn_blocking(move || remove(&base, &name)).await;
                let removed = removed.map_err(Error::internal)?;
                let mut tx = self.store().begin().await?;
                match removed {
                    Ok(()) => tx.removal_done(&path).await?,
                    Err(error) => {
                        tracing::warn!(path, %error, "a recording's file could not be removed; trying again");
                        tx.removal_failed(&path, &error.to_string()).await?;
                        failure = Some(error);
                    }
                }
                tx.commit().await?;
            }
        }
    }

    /// Removes recordings that are older than the settings keep them, and tries again what could not be
    /// removed. Recordings that run in no process any more end.
    pub(crate) async fn recordings_trim(&self, ctx: &Ctx) -> Result<()> {
        self.recordings_recover(ctx).await?;
        if let Some(kept) = self.settings().recordings.retention {
            let before = ctx.now.minus(kept);
            for _ in 0..BATCHES_MAX {
                let mut conn = self.store().read().await?;
                let old = conn.recording_ended_before(before, BATCH).await?;
                drop(conn);
                if old.is_empty() {
                    break;
                }
                for recording in old {
                    let mut change = self.change(ctx).await?;
                    self.recording_remove_within(&mut change, ctx, &recording)
                        .await?;
                    change.commit().await?;
                }
            }
        }
        let mut conn = self.store().read().await?;
        let left = conn.removal_list(None, 1).await?;
        drop(conn);
        if !left.is_empty() {
            let mut change = self.change(ctx).await?;
            self.job_queue(
                &mut change,
                ctx,
                JobKind::RemoveFiles,
                json!({}),
                ctx.now,
                None,
            )
            .await?;
            change.commit().await?;
        }
        Ok(())
    }
}

/// Removes a file or a folder with all that is in it. What is not there is removed; a meeting's folder goes
/// with its last recording.
fn remove(base: &Path, name: &str) -> io::Result<()> {
    let path = below(base, name)?;
    let gone = match std::fs::symlink_metadata(&path) {
        Ok(data) if data.is_dir() => std::fs::remove_dir_all(&path),
        Ok(_) => std::fs::remove_file(&path),
        Err(error) => Err(error),
    };
    match gone {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if let Some(parent) = path.parent().filter(|parent| *parent != base) {
        // It stays while something is in it.
        let _ = std::fs::remove_dir(parent);
    }
    Ok(())
}

/// The path of a name, which must not lead out of the folder.
fn below(base: &Path, name: &str) -> io::Result<PathBuf> {
    let relative = Path::new(name);
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    if base.as_os_str().is_empty() || name.is_empty() || !relative.components().all(plain) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a name of a recording's file",
        ));
    }
    Ok(base.join(relative))
}
