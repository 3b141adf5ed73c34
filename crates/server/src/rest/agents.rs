//! `/api/agents`, and the agents of a meeting.

use axum::extract::State;
use meetmind_app::{AgentDetail, AgentNew, AgentPatch, App};
use meetmind_core::{
    AddressPolicy, AgentConfig, AgentId, AgentQuotas, AgentRole, AgentStatus, AgentVersion,
    MeetingId, Page, Run, Timestamp, UserId,
};
use meetmind_store::MeetingAgentRow;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Caller, IfMatch, Json, PageParams, Path, Query, patch_field};
use crate::reply::{Envelope, Outcome, Reply};

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
        .routes(routes!(status_set))
        .routes(routes!(versions))
        .routes(routes!(runs))
        .routes(routes!(meeting_list, meeting_add))
        .routes(routes!(meeting_remove))
}

/// Memories an agent may read.
#[derive(Debug, Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum MemoryScope {
    /// The asker's own.
    User,
    /// Those of the meeting.
    Meeting,
    /// The agent's own.
    Agent,
}

impl MemoryScope {
    fn word(self) -> String {
        match self {
            MemoryScope::User => "user",
            MemoryScope::Meeting => "meeting",
            MemoryScope::Agent => "agent",
        }
        .to_owned()
    }
}

fn scope_words(scopes: Vec<MemoryScope>) -> Vec<String> {
    scopes.into_iter().map(MemoryScope::word).collect()
}

/// Limits of one agent; absent ones are the instance's.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct AgentQuotasBody {
    /// Open runs at the same time.
    #[schema(minimum = 1, maximum = 1000)]
    concurrent_runs: Option<i64>,
    /// Answers in an hour.
    #[schema(minimum = 1, maximum = 10000)]
    answers_per_hour: Option<i64>,
}

impl From<AgentQuotasBody> for AgentQuotas {
    fn from(body: AgentQuotasBody) -> Self {
        Self {
            concurrent_runs: body.concurrent_runs,
            answers_per_hour: body.answers_per_hour,
        }
    }
}

/// A new agent.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct AgentBody {
    /// The name by which it is addressed.
    #[schema(min_length = 1, max_length = 80)]
    name: String,
    /// A scribe, when absent.
    role: Option<AgentRole>,
    /// What it should keep in mind, once a language model is configured.
    #[schema(max_length = 20000)]
    instructions: Option<String>,
    /// A BCP 47 tag.
    #[schema(
        min_length = 2,
        max_length = 35,
        pattern = "^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$"
    )]
    language: Option<String>,
    #[schema(min_length = 1, max_length = 100)]
    model: Option<String>,
    #[schema(min_length = 1, max_length = 100)]
    voice: Option<String>,
    /// The tools it may call, by name.
    #[serde(default)]
    #[schema(max_items = 50)]
    tools: Vec<String>,
    /// All, when absent; none, when empty.
    memory_scopes: Option<Vec<MemoryScope>>,
    /// When its name is mentioned, when absent.
    address_policy: Option<AddressPolicy>,
    /// The LiveKit agent name of the worker that does its work, empty for workers without a name;
    /// this server does, when absent.
    #[schema(max_length = 100)]
    worker: Option<String>,
    quotas: Option<AgentQuotasBody>,
    /// Whether it joins its owner's next meetings by itself.
    #[serde(default)]
    auto_join: bool,
}

/// Changes: absent stays, null clears.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct AgentPatchBody {
    #[schema(min_length = 1, max_length = 80)]
    name: Option<String>,
    /// Another role; only while it is in no meeting.
    role: Option<AgentRole>,
    #[serde(default, deserialize_with = "patch_field")]
    #[schema(value_type = Option<String>, max_length = 20000)]
    instructions: Option<Option<String>>,
    #[serde(default, deserialize_with = "patch_field")]
    #[schema(value_type = Option<String>, min_length = 2, max_length = 35, pattern = "^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$")]
    language: Option<Option<String>>,
    #[serde(default, deserialize_with = "patch_field")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100)]
    model: Option<Option<String>>,
    #[serde(default, deserialize_with = "patch_field")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100)]
    voice: Option<Option<String>>,
    #[schema(max_items = 50)]
    tools: Option<Vec<String>>,
    memory_scopes: Option<Vec<MemoryScope>>,
    #[serde(default, deserialize_with = "patch_field")]
    #[schema(value_type = Option<AddressPolicy>)]
    address_policy: Option<Option<AddressPolicy>>,
    #[serde(default, deserialize_with = "patch_field")]
    #[schema(value_type = Option<String>, max_length = 100)]
    worker: Option<Option<String>>,
    #[serde(default, deserialize_with = "patch_field")]
    #[schema(value_type = Option<AgentQuotasBody>)]
    quotas: Option<Option<AgentQuotasBody>>,
    auto_join: Option<bool>,
}

/// A change of an agent's status.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct AgentStatusBody {
    /// `running` sends it to `meeting_id`, or lets it join its owner's next meetings; `stopped`
    /// ends its runs; `disabled` cancels them and lets none begin.
    status: AgentStatus,
    /// With `running` only.
    meeting_id: Option<MeetingId>,
    /// Shown with the runs that it ends.
    #[schema(min_length = 1, max_length = 500)]
    reason: Option<String>,
}

/// An agent with its status and live runs.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct AgentView {
    id: AgentId,
    owner_id: UserId,
    /// The name by which it is addressed.
    name: String,
    role: AgentRole,
    #[serde(flatten)]
    config: AgentConfig,
    /// Counts up with every change; the `ETag` is made from it.
    version: i64,
    /// Whether it joins its owner's next meetings by itself.
    auto_join: bool,
    disabled_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
    /// `running` while a run is live or on its way.
    status: AgentStatus,
    /// The runs that are not over.
    runs: Vec<Run>,
}

impl From<AgentDetail> for AgentView {
    fn from(detail: AgentDetail) -> Self {
        let agent = detail.agent;
        Self {
            id: agent.id,
            owner_id: agent.owner_id,
            name: agent.name,
            role: agent.role,
            config: agent.config,
            version: agent.version,
            auto_join: agent.auto_join,
            disabled_at: agent.disabled_at,
            created_at: agent.created_at,
            updated_at: agent.updated_at,
            status: detail.status,
            runs: detail.runs,
        }
    }
}

/// An agent that was deleted.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct AgentDeletedView {
    id: AgentId,
    name: String,
}

/// What narrows the list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct AgentListParams {
    /// Only with this status.
    status: Option<AgentStatus>,
    /// Everybody's, for administrators; without other people's instructions.
    all: Option<bool>,
}

/// An agent to bring into a meeting.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct MeetingAgentBody {
    /// One of yours.
    agent_id: AgentId,
}

/// An agent in a meeting.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct MeetingAgentView {
    agent_id: AgentId,
    name: String,
    role: AgentRole,
    /// Its newest run in this meeting.
    run: Run,
}

impl From<MeetingAgentRow> for MeetingAgentView {
    fn from(row: MeetingAgentRow) -> Self {
        Self {
            agent_id: row.run.agent_id,
            name: row.agent_name,
            role: row.agent_role,
            run: row.run,
        }
    }
}

fn one(detail: AgentDetail) -> Reply<AgentView> {
    let version = detail.agent.version;
    Reply::ok(AgentView::from(detail)).etag(version)
}

/// Your agents, newest first.
#[utoipa::path(get, path = "/api/agents", tag = "agents", params(AgentListParams, PageParams), responses((status = 200, body = Envelope<Page<AgentView>>)))]
async fn list(
    State(app): State<App>,
    Caller(ctx): Caller,
    Query(params): Query<AgentListParams>,
    Query(page): Query<PageParams>,
) -> Outcome<Page<AgentView>> {
    let all = params.all.unwrap_or(false);
    let agents = app
        .agent_list(&ctx, params.status, all, &page.query()?)
        .await?;
    Ok(Reply::ok(agents.map(AgentView::from)))
}

/// Make an agent.
#[utoipa::path(post, path = "/api/agents", tag = "agents", request_body = AgentBody, responses((status = 201, body = Envelope<AgentView>)))]
async fn create(
    State(app): State<App>,
    Caller(ctx): Caller,
    Json(body): Json<AgentBody>,
) -> Outcome<AgentView> {
    let new = AgentNew {
        name: body.name,
        role: body.role,
        config: AgentConfig {
            instructions: body.instructions,
            language: body.language,
            model: body.model,
            voice: body.voice,
            tools: body.tools,
            memory_scopes: Vec::new(),
            address_policy: body.address_policy,
            worker: body.worker,
            quotas: body.quotas.map(AgentQuotas::from).unwrap_or_default(),
        },
        memory_scopes: body.memory_scopes.map(scope_words),
        auto_join: body.auto_join,
    };
    let detail = app.agent_create(&ctx, new).await?;
    let (id, version) = (detail.agent.id, detail.agent.version);
    Ok(Reply::created(format!("/api/agents/{id}"), AgentView::from(detail)).etag(version))
}

/// One of your agents.
#[utoipa::path(get, path = "/api/agents/{id}", tag = "agents", params(("id" = AgentId, Path)), responses((status = 200, body = Envelope<AgentView>)))]
async fn get(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<AgentId>,
) -> Outcome<AgentView> {
    Ok(one(app.agent_get(&ctx, id).await?))
}

/// Change an agent. Runs under way keep the configuration they began with.
#[utoipa::path(put, path = "/api/agents/{id}", tag = "agents", params(("id" = AgentId, Path), IfMatch), request_body = AgentPatchBody, responses((status = 200, body = Envelope<AgentView>)))]
async fn update(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<AgentId>,
    IfMatch(expected): IfMatch,
    Json(body): Json<AgentPatchBody>,
) -> Outcome<AgentView> {
    let patch = AgentPatch {
        name: body.name,
        role: body.role,
        instructions: body.instructions,
        language: body.language,
        model: body.model,
        voice: body.voice,
        tools: body.tools,
        memory_scopes: body.memory_scopes.map(scope_words),
        address_policy: body.address_policy,
        worker: body.worker,
        quotas: body.quotas.map(|quotas| quotas.map(AgentQuotas::from)),
        auto_join: body.auto_join,
    };
    Ok(one(app.agent_update(&ctx, id, patch, expected).await?))
}

/// Delete an agent; its runs are cancelled first.
#[utoipa::path(delete, path = "/api/agents/{id}", tag = "agents", params(("id" = AgentId, Path)), responses((status = 200, body = Envelope<AgentDeletedView>)))]
async fn delete(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<AgentId>,
) -> Outcome<AgentDeletedView> {
    let agent = app.agent_delete(&ctx, id).await?;
    Ok(Reply::ok(AgentDeletedView {
        id,
        name: agent.name,
    }))
}

/// Start, stop or disable an agent.
#[utoipa::path(put, path = "/api/agents/{id}/status", tag = "agents", params(("id" = AgentId, Path)), request_body = AgentStatusBody, responses((status = 200, body = Envelope<AgentView>)))]
async fn status_set(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<AgentId>,
    Json(body): Json<AgentStatusBody>,
) -> Outcome<AgentView> {
    let reason = body.reason.as_deref();
    let detail = app
        .agent_status_set(&ctx, id, body.status, body.meeting_id, reason)
        .await?;
    Ok(one(detail))
}

/// The versions of an agent's configuration, newest first.
#[utoipa::path(get, path = "/api/agents/{id}/versions", tag = "agents", params(("id" = AgentId, Path), PageParams), responses((status = 200, body = Envelope<Page<AgentVersion>>)))]
async fn versions(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<AgentId>,
    Query(page): Query<PageParams>,
) -> Outcome<Page<AgentVersion>> {
    Ok(Reply::ok(
        app.agent_versions(&ctx, id, &page.query()?).await?,
    ))
}

/// The runs of an agent, newest first.
#[utoipa::path(get, path = "/api/agents/{id}/runs", tag = "runs", params(("id" = AgentId, Path), PageParams), responses((status = 200, body = Envelope<Page<Run>>)))]
async fn runs(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<AgentId>,
    Query(page): Query<PageParams>,
) -> Outcome<Page<Run>> {
    Ok(Reply::ok(app.agent_runs(&ctx, id, &page.query()?).await?))
}

/// The agents that are or were in a meeting, each with its newest run.
#[utoipa::path(get, path = "/api/meetings/{id}/agents", tag = "agents", params(("id" = MeetingId, Path), PageParams), responses((status = 200, body = Envelope<Page<MeetingAgentView>>)))]
async fn meeting_list(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    Query(page): Query<PageParams>,
) -> Outcome<Page<MeetingAgentView>> {
    let rows = app.meeting_agent_list(&ctx, id, &page.query()?).await?;
    Ok(Reply::ok(rows.map(MeetingAgentView::from)))
}

/// Bring one of your agents into a meeting that you run.
#[utoipa::path(post, path = "/api/meetings/{id}/agents", tag = "agents", params(("id" = MeetingId, Path)), request_body = MeetingAgentBody, responses((status = 201, body = Envelope<Run>)))]
async fn meeting_add(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    Json(body): Json<MeetingAgentBody>,
) -> Outcome<Run> {
    let run = app.meeting_agent_add(&ctx, id, body.agent_id).await?;
    Ok(Reply::created(format!("/api/runs/{}", run.id), run))
}

/// Take an agent out of a meeting.
#[utoipa::path(delete, path = "/api/meetings/{id}/agents/{agent_id}", tag = "agents", params(("id" = MeetingId, Path), ("agent_id" = AgentId, Path)), responses((status = 200, body = Envelope<Run>)))]
async fn meeting_remove(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path((id, agent_id)): Path<(MeetingId, AgentId)>,
) -> Outcome<Run> {
    Ok(Reply::ok(
        app.meeting_agent_remove(&ctx, id, agent_id).await?,
    ))
}
