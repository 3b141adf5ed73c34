//! Who may listen to what, from where on, and for how long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use meetmind_core::{
    Actor, Code, Ctx, Error, Event, EventKind, EventTopic, MeetingAction, ParticipantId, Result,
    Scope, Signal, SignalKind, meeting_may, scope_check, user_may,
};
use serde_json::Value;
use tokio::sync::watch;

use crate::App;

/// Streams that one account, guest or agent may hold open at the same time.
const STREAMS_PER_ACTOR: usize = 50;

/// A signal's data as JSON, in bytes.
const SIGNAL_MAX: usize = 1024;

/// What is counted of listeners.
#[derive(Debug, Default)]
pub(crate) struct State {
    streams: Arc<Mutex<HashMap<String, usize>>>,
}

/// One open stream; dropped, it no longer counts.
#[derive(Debug)]
pub struct StreamGuard {
    streams: Arc<Mutex<HashMap<String, usize>>>,
    actor: String,
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = streams.get_mut(&self.actor) {
            *count -= 1;
            if *count == 0 {
                streams.remove(&self.actor);
            }
        }
        metrics::gauge!("meetmind_live_streams").decrement(1.0);
    }
}

/// What a listener may do with a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicAccess {
    /// The listener's participant, for meetings.
    pub participant_id: Option<ParticipantId>,
    /// Whether the listener may send signals.
    pub may_signal: bool,
}

/// Where listening begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicStart {
    /// Events follow `after`.
    From {
        /// What the listener may do.
        access: TopicAccess,
        /// The number that the next event follows.
        after: i64,
        /// The topic's last number now.
        last: i64,
    },
    /// What comes next is no longer kept, or was never there.
    Gone {
        /// The oldest number still kept.
        oldest: i64,
    },
}

impl App {
    /// Counts a stream of the caller.
    ///
    /// # Errors
    /// `QUOTA_EXCEEDED` when too many are open, `DRAINING`.
    pub fn stream_open(&self, actor: &Actor) -> Result<StreamGuard> {
        self.refuse_when_draining()?;
        let streams = Arc::clone(&self.inner.live.streams);
        let actor = actor.key();
        {
            let mut counts = streams.lock().unwrap_or_else(PoisonError::into_inner);
            let count = counts.entry(actor.clone()).or_insert(0);
            if *count >= STREAMS_PER_ACTOR {
                return Err(Error::new(Code::QuotaExceeded, "too many streams are open")
                    .with_details(serde_json::json!({ "current": *count, "limit": STREAMS_PER_ACTOR, "reset": null })));
            }
            *count += 1;
        }
        metrics::gauge!("meetmind_live_streams").increment(1.0);
        Ok(StreamGuard { streams, actor })
    }

    /// Becomes `true` when the process is on its way out. A stream holds it to its end.
    pub fn drain_signal(&self) -> watch::Receiver<bool> {
        self.inner.draining.subscribe()
    }

    /// Waits until every stream that holds a [`App::drain_signal`] has ended.
    pub async fn streams_ended(&self) {
        self.inner.draining.closed().await;
    }

    /// Begins to listen: after `after`, or with what happens from now on. The caller must hear
    /// the bus already, so that nothing falls between.
    ///
    /// # Errors
    /// `NOT_FOUND`, `SCOPE_MISSING`, `UNAUTHENTICATED`; `VALIDATION_FAILED` for a negative number.
    pub async fn topic_start(
        &self,
        ctx: &Ctx,
        topic: EventTopic,
        after: Option<i64>,
    ) -> Result<TopicStart> {
        if after.is_some_and(|after| after < 0) {
            return Err(Error::invalid("after", "must not be negative"));
        }
        let access = self.topic_access(ctx, topic).await?;
        let (last, oldest) = self.store().read().await?.event_range(topic).await?;
        let after = after.unwrap_or(last);
        // Not `after + 1`: the number is the caller's and may be the largest there is.
        if after < oldest - 1 || after > last {
            return Ok(TopicStart::Gone { oldest });
        }
        Ok(TopicStart::From {
            access,
            after,
            last,
        })
    }

    /// Up to `limit` events after `after`, with what the listener may do now.
    ///
    /// # Errors
    /// `NOT_FOUND` and the like when the listener may not hear it any more.
    pub async fn topic_page(
        &self,
        ctx: &Ctx,
        topic: EventTopic,
        after: i64,
        limit: i64,
    ) -> Result<(TopicAccess, Vec<Event>)> {
        let access = self.topic_access(ctx, topic).await?;
        let mut conn = self.store().read().await?;
        let events = conn.event_list(topic, after, limit).await?;
        Ok((access, events))
    }

    /// The oldest number of a topic that is still kept.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn topic_oldest(&self, topic: EventTopic) -> Result<i64> {
        Ok(self.store().read().await?.event_range(topic).await?.1)
    }

    /// Asks the policy about a topic: meetings for who takes part and may read what is said, runs
    /// for their owner and who takes part in their meeting, users for themselves.
    ///
    /// # Errors
    /// `NOT_FOUND`, `SCOPE_MISSING`, `UNAUTHENTICATED`.
    pub async fn topic_access(&self, ctx: &Ctx, topic: EventTopic) -> Result<TopicAccess> {
        let silent = TopicAccess {
            participant_id: None,
            may_signal: false,
        };
        match topic {
            EventTopic::Meeting(id) => {
                let access = self.meeting_access(ctx, id, MeetingAction::Read).await?;
                let may = |action| meeting_may(&ctx.actor, Some(access.role), id, action);
                may(MeetingAction::ReadTranscript)?;
                Ok(TopicAccess {
                    participant_id: access.participant_id,
                    may_signal: may(MeetingAction::Speak).is_ok(),
                })
            }
            EventTopic::Run(id) => {
                if ctx.actor == Actor::Anonymous {
                    user_may(&ctx.actor, Scope::AgentsRead)?;
                }
                let place = self.store().read().await?.event_run_place_find(id).await?;
                let Some((owner_id, meeting_id)) = place else {
                    return Err(Error::not_found("run"));
                };
                if matches!(ctx.actor, Actor::User { user_id, .. } if user_id == owner_id) {
                    user_may(&ctx.actor, Scope::AgentsRead)?;
                    return Ok(silent);
                }
                match self
                    .meeting_access(ctx, meeting_id, MeetingAction::Read)
                    .await
                {
                    Ok(_) => scope_check(&ctx.actor, Scope::AgentsRead).map(|()| silent),
                    Err(error) if error.code == Code::NotFound => Err(Error::not_found("run")),
                    Err(error) => Err(error),
                }
            }
            EventTopic::User(id) => {
                // A user's events tell of memories and of agents: a key needs the scopes of both.
                let own = user_may(&ctx.actor, Scope::MemoryRead)?;
                user_may(&ctx.actor, Scope::AgentsRead)?;
                if own == id {
                    Ok(silent)
                } else {
                    Err(Error::not_found("topic"))
                }
            }
        }
    }

    /// Fails when what the listener came with no longer counts: its session was ended, its key
    /// revoked, its account disabled. An access token that ran out does not end a stream.
    ///
    /// # Errors
    /// `SESSION_REVOKED`, or when the database cannot be reached.
    pub async fn listener_check(&self, actor: &Actor) -> Result<()> {
        let Actor::User { user_id, proof, .. } = actor else {
            // A guest's and an agent's authority is their part in the meeting.
            return Ok(());
        };
        let now = self.now();
        let live = self
            .store()
            .read()
            .await?
            .event_listener_is_live(*user_id, proof, now)
            .await?;
        if live {
            Ok(())
        } else {
            Err(Error::new(Code::SessionRevoked, "the session was ended"))
        }
    }

    /// Relays what passes to all who listen to the topic.
    ///
    /// # Errors
    /// `FORBIDDEN` for who only looks on and for what only rooms tell, `VALIDATION_FAILED` for data that is no object or
    /// larger than 1 KB.
    pub fn signal_send(
        &self,
        topic: EventTopic,
        access: TopicAccess,
        kind: SignalKind,
        data: Value,
    ) -> Result<()> {
        let Some(participant_id) = access.participant_id.filter(|_| access.may_signal) else {
            return Err(Error::forbidden("you may not send signals here"));
        };
        if matches!(kind, SignalKind::Muted | SignalKind::Quality) {
            return Err(Error::forbidden("only the room tells this"));
        }
        if data.to_string().len() > SIGNAL_MAX {
            return Err(Error::invalid("data", "must have at most 1024 bytes"));
        }
        let mut data = match data {
            Value::Object(fields) => fields,
            Value::Null => serde_json::Map::new(),
            _ => return Err(Error::invalid("data", "must be an object")),
        };
        data.insert(
            "participant_id".to_owned(),
            participant_id.to_string().into(),
        );
        let signal = Signal {
            topic: topic.to_string(),
            kind,
            data: Value::Object(data),
        };
        self.bus().signal(topic, &signal);
        Ok(())
    }
}

/// Whether an event may change what this listener may hear: somebody's part in a meeting
/// changed and it is, or may be, the listener's; or the meeting went away.
pub fn event_touches_listener(event: &Event, access: TopicAccess) -> bool {
    match event.kind {
        EventKind::MeetingArchived | EventKind::MeetingErased => true,
        EventKind::ParticipantRemoved
        | EventKind::ParticipantUpdated
        | EventKind::ParticipantWaiting => {
            let id = |name: &str| event.data.get(name).and_then(Value::as_str);
            match (
                id("participant_id").or_else(|| id("id")),
                access.participant_id,
            ) {
                (Some(named), Some(own)) => named == own.to_string(),
                _ => true,
            }
        }
        _ => false,
    }
}
