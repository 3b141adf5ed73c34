//! `/api/meetings/{id}/messages`: chat.

use axum::extract::State;
use meetmind_app::{App, MessageNew, MessageOrder};
use meetmind_core::{MeetingId, Message, MessageId, MessageKind, Page};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Caller, Json, PageParams, Path, Query};
use crate::reply::{Envelope, Outcome, Reply};

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, post))
}

/// A message to post.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct MessageBody {
    /// The words, or a typed command; at most 16,000 bytes.
    #[schema(
        min_length = 1,
        max_length = 16000,
        pattern = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"
    )]
    text: String,
    /// The message it answers, of the same meeting.
    reply_to: Option<MessageId>,
}

/// From which end to read.
#[derive(Debug, Clone, Copy, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum Order {
    /// From the oldest on.
    #[default]
    Asc,
    /// From the newest back.
    Desc,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct MessageListParams {
    /// `asc` (the default) from the oldest message on, `desc` from the newest back.
    #[param(inline)]
    order: Option<Order>,
}

/// The chat, also after the meeting's end.
#[utoipa::path(get, path = "/api/meetings/{id}/messages", tag = "chat", params(("id" = MeetingId, Path), MessageListParams, PageParams), responses((status = 200, body = Envelope<Page<Message>>)))]
async fn list(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    Query(params): Query<MessageListParams>,
    Query(page): Query<PageParams>,
) -> Outcome<Page<Message>> {
    let order = match params.order.unwrap_or_default() {
        Order::Asc => MessageOrder::OldestFirst,
        Order::Desc => MessageOrder::NewestFirst,
    };
    let messages = app.message_list(&ctx, id, order, &page.query()?).await?;
    Ok(Reply::ok(messages))
}

/// Post a message. A typed command in it is carried out and answered with a notice.
#[utoipa::path(post, path = "/api/meetings/{id}/messages", tag = "chat", params(("id" = MeetingId, Path)), request_body = MessageBody, responses((status = 201, body = Envelope<Message>)))]
async fn post(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    Json(body): Json<MessageBody>,
) -> Outcome<Message> {
    let new = MessageNew {
        kind: MessageKind::Text,
        text: body.text,
        reply_to: body.reply_to,
        segment_ids: Vec::new(),
    };
    let message = app.message_post(&ctx, id, new).await?;
    Ok(Reply::created(
        format!("/api/meetings/{id}/messages"),
        message,
    ))
}
