//! Background work that survives a restart.

use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use crate::text_enum::text_enum;
use crate::{JobId, Timestamp, WebhookId};

text_enum! {
    /// What a job does. Handlers are idempotent: a job can run twice.
    JobKind {
        /// The final note pass after a meeting's end.
        NotesFinal = "notes_final",
        /// Keep memories from a meeting that ended.
        Remember = "remember",
        /// Send a webhook delivery.
        Deliver = "deliver",
        /// Send the webhooks of one room to one address, in LiveKit's format.
        RoomWebhook = "room_webhook",
        /// Remove files that were marked for it.
        RemoveFiles = "remove_files",
        /// Daily: expired memories, archived meetings, old events and keys.
        Cleanup = "cleanup",
    }
}

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow)]
pub struct Job {
    /// The id.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// Of a delivery, and only of one: its endpoint, which has a few places at a time.
    pub webhook_id: Option<WebhookId>,
    /// What it needs for that.
    #[sqlx(json)]
    pub payload: serde_json::Value,
    /// Not before this moment.
    pub run_at: Timestamp,
    /// How often it was tried.
    pub attempts: i64,
    /// After so many tries it stays failed.
    pub max_attempts: i64,
    /// At most one waiting job per key.
    pub dedupe_key: Option<String>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
}
