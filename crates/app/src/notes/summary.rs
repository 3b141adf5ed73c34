//! The summary, and the same notes as one role reads them.

use meetmind_ai::local::{self, Coverage, Notes, Persona};
use meetmind_core::{
    Action, ActionStatus, Ctx, Decision, DecisionStatus, Error, EventKind, Highlight,
    HighlightStatus, MeetingAction, MeetingId, Result, SegmentId, Summary, SummaryLine, Topic,
};
use meetmind_store::Conn;
use serde::{Deserialize, Serialize};

use super::actions::{changed_since, checked_segments};
use super::{DERIVED_MAX, ENGINE_NOTE, ITEMS_MAX, item_text};
use crate::meetings::meeting_access;
use crate::{App, valid};

/// Lines that a person may write.
const LINES_MAX: usize = 50;
/// Longest headline that a person may write, in characters.
const HEADLINE_MAX: usize = 300;

/// Whom a view of the notes is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NotesPersona {
    /// What is built and for whom.
    #[serde(alias = "po", alias = "PO", alias = "product_owner")]
    Product,
    /// How it is built.
    #[serde(alias = "eng", alias = "Eng", alias = "engineer")]
    Engineering,
    /// What customers see and ask.
    #[serde(alias = "cs", alias = "CS", alias = "customer_success")]
    Customer,
    /// Decisions, money, dates, risks.
    #[serde(alias = "exec", alias = "Exec")]
    Executive,
}

impl From<NotesPersona> for Persona {
    fn from(persona: NotesPersona) -> Self {
        match persona {
            NotesPersona::Product => Persona::Product,
            NotesPersona::Engineering => Persona::Engineering,
            NotesPersona::Customer => Persona::Customer,
            NotesPersona::Executive => Persona::Executive,
        }
    }
}

/// A line of the summary that somebody writes.
#[derive(Debug, Clone, PartialEq)]
pub struct SummaryLineNew {
    /// The words; at most 1,000 characters.
    pub text: String,
    /// What it rests on: 1 to 100 final segments of the meeting.
    pub segment_ids: Vec<SegmentId>,
}

/// What changes in a summary: absent stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SummaryPatch {
    /// Another headline.
    pub headline: Option<String>,
    /// All lines anew, at most 50.
    pub lines: Option<Vec<SummaryLineNew>>,
    /// `false` gives an edited summary back to the passes; `true` keeps it as it stands.
    pub edited: Option<bool>,
}

/// What the notes rest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct NotesCoverage {
    /// Final segments the meeting has now.
    pub segments: i64,
    /// Final segments the summary has read.
    pub summarised: i64,
    /// Final segments that a highlight, the summary, an action or a decision cites.
    pub cited: i64,
}

/// The summary of a meeting, or the absence of one.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct SummaryView {
    /// The summary; `null` until the first pass over the transcript.
    pub summary: Option<Summary>,
    /// What it rests on.
    pub coverage: NotesCoverage,
    /// What made it, and what that means, in a sentence.
    pub engine_note: String,
    /// The notes as the role asked for reads them; `null` when none was asked for.
    pub view: Option<PersonaView>,
}

/// The notes as one role reads them: the same items, fewer and in another order.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct PersonaView {
    /// Whom it is for.
    pub persona: NotesPersona,
    /// What the meeting keeps coming back to.
    pub headline: String,
    /// Topics that concern the role, most relevant first; all for an executive.
    pub topics: Vec<Topic>,
    /// Highlights that concern the role, most relevant first, filled up with the best others to three.
    pub highlights: Vec<Highlight>,
    /// All decisions but dismissed ones, most relevant first.
    pub decisions: Vec<Decision>,
    /// Actions that concern the role, but for dismissed ones.
    pub actions: Vec<Action>,
}

impl App {
    /// The summary of a meeting and what it rests on, for a role when one is named.
    ///
    /// # Errors
    /// `NOT_FOUND` for who may not see the meeting.
    pub async fn summary_get(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        persona: Option<NotesPersona>,
    ) -> Result<SummaryView> {
        let mut conn = self.store().read().await?;
        meeting_access(&mut conn, ctx, meeting_id, MeetingAction::ReadTranscript).await?;
        let summary = conn.summary_find(meeting_id).await?;
        let (segments, cited) = conn.notes_coverage(meeting_id).await?;
        let view = match persona {
            Some(persona) => {
                let headline = summary.as_ref().map_or("", |s| s.headline.as_str());
                Some(persona_view(&mut conn, meeting_id, persona, headline).await?)
            }
            None => None,
        };
        Ok(SummaryView {
            coverage: NotesCoverage {
                segments,
                summarised: summary.as_ref().map_or(0, |s| s.segment_count),
                cited,
            },
            summary,
            engine_note: ENGINE_NOTE.to_owned(),
            view,
        })
    }
}

impl App {
    /// Edits the summary of a meeting; later passes keep it until it is given back to them.
    /// `expected` is the version the caller last saw, when it guards.
    ///
    /// # Errors
    /// `NOT_FOUND` also before the first pass, `FORBIDDEN`, `PRECONDITION_FAILED`,
    /// `VALIDATION_FAILED`.
    pub async fn summary_update(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        patch: SummaryPatch,
        expected: Option<i64>,
    ) -> Result<SummaryView> {
        let writes = patch.headline.is_some() || patch.lines.is_some();
        if writes && patch.edited == Some(false) {
            return Err(Error::invalid(
                "edited",
                "goes with no headline and no lines: they would be made anew",
            ));
        }
        let mut change = self.change(ctx).await?;
        meeting_access(&mut change, ctx, meeting_id, MeetingAction::EditNotes).await?;
        // The answer shows the summary: a key without the scope for that is refused before.
        meeting_access(&mut change, ctx, meeting_id, MeetingAction::ReadTranscript).await?;
        change.notes_lock(meeting_id).await?;
        let old = change.summary_find(meeting_id).await?;
        let old = old.ok_or_else(|| Error::not_found("summary"))?;
        if expected.is_some_and(|version| version != old.version) {
            return Err(changed_since("summary"));
        }
        let lines = match patch.lines {
            Some(lines) => written(&mut change, meeting_id, lines).await?,
            None => old.lines.clone(),
        };
        let headline = match &patch.headline {
            Some(headline) => valid::line("headline", headline, HEADLINE_MAX)?,
            None => old.headline.clone(),
        };
        let made = Summary {
            headline,
            lines,
            edited: patch.edited.unwrap_or(old.edited || writes),
            // Somebody looked at it again.
            stale: old.stale && !writes,
            ..old.clone()
        };
        if made != old {
            let made = Summary {
                version: old.version + 1,
                updated_at: ctx.now,
                ..made
            };
            change.summary_update(&old, &made, ctx.now).await?;
            change
                .meeting_event(meeting_id, EventKind::SummaryUpdated, &made)
                .await?;
        }
        change.commit().await?;
        if old.edited && patch.edited == Some(false) {
            self.notes_refresh(ctx, meeting_id, false).await?;
        }
        self.summary_get(ctx, meeting_id, None).await
    }
}

/// Lines as somebody wrote them, with the time of the first segment each cites, and its speaker
/// where the words are a quotation.
async fn written(
    conn: &mut Conn,
    meeting_id: MeetingId,
    lines: Vec<SummaryLineNew>,
) -> Result<Vec<SummaryLine>> {
    if lines.len() > LINES_MAX {
        return Err(Error::invalid(
            "lines",
            format!("must have at most {LINES_MAX} entries"),
        ));
    }
    let mut made = Vec::with_capacity(lines.len());
    for line in lines {
        let text = item_text(&line.text)?;
        let segment_ids = checked_segments(conn, meeting_id, &line.segment_ids).await?;
        let Some(first) = segment_ids.first() else {
            return Err(Error::invalid(
                "segment_ids",
                "each line must cite at least one segment",
            ));
        };
        let first = conn.segment_get(meeting_id, *first).await?;
        made.push(SummaryLine {
            speaker: first.text.contains(&text).then_some(first.speaker),
            start_ms: first.start_ms,
            text,
            segment_ids,
        });
    }
    Ok(made)
}

/// Lets the engine order the stored rows: it sees their words, and gives back their places.
pub(super) async fn persona_view(
    conn: &mut Conn,
    meeting_id: MeetingId,
    persona: NotesPersona,
    headline: &str,
) -> Result<PersonaView> {
    let topics = conn.topic_list(meeting_id, None, DERIVED_MAX).await?;
    let but = Some(HighlightStatus::Dismissed);
    let highlights = conn
        .highlight_list(meeting_id, None, but, None, DERIVED_MAX)
        .await?;
    let mut actions = conn.action_list(meeting_id, None, None, ITEMS_MAX).await?;
    actions.retain(|a| !matches!(a.status, ActionStatus::Dismissed | ActionStatus::Superseded));
    let mut decisions = conn
        .decision_list(meeting_id, None, None, ITEMS_MAX)
        .await?;
    decisions.retain(|d| d.status != DecisionStatus::Dismissed);
    let marker = |marker| match marker {
        meetmind_core::Marker::Explicit => local::Marker::Explicit,
        meetmind_core::Marker::Pattern => local::Marker::Pattern,
    };
    let notes: Notes<usize> = Notes {
        headline: headline.to_owned(),
        topics: places(&topics, |at, t| local::Topic {
            label: t.label.clone(),
            start_ms: t.start_ms,
            end_ms: t.end_ms,
            segment_ids: vec![at],
            key_phrases: t.key_phrases.clone(),
            first: at,
            last: at,
        }),
        highlights: places(&highlights, |at, h| local::Highlight {
            text: h.text.clone(),
            speaker: h.speaker.clone(),
            start_ms: h.start_ms,
            segment_ids: vec![at],
            score: h.score as f32,
        }),
        actions: places(&actions, |at, a| local::ActionCandidate {
            text: a.text.clone(),
            owner: a.owner.clone(),
            due: a
                .due
                .clone()
                .or_else(|| a.due_at.map(|due| due.to_string())),
            marker: marker(a.marker),
            segment_ids: vec![at],
        }),
        decisions: places(&decisions, |at, d| local::DecisionCandidate {
            text: d.text.clone(),
            marker: marker(d.marker),
            segment_ids: vec![at],
            reverses_hint: None,
        }),
        questions: Vec::new(),
        coverage: Coverage::default(),
    };
    let view = local::role_view(persona.into(), &notes);
    Ok(PersonaView {
        persona,
        headline: view.headline,
        topics: picked(&topics, view.topics.iter().map(|t| &t.segment_ids)),
        highlights: picked(&highlights, view.highlights.iter().map(|h| &h.segment_ids)),
        decisions: picked(&decisions, view.decisions.iter().map(|d| &d.segment_ids)),
        actions: picked(&actions, view.actions.iter().map(|a| &a.segment_ids)),
    })
}

fn places<T, U>(rows: &[T], make: impl Fn(usize, &T) -> U) -> Vec<U> {
    rows.iter()
        .enumerate()
        .map(|(at, row)| make(at, row))
        .collect()
}

fn picked<'a, T: Clone>(rows: &[T], places: impl Iterator<Item = &'a Vec<usize>>) -> Vec<T> {
    places
        .filter_map(|place| rows.get(*place.first()?).cloned())
        .collect()
}
