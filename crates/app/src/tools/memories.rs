//! Tools that find, remember and forget.

use meetmind_core::{Ctx, Error, Memory, PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX, Page, Result};
use meetmind_store::MemoryFilter;
use serde::Serialize;

use super::arguments::{MemorySave, MemorySearch, OneMemory, Search, page};
use crate::{App, MemoriesDeleted, MemoryFound, MemoryNew, SearchAnswer, SearchQuery};

#[derive(Debug, Serialize)]
pub(super) struct Remembered {
    memory: Memory,
    /// Whether it is new.
    added: bool,
}

pub(super) async fn find(app: &App, ctx: &Ctx, a: Search) -> Result<SearchAnswer> {
    let limit = a.limit.unwrap_or(PAGE_LIMIT_DEFAULT);
    if !(1..=PAGE_LIMIT_MAX).contains(&limit) {
        return Err(Error::invalid("limit", "must be 1 to 100"));
    }
    let mut kinds = Vec::new();
    for kind in a.kinds {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let query = SearchQuery {
        text: a.query,
        kinds,
        meeting_id: a.meeting_id,
        series_id: a.series_id,
        from: a.from,
        to: a.to,
        speaker: a.speaker,
        limit,
    };
    app.search(ctx, query).await
}

pub(super) async fn search(app: &App, ctx: &Ctx, a: MemorySearch) -> Result<Page<MemoryFound>> {
    let filter = MemoryFilter {
        meeting_id: a.meeting_id,
        agent_id: None,
        subject: a.subject,
        category: a.category,
        latest_only: true,
    };
    let page = page(a.limit, a.cursor.as_deref())?;
    app.memory_list(ctx, a.query.as_deref(), filter, &page)
        .await
}

pub(super) async fn save(app: &App, ctx: &Ctx, a: MemorySave) -> Result<Option<Remembered>> {
    let new = MemoryNew {
        content: a.content,
        categories: a.categories,
        subject: a.subject,
        meeting_id: a.meeting_id,
        expires_at: a.expires_at,
        ..MemoryNew::default()
    };
    let saved = app.memory_save(ctx, vec![new]).await?;
    Ok(saved.into_iter().next().map(|saved| Remembered {
        memory: saved.memory,
        added: saved.added,
    }))
}

pub(super) async fn delete(app: &App, ctx: &Ctx, a: OneMemory) -> Result<MemoriesDeleted> {
    app.memory_delete(ctx, a.memory_id).await
}
