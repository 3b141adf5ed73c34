//! LiveKit's webhooks, from the server inside to the addresses of the settings: written down as the rooms
//! tell what happened, and sent by jobs, for each room and address one after the other.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use livekit_protocol::{Room, WebhookEvent};
use meetmind_core::Id as _;
use meetmind_core::{Ctx, Error, Job, JobId, JobKind, MeetingId, Result};
use meetmind_media::room::{RoomEvent, RoomEventKind};
use meetmind_media::webhook::{self, EventName};
use meetmind_store::RoomWebhook;
use serde::Deserialize;
use serde_json::json;

use crate::jobs::Lane;
use crate::{App, Change};

/// A webhook that could not be delivered for so long is not sent any more.
const KEPT: Duration = Duration::from_secs(86_400);
/// Sent by one job before it makes place for others.
const PER_JOB: usize = 200;

/// Gives the webhooks of this process their order.
#[derive(Debug, Default)]
pub(super) struct Positions(AtomicI64);

impl Positions {
    /// After all before, also those of an earlier process.
    fn next(&self, now_micros: i64) -> i64 {
        let before = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                Some(now_micros.max(last + 1))
            })
            .unwrap_or_default();
        now_micros.max(before + 1)
    }
}

/// What the job knows.
#[derive(Debug, Deserialize)]
struct Task {
    room: String,
    url: String,
}

impl App {
    /// Writes down the webhooks of what happened in rooms. The database may be away for a moment: then it is
    /// tried again before what happens next.
    pub(super) async fn room_webhooks_keep(&self, events: &[RoomEvent]) {
        let urls = &self.settings().livekit_webhook_urls;
        if urls.is_empty() {
            return;
        }
        for attempt in 1..=5_u64 {
            match self.room_webhooks_insert(events, urls).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(%error, attempt, "LiveKit webhooks could not be written down");
                    tokio::time::sleep(Duration::from_millis(200 * attempt)).await;
                }
            }
        }
        tracing::error!(lost = events.len(), "LiveKit webhooks are lost");
        metrics::counter!("meetmind_room_webhooks_total", "outcome" => "lost")
            .increment(events.len() as u64);
    }

    async fn room_webhooks_insert(&self, events: &[RoomEvent], urls: &[String]) -> Result<()> {
        let ctx = self.system_ctx();
        let mut change = self.change(&ctx).await?;
        let mut any = false;
        for event in events {
            let Some(mut sent) = self.room_webhook_event(event) else {
                continue;
            };
            if !self.has_meeting(&mut change, &event.room.name).await? {
                // Erased meanwhile: nobody's name is written down any more.
                if sent.event != EventName::RoomFinished.as_str() {
                    continue;
                }
                sent.room = Some(Room {
                    sid: event.room.sid.clone(),
                    name: event.room.name.clone(),
                    ..Room::default()
                });
            }
            let body = webhook::body(&sent).map_err(Error::internal)?;
            for url in urls {
                let row = RoomWebhook {
                    id: self.id::<JobId>(&ctx).uuid(),
                    position: self.inner.rooms.positions.next(ctx.now.micros()),
                    body: body.clone(),
                    created_at: ctx.now,
                };
                change
                    .room_webhook_insert(&row, url, &event.room.name)
                    .await?;
                self.room_webhook_queue(&mut change, &ctx, &event.room.name, url)
                    .await?;
                any = true;
            }
        }
        if any { change.commit().await } else { Ok(()) }
    }

    /// Whether a room of this name may be written about: of no meeting, or of one that is there.
    async fn has_meeting(&self, change: &mut Change<'_>, room: &str) -> Result<bool> {
        let Ok(meeting) = room.parse::<MeetingId>() else {
            return Ok(true);
        };
        match change.meeting_get(meeting).await {
            Ok(_) => Ok(true),
            Err(meetmind_store::Error::NotFound(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Queues the job that sends what waits for an address from a room, unless it waits already.
    async fn room_webhook_queue(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        room: &str,
        url: &str,
    ) -> Result<()> {
        let payload = json!({ "room": room, "url": url });
        let key = Some(format!("room_webhook:{room}:{url}"));
        self.job_queue(change, ctx, JobKind::RoomWebhook, payload, ctx.now, key)
            .await?;
        change.wake_worker(Lane::Rooms);
        Ok(())
    }

    /// As LiveKit writes it; none for what it has no webhook for.
    fn room_webhook_event(&self, event: &RoomEvent) -> Option<WebhookEvent> {
        let (name, participant, track) = match &event.kind {
            RoomEventKind::Started(_) => (EventName::RoomStarted, None, None),
            RoomEventKind::Finished => (EventName::RoomFinished, None, None),
            RoomEventKind::Joined(info) => (EventName::ParticipantJoined, Some(info), None),
            RoomEventKind::Left(info) => (EventName::ParticipantLeft, Some(info), None),
            RoomEventKind::Aborted(info) => {
                (EventName::ParticipantConnectionAborted, Some(info), None)
            }
            RoomEventKind::Published(info, track) => {
                (EventName::TrackPublished, Some(info), Some(track))
            }
            RoomEventKind::Unpublished(info, track) => {
                (EventName::TrackUnpublished, Some(info), Some(track))
            }
            RoomEventKind::Muted(..) | RoomEventKind::Speaking(_) | RoomEventKind::Quality(..) => {
                return None;
            }
        };
        let random = self.entropy().bytes::<9>();
        let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        Some(WebhookEvent {
            event: name.as_str().to_owned(),
            room: Some(event.room.clone()),
            participant: participant.cloned(),
            track: track.cloned(),
            id: format!("EV_{id}"),
            created_at: event.at_ms / 1000,
            ..WebhookEvent::default()
        })
    }

    /// Sends what waits for an address from a room, oldest first; `payload` is that of its job:
    /// `{"room", "url"}`. What the receiver refuses for good is dropped, as a LiveKit server does.
    ///
    /// # Errors
    /// When the receiver could not take one: it is sent again, before those after it.
    pub(crate) async fn room_webhooks_send(&self, payload: &serde_json::Value) -> Result<()> {
        let Task { room, url } = Task::deserialize(payload).map_err(Error::internal)?;
        let Some(embedded) = self.inner.rooms.embedded.get() else {
            return Err(Error::internal("the server inside does not run"));
        };
        for _ in 0..PER_JOB {
            let mut conn = self.store().read().await?;
            let Some(next) = conn.room_webhook_next(&room, &url).await? else {
                return Ok(());
            };
            drop(conn);
            let now = self.now();
            let is_wanted = self.settings().livekit_webhook_urls.contains(&url);
            let outcome = if is_wanted && next.created_at.plus(KEPT) > now {
                let signed =
                    webhook::sign(next.body, &embedded.key, now).map_err(Error::internal)?;
                let headers = [
                    ("authorization", signed.authorization),
                    ("content-type", webhook::CONTENT_TYPE.to_owned()),
                ];
                let answer = self
                    .inner
                    .outbound
                    .post(&url, &headers, signed.body)
                    .await?;
                match answer.status {
                    200..=299 => "delivered",
                    408 | 425 | 429 | 500.. => {
                        return Err(Error::internal(format!(
                            "the receiver answered {}",
                            answer.status
                        )));
                    }
                    status => {
                        tracing::warn!(room, status, "a LiveKit webhook was refused");
                        "refused"
                    }
                }
            } else {
                "dropped"
            };
            metrics::counter!("meetmind_room_webhooks_total", "outcome" => outcome).increment(1);
            let mut tx = self.store().begin().await?;
            tx.room_webhook_delete(next.id).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Queues the job again within the change that ends it, when something came in between.
    pub(crate) async fn room_webhooks_go_on(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        job: &Job,
    ) -> Result<()> {
        let Task { room, url } = Task::deserialize(&job.payload).map_err(Error::internal)?;
        if change.room_webhook_next(&room, &url).await?.is_some() {
            self.room_webhook_queue(change, ctx, &room, &url).await?;
        }
        Ok(())
    }

    /// Queues jobs for what has waited for a while and has none: of a process that died, or given up.
    pub(super) async fn room_webhooks_sweep(&self) -> Result<()> {
        let ctx = self.system_ctx();
        let before = ctx.now.minus(Duration::from_secs(30));
        let waiting = self
            .store()
            .read()
            .await?
            .room_webhook_waiting(before)
            .await?;
        if waiting.is_empty() {
            return Ok(());
        }
        let mut change = self.change(&ctx).await?;
        for (room, url) in waiting {
            self.room_webhook_queue(&mut change, &ctx, &room, &url)
                .await?;
        }
        change.commit().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_only_grow_even_when_the_clock_does_not() {
        let positions = Positions::default();
        assert_eq!(positions.next(1000), 1000);
        assert_eq!(positions.next(1000), 1001);
        assert_eq!(positions.next(900), 1002);
        assert_eq!(positions.next(5000), 5000);
    }
}
