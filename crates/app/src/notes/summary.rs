//! The summary, and the same notes as one role reads them.

use meetmind_ai::local::{self, Coverage, Notes, Persona};
use meetmind_core::{
    Action, ActionStatus, Ctx, Decision, DecisionStatus, Highlight, MeetingAction, MeetingId,
    Result, Summary, Topic,
};
use meetmind_store::Conn;
use serde::{Deserialize, Serialize};

use super::{DERIVED_MAX, ENGINE_NOTE, ITEMS_MAX};
use crate::App;
use crate::meetings::meeting_access;

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

/// Lets the engine order the stored rows: it sees their words, and gives back their places.
pub(super) async fn persona_view(
    conn: &mut Conn,
    meeting_id: MeetingId,
    persona: NotesPersona,
    headline: &str,
) -> Result<PersonaView> {
    let topics = conn.topic_list(meeting_id, None, DERIVED_MAX).await?;
    let highlights = conn.highlight_list(meeting_id, None, DERIVED_MAX).await?;
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
