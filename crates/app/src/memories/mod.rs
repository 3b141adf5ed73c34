//! Memories: what is kept for one user beyond a meeting.

mod keep;
mod saved;

use meetmind_core::{
    Code, Ctx, Error, EventKind, EventTopic, Memory, MemoryChange, MemoryChangeId, MemoryEvent,
    MemoryId, Page, PageQuery, Result, Scope, Timestamp, UserId, user_may,
};
use meetmind_store::{MemoryFilter, SearchMatch, SearchTerms};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

pub use saved::{MemoryNew, MemorySaved};

use crate::meetings::{cursor_id, cursor_of};
use crate::transcripts::checked_text;
use crate::{App, Change, valid};

/// The most bytes of its metadata, as JSON.
const MAX_METADATA: usize = 16_384;

/// What changes in a memory: absent stays, `Some(None)` clears.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MemoryPatch {
    /// Other words.
    pub content: Option<String>,
    /// Other fields; replaces the old ones.
    pub metadata: Option<Option<serde_json::Value>>,
    /// Other labels.
    pub categories: Option<Option<Vec<String>>>,
    /// Another subject.
    pub subject: Option<Option<String>>,
    /// Another end.
    pub expires_at: Option<Option<Timestamp>>,
}

/// A memory in a list; ranked when a query was asked.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct MemoryFound {
    /// The memory.
    #[serde(flatten)]
    pub memory: Memory,
    /// 0 to 1, how well it fits among the hits; absent without `q`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}

/// What a deletion deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct MemoriesDeleted {
    /// How many memories are gone, with their words in history and events.
    pub deleted: u64,
}

impl App {
    /// The caller's memories, newest first; with a query the best fitting, on one page.
    ///
    /// # Errors
    /// `SCOPE_MISSING`, `INVALID_CURSOR`, `VALIDATION_FAILED`.
    pub async fn memory_list(
        &self,
        ctx: &Ctx,
        query: Option<&str>,
        filter: MemoryFilter,
        page: &PageQuery,
    ) -> Result<Page<MemoryFound>> {
        let user_id = user_may(&ctx.actor, Scope::MemoryRead)?;
        let filter = checked_filter(filter)?;
        let mut conn = self.store().read().await?;
        let Some(query) = query else {
            let before = cursor_id(page)?;
            let rows = conn
                .memory_list(user_id, &filter, ctx.now, before, page.limit + 1)
                .await?;
            let page = Page::from_rows(rows, page.limit, |row| cursor_of(row.id));
            return Ok(page.map(|memory| MemoryFound {
                memory,
                score: None,
            }));
        };
        let terms = SearchTerms::read(&valid::line("q", query, 500)?);
        let mut hits = Vec::new();
        for how in [SearchMatch::All, SearchMatch::Any] {
            if hits.is_empty() {
                hits = conn
                    .memory_search(user_id, &terms, how, &filter, ctx.now, page.limit)
                    .await?;
            }
        }
        let best = hits.iter().map(|hit| hit.score).fold(0.0, f64::max);
        let items = hits.into_iter().map(|hit| MemoryFound {
            memory: hit.memory,
            score: Some(if best > 0.0 {
                (hit.score / best).clamp(0.0, 1.0)
            } else {
                1.0
            }),
        });
        Ok(Page {
            items: items.collect(),
            next_cursor: None,
        })
    }

    /// One memory of the caller.
    ///
    /// # Errors
    /// `NOT_FOUND`, `SCOPE_MISSING`.
    pub async fn memory_get(&self, ctx: &Ctx, id: MemoryId) -> Result<Memory> {
        let user_id = user_may(&ctx.actor, Scope::MemoryRead)?;
        let mut conn = self.store().read().await?;
        Ok(conn.memory_get(user_id, id, ctx.now).await?)
    }

    /// Changes a memory in place; its id stays and its history grows.
    ///
    /// # Errors
    /// `NOT_FOUND`, `SCOPE_MISSING`, `VALIDATION_FAILED`.
    pub async fn memory_update(
        &self,
        ctx: &Ctx,
        id: MemoryId,
        patch: MemoryPatch,
    ) -> Result<Memory> {
        let user_id = user_may(&ctx.actor, Scope::MemoryWrite)?;
        let mut change = self.change(ctx).await?;
        change.memory_user_lock(user_id).await?;
        let old = change.memory_get(user_id, id, ctx.now).await?;
        let memory = checked(
            ctx.now,
            Memory {
                content: patch.content.unwrap_or_else(|| old.content.clone()),
                metadata: match patch.metadata {
                    Some(metadata) => metadata.unwrap_or_else(|| json!({})),
                    None => old.metadata.clone(),
                },
                categories: match patch.categories {
                    Some(categories) => categories.unwrap_or_default(),
                    None => old.categories.clone(),
                },
                subject: patch.subject.unwrap_or_else(|| old.subject.clone()),
                expires_at: patch.expires_at.unwrap_or(old.expires_at),
                ..old.clone()
            },
        )?;
        if memory == old {
            return Ok(old);
        }
        let memory = Memory {
            updated_at: ctx.now,
            ..memory
        };
        change
            .memory_update(&memory, &content_hash(&memory.content))
            .await?;
        let entry = MemoryChange {
            id: self.id(ctx),
            memory_id: id,
            event: MemoryEvent::Update,
            old_content: Some(old.content),
            new_content: Some(memory.content.clone()),
            actor: ctx.actor.key(),
            at: ctx.now,
        };
        change.memory_change_insert(user_id, &entry).await?;
        change
            .event(EventTopic::User(user_id), EventKind::MemoryUpdated, &memory)
            .await?;
        change.commit().await?;
        Ok(memory)
    }

    /// Deletes a memory: the row, its citations, its words in the index, in history and in
    /// events. The history keeps that it was there.
    ///
    /// # Errors
    /// `NOT_FOUND`, `SCOPE_MISSING`.
    pub async fn memory_delete(&self, ctx: &Ctx, id: MemoryId) -> Result<MemoriesDeleted> {
        let user_id = user_may(&ctx.actor, Scope::MemoryWrite)?;
        let mut change = self.change(ctx).await?;
        change.memory_user_lock(user_id).await?;
        change.memory_get(user_id, id, ctx.now).await?;
        let deleted = self
            .memories_delete_within(&mut change, ctx, user_id, &[id])
            .await?;
        change.commit().await?;
        Ok(MemoriesDeleted { deleted })
    }

    /// Deletes all memories of the caller that a filter names; an empty filter is refused.
    ///
    /// # Errors
    /// `SCOPE_MISSING`, `VALIDATION_FAILED`.
    pub async fn memory_delete_many(
        &self,
        ctx: &Ctx,
        filter: MemoryFilter,
    ) -> Result<MemoriesDeleted> {
        let user_id = user_may(&ctx.actor, Scope::MemoryWrite)?;
        let filter = checked_filter(MemoryFilter {
            latest_only: false,
            ..filter
        })?;
        if filter == MemoryFilter::default() {
            return Err(Error::invalid(
                "filter",
                "name at least one of meeting_id, agent_id, subject, category",
            ));
        }
        let mut change = self.change(ctx).await?;
        change.memory_user_lock(user_id).await?;
        let mut deleted = 0;
        loop {
            let ids: Vec<MemoryId> = change
                .memory_list(user_id, &filter, ctx.now, None, 1_000)
                .await?
                .into_iter()
                .map(|memory| memory.id)
                .collect();
            if ids.is_empty() {
                break;
            }
            deleted += self
                .memories_delete_within(&mut change, ctx, user_id, &ids)
                .await?;
        }
        change.commit().await?;
        Ok(MemoriesDeleted { deleted })
    }

    async fn memories_delete_within(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        user_id: UserId,
        ids: &[MemoryId],
    ) -> Result<u64> {
        let owned: Vec<(MemoryId, UserId)> = ids.iter().map(|id| (*id, user_id)).collect();
        let deleted = change.memory_erase(&owned).await?;
        for id in ids {
            let entry = MemoryChange {
                id: self.id(ctx),
                memory_id: *id,
                event: MemoryEvent::Delete,
                old_content: None,
                new_content: None,
                actor: ctx.actor.key(),
                at: ctx.now,
            };
            change.memory_change_insert(user_id, &entry).await?;
            change
                .event(
                    EventTopic::User(user_id),
                    EventKind::MemoryDeleted,
                    &json!({ "id": id }),
                )
                .await?;
        }
        Ok(deleted)
    }

    /// The history of a memory, oldest first; it outlives the memory, without its words.
    ///
    /// # Errors
    /// `NOT_FOUND` for a memory that never was the caller's, `SCOPE_MISSING`, `INVALID_CURSOR`.
    pub async fn memory_history(
        &self,
        ctx: &Ctx,
        id: MemoryId,
        page: &PageQuery,
    ) -> Result<Page<MemoryChange>> {
        let user_id = user_may(&ctx.actor, Scope::MemoryRead)?;
        let after: Option<MemoryChangeId> = cursor_id(page)?;
        let rows = self
            .store()
            .read()
            .await?
            .memory_change_list(id, user_id, after, page.limit + 1)
            .await?;
        if rows.is_empty() && after.is_none() {
            return Err(Error::not_found("memory"));
        }
        Ok(Page::from_rows(rows, page.limit, |row| cursor_of(row.id)))
    }

    /// A user's memories that may answer a question, best first.
    pub(crate) async fn memories_for_question(
        &self,
        user_id: UserId,
        question: &str,
        limit: i64,
    ) -> Result<Vec<Memory>> {
        let filter = MemoryFilter {
            latest_only: true,
            ..MemoryFilter::default()
        };
        let hits = self
            .store()
            .read()
            .await?
            .memory_search(
                user_id,
                &SearchTerms::read(question),
                SearchMatch::Any,
                &filter,
                self.now(),
                limit,
            )
            .await?;
        Ok(hits.into_iter().map(|hit| hit.memory).collect())
    }
}

/// What makes two memories of one scope the same.
fn content_hash(content: &str) -> [u8; 32] {
    Sha256::digest(content.as_bytes()).into()
}

fn checked_filter(filter: MemoryFilter) -> Result<MemoryFilter> {
    let line = |field: &str, text: Option<String>, max: usize| {
        text.map(|text| valid::line(field, &text, max)).transpose()
    };
    Ok(MemoryFilter {
        subject: line("subject", filter.subject, 120)?,
        category: line("category", filter.category, 60)?,
        ..filter
    })
}

/// Holds the fields of a memory to their rules.
fn checked(now: Timestamp, memory: Memory) -> Result<Memory> {
    valid::object("metadata", &memory.metadata, MAX_METADATA)?;
    if memory.expires_at.is_some_and(|moment| moment <= now) {
        return Err(Error::invalid("expires_at", "must be in the future"));
    }
    let mut categories = valid::lines("categories", &memory.categories, 20, 60)?;
    let mut seen = std::collections::HashSet::new();
    categories.retain(|label| seen.insert(label.clone()));
    Ok(Memory {
        content: checked_text("content", memory.content)?,
        subject: memory
            .subject
            .map(|subject| valid::line("subject", &subject, 120))
            .transpose()?,
        categories,
        ..memory
    })
}

/// A refusal because the meeting keeps no memories of this kind.
fn memory_refused(message: &'static str) -> Error {
    Error::new(Code::Conflict, message)
}
