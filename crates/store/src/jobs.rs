//! Background jobs: rows that are claimed for a while, done, and deleted.

use meetmind_core::{Job, JobId, Timestamp};
use sqlx::types::Json;

use crate::db::{execute, fetch_all, fetch_optional};
use crate::statements::statements;
use crate::{Conn, Engine, Result};

macro_rules! job_columns {
    () => {
        "id, kind, webhook_id, payload, run_at, attempts, max_attempts, dedupe_key, last_error, created_at"
    };
}

/// Due, not given up, and not held by a worker whose lease still runs.
macro_rules! is_free {
    () => {
        "failed_at IS NULL AND run_at <= $3 AND (lease_until IS NULL OR lease_until <= $3)"
    };
}

/// The oldest free deliveries of the endpoint `e`, as many as one endpoint has places.
macro_rules! oldest_of_endpoint {
    () => {
        concat!(
            "FROM jobs x WHERE x.webhook_id = e.id AND ",
            is_free!(),
            " ORDER BY x.run_at, x.id LIMIT $5"
        )
    };
}

/// The deliveries that may begin, given how the oldest of each endpoint are joined as `j`: as many
/// as the endpoint has places left, endpoints with fewer at work first. However many wait, it looks
/// at a few of each endpoint.
macro_rules! deliveries_next {
    ($oldest:expr) => {
        concat!(
            "id IN (WITH endpoints AS (SELECT w.id, (SELECT COUNT(*) FROM jobs b WHERE b.webhook_id = w.id AND b.lease_until > $3) AS busy FROM webhooks w),
            ranked AS (SELECT j.id, j.run_at, e.busy + row_number() OVER (PARTITION BY e.id ORDER BY j.run_at, j.id) AS place
                FROM endpoints e ", $oldest, " WHERE e.busy < $5)
            SELECT id FROM ranked WHERE place <= $5 ORDER BY place, run_at, id LIMIT $4)"
        )
    };
}

/// A claim of the jobs that the condition names.
macro_rules! claim {
    ($condition:expr) => {
        concat!(
            "UPDATE jobs SET lease_owner = $1, lease_until = $2, attempts = attempts + 1 WHERE id IN (SELECT id FROM jobs WHERE ",
            is_free!(), " AND ", $condition, ") RETURNING ", job_columns!()
        )
    };
}

statements! {
    // A waiting job with the same key makes the new one needless.
    JOB_INSERT = "INSERT INTO jobs (id, kind, webhook_id, payload, run_at, attempts, max_attempts, dedupe_key, last_error, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (dedupe_key) WHERE dedupe_key IS NOT NULL AND failed_at IS NULL DO NOTHING";
    JOB_CLAIM_SQLITE(sqlite) = claim!("webhook_id IS NULL AND kind <> 'room_webhook' ORDER BY run_at, id LIMIT $4");
    JOB_CLAIM_POSTGRES(postgres) = claim!("webhook_id IS NULL AND kind <> 'room_webhook' ORDER BY run_at, id LIMIT $4 FOR UPDATE SKIP LOCKED");
    ROOM_WEBHOOK_CLAIM_SQLITE(sqlite) = claim!("kind = 'room_webhook' ORDER BY run_at, id LIMIT $4");
    ROOM_WEBHOOK_CLAIM_POSTGRES(postgres) = claim!("kind = 'room_webhook' ORDER BY run_at, id LIMIT $4 FOR UPDATE SKIP LOCKED");
    DELIVERY_CLAIM_SQLITE(sqlite) = claim!(deliveries_next!(concat!("JOIN jobs j ON j.id IN (SELECT x.id ", oldest_of_endpoint!(), ")")));
    // What another worker took since the statement began is no longer free: the row is looked at again once it is locked.
    DELIVERY_CLAIM_POSTGRES(postgres) = claim!(concat!(deliveries_next!(concat!("CROSS JOIN LATERAL (SELECT x.id, x.run_at ",
        oldest_of_endpoint!(), ") j")), " FOR UPDATE SKIP LOCKED"));
    JOB_EXTEND = "UPDATE jobs SET lease_until = $3 WHERE id = $1 AND lease_owner = $2";
    JOB_DONE = "DELETE FROM jobs WHERE id = $1 AND lease_owner = $2";
    JOB_AGAIN = "UPDATE jobs SET run_at = $3, attempts = 0, last_error = NULL, lease_owner = NULL, lease_until = NULL WHERE id = $1 AND lease_owner = $2";
    JOB_RETRY = "UPDATE jobs SET run_at = $3, last_error = $4, lease_owner = NULL, lease_until = NULL WHERE id = $1 AND lease_owner = $2";
    JOB_FAIL = "UPDATE jobs SET failed_at = $3, last_error = $4, lease_owner = NULL, lease_until = NULL WHERE id = $1 AND lease_owner = $2";
    JOB_RELEASE = "UPDATE jobs SET lease_owner = NULL, lease_until = NULL WHERE lease_owner IS NOT NULL AND lease_owner <> $1";
    ROOM_WEBHOOK_NEXT = "SELECT run_at FROM jobs WHERE failed_at IS NULL AND kind = 'room_webhook' AND lease_until IS NULL ORDER BY run_at LIMIT 1";
    JOB_NEXT = "SELECT run_at FROM jobs WHERE failed_at IS NULL AND webhook_id IS NULL AND kind <> 'room_webhook' AND lease_until IS NULL ORDER BY run_at LIMIT 1";
    // Of endpoints without a free place nothing is next: the end of a try wakes the worker.
    DELIVERY_NEXT = "SELECT n.run_at FROM (SELECT (SELECT j.run_at FROM jobs j WHERE j.webhook_id = w.id AND j.failed_at IS NULL AND j.lease_until IS NULL
            ORDER BY j.run_at, j.id LIMIT 1) AS run_at FROM webhooks w
            WHERE (SELECT COUNT(*) FROM jobs b WHERE b.webhook_id = w.id AND b.lease_until > $1) < $2) n
        WHERE n.run_at IS NOT NULL ORDER BY n.run_at LIMIT 1";
    JOB_OLDEST = "SELECT run_at FROM jobs WHERE failed_at IS NULL AND webhook_id IS NULL AND run_at <= $1
        AND (lease_until IS NULL OR lease_until <= $1) ORDER BY run_at LIMIT 1";
    DELIVERY_OLDEST = "SELECT run_at FROM jobs WHERE failed_at IS NULL AND webhook_id IS NOT NULL AND run_at <= $1
        AND (lease_until IS NULL OR lease_until <= $1) ORDER BY run_at LIMIT 1";
    JOB_LIST = concat!("SELECT ", job_columns!(), " FROM jobs WHERE failed_at IS NULL ORDER BY run_at, id LIMIT $1");
    JOB_FAILED_LIST = concat!("SELECT ", job_columns!(), " FROM jobs WHERE failed_at IS NOT NULL ORDER BY id LIMIT $1");
    JOB_FAILED_TRIM = "DELETE FROM jobs WHERE failed_at < $1";
}

impl Conn {
    /// Adds a job. Gives `false`, and adds none, when one with the same dedupe key waits.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn job_insert(&mut self, job: &Job) -> Result<bool> {
        let added = execute!(
            self,
            JOB_INSERT,
            job.id,
            job.kind,
            job.webhook_id,
            Json(&job.payload),
            job.run_at,
            job.attempts,
            job.max_attempts,
            &job.dedupe_key,
            &job.last_error,
            job.created_at
        )?;
        Ok(added == 1)
    }

    /// Takes up to `limit` due jobs that are no deliveries and no webhooks of rooms for `node` until `lease_until`, counting
    /// the attempt. Two workers never get the same job; one whose worker's lease ran out is given
    /// again.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn job_claim(
        &mut self,
        node: &str,
        now: Timestamp,
        lease_until: Timestamp,
        limit: i64,
    ) -> Result<Vec<Job>> {
        let sql = match self.engine() {
            Engine::Sqlite => JOB_CLAIM_SQLITE,
            Engine::Postgres => JOB_CLAIM_POSTGRES,
        };
        let mut jobs: Vec<Job> = fetch_all!(self, sql, node, lease_until, now, limit)?;
        jobs.sort_by_key(|job| (job.run_at, job.id));
        Ok(jobs)
    }

    /// Takes up to `limit` due jobs that send LiveKit's webhooks, like [`Conn::job_claim`].
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn job_claim_room_webhooks(
        &mut self,
        node: &str,
        now: Timestamp,
        lease_until: Timestamp,
        limit: i64,
    ) -> Result<Vec<Job>> {
        let sql = match self.engine() {
            Engine::Sqlite => ROOM_WEBHOOK_CLAIM_SQLITE,
            Engine::Postgres => ROOM_WEBHOOK_CLAIM_POSTGRES,
        };
        let mut jobs: Vec<Job> = fetch_all!(self, sql, node, lease_until, now, limit)?;
        jobs.sort_by_key(|job| (job.run_at, job.id));
        Ok(jobs)
    }

    /// Takes up to `limit` due deliveries like [`Conn::job_claim`], so that no endpoint has more
    /// than `per_endpoint` at work; the oldest of each endpoint first.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn job_claim_deliveries(
        &mut self,
        node: &str,
        now: Timestamp,
        lease_until: Timestamp,
        limit: i64,
        per_endpoint: i64,
    ) -> Result<Vec<Job>> {
        let sql = match self.engine() {
            Engine::Sqlite => DELIVERY_CLAIM_SQLITE,
            Engine::Postgres => DELIVERY_CLAIM_POSTGRES,
        };
        let mut jobs: Vec<Job> =
            fetch_all!(self, sql, node, lease_until, now, limit, per_endpoint)?;
        jobs.sort_by_key(|job| (job.run_at, job.id));
        Ok(jobs)
    }

    /// Holds a job longer; gives whether `node` still held it.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn job_extend(
        &mut self,
        id: JobId,
        node: &str,
        lease_until: Timestamp,
    ) -> Result<bool> {
        Ok(execute!(self, JOB_EXTEND, id, node, lease_until)? == 1)
    }

    /// Deletes a job that is done; gives whether `node` still held it.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn job_done(&mut self, id: JobId, node: &str) -> Result<bool> {
        Ok(execute!(self, JOB_DONE, id, node)? == 1)
    }

    /// Puts a job that is done back for its next turn; gives whether `node` still held it.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn job_again(&mut self, id: JobId, node: &str, run_at: Timestamp) -> Result<bool> {
        Ok(execute!(self, JOB_AGAIN, id, node, run_at)? == 1)
    }

    /// Puts a job that went wrong back for another try; gives whether `node` still held it.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn job_retry(
        &mut self,
        id: JobId,
        node: &str,
        run_at: Timestamp,
        error: &str,
    ) -> Result<bool> {
        Ok(execute!(self, JOB_RETRY, id, node, run_at, error)? == 1)
    }

    /// Gives a job up; the row stays for the operator. Gives whether `node` still held it.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn job_fail(
        &mut self,
        id: JobId,
        node: &str,
        now: Timestamp,
        error: &str,
    ) -> Result<bool> {
        Ok(execute!(self, JOB_FAIL, id, node, now, error)? == 1)
    }

    /// Frees what other nodes hold. Only for a database that one process alone can open.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn job_release_others(&mut self, node: &str) -> Result<u64> {
        execute!(self, JOB_RELEASE, node)
    }

    /// When the next free job that is no delivery is due, if any waits.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn job_next_at(&mut self) -> Result<Option<Timestamp>> {
        let row: Option<(Timestamp,)> = fetch_optional!(self, JOB_NEXT)?;
        Ok(row.map(|(at,)| at))
    }

    /// When the next free job that sends LiveKit's webhooks is due, if any waits.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn job_next_room_webhook_at(&mut self) -> Result<Option<Timestamp>> {
        let row: Option<(Timestamp,)> = fetch_optional!(self, ROOM_WEBHOOK_NEXT)?;
        Ok(row.map(|(at,)| at))
    }

    /// When the next delivery is due to an endpoint with fewer than `per_endpoint` at work.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn job_next_delivery_at(
        &mut self,
        now: Timestamp,
        per_endpoint: i64,
    ) -> Result<Option<Timestamp>> {
        let row: Option<(Timestamp,)> = fetch_optional!(self, DELIVERY_NEXT, now, per_endpoint)?;
        Ok(row.map(|(at,)| at))
    }

    /// Since when the job that waits longest is due: of the deliveries, or of all others.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn job_oldest_due(
        &mut self,
        now: Timestamp,
        deliveries: bool,
    ) -> Result<Option<Timestamp>> {
        let sql = if deliveries {
            DELIVERY_OLDEST
        } else {
            JOB_OLDEST
        };
        let row: Option<(Timestamp,)> = fetch_optional!(self, sql, now)?;
        Ok(row.map(|(at,)| at))
    }

    /// Jobs that wait or are at work, the most urgent first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn job_list(&mut self, limit: i64) -> Result<Vec<Job>> {
        fetch_all!(self, JOB_LIST, limit)
    }

    /// Jobs that were given up, oldest first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn job_list_failed(&mut self, limit: i64) -> Result<Vec<Job>> {
        fetch_all!(self, JOB_FAILED_LIST, limit)
    }

    /// Deletes jobs that were given up before `before`.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn job_trim_failed(&mut self, before: Timestamp) -> Result<u64> {
        execute!(self, JOB_FAILED_TRIM, before)
    }
}
