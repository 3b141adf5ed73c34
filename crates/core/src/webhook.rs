//! Webhooks and what became of each delivery.

use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use crate::text_enum::text_enum;
use crate::{AttemptId, DeliveryId, Timestamp, UserId, WebhookId};

/// An endpoint that wants events, without its secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow, utoipa::ToSchema)]
pub struct Webhook {
    /// The id.
    pub id: WebhookId,
    /// Whose it is.
    pub user_id: UserId,
    /// Where events go.
    pub url: String,
    /// Which event types; `*` for all.
    #[sqlx(json)]
    pub events: Vec<String>,
    /// Whether events go out.
    pub enabled: bool,
    /// When it was switched off because it kept failing.
    pub disabled_at: Option<Timestamp>,
    /// Since when every attempt failed.
    pub failing_since: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

text_enum! {
    /// Where a delivery stands.
    DeliveryStatus {
        /// To be tried (again).
        Pending = "pending",
        /// The endpoint answered with 2xx.
        Delivered = "delivered",
        /// All tries failed.
        Failed = "failed",
    }
}

/// One event on its way to one endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow, utoipa::ToSchema)]
pub struct Delivery {
    /// The id; the `webhook-id` header.
    pub id: DeliveryId,
    /// The endpoint.
    pub webhook_id: WebhookId,
    /// The event's type.
    pub event_type: String,
    /// The body that is sent.
    #[sqlx(json)]
    #[schema(value_type = Object)]
    pub payload: serde_json::Value,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// How often it was tried.
    pub attempts: i64,
    /// When it is tried next.
    pub next_attempt_at: Option<Timestamp>,
    /// When the event happened.
    pub created_at: Timestamp,
    /// When the row last changed.
    pub updated_at: Timestamp,
}

/// One try.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow, utoipa::ToSchema)]
pub struct DeliveryAttempt {
    /// The id.
    pub id: AttemptId,
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// The HTTP status of the answer, if one came.
    pub status_code: Option<i64>,
    /// What went wrong, if no answer came.
    pub error: Option<String>,
    /// How long it took, in milliseconds.
    pub duration_ms: i64,
    /// When.
    pub at: Timestamp,
}
