//! Agents: definitions that users own, and the versions they had.

use meetmind_core::{Agent, AgentId, AgentStatus, AgentVersion, UserId};
use sqlx::types::Json;

use crate::db::{execute, fetch_all, fetch_one, fetch_optional};
use crate::statements::statements;
use crate::{Conn, Error, Result};

macro_rules! agent_columns {
    () => {
        "a.id, a.owner_id, a.name, a.role, a.config, a.version, a.auto_join, a.disabled_at, a.created_at, a.updated_at"
    };
}

/// Whether an agent has a run that is not over.
macro_rules! agent_runs {
    () => {
        "EXISTS (SELECT 1 FROM runs r WHERE r.agent_id = a.id AND r.ended_at IS NULL)"
    };
}

statements! {
    AGENT_INSERT = "INSERT INTO agents (id, owner_id, name, role, config, version, auto_join, disabled_at, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    AGENT_GET = concat!("SELECT ", agent_columns!(), " FROM agents a WHERE a.id = $1");
    AGENT_UPDATE = "UPDATE agents SET name = $2, role = $3, config = $4, auto_join = $5, version = version + 1, updated_at = $6
        WHERE id = $1 AND version = $7";
    AGENT_STANDING_SET = "UPDATE agents SET auto_join = $2, disabled_at = $3, updated_at = $4 WHERE id = $1";
    AGENT_DELETE = "DELETE FROM agents WHERE id = $1";
    AGENT_COUNT = "SELECT COUNT(*) FROM agents WHERE owner_id = $1";
    // The status is derived: disabled first, then running while any run is open, else stopped.
    AGENT_LIST = concat!("SELECT ", agent_columns!(), " FROM agents a
        WHERE (a.owner_id = $1 OR $1 IS NULL) AND (a.id < $2 OR $2 IS NULL)
        AND ((a.disabled_at IS NOT NULL AND $3 = 'disabled')
            OR (a.disabled_at IS NULL AND $3 = 'running' AND ", agent_runs!(), ")
            OR (a.disabled_at IS NULL AND $3 = 'stopped' AND NOT ", agent_runs!(), ")
            OR $3 IS NULL)
        ORDER BY a.id DESC LIMIT $4");
    AGENT_AUTO_JOIN_LIST = concat!("SELECT ", agent_columns!(), " FROM agents a
        WHERE a.owner_id = $1 AND a.auto_join AND a.disabled_at IS NULL ORDER BY a.id LIMIT $2");
    AGENT_VERSION_INSERT = "INSERT INTO agent_versions (agent_id, version, config, created_at) VALUES ($1, $2, $3, $4)";
    AGENT_VERSION_LIST = "SELECT version, config, created_at FROM agent_versions
        WHERE agent_id = $1 AND (version < $2 OR $2 IS NULL) ORDER BY version DESC LIMIT $3";
    AGENT_VERSION_GET = "SELECT version, config, created_at FROM agent_versions WHERE agent_id = $1 AND version = $2";
    // Changes nothing, but makes others who count this user's things wait for the commit.
    OWNER_LOCK = "UPDATE users SET name = name WHERE id = $1";
}

impl Conn {
    /// Adds an agent and its first version.
    ///
    /// # Errors
    /// When the owner is gone, or the database refuses.
    pub async fn agent_insert(&mut self, a: &Agent) -> Result<()> {
        execute!(
            self,
            AGENT_INSERT,
            a.id,
            a.owner_id,
            &a.name,
            a.role,
            Json(&a.config),
            a.version,
            a.auto_join,
            a.disabled_at,
            a.created_at,
            a.updated_at
        )?;
        self.agent_version_insert(a).await
    }

    async fn agent_version_insert(&mut self, a: &Agent) -> Result<()> {
        execute!(
            self,
            AGENT_VERSION_INSERT,
            a.id,
            a.version,
            Json(&a.config),
            a.updated_at
        )?;
        Ok(())
    }

    /// One agent.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database cannot be reached.
    pub async fn agent_get(&mut self, id: AgentId) -> Result<Agent> {
        fetch_optional!(self, AGENT_GET, id)?.ok_or(Error::NotFound("agent"))
    }

    /// Writes what its owner may change, if the row still has the version before `a.version`,
    /// and keeps `a` as a version of its own; gives whether it had.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn agent_update(&mut self, a: &Agent) -> Result<bool> {
        let changed = execute!(
            self,
            AGENT_UPDATE,
            a.id,
            &a.name,
            a.role,
            Json(&a.config),
            a.auto_join,
            a.updated_at,
            a.version - 1
        )?;
        if changed == 1 {
            self.agent_version_insert(a).await?;
        }
        Ok(changed == 1)
    }

    /// Writes whether an agent joins by itself and whether it is disabled.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn agent_standing_set(&mut self, a: &Agent) -> Result<()> {
        execute!(
            self,
            AGENT_STANDING_SET,
            a.id,
            a.auto_join,
            a.disabled_at,
            a.updated_at
        )?;
        Ok(())
    }

    /// Deletes an agent with its versions and runs; gives whether it was there.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn agent_delete(&mut self, id: AgentId) -> Result<bool> {
        Ok(execute!(self, AGENT_DELETE, id)? == 1)
    }

    /// How many agents a user has.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn agent_count(&mut self, owner_id: UserId) -> Result<i64> {
        let (count,): (i64,) = fetch_one!(self, AGENT_COUNT, owner_id)?;
        Ok(count)
    }

    /// Agents, newest first: of one owner, or of all.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn agent_list(
        &mut self,
        owner_id: Option<UserId>,
        status: Option<AgentStatus>,
        before: Option<AgentId>,
        limit: i64,
    ) -> Result<Vec<Agent>> {
        fetch_all!(self, AGENT_LIST, owner_id, before, status, limit)
    }

    /// A user's agents that join by themselves, oldest first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn agent_list_auto_join(
        &mut self,
        owner_id: UserId,
        limit: i64,
    ) -> Result<Vec<Agent>> {
        fetch_all!(self, AGENT_AUTO_JOIN_LIST, owner_id, limit)
    }

    /// The versions of an agent's configuration, newest first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn agent_version_list(
        &mut self,
        id: AgentId,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<AgentVersion>> {
        fetch_all!(self, AGENT_VERSION_LIST, id, before, limit)
    }

    /// One version of an agent's configuration.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database cannot be reached.
    pub async fn agent_version_get(&mut self, id: AgentId, version: i64) -> Result<AgentVersion> {
        fetch_optional!(self, AGENT_VERSION_GET, id, version)?.ok_or(Error::NotFound("version"))
    }

    /// Holds back other changes that count this user's agents or runs until the commit.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn owner_lock(&mut self, owner_id: UserId) -> Result<()> {
        execute!(self, OWNER_LOCK, owner_id)?;
        Ok(())
    }
}
