//! Making, reading, changing and deleting agents.

use meetmind_core::{
    AddressPolicy, Agent, AgentConfig, AgentId, AgentQuotas, AgentRole, AgentStatus, AgentVersion,
    Code, Ctx, Error, EventKind, EventTopic, Page, PageQuery, Result, Run, RunState, Scope,
    admin_may, user_may,
};
use meetmind_store::Conn;
use serde_json::json;

use super::RunReason;
use super::advance::Step;
use crate::{App, valid};

/// What an agent may remember from when nothing is said: all that the asker may read.
const MEMORY_SCOPES: &[&str] = &["user", "meeting", "agent"];

/// What a new agent is made from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AgentNew {
    /// 1 to 80 characters.
    pub name: String,
    /// A scribe, when absent.
    pub role: Option<AgentRole>,
    /// Its configuration; the memory scopes stand beside it.
    pub config: AgentConfig,
    /// All that the asker may read, when absent; none, when empty.
    pub memory_scopes: Option<Vec<String>>,
    /// Whether it joins its owner's next meetings by itself.
    pub auto_join: bool,
}

/// What changes in an agent: absent stays, `Some(None)` clears.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AgentPatch {
    /// A new name.
    pub name: Option<String>,
    /// Another role; only while it is in no meeting.
    pub role: Option<AgentRole>,
    /// New instructions.
    pub instructions: Option<Option<String>>,
    /// Another language.
    pub language: Option<Option<String>>,
    /// Another language model.
    pub model: Option<Option<String>>,
    /// Another voice.
    pub voice: Option<Option<String>>,
    /// Other tools.
    pub tools: Option<Vec<String>>,
    /// Other memories.
    pub memory_scopes: Option<Vec<String>>,
    /// Another address policy.
    pub address_policy: Option<Option<AddressPolicy>>,
    /// Other limits.
    pub quotas: Option<Option<AgentQuotas>>,
    /// Whether it joins by itself.
    pub auto_join: Option<bool>,
}

/// An agent with what follows from its runs.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentDetail {
    /// The definition.
    pub agent: Agent,
    /// Derived from the runs.
    pub status: AgentStatus,
    /// The runs that are not over.
    pub runs: Vec<Run>,
}

impl AgentDetail {
    pub(super) fn new(agent: Agent, runs: Vec<Run>) -> Self {
        let status = if agent.disabled_at.is_some() {
            AgentStatus::Disabled
        } else if runs.is_empty() {
            AgentStatus::Stopped
        } else {
            AgentStatus::Running
        };
        Self {
            agent,
            status,
            runs,
        }
    }
}

impl App {
    /// Makes an agent of the caller.
    ///
    /// # Errors
    /// `VALIDATION_FAILED`, `QUOTA_EXCEEDED`.
    pub async fn agent_create(&self, ctx: &Ctx, new: AgentNew) -> Result<AgentDetail> {
        let owner_id = user_may(&ctx.actor, Scope::AgentsRun)?;
        let agent = checked(Agent {
            id: self.id(ctx),
            owner_id,
            name: new.name,
            role: new.role.unwrap_or(AgentRole::Scribe),
            config: AgentConfig {
                memory_scopes: new.memory_scopes.unwrap_or_else(all_scopes),
                ..new.config
            },
            version: 1,
            auto_join: new.auto_join,
            disabled_at: None,
            created_at: ctx.now,
            updated_at: ctx.now,
        })?;
        let mut change = self.change(ctx).await?;
        change.owner_lock(owner_id).await?;
        self.agents_quota(&mut change, ctx, owner_id).await?;
        change.agent_insert(&agent).await?;
        change
            .event(EventTopic::User(owner_id), EventKind::AgentUpdated, &agent)
            .await?;
        change.commit().await?;
        Ok(AgentDetail::new(agent, Vec::new()))
    }

    /// One agent of the caller.
    ///
    /// # Errors
    /// `NOT_FOUND` for other people's.
    pub async fn agent_get(&self, ctx: &Ctx, id: AgentId) -> Result<AgentDetail> {
        let mut conn = self.store().read().await?;
        let agent = agent_own(&mut conn, ctx, id, Scope::AgentsRead).await?;
        let runs = conn.run_list_open(id).await?;
        Ok(AgentDetail::new(agent, runs))
    }

    /// The caller's agents, newest first; with `all` everybody's, for administrators, without
    /// the instructions that other people wrote.
    ///
    /// # Errors
    /// `FORBIDDEN` for `all` by others, `INVALID_CURSOR`.
    pub async fn agent_list(
        &self,
        ctx: &Ctx,
        status: Option<AgentStatus>,
        all: bool,
        page: &PageQuery,
    ) -> Result<Page<AgentDetail>> {
        let user_id = user_may(&ctx.actor, Scope::AgentsRead)?;
        if all {
            admin_may(&ctx.actor)?;
        }
        let owner = (!all).then_some(user_id);
        let before = crate::meetings::cursor_id(page)?;
        let mut conn = self.store().read().await?;
        let agents = conn
            .agent_list(owner, status, before, page.limit + 1)
            .await?;
        let mut runs = match (agents.last(), agents.first()) {
            (Some(last), Some(first)) => {
                conn.run_list_open_between(last.id, first.id, owner).await?
            }
            _ => Vec::new(),
        };
        let agents = Page::from_rows(agents, page.limit, |agent| {
            crate::meetings::cursor_of(agent.id)
        });
        Ok(agents.map(|mut agent| {
            if agent.owner_id != user_id {
                agent.config.instructions = None;
            }
            let (own, others) = runs
                .drain(..)
                .partition(|run: &Run| run.agent_id == agent.id);
            runs = others;
            AgentDetail::new(agent, own)
        }))
    }

    /// Changes an agent: a new version, that its next runs will use. `expected` is the version
    /// the caller last saw, when it guards.
    ///
    /// # Errors
    /// `PRECONDITION_FAILED` when it changed since, `CONFLICT` for another role while it is in a
    /// meeting, `VALIDATION_FAILED`, `NOT_FOUND`.
    pub async fn agent_update(
        &self,
        ctx: &Ctx,
        id: AgentId,
        patch: AgentPatch,
        expected: Option<i64>,
    ) -> Result<AgentDetail> {
        let mut change = self.change(ctx).await?;
        let old = agent_own(&mut change, ctx, id, Scope::AgentsRun).await?;
        if expected.is_some_and(|version| version != old.version) {
            return Err(Error::new(
                Code::PreconditionFailed,
                "the agent changed since you read it",
            ));
        }
        let runs = change.run_list_open(id).await?;
        if patch.role.is_some_and(|role| role != old.role) && !runs.is_empty() {
            return Err(Error::new(
                Code::Conflict,
                "the agent is in a meeting: stop it before it gets another role",
            ));
        }
        let agent = checked(Agent {
            name: patch.name.unwrap_or(old.name),
            role: patch.role.unwrap_or(old.role),
            config: AgentConfig {
                instructions: patch.instructions.unwrap_or(old.config.instructions),
                language: patch.language.unwrap_or(old.config.language),
                model: patch.model.unwrap_or(old.config.model),
                voice: patch.voice.unwrap_or(old.config.voice),
                tools: patch.tools.unwrap_or(old.config.tools),
                memory_scopes: patch.memory_scopes.unwrap_or(old.config.memory_scopes),
                address_policy: patch.address_policy.unwrap_or(old.config.address_policy),
                quotas: match patch.quotas {
                    None => old.config.quotas,
                    Some(quotas) => quotas.unwrap_or_default(),
                },
            },
            version: old.version + 1,
            auto_join: patch.auto_join.unwrap_or(old.auto_join),
            updated_at: ctx.now,
            ..old
        })?;
        if !change.agent_update(&agent).await? {
            return Err(Error::new(
                Code::PreconditionFailed,
                "the agent changed at the same time",
            ));
        }
        let topic = EventTopic::User(agent.owner_id);
        change.event(topic, EventKind::AgentUpdated, &agent).await?;
        change.commit().await?;
        Ok(AgentDetail::new(agent, runs))
    }

    /// The versions of an agent's configuration, newest first.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_CURSOR`.
    pub async fn agent_versions(
        &self,
        ctx: &Ctx,
        id: AgentId,
        page: &PageQuery,
    ) -> Result<Page<AgentVersion>> {
        let mut conn = self.store().read().await?;
        agent_own(&mut conn, ctx, id, Scope::AgentsRead).await?;
        let before = match &page.after {
            None => None,
            Some(bytes) => {
                let bytes: [u8; 8] = bytes.as_slice().try_into().map_err(|_| {
                    Error::new(Code::InvalidCursor, "the cursor was not made by this list")
                })?;
                Some(i64::from_be_bytes(bytes))
            }
        };
        let rows = conn.agent_version_list(id, before, page.limit + 1).await?;
        Ok(Page::from_rows(rows, page.limit, |row| {
            row.version.to_be_bytes().to_vec()
        }))
    }

    /// Deletes an agent; its runs are cancelled first, and what it wrote stays.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn agent_delete(&self, ctx: &Ctx, id: AgentId) -> Result<Agent> {
        let mut change = self.change(ctx).await?;
        let agent = agent_own(&mut change, ctx, id, Scope::AgentsRun).await?;
        // Holds the row first, as every change of an agent does before it touches the runs.
        change.agent_standing_set(&agent).await?;
        let step = Step::to(RunState::Cancelled, RunReason::AgentDeleted);
        let runs = self.runs_end_all(&mut change, ctx, id, step).await?;
        change.agent_delete(id).await?;
        let topic = EventTopic::User(agent.owner_id);
        let data = json!({ "id": id, "deleted": true });
        change.event(topic, EventKind::AgentUpdated, &data).await?;
        change
            .audit("agent.deleted", id, json!({ "runs": runs.len() }))
            .await?;
        change.commit().await?;
        for run in runs {
            self.inner.agents.release(run.id);
        }
        Ok(agent)
    }
}

/// An agent that belongs to the caller.
pub(super) async fn agent_own(
    conn: &mut Conn,
    ctx: &Ctx,
    id: AgentId,
    scope: Scope,
) -> Result<Agent> {
    let user_id = user_may(&ctx.actor, scope)?;
    let agent = conn.agent_get(id).await?;
    if agent.owner_id == user_id {
        Ok(agent)
    } else {
        Err(Error::not_found("agent"))
    }
}

fn all_scopes() -> Vec<String> {
    MEMORY_SCOPES
        .iter()
        .map(|&scope| scope.to_owned())
        .collect()
}

/// A text of at most `max` characters, the unit in which the documents count.
fn words(field: &str, text: Option<String>, max: usize) -> Result<Option<String>> {
    let Some(text) = text else { return Ok(None) };
    if text.chars().count() > max {
        return Err(Error::invalid(
            field,
            format!("must have at most {max} characters"),
        ));
    }
    valid::optional_text(field, &text, max * 4).map(Some)
}

fn optional_line(field: &str, text: Option<String>, max: usize) -> Result<Option<String>> {
    text.map(|text| valid::line(field, &text, max)).transpose()
}

fn language(tag: Option<String>) -> Result<Option<String>> {
    let Some(tag) = optional_line("language", tag, 35)? else {
        return Ok(None);
    };
    let mut parts = tag.split('-');
    let first = parts.next().unwrap_or_default();
    let is_tag = (2..=3).contains(&first.len())
        && first.bytes().all(|byte| byte.is_ascii_alphabetic())
        && parts.all(|part| {
            (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
    if is_tag {
        Ok(Some(tag))
    } else {
        Err(Error::invalid(
            "language",
            "must be a BCP 47 tag such as `en` or `sv-SE`",
        ))
    }
}

fn limit(field: &str, value: Option<i64>, max: i64) -> Result<()> {
    if value.is_some_and(|value| !(1..=max).contains(&value)) {
        return Err(Error::invalid(field, format!("must be 1 to {max}")));
    }
    Ok(())
}

/// Holds the fields of an agent to their rules.
fn checked(agent: Agent) -> Result<Agent> {
    let config = agent.config;
    let mut scopes = config.memory_scopes;
    scopes.sort_unstable();
    scopes.dedup();
    if let Some(other) = scopes
        .iter()
        .find(|scope| !MEMORY_SCOPES.contains(&scope.as_str()))
    {
        let shown: String = other.chars().take(40).collect();
        return Err(Error::invalid(
            "memory_scopes",
            format!("`{shown}` is none of `user`, `meeting`, `agent`"),
        ));
    }
    limit(
        "quotas.concurrent_runs",
        config.quotas.concurrent_runs,
        1000,
    )?;
    limit(
        "quotas.answers_per_hour",
        config.quotas.answers_per_hour,
        10_000,
    )?;
    Ok(Agent {
        name: valid::line("name", &agent.name, 80)?,
        config: AgentConfig {
            instructions: words("instructions", config.instructions, 20_000)?,
            language: language(config.language)?,
            model: optional_line("model", config.model, 100)?,
            voice: optional_line("voice", config.voice, 100)?,
            tools: valid::lines("tools", &config.tools, 50, 100)?,
            memory_scopes: scopes,
            address_policy: config.address_policy,
            quotas: config.quotas,
        },
        ..agent
    })
}
