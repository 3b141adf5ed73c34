//! `/api/meetings/{id}/transcript` and the imports.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use meetmind_app::App;
use meetmind_app::transcripts::formats::Format;
use meetmind_app::transcripts::{
    ImportNew, Imported, SegmentErased, SegmentNew, SegmentPatch, SegmentPosted,
};
use meetmind_core::{
    Code, Error, Meeting, MeetingId, Page, Segment, SegmentChange, SegmentId, SeriesId, Timestamp,
};
use meetmind_store::SegmentFilter;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, OneOfBuilder, Schema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Caller, IfMatch, Json, PageParams, Path, Query};
use crate::reply::{Envelope, Failure, Outcome, Reply};

/// The largest transcript file, in bytes.
const IMPORT_LIMIT: usize = 20 * 1024 * 1024;

pub(crate) fn router() -> OpenApiRouter<App> {
    let imports = OpenApiRouter::new()
        .routes(routes!(import))
        .routes(routes!(import_into))
        .layer(DefaultBodyLimit::max(IMPORT_LIMIT));
    OpenApiRouter::new()
        .routes(routes!(list, post))
        .routes(routes!(get, correct, erase))
        .routes(routes!(history))
        .merge(imports)
}

/// Something said.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct SegmentBody {
    /// Who speaks; you, when absent. Naming another speaker needs the host's role, an agent, or a
    /// key with `transcripts:write`.
    #[schema(min_length = 1, max_length = 120)]
    speaker: Option<String>,
    /// The words.
    #[schema(min_length = 1, max_length = 16384)]
    text: String,
    /// Milliseconds from the meeting's start; now, when absent.
    #[schema(minimum = 0, maximum = 604_800_000)]
    start_ms: Option<i64>,
    /// Milliseconds from the meeting's start; when absent, what the words take at 150 a minute.
    #[schema(minimum = 0, maximum = 604_800_000)]
    end_ms: Option<i64>,
    #[schema(minimum = 0, maximum = 1)]
    confidence: Option<f64>,
    /// A BCP 47 tag.
    #[schema(min_length = 1, max_length = 35)]
    language: Option<String>,
    /// Whether the words stay; `true` when absent.
    #[serde(rename = "final", default = "yes")]
    #[schema(default = true)]
    is_final: bool,
    /// Your own id for it: the same one updates the draft until it is final.
    #[schema(min_length = 1, max_length = 200)]
    external_id: Option<String>,
}

fn yes() -> bool {
    true
}

/// One segment, or a list of 1 to 500.
#[derive(Debug)]
enum SegmentsBody {
    One(Box<SegmentBody>),
    Many(Vec<SegmentBody>),
}

// By hand, so that an error names the field and not "no variant fits".
impl<'de> Deserialize<'de> for SegmentsBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = SegmentsBody;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a segment or a list of segments")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SegmentsBody, A::Error> {
                SegmentBody::deserialize(MapAccessDeserializer::new(map))
                    .map(|one| SegmentsBody::One(Box::new(one)))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<SegmentsBody, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(SegmentsBody::Many)
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

impl utoipa::PartialSchema for SegmentsBody {
    fn schema() -> RefOr<Schema> {
        let list = ArrayBuilder::new()
            .items(SegmentBody::schema())
            .min_items(Some(1))
            .max_items(Some(500));
        OneOfBuilder::new()
            .item(SegmentBody::schema())
            .item(list)
            .into()
    }
}

impl utoipa::ToSchema for SegmentsBody {}

/// The segment as it stands; for a list, all of them in its order.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
enum SegmentsView {
    One(Box<Segment>),
    Many { items: Vec<Segment> },
}

/// A correction: absent stays.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct SegmentPatchBody {
    #[schema(min_length = 1, max_length = 16384)]
    text: Option<String>,
    #[schema(min_length = 1, max_length = 120)]
    speaker: Option<String>,
    #[schema(minimum = 0, maximum = 604_800_000)]
    start_ms: Option<i64>,
    #[schema(minimum = 0, maximum = 604_800_000)]
    end_ms: Option<i64>,
}

/// The form of a transcript file.
#[derive(Debug, Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum FormatParam {
    Json,
    Vtt,
    Srt,
    Txt,
    Md,
}

impl From<FormatParam> for Format {
    fn from(format: FormatParam) -> Self {
        match format {
            FormatParam::Json => Format::Json,
            FormatParam::Vtt => Format::Vtt,
            FormatParam::Srt => Format::Srt,
            FormatParam::Txt => Format::Txt,
            FormatParam::Md => Format::Markdown,
        }
    }
}

/// A page of the transcript, or the whole of it as a JSON file.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(untagged)]
#[expect(
    dead_code,
    reason = "the shape stands in the document; the file is written by its format"
)]
enum TranscriptView {
    /// Without `format`.
    Page(Envelope<Page<Segment>>),
    /// With `format=json`.
    File {
        /// Everything that was said.
        segments: Vec<serde_json::Value>,
    },
}

/// What narrows the transcript.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct TranscriptParams {
    /// Beginning at or after, in milliseconds from the meeting's start.
    #[param(minimum = 0, maximum = 604_800_000)]
    from_ms: Option<i64>,
    /// Beginning before, in milliseconds from the meeting's start.
    #[param(minimum = 0, maximum = 604_800_000)]
    to_ms: Option<i64>,
    /// By this speaker, whatever the case of letters.
    #[param(min_length = 1, max_length = 120)]
    speaker: Option<String>,
    /// Only final segments, or only drafts.
    #[serde(rename = "final")]
    is_final: Option<bool>,
    /// Download all final segments as a file instead; the other parameters do not count then.
    #[param(inline)]
    format: Option<FormatParam>,
}

/// What goes with a file.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct ImportParams {
    /// The file's name; its ending tells the format where the content does not.
    #[param(min_length = 1, max_length = 255)]
    file_name: Option<String>,
    /// The format; found out when absent.
    #[param(inline)]
    format: Option<FormatParam>,
    /// The meeting's title; the file's own, or its name, when absent.
    #[param(min_length = 1, max_length = 200)]
    title: Option<String>,
    /// A series you can see.
    series_id: Option<SeriesId>,
    /// When the meeting began; the file's own time, when absent.
    starts_at: Option<Timestamp>,
}

/// What goes with a file for a meeting that is there.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct ImportIntoParams {
    /// The file's name; its ending tells the format where the content does not.
    #[param(min_length = 1, max_length = 255)]
    file_name: Option<String>,
    /// The format; found out when absent.
    #[param(inline)]
    format: Option<FormatParam>,
}

/// What an import made.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ImportView {
    /// The meeting.
    meeting: Meeting,
    /// How many segments came.
    segments: usize,
    /// How many participants came, you included.
    participants: usize,
}

impl From<Imported> for ImportView {
    fn from(imported: Imported) -> Self {
        Self {
            meeting: imported.meeting,
            segments: imported.segments,
            participants: imported.participants,
        }
    }
}

/// The transcript in the order it was said, or, with `format`, as a file.
#[utoipa::path(get, path = "/api/meetings/{id}/transcript", tag = "transcript", operation_id = "transcript_list", params(("id" = MeetingId, Path), TranscriptParams, PageParams),
    responses((status = 200, description = "A page; or, with `format`, the file itself", content(
        (TranscriptView = "application/json"), (String = "text/vtt"), (String = "application/x-subrip"), (String = "text/plain"), (String = "text/markdown")))))]
async fn list(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    Query(params): Query<TranscriptParams>,
    Query(page): Query<PageParams>,
) -> Result<Response, Failure> {
    if let Some(format) = params.format {
        let file = app.transcript_export(&ctx, id, format.into()).await?;
        let disposition = format!("attachment; filename=\"{}\"", file.name);
        let headers = [
            (header::CONTENT_TYPE, file.media_type.to_owned()),
            (header::CONTENT_DISPOSITION, disposition),
        ];
        return Ok((headers, file.body).into_response());
    }
    let filter = SegmentFilter {
        from_ms: params.from_ms,
        to_ms: params.to_ms,
        speaker: params.speaker,
        is_final: params.is_final,
    };
    let page = app
        .transcript_list(&ctx, id, filter, &page.query()?)
        .await?;
    Ok(Reply::ok(page).into_response())
}

/// Add what was said: one segment, or up to 500, all or none.
#[utoipa::path(post, path = "/api/meetings/{id}/transcript", tag = "transcript", operation_id = "transcript_post", params(("id" = MeetingId, Path)), request_body = SegmentsBody,
    responses((status = 201, description = "At least one is new", body = Envelope<SegmentsView>), (status = 200, description = "All were known: drafts updated, or repeats", body = Envelope<SegmentsView>)))]
async fn post(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    Json(body): Json<SegmentsBody>,
) -> Outcome<SegmentsView> {
    let (new, one) = match body {
        SegmentsBody::One(body) => (vec![segment_new(*body)], true),
        SegmentsBody::Many(list) => (list.into_iter().map(segment_new).collect(), false),
    };
    let posted = app.transcript_post(&ctx, id, new).await?;
    let added = posted.iter().any(|posted| posted.added);
    let path = format!("/api/meetings/{id}/transcript");
    let mut segments = posted
        .into_iter()
        .map(|SegmentPosted { segment, .. }| segment);
    let (path, view) = match (one, segments.next()) {
        (true, Some(segment)) => (
            format!("{path}/{}", segment.id),
            SegmentsView::One(Box::new(segment)),
        ),
        (_, first) => (
            path,
            SegmentsView::Many {
                items: first.into_iter().chain(segments).collect(),
            },
        ),
    };
    Ok(if added {
        Reply::created(path, view)
    } else {
        Reply::ok(view)
    })
}

fn segment_new(body: SegmentBody) -> SegmentNew {
    SegmentNew {
        speaker: body.speaker,
        text: body.text,
        start_ms: body.start_ms,
        end_ms: body.end_ms,
        confidence: body.confidence,
        language: body.language,
        is_final: body.is_final,
        external_id: body.external_id,
    }
}

/// One segment.
#[utoipa::path(get, path = "/api/meetings/{id}/transcript/{segment_id}", tag = "transcript", operation_id = "segment_get", params(("id" = MeetingId, Path), ("segment_id" = SegmentId, Path)),
    responses((status = 200, body = Envelope<Segment>)))]
async fn get(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path((id, segment_id)): Path<(MeetingId, SegmentId)>,
) -> Outcome<Segment> {
    let segment = app.segment_get(&ctx, id, segment_id).await?;
    let version = segment.version;
    Ok(Reply::ok(segment).etag(version))
}

/// Correct a segment; what was derived from it is marked as stale. With `If-Match`, only if
/// nobody changed it since.
#[utoipa::path(patch, path = "/api/meetings/{id}/transcript/{segment_id}", tag = "transcript", operation_id = "segment_correct", params(("id" = MeetingId, Path), ("segment_id" = SegmentId, Path), IfMatch),
    request_body = SegmentPatchBody, responses((status = 200, body = Envelope<Segment>)))]
async fn correct(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path((id, segment_id)): Path<(MeetingId, SegmentId)>,
    IfMatch(expected): IfMatch,
    Json(body): Json<SegmentPatchBody>,
) -> Outcome<Segment> {
    let patch = SegmentPatch {
        text: body.text,
        speaker: body.speaker,
        start_ms: body.start_ms,
        end_ms: body.end_ms,
    };
    let segment = app
        .segment_correct(&ctx, id, segment_id, patch, expected)
        .await?;
    let version = segment.version;
    Ok(Reply::ok(segment).etag(version))
}

/// What a segment was before each correction, who corrected it and when, oldest first. One's own,
/// and for who runs the meeting everybody's. An erased segment has no history.
#[utoipa::path(get, path = "/api/meetings/{id}/transcript/{segment_id}/history", tag = "transcript", operation_id = "segment_history", params(("id" = MeetingId, Path), ("segment_id" = SegmentId, Path), PageParams),
    responses((status = 200, body = Envelope<Page<SegmentChange>>)))]
async fn history(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path((id, segment_id)): Path<(MeetingId, SegmentId)>,
    Query(page): Query<PageParams>,
) -> Outcome<Page<SegmentChange>> {
    let page = page.query()?;
    Ok(Reply::ok(
        app.segment_history(&ctx, id, segment_id, &page).await?,
    ))
}

/// Erase a segment with every copy of its words: derived notes, memories, quoting answers, events.
#[utoipa::path(delete, path = "/api/meetings/{id}/transcript/{segment_id}", tag = "transcript", operation_id = "segment_erase", params(("id" = MeetingId, Path), ("segment_id" = SegmentId, Path)),
    responses((status = 200, body = Envelope<SegmentErased>)))]
async fn erase(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path((id, segment_id)): Path<(MeetingId, SegmentId)>,
) -> Outcome<SegmentErased> {
    Ok(Reply::ok(app.segment_erase(&ctx, id, segment_id).await?))
}

/// Make an ended meeting of a transcript file (JSON, WebVTT, SRT, text, Markdown; up to 20 MB).
/// Its speakers become participants by name; its notes are queued.
#[utoipa::path(post, path = "/api/meetings/import", tag = "transcript", operation_id = "meeting_import", params(ImportParams),
    request_body(content((String = "text/plain"), (String = "text/vtt"), (String = "application/x-subrip"), (String = "text/markdown"), (String = "application/json"), (String = "application/octet-stream")), description = "The file"),
    responses((status = 201, body = Envelope<ImportView>)))]
async fn import(
    State(app): State<App>,
    Caller(ctx): Caller,
    Query(params): Query<ImportParams>,
    headers: HeaderMap,
    bytes: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Outcome<ImportView> {
    let new = ImportNew {
        format: format(params.format, &headers),
        file_name: params.file_name,
        title: params.title,
        series_id: params.series_id,
        starts_at: params.starts_at,
    };
    let imported = app.meeting_import(&ctx, &whole(bytes)?, new).await?;
    let version = imported.meeting.version;
    let path = format!("/api/meetings/{}", imported.meeting.id);
    Ok(Reply::created(path, imported.into()).etag(version))
}

/// Add a transcript file to a meeting that is there; for its host. All or nothing.
#[utoipa::path(post, path = "/api/meetings/{id}/import", tag = "transcript", operation_id = "transcript_import", params(("id" = MeetingId, Path), ImportIntoParams),
    request_body(content((String = "text/plain"), (String = "text/vtt"), (String = "application/x-subrip"), (String = "text/markdown"), (String = "application/json"), (String = "application/octet-stream")), description = "The file"),
    responses((status = 201, body = Envelope<ImportView>)))]
async fn import_into(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    Query(params): Query<ImportIntoParams>,
    headers: HeaderMap,
    bytes: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Outcome<ImportView> {
    let new = ImportNew {
        format: format(params.format, &headers),
        file_name: params.file_name,
        ..ImportNew::default()
    };
    let imported = app.transcript_import(&ctx, id, &whole(bytes)?, new).await?;
    let path = format!("/api/meetings/{id}/transcript");
    Ok(Reply::created(path, imported.into()))
}

/// The format that was named. Plain text is what many clients call any file, so it decides nothing.
fn format(param: Option<FormatParam>, headers: &HeaderMap) -> Option<Format> {
    let named = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(Format::from_content_type)
        .filter(|format| *format != Format::Txt);
    param.map(Format::from).or(named)
}

fn whole(bytes: Result<Bytes, axum::extract::rejection::BytesRejection>) -> Result<Bytes, Failure> {
    bytes.map_err(|rejection| {
        match rejection.status() {
            axum::http::StatusCode::PAYLOAD_TOO_LARGE => {
                Error::new(Code::PayloadTooLarge, "the file is larger than 20 MB")
            }
            _ => Error::new(Code::BadRequest, "the body could not be read"),
        }
        .into()
    })
}
