//! `/api/meetings` and `/api/meetings/{id}`.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use meetmind_app::{App, ErasureReceipt, Invite, Joined, MeetingJoin, MeetingNew, MeetingPatch};
use meetmind_core::{
    AgentId, ConsentPolicy, Meeting, MeetingAccess, MeetingId, MeetingRole, MeetingStatus,
    MemoryMode, Page, Participant, ParticipantId, SeriesId, Timestamp,
};
use meetmind_store::MeetingFilter;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Caller, IfMatch, Json, PageParams, Path, Query, patch_field};
use crate::reply::{Envelope, Failure, Outcome, Reply};

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, patch, delete))
        .routes(routes!(restore))
        .routes(routes!(calendar))
        .routes(routes!(join))
        .routes(routes!(leave))
        .routes(routes!(end))
        .routes(routes!(lock))
        .routes(routes!(invite, invite_renew))
}

/// A word or name that matters in a meeting.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(
    min_length = 1,
    max_length = 100,
    pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"
)]
struct GlossaryEntry(String);

/// The entries as the use case takes them.
fn glossary(entries: Vec<GlossaryEntry>) -> Vec<String> {
    entries.into_iter().map(|entry| entry.0).collect()
}

/// A new meeting.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct MeetingBody {
    /// What it is called.
    #[serde(alias = "name")]
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"
    )]
    title: String,
    /// At most 20,000 bytes.
    #[schema(max_length = 20000, pattern = r"^[^\u0000]*$")]
    description: Option<String>,
    /// When it is planned to start.
    starts_at: Option<Timestamp>,
    /// When it is planned to end; not before `starts_at`.
    ends_at: Option<Timestamp>,
    /// An IANA name, such as `Europe/Stockholm`.
    #[schema(max_length = 64, pattern = r"^[A-Za-z][A-Za-z0-9/_+-]*$")]
    time_zone: Option<String>,
    /// A series you can see.
    series_id: Option<SeriesId>,
    /// Who can get in; `invite` when absent.
    access: Option<MeetingAccess>,
    /// Whether who comes by link or openly waits to be admitted.
    lobby: Option<bool>,
    /// How consent works; `ask` when absent.
    consent_policy: Option<ConsentPolicy>,
    /// How memories come about; `auto` when absent.
    memory_mode: Option<MemoryMode>,
    /// Days until memories of this meeting are deleted.
    #[schema(minimum = 1, maximum = 36500)]
    memory_retention_days: Option<i64>,
    /// Words and names that matter here.
    #[serde(default)]
    #[schema(max_items = 500)]
    glossary: Vec<GlossaryEntry>,
    /// Agents of yours that come along.
    #[serde(default)]
    agents: Vec<AgentId>,
}

/// Changes: absent stays, null clears.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct MeetingPatchBody {
    /// What it is called.
    #[serde(alias = "name")]
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"
    )]
    title: Option<String>,
    /// At most 20,000 bytes.
    #[serde(default, deserialize_with = "patch_field")]
    #[schema(value_type = Option<String>, max_length = 20000, pattern = r"^[^\u0000]*$")]
    description: Option<Option<String>>,
    #[serde(default, deserialize_with = "patch_field")]
    #[schema(value_type = Option<Timestamp>)]
    starts_at: Option<Option<Timestamp>>,
    #[serde(default, deserialize_with = "patch_field")]
    #[schema(value_type = Option<Timestamp>)]
    ends_at: Option<Option<Timestamp>>,
    #[serde(default, deserialize_with = "patch_field")]
    #[schema(value_type = Option<String>, max_length = 64, pattern = r"^[A-Za-z][A-Za-z0-9/_+-]*$")]
    time_zone: Option<Option<String>>,
    #[serde(default, deserialize_with = "patch_field")]
    #[schema(value_type = Option<SeriesId>)]
    series_id: Option<Option<SeriesId>>,
    access: Option<MeetingAccess>,
    lobby: Option<bool>,
    consent_policy: Option<ConsentPolicy>,
    memory_mode: Option<MemoryMode>,
    #[serde(default, deserialize_with = "patch_field")]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 36500)]
    memory_retention_days: Option<Option<i64>>,
    /// Words and names that matter here.
    #[schema(max_items = 500)]
    glossary: Option<Vec<GlossaryEntry>>,
}

impl From<MeetingPatchBody> for MeetingPatch {
    fn from(body: MeetingPatchBody) -> Self {
        Self {
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
            glossary: body.glossary.map(glossary),
        }
    }
}

/// What you bring to the door; all of it may be absent for who is on the list.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
struct JoinBody {
    /// The name of a guest.
    #[schema(
        min_length = 1,
        max_length = 100,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"
    )]
    name: Option<String>,
    /// The code of the invitation.
    invite_code: Option<String>,
}

/// Whether to lock.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct LockBody {
    /// `false` unlocks.
    locked: bool,
}

/// What to do with the invitation.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
struct InviteBody {
    /// `true` makes a new code; links given away before stop working.
    #[serde(default)]
    regenerate: bool,
}

/// How to delete.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct DeleteParams {
    /// `true` erases the meeting and everything on it, at once and for good.
    erase: Option<bool>,
}

/// The meeting as it was deleted for now, or the receipt of its erasure.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
enum DeletedView {
    /// It can be restored for 30 days.
    Archived(Box<Meeting>),
    /// Nothing of it is left.
    Erased(ErasureReceipt),
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
    #[param(max_length = 200)]
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
        glossary: glossary(body.glossary),
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
#[utoipa::path(put, path = "/api/meetings/{id}", tag = "meetings", params(("id" = MeetingId, Path), IfMatch), request_body = MeetingPatchBody, responses((status = 200, body = Envelope<Meeting>)))]
async fn update(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    IfMatch(expected): IfMatch,
    Json(body): Json<MeetingPatchBody>,
) -> Outcome<Meeting> {
    let meeting = app.meeting_update(&ctx, id, body.into(), expected).await?;
    let version = meeting.version;
    Ok(Reply::ok(meeting).etag(version))
}

/// The same as PUT.
#[utoipa::path(patch, path = "/api/meetings/{id}", tag = "meetings", params(("id" = MeetingId, Path), IfMatch), request_body = MeetingPatchBody, responses((status = 200, body = Envelope<Meeting>)))]
async fn patch(
    app: State<App>,
    caller: Caller,
    id: Path<MeetingId>,
    expected: IfMatch,
    body: Json<MeetingPatchBody>,
) -> Outcome<Meeting> {
    update(app, caller, id, expected, body).await
}

/// Delete a meeting for now; it can be restored for 30 days. A live one is ended. With
/// `?erase=true` nothing of it stays, and the answer counts what was erased.
#[utoipa::path(delete, path = "/api/meetings/{id}", tag = "meetings", params(("id" = MeetingId, Path), DeleteParams), responses((status = 200, body = Envelope<DeletedView>)))]
async fn delete(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    Query(params): Query<DeleteParams>,
) -> Outcome<DeletedView> {
    if params.erase == Some(true) {
        let receipt = app.meeting_erase(&ctx, id).await?;
        return Ok(Reply::ok(DeletedView::Erased(receipt)));
    }
    let meeting = app.meeting_delete(&ctx, id).await?;
    Ok(Reply::ok(DeletedView::Archived(Box::new(meeting))))
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

/// The meeting as a calendar file.
#[utoipa::path(get, path = "/api/meetings/{id}/ics", tag = "meetings", params(("id" = MeetingId, Path)), responses((status = 200, content_type = "text/calendar", body = String)))]
async fn calendar(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
) -> Result<Response, Failure> {
    let file = app.meeting_ics(&ctx, id).await?;
    let mut response = file.into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/calendar; charset=utf-8"),
    );
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{id}.ics\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

/// Join, or come to the door. Guests send a name and the code of the invitation and get a token.
/// Joining again gives a new room token; while you wait to be admitted, `livekit` is null. A guest
/// who repeats the request with the same `Idempotency-Key` (16 characters or more: nobody else may
/// think of it) comes in once and gets a fresh token; for everybody else joining again is no change
/// anyway. Guests are limited per meeting and per address, and wrong codes make the caller wait: 429
/// with `current`, `limit` and `reset`.
#[utoipa::path(post, path = "/api/meetings/{id}/join", tag = "meetings", params(("id" = MeetingId, Path)), request_body = Option<JoinBody>, responses((status = 200, body = Envelope<Joined>)))]
async fn join(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    headers: HeaderMap,
    body: Option<Json<JoinBody>>,
) -> Outcome<Joined> {
    let body = body.map(|Json(body)| body).unwrap_or_default();
    let join = MeetingJoin {
        name: body.name,
        invite_code: body.invite_code,
        once: crate::idempotency::key(&headers)?,
    };
    Ok(Reply::ok(app.meeting_join(&ctx, id, join).await?))
}

/// Leave.
#[utoipa::path(post, path = "/api/meetings/{id}/leave", tag = "meetings", params(("id" = MeetingId, Path)), responses((status = 200, body = Envelope<Participant>)))]
async fn leave(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
) -> Outcome<Participant> {
    Ok(Reply::ok(app.meeting_leave(&ctx, id).await?))
}

/// End the meeting for all. Ending it again is no change.
#[utoipa::path(post, path = "/api/meetings/{id}/end", tag = "meetings", params(("id" = MeetingId, Path)), responses((status = 200, body = Envelope<Meeting>)))]
async fn end(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
) -> Outcome<Meeting> {
    let meeting = app.meeting_end(&ctx, id).await?;
    let version = meeting.version;
    Ok(Reply::ok(meeting).etag(version))
}

/// Lock the meeting, so that nobody new comes in, or unlock it.
#[utoipa::path(post, path = "/api/meetings/{id}/lock", tag = "meetings", params(("id" = MeetingId, Path)), request_body = LockBody, responses((status = 200, body = Envelope<Meeting>)))]
async fn lock(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    Json(body): Json<LockBody>,
) -> Outcome<Meeting> {
    let meeting = app.meeting_lock(&ctx, id, body.locked).await?;
    let version = meeting.version;
    Ok(Reply::ok(meeting).etag(version))
}

/// The invitation: a link and its code. It opens the door while the meeting's access is `link`.
#[utoipa::path(get, path = "/api/meetings/{id}/invite", tag = "meetings", params(("id" = MeetingId, Path)), responses((status = 200, body = Envelope<Invite>)))]
async fn invite(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
) -> Outcome<Invite> {
    Ok(Reply::ok(app.meeting_invite(&ctx, id).await?))
}

/// Renew the invitation.
#[utoipa::path(post, path = "/api/meetings/{id}/invite", tag = "meetings", params(("id" = MeetingId, Path)), request_body = InviteBody, responses((status = 200, body = Envelope<Invite>)))]
async fn invite_renew(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    Json(body): Json<InviteBody>,
) -> Outcome<Invite> {
    let invite = if body.regenerate {
        app.meeting_invite_renew(&ctx, id).await?
    } else {
        app.meeting_invite(&ctx, id).await?
    };
    Ok(Reply::ok(invite))
}
