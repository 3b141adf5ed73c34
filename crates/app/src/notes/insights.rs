//! Who spoke how much, and what stayed open.

use std::collections::HashMap;

use meetmind_core::{Ctx, MeetingAction, MeetingId, ParticipantId, Result, Segment, SegmentId};
use serde::Serialize;

use super::ENGINE_NOTE;
use super::derive::Material;
use super::summary::NotesCoverage;
use crate::App;
use crate::meetings::meeting_access;

/// Figures and open ends of a meeting, counted from its final segments at the time of asking.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Insights {
    /// The meeting.
    pub meeting_id: MeetingId,
    /// From the first word to the last, milliseconds.
    pub duration_ms: i64,
    /// Words said, counted between spaces.
    pub words: i64,
    /// Times that somebody took the word.
    pub turns: i64,
    /// The speakers, who spoke longest first.
    pub speakers: Vec<SpeakerShare>,
    /// The longest time that one person spoke without another; `null` in silence.
    pub longest_turn: Option<LongestTurn>,
    /// Questions that nobody answered, as far as fixed rules can tell.
    pub open_questions: Vec<OpenQuestionView>,
    /// What the notes rest on.
    pub coverage: NotesCoverage,
    /// What made the derived lines, in a sentence.
    pub engine_note: String,
}

/// One speaker's part.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct SpeakerShare {
    /// The name in the transcript.
    pub speaker: String,
    /// The participant, where the transcript knows it.
    pub participant_id: Option<ParticipantId>,
    /// Milliseconds of speech.
    pub talk_ms: i64,
    /// The part of all speech, 0 to 1.
    pub talk_share: f64,
    /// Words said.
    pub words: i64,
    /// Times this speaker took the word.
    pub turns: i64,
    /// Sentences that end in a question mark.
    pub questions: i64,
}

/// One person speaking without another.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct LongestTurn {
    /// Who.
    pub speaker: String,
    /// Milliseconds from the meeting's start.
    pub start_ms: i64,
    /// Milliseconds from the meeting's start.
    pub end_ms: i64,
    /// Words said.
    pub words: i64,
    /// Where it was said.
    pub segment_ids: Vec<SegmentId>,
}

/// A question that was left open.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct OpenQuestionView {
    /// The question as said.
    pub text: String,
    /// Who asked.
    pub speaker: String,
    /// Milliseconds from the meeting's start.
    pub start_ms: i64,
    /// The question and the reply that left it open.
    pub segment_ids: Vec<SegmentId>,
}

impl App {
    /// Figures and open questions of a meeting.
    ///
    /// # Errors
    /// `NOT_FOUND` for who may not see it.
    pub async fn insights_get(&self, ctx: &Ctx, meeting_id: MeetingId) -> Result<Insights> {
        let (material, coverage) = {
            let mut conn = self.store().read().await?;
            meeting_access(&mut conn, ctx, meeting_id, MeetingAction::ReadTranscript).await?;
            let material = Material::load(&mut conn, meeting_id).await?;
            let summary = conn.summary_find(meeting_id).await?;
            let (segments, cited) = conn.notes_coverage(meeting_id).await?;
            let coverage = NotesCoverage {
                segments,
                summarised: summary.map_or(0, |s| s.segment_count),
                cited,
            };
            (material, coverage)
        };
        let notes = material.notes().await?;
        let segments = &material.segments;
        let start_of: HashMap<SegmentId, i64> =
            segments.iter().map(|s| (s.id, s.start_ms)).collect();
        let open_questions = notes
            .questions
            .into_iter()
            .map(|question| OpenQuestionView {
                start_ms: question
                    .segment_ids
                    .first()
                    .and_then(|id| start_of.get(id).copied())
                    .unwrap_or(0),
                text: question.text,
                speaker: question.speaker,
                segment_ids: question.segment_ids,
            })
            .collect();
        let turns = turns(segments);
        let first = segments.iter().map(|s| s.start_ms).min().unwrap_or(0);
        let last = segments.iter().map(|s| s.end_ms).max().unwrap_or(0);
        Ok(Insights {
            meeting_id,
            duration_ms: last - first,
            words: segments.iter().map(words).sum(),
            turns: count(turns.len()),
            speakers: shares(segments, &turns),
            longest_turn: longest(&turns),
            open_questions,
            coverage,
            engine_note: ENGINE_NOTE.to_owned(),
        })
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn words(segment: &Segment) -> i64 {
    count(segment.text.split_whitespace().count())
}

/// Runs of segments by one speaker.
fn turns(segments: &[Segment]) -> Vec<&[Segment]> {
    segments.chunk_by(|a, b| a.speaker == b.speaker).collect()
}

fn shares(segments: &[Segment], turns: &[&[Segment]]) -> Vec<SpeakerShare> {
    let mut by_name: HashMap<&str, SpeakerShare> = HashMap::new();
    let all: i64 = segments.iter().map(|s| s.end_ms - s.start_ms).sum();
    for segment in segments {
        let share = by_name
            .entry(&segment.speaker)
            .or_insert_with(|| SpeakerShare {
                speaker: segment.speaker.clone(),
                participant_id: None,
                talk_ms: 0,
                talk_share: 0.0,
                words: 0,
                turns: 0,
                questions: 0,
            });
        share.participant_id = share.participant_id.or(segment.participant_id);
        share.talk_ms += segment.end_ms - segment.start_ms;
        share.words += words(segment);
        share.questions += questions(&segment.text);
    }
    for turn in turns {
        if let Some(share) = turn
            .first()
            .and_then(|s| by_name.get_mut(s.speaker.as_str()))
        {
            share.turns += 1;
        }
    }
    let mut shares: Vec<SpeakerShare> = by_name
        .into_values()
        .map(|share| SpeakerShare {
            talk_share: share.talk_ms as f64 / (all as f64).max(1.0),
            ..share
        })
        .collect();
    shares.sort_by(|a, b| {
        (b.talk_ms, b.words)
            .cmp(&(a.talk_ms, a.words))
            .then_with(|| a.speaker.cmp(&b.speaker))
    });
    shares
}

/// Runs of question marks, so that `?!` and `??` ask once.
fn questions(text: &str) -> i64 {
    let mut asked = 0;
    let mut before = ' ';
    for letter in text.chars() {
        if matches!(letter, '?' | '？') && !matches!(before, '?' | '？' | '!') {
            asked += 1;
        }
        before = letter;
    }
    asked
}

fn longest(turns: &[&[Segment]]) -> Option<LongestTurn> {
    let length = |turn: &&&[Segment]| {
        let spoken: i64 = turn.iter().map(|s| s.end_ms - s.start_ms).sum();
        let said: i64 = turn.iter().map(words).sum();
        (spoken, said)
    };
    let turn = turns.iter().max_by_key(length)?;
    Some(LongestTurn {
        speaker: turn.first()?.speaker.clone(),
        start_ms: turn.iter().map(|s| s.start_ms).min()?,
        end_ms: turn.iter().map(|s| s.end_ms).max()?,
        words: turn.iter().map(words).sum(),
        segment_ids: turn.iter().map(|s| s.id).collect(),
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_run_of_marks_asks_once() {
        assert_eq!(super::questions("What?! Really?? Yes. 何？"), 3);
    }
}
