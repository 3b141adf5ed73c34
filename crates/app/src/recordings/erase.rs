//! Erasing: the recordings of a meeting, and one person's voice and picture in them.

use meetmind_core::{
    Ctx, MeetingId, ParticipantId, Recording, RecordingFileKind, RecordingId, Result, UserId,
};
use meetmind_store::ErasureCounts;

use super::remove::folder;
use crate::{App, Change};

/// Rows read at a time.
const BATCH: i64 = 500;

impl App {
    /// Marks the files of all recordings of a meeting, whose rows go with it. Gives the counts.
    pub(crate) async fn recordings_erase_within(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        meeting_id: MeetingId,
    ) -> Result<ErasureCounts> {
        let counts = change.recording_counts(meeting_id).await?;
        if counts.iter().any(|(_, rows)| *rows > 0) {
            self.files_remove_within(change, ctx, &[meeting_id.to_string()])
                .await?;
        }
        Ok(counts)
    }

    /// Erases a participant from the recordings of a meeting that have ended: the files of its tracks, and
    /// every mix made while it was recorded, because nobody can be taken out of a mix.
    pub(crate) async fn recordings_erase_person(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        meeting_id: MeetingId,
        participant_id: ParticipantId,
    ) -> Result<ErasureCounts> {
        let identity = participant_id.to_string();
        let (mut files, mut before, mut paths) = (0, None::<RecordingId>, Vec::new());
        loop {
            let recordings = change.recording_list(meeting_id, before, BATCH).await?;
            let Some(last) = recordings.last() else { break };
            before = Some(last.id);
            for recording in recordings {
                let recorded = |of: &Recording| {
                    of.participants
                        .iter()
                        .any(|person| person.identity == identity)
                };
                let in_mix = recorded(&recording);
                let mut size_bytes = recording.size_bytes;
                let mut touched = in_mix;
                for file in change.recording_files(recording.id).await? {
                    let erased = match file.kind {
                        RecordingFileKind::Mix => in_mix,
                        _ => file.participant_id == Some(participant_id),
                    };
                    if !erased {
                        continue;
                    }
                    touched = true;
                    files += 1;
                    size_bytes -= file.size_bytes;
                    change.recording_file_delete(file.id).await?;
                    paths.push(format!(
                        "{}/{}",
                        folder(meeting_id, recording.id),
                        file.name
                    ));
                }
                if touched {
                    let mut people = recording.participants;
                    people.retain(|person| person.identity != identity);
                    change
                        .recording_lessen(recording.id, size_bytes.max(0), &people)
                        .await?;
                }
            }
        }
        self.files_remove_within(change, ctx, &paths).await?;
        Ok(vec![("recording_files", files)])
    }

    /// Removes the files of a user's own tracks, in whatever meeting; gives how many.
    pub(crate) async fn recordings_erase_user(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        user_id: UserId,
    ) -> Result<u64> {
        let mut erased = 0;
        loop {
            let files = change.recording_files_of_user(user_id, BATCH).await?;
            if files.is_empty() {
                return Ok(erased);
            }
            let mut paths = Vec::new();
            for (file_id, name, recording_id, meeting_id) in files {
                let file = change.recording_file_get(recording_id, file_id).await?;
                let recording = change.recording_get(meeting_id, recording_id).await?;
                let size_bytes = (recording.size_bytes - file.size_bytes).max(0);
                change
                    .recording_lessen(recording_id, size_bytes, &recording.participants)
                    .await?;
                change.recording_file_delete(file_id).await?;
                paths.push(format!("{}/{name}", folder(meeting_id, recording_id)));
                erased += 1;
            }
            self.files_remove_within(change, ctx, &paths).await?;
        }
    }
}
