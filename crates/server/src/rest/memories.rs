//! `/api/mem0/memories`: the caller's memories.

use axum::extract::State;
use meetmind_app::{App, MemoriesDeleted, MemoryFound, MemoryNew, MemoryPatch, MemorySaved};
use meetmind_core::{AgentId, Error, MeetingId, Memory, MemoryChange, MemoryId, Page, Timestamp};
use meetmind_store::MemoryFilter;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Caller, Json, PageParams, Path, Query, patch_field};
use crate::reply::{Envelope, Failure, Outcome, Reply};

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create, delete_many))
        .routes(routes!(get, update, delete))
        .routes(routes!(history))
}

/// Something to remember: `content` (or `memory`), or `messages` of a conversation.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct MemoryBody {
    /// The words.
    #[serde(alias = "memory")]
    #[schema(min_length = 1, max_length = 16384)]
    content: Option<String>,
    /// A conversation: each message of the role `user` becomes a memory about its `name`. What
    /// agents and tools said is never remembered.
    #[schema(min_items = 1, max_items = 100)]
    messages: Option<Vec<MemoryMessage>>,
    /// Your own fields; any object up to 16 KB as JSON.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
    #[serde(default)]
    #[schema(max_items = 20)]
    categories: Option<Vec<String>>,
    /// A meeting you can see.
    meeting_id: Option<MeetingId>,
    /// An agent of yours.
    agent_id: Option<AgentId>,
    /// Whom or what it is about.
    #[schema(min_length = 1, max_length = 120)]
    subject: Option<String>,
    /// When it is deleted by itself; in the future.
    expires_at: Option<Timestamp>,
    /// A memory whose place it takes; that one stays, marked as replaced.
    replaces: Option<MemoryId>,
}

/// A message of a conversation.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct MemoryMessage {
    /// `user` for people; all else is left out.
    #[schema(max_length = 40)]
    role: String,
    #[schema(max_length = 16384)]
    content: String,
    /// Who said it.
    #[schema(max_length = 120)]
    name: Option<String>,
}

/// Changes: absent stays, null clears.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct MemoryPatchBody {
    #[serde(alias = "memory", alias = "text")]
    #[schema(min_length = 1, max_length = 16384)]
    content: Option<String>,
    #[serde(default, deserialize_with = "patch_field")]
    #[schema(value_type = Option<Object>)]
    metadata: Option<Option<Value>>,
    #[serde(default, deserialize_with = "patch_field")]
    #[schema(value_type = Option<Vec<String>>, max_items = 20)]
    categories: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "patch_field")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 120)]
    subject: Option<Option<String>>,
    #[serde(default, deserialize_with = "patch_field")]
    #[schema(value_type = Option<Timestamp>)]
    expires_at: Option<Option<Timestamp>>,
}

/// The memory; for a conversation, all of them.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
enum MemoriesView {
    One(Box<Memory>),
    Many { items: Vec<Memory> },
}

/// What narrows the list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct MemoryListParams {
    /// Words to rank by; the best fitting come on one page.
    #[param(min_length = 1, max_length = 500)]
    q: Option<String>,
    /// With this label.
    #[param(min_length = 1, max_length = 60)]
    category: Option<String>,
    /// From this meeting.
    meeting_id: Option<MeetingId>,
    /// Of this agent.
    agent_id: Option<AgentId>,
    /// About this subject, whatever the case of letters.
    #[param(min_length = 1, max_length = 120)]
    subject: Option<String>,
    /// Without those that another took the place of; `true` when absent.
    latest_only: Option<bool>,
}

/// Which memories to delete; at least one parameter is needed.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct MemoryDeleteParams {
    /// With this label.
    #[param(min_length = 1, max_length = 60)]
    category: Option<String>,
    /// From this meeting.
    meeting_id: Option<MeetingId>,
    /// Of this agent.
    agent_id: Option<AgentId>,
    /// About this subject, whatever the case of letters.
    #[param(min_length = 1, max_length = 120)]
    subject: Option<String>,
}

/// Your memories, newest first; with `q` the best fitting, with scores.
#[utoipa::path(get, path = "/api/mem0/memories", tag = "memories", operation_id = "memory_list", params(MemoryListParams, PageParams), responses((status = 200, body = Envelope<Page<MemoryFound>>)))]
async fn list(
    State(app): State<App>,
    Caller(ctx): Caller,
    Query(params): Query<MemoryListParams>,
    Query(page): Query<PageParams>,
) -> Outcome<Page<MemoryFound>> {
    let filter = MemoryFilter {
        meeting_id: params.meeting_id,
        agent_id: params.agent_id,
        subject: params.subject,
        category: params.category,
        latest_only: params.latest_only.unwrap_or(true),
    };
    let page = page.query()?;
    Ok(Reply::ok(
        app.memory_list(&ctx, params.q.as_deref(), filter, &page)
            .await?,
    ))
}

/// Remember something. The same words for the same meeting and agent are kept once: then 200.
#[utoipa::path(post, path = "/api/mem0/memories", tag = "memories", operation_id = "memory_save", request_body = MemoryBody,
    responses((status = 201, description = "At least one is new", body = Envelope<MemoriesView>), (status = 200, description = "All were known", body = Envelope<MemoriesView>)))]
async fn create(
    State(app): State<App>,
    Caller(ctx): Caller,
    Json(body): Json<MemoryBody>,
) -> Outcome<MemoriesView> {
    let one = body.content.is_some();
    let saved = app.memory_save(&ctx, memories_new(body)?).await?;
    let added = saved.iter().any(|saved| saved.added);
    let mut memories = saved.into_iter().map(|MemorySaved { memory, .. }| memory);
    let path = "/api/mem0/memories";
    let (path, view) = match (one, memories.next()) {
        (true, Some(memory)) => (
            format!("{path}/{}", memory.id),
            MemoriesView::One(Box::new(memory)),
        ),
        (_, first) => (
            path.to_owned(),
            MemoriesView::Many {
                items: first.into_iter().chain(memories).collect(),
            },
        ),
    };
    Ok(if added {
        Reply::created(path, view)
    } else {
        Reply::ok(view)
    })
}

/// One memory to save, or one for each message of a person.
fn memories_new(body: MemoryBody) -> Result<Vec<MemoryNew>, Failure> {
    let MemoryBody {
        content,
        messages,
        metadata,
        categories,
        meeting_id,
        agent_id,
        subject,
        expires_at,
        replaces,
    } = body;
    let new = MemoryNew {
        content: String::new(),
        metadata,
        categories: categories.unwrap_or_default(),
        meeting_id,
        agent_id,
        subject,
        expires_at,
        replaces: None,
    };
    match (content, messages) {
        (Some(content), None) => Ok(vec![MemoryNew {
            content,
            replaces,
            ..new
        }]),
        (None, Some(messages)) => {
            if messages.len() > 100 {
                return Err(Error::invalid("messages", "must have at most 100 entries").into());
            }
            if replaces.is_some() {
                return Err(
                    Error::invalid("replaces", "goes with content, not with messages").into(),
                );
            }
            let said = messages
                .into_iter()
                .filter(|message| message.role == "user");
            let list: Vec<MemoryNew> = said
                .map(|message| MemoryNew {
                    content: message.content,
                    subject: message.name.or_else(|| new.subject.clone()),
                    ..new.clone()
                })
                .collect();
            if list.is_empty() {
                return Err(Error::invalid("messages", "must have one of the role user").into());
            }
            Ok(list)
        }
        _ => Err(Error::invalid("content", "send either content or messages").into()),
    }
}

/// Delete all of your memories that the filter names, for good.
#[utoipa::path(delete, path = "/api/mem0/memories", tag = "memories", operation_id = "memory_delete_many", params(MemoryDeleteParams), responses((status = 200, body = Envelope<MemoriesDeleted>)))]
async fn delete_many(
    State(app): State<App>,
    Caller(ctx): Caller,
    Query(params): Query<MemoryDeleteParams>,
) -> Outcome<MemoriesDeleted> {
    let filter = MemoryFilter {
        meeting_id: params.meeting_id,
        agent_id: params.agent_id,
        subject: params.subject,
        category: params.category,
        latest_only: false,
    };
    Ok(Reply::ok(app.memory_delete_many(&ctx, filter).await?))
}

/// One memory.
#[utoipa::path(get, path = "/api/mem0/memories/{id}", tag = "memories", operation_id = "memory_get", params(("id" = MemoryId, Path)), responses((status = 200, body = Envelope<Memory>)))]
async fn get(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MemoryId>,
) -> Outcome<Memory> {
    Ok(Reply::ok(app.memory_get(&ctx, id).await?))
}

/// Change a memory in place: its id stays, its history grows.
#[utoipa::path(put, path = "/api/mem0/memories/{id}", tag = "memories", operation_id = "memory_update", params(("id" = MemoryId, Path)), request_body = MemoryPatchBody, responses((status = 200, body = Envelope<Memory>)))]
async fn update(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MemoryId>,
    Json(body): Json<MemoryPatchBody>,
) -> Outcome<Memory> {
    let patch = MemoryPatch {
        content: body.content,
        metadata: body.metadata,
        categories: body.categories,
        subject: body.subject,
        expires_at: body.expires_at,
    };
    Ok(Reply::ok(app.memory_update(&ctx, id, patch).await?))
}

/// Delete a memory for good, its words in history and events included.
#[utoipa::path(delete, path = "/api/mem0/memories/{id}", tag = "memories", operation_id = "memory_delete", params(("id" = MemoryId, Path)), responses((status = 200, body = Envelope<MemoriesDeleted>)))]
async fn delete(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MemoryId>,
) -> Outcome<MemoriesDeleted> {
    Ok(Reply::ok(app.memory_delete(&ctx, id).await?))
}

/// What happened to a memory, oldest first; it outlives the memory, without its words.
#[utoipa::path(get, path = "/api/mem0/memories/{id}/history", tag = "memories", operation_id = "memory_history", params(("id" = MemoryId, Path), PageParams), responses((status = 200, body = Envelope<Page<MemoryChange>>)))]
async fn history(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MemoryId>,
    Query(page): Query<PageParams>,
) -> Outcome<Page<MemoryChange>> {
    Ok(Reply::ok(
        app.memory_history(&ctx, id, &page.query()?).await?,
    ))
}
