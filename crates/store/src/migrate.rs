//! Bringing the schema up to date.

use sqlx::migrate::Migrator;

use crate::db::{Db, execute, fetch_optional};
use crate::{Error, Result, Store};

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

const INSTANCE_GET: &str = "SELECT value FROM instance WHERE key = $1";
const INSTANCE_SET: &str = "INSERT INTO instance (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";

impl Store {
    /// Applies the migrations that are missing and notes which program did.
    ///
    /// # Errors
    /// [`Error::NewerSchema`] when a newer program wrote the database: nothing is touched then.
    pub async fn migrate(&self, program_version: &str) -> Result<()> {
        let known = Self::schema_known();
        if let Some(found) = self.schema_version().await?.filter(|found| *found > known) {
            let written_by = self
                .instance_get("written_by")
                .await?
                .unwrap_or_else(|| "of another version".to_owned());
            return Err(Error::NewerSchema {
                found,
                known,
                written_by,
            });
        }
        match &self.db {
            Db::Sqlite { write, .. } => SQLITE.run(write).await?,
            Db::Postgres(pool) => POSTGRES.run(pool).await?,
        }
        self.instance_set("written_by", program_version).await
    }

    /// The newest migration that this program has.
    pub fn schema_known() -> i64 {
        SQLITE
            .iter()
            .map(|migration| migration.version)
            .max()
            .unwrap_or(0)
    }

    /// The newest applied migration; `None` for an empty database.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn schema_version(&self) -> Result<Option<i64>> {
        let sql = "SELECT MAX(version) FROM _sqlx_migrations";
        let found: std::result::Result<Option<i64>, sqlx::Error> = match &self.db {
            Db::Sqlite { write, .. } => sqlx::query_scalar(sql).fetch_one(write).await,
            Db::Postgres(pool) => sqlx::query_scalar(sql).fetch_one(pool).await,
        };
        match found {
            Ok(version) => Ok(version),
            // The table is not there yet.
            Err(sqlx::Error::Database(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A value that belongs to the whole instance, such as its signing key.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn instance_get(&self, key: &str) -> Result<Option<String>> {
        let row: Option<(String,)> = fetch_optional!(self.read().await?, INSTANCE_GET, key)?;
        Ok(row.map(|(value,)| value))
    }

    /// Sets a value of the whole instance.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn instance_set(&self, key: &str, value: &str) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.instance_put(key, value).await?;
        tx.commit().await
    }
}

impl crate::Conn {
    /// Sets a value of the whole instance, together with other changes.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn instance_put(&mut self, key: &str, value: &str) -> Result<()> {
        execute!(self, INSTANCE_SET, key, value)?;
        Ok(())
    }
}
