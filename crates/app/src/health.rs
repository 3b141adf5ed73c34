//! How this process is: what it runs on, and whether it can take work.

use std::time::Duration;

use meetmind_core::Timestamp;
use meetmind_store::Store;
use serde::Serialize;
use tokio::sync::Mutex;

use crate::App;

/// An answer of the database counts this long, so that a busy balancer does not become load.
const CACHED: Duration = Duration::from_secs(1);
/// A database that answers more slowly than this is as good as gone.
const PATIENCE: Duration = Duration::from_secs(2);

/// Less room on the disk than this is none: a small write may still find a place where the next
/// one does not.
const ROOM: u64 = 1024 * 1024;

/// The last answer of the database.
#[derive(Debug, Default)]
pub(crate) struct State {
    last: Mutex<Option<(Timestamp, Vec<Check>)>>,
}

/// What this instance is and what it runs on; small and public.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Health {
    /// `ok`, or `draining` on the way out.
    #[schema(example = "ok")]
    pub status: &'static str,
    /// The program's version.
    pub version: String,
    /// What it was set up with.
    pub mode: Mode,
    /// What a person should know: settings that have no effect yet, and what stands in for them.
    pub notes: Vec<String>,
}

/// What an instance was set up with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Mode {
    /// `sqlite` or `postgres`.
    #[schema(example = "sqlite")]
    pub database: &'static str,
    /// Who keeps the accounts.
    #[schema(example = "own accounts")]
    pub auth: &'static str,
    /// Whether a LiveKit server is configured.
    pub livekit: bool,
    /// The language model, or `none`: notes and answers are then quotations.
    #[schema(example = "none")]
    pub model: &'static str,
}

/// Whether the process can take work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Whether every check passed.
    pub ready: bool,
    /// Each check.
    pub checks: Vec<Check>,
}

impl Readiness {
    /// The first reason against it.
    pub fn reason(&self) -> Option<&str> {
        self.checks.iter().find_map(|check| check.reason.as_deref())
    }
}

/// One check of [`Readiness`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// Whether it is well.
    pub ok: bool,
    /// Why not.
    pub reason: Option<String>,
}

impl Check {
    fn new(name: &'static str, outcome: Result<(), String>) -> Self {
        Self {
            name,
            ok: outcome.is_ok(),
            reason: outcome.err(),
        }
    }
}

impl App {
    /// What this instance is and what it runs on. Asks nobody.
    pub fn health(&self) -> Health {
        let settings = self.settings();
        Health {
            status: if self.is_draining() { "draining" } else { "ok" },
            version: settings.version.clone(),
            mode: Mode {
                database: self.store().engine().as_str(),
                auth: "own accounts",
                livekit: self.livekit().is_some(),
                model: "none",
            },
            notes: settings.notes.clone(),
        }
    }

    /// Whether the process can take work. The database is asked at most once a second: it must
    /// keep a row, so that a full disk shows as well as a vanished server.
    pub async fn readiness(&self) -> Readiness {
        let mut checks = vec![Check::new(
            "draining",
            if self.is_draining() {
                Err("the server is shutting down".to_owned())
            } else {
                Ok(())
            },
        )];
        let now = self.now();
        let mut last = self.inner.health.last.lock().await;
        let fresh = last
            .as_ref()
            .filter(|(at, _)| *at <= now && now < at.plus(CACHED));
        let of_database = match fresh {
            Some((_, checks)) => checks.clone(),
            None => {
                let checks = database_checks(self.store(), now).await;
                *last = Some((now, checks.clone()));
                checks
            }
        };
        drop(last);
        checks.extend(of_database);
        Readiness {
            ready: checks.iter().all(|check| check.ok),
            checks,
        }
    }
}

async fn database_checks(store: &Store, now: Timestamp) -> Vec<Check> {
    let asked = async {
        let text = now.to_string();
        store.instance_set("last_ready_check", &text).await?;
        if store.instance_get("last_ready_check").await? != Some(text) {
            return Ok(Err(
                "the database does not give back what it was given".to_owned()
            ));
        }
        Ok(match store.disk_free() {
            Some(free) if free < ROOM => Err("the disk is full".to_owned()),
            _ => Ok(()),
        })
    };
    let database = match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => Err(said(&error)),
        Err(_) => Err("the database does not answer in time".to_owned()),
    };
    if let Err(reason) = &database {
        // The schema cannot be read either; waiting for it a second time would tell nothing.
        let unknown = Err(format!("unknown: {reason}"));
        return vec![
            Check::new("database", database),
            Check::new("migrations", unknown),
        ];
    }
    let known = Store::schema_known();
    let migrations = match tokio::time::timeout(PATIENCE, store.schema_version()).await {
        Ok(Ok(Some(found))) if found == known => Ok(()),
        Ok(Ok(found)) => Err(format!(
            "the schema is {}, this program works with {known}",
            found.unwrap_or(0)
        )),
        Ok(Err(error)) => Err(said(&error)),
        Err(_) => Err("the database does not answer in time".to_owned()),
    };
    vec![
        Check::new("database", database),
        Check::new("migrations", migrations),
    ]
}

/// What may be told to anybody; the cause goes to the log.
fn said(error: &meetmind_store::Error) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    tracing::warn!(error = %error, cause, "the database failed the readiness check");
    error.to_string()
}
