//! One pass over a meeting.

mod items;

use std::collections::HashSet;

use meetmind_ai::local;
use meetmind_core::{
    Action, Code, Ctx, Decision, Error, EventKind, Highlight, HighlightStatus, Meeting, MeetingId,
    MeetingStatus, Result, SegmentId, Summary, SummaryLine, Topic,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::derive::Material;
use super::merge::topic_matches;
use super::{DERIVED_MAX, ENGINE_OFFLINE, NotesPass, PINNED_SCORE};
use crate::{App, Change};

/// How often a pass begins anew because a segment it cites was corrected or erased meanwhile.
const ATTEMPTS: usize = 4;

/// What one pass writes into, and what it will tell. Events are told after all rows are
/// written, so that every writer of a meeting takes its locks in the same order: rows, then the
/// counter of the topic.
struct Pass<'p, 'c> {
    app: &'p App,
    ctx: &'p Ctx,
    change: &'p mut Change<'c>,
    meeting: &'p Meeting,
    material: &'p Material,
    known: HashSet<SegmentId>,
    events: Vec<(EventKind, Value)>,
    changed: bool,
}

impl App {
    /// Reads the final segments of a meeting and brings its notes up to date; what people
    /// edited, confirmed or dismissed stays. `is_final` marks the pass after the end. Idempotent.
    ///
    /// # Errors
    /// `NOT_FOUND` for a meeting that is gone, `CONFLICT` when its transcript is corrected
    /// faster than it can be read.
    pub(crate) async fn notes_refresh(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        is_final: bool,
    ) -> Result<NotesPass> {
        let _turn = self.inner.notes.lock(meeting_id).await;
        for _ in 0..ATTEMPTS {
            if let Some(pass) = self.notes_pass(ctx, meeting_id, is_final).await? {
                return Ok(pass);
            }
        }
        Err(Error::new(
            Code::Conflict,
            "the transcript changes too fast for its notes: try again",
        ))
    }

    /// One attempt; `None` when the transcript changed under it.
    async fn notes_pass(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        is_final: bool,
    ) -> Result<Option<NotesPass>> {
        let material = Material::load(&mut self.store().read().await?, meeting_id).await?;
        let notes = material.notes().await?;
        let mut change = self.change(ctx).await?;
        change.notes_lock(meeting_id).await?;
        let meeting = change.meeting_get(meeting_id).await?;
        if change.corrections_mark(meeting_id).await? != material.corrections {
            return Ok(None);
        }
        let mut pass = Pass {
            app: self,
            ctx,
            change: &mut change,
            meeting: &meeting,
            material: &material,
            known: material.segments.iter().map(|s| s.id).collect(),
            events: Vec::new(),
            changed: false,
        };
        match pass.write(&notes, is_final).await {
            Ok(()) => {}
            // A cited segment was erased since it was read.
            Err(meetmind_store::Error::Dangling(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let (events, changed) = (pass.events, pass.changed);
        for (kind, data) in events {
            change.meeting_event(meeting_id, kind, &data).await?;
        }
        // On Postgres a correction may have slipped in beside this transaction.
        if change.corrections_mark(meeting_id).await? != material.corrections {
            return Ok(None);
        }
        change.commit().await?;
        Ok(Some(NotesPass {
            segments: i64::try_from(material.segments.len()).unwrap_or(i64::MAX),
            changed,
        }))
    }
}

type Stored<T> = std::result::Result<T, meetmind_store::Error>;

impl Pass<'_, '_> {
    async fn write(&mut self, notes: &local::Notes<SegmentId>, is_final: bool) -> Stored<()> {
        self.topics(&notes.topics, is_final).await?;
        let highlights = self.highlights(&notes.highlights).await?;
        let actions = notes.actions.iter().map(Into::into);
        self.items::<Action>(actions).await?;
        let decisions = notes.decisions.iter().map(Into::into);
        self.items::<Decision>(decisions).await?;
        self.summary(&notes.headline, &highlights, is_final).await
    }

    fn tell(&mut self, kind: EventKind, data: &impl Serialize) {
        // These types always serialise: their keys are texts.
        if let Ok(data) = serde_json::to_value(data) {
            self.events.push((kind, data));
        }
    }

    /// Says that a row is no more; there is no event type of its own for that.
    fn tell_removed(&mut self, kind: EventKind, id: impl std::fmt::Display) {
        let data = json!({ "id": id.to_string(), "meeting_id": self.meeting.id, "removed": true });
        self.tell(kind, &data);
    }

    async fn topics(&mut self, found: &[local::Topic<SegmentId>], is_final: bool) -> Stored<()> {
        let now = self.ctx.now;
        let rows = self
            .change
            .topic_list(self.meeting.id, None, DERIVED_MAX)
            .await?;
        let old: Vec<(&[SegmentId], bool)> = rows
            .iter()
            .map(|row| (row.segment_ids.as_slice(), row.edited))
            .collect();
        let new: Vec<&[SegmentId]> = found.iter().map(|t| t.segment_ids.as_slice()).collect();
        let of_found = topic_matches(&old, &new);
        for (at, row) in rows.iter().enumerate() {
            if !of_found.contains(&Some(at)) {
                self.change.topic_delete(row.id).await?;
                self.tell_removed(EventKind::TopicUpdated, row.id);
                self.changed = true;
            }
        }
        let mut last = None;
        for (place, (topic, row)) in found.iter().zip(&of_found).enumerate() {
            let row = row.map(|at| &rows[at]);
            let label = match row.filter(|row| row.edited) {
                Some(row) => row.label.clone(),
                None => topic.label.clone(),
            };
            let made = Topic {
                id: row.map_or_else(|| self.app.id(self.ctx), |row| row.id),
                meeting_id: self.meeting.id,
                ordinal: i64::try_from(place).unwrap_or(i64::MAX),
                label,
                start_ms: topic.start_ms,
                end_ms: topic.end_ms,
                key_phrases: topic.key_phrases.clone(),
                segment_ids: topic.segment_ids.clone(),
                edited: row.is_some_and(|row| row.edited),
                stale: false,
                created_at: row.map_or(now, |row| row.created_at),
                updated_at: row.map_or(now, |row| row.updated_at),
            };
            last = Some(made.clone());
            let Some(row) = row else {
                self.change.topic_insert(&made).await?;
                self.tell(EventKind::TopicOpened, &made);
                self.changed = true;
                continue;
            };
            if *row == made {
                continue;
            }
            // That the newest topic goes on is no news.
            let grows = place + 1 == found.len() && !is_final;
            let news = row.label != made.label
                || row.ordinal != made.ordinal
                || row.start_ms != made.start_ms
                || row.stale
                || (row.end_ms != made.end_ms && !grows);
            let made = Topic {
                updated_at: now,
                ..made
            };
            self.change.topic_update(row, &made).await?;
            if news {
                self.tell(EventKind::TopicUpdated, &made);
            }
            self.changed = true;
        }
        let live = self.meeting.status == MeetingStatus::Live && !is_final;
        if let Some(topic) = last.filter(|_| live)
            && rows.last().is_none_or(|row| row.id != topic.id)
        {
            self.tell(
                EventKind::TopicFocused,
                &json!({ "meeting_id": self.meeting.id, "topic": topic, "by": "talk" }),
            );
        }
        Ok(())
    }

    /// Gives the highlights as they stand now, in the order they were said: those of this pass and
    /// those that a person keeps. What a person said about a quotation holds for it from then on.
    async fn highlights(
        &mut self,
        found: &[local::Highlight<SegmentId>],
    ) -> Stored<Vec<Highlight>> {
        let rows = self
            .change
            .highlight_list(self.meeting.id, None, None, None, DERIVED_MAX)
            .await?;
        let mut kept = Vec::new();
        let mut taken = HashSet::new();
        for highlight in found {
            let row = rows.iter().find(|row| {
                row.score < PINNED_SCORE
                    && !taken.contains(&row.id)
                    && row.segment_ids == highlight.segment_ids
                    && (row.text == highlight.text || row.status != HighlightStatus::Proposed)
            });
            if row.is_some_and(|row| row.status != HighlightStatus::Proposed) {
                continue;
            }
            let made = Highlight {
                id: row.map_or_else(|| self.app.id(self.ctx), |row| row.id),
                meeting_id: self.meeting.id,
                text: highlight.text.clone(),
                speaker: highlight.speaker.clone(),
                start_ms: highlight.start_ms,
                segment_ids: highlight.segment_ids.clone(),
                score: f64::from(highlight.score),
                status: HighlightStatus::Proposed,
                stale: false,
                created_at: row.map_or(self.ctx.now, |row| row.created_at),
            };
            match row {
                Some(row) if *row == made => {}
                Some(row) => {
                    self.change.highlight_update(row, &made).await?;
                    self.changed = true;
                }
                None => {
                    self.change.highlight_insert(&made).await?;
                    self.changed = true;
                }
            }
            taken.insert(made.id);
            kept.push(made);
        }
        for row in rows {
            if taken.contains(&row.id) {
                continue;
            }
            match row.status {
                HighlightStatus::Confirmed => kept.push(row),
                HighlightStatus::Dismissed => {}
                HighlightStatus::Proposed => {
                    self.change.highlight_delete(row.id).await?;
                    self.changed = true;
                }
            }
        }
        kept.sort_by_key(|h| (h.start_ms, h.id));
        Ok(kept)
    }

    async fn summary(
        &mut self,
        headline: &str,
        highlights: &[Highlight],
        is_final: bool,
    ) -> Stored<()> {
        let now = self.ctx.now;
        let old = self.change.summary_find(self.meeting.id).await?;
        let edited = old.as_ref().filter(|old| old.edited);
        let found: Vec<SummaryLine> = match edited {
            Some(old) => old.lines.clone(),
            None => highlights.iter().map(line).collect(),
        };
        let mut lines = Vec::with_capacity(found.len());
        for line in found {
            let segment_ids = self.still_there(&line.segment_ids).await?;
            // A line whose segments were erased has no evidence left.
            if !segment_ids.is_empty() {
                lines.push(SummaryLine {
                    segment_ids,
                    ..line
                });
            }
        }
        let made = Summary {
            id: old
                .as_ref()
                .map_or_else(|| self.app.id(self.ctx), |old| old.id),
            meeting_id: self.meeting.id,
            headline: edited.map_or(headline, |old| &old.headline).to_owned(),
            lines,
            engine: ENGINE_OFFLINE.to_owned(),
            is_final: is_final || self.meeting.status == MeetingStatus::Ended,
            segment_count: i64::try_from(self.material.segments.len()).unwrap_or(i64::MAX),
            edited: edited.is_some(),
            // What a person wrote is looked at again by a person.
            stale: edited.is_some_and(|old| old.stale),
            version: old.as_ref().map_or(1, |old| old.version),
            created_at: old.as_ref().map_or(now, |old| old.created_at),
            updated_at: old.as_ref().map_or(now, |old| old.updated_at),
        };
        let Some(old) = old else {
            self.change.summary_insert(&made).await?;
            self.tell(EventKind::SummaryUpdated, &made);
            self.changed = true;
            return Ok(());
        };
        if old == made {
            return Ok(());
        }
        let grew = Summary {
            segment_count: old.segment_count,
            ..made.clone()
        };
        if old == grew {
            // It covers more and says the same: no new version.
            self.change
                .summary_update(&old, &made, old.updated_at)
                .await?;
            self.changed = true;
            return Ok(());
        }
        let made = Summary {
            version: old.version + 1,
            updated_at: now,
            ..made
        };
        self.change.summary_update(&old, &made, now).await?;
        self.tell(EventKind::SummaryUpdated, &made);
        self.changed = true;
        Ok(())
    }

    /// The segments that were not erased. One that came after this pass read the transcript is
    /// looked up.
    async fn still_there(&mut self, ids: &[SegmentId]) -> Stored<Vec<SegmentId>> {
        let mut left = Vec::with_capacity(ids.len());
        for id in ids {
            let there = self.known.contains(id)
                || match self.change.segment_get(self.meeting.id, *id).await {
                    Ok(_) => true,
                    Err(meetmind_store::Error::NotFound(_)) => false,
                    Err(error) => return Err(error),
                };
            if there {
                left.push(*id);
            }
        }
        Ok(left)
    }
}

/// A highlight as a line of the summary.
fn line(highlight: &Highlight) -> SummaryLine {
    SummaryLine {
        text: highlight.text.clone(),
        speaker: Some(highlight.speaker.clone()),
        start_ms: highlight.start_ms,
        segment_ids: highlight.segment_ids.clone(),
    }
}
