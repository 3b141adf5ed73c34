//! What a question is answered from: what the caller may read, within bounds.

use std::collections::HashSet;

use meetmind_ai::local::{self, Day, Passage};
use meetmind_core::{
    Actor, Code, Ctx, Error, Meeting, MeetingAction, MeetingId, Memory, Result, Scope, Segment,
    SeriesId, Timestamp, UserId, user_may,
};
use meetmind_store::{Conn, MeetingFilter};

use super::{Answer, AnswerCitation, AskScope};
use crate::meetings::meeting_access;
use crate::notes::{ENGINE_OFFLINE, clock, meeting_moment};

/// Segments that one question reads, newest first; some 40 hours of talk. What is left out is named
/// in the answer.
pub(super) const SEGMENTS_MAX: usize = 20_000;
/// Bytes of text that one question reads.
const TEXT_MAX: usize = 16 * 1024 * 1024;
/// Segments per read.
const READ: usize = 500;
/// Meetings that one question looks at.
pub(super) const MEETINGS_MAX: usize = 500;

/// Where a passage comes from: places in [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Source {
    Segment { meeting: usize, segment: usize },
    Memory(usize),
}

/// What a question is answered from.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) meetings: Vec<(Meeting, Vec<Segment>)>,
    pub(super) memories: Vec<Memory>,
    /// Names beside the speakers'.
    pub(super) names: Vec<String>,
    /// Segments that were read, and the bytes of their text.
    segments: usize,
    text_bytes: usize,
    /// Meetings that were not read.
    left_out: usize,
    /// Whether there are meetings beyond those that one question looks at.
    more_meetings: bool,
    /// The meeting of which only the last part was read.
    cut: Option<String>,
}

pub(super) async fn one_meeting(conn: &mut Conn, ctx: &Ctx, id: MeetingId) -> Result<Sources> {
    let access = meeting_access(conn, ctx, id, MeetingAction::Ask).await?;
    let people = conn.participant_list(id, None, 1_000).await?;
    let mut sources = Sources {
        names: people.into_iter().map(|p| p.name).collect(),
        ..Sources::default()
    };
    sources.read(conn, access.meeting).await?;
    Ok(sources)
}

pub(super) async fn series(conn: &mut Conn, ctx: &Ctx, id: SeriesId) -> Result<Sources> {
    let filter = MeetingFilter {
        series_id: Some(id),
        ..MeetingFilter::default()
    };
    if let Actor::Agent {
        meeting_id,
        owner_id,
        ..
    } = &ctx.actor
    {
        let own = meeting_access(conn, ctx, *meeting_id, MeetingAction::Ask).await?;
        if own.meeting.series_id != Some(id) {
            return Err(Error::not_found("series"));
        }
        let (mut meetings, more) = listed(conn, *owner_id, &filter).await?;
        let of_room: HashSet<_> = conn
            .meeting_ids_of_room(*meeting_id, id)
            .await?
            .into_iter()
            .collect();
        meetings.retain(|meeting| meeting.id == *meeting_id || of_room.contains(&meeting.id));
        return several(conn, meetings, more).await;
    }
    let user_id = match &ctx.actor {
        // A guest's link opens one meeting: there is no series to see.
        Actor::Guest { .. } => return Err(Error::not_found("series")),
        actor => user_may(actor, Scope::TranscriptsRead)?,
    };
    if !conn.series_is_visible(id, user_id).await? {
        return Err(Error::not_found("series"));
    }
    readable(conn, ctx, user_id, &filter).await
}

pub(super) async fn everything(conn: &mut Conn, ctx: &Ctx) -> Result<Sources> {
    match &ctx.actor {
        Actor::Guest { meeting_id, .. } | Actor::Agent { meeting_id, .. } => {
            one_meeting(conn, ctx, *meeting_id).await
        }
        actor => {
            let user_id = user_may(actor, Scope::TranscriptsRead)?;
            readable(conn, ctx, user_id, &MeetingFilter::default()).await
        }
    }
}

/// The meetings of a list that the caller may ask about: not those where the caller only looks
/// on, or still waits at the door.
async fn readable(
    conn: &mut Conn,
    ctx: &Ctx,
    user_id: UserId,
    filter: &MeetingFilter,
) -> Result<Sources> {
    let (listed, more) = listed(conn, user_id, filter).await?;
    let mut meetings = Vec::with_capacity(listed.len());
    for meeting in listed {
        match meeting_access(conn, ctx, meeting.id, MeetingAction::Ask).await {
            Ok(_) => meetings.push(meeting),
            Err(error) if matches!(error.code, Code::NotFound | Code::Forbidden) => {}
            Err(error) => return Err(error),
        }
    }
    several(conn, meetings, more).await
}

/// The newest meetings of a list, and whether there are more.
async fn listed(
    conn: &mut Conn,
    user_id: UserId,
    filter: &MeetingFilter,
) -> Result<(Vec<Meeting>, bool)> {
    let limit = i64::try_from(MEETINGS_MAX + 1).map_err(Error::internal)?;
    let mut meetings = conn.meeting_list(user_id, filter, None, limit).await?;
    let more = meetings.len() > MEETINGS_MAX;
    meetings.truncate(MEETINGS_MAX);
    Ok((meetings, more))
}

/// Reads meetings, newest first, until the bound.
async fn several(conn: &mut Conn, meetings: Vec<Meeting>, more: bool) -> Result<Sources> {
    let mut sources = Sources {
        more_meetings: more,
        ..Sources::default()
    };
    for meeting in meetings {
        if sources.is_full() {
            sources.left_out += 1;
            continue;
        }
        sources.read(conn, meeting).await?;
    }
    Ok(sources)
}

impl Sources {
    fn is_full(&self) -> bool {
        self.segments >= SEGMENTS_MAX || self.text_bytes >= TEXT_MAX
    }

    /// Reads the final segments of a meeting, the latest first, until the bound.
    async fn read(&mut self, conn: &mut Conn, meeting: Meeting) -> Result<()> {
        let mut segments: Vec<Segment> = Vec::new();
        loop {
            let before = segments.last().map(|last| (last.start_ms, last.id));
            let limit = READ.min(SEGMENTS_MAX.saturating_sub(self.segments));
            let rows = conn
                .segment_finals_before(meeting.id, before, i64::try_from(limit).unwrap_or(0))
                .await?;
            let is_end = rows.len() < limit;
            self.segments += rows.len();
            self.text_bytes += rows.iter().map(|segment| segment.text.len()).sum::<usize>();
            segments.extend(rows);
            if is_end {
                break;
            }
            if self.is_full() {
                self.cut = Some(meeting.title.clone());
                break;
            }
        }
        segments.reverse();
        self.meetings.push((meeting, segments));
        Ok(())
    }

    /// What was not read, in sentences.
    pub(super) fn note(&self) -> Option<String> {
        let mut parts = Vec::new();
        if let Some(title) = &self.cut {
            parts.push(format!(
                "of \u{201c}{title}\u{201d} only the last part was read"
            ));
        }
        if self.left_out > 0 {
            parts.push(format!("{} older meetings were not read", self.left_out));
        }
        if self.more_meetings {
            parts.push(format!(
                "only the newest {MEETINGS_MAX} meetings were looked at"
            ));
        }
        if parts.is_empty() {
            return None;
        }
        let hint = "name a meeting, or its series, to look there";
        Some(format!("{}: {hint}", parts.join("; ")))
    }

    pub(super) fn passages(&self) -> Vec<Passage<Source>> {
        let mut passages = Vec::new();
        for (place, (meeting, segments)) in self.meetings.iter().enumerate() {
            let when = day(meeting_moment(meeting));
            for (at, segment) in segments.iter().enumerate() {
                passages.push(Passage {
                    id: Source::Segment {
                        meeting: place,
                        segment: at,
                    },
                    speaker: segment.speaker.clone(),
                    text: segment.text.clone(),
                    title: meeting.title.clone(),
                    start_ms: segment.start_ms,
                    when,
                    group: place as u64,
                });
            }
        }
        for (at, memory) in self.memories.iter().enumerate() {
            passages.push(Passage {
                id: Source::Memory(at),
                speaker: memory.subject.clone().unwrap_or_default(),
                text: memory.content.clone(),
                title: String::new(),
                start_ms: 0,
                when: day(memory.created_at),
                group: (self.meetings.len() + at) as u64,
            });
        }
        passages
    }

    pub(super) fn told(&self, answer: Option<local::Answer<Source>>, scope: AskScope) -> Answer {
        let note = self.note();
        let mut citations: Vec<AnswerCitation> = Vec::new();
        for citation in answer.into_iter().flat_map(|answer| answer.citations) {
            let Some(citation) = self.citation(citation) else {
                continue;
            };
            // A memory and the sentence it was made from say the same.
            let is_known = citation.segment_id.is_some()
                && citations
                    .iter()
                    .any(|c| c.segment_id == citation.segment_id);
            if !is_known {
                citations.push(citation);
            }
        }
        let single = matches!(scope, AskScope::Meeting(_));
        let lines: Vec<String> = citations.iter().map(|c| line(c, single)).collect();
        Answer {
            found: !citations.is_empty(),
            text: lines.join("\n"),
            citations,
            engine: ENGINE_OFFLINE.to_owned(),
            note,
        }
    }

    fn citation(&self, citation: local::Citation<Source>) -> Option<AnswerCitation> {
        let score = f64::from(citation.score);
        let quote = citation.quote;
        match citation.id {
            Source::Segment { meeting, segment } => {
                let (meeting, segments) = self.meetings.get(meeting)?;
                let segment = segments.get(segment)?;
                Some(AnswerCitation {
                    meeting_id: Some(meeting.id),
                    meeting_title: Some(meeting.title.clone()),
                    meeting_at: Some(meeting_moment(meeting)),
                    segment_id: Some(segment.id),
                    memory_id: None,
                    speaker: segment.speaker.clone(),
                    start_ms: segment.start_ms,
                    quote,
                    score,
                })
            }
            Source::Memory(at) => {
                let memory = self.memories.get(at)?;
                // Where the memory's meeting was read as well, it leads back to what was said.
                let origin = memory
                    .meeting_id
                    .and_then(|id| self.meetings.iter().find(|(m, _)| m.id == id));
                let said = origin.and_then(|(_, segments)| {
                    let id = memory.segment_ids.first()?;
                    segments.iter().find(|segment| segment.id == *id)
                });
                let origin = origin.map(|(meeting, _)| meeting);
                let subject = memory.subject.clone().unwrap_or_default();
                Some(AnswerCitation {
                    meeting_id: origin.map(|m| m.id),
                    meeting_title: origin.map(|m| m.title.clone()),
                    meeting_at: origin.map(meeting_moment),
                    segment_id: said.map(|segment| segment.id),
                    memory_id: Some(memory.id),
                    speaker: said.map_or(subject, |segment| segment.speaker.clone()),
                    start_ms: said.map_or(0, |segment| segment.start_ms),
                    quote,
                    score,
                })
            }
        }
    }
}

/// One line of an answer: who, where and when, and the words.
fn line(citation: &AnswerCitation, single: bool) -> String {
    if citation.memory_id.is_some() {
        return if citation.speaker.is_empty() {
            format!("Remembered: {}", citation.quote)
        } else {
            format!("Remembered of {}: {}", citation.speaker, citation.quote)
        };
    }
    let at = clock(citation.start_ms);
    let place = match (&citation.meeting_title, citation.meeting_at) {
        (Some(title), Some(moment)) if !single => {
            let moment = moment.to_string();
            let date = moment.split('T').next().unwrap_or_default().to_owned();
            format!("{title}, {date}, {at}")
        }
        _ => at,
    };
    format!("{} ({place}): {}", citation.speaker, citation.quote)
}

fn day(moment: Timestamp) -> Option<Day> {
    let text = moment.to_string();
    let mut parts = text.split('T').next()?.split('-');
    Some(Day {
        year: parts.next()?.parse().ok()?,
        month: parts.next()?.parse().ok()?,
        day: parts.next()?.parse().ok()?,
    })
}
