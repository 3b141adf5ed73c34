//! `/api/meetings` and `/api/meetings/{id}`.

use axum::extract::State;
use meetmind_app::{App, MeetingNew, MeetingPatch};
use meetmind_core::{
    AgentId, ConsentPolicy, Meeting, MeetingAccess, MeetingId, MeetingRole, MeetingStatus,
    MemoryMode, Page, ParticipantId, SeriesId, Timestamp,
};
use meetmind_store::MeetingFilter;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Caller, IfMatch, Json, PageParams, Path, Query, patch_field};
use crate::reply::{Envelope, Outcome, Reply};

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
        .routes(routes!(restore))
}

/// A new meeting.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct MeetingBody {
    /// What it is called.
    #[serde(alias = "name")]
    #[schema(min_length = 1, max_length = 200)]
    title: String,
    description: Option<String>,
    starts_at: Option<Timestamp>,
    ends_at: Option<Timestamp>,
    /// An IANA name, such as `Europe/Stockholm`.
    time_zone: Option<String>,
    series_id: Option<SeriesId>,
    access: Option<MeetingAccess>,
    lobby: Option<bool>,
    consent_policy: Option<ConsentPolicy>,
    memory_mode: Option<MemoryMode>,
    #[schema(minimum = 1, maximum = 36500)]
    memory_retention_days: Option<i64>,
    #[serde(default)]
    glossary: Vec<String>,
    /// Agents of yours that come along.
    #[serde(default)]
    agents: Vec<AgentId>,
}

/// Changes: absent stays, null clears.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct MeetingPatchBody {
    #[serde(alias = "name")]
    title: Option<String>,
    #[serde(default, deserialize_with = "patch_field")]
    #[schema(value_type = Option<String>)]
    description: Option<Option<String>>,
    #[serde(default, deserialize_with = "patch_field")]
    #[schema(value_type = Option<Timestamp>)]
    starts_at: Option<Option<Timestamp>>,
    #[serde(default, deserialize_with = "patch_field")]
    #[schema(value_type = Option<Timestamp>)]
    ends_at: Option<Option<Timestamp>>,
    #[serde(default, deserialize_with = "patch_field")]
    #[schema(value_type = Option<String>)]
    time_zone: Option<Option<String>>,
    #[serde(default, deserialize_with = "patch_field")]
    #[schema(value_type = Option<SeriesId>)]
    series_id: Option<Option<SeriesId>>,
    access: Option<MeetingAccess>,
    lobby: Option<bool>,
    consent_policy: Option<ConsentPolicy>,
    memory_mode: Option<MemoryMode>,
    #[serde(default, deserialize_with = "patch_field")]
    #[schema(value_type = Option<i64>)]
    memory_retention_days: Option<Option<i64>>,
    glossary: Option<Vec<String>>,
}

/// A meeting and your part in it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct MeetingView {
    #[serde(flatten)]
    meeting: Meeting,
    /// Your role in it.
    role: MeetingRole,
    /// You, as a participant.
    participant_id: Option<ParticipantId>,
}

/// What narrows the list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct MeetingListParams {
    /// Only in this state.
    status: Option<MeetingStatus>,
    /// Only of this series.
    series_id: Option<SeriesId>,
    /// Planned, or else made, at or after.
    from: Option<Timestamp>,
    /// Planned, or else made, before.
    to: Option<Timestamp>,
    /// With these characters in title or description.
    q: Option<String>,
}

/// Your meetings, newest first.
#[utoipa::path(get, path = "/api/meetings", tag = "meetings", params(MeetingListParams, PageParams), responses((status = 200, body = Envelope<Page<Meeting>>)))]
async fn list(
    State(app): State<App>,
    Caller(ctx): Caller,
    Query(params): Query<MeetingListParams>,
    Query(page): Query<PageParams>,
) -> Outcome<Page<Meeting>> {
    let filter = MeetingFilter {
        status: params.status,
        series_id: params.series_id,
        from: params.from,
        to: params.to,
        text: params.q.filter(|q| !q.is_empty()),
    };
    Ok(Reply::ok(
        app.meeting_list(&ctx, &filter, &page.query()?).await?,
    ))
}

/// Make a meeting; you are its host.
#[utoipa::path(post, path = "/api/meetings", tag = "meetings", request_body = MeetingBody, responses((status = 201, body = Envelope<Meeting>)))]
async fn create(
    State(app): State<App>,
    Caller(ctx): Caller,
    Json(body): Json<MeetingBody>,
) -> Outcome<Meeting> {
    let new = MeetingNew {
        title: body.title,
        description: body.description,
        starts_at: body.starts_at,
        ends_at: body.ends_at,
        time_zone: body.time_zone,
        series_id: body.series_id,
        access: body.access,
        lobby: body.lobby,
        consent_policy: body.consent_policy,
        memory_mode: body.memory_mode,
        memory_retention_days: body.memory_retention_days,
        glossary: body.glossary,
        agents: body.agents,
    };
    let meeting = app.meeting_create(&ctx, new).await?;
    Ok(
        Reply::created(format!("/api/meetings/{}", meeting.id), meeting.clone())
            .etag(meeting.version),
    )
}

/// One meeting.
#[utoipa::path(get, path = "/api/meetings/{id}", tag = "meetings", params(("id" = MeetingId, Path)), responses((status = 200, body = Envelope<MeetingView>)))]
async fn get(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
) -> Outcome<MeetingView> {
    let access = app.meeting_get(&ctx, id).await?;
    let version = access.meeting.version;
    Ok(Reply::ok(MeetingView {
        meeting: access.meeting,
        role: access.role,
        participant_id: access.participant_id,
    })
    .etag(version))
}

/// Change a meeting. With `If-Match`, only if nobody changed it since.
#[utoipa::path(put, path = "/api/meetings/{id}", tag = "meetings", params(("id" = MeetingId, Path)), request_body = MeetingPatchBody, responses((status = 200, body = Envelope<Meeting>)))]
async fn update(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    IfMatch(expected): IfMatch,
    Json(body): Json<MeetingPatchBody>,
) -> Outcome<Meeting> {
    let patch = MeetingPatch {
        title: body.title,
        description: body.description,
        starts_at: body.starts_at,
        ends_at: body.ends_at,
        time_zone: body.time_zone,
        series_id: body.series_id,
        access: body.access,
        lobby: body.lobby,
        consent_policy: body.consent_policy,
        memory_mode: body.memory_mode,
        memory_retention_days: body.memory_retention_days,
        glossary: body.glossary,
    };
    let meeting = app.meeting_update(&ctx, id, patch, expected).await?;
    let version = meeting.version;
    Ok(Reply::ok(meeting).etag(version))
}

/// Delete a meeting for now; it can be restored for 30 days.
#[utoipa::path(delete, path = "/api/meetings/{id}", tag = "meetings", params(("id" = MeetingId, Path)), responses((status = 200, body = Envelope<Meeting>)))]
async fn delete(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
) -> Outcome<Meeting> {
    Ok(Reply::ok(app.meeting_delete(&ctx, id).await?))
}

/// Bring a deleted meeting back.
#[utoipa::path(post, path = "/api/meetings/{id}/restore", tag = "meetings", params(("id" = MeetingId, Path)), responses((status = 200, body = Envelope<Meeting>)))]
async fn restore(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
) -> Outcome<Meeting> {
    Ok(Reply::ok(app.meeting_restore(&ctx, id).await?))
}
