//! `/api/meetings/{id}/recordings`: starting, stopping, listing, fetching.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use meetmind_app::App;
use meetmind_core::{
    MeetingId, Page, Recording, RecordingFile, RecordingFileId, RecordingId, RecordingMode,
};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Caller, Json, PageParams, Path, Query};
use crate::file;
use crate::reply::{Envelope, Failure, Outcome, Reply};

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, start))
        .routes(routes!(one, delete))
        .routes(routes!(stop))
        .routes(routes!(download))
}

/// What to record.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
struct RecordingBody {
    /// `mix` (the default): one file with everybody's sound; `tracks`: a file per track, sound and
    /// picture; `both`.
    mode: Option<RecordingMode>,
}

/// A recording with its files.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct RecordingView {
    #[serde(flatten)]
    recording: Recording,
    /// Its files, at most 4,096; none while it runs.
    files: Vec<RecordingFile>,
}

/// The recordings of a meeting, newest first.
#[utoipa::path(get, path = "/api/meetings/{id}/recordings", tag = "recordings", params(("id" = MeetingId, Path), PageParams), responses((status = 200, body = Envelope<Page<Recording>>)))]
async fn list(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    Query(page): Query<PageParams>,
) -> Outcome<Page<Recording>> {
    Ok(Reply::ok(
        app.recording_list(&ctx, id, &page.query()?).await?,
    ))
}

/// Start a recording of a live meeting; one at a time. Everybody in the room is told. A participant is
/// recorded only while it consents to recordings under the meeting's consent policy: before, after and
/// without that there is silence in the mix and nothing in the files of its tracks. Sound is kept as
/// Ogg/Opus; pictures are kept as they are sent: VP8 and VP9 as WebM, H264 as Matroska. AV1, H265, PCM and
/// what is encrypted end to end cannot be recorded; `skipped` names such tracks. It ends when it is
/// stopped, with the meeting, and at the limits of the settings.
#[utoipa::path(post, path = "/api/meetings/{id}/recordings", tag = "recordings", params(("id" = MeetingId, Path)), request_body = Option<RecordingBody>, responses((status = 201, body = Envelope<Recording>)))]
async fn start(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    body: Option<Json<RecordingBody>>,
) -> Outcome<Recording> {
    let body = body.map(|Json(body)| body).unwrap_or_default();
    let mode = body.mode.unwrap_or(RecordingMode::Mix);
    let recording = app.recording_start(&ctx, id, mode).await?;
    Ok(Reply::created(
        format!("/api/meetings/{id}/recordings/{}", recording.id),
        recording,
    ))
}

/// One recording with its files.
#[utoipa::path(get, path = "/api/meetings/{id}/recordings/{recording_id}", tag = "recordings", params(("id" = MeetingId, Path), ("recording_id" = RecordingId, Path)), responses((status = 200, body = Envelope<RecordingView>)))]
async fn one(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path((id, recording_id)): Path<(MeetingId, RecordingId)>,
) -> Outcome<RecordingView> {
    let (recording, files) = app.recording_get(&ctx, id, recording_id).await?;
    Ok(Reply::ok(RecordingView { recording, files }))
}

/// Delete a recording and its files; one that runs is stopped first. For the host alone.
#[utoipa::path(delete, path = "/api/meetings/{id}/recordings/{recording_id}", tag = "recordings", params(("id" = MeetingId, Path), ("recording_id" = RecordingId, Path)), responses((status = 200, body = Envelope<Recording>)))]
async fn delete(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path((id, recording_id)): Path<(MeetingId, RecordingId)>,
) -> Outcome<Recording> {
    Ok(Reply::ok(
        app.recording_delete(&ctx, id, recording_id).await?,
    ))
}

/// Stop a recording. The answer waits up to 10 seconds for its files to be complete; `status` tells
/// whether they are. Stopping again is no change.
#[utoipa::path(post, path = "/api/meetings/{id}/recordings/{recording_id}/stop", tag = "recordings", params(("id" = MeetingId, Path), ("recording_id" = RecordingId, Path)), responses((status = 200, body = Envelope<Recording>)))]
async fn stop(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path((id, recording_id)): Path<(MeetingId, RecordingId)>,
) -> Outcome<Recording> {
    Ok(Reply::ok(app.recording_stop(&ctx, id, recording_id).await?))
}

/// The bytes of a file, raw. `Range` (one range) gives a part: 206, or 416 with the file's length;
/// `If-Range` and `If-None-Match` compare with the `ETag`, which is the file's SHA-256. `HEAD` works too.
#[utoipa::path(get, path = "/api/meetings/{id}/recordings/{recording_id}/files/{file_id}", tag = "recordings", params(("id" = MeetingId, Path), ("recording_id" = RecordingId, Path), ("file_id" = RecordingFileId, Path), file::RangeHeaders), responses(
    (status = 200, description = "The whole file.", content((Vec<u8> = "audio/ogg"), (Vec<u8> = "video/webm"), (Vec<u8> = "video/x-matroska"))),
    (status = 206, description = "The part that was asked for.", content((Vec<u8> = "audio/ogg"), (Vec<u8> = "video/webm"), (Vec<u8> = "video/x-matroska"))),
    (status = 304, description = "You have it already."),
    (status = 416, description = "`RANGE_NOT_SATISFIABLE`: the file ends before; `Content-Range` has its length.", body = crate::reply::ErrorEnvelope),
))]
async fn download(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path((id, recording_id, file_id)): Path<(MeetingId, RecordingId, RecordingFileId)>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let found = app
        .recording_file_open(&ctx, id, recording_id, file_id)
        .await?;
    let extension = found.file.name.rsplit_once('.').map_or("", |(_, it)| it);
    let served = file::Served {
        content_type: &found.file.content_type,
        name: format!("{file_id}.{extension}"),
        tag: &found.file.sha256,
    };
    Ok(file::serve(found.bytes, &served, &headers)
        .await?
        .into_response())
}
