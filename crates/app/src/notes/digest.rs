//! A summary in one answer, for tools and for clients of the seed's paths.

use meetmind_core::{
    Action, ActionStatus, Ctx, Decision, DecisionStatus, MeetingAction, MeetingId, Result,
    SummaryLine, Topic,
};
use serde::{Deserialize, Serialize};

use super::summary::{NotesPersona, persona_view};
use super::{DERIVED_MAX, ENGINE_NOTE, ENGINE_OFFLINE, ITEMS_MAX};
use crate::App;
use crate::meetings::meeting_access;

/// Lines of a brief digest.
const BRIEF_LINES: usize = 3;

/// How much a digest says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DigestStyle {
    /// The headline and the three best lines.
    Brief,
    /// Everything.
    #[default]
    Detailed,
    /// Actions and decisions alone.
    #[serde(alias = "action_items", alias = "bullet_points")]
    Actions,
}

/// A meeting's notes in one piece. Lists that the style leaves out are empty.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Digest {
    /// The meeting.
    pub meeting_id: MeetingId,
    /// Its title.
    pub title: String,
    /// How much it says.
    pub style: DigestStyle,
    /// Whom it is for, when a role was named.
    pub persona: Option<NotesPersona>,
    /// What the meeting keeps coming back to.
    pub headline: String,
    /// Headline and lines as one text, with speakers and times.
    pub summary: String,
    /// The lines.
    pub lines: Vec<SummaryLine>,
    /// The topics.
    pub topics: Vec<Topic>,
    /// The actions but dismissed and superseded ones.
    pub action_items: Vec<Action>,
    /// The decisions but dismissed ones.
    pub decisions: Vec<Decision>,
    /// Final segments it covers.
    pub segment_count: i64,
    /// Whether a cited segment was corrected since.
    pub stale: bool,
    /// What wrote it.
    pub engine: String,
    /// What that means, in a sentence.
    pub engine_note: String,
}

impl App {
    /// The notes of a meeting in one piece; made first when there are none yet.
    ///
    /// # Errors
    /// `NOT_FOUND` for who may not see the meeting.
    pub async fn meeting_digest(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        style: DigestStyle,
        persona: Option<NotesPersona>,
    ) -> Result<Digest> {
        let access = self
            .meeting_access(ctx, meeting_id, MeetingAction::ReadTranscript)
            .await?;
        let there = self.store().read().await?.summary_find(meeting_id).await?;
        if there.is_none() {
            self.notes_refresh(ctx, meeting_id, false).await?;
        }
        let mut conn = self.store().read().await?;
        meeting_access(&mut conn, ctx, meeting_id, MeetingAction::ReadTranscript).await?;
        let summary = conn.summary_find(meeting_id).await?;
        let headline = summary.as_ref().map_or("", |s| s.headline.as_str());
        let (lines, topics, action_items, decisions) = match persona {
            Some(persona) => {
                let view = persona_view(&mut conn, meeting_id, persona, headline).await?;
                let lines = view
                    .highlights
                    .into_iter()
                    .map(|h| SummaryLine {
                        text: h.text,
                        speaker: Some(h.speaker),
                        start_ms: h.start_ms,
                        segment_ids: h.segment_ids,
                    })
                    .collect();
                (lines, view.topics, view.actions, view.decisions)
            }
            None => {
                let mut actions = conn.action_list(meeting_id, None, None, ITEMS_MAX).await?;
                actions.retain(|a| {
                    !matches!(a.status, ActionStatus::Dismissed | ActionStatus::Superseded)
                });
                let mut decisions = conn
                    .decision_list(meeting_id, None, None, ITEMS_MAX)
                    .await?;
                decisions.retain(|d| d.status != DecisionStatus::Dismissed);
                let mut lines = summary.as_ref().map_or_else(Vec::new, |s| s.lines.clone());
                if style == DigestStyle::Brief {
                    let highlights = conn
                        .highlight_list(meeting_id, None, None, None, DERIVED_MAX)
                        .await?;
                    lines = best(lines, &highlights);
                }
                let topics = conn.topic_list(meeting_id, None, DERIVED_MAX).await?;
                (lines, topics, actions, decisions)
            }
        };
        let mut digest = Digest {
            meeting_id,
            title: access.meeting.title,
            style,
            persona,
            headline: headline.to_owned(),
            summary: String::new(),
            lines,
            topics,
            action_items,
            decisions,
            segment_count: summary.as_ref().map_or(0, |s| s.segment_count),
            stale: summary.as_ref().is_some_and(|s| s.stale),
            engine: summary
                .as_ref()
                .map_or(ENGINE_OFFLINE, |s| s.engine.as_str())
                .to_owned(),
            engine_note: ENGINE_NOTE.to_owned(),
        };
        match style {
            DigestStyle::Detailed => {}
            DigestStyle::Brief => {
                digest.lines.truncate(BRIEF_LINES);
                digest.topics.clear();
                digest.action_items.clear();
                digest.decisions.clear();
            }
            DigestStyle::Actions => {
                digest.lines.clear();
                digest.topics.clear();
            }
        }
        digest.summary = text(&digest);
        Ok(digest)
    }
}

/// The best-scored lines, in the order they were said.
fn best(lines: Vec<SummaryLine>, highlights: &[meetmind_core::Highlight]) -> Vec<SummaryLine> {
    let score = |line: &SummaryLine| {
        let same = highlights
            .iter()
            .filter(|h| h.text == line.text && h.start_ms == line.start_ms);
        same.map(|h| h.score).fold(0.0, f64::max)
    };
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_by(|&a, &b| score(&lines[b]).total_cmp(&score(&lines[a])));
    order.truncate(BRIEF_LINES);
    order.sort_unstable();
    order.into_iter().map(|at| lines[at].clone()).collect()
}

fn text(digest: &Digest) -> String {
    let mut text = digest.headline.clone();
    let mut add = |line: &str| {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(line);
    };
    for line in &digest.lines {
        add(&quoted(line));
    }
    for decision in &digest.decisions {
        add(&format!(
            "Decision ({}): {}",
            decision.status, decision.text
        ));
    }
    for action in &digest.action_items {
        let owner = action.owner.as_deref().unwrap_or("nobody named");
        add(&format!(
            "Action ({}, {owner}): {}",
            action.status, action.text
        ));
    }
    text
}

/// A line as people read it: speaker, time, words.
pub(crate) fn quoted(line: &SummaryLine) -> String {
    let clock = super::clock(line.start_ms);
    match &line.speaker {
        Some(speaker) => format!("{speaker} ({clock}): {}", line.text),
        None => format!("({clock}) {}", line.text),
    }
}
