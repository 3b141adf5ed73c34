//! Saving memories on somebody's word.

use meetmind_core::{
    AgentId, Code, Ctx, Error, EventKind, EventTopic, MeetingAction, MeetingId, Memory,
    MemoryChange, MemoryEvent, MemoryId, MemoryMode, MemorySource, Result, Scope, Timestamp,
    UserId, user_may,
};
use serde_json::json;

use super::{checked, content_hash, memory_refused};
use crate::meetings::{ConsentKind, consent_permits, meeting_access};
use crate::{Access, App, Change};

/// The most participants that a subject is matched against.
const MAX_NAMES: i64 = 10_000;

/// A memory to save.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MemoryNew {
    /// The words, at most 16,384 characters.
    pub content: String,
    /// Any JSON object up to 16 KB.
    pub metadata: Option<serde_json::Value>,
    /// At most 20 labels of 60 characters.
    pub categories: Vec<String>,
    /// A meeting the caller can see.
    pub meeting_id: Option<MeetingId>,
    /// An agent of the caller.
    pub agent_id: Option<AgentId>,
    /// Whom or what it is about.
    pub subject: Option<String>,
    /// When it is deleted by itself.
    pub expires_at: Option<Timestamp>,
    /// A memory of the caller whose place it takes.
    pub replaces: Option<MemoryId>,
}

/// What became of a memory to save.
#[derive(Debug, Clone, PartialEq)]
pub struct MemorySaved {
    /// The memory.
    pub memory: Memory,
    /// Whether it is new; the same words for the same meeting and agent are kept once.
    pub added: bool,
}

impl App {
    /// Saves memories for the caller, all or none.
    ///
    /// # Errors
    /// `NOT_FOUND` for a meeting, agent or memory the caller cannot see, `CONFLICT` when the
    /// meeting keeps no memories, `CONSENT_DENIED` when the subject is a participant who does not
    /// consent, `SCOPE_MISSING`, `VALIDATION_FAILED`.
    pub async fn memory_save(&self, ctx: &Ctx, new: Vec<MemoryNew>) -> Result<Vec<MemorySaved>> {
        let user_id = user_may(&ctx.actor, Scope::MemoryWrite)?;
        let mut change = self.change(ctx).await?;
        change.memory_user_lock(user_id).await?;
        let mut saved = Vec::with_capacity(new.len());
        for new in new {
            if let Some(meeting_id) = new.meeting_id {
                let access =
                    meeting_access(&mut change, ctx, meeting_id, MeetingAction::Read).await?;
                check_meeting(&mut change, &access, new.subject.as_deref()).await?;
            }
            if let Some(agent_id) = new.agent_id
                && !change.memory_agent_is_owned(agent_id, user_id).await?
            {
                return Err(Error::not_found("agent"));
            }
            let memory = checked(ctx.now, self.memory_of(ctx, user_id, &new))?;
            saved.push(
                self.memory_save_within(&mut change, ctx, memory, new.replaces)
                    .await?,
            );
        }
        change.commit().await?;
        Ok(saved)
    }

    fn memory_of(&self, ctx: &Ctx, user_id: UserId, new: &MemoryNew) -> Memory {
        Memory {
            id: self.id(ctx),
            user_id,
            meeting_id: new.meeting_id,
            agent_id: new.agent_id,
            subject: new.subject.clone(),
            content: new.content.clone(),
            metadata: new.metadata.clone().unwrap_or_else(|| json!({})),
            categories: new.categories.clone(),
            segment_ids: Vec::new(),
            source: MemorySource::Manual,
            replaced_by: None,
            expires_at: new.expires_at,
            created_at: ctx.now,
            updated_at: ctx.now,
        }
    }

    /// Saves one memory unless its user has it already, and tells the user.
    pub(super) async fn memory_save_within(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        memory: Memory,
        replaces: Option<MemoryId>,
    ) -> Result<MemorySaved> {
        let user_id = memory.user_id;
        let hash = content_hash(&memory.content);
        let same = change
            .memory_find_same(user_id, &hash, memory.meeting_id, memory.agent_id, ctx.now)
            .await?;
        let saved = match same {
            Some(memory) => MemorySaved {
                memory,
                added: false,
            },
            None => {
                change.memory_insert(&memory, &hash).await?;
                let entry = MemoryChange {
                    id: self.id(ctx),
                    memory_id: memory.id,
                    event: MemoryEvent::Add,
                    old_content: None,
                    new_content: Some(memory.content.clone()),
                    actor: ctx.actor.key(),
                    at: ctx.now,
                };
                change.memory_change_insert(user_id, &entry).await?;
                change
                    .event(EventTopic::User(user_id), EventKind::MemorySaved, &memory)
                    .await?;
                MemorySaved {
                    memory,
                    added: true,
                }
            }
        };
        let Some(old_id) = replaces.filter(|id| *id != saved.memory.id) else {
            return Ok(saved);
        };
        let old = change.memory_get(user_id, old_id, ctx.now).await?;
        if old.replaced_by == Some(saved.memory.id) {
            return Ok(saved);
        }
        if old.replaced_by.is_some() {
            return Err(Error::new(
                Code::Conflict,
                "another memory took that one's place already",
            ));
        }
        change
            .memory_replaced_set(old_id, saved.memory.id, ctx.now)
            .await?;
        let old = Memory {
            replaced_by: Some(saved.memory.id),
            updated_at: ctx.now,
            ..old
        };
        change
            .event(EventTopic::User(user_id), EventKind::MemoryUpdated, &old)
            .await?;
        Ok(saved)
    }
}

/// A meeting may keep no memories, and a participant may have refused to be remembered.
async fn check_meeting(
    change: &mut Change<'_>,
    access: &Access,
    subject: Option<&str>,
) -> Result<()> {
    if access.meeting.memory_mode == MemoryMode::Off {
        return Err(memory_refused("memory is switched off in this meeting"));
    }
    let Some(subject) = subject else {
        return Ok(());
    };
    let name = subject.trim().to_lowercase();
    let people = change
        .segment_speakers(access.meeting.id, MAX_NAMES)
        .await?;
    for (id, known) in people {
        // What one remembers of oneself needs nobody's consent.
        if known.to_lowercase() != name || Some(id) == access.participant_id {
            continue;
        }
        if !consent_permits(change, &access.meeting, Some(id), ConsentKind::Memory).await? {
            return Err(Error::new(
                Code::ConsentDenied,
                "the subject did not consent to being remembered",
            ));
        }
    }
    Ok(())
}
