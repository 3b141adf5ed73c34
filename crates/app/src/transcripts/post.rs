//! Segments as they are said: drafts, finals, repeats, late ones.

use std::time::Duration;

use meetmind_core::{
    Actor, Attribution, Code, Ctx, Error, EventKind, Meeting, MeetingAction, MeetingId,
    MeetingStatus, Result, Segment, meeting_may,
};
use meetmind_store::Conn;

use super::formats::{MAX_TIME_MS, spoken_ms};
use super::speakers::{Speaker, Speakers, consent_denied};
use super::{MAX_POSTED, MAX_SPEAKER_CHARS, check_order, checked_text, checked_time, own_action};
use crate::meetings::meeting_access;
use crate::{Access, App, valid};

/// How long after a meeting's end its recorders may still deliver finals.
const LATE: Duration = Duration::from_secs(600);
/// How often a write is tried again when another one of the same external id came between.
const TRIES: usize = 8;

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

/// A write and the event it causes, if it changed anything.
struct Written {
    posted: SegmentPosted,
    event: Option<EventKind>,
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
        let new = new
            .into_iter()
            .enumerate()
            .map(|(index, new)| checked(new, many.then_some(index)))
            .collect::<Result<Vec<_>>>()?;
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
        let mut written = Vec::with_capacity(resolved.len());
        for (segment, speaker) in resolved {
            written.push(
                self.segment_write(&mut change, ctx, &access, segment, speaker)
                    .await?,
            );
        }
        // Events come last: their number is a lock on Postgres.
        let mut posted = Vec::with_capacity(written.len());
        let mut changed = false;
        for Written { posted: one, event } in written {
            if let Some(kind) = event {
                change.meeting_event(meeting_id, kind, &one.segment).await?;
                changed = true;
            }
            posted.push(one);
        }
        if changed && access.meeting.status == MeetingStatus::Ended {
            self.meeting_end_queue(&mut change, ctx, &access.meeting)
                .await?;
        }
        change.commit().await?;
        Ok(posted)
    }

    async fn segment_write(
        &self,
        conn: &mut Conn,
        ctx: &Ctx,
        access: &Access,
        new: SegmentNew,
        speaker: Speaker,
    ) -> Result<Written> {
        let Some(external_id) = new.external_id.clone() else {
            let segment = self.segment_of(ctx, &access.meeting, new, &speaker)?;
            check_open(ctx, &access.meeting, &segment)?;
            conn.segment_insert(&segment).await?;
            return Ok(added(segment));
        };
        for _ in 0..TRIES {
            let known = conn
                .segment_find_external(access.meeting.id, &external_id)
                .await?;
            let Some(known) = known else {
                let segment = self.segment_of(ctx, &access.meeting, new.clone(), &speaker)?;
                check_open(ctx, &access.meeting, &segment)?;
                if conn.segment_insert_once(&segment).await? {
                    return Ok(added(segment));
                }
                continue;
            };
            check_owner(ctx, access, &known, &speaker)?;
            if known.is_final {
                return repeated(known, &new, &speaker);
            }
            let updated = updated(ctx, known.clone(), &new, &speaker)?;
            if updated == known {
                return Ok(Written {
                    posted: SegmentPosted {
                        segment: known,
                        added: false,
                    },
                    event: None,
                });
            }
            check_open(ctx, &access.meeting, &updated)?;
            if conn.segment_update(&updated).await? {
                let event = Some(event_of(&updated));
                return Ok(Written {
                    posted: SegmentPosted {
                        segment: updated,
                        added: false,
                    },
                    event,
                });
            }
        }
        Err(Error::new(
            Code::Conflict,
            "the segment changes too fast: try again",
        ))
    }

    /// A new row for what was said.
    fn segment_of(
        &self,
        ctx: &Ctx,
        meeting: &Meeting,
        new: SegmentNew,
        speaker: &Speaker,
    ) -> Result<Segment> {
        let start_ms = new.start_ms.unwrap_or_else(|| {
            let since = meeting
                .started_at
                .map_or(0, |start| ctx.now.millis_since(start));
            // An end that was given is a better guess than the moment of the call.
            let latest = new.end_ms.unwrap_or(MAX_TIME_MS);
            since.clamp(0, latest)
        });
        let end_ms = new
            .end_ms
            .unwrap_or_else(|| natural_end(start_ms, &new.text));
        check_order("end_ms", start_ms, end_ms)?;
        Ok(Segment {
            id: self.id(ctx),
            meeting_id: meeting.id,
            participant_id: speaker.participant_id,
            speaker: speaker.name.clone(),
            text: new.text,
            start_ms,
            end_ms,
            confidence: new.confidence,
            language: new.language,
            is_final: new.is_final,
            external_id: new.external_id,
            attribution: match ctx.actor {
                Actor::Agent { .. } => Attribution::Track,
                _ => Attribution::Declared,
            },
            version: 1,
            corrected_at: None,
            created_at: ctx.now,
            updated_at: ctx.now,
        })
    }
}

fn added(segment: Segment) -> Written {
    let event = Some(event_of(&segment));
    Written {
        posted: SegmentPosted {
            segment,
            added: true,
        },
        event,
    }
}

fn event_of(segment: &Segment) -> EventKind {
    if segment.is_final {
        EventKind::SegmentFinalized
    } else {
        EventKind::SegmentDrafted
    }
}

fn natural_end(start_ms: i64, text: &str) -> i64 {
    start_ms.saturating_add(spoken_ms(text)).min(MAX_TIME_MS)
}

/// A segment that comes for a final one: the same words again, or a draft that was overtaken.
fn repeated(known: Segment, new: &SegmentNew, speaker: &Speaker) -> Result<Written> {
    let same = new.text == known.text
        && speaker.name == known.speaker
        && new.start_ms.is_none_or(|ms| ms == known.start_ms)
        && new.end_ms.is_none_or(|ms| ms == known.end_ms);
    if new.is_final && !same {
        return Err(Error::new(
            Code::SegmentFinal,
            "the segment is final: correct it with PATCH instead",
        )
        .with_details(serde_json::json!({ "segment_id": known.id })));
    }
    Ok(Written {
        posted: SegmentPosted {
            segment: known,
            added: false,
        },
        event: None,
    })
}

/// The draft with what is new about it, counted up if there is anything.
fn updated(ctx: &Ctx, known: Segment, new: &SegmentNew, speaker: &Speaker) -> Result<Segment> {
    let start_ms = new.start_ms.unwrap_or(known.start_ms);
    let end_ms = match new.end_ms {
        Some(end_ms) => end_ms,
        None if new.text == known.text => known.end_ms.max(start_ms),
        None => natural_end(start_ms, &new.text),
    };
    check_order("end_ms", start_ms, end_ms)?;
    let updated = Segment {
        participant_id: speaker.participant_id,
        speaker: speaker.name.clone(),
        text: new.text.clone(),
        start_ms,
        end_ms,
        confidence: new.confidence.or(known.confidence),
        language: new.language.clone().or_else(|| known.language.clone()),
        is_final: new.is_final,
        ..known.clone()
    };
    if updated == known {
        return Ok(known);
    }
    Ok(Segment {
        version: known.version + 1,
        updated_at: ctx.now,
        ..updated
    })
}

/// Another speaker's segment changes only by who may name speakers.
fn check_owner(ctx: &Ctx, access: &Access, known: &Segment, speaker: &Speaker) -> Result<()> {
    let own = known.participant_id == speaker.participant_id && known.speaker == speaker.name;
    let may = || {
        meeting_may(
            &ctx.actor,
            Some(access.role),
            access.meeting.id,
            MeetingAction::Attribute,
        )
    };
    if own || may().is_ok() {
        return Ok(());
    }
    Err(Error::new(
        Code::Conflict,
        "another speaker's segment has this external_id",
    ))
}

/// After the end only finals come, and only for a while.
fn check_open(ctx: &Ctx, meeting: &Meeting, segment: &Segment) -> Result<()> {
    if meeting.status != MeetingStatus::Ended {
        return Ok(());
    }
    let late = meeting
        .ended_at
        .is_some_and(|ended_at| ctx.now <= ended_at.plus(LATE));
    if late && segment.is_final {
        return Ok(());
    }
    Err(Error::new(
        Code::MeetingEnded,
        "the meeting has ended; finals are taken for ten minutes after its end",
    ))
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
