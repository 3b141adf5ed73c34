//! What goes out of a socket: from the bus while the client keeps up, from the store when it does
//! not, and nothing any more once it may not hear it.

use axum::body::Bytes;
use axum::extract::ws::{Message, Utf8Bytes};
use meetmind_app::{AuthorityChange, Published};
use meetmind_core::{Code, Error, Event, EventTopic};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::{Connection, End, TRY_LATER, UNAUTHENTICATED};
use crate::ws::cursor::{PAGE, Verdict, ends_topic};
use crate::ws::frames::ServerFrame;

/// Events written together.
const BATCH: usize = 256;

impl Connection {
    /// Sends the next page of what the client missed in a topic.
    pub(super) async fn catch_up(&mut self, topic: EventTopic) -> Result<(), End> {
        let Some(after) = self.cursors.get(&topic).map(|cursor| cursor.last) else {
            return Ok(());
        };
        let ctx = self.ctx_now();
        let (access, events) = match self.app.topic_page(&ctx, topic, after, PAGE).await {
            Ok(page) => page,
            Err(error) => return self.refuse(topic, &error).await,
        };
        let Some(cursor) = self.cursors.get_mut(&topic) else {
            return Ok(());
        };
        if !cursor.take_page(access, &events) {
            self.cursors.remove(&topic);
            let oldest = self.app.topic_oldest(topic).await.unwrap_or(1);
            let topic = topic.to_string();
            return self.send(&ServerFrame::Gone { topic, oldest }).await;
        }
        for event in &events {
            let text = serde_json::to_string(event).unwrap_or_default();
            self.feed(Message::Text(text.into())).await?;
        }
        self.flush().await
    }

    /// Takes what the bus brings, and what waits behind it, and writes it together.
    pub(super) async fn published(
        &mut self,
        first: Result<Published, RecvError>,
        bus: &mut Receiver<Published>,
    ) -> Result<(), End> {
        let mut next = match first {
            Ok(published) => Some(published),
            Err(RecvError::Lagged(_)) => {
                self.all_behind();
                None
            }
            Err(RecvError::Closed) => return Err(End::Lost),
        };
        let (mut fed, mut taken) = (false, 0);
        while let Some(published) = next.take() {
            fed |= self.pass_on(published).await?;
            taken += 1;
            if taken == BATCH {
                break;
            }
            next = match bus.try_recv() {
                Ok(published) => Some(published),
                Err(TryRecvError::Lagged(_)) => {
                    self.all_behind();
                    None
                }
                Err(TryRecvError::Empty | TryRecvError::Closed) => None,
            };
        }
        if fed { self.flush().await } else { Ok(()) }
    }

    /// Passes one thing on, if the client listens to its topic; gives whether it did.
    async fn pass_on(&mut self, published: Published) -> Result<bool, End> {
        match published {
            Published::Signal { topic, json, .. } => {
                if !self.cursors.contains_key(&topic) {
                    return Ok(false);
                }
                self.feed(text(json)?).await?;
                Ok(true)
            }
            Published::Event { topic, event, json } => {
                let Some(cursor) = self.cursors.get_mut(&topic) else {
                    return Ok(false);
                };
                if cursor.is_touched_by(&event) {
                    return self.touched(topic, &event, json).await;
                }
                if cursor.meet(event.seq) != Verdict::Deliver {
                    return Ok(false);
                }
                self.feed(text(json)?).await?;
                Ok(true)
            }
        }
    }

    /// An event that may end the client's part in the topic.
    async fn touched(
        &mut self,
        topic: EventTopic,
        event: &Event,
        json: Bytes,
    ) -> Result<bool, End> {
        let last_word = ends_topic(event);
        if !last_word && !self.recheck(topic).await? {
            return Ok(true);
        }
        let verdict = self.cursors.get_mut(&topic).map(|c| c.meet(event.seq));
        if verdict == Some(Verdict::Deliver) {
            self.feed(text(json)?).await?;
        }
        // What came before the last word is not lost with it: the page from the store looks
        // at the authority by itself.
        if last_word && verdict != Some(Verdict::Behind) {
            self.recheck(topic).await?;
        }
        Ok(true)
    }

    /// Looks whether the client may still hear a topic; gives whether it may.
    async fn recheck(&mut self, topic: EventTopic) -> Result<bool, End> {
        let ctx = self.ctx_now();
        match self.app.topic_access(&ctx, topic).await {
            Ok(access) => {
                if let Some(cursor) = self.cursors.get_mut(&topic) {
                    cursor.access = access;
                }
                Ok(true)
            }
            Err(error) => self.refuse(topic, &error).await.map(|()| false),
        }
    }

    /// Looks at what somebody's loss of authority means for the client; `None` when changes were
    /// missed, which may have been the client's.
    pub(super) async fn authority_changed(
        &mut self,
        change: Option<AuthorityChange>,
    ) -> Result<(), End> {
        match change {
            Some(AuthorityChange::Meeting(_)) => {
                let runs = |topic: &EventTopic| matches!(topic, EventTopic::Run(_));
                let topics: Vec<EventTopic> = self.cursors.keys().copied().filter(runs).collect();
                for topic in topics {
                    self.recheck(topic).await?;
                }
                Ok(())
            }
            Some(change) if !change.is_of(&self.ctx.actor) => Ok(()),
            _ => self.recheck_all().await,
        }
    }

    /// Looks whether the session or key still counts, and whether each topic is still open.
    pub(super) async fn recheck_all(&mut self) -> Result<(), End> {
        match self.app.listener_check(&self.ctx.actor).await {
            Ok(()) => {}
            Err(error) if error.code == Code::SessionRevoked => {
                return Err(End::Close(UNAUTHENTICATED, "the session was ended"));
            }
            Err(_) => return Err(End::Close(TRY_LATER, "try again later")),
        }
        let topics: Vec<EventTopic> = self.cursors.keys().copied().collect();
        for topic in topics {
            self.recheck(topic).await?;
        }
        Ok(())
    }

    /// Ends a subscription with the reason. When the reason is ours, the whole socket ends: the
    /// client comes back with its numbers and misses nothing.
    async fn refuse(&mut self, topic: EventTopic, error: &Error) -> Result<(), End> {
        if error.code.status() >= 500 {
            return Err(End::Close(TRY_LATER, "try again later"));
        }
        self.cursors.remove(&topic);
        self.send(&ServerFrame::Closed {
            topic: topic.to_string(),
            reason: error.code.to_string(),
        })
        .await
    }

    fn all_behind(&mut self) {
        for cursor in self.cursors.values_mut() {
            cursor.behind = true;
        }
    }
}

/// The text that all listeners share; no copy is made.
fn text(json: Bytes) -> Result<Message, End> {
    Utf8Bytes::try_from(json)
        .map(Message::Text)
        .map_err(|_| End::Close(1011, "an event could not be written"))
}
