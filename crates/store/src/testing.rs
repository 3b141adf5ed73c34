//! Databases for tests, of this crate and the ones above it: each test owns its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use meetmind_core::{MeetingId, MessageId, ParticipantId, Timestamp, UserId};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::db::{Db, execute, on_engine};
use crate::{Conn, Engine, Result, Settings, Store};

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A migrated database of one test.
#[derive(Debug)]
pub struct TestDb {
    /// The open store.
    pub store: Store,
    /// How it was opened, to open it again.
    pub settings: Settings,
    directory: Option<PathBuf>,
}

impl TestDb {
    /// A folder that goes with the database, for files of the test; none on Postgres.
    pub fn directory(&self) -> Option<&std::path::Path> {
        self.directory.as_deref()
    }

    /// A fresh database on `engine`. `None` when the engine is Postgres and `TEST_POSTGRES_URL`
    /// names no server: the test then says that it did nothing.
    ///
    /// # Errors
    /// When the database cannot be made.
    pub async fn new(engine: Engine) -> Result<Option<Self>> {
        let unique = format!(
            "{}_{}",
            std::process::id(),
            COUNTER.fetch_add(1, Ordering::Relaxed)
        );
        let (settings, directory) = match engine {
            Engine::Sqlite => {
                let directory = std::env::temp_dir().join(format!("meetmind-test-{unique}"));
                std::fs::create_dir_all(&directory)
                    .map_err(|error| crate::Error::Setup(error.to_string()))?;
                (
                    Settings::sqlite(directory.join("meetmind.db")),
                    Some(directory),
                )
            }
            Engine::Postgres => {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "the one place where tests learn of the server"
                )]
                let Ok(base) = std::env::var("TEST_POSTGRES_URL") else {
                    println!("skipped on Postgres: TEST_POSTGRES_URL is not set");
                    return Ok(None);
                };
                let name = format!("mm_test_{unique}");
                let mut admin = PgConnection::connect(&base).await?;
                let template = postgres_template(&base, &mut admin).await?;
                sqlx::query(AssertSqlSafe(format!(
                    "CREATE DATABASE {name} TEMPLATE {template}"
                )))
                .execute(&mut admin)
                .await?;
                (
                    Settings {
                        max_connections: 4,
                        ..Settings::url(with_database(&base, &name))
                    },
                    None,
                )
            }
        };
        let store = Store::open(&settings).await?;
        store.migrate("test").await?;
        Ok(Some(Self {
            store,
            settings,
            directory,
        }))
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        if let Some(directory) = &self.directory {
            let _ = std::fs::remove_dir_all(directory);
        }
    }
}

/// Migrates one template per process; copying it is ten times faster than migrating again.
async fn postgres_template(base: &str, admin: &mut PgConnection) -> Result<String> {
    static TEMPLATE: tokio::sync::OnceCell<String> = tokio::sync::OnceCell::const_new();
    TEMPLATE
        .get_or_try_init(|| async {
            let name = format!("mm_template_{}", std::process::id());
            sqlx::query(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name}")))
                .execute(&mut *admin)
                .await?;
            sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}")))
                .execute(&mut *admin)
                .await?;
            let store = Store::open(&Settings {
                max_connections: 1,
                ..Settings::url(with_database(base, &name))
            })
            .await?;
            store.migrate("test").await?;
            store.close().await;
            Ok(name)
        })
        .await
        .cloned()
}

/// The URL with another database name; the query part (a socket directory, say) stays.
fn with_database(base: &str, name: &str) -> String {
    let (path, query) = base
        .split_once('?')
        .map_or((base, None), |(path, query)| (path, Some(query)));
    let root = path
        .rsplit_once('/')
        .filter(|(root, _)| root.matches('/').count() >= 2)
        .map_or(path, |(root, _)| root);
    match query {
        Some(query) => format!("{root}/{name}?{query}"),
        None => format!("{root}/{name}"),
    }
}

impl Store {
    /// Prepares every statement on this engine; gives what the engine says of those it refuses.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn prepare_all(&self) -> Result<Vec<String>> {
        let mut faults = Vec::new();
        for (part, name, sql, on) in crate::statements::all() {
            if matches!(on, crate::statements::On::Only(engine) if engine != self.engine()) {
                continue;
            }
            let mut conn = self.read().await?;
            let outcome = on_engine!(conn, handle => handle.prepare(sqlx::SqlStr::from_static(sql)).await.map(drop));
            if let Err(error) = outcome {
                faults.push(format!("{part}::{name}: {error}"));
            }
        }
        Ok(faults)
    }

    /// Each table's columns in alphabetical order, without the engines' own tables.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn table_columns(&self) -> Result<BTreeMap<String, Vec<String>>> {
        let rows: Vec<(String, String)> = match &self.db {
            Db::Sqlite { read, .. } => {
                sqlx::query_as(
                    "SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c
                     WHERE t.type = 'table' AND t.name NOT LIKE '%!_fts%' ESCAPE '!' AND t.name NOT LIKE 'sqlite%' ORDER BY 1, 2",
                )
                .fetch_all(read)
                .await?
            }
            Db::Postgres(pool) => {
                sqlx::query_as(
                    "SELECT table_name::text, column_name::text FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2",
                )
                .fetch_all(pool)
                .await?
            }
        };
        let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (table, column) in rows {
            tables.entry(table).or_default().push(column);
        }
        for columns in tables.values_mut() {
            columns.sort();
        }
        Ok(tables)
    }

    /// Writes a migration number that this program does not know.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn pretend_schema(&self, version: i64) -> Result<()> {
        let mut tx = self.begin().await?;
        let sql = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES ($1, 'later', TRUE, $2, 0)";
        execute!(tx, sql, version, vec![0u8])?;
        tx.commit().await
    }

    /// Adds a user without a password.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn seed_user(&self, tx: &mut Conn, id: UserId, email: &str) -> Result<()> {
        let sql = "INSERT INTO users (id, email, name, role, preferences, created_at, updated_at) VALUES ($1, $2, $2, 'member', $3, $4, $4)";
        execute!(
            tx,
            sql,
            id,
            email,
            sqlx::types::Json(serde_json::json!({})),
            Timestamp::from_micros(0)
        )?;
        Ok(())
    }

    /// Adds a scribe of `owner_id`.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn seed_agent(
        &self,
        tx: &mut Conn,
        id: meetmind_core::AgentId,
        owner_id: UserId,
    ) -> Result<()> {
        let sql = "INSERT INTO agents (id, owner_id, name, role, config, version, auto_join, created_at, updated_at) VALUES ($1, $2, 'Scribe', 'scribe', $3, 1, FALSE, $4, $4)";
        execute!(
            tx,
            sql,
            id,
            owner_id,
            sqlx::types::Json(serde_json::json!({})),
            Timestamp::from_micros(0)
        )?;
        Ok(())
    }
}

impl Store {
    /// Adds a chat message.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn seed_message(
        &self,
        tx: &mut Conn,
        id: MessageId,
        meeting_id: MeetingId,
        participant_id: ParticipantId,
        author: &str,
    ) -> Result<()> {
        let sql = "INSERT INTO messages (id, meeting_id, participant_id, author, kind, text, segment_ids, created_at) VALUES ($1, $2, $3, $4, 'text', 'hello', $5, $6)";
        let none = sqlx::types::Json(serde_json::json!([]));
        let at = Timestamp::from_micros(0);
        execute!(tx, sql, id, meeting_id, participant_id, author, none, at)?;
        Ok(())
    }
}

/// Runs one test body on SQLite and on Postgres: `both_engines!(name, db => { … });`.
/// The two tests are `name::sqlite` and `name::postgres`.
#[macro_export]
macro_rules! both_engines {
    ($(#[$meta:meta])* $name:ident, $db:ident => $body:block) => {
        $(#[$meta])*
        mod $name {
            use super::*;

            async fn body($db: $crate::testing::TestDb) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                let db = $crate::testing::TestDb::new($crate::Engine::Sqlite).await.expect("a test database");
                body(db.expect("SQLite is always there")).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                if let Some(db) = $crate::testing::TestDb::new($crate::Engine::Postgres).await.expect("a test database") {
                    body(db).await;
                }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn the_database_name_is_replaced_and_the_rest_stays() {
        assert_eq!(
            with_database("postgres://a@localhost/postgres?host=%2Ftmp", "x"),
            "postgres://a@localhost/x?host=%2Ftmp"
        );
        assert_eq!(
            with_database("postgres://a@localhost", "x"),
            "postgres://a@localhost/x"
        );
    }
}
