//! `/api/search`.

use axum::extract::State;
use meetmind_app::{App, SearchAnswer, SearchKind, SearchQuery};
use meetmind_core::{Error, MeetingId, PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX, SeriesId, Timestamp};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Caller, Query};
use crate::reply::{Envelope, Failure, Outcome, Reply};

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(search))
}

/// What to look for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct SearchParams {
    /// Words; no letter is an operator, and the last word may be a beginning.
    #[param(min_length = 1, max_length = 500)]
    q: String,
    /// Kinds with commas between: `segment`, `message`, `topic`, `action`, `decision`, `memory`;
    /// all when absent.
    #[param(
        max_length = 200,
        pattern = "^ *(segment|message|topic|action|decision|memory)?( *, *(segment|message|topic|action|decision|memory)?)* *$"
    )]
    kinds: Option<String>,
    /// Only in this meeting.
    meeting_id: Option<MeetingId>,
    /// Only in meetings of this series.
    series_id: Option<SeriesId>,
    /// Only in meetings that were at or after.
    from: Option<Timestamp>,
    /// Only in meetings that were before.
    to: Option<Timestamp>,
    /// Only said, written or owned by this name.
    #[param(min_length = 1, max_length = 120)]
    speaker: Option<String>,
    /// Hits, 1 to 100; 50 when absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
}

/// Search what was said, written, noted and remembered, where you took part.
#[utoipa::path(get, path = "/api/search", tag = "search", operation_id = "search", params(SearchParams), responses((status = 200, body = Envelope<SearchAnswer>)))]
async fn search(
    State(app): State<App>,
    Caller(ctx): Caller,
    Query(params): Query<SearchParams>,
) -> Outcome<SearchAnswer> {
    let limit = params.limit.unwrap_or(PAGE_LIMIT_DEFAULT);
    if !(1..=PAGE_LIMIT_MAX).contains(&limit) {
        return Err(Error::invalid("limit", "must be 1 to 100").into());
    }
    let query = SearchQuery {
        text: params.q,
        kinds: kinds(params.kinds.as_deref())?,
        meeting_id: params.meeting_id,
        series_id: params.series_id,
        from: params.from,
        to: params.to,
        speaker: params.speaker,
        limit,
    };
    Ok(Reply::ok(app.search(&ctx, query).await?))
}

fn kinds(list: Option<&str>) -> Result<Vec<SearchKind>, Failure> {
    let mut kinds = Vec::new();
    for word in list.unwrap_or_default().split(',').map(str::trim) {
        if word.is_empty() {
            continue;
        }
        let word: serde::de::value::StrDeserializer<'_, serde::de::value::Error> =
            word.into_deserializer();
        let kind = SearchKind::deserialize(word)
            .map_err(|error| Error::invalid("kinds", error.to_string()))?;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}
