//! What an operator can choose, as the use cases need it. The file and environment forms live
//! in the `meetmind` crate.

use std::path::PathBuf;
use std::time::Duration;

/// All settings of the use cases.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address under which people reach this instance, without a trailing slash.
    pub public_url: String,
    /// The program's version, for documents and health.
    pub version: String,
    /// Who may make an account.
    pub registration: Registration,
    /// Sessions, tokens, passwords.
    pub auth: AuthSettings,
    /// The LiveKit server that meetings use, when one is configured.
    pub livekit: Option<LiveKitSettings>,
    /// Where the server inside sends LiveKit's webhooks.
    pub livekit_webhook_urls: Vec<String>,
    /// How long somebody may be away from a room before they have left the meeting.
    pub reconnect_window: Duration,
    /// What one user's agents may use.
    pub quotas: Quotas,
    /// How many people without an account may come.
    pub guests: GuestSettings,
    /// Recordings of meetings.
    pub recordings: RecordingSettings,
    /// Rules for calls that leave the process.
    pub outbound: OutboundSettings,
    /// How long events can be replayed.
    pub event_retention: Duration,
    /// How long a deleted meeting can be restored.
    pub archive_retention: Duration,
    /// How often the scribe writes its notes anew while a meeting runs, at most.
    pub notes_interval: Duration,
    /// How long a run's node may be silent before another takes over.
    pub run_lease: Duration,
    /// What `/health` should tell people about this set-up.
    pub notes: Vec<String>,
}

/// Who may make an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// Everybody who reaches the server.
    Open,
    /// Who has the invitation link of a meeting, or an account made by an administrator.
    Invite,
    /// Nobody; an administrator makes accounts.
    Closed,
}

/// Sessions, tokens, passwords.
#[derive(Debug, Clone)]
pub struct AuthSettings {
    /// How long an access token lives.
    pub access_token_ttl: Duration,
    /// How long a session lives unused.
    pub session_idle: Duration,
    /// How long a session lives at most.
    pub session_max: Duration,
    /// A used refresh token is answered once more within this time, for a lost answer.
    pub refresh_reuse_grace: Duration,
    /// Argon2id memory in KiB.
    pub argon2_memory_kib: u32,
    /// Argon2id passes.
    pub argon2_passes: u32,
    /// The shortest password that is accepted.
    pub password_min_length: usize,
    /// Failed sign-ins per account before waiting begins; per address ten times as many.
    pub login_attempts: i64,
}

/// A LiveKit server.
#[derive(Debug, Clone)]
pub struct LiveKitSettings {
    /// `ws://` or `wss://`.
    pub url: String,
    /// The API key.
    pub api_key: String,
    /// The API secret.
    pub api_secret: String,
}

/// What one user's agents may use.
#[derive(Debug, Clone)]
pub struct Quotas {
    /// Agents a user may have.
    pub agents: i64,
    /// Open runs of a user at the same time.
    pub concurrent_runs: i64,
    /// Runs a user may start in a day.
    pub runs_per_day: i64,
}

/// How many people without an account may come.
#[derive(Debug, Clone)]
pub struct GuestSettings {
    /// In one meeting at the same time, those at its door included.
    pub per_meeting: i64,
    /// From one address within an hour.
    pub per_address_and_hour: i64,
}

/// Recordings of meetings.
#[derive(Debug, Clone)]
pub struct RecordingSettings {
    /// The folder they lie in, below the data directory. Empty where none can be made.
    pub directory: PathBuf,
    /// How long they are kept after their end; `None` until somebody deletes them.
    pub retention: Option<Duration>,
    /// One ends by itself after this time.
    pub max_duration: Duration,
    /// One ends by itself when its files have this many bytes.
    pub max_bytes: u64,
    /// They end, and none begins, when the disk has less than this left.
    pub min_free_bytes: u64,
    /// How many may run at the same time.
    pub max_running: usize,
}

/// Rules for calls that leave the process.
#[derive(Debug, Clone)]
pub struct OutboundSettings {
    /// Whether addresses of this machine and of private networks may be called.
    pub allow_private: bool,
    /// How long one call may take.
    pub timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            public_url: "http://127.0.0.1:8000".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            registration: Registration::Open,
            auth: AuthSettings {
                access_token_ttl: Duration::from_secs(15 * 60),
                session_idle: Duration::from_secs(30 * 86_400),
                session_max: Duration::from_secs(90 * 86_400),
                refresh_reuse_grace: Duration::from_secs(10),
                argon2_memory_kib: 32 * 1024,
                argon2_passes: 3,
                password_min_length: 8,
                login_attempts: 10,
            },
            livekit: None,
            livekit_webhook_urls: Vec::new(),
            reconnect_window: Duration::from_secs(30),
            quotas: Quotas {
                agents: 100,
                concurrent_runs: 20,
                runs_per_day: 500,
            },
            guests: GuestSettings {
                per_meeting: 200,
                per_address_and_hour: 200,
            },
            recordings: RecordingSettings {
                directory: PathBuf::new(),
                retention: None,
                max_duration: Duration::from_secs(8 * 3_600),
                max_bytes: 20 << 30,
                min_free_bytes: 1 << 30,
                max_running: 20,
            },
            outbound: OutboundSettings {
                allow_private: false,
                timeout: Duration::from_secs(15),
            },
            event_retention: Duration::from_secs(30 * 86_400),
            archive_retention: Duration::from_secs(30 * 86_400),
            notes_interval: Duration::from_secs(2),
            run_lease: Duration::from_secs(15),
            notes: Vec::new(),
        }
    }
}
