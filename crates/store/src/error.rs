//! What can go wrong in the database, as far as callers care.

use meetmind_core::Code;

/// The result of a store function.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A unique index refused the row: the caller knows which thing is there twice.
    #[error("the row exists already")]
    Duplicate(#[source] sqlx::Error),
    /// A row that is referred to is gone.
    #[error("a referenced row does not exist")]
    Dangling(#[source] sqlx::Error),
    /// A named thing is not there.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// No space is left for the write; nothing of it was kept.
    #[error("no space is left on the database's disk")]
    Full(#[source] sqlx::Error),
    /// The database cannot be reached, is locked, or took too long.
    #[error("the database cannot be reached")]
    Unavailable(#[source] sqlx::Error),
    /// The database was written by a newer program.
    #[error(
        "the database has schema {found}, written by MeetMind {written_by}; this program knows up to {known}"
    )]
    NewerSchema {
        /// The version in the database.
        found: i64,
        /// The newest version this program has.
        known: i64,
        /// The program version that wrote it.
        written_by: String,
    },
    /// A migration failed.
    #[error("the schema could not be brought up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The set-up cannot work.
    #[error("{0}")]
    Setup(String),
    /// Anything else is a fault of ours.
    #[error("the database refused a statement")]
    Other(#[source] sqlx::Error),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(inner) => {
                use sqlx::error::ErrorKind;
                // SQLite: 13 is SQLITE_FULL, 5 and 6 are BUSY and LOCKED, 10 IOERR, 14 CANTOPEN, 8 READONLY.
                // Postgres: 53100 is disk_full, class 57P is shutdown and start-up, 08 the connection.
                let code = inner.code().unwrap_or_default().into_owned();
                let sqlite = code
                    .parse::<u32>()
                    .ok()
                    .filter(|_| code.len() < 5)
                    .map(|full| full & 0xff);
                match inner.kind() {
                    ErrorKind::UniqueViolation => Error::Duplicate(error),
                    ErrorKind::ForeignKeyViolation => Error::Dangling(error),
                    _ if sqlite == Some(13) || code == "53100" => Error::Full(error),
                    _ if matches!(sqlite, Some(5 | 6 | 8 | 10 | 14)) => Error::Unavailable(error),
                    _ if code.starts_with("57P")
                        || code.starts_with("08")
                        || code == "53300"
                        || code == "25006" =>
                    {
                        Error::Unavailable(error)
                    }
                    _ => Error::Other(error),
                }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Tls(_)
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_) => Error::Unavailable(error),
            _ => Error::Other(error),
        }
    }
}

impl From<Error> for meetmind_core::Error {
    fn from(error: Error) -> Self {
        let core = match &error {
            Error::NotFound(what) => return meetmind_core::Error::not_found(what),
            Error::Duplicate(_) => {
                meetmind_core::Error::new(Code::Conflict, "there is one already")
            }
            Error::Dangling(_) => {
                meetmind_core::Error::new(Code::Conflict, "something this refers to is gone")
            }
            Error::Full(_) => {
                meetmind_core::Error::new(Code::StorageFull, "the disk is full: nothing was saved")
            }
            Error::Unavailable(_) | Error::NewerSchema { .. } => meetmind_core::Error::new(
                Code::Unavailable,
                "the database cannot be reached now: try again",
            ),
            Error::Migrate(_) | Error::Setup(_) | Error::Other(_) => {
                return meetmind_core::Error::internal(error);
            }
        };
        core.with_source(error)
    }
}
