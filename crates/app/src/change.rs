//! A transaction that collects the events it causes.

use std::ops::{Deref, DerefMut};

use meetmind_core::{AuditEntry, Ctx, Event, EventKind, EventTopic, MeetingId, Result};
use meetmind_store::Conn;
use serde::Serialize;

use crate::jobs::Lane;
use crate::{App, AuthorityChange};

/// A change under way: a transaction, and what will be told once it is committed. Dropped
/// without [`Change::commit`], nothing happened.
pub struct Change<'a> {
    app: &'a App,
    ctx: &'a Ctx,
    conn: Conn,
    events: Vec<(EventTopic, Event)>,
    told: Vec<(EventTopic, Event)>,
    authority: Vec<AuthorityChange>,
    /// The lanes of the worker that have something to do after it.
    lanes: Vec<Lane>,
}

impl<'a> Change<'a> {
    pub(crate) async fn begin(app: &'a App, ctx: &'a Ctx) -> Result<Self> {
        Ok(Self::over(app, ctx, app.store().begin().await?))
    }

    /// A change in a transaction that was begun before its circumstances were known.
    pub(crate) fn over(app: &'a App, ctx: &'a Ctx, conn: Conn) -> Self {
        Self {
            app,
            ctx,
            conn,
            events: Vec::new(),
            told: Vec::new(),
            authority: Vec::new(),
            lanes: Vec::new(),
        }
    }

    /// Stores an event of this change.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn event(
        &mut self,
        topic: EventTopic,
        kind: EventKind,
        data: &impl Serialize,
    ) -> Result<()> {
        let data = serde_json::to_value(data).map_err(meetmind_core::Error::internal)?;
        let event = self
            .conn
            .event_append(topic, kind, self.ctx.now, data)
            .await?;
        self.events.push((topic, event));
        Ok(())
    }

    /// Stores an event about a meeting.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn meeting_event(
        &mut self,
        id: MeetingId,
        kind: EventKind,
        data: &impl Serialize,
    ) -> Result<()> {
        self.event(EventTopic::Meeting(id), kind, data).await
    }

    /// Stores many events, in their order.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn events(
        &mut self,
        events: Vec<(EventTopic, EventKind, serde_json::Value)>,
    ) -> Result<()> {
        let stored = self.conn.event_append_many(self.ctx.now, events).await?;
        self.events.extend(stored);
        Ok(())
    }

    /// Enters the change in the audit log, when it concerns security.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn audit(
        &mut self,
        action: &str,
        subject: impl std::fmt::Display,
        details: serde_json::Value,
    ) -> Result<()> {
        let entry = AuditEntry {
            id: self.app.id(self.ctx),
            at: self.ctx.now,
            actor: self.ctx.actor.key(),
            action: action.to_owned(),
            subject: subject.to_string(),
            address: self.ctx.address.clone(),
            details,
        };
        Ok(self.conn.audit_insert(&entry).await?)
    }

    /// Tells of an event that was stored by hand, without offering it to webhooks.
    pub(crate) fn tell(&mut self, topic: EventTopic, event: Event) {
        self.told.push((topic, event));
    }

    /// Makes listeners prove themselves anew after the commit, because this change takes something
    /// from somebody.
    pub(crate) fn authority_changes(&mut self, change: AuthorityChange) {
        self.authority.push(change);
    }

    /// Wakes the worker after the commit, because this change queued a job of this lane.
    pub(crate) fn wake_worker(&mut self, lane: Lane) {
        if !self.lanes.contains(&lane) {
            self.lanes.push(lane);
        }
    }

    /// Notes that this change is the work of a call: once it is committed, a repetition of the
    /// request must not do it again, even when the process dies before the answer is written down.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn carry_out(&mut self, ctx: &Ctx) -> Result<()> {
        if let Some(once) = &ctx.once {
            self.conn
                .idempotency_carry_out(&once.owner, &once.key, once.created_at)
                .await?;
        }
        Ok(())
    }

    /// Makes it last, then tells everybody. Once it began, it runs to its end even when the
    /// caller goes away: what is stored is also told.
    ///
    /// # Errors
    /// When the database refuses: nothing happened then, and nothing is told.
    pub async fn commit(mut self) -> Result<()> {
        let queued = self
            .app
            .webhooks_fan_out(self.ctx, &mut self.conn, &self.events)
            .await?;
        if queued {
            self.wake_worker(Lane::Deliveries);
        }
        self.carry_out(self.ctx).await?;
        let (app, conn, mut events) = (self.app.clone(), self.conn, self.events);
        let authority = self.authority;
        events.append(&mut self.told);
        let lanes = self.lanes;
        let told = tokio::spawn(async move {
            conn.commit().await?;
            for (topic, event) in events {
                app.bus().publish(topic, event);
            }
            for change in authority {
                app.authority_changed(change);
            }
            for lane in lanes {
                app.inner.jobs.wake(lane);
            }
            Ok(())
        });
        told.await.map_err(meetmind_core::Error::internal)?
    }
}

impl Deref for Change<'_> {
    type Target = Conn;
    fn deref(&self) -> &Conn {
        &self.conn
    }
}

impl DerefMut for Change<'_> {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.conn
    }
}
