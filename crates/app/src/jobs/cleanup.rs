//! The daily clean-up: what the settings say is kept no longer.

use std::time::Duration;

use meetmind_core::{Ctx, JobKind, Result};
use serde_json::json;

use crate::App;

/// How often it runs.
pub(super) const CLEANUP_EVERY: Duration = Duration::from_secs(86_400);
/// Answers under an idempotency key are kept this long.
const IDEMPOTENCY_KEPT: Duration = Duration::from_secs(86_400);
/// Jobs that were given up are kept this long, for the operator to see.
const FAILED_JOBS_KEPT: Duration = Duration::from_secs(30 * 86_400);
/// Webhook deliveries are kept this long, for their owner to see and replay.
const DELIVERIES_KEPT: Duration = Duration::from_secs(30 * 86_400);
/// LiveKit's webhooks that nobody took are kept this long.
const ROOM_WEBHOOKS_KEPT: Duration = Duration::from_secs(2 * 86_400);
/// Rows of one kind per transaction: the single writer of SQLite must not be held for long.
const BATCH: i64 = 100;
/// Transactions per kind and day; what is left over waits for the next day.
const BATCHES_MAX: usize = 1000;

impl App {
    /// Queues the daily clean-up, unless it waits already.
    pub(crate) async fn cleanup_queue(&self, ctx: &Ctx) -> Result<()> {
        let mut change = self.change(ctx).await?;
        let key = Some("cleanup".to_owned());
        self.job_queue(&mut change, ctx, JobKind::Cleanup, json!({}), ctx.now, key)
            .await?;
        change.commit().await
    }

    /// Deletes old events, answers and recordings, and erases meetings that were deleted long ago.
    pub(super) async fn cleanup(&self, ctx: &Ctx) -> Result<()> {
        self.events_trim(ctx).await?;
        let before = ctx.now.minus(self.settings().archive_retention);
        self.meetings_erase_archived(ctx, before).await?;
        let mut tx = self.store().begin().await?;
        tx.idempotency_trim(ctx.now.minus(IDEMPOTENCY_KEPT)).await?;
        tx.job_trim_failed(ctx.now.minus(FAILED_JOBS_KEPT)).await?;
        tx.delivery_trim(ctx.now.minus(DELIVERIES_KEPT)).await?;
        tx.room_webhook_trim(ctx.now.minus(ROOM_WEBHOOKS_KEPT))
            .await?;
        tx.commit().await?;
        self.memories_trim(ctx).await?;
        self.recordings_trim(ctx).await?;
        self.auth_trim().await?;
        Ok(())
    }

    async fn memories_trim(&self, ctx: &Ctx) -> Result<()> {
        for _ in 0..BATCHES_MAX {
            let mut tx = self.store().begin().await?;
            let expired = tx.memory_delete_expired(ctx.now, BATCH).await?;
            let outlived = tx.memory_delete_retention(ctx.now, BATCH).await?;
            tx.commit().await?;
            if expired + outlived == 0 {
                break;
            }
        }
        Ok(())
    }

    async fn events_trim(&self, ctx: &Ctx) -> Result<()> {
        let before = ctx.now.minus(self.settings().event_retention);
        for _ in 0..BATCHES_MAX {
            let mut tx = self.store().begin().await?;
            let deleted = tx.event_trim(before, BATCH).await?;
            tx.commit().await?;
            if deleted == 0 {
                break;
            }
        }
        Ok(())
    }

    async fn meetings_erase_archived(
        &self,
        ctx: &Ctx,
        before: meetmind_core::Timestamp,
    ) -> Result<()> {
        for _ in 0..BATCHES_MAX {
            let ids = self
                .store()
                .read()
                .await?
                .meeting_ids_archived_before(before, BATCH)
                .await?;
            if ids.is_empty() {
                break;
            }
            for id in ids {
                self.meeting_erase(ctx, id).await?;
            }
        }
        Ok(())
    }
}
