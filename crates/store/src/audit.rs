//! The audit log: who changed what concerns security, never words of meetings.

use meetmind_core::{AuditEntry, AuditId};
use sqlx::types::Json;

use crate::db::{execute, fetch_all};
use crate::statements::statements;
use crate::{Conn, Result};

statements! {
    AUDIT_INSERT = "INSERT INTO audit_log (id, at, actor, action, subject, address, details) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    AUDIT_LIST = "SELECT id, at, actor, action, subject, address, details FROM audit_log
        WHERE (id < $1 OR $1 IS NULL) ORDER BY id DESC LIMIT $2";
}

impl Conn {
    /// Appends an entry.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn audit_insert(&mut self, entry: &AuditEntry) -> Result<()> {
        execute!(
            self,
            AUDIT_INSERT,
            entry.id,
            entry.at,
            &entry.actor,
            &entry.action,
            &entry.subject,
            &entry.address,
            Json(&entry.details)
        )?;
        Ok(())
    }

    /// Up to `limit` entries before `before`, newest first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn audit_list(
        &mut self,
        before: Option<AuditId>,
        limit: i64,
    ) -> Result<Vec<AuditEntry>> {
        fetch_all!(self, AUDIT_LIST, before, limit)
    }
}
