//! Running the offline engine over a meeting.

use meetmind_ai::local::{self, NotesOptions, Turn};
use meetmind_core::{Error, MeetingId, Participant, Result, Segment, SegmentId};
use meetmind_store::Conn;

/// Participants whose names are tried as owners; beyond it an event is no meeting of named people.
const PARTICIPANTS_MAX: i64 = 1_000;

/// A transcript with all that notes are made from.
#[derive(Debug)]
pub(super) struct Material {
    /// The final segments in the order they were said.
    pub(super) segments: Vec<Segment>,
    /// The people on the list.
    pub(super) participants: Vec<Participant>,
    /// The corrections that are in the segments, as the store counts them.
    pub(super) corrections: i64,
}

impl Material {
    pub(super) async fn load(conn: &mut Conn, meeting_id: MeetingId) -> Result<Self> {
        let segments = conn.segment_finals(meeting_id).await?;
        let corrected = segments.iter().filter(|s| s.corrected_at.is_some());
        Ok(Self {
            corrections: corrected.map(|s| s.version).sum(),
            participants: conn
                .participant_list(meeting_id, None, PARTICIPANTS_MAX)
                .await?,
            segments,
        })
    }

    /// The notes of it. The engine computes for up to tens of milliseconds: not on a thread
    /// that serves requests.
    pub(super) async fn notes(&self) -> Result<local::Notes<SegmentId>> {
        let turns = self.segments.iter().map(turn).collect::<Vec<_>>();
        let options = NotesOptions {
            participants: self.participants.iter().map(|p| p.name.clone()).collect(),
            ..NotesOptions::default()
        };
        tokio::task::spawn_blocking(move || local::notes(&turns, &options))
            .await
            .map_err(Error::internal)
    }
}

fn turn(segment: &Segment) -> Turn<SegmentId> {
    Turn {
        id: segment.id,
        speaker: segment.speaker.clone(),
        text: segment.text.clone(),
        start_ms: segment.start_ms,
        end_ms: segment.end_ms,
    }
}
