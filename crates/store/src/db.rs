//! The two engines behind one [`Store`], and the connection that every statement runs on.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{
    Connection as _, PgConnection, PgPool, Postgres, Sqlite, SqliteConnection, SqlitePool,
    Transaction,
};

use crate::{Error, Result};

/// Where the data is and how it is opened.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `sqlite:PATH` or a `postgres://` URL.
    pub url: String,
    /// What a power cut may cost on SQLite.
    pub synchronous: Synchronous,
    /// Connections for reading (SQLite) or in all (Postgres).
    pub max_connections: u32,
    /// How long a caller waits for a connection.
    pub acquire_timeout: Duration,
}

/// When SQLite waits for the disk. In both settings a killed process loses nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synchronous {
    /// At checkpoints: a power cut may cost the last moments, never the file.
    Normal,
    /// At every commit: a power cut costs nothing that was acknowledged.
    Full,
}

impl Settings {
    /// A SQLite file with the default settings.
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Self::url(format!("sqlite:{}", path.into().display()))
    }

    /// Any URL with the default settings.
    pub fn url(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            synchronous: Synchronous::Normal,
            max_connections: 8,
            acquire_timeout: Duration::from_secs(5),
        }
    }
}

/// Which engine holds the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// A file of ours.
    Sqlite,
    /// A server.
    Postgres,
}

impl Engine {
    /// The engine's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Engine::Sqlite => "sqlite",
            Engine::Postgres => "postgres",
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Db {
    /// One writer, because SQLite has one; readers beside it see the last commit (WAL).
    Sqlite {
        write: SqlitePool,
        read: SqlitePool,
    },
    Postgres(PgPool),
}

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) db: Db,
}

impl Store {
    /// Opens the database without touching its schema; see [`Store::migrate`].
    ///
    /// # Errors
    /// When the URL fits no engine, or the database cannot be reached.
    pub async fn open(settings: &Settings) -> Result<Self> {
        let db = if settings.url.starts_with("postgres://")
            || settings.url.starts_with("postgresql://")
        {
            let options = PgConnectOptions::from_str(&settings.url).map_err(|error| {
                Error::Setup(format!("the database URL cannot be read: {error}"))
            })?;
            if options.get_port() == 6543 {
                // A pooler in transaction mode hands one statement's parse to another client's
                // connection: answers would be mixed up. Measured with pgbouncer and sqlx 0.9.
                return Err(Error::Setup(
                    "port 6543 is a transaction pooler; use the direct or session port (5432)"
                        .to_owned(),
                ));
            }
            let options = options
                .application_name("meetmind")
                .options([("statement_timeout", "10000")]);
            let pool = PgPoolOptions::new()
                .max_connections(settings.max_connections)
                .acquire_timeout(settings.acquire_timeout)
                .connect_with(options)
                .await?;
            Db::Postgres(pool)
        } else if settings.url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(&settings.url)
                .map_err(|error| {
                    Error::Setup(format!("the database path cannot be read: {error}"))
                })?
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(match settings.synchronous {
                    Synchronous::Normal => SqliteSynchronous::Normal,
                    Synchronous::Full => SqliteSynchronous::Full,
                })
                .foreign_keys(true)
                .busy_timeout(Duration::from_secs(5))
                .statement_cache_capacity(400)
                .pragma("cache_size", "-8000")
                .pragma("temp_store", "MEMORY");
            let pool = |size| {
                SqlitePoolOptions::new()
                    .max_connections(size)
                    .acquire_timeout(settings.acquire_timeout)
                    .test_before_acquire(false)
                    // A full disk makes SQLite roll back by itself. sqlx does not hear of it and
                    // believes the transaction open for ever: that connection is replaced.
                    .before_acquire(|connection, _| {
                        let usable = !connection.is_in_transaction();
                        Box::pin(async move { Ok(usable) })
                    })
            };
            let write = pool(1).connect_with(options.clone()).await?;
            let read = pool(settings.max_connections)
                .connect_with(options.pragma("query_only", "ON"))
                .await?;
            Db::Sqlite { write, read }
        } else {
            return Err(Error::Setup(
                "the database URL must begin with sqlite: or postgres://".to_owned(),
            ));
        };
        Ok(Self { db })
    }

    /// Which engine this is.
    pub fn engine(&self) -> Engine {
        match self.db {
            Db::Sqlite { .. } => Engine::Sqlite,
            Db::Postgres(_) => Engine::Postgres,
        }
    }

    /// Bytes that the file system of a SQLite database still gives to this process; `None` on
    /// Postgres, whose disk is not ours to see, and where the system does not tell.
    pub fn disk_free(&self) -> Option<u64> {
        let Db::Sqlite { write, .. } = &self.db else {
            return None;
        };
        let options = write.connect_options();
        let folder = options.get_filename().parent()?;
        let space = rustix::fs::statvfs(folder).ok()?;
        Some(space.f_bavail.saturating_mul(space.f_frsize))
    }

    /// A connection for reading what is committed.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when none is free in time.
    pub async fn read(&self) -> Result<Conn> {
        Ok(Conn(match &self.db {
            Db::Sqlite { read, .. } => Inner::Sqlite(read.acquire().await?),
            Db::Postgres(pool) => Inner::Postgres(pool.acquire().await?),
        }))
    }

    /// A transaction for reading and writing. Dropped without [`Conn::commit`], it leaves nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the writer is not free in time.
    pub async fn begin(&self) -> Result<Conn> {
        Ok(Conn(match &self.db {
            // IMMEDIATE: a transaction that reads first and writes later cannot fail on the way.
            Db::Sqlite { write, .. } => Inner::SqliteTx(write.begin_with("BEGIN IMMEDIATE").await?),
            Db::Postgres(pool) => Inner::PostgresTx(pool.begin().await?),
        }))
    }

    /// Closes all connections; SQLite's log is folded into its file.
    pub async fn close(&self) {
        match &self.db {
            Db::Sqlite { write, read } => {
                read.close().await;
                let _ = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
                    .execute(write)
                    .await;
                write.close().await;
            }
            Db::Postgres(pool) => pool.close().await,
        }
    }

    /// The settings that decide what a power cut may cost, by the engine's own names, as they are
    /// in force.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn durability(&self) -> Result<Vec<(&'static str, String)>> {
        let mut settings = Vec::new();
        match &self.db {
            Db::Sqlite { write, .. } => {
                let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
                    .fetch_one(write)
                    .await?;
                settings.push(("journal_mode", mode));
                let level: i64 = sqlx::query_scalar("PRAGMA synchronous")
                    .fetch_one(write)
                    .await?;
                let word = ["off", "normal", "full", "extra"];
                let word = usize::try_from(level).ok().and_then(|at| word.get(at));
                settings.push(("synchronous", word.copied().unwrap_or("unknown").to_owned()));
            }
            Db::Postgres(pool) => {
                for (name, statement) in [
                    ("fsync", "SHOW fsync"),
                    ("synchronous_commit", "SHOW synchronous_commit"),
                    ("full_page_writes", "SHOW full_page_writes"),
                ] {
                    let value = sqlx::query_scalar(statement).fetch_one(pool).await?;
                    settings.push((name, value));
                }
            }
        }
        Ok(settings)
    }

    /// Connections in use and open, for the metrics.
    pub fn pool_use(&self) -> (usize, u32) {
        match &self.db {
            Db::Sqlite { read, .. } => (
                (read.size() as usize).saturating_sub(read.num_idle()),
                read.size(),
            ),
            Db::Postgres(pool) => (
                (pool.size() as usize).saturating_sub(pool.num_idle()),
                pool.size(),
            ),
        }
    }
}

/// A connection, with or without an open transaction. All statements are functions of it.
#[derive(Debug)]
pub struct Conn(Inner);

#[derive(Debug)]
enum Inner {
    Sqlite(PoolConnection<Sqlite>),
    SqliteTx(Transaction<'static, Sqlite>),
    Postgres(PoolConnection<Postgres>),
    PostgresTx(Transaction<'static, Postgres>),
}

/// The engine's own connection, for the macros below.
pub(crate) enum Handle<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

impl Conn {
    /// Makes what the transaction did last; nothing to do for a plain connection.
    ///
    /// # Errors
    /// When the engine cannot: then nothing was kept.
    pub async fn commit(self) -> Result<()> {
        match self.0 {
            Inner::SqliteTx(transaction) => transaction.commit().await?,
            Inner::PostgresTx(transaction) => transaction.commit().await?,
            Inner::Sqlite(_) | Inner::Postgres(_) => {}
        }
        Ok(())
    }

    /// Which engine this is.
    pub fn engine(&self) -> Engine {
        match self.0 {
            Inner::Sqlite(_) | Inner::SqliteTx(_) => Engine::Sqlite,
            Inner::Postgres(_) | Inner::PostgresTx(_) => Engine::Postgres,
        }
    }

    pub(crate) fn handle(&mut self) -> Handle<'_> {
        match &mut self.0 {
            Inner::Sqlite(connection) => Handle::Sqlite(connection),
            Inner::SqliteTx(transaction) => Handle::Sqlite(transaction),
            Inner::Postgres(connection) => Handle::Postgres(connection),
            Inner::PostgresTx(transaction) => Handle::Postgres(transaction),
        }
    }
}

/// Runs one body on whichever engine the connection has.
macro_rules! on_engine {
    ($conn:expr, $handle:ident => $body:expr) => {
        match $conn.handle() {
            $crate::db::Handle::Sqlite($handle) => $body,
            $crate::db::Handle::Postgres($handle) => $body,
        }
    };
}

/// Runs a statement; gives the number of rows it changed.
macro_rules! execute {
    ($conn:expr, $sql:expr $(, $arg:expr)* $(,)?) => {
        $crate::db::on_engine!($conn, handle => sqlx::query($sql)$(.bind($arg))*.execute(handle).await.map(|done| done.rows_affected()))
            .map_err($crate::Error::from)
    };
}

/// Fetches at most one row as the type asked for.
macro_rules! fetch_optional {
    ($conn:expr, $sql:expr $(, $arg:expr)* $(,)?) => {
        $crate::db::on_engine!($conn, handle => sqlx::query_as($sql)$(.bind($arg))*.fetch_optional(handle).await)
            .map_err($crate::Error::from)
    };
}

/// Fetches exactly one row as the type asked for.
macro_rules! fetch_one {
    ($conn:expr, $sql:expr $(, $arg:expr)* $(,)?) => {
        $crate::db::on_engine!($conn, handle => sqlx::query_as($sql)$(.bind($arg))*.fetch_one(handle).await)
            .map_err($crate::Error::from)
    };
}

/// Fetches all rows as the type asked for.
macro_rules! fetch_all {
    ($conn:expr, $sql:expr $(, $arg:expr)* $(,)?) => {
        $crate::db::on_engine!($conn, handle => sqlx::query_as($sql)$(.bind($arg))*.fetch_all(handle).await)
            .map_err($crate::Error::from)
    };
}

pub(crate) use {execute, fetch_all, fetch_one, fetch_optional, on_engine};

#[cfg(test)]
mod tests {
    use super::Db;
    use crate::testing::TestDb;
    use crate::{Engine, Error};

    #[tokio::test]
    async fn writing_goes_on_after_a_full_disk() {
        let db = TestDb::new(Engine::Sqlite)
            .await
            .expect("a test database")
            .expect("SQLite is always there");
        let Db::Sqlite { write, .. } = &db.store.db else {
            panic!("not SQLite");
        };
        // The file may not grow any more: to SQLite that is a full disk.
        sqlx::query("PRAGMA max_page_count = 1")
            .execute(write)
            .await
            .expect("a limit");
        let big = "x".repeat(1 << 20);
        let error = db.store.instance_set("big", &big).await;
        assert!(matches!(error, Err(Error::Full(_))), "{error:?}");
        // The limit belonged to the connection that could not go on; a new one has none.
        db.store
            .instance_set("big", &big)
            .await
            .expect("room again");
    }
}
