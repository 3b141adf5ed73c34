//! LiveKit's webhooks that another server sends us. They are only an occasion to look: what is true is what
//! that server says when it is asked. So one that comes twice, late or never changes nothing for the worse.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use livekit_protocol::WebhookEvent;
use meetmind_core::{MeetingId, Result};
use meetmind_media::webhook::{self, EventName, WebhookRefused};

use super::events::left;
use super::follow::Hints;
use crate::App;

/// How many deliveries are remembered, to drop those that come again.
const REMEMBERED: usize = 4096;

/// What became of a delivery.
#[derive(Debug)]
pub enum WebhookOutcome {
    /// It was taken; or had been before.
    Taken,
    /// No other LiveKit server is configured.
    NotExpected,
    /// It is not believed.
    Refused(WebhookRefused),
}

/// The deliveries of late.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<(HashSet<String>, VecDeque<String>)>);

impl Seen {
    /// Whether this one is new.
    fn is_new(&self, id: &str) -> bool {
        if id.is_empty() {
            return true;
        }
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (ids, order) = &mut *seen;
        if !ids.insert(id.to_owned()) {
            return false;
        }
        order.push_back(id.to_owned());
        if order.len() > REMEMBERED
            && let Some(oldest) = order.pop_front()
        {
            ids.remove(&oldest);
        }
        true
    }

    fn forget(&self, id: &str) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.0.remove(id);
    }
}

impl App {
    /// Takes a webhook of the configured LiveKit server. `authorization` is the header.
    ///
    /// # Errors
    /// When the database cannot be reached: the sender tries again.
    pub async fn livekit_webhook(
        &self,
        body: &[u8],
        authorization: Option<&str>,
    ) -> Result<WebhookOutcome> {
        let Some(remote) = self.inner.rooms.remote.get() else {
            return Ok(WebhookOutcome::NotExpected);
        };
        let event = match webhook::verify(body, authorization, &remote.keys, self.now()) {
            Ok(event) => event,
            Err(refused) => return Ok(WebhookOutcome::Refused(refused)),
        };
        if !self.inner.rooms.seen.is_new(&event.id) {
            return Ok(WebhookOutcome::Taken);
        }
        let applied = self.livekit_webhook_apply(&event).await;
        if applied.is_err() {
            self.inner.rooms.seen.forget(&event.id);
        }
        applied.map(|()| WebhookOutcome::Taken)
    }

    async fn livekit_webhook_apply(&self, event: &WebhookEvent) -> Result<()> {
        let room = event.room.as_ref().map(|room| room.name.as_str());
        let Some(meeting) = room.and_then(|name| name.parse::<MeetingId>().ok()) else {
            return Ok(());
        };
        let hints = match (EventName::parse(&event.event), &event.participant) {
            (Some(EventName::ParticipantLeft), Some(info)) => {
                let mut hints = left(info);
                let mut conn = self.store().read().await?;
                // A leaving from before the last join is old news.
                for id in hints.gone.clone() {
                    let member = conn.room_member_find(meeting, id).await?;
                    let joined_at = member.and_then(|member| member.participant.joined_at);
                    if joined_at.is_none_or(|at| at.seconds() > event.created_at) {
                        hints.gone.remove(&id);
                    }
                }
                hints
            }
            (Some(_), _) => Hints::default(),
            // One of a newer server.
            (None, _) => return Ok(()),
        };
        self.room_mark(meeting, hints);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_before_is_known_and_the_memory_is_bounded() {
        let seen = Seen::default();
        assert!(seen.is_new("EV_1"));
        assert!(!seen.is_new("EV_1"));
        assert!(seen.is_new("") && seen.is_new(""));
        for number in 0..REMEMBERED {
            assert!(seen.is_new(&format!("EV_x{number}")));
        }
        assert!(seen.is_new("EV_1"));
        assert_eq!(seen.0.lock().expect("a lock").0.len(), REMEMBERED);
    }
}
