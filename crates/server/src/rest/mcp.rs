//! `/api/mcp/*`: the seed's paths over the tool registry.

use axum::extract::State;
use meetmind_app::{App, Digest, DigestStyle, NotesPersona, ToolView};
use meetmind_core::MeetingId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Caller, Json, Query};
use crate::reply::{Envelope, Outcome, Reply};

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(tool_list, tool_call))
        .routes(routes!(summarize_get, summarize_post))
        .routes(routes!(context_get, context_merge))
}

/// The tools there are.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ToolListView {
    /// With the schema of their arguments.
    tools: Vec<ToolView>,
}

/// A call of a tool.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct ToolCallBody {
    /// Its name; `name` is accepted too.
    #[serde(alias = "name")]
    #[schema(min_length = 1, max_length = 100)]
    tool: String,
    /// As its schema says; an empty object when absent.
    #[serde(default)]
    #[schema(value_type = Object)]
    arguments: Value,
}

/// What a tool gave.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ToolResultView {
    /// The tool.
    tool: String,
    /// Its result; the shape is the tool's own.
    #[schema(value_type = Object)]
    result: Value,
    /// Always false here: what fails is answered as an error, with its status and code.
    is_error: bool,
}

/// Which notes are wanted.
#[derive(Debug, Deserialize, utoipa::ToSchema, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct SummarizeParams {
    /// The meeting.
    meeting_id: MeetingId,
    /// How much it says; `detailed` when absent.
    #[param(inline)]
    style: Option<DigestStyle>,
    /// As this role reads them.
    #[param(inline)]
    persona: Option<NotesPersona>,
}

/// Which meeting's context.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct ContextParams {
    /// The meeting.
    meeting_id: MeetingId,
}

/// What changes in a meeting's context.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct ContextBody {
    /// The meeting.
    meeting_id: MeetingId,
    /// Merged into the context as RFC 7396 says: `null` removes. The whole may have 64 KB.
    #[schema(value_type = Object)]
    context: Value,
}

/// A meeting's context.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ContextView {
    /// The meeting.
    meeting_id: MeetingId,
    /// What agents and commands act on.
    #[schema(value_type = Object)]
    context: Value,
}

/// The tools there are, with the schemas of their arguments.
#[utoipa::path(get, path = "/api/mcp/tools", tag = "mcp", responses((status = 200, body = Envelope<ToolListView>)))]
async fn tool_list(State(app): State<App>, Caller(ctx): Caller) -> Outcome<ToolListView> {
    let tools = app.tool_list(&ctx)?;
    Ok(Reply::ok(ToolListView { tools }))
}

/// Run a tool, as yourself.
#[utoipa::path(post, path = "/api/mcp/tools", tag = "mcp", request_body = ToolCallBody, responses((status = 200, body = Envelope<ToolResultView>)))]
async fn tool_call(
    State(app): State<App>,
    Caller(ctx): Caller,
    Json(body): Json<ToolCallBody>,
) -> Outcome<ToolResultView> {
    let result = app.tool_call(&ctx, &body.tool, body.arguments).await?;
    Ok(Reply::ok(ToolResultView {
        tool: body.tool,
        result,
        is_error: false,
    }))
}

/// The notes of a meeting in one piece.
#[utoipa::path(get, path = "/api/mcp/summarize", tag = "mcp", params(SummarizeParams), responses((status = 200, body = Envelope<Digest>)))]
async fn summarize_get(
    State(app): State<App>,
    Caller(ctx): Caller,
    Query(params): Query<SummarizeParams>,
) -> Outcome<Digest> {
    summarize(&app, &ctx, &params).await
}

/// The notes of a meeting in one piece.
#[utoipa::path(post, path = "/api/mcp/summarize", tag = "mcp", request_body = SummarizeParams, responses((status = 200, body = Envelope<Digest>)))]
async fn summarize_post(
    State(app): State<App>,
    Caller(ctx): Caller,
    Json(body): Json<SummarizeParams>,
) -> Outcome<Digest> {
    summarize(&app, &ctx, &body).await
}

async fn summarize(
    app: &App,
    ctx: &meetmind_core::Ctx,
    params: &SummarizeParams,
) -> Outcome<Digest> {
    let style = params.style.unwrap_or_default();
    let digest = app
        .meeting_digest(ctx, params.meeting_id, style, params.persona)
        .await?;
    Ok(Reply::ok(digest))
}

/// A meeting's context.
#[utoipa::path(get, path = "/api/mcp/context", tag = "mcp", params(ContextParams), responses((status = 200, body = Envelope<ContextView>)))]
async fn context_get(
    State(app): State<App>,
    Caller(ctx): Caller,
    Query(params): Query<ContextParams>,
) -> Outcome<ContextView> {
    let context = app.context_get(&ctx, params.meeting_id).await?;
    Ok(Reply::ok(ContextView {
        meeting_id: params.meeting_id,
        context,
    }))
}

/// Merge into a meeting's context, and get the whole.
#[utoipa::path(post, path = "/api/mcp/context", tag = "mcp", request_body = ContextBody, responses((status = 200, body = Envelope<ContextView>)))]
async fn context_merge(
    State(app): State<App>,
    Caller(ctx): Caller,
    Json(body): Json<ContextBody>,
) -> Outcome<ContextView> {
    let context = app
        .context_merge(&ctx, body.meeting_id, &body.context)
        .await?;
    Ok(Reply::ok(ContextView {
        meeting_id: body.meeting_id,
        context,
    }))
}
