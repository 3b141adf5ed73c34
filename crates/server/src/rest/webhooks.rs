//! `/api/webhooks` and what goes to them.

use axum::extract::State;
use meetmind_app::{App, WebhookNew, WebhookPatch};
use meetmind_core::{Delivery, DeliveryAttempt, DeliveryId, EventKind, Page, Webhook, WebhookId};
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{Array, ArrayBuilder, ObjectBuilder, SchemaType, Type};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Caller, Json, PageParams, Path, Query};
use crate::reply::{Envelope, Outcome, Reply};

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
        .routes(routes!(rotate_secret))
        .routes(routes!(test))
        .routes(routes!(list_deliveries))
        .routes(routes!(get_delivery))
        .routes(routes!(replay))
}

/// A list of event types, or `*` for all.
fn event_names() -> Array {
    let names = EventKind::ALL.iter().map(|kind| kind.as_str());
    let name = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(names.chain(["*"])));
    ArrayBuilder::new()
        .items(name)
        .min_items(Some(1))
        .max_items(Some(EventKind::ALL.len() + 1))
        .examples([serde_json::json!(["meeting.ended", "summary.updated"])])
        .build()
}

/// The same, or null.
fn event_names_patch() -> Array {
    let mut names = event_names();
    names.schema_type = SchemaType::from_iter([Type::Array, Type::Null]);
    names
}

/// A new webhook.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct WebhookBody {
    /// An `http` or `https` address without user and password.
    #[schema(
        min_length = 1,
        max_length = 2048,
        pattern = "^https?://[!-~]+$",
        example = "https://example.com/meetmind"
    )]
    url: String,
    /// Event types such as `meeting.ended`, or `*` for all.
    #[schema(schema_with = event_names)]
    events: Vec<String>,
}

/// Changes: absent stays.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct WebhookPatchBody {
    /// Another address.
    #[schema(
        min_length = 1,
        max_length = 2048,
        pattern = "^https?://[!-~]+$",
        example = "https://example.com/meetmind"
    )]
    url: Option<String>,
    /// Other event types.
    #[schema(schema_with = event_names_patch)]
    events: Option<Vec<String>>,
    /// On or off; switching it on forgets that it failed.
    enabled: Option<bool>,
}

/// A webhook with its secret, which is shown only now.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct WebhookSecretView {
    #[serde(flatten)]
    webhook: Webhook,
    /// Signs what is sent, as Standard Webhooks has it.
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    secret: String,
}

/// A delivery and its tries.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct DeliveryView {
    #[serde(flatten)]
    delivery: Delivery,
    /// The tries, newest first.
    tries: Vec<DeliveryAttempt>,
}

/// Your webhooks, newest first.
#[utoipa::path(get, path = "/api/webhooks", tag = "webhooks", params(PageParams), responses((status = 200, body = Envelope<Page<Webhook>>)))]
async fn list(
    State(app): State<App>,
    Caller(ctx): Caller,
    Query(page): Query<PageParams>,
) -> Outcome<Page<Webhook>> {
    Ok(Reply::ok(app.webhook_list(&ctx, &page.query()?).await?))
}

/// Make a webhook. Its secret is shown only in this answer.
///
/// It hears of your own events and of those of the meetings you take part in. What is sent is
/// signed as Standard Webhooks has it (`webhook-id`, `webhook-timestamp`, `webhook-signature`),
/// and tried again after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h and 10 h until the endpoint answers
/// with 2xx. After five days of nothing but failures, or `410 Gone`, the webhook is switched off.
#[utoipa::path(post, path = "/api/webhooks", tag = "webhooks", request_body = WebhookBody, responses((status = 201, body = Envelope<WebhookSecretView>)))]
async fn create(
    State(app): State<App>,
    Caller(ctx): Caller,
    Json(body): Json<WebhookBody>,
) -> Outcome<WebhookSecretView> {
    let new = WebhookNew {
        url: body.url,
        events: body.events,
    };
    let (webhook, secret) = app.webhook_create(&ctx, new).await?;
    let location = format!("/api/webhooks/{}", webhook.id);
    Ok(Reply::created(location, WebhookSecretView { webhook, secret }).secret())
}

/// One webhook.
#[utoipa::path(get, path = "/api/webhooks/{id}", tag = "webhooks", params(("id" = WebhookId, Path)), responses((status = 200, body = Envelope<Webhook>)))]
async fn get(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<WebhookId>,
) -> Outcome<Webhook> {
    Ok(Reply::ok(app.webhook_get(&ctx, id).await?))
}

/// Change a webhook.
#[utoipa::path(patch, path = "/api/webhooks/{id}", tag = "webhooks", params(("id" = WebhookId, Path)), request_body = WebhookPatchBody, responses((status = 200, body = Envelope<Webhook>)))]
async fn update(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<WebhookId>,
    Json(body): Json<WebhookPatchBody>,
) -> Outcome<Webhook> {
    let patch = WebhookPatch {
        url: body.url,
        events: body.events,
        enabled: body.enabled,
    };
    Ok(Reply::ok(app.webhook_update(&ctx, id, patch).await?))
}

/// Delete a webhook and what is on its way to it.
#[utoipa::path(delete, path = "/api/webhooks/{id}", tag = "webhooks", params(("id" = WebhookId, Path)), responses((status = 200, body = Envelope<Webhook>)))]
async fn delete(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<WebhookId>,
) -> Outcome<Webhook> {
    Ok(Reply::ok(app.webhook_delete(&ctx, id).await?))
}

/// Replace the secret. The old one signs nothing from now on.
#[utoipa::path(post, path = "/api/webhooks/{id}/rotate-secret", tag = "webhooks", params(("id" = WebhookId, Path)), responses((status = 200, body = Envelope<WebhookSecretView>)))]
async fn rotate_secret(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<WebhookId>,
) -> Outcome<WebhookSecretView> {
    let (webhook, secret) = app.webhook_secret_rotate(&ctx, id).await?;
    Ok(Reply::ok(WebhookSecretView { webhook, secret }).secret())
}

/// Send a `webhook.tested` event to it.
#[utoipa::path(post, path = "/api/webhooks/{id}/test", tag = "webhooks", params(("id" = WebhookId, Path)), responses((status = 202, body = Envelope<Delivery>)))]
async fn test(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<WebhookId>,
) -> Outcome<Delivery> {
    Ok(Reply::accepted(app.webhook_test(&ctx, id).await?))
}

/// What went to it, newest first; kept for 30 days.
#[utoipa::path(get, path = "/api/webhooks/{id}/deliveries", tag = "webhooks", params(("id" = WebhookId, Path), PageParams), responses((status = 200, body = Envelope<Page<Delivery>>)))]
async fn list_deliveries(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<WebhookId>,
    Query(page): Query<PageParams>,
) -> Outcome<Page<Delivery>> {
    Ok(Reply::ok(
        app.delivery_list(&ctx, id, &page.query()?).await?,
    ))
}

/// One delivery with its tries.
#[utoipa::path(get, path = "/api/webhooks/{id}/deliveries/{delivery_id}", tag = "webhooks", params(("id" = WebhookId, Path), ("delivery_id" = DeliveryId, Path)), responses((status = 200, body = Envelope<DeliveryView>)))]
async fn get_delivery(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path((id, delivery_id)): Path<(WebhookId, DeliveryId)>,
) -> Outcome<DeliveryView> {
    let (delivery, tries) = app.delivery_get(&ctx, id, delivery_id).await?;
    Ok(Reply::ok(DeliveryView { delivery, tries }))
}

/// Try a delivery again now, under the same id.
#[utoipa::path(post, path = "/api/webhooks/{id}/deliveries/{delivery_id}/replay", tag = "webhooks", params(("id" = WebhookId, Path), ("delivery_id" = DeliveryId, Path)), responses((status = 202, body = Envelope<Delivery>)))]
async fn replay(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path((id, delivery_id)): Path<(WebhookId, DeliveryId)>,
) -> Outcome<Delivery> {
    Ok(Reply::accepted(
        app.delivery_replay(&ctx, id, delivery_id).await?,
    ))
}
