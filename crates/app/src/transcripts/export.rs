//! The transcript as a file.

use meetmind_core::{Ctx, MeetingAction, MeetingId, MeetingRole, Result};

use super::formats::{self, ExportMeeting, ExportSegment, Format, ImportedParticipant};
use crate::App;
use crate::meetings::meeting_access;

/// The most participants that are listed in a file.
const MAX_PARTICIPANTS: i64 = 10_000;

/// A transcript to download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TranscriptFile {
    /// A file name of ASCII letters, digits and dashes.
    pub name: String,
    /// The `Content-Type`.
    pub media_type: &'static str,
    /// The content.
    pub body: String,
}

impl App {
    /// All final segments of a meeting as a file. It holds names and no addresses.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn transcript_export(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        format: Format,
    ) -> Result<TranscriptFile> {
        let mut conn = self.store().read().await?;
        let meeting = meeting_access(&mut conn, ctx, meeting_id, MeetingAction::ReadTranscript)
            .await?
            .meeting;
        let series = match meeting.series_id {
            Some(series_id) => Some(conn.series_get(series_id).await?.title),
            None => None,
        };
        let participants: Vec<ImportedParticipant> = conn
            .participant_list_present(meeting_id, None, MAX_PARTICIPANTS)
            .await?
            .into_iter()
            .filter(|participant| participant.role != MeetingRole::Agent)
            .map(|participant| ImportedParticipant {
                name: participant.name,
                email: None,
                role_title: None,
            })
            .collect();
        let segments: Vec<ExportSegment> = conn
            .segment_finals(meeting_id)
            .await?
            .into_iter()
            .map(|segment| ExportSegment {
                id: segment.id.to_string(),
                speaker: segment.speaker,
                text: segment.text,
                start_ms: segment.start_ms,
                end_ms: segment.end_ms,
                corrected: segment.corrected_at.is_some(),
            })
            .collect();
        drop(conn);
        let starts_at = meeting
            .started_at
            .or(meeting.starts_at)
            .map(|moment| moment.to_string());
        let export = ExportMeeting {
            title: &meeting.title,
            series: series.as_deref(),
            starts_at: starts_at.as_deref(),
            participants: &participants,
            segments: &segments,
        };
        Ok(TranscriptFile {
            name: format!("{}.{}", slug(&meeting.title), format.extension()),
            media_type: format.media_type(),
            body: formats::render(&export, format),
        })
    }
}

/// A title as the stem of a file name that every system takes.
fn slug(title: &str) -> String {
    let mut stem = String::new();
    for letter in title.chars() {
        if letter.is_ascii_alphanumeric() {
            stem.push(letter.to_ascii_lowercase());
        } else if !stem.is_empty() && !stem.ends_with('-') {
            stem.push('-');
        }
    }
    stem.truncate(60);
    let stem = stem.trim_end_matches('-');
    if stem.is_empty() {
        "transcript".to_owned()
    } else {
        stem.to_owned()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn file_names_hold_no_path_and_no_quote() {
        assert_eq!(super::slug("../Ab \"c\"\r\n: déjà"), "ab-c-d-j");
        assert_eq!(super::slug("会議"), "transcript");
    }
}
