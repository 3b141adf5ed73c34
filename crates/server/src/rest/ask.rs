//! `/api/ask` and `/api/meetings/{id}/ask`: questions, answered in one piece or as a stream.

use std::convert::Infallible;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use meetmind_app::{Answer, App, AskScope};
use meetmind_core::{Error, MeetingId, SeriesId};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Caller, Json, Path};
use crate::reply::{Envelope, Failure, Reply};

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(meeting_ask))
        .routes(routes!(ask))
}

/// A question about one meeting.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct QuestionBody {
    /// The question.
    #[schema(min_length = 1, max_length = 2000)]
    question: String,
}

/// A question, and where to look.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct AskBody {
    /// The question.
    #[schema(min_length = 1, max_length = 2000)]
    question: String,
    /// All your meetings, when absent.
    scope: Option<AskScopeBody>,
}

/// Where to look: exactly one of the three.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct AskScopeBody {
    /// In one meeting.
    meeting_id: Option<MeetingId>,
    /// In the meetings of a series that you take part in.
    series_id: Option<SeriesId>,
    /// In all your meetings.
    all: Option<bool>,
}

impl AskScopeBody {
    fn scope(&self) -> Result<AskScope, Failure> {
        match (self.meeting_id, self.series_id, self.all.unwrap_or(false)) {
            (Some(id), None, false) => Ok(AskScope::Meeting(id)),
            (None, Some(id), false) => Ok(AskScope::Series(id)),
            (None, None, true) => Ok(AskScope::All),
            _ => Err(
                Error::invalid("scope", "give exactly one of meeting_id, series_id, all").into(),
            ),
        }
    }
}

/// Ask about one meeting. Nothing found is an answer: `found` is false and `text` empty. With
/// `Accept: text/event-stream` it streams `citation`, `text` and at the end `done`.
#[utoipa::path(post, path = "/api/meetings/{id}/ask", tag = "ask", params(("id" = MeetingId, Path)), request_body = QuestionBody, responses((status = 200, body = Envelope<Answer>)))]
async fn meeting_ask(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    headers: HeaderMap,
    Json(body): Json<QuestionBody>,
) -> Result<Response, Failure> {
    let answer = app.ask(&ctx, &body.question, AskScope::Meeting(id)).await?;
    Ok(told(answer, &headers))
}

/// Ask about your meetings. Nothing found is an answer: `found` is false and `text` empty. With
/// `Accept: text/event-stream` it streams `citation`, `text` and at the end `done`.
#[utoipa::path(post, path = "/api/ask", tag = "ask", request_body = AskBody, responses((status = 200, body = Envelope<Answer>)))]
async fn ask(
    State(app): State<App>,
    Caller(ctx): Caller,
    headers: HeaderMap,
    Json(body): Json<AskBody>,
) -> Result<Response, Failure> {
    let scope = match &body.scope {
        Some(scope) => scope.scope()?,
        None => AskScope::All,
    };
    let answer = app.ask(&ctx, &body.question, scope).await?;
    Ok(told(answer, &headers))
}

fn told(answer: Answer, headers: &HeaderMap) -> Response {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    let streams = accept.is_some_and(|accept| {
        accept.split(',').any(|kind| {
            kind.trim()
                .to_ascii_lowercase()
                .starts_with("text/event-stream")
        })
    });
    if !streams {
        return Reply::ok(answer).into_response();
    }
    let mut events = Vec::new();
    for citation in &answer.citations {
        events.push(event("citation", citation));
    }
    for line in answer.text.split_inclusive('\n') {
        events.push(event("text", &serde_json::json!({ "text": line })));
    }
    events.push(event("done", &answer));
    Sse::new(stream::iter(events)).into_response()
}

fn event(name: &str, data: &impl Serialize) -> Result<Event, Infallible> {
    let data = serde_json::to_string(data).unwrap_or_else(|_| "null".to_owned());
    Ok(Event::default().event(name).data(data))
}
