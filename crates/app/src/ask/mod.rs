//! Questions about what was said.

mod sources;

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use meetmind_ai::local;
use meetmind_core::{
    Actor, Code, Ctx, Error, MeetingId, Memory, MemoryId, MemorySource, Result, Scope, SegmentId,
    SeriesId, Timestamp, scope_check,
};
use serde::Serialize;
use serde_json::json;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{App, valid};
use sources::{Sources, everything, one_meeting, series};

/// Questions that are answered at the same time: each reads much and then keeps a core busy.
const AT_ONCE: usize = 4;
/// Questions that wait for their turn; further ones are refused.
const WAITING_MAX: usize = 28;
/// What a refused caller is told to wait, in seconds.
const COME_BACK_S: i64 = 2;
/// Memories that one question reads.
const MEMORIES_MAX: i64 = 20;
/// Quotations in one answer.
const CITATIONS_MAX: usize = 5;
/// Longest question, in characters.
const QUESTION_MAX: usize = 2_000;

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
    /// What was left out, in a sentence: what lies beyond what one question reads.
    pub note: Option<String>,
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

/// Who may be answered, and who is.
#[derive(Debug)]
pub(crate) struct State {
    /// Places to wait or be answered in.
    queue: Semaphore,
    /// Places to be answered in.
    places: Semaphore,
}

impl Default for State {
    fn default() -> Self {
        Self {
            queue: Semaphore::new(AT_ONCE + WAITING_MAX),
            places: Semaphore::new(AT_ONCE),
        }
    }
}

impl State {
    /// Waits for a turn; it lasts until what is given back is dropped.
    async fn turn(&self) -> Result<(SemaphorePermit<'_>, SemaphorePermit<'_>)> {
        let queued = self.queue.try_acquire().map_err(|_| {
            Error::new(
                Code::Unavailable,
                "too many questions are being answered: try again",
            )
            .with_details(json!({ "retry_after_s": COME_BACK_S }))
        })?;
        let place = self.places.acquire().await.map_err(Error::internal)?;
        Ok((queued, place))
    }
}

impl App {
    /// Answers from memories, and from the transcripts of meetings in which the caller may ask:
    /// in its own name a viewer only gives consent. Nothing found is an
    /// answer, not an error.
    ///
    /// A guest is answered from the guest's meeting alone. An agent speaks to its whole room, so
    /// of its meeting's series it reads only what everybody in the room takes part in.
    ///
    /// # Errors
    /// `NOT_FOUND` for a meeting or series the caller cannot see, `FORBIDDEN` for a viewer,
    /// `VALIDATION_FAILED`, `UNAVAILABLE` when too many questions wait.
    pub async fn ask(&self, ctx: &Ctx, question: &str, scope: AskScope) -> Result<Answer> {
        let question = checked_question(question)?;
        let _turn = self.inner.ask.turn().await?;
        let mut sources = {
            let mut conn = self.store().read().await?;
            match scope {
                AskScope::Meeting(id) => one_meeting(&mut conn, ctx, id).await?,
                AskScope::Series(id) => series(&mut conn, ctx, id).await?,
                AskScope::All => everything(&mut conn, ctx).await?,
            }
        };
        sources.memories = self.memories_of(ctx, &question, scope, &sources).await?;
        tokio::task::spawn_blocking(move || {
            let passages = sources.passages();
            let answer = local::answer(&question, &passages, &sources.names, CITATIONS_MAX);
            sources.told(answer, scope)
        })
        .await
        .map_err(Error::internal)
    }

    /// The caller's memories that may answer, as far as they belong to where is looked.
    async fn memories_of(
        &self,
        ctx: &Ctx,
        question: &str,
        scope: AskScope,
        sources: &Sources,
    ) -> Result<Vec<Memory>> {
        let Some(user_id) = ctx.actor.user_id() else {
            return Ok(Vec::new());
        };
        if scope_check(&ctx.actor, Scope::MemoryRead).is_err() {
            return Ok(Vec::new());
        }
        let mut memories = self
            .memories_for_question(user_id, question, MEMORIES_MAX)
            .await?;
        let read: HashSet<MeetingId> = sources.meetings.iter().map(|(m, _)| m.id).collect();
        memories.retain(|memory| {
            let here = memory.meeting_id.is_some_and(|id| read.contains(&id));
            match &ctx.actor {
                // What an agent's owner wrote down privately is not for the room, also when it
                // is about this meeting; what was kept from the room's own words is.
                Actor::Agent { agent_id, .. } => {
                    let said_here = here && memory.source == MemorySource::Auto;
                    said_here || memory.agent_id == Some(*agent_id)
                }
                _ => here || memory.meeting_id.is_none() || scope == AskScope::All,
            }
        });
        Ok(memories)
    }
}

fn checked_question(question: &str) -> Result<String> {
    let question = valid::text("question", question.trim(), QUESTION_MAX * 4)?;
    if question.chars().count() > QUESTION_MAX {
        return Err(Error::invalid(
            "question",
            format!("must have at most {QUESTION_MAX} characters"),
        ));
    }
    Ok(question)
}
