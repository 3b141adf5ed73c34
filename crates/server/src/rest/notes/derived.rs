//! `/api/meetings/{id}/summary`, `/topics`, `/insights`; `/api/topics`.

use axum::extract::State;
use meetmind_app::{App, Insights, NotesPersona, SummaryLineNew, SummaryPatch, SummaryView};
use meetmind_core::{MeetingId, Page, SegmentId, SeriesId, Topic, TopicId};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Caller, IfMatch, Json, PageParams, Path, Query};
use crate::reply::{Envelope, Outcome, Reply};

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(summary_get, summary_regenerate, summary_update))
        .routes(routes!(topic_list, topic_regenerate))
        .routes(routes!(topic_relabel))
        .routes(routes!(topic_search))
        .routes(routes!(insights_get, insights_regenerate))
}

/// How a summary is wanted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct SummaryParams {
    /// Adds `view`: the same items as this role reads them.
    #[param(inline)]
    persona: Option<NotesPersona>,
}

/// Other words for the summary: absent stays.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct SummaryPatchBody {
    /// One line: what the meeting was about.
    #[schema(min_length = 1, max_length = 300)]
    headline: Option<String>,
    /// All lines anew, in their order.
    #[schema(max_items = 50)]
    lines: Option<Vec<SummaryLineBody>>,
    /// Whether passes over the transcript leave it as it stands; writing sets it. `false` gives
    /// the summary back: it is made anew at once.
    edited: Option<bool>,
}

/// A line of the summary.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct SummaryLineBody {
    #[schema(min_length = 1, max_length = 1000)]
    text: String,
    /// Final segments of the meeting that it rests on.
    #[schema(min_items = 1, max_items = 100)]
    segment_ids: Vec<SegmentId>,
}

/// Another label for a topic.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct TopicPatchBody {
    /// Kept by later passes.
    #[schema(min_length = 1, max_length = 200)]
    label: String,
}

/// What narrows the list of topics.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct TopicListParams {
    /// With these characters in the label.
    #[param(min_length = 1, max_length = 200)]
    q: Option<String>,
    /// Only of this meeting.
    meeting_id: Option<MeetingId>,
    /// Only of this series.
    series_id: Option<SeriesId>,
}

/// The summary of a meeting. `summary` is `null` until the first pass; each line is a quotation
/// with its segments, and `engine_note` says what made it.
#[utoipa::path(get, path = "/api/meetings/{id}/summary", tag = "notes", params(("id" = MeetingId, Path), SummaryParams), responses((status = 200, body = Envelope<SummaryView>)))]
async fn summary_get(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    Query(params): Query<SummaryParams>,
) -> Outcome<SummaryView> {
    let view = app.summary_get(&ctx, id, params.persona).await?;
    let version = view.summary.as_ref().map_or(0, |summary| summary.version);
    Ok(Reply::ok(view).etag(version))
}

/// Make the notes of a meeting anew, now, and give the summary.
#[utoipa::path(post, path = "/api/meetings/{id}/summary", tag = "notes", params(("id" = MeetingId, Path), SummaryParams), responses((status = 200, body = Envelope<SummaryView>)))]
async fn summary_regenerate(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    Query(params): Query<SummaryParams>,
) -> Outcome<SummaryView> {
    app.notes_regenerate(&ctx, id).await?;
    Ok(Reply::ok(app.summary_get(&ctx, id, params.persona).await?))
}

/// Edit the summary of a meeting, or leave it to the notes again. A line is a quotation, with its
/// speaker, when its words stand in the first segment it cites. With `If-Match`, only if it did not
/// change since.
#[utoipa::path(patch, path = "/api/meetings/{id}/summary", tag = "notes", params(("id" = MeetingId, Path), IfMatch), request_body = SummaryPatchBody, responses((status = 200, body = Envelope<SummaryView>)))]
async fn summary_update(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    IfMatch(expected): IfMatch,
    Json(body): Json<SummaryPatchBody>,
) -> Outcome<SummaryView> {
    let lines = body.lines.map(|lines| {
        let line = |line: SummaryLineBody| SummaryLineNew {
            text: line.text,
            segment_ids: line.segment_ids,
        };
        lines.into_iter().map(line).collect()
    });
    let patch = SummaryPatch {
        headline: body.headline,
        lines,
        edited: body.edited,
    };
    let view = app.summary_update(&ctx, id, patch, expected).await?;
    let version = view.summary.as_ref().map_or(0, |summary| summary.version);
    Ok(Reply::ok(view).etag(version))
}

/// The topics of a meeting, in order.
#[utoipa::path(get, path = "/api/meetings/{id}/topics", tag = "notes", params(("id" = MeetingId, Path), PageParams), responses((status = 200, body = Envelope<Page<Topic>>)))]
async fn topic_list(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    Query(page): Query<PageParams>,
) -> Outcome<Page<Topic>> {
    Ok(Reply::ok(app.topic_list(&ctx, id, &page.query()?).await?))
}

/// Make the notes of a meeting anew, now, and give its topics.
#[utoipa::path(post, path = "/api/meetings/{id}/topics", tag = "notes", params(("id" = MeetingId, Path), PageParams), responses((status = 200, body = Envelope<Page<Topic>>)))]
async fn topic_regenerate(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    Query(page): Query<PageParams>,
) -> Outcome<Page<Topic>> {
    let page = page.query()?;
    app.notes_regenerate(&ctx, id).await?;
    Ok(Reply::ok(app.topic_list(&ctx, id, &page).await?))
}

/// Give a topic another label.
#[utoipa::path(patch, path = "/api/meetings/{id}/topics/{topic_id}", tag = "notes", params(("id" = MeetingId, Path), ("topic_id" = TopicId, Path)), request_body = TopicPatchBody, responses((status = 200, body = Envelope<Topic>)))]
async fn topic_relabel(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path((id, topic_id)): Path<(MeetingId, TopicId)>,
    Json(body): Json<TopicPatchBody>,
) -> Outcome<Topic> {
    let topic = app.topic_relabel(&ctx, id, topic_id, &body.label).await?;
    Ok(Reply::ok(topic))
}

/// The topics of your meetings, newest first.
#[utoipa::path(get, path = "/api/topics", tag = "notes", params(TopicListParams, PageParams), responses((status = 200, body = Envelope<Page<Topic>>)))]
async fn topic_search(
    State(app): State<App>,
    Caller(ctx): Caller,
    Query(params): Query<TopicListParams>,
    Query(page): Query<PageParams>,
) -> Outcome<Page<Topic>> {
    let page = page.query()?;
    let found = app
        .topic_search(
            &ctx,
            params.meeting_id,
            params.series_id,
            params.q.as_deref(),
            &page,
        )
        .await?;
    Ok(Reply::ok(found))
}

/// Who spoke how much, and which questions stayed open.
#[utoipa::path(get, path = "/api/meetings/{id}/insights", tag = "notes", params(("id" = MeetingId, Path)), responses((status = 200, body = Envelope<Insights>)))]
async fn insights_get(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
) -> Outcome<Insights> {
    Ok(Reply::ok(app.insights_get(&ctx, id).await?))
}

/// Make the notes of a meeting anew, now, and give the insights.
#[utoipa::path(post, path = "/api/meetings/{id}/insights", tag = "notes", params(("id" = MeetingId, Path)), responses((status = 200, body = Envelope<Insights>)))]
async fn insights_regenerate(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
) -> Outcome<Insights> {
    app.notes_regenerate(&ctx, id).await?;
    Ok(Reply::ok(app.insights_get(&ctx, id).await?))
}
