//! A transaction that collects the events it causes.

use std::ops::{Deref, DerefMut};

use meetmind_core::{AuditEntry, Ctx, Event, EventKind, EventTopic, MeetingId, Result};
use meetmind_store::Conn;
use serde::Serialize;

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
    jobs: bool,
}

impl<'a> Change<'a> {
    pub(crate) async fn begin(app: &'a App, ctx: &'a Ctx) -> Result<Self> {
        Ok(Self {
            app,
            ctx,
            conn: app.store().begin().await?,
            events: Vec::new(),
            told: Vec::new(),
            authority: Vec::new(),
            jobs: false,
        })
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

    /// Wakes the worker after the commit, because this change queued a job.
    pub(crate) fn wake_worker(&mut self) {
        self.jobs = true;
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
        // From here on a repetition of the request must not do it again, even when the process
        // dies before the answer is written down.
        if let Some(once) = &self.ctx.once {
            self.conn
                .idempotency_carry_out(&once.owner, &once.key, once.created_at)
                .await?;
        }
        let (app, conn, mut events) = (self.app.clone(), self.conn, self.events);
        let authority = self.authority;
        events.append(&mut self.told);
        let wake = self.jobs || queued;
        let told = tokio::spawn(async move {
            conn.commit().await?;
            for (topic, event) in events {
                app.bus().publish(topic, event);
            }
            for change in authority {
                app.authority_changed(change);
            }
            if wake {
                app.inner.jobs.wake();
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
