//! Background work.

use meetmind_core::Job;
use sqlx::types::Json;

use crate::db::execute;
use crate::statements::statements;
use crate::{Conn, Result};

statements! {
    JOB_INSERT = "INSERT INTO jobs (id, kind, payload, run_at, attempts, max_attempts, dedupe_key, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";
}

impl Conn {
    /// Queues a job; gives whether it is new, because at most one waits per dedupe key.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn job_insert(&mut self, job: &Job) -> Result<bool> {
        let added = execute!(
            self,
            JOB_INSERT,
            job.id,
            job.kind,
            Json(&job.payload),
            job.run_at,
            job.attempts,
            job.max_attempts,
            &job.dedupe_key,
            job.created_at
        )?;
        Ok(added == 1)
    }
}
