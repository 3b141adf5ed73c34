//! Segments as they are said: drafts, finals, repeats, late ones.

use meetmind_core::{Ctx, Error, MeetingAction, MeetingId, MeetingStatus, Result, Segment};

use super::speakers::{Speakers, consent_denied};
use super::write::Entry;
use super::{MAX_POSTED, MAX_SPEAKER_CHARS, check_order, checked_text, checked_time, own_action};
use crate::meetings::meeting_access;
use crate::{App, valid};

/// A segment to post.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentNew {
    /// Who speaks; the caller when absent.
    pub speaker: Option<String>,
    /// The words, at most 16,384 characters.
    pub text: String,
    /// Milliseconds from the meeting's start; now when absent.
    pub start_ms: Option<i64>,
    /// Milliseconds from the meeting's start; when absent, what the words take at 150 a minute.
    pub end_ms: Option<i64>,
    /// 0 to 1.
    pub confidence: Option<f64>,
    /// A BCP 47 tag.
    pub language: Option<String>,
    /// Whether the words stay; drafts may change under the same `external_id`.
    pub is_final: bool,
    /// The caller's own id, at most 200 characters.
    pub external_id: Option<String>,
}

/// What became of a posted segment.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentPosted {
    /// The segment as it stands.
    pub segment: Segment,
    /// Whether it is new.
    pub added: bool,
}

impl App {
    /// Adds segments, all or none. The same `external_id` updates its draft under the same id; a
    /// repeated final changes nothing; a draft that comes after its final changes nothing either.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN` for viewers and for naming others without the right,
    /// `CONSENT_DENIED`, `MEETING_ENDED`, `SEGMENT_FINAL` for other words under a final's id,
    /// `VALIDATION_FAILED`.
    pub async fn transcript_post(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        new: Vec<SegmentNew>,
    ) -> Result<Vec<SegmentPosted>> {
        if new.is_empty() || new.len() > MAX_POSTED {
            return Err(Error::invalid(
                "segments",
                format!("must be 1 to {MAX_POSTED} segments"),
            ));
        }
        let many = new.len() > 1;
        let mut new = new
            .into_iter()
            .enumerate()
            .map(|(index, new)| checked(new, many.then_some(index)))
            .collect::<Result<Vec<_>>>()?;
        match new.pop() {
            Some(one) if new.is_empty() => {
                Ok(vec![self.transcript_gather(ctx, meeting_id, one).await?])
            }
            last => {
                new.extend(last);
                self.transcript_post_alone(ctx, meeting_id, new).await
            }
        }
    }

    /// Adds segments that are checked, all or none, in a transaction of their own.
    pub(super) async fn transcript_post_alone(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        new: Vec<SegmentNew>,
    ) -> Result<Vec<SegmentPosted>> {
        let many = new.len() > 1;
        let action = own_action(&ctx.actor, MeetingAction::Speak);
        let mut change = self.change(ctx).await?;
        let mut access = meeting_access(&mut change, ctx, meeting_id, action).await?;
        // Two first posts must not both start the meeting, and two calls with the same external
        // ids in another order must not wait for each other.
        let scheduled = access.meeting.status == MeetingStatus::Scheduled;
        if scheduled || many {
            change.meeting_lock(meeting_id).await?;
        }
        let mut speakers = Speakers::default();
        let mut resolved = Vec::with_capacity(new.len());
        for (index, segment) in new.into_iter().enumerate() {
            let speaker = speakers
                .of_caller(&mut change, ctx, &access, segment.speaker.as_deref())
                .await?;
            if !speakers
                .permits(&mut change, &ctx.actor, &access.meeting, &speaker)
                .await?
            {
                return Err(consent_denied(index, &speaker));
            }
            resolved.push((segment, speaker));
        }
        if scheduled {
            access = meeting_access(&mut change, ctx, meeting_id, action).await?;
            access.meeting = self
                .meeting_start_within(&mut change, ctx, access.meeting)
                .await?;
        }
        let entries = resolved
            .into_iter()
            .map(|(new, speaker)| Entry {
                ctx,
                access: &access,
                new,
                speaker,
            })
            .collect();
        let written = self.segments_write(&mut change, ctx.now, entries).await?;
        let written = written.into_iter().collect::<Result<Vec<_>>>()?;
        self.segments_tell(&mut change, ctx, written.iter().map(|one| (one, &access)))
            .await?;
        change.commit().await?;
        Ok(written.into_iter().map(|one| one.posted).collect())
    }
}

/// Holds the fields to their rules. `index` names the segment in a list.
fn checked(new: SegmentNew, index: Option<usize>) -> Result<SegmentNew> {
    let field = |name: &str| index.map_or_else(|| name.to_owned(), |at| format!("{at}.{name}"));
    let line = |name: &str, text: Option<String>, max: usize| {
        text.map(|text| valid::line(&field(name), &text, max))
            .transpose()
    };
    let start_ms = new
        .start_ms
        .map(|ms| checked_time(&field("start_ms"), ms))
        .transpose()?;
    let end_ms = new
        .end_ms
        .map(|ms| checked_time(&field("end_ms"), ms))
        .transpose()?;
    if let (Some(start_ms), Some(end_ms)) = (start_ms, end_ms) {
        check_order(&field("end_ms"), start_ms, end_ms)?;
    }
    if new
        .confidence
        .is_some_and(|confidence| !(0.0..=1.0).contains(&confidence))
    {
        return Err(Error::invalid(&field("confidence"), "must be 0 to 1"));
    }
    Ok(SegmentNew {
        speaker: line("speaker", new.speaker, MAX_SPEAKER_CHARS)?,
        text: checked_text(&field("text"), new.text)?,
        start_ms,
        end_ms,
        confidence: new.confidence,
        language: line("language", new.language, 35)?,
        is_final: new.is_final,
        external_id: line("external_id", new.external_id, 200)?,
    })
}
