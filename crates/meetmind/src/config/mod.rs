//! The settings: what can be set, where it was set, and whether it makes sense together.

mod check;
mod dotenv;
mod layers;
mod recordings;
mod reference;
mod show;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use meetmind_media::driver::TurnConfig;
use meetmind_media::turn::TurnSecret;
use serde::Deserialize;

pub(crate) use layers::Sources;
pub(crate) use recordings::Recordings;
pub(crate) use reference::reference;
pub(crate) use show::{show, without_password};

/// The reference file; every key of it is a setting, and nothing else is.
pub(crate) const DEFAULTS: &str = include_str!("../../../../meetmind.default.toml");

/// All settings, in the shape of the file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) listen: std::net::SocketAddr,
    pub(crate) public_url: String,
    pub(crate) data_dir: String,
    pub(crate) log: String,
    pub(crate) log_format: LogFormat,
    pub(crate) cors_origins: Vec<String>,
    pub(crate) trusted_proxies: Vec<String>,
    pub(crate) metrics_token: String,
    pub(crate) http: Http,
    pub(crate) tls: TlsSettings,
    pub(crate) database: Database,
    pub(crate) auth: Auth,
    pub(crate) livekit: LiveKit,
    pub(crate) media: Media,
    pub(crate) turn: Turn,
    pub(crate) supabase: Supabase,
    pub(crate) providers: Providers,
    pub(crate) agents: Agents,
    pub(crate) guests: Guests,
    pub(crate) recordings: Recordings,
    pub(crate) retention: Retention,
    pub(crate) outbound: Outbound,
    /// What a person should know about this set-up; filled in by the checks.
    #[serde(skip)]
    pub(crate) notes: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http {
    pub(crate) body_limit_bytes: usize,
    pub(crate) max_connections: usize,
    pub(crate) header_timeout_s: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsSettings {
    pub(crate) mode: TlsMode,
    pub(crate) cert: String,
    pub(crate) key: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TlsMode {
    Auto,
    Off,
    Files,
    SelfSigned,
}

/// Where certificate and key lie.
#[derive(Debug, Clone)]
pub(crate) struct TlsFiles {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    /// They are ours to make.
    pub(crate) self_signed: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) synchronous: Synchronous,
    pub(crate) max_connections: u32,
    pub(crate) acquire_timeout_s: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Synchronous {
    Normal,
    Full,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Auth {
    pub(crate) registration: Registration,
    pub(crate) access_token_ttl_s: u64,
    pub(crate) session_idle_days: u64,
    pub(crate) session_max_days: u64,
    pub(crate) password_min_length: usize,
    pub(crate) login_attempts: i64,
    pub(crate) argon2_memory_kib: u32,
    pub(crate) argon2_passes: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Registration {
    Open,
    Invite,
    Closed,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LiveKit {
    pub(crate) url: String,
    pub(crate) api_key: String,
    pub(crate) api_secret: String,
    pub(crate) webhook_urls: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Media {
    pub(crate) udp_port: u16,
    pub(crate) tcp_port: u16,
    pub(crate) advertise: Vec<std::net::IpAddr>,
    pub(crate) threads: usize,
    pub(crate) reconnect_window_s: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Turn {
    pub(crate) enabled: bool,
    pub(crate) udp_port: u16,
    pub(crate) host: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Supabase {
    pub(crate) url: String,
    pub(crate) public_key: String,
    pub(crate) secret_key: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Providers {
    pub(crate) openai_api_key: String,
    pub(crate) openai_base_url: String,
    pub(crate) anthropic_api_key: String,
    pub(crate) gemini_api_key: String,
    pub(crate) mem0_api_key: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Agents {
    pub(crate) max_per_user: i64,
    pub(crate) max_runs_per_user: i64,
    pub(crate) max_runs_per_day: i64,
    pub(crate) lease_s: u64,
    pub(crate) notes_interval_s: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Guests {
    pub(crate) max_per_meeting: i64,
    pub(crate) max_per_address_and_hour: i64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retention {
    pub(crate) events_days: u64,
    pub(crate) archive_days: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outbound {
    pub(crate) allow_private: bool,
    pub(crate) timeout_s: u64,
}

const DAY: u64 = 86_400;
/// Browsers ask the relay again when their network changes in the middle of a meeting.
const TURN_TTL: Duration = Duration::from_secs(4 * 3_600);

impl Config {
    /// Reads all layers, and fails with a line that names what is wrong.
    ///
    /// # Errors
    /// An unknown key, a wrong value, or settings that do not go together.
    pub(crate) fn load(sources: &Sources) -> Result<Self> {
        let mut config: Self = layers::Layers::read(sources)?.config()?;
        config.check()?;
        Ok(config)
    }

    /// The folder for the data: the configured one, or the platform's.
    ///
    /// # Errors
    /// When none is configured and there is no home.
    pub(crate) fn data_dir(&self, sources: &Sources) -> Result<PathBuf> {
        if !self.data_dir.is_empty() {
            return Ok(PathBuf::from(&self.data_dir));
        }
        let absolute = |name: &str| {
            sources
                .variable(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        absolute("XDG_DATA_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
            .map(|share| share.join("meetmind"))
            .context("no place for the data: set --data-dir or MEETMIND_DATA_DIR")
    }

    /// How to open the database that this configuration means.
    pub(crate) fn store(&self, data_dir: &Path) -> meetmind_store::Settings {
        let file = meetmind_store::Settings::sqlite(data_dir.join("meetmind.db"));
        meetmind_store::Settings {
            url: if self.database.url.is_empty() {
                file.url
            } else {
                self.database.url.clone()
            },
            synchronous: match self.database.synchronous {
                Synchronous::Normal => meetmind_store::Synchronous::Normal,
                Synchronous::Full => meetmind_store::Synchronous::Full,
            },
            max_connections: self.database.max_connections,
            acquire_timeout: Duration::from_secs(self.database.acquire_timeout_s),
        }
    }

    /// What the use cases need; `listen` is where the server really listens.
    pub(crate) fn app(&self, listen: std::net::SocketAddr) -> meetmind_app::Settings {
        let defaults = meetmind_app::Settings::default();
        meetmind_app::Settings {
            public_url: self.public_url(listen),
            registration: match self.auth.registration {
                Registration::Open => meetmind_app::Registration::Open,
                Registration::Invite => meetmind_app::Registration::Invite,
                Registration::Closed => meetmind_app::Registration::Closed,
            },
            auth: meetmind_app::AuthSettings {
                access_token_ttl: Duration::from_secs(self.auth.access_token_ttl_s),
                session_idle: Duration::from_secs(self.auth.session_idle_days * DAY),
                session_max: Duration::from_secs(self.auth.session_max_days * DAY),
                argon2_memory_kib: self.auth.argon2_memory_kib,
                argon2_passes: self.auth.argon2_passes,
                password_min_length: self.auth.password_min_length,
                login_attempts: self.auth.login_attempts,
                ..defaults.auth
            },
            livekit: (!self.livekit.url.is_empty()).then(|| meetmind_app::LiveKitSettings {
                url: self.livekit.url.clone(),
                api_key: self.livekit.api_key.clone(),
                api_secret: self.livekit.api_secret.clone(),
            }),
            livekit_webhook_urls: self.livekit.webhook_urls.clone(),
            reconnect_window: Duration::from_secs(self.media.reconnect_window_s),
            quotas: meetmind_app::Quotas {
                agents: self.agents.max_per_user,
                concurrent_runs: self.agents.max_runs_per_user,
                runs_per_day: self.agents.max_runs_per_day,
            },
            guests: meetmind_app::GuestSettings {
                per_meeting: self.guests.max_per_meeting,
                per_address_and_hour: self.guests.max_per_address_and_hour,
            },
            recordings: self.recordings.settings(defaults.recordings),
            outbound: meetmind_app::OutboundSettings {
                allow_private: self.outbound.allow_private,
                timeout: Duration::from_secs(self.outbound.timeout_s),
            },
            event_retention: Duration::from_secs(self.retention.events_days * DAY),
            archive_retention: Duration::from_secs(self.retention.archive_days * DAY),
            notes_interval: Duration::from_secs(self.agents.notes_interval_s),
            run_lease: Duration::from_secs(self.agents.lease_s),
            notes: self.notes.clone(),
            ..defaults
        }
    }

    /// The TURN relay, when it is on; `listen` is where the server really listens.
    fn turn_config(&self, listen: std::net::SocketAddr) -> Option<TurnConfig> {
        use meetmind_app::{Clock as _, Entropy, SystemClock};
        if !self.turn.enabled {
            return None;
        }
        let public = url::Url::parse(&self.public_url(listen)).ok();
        let host = if self.turn.host.is_empty() {
            public.as_ref()?.host_str()?.to_owned()
        } else {
            self.turn.host.clone()
        };
        // Over TLS it shares the port for pages: what comes is told apart by its first byte. No client
        // takes a certificate for it that nobody vouches for.
        let stream_url = match self.tls_mode() {
            TlsMode::Files => format!("turns:{host}:{}?transport=tcp", listen.port()),
            TlsMode::Auto | TlsMode::Off | TlsMode::SelfSigned => {
                format!("turn:{host}:{}?transport=tcp", listen.port())
            }
        };
        Some(TurnConfig {
            udp_port: if self.listen.port() == 0 {
                0
            } else {
                self.turn.udp_port
            },
            host: self.turn.host.clone(),
            stream_url,
            ttl: TURN_TTL,
            // A restart ends all allocations anyway, and clients get new credentials with it.
            secret: TurnSecret::new(&Entropy::system().bytes::<32>()),
            started: std::time::Instant::now(),
            started_s: u64::try_from(SystemClock.now().seconds()).unwrap_or(0),
        })
    }

    /// The ports of the LiveKit server inside; none when another server is configured. `listen` is where
    /// the server really listens.
    pub(crate) fn media_driver(
        &self,
        listen: std::net::SocketAddr,
    ) -> Option<meetmind_media::driver::DriverConfig> {
        if !self.livekit.url.is_empty() {
            return None;
        }
        // Who lets the system pick the port for pages has several servers on one machine.
        let port = |configured| {
            if self.listen.port() == 0 {
                0
            } else {
                configured
            }
        };
        Some(meetmind_media::driver::DriverConfig {
            listen: vec![self.listen.ip()],
            advertise: self.media.advertise.clone(),
            udp_port: port(self.media.udp_port),
            tcp_port: Some(port(self.media.tcp_port)),
            shards: self.media.threads,
            turn: self.turn_config(listen),
            ..meetmind_media::driver::DriverConfig::default()
        })
    }

    /// The LiveKit server used instead of the one inside, and its key pair.
    pub(crate) fn livekit_cluster(&self) -> Option<(String, (String, String))> {
        let LiveKit {
            url,
            api_key,
            api_secret,
            ..
        } = &self.livekit;
        (!url.is_empty()).then(|| (url.clone(), (api_key.clone(), api_secret.clone())))
    }

    /// The key pair that the server inside is told to use.
    pub(crate) fn livekit_pair(&self) -> Option<(String, String)> {
        let LiveKit {
            api_key,
            api_secret,
            ..
        } = &self.livekit;
        (!api_key.is_empty()).then(|| (api_key.clone(), api_secret.clone()))
    }

    /// Which kind of TLS the port speaks; never `Auto`.
    pub(crate) fn tls_mode(&self) -> TlsMode {
        match self.tls.mode {
            TlsMode::Auto if self.tls.cert.is_empty() => TlsMode::Off,
            TlsMode::Auto => TlsMode::Files,
            mode => mode,
        }
    }

    /// Where certificate and key lie; none when the port speaks plain HTTP.
    pub(crate) fn tls_files(&self, data_dir: &Path) -> Option<TlsFiles> {
        match self.tls_mode() {
            TlsMode::Auto | TlsMode::Off => None,
            TlsMode::Files => Some(TlsFiles {
                cert: PathBuf::from(&self.tls.cert),
                key: PathBuf::from(&self.tls.key),
                self_signed: false,
            }),
            TlsMode::SelfSigned => Some(TlsFiles {
                cert: data_dir.join("tls-cert.pem"),
                key: data_dir.join("tls-key.pem"),
                self_signed: true,
            }),
        }
    }

    /// What the wires need.
    pub(crate) fn server(&self) -> meetmind_server::Settings {
        meetmind_server::Settings {
            body_limit: self.http.body_limit_bytes,
            cors_origins: self.cors_origins.clone(),
            trusted_proxies: self.trusted_proxies.clone(),
            metrics_token: Some(self.metrics_token.clone()).filter(|token| !token.is_empty()),
            // A browser that once took a self-signed certificate would not let a person past the next.
            strict_transport: self.tls_mode() != TlsMode::SelfSigned,
        }
    }

    /// The address for people, without a slash at the end.
    pub(crate) fn public_url(&self, listen: std::net::SocketAddr) -> String {
        if !self.public_url.is_empty() {
            return self.public_url.trim_end_matches('/').to_owned();
        }
        match self.tls_mode() {
            TlsMode::Off | TlsMode::Auto => format!("http://{}", reachable(listen)),
            TlsMode::Files => format!("https://{}", reachable(listen)),
            // For the local network: links have to work on other machines of it.
            TlsMode::SelfSigned => format!("https://{}", on_network(listen)),
        }
    }
}

/// An address that a client can call: "every interface" is no such address.
pub(crate) fn reachable(listen: std::net::SocketAddr) -> std::net::SocketAddr {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    std::net::SocketAddr::new(ip, listen.port())
}

/// The same, but "every interface" becomes this machine's address on the network, if it has one.
fn on_network(listen: std::net::SocketAddr) -> std::net::SocketAddr {
    let own = meetmind_media::driver::host_addresses().unwrap_or_default();
    let same_family = |ip: &&std::net::IpAddr| ip.is_ipv4() == listen.ip().is_ipv4();
    match own.iter().find(same_family) {
        Some(ip) if listen.ip().is_unspecified() => std::net::SocketAddr::new(*ip, listen.port()),
        _ => reachable(listen),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A configuration from variables alone.
    pub(crate) fn from_variables(variables: &[(&str, &str)]) -> Result<Config> {
        Config::load(&Sources::of_variables(variables))
    }

    #[test]
    fn the_defaults_are_whole_and_valid() {
        let config = from_variables(&[]).expect("valid defaults");
        assert!(config.notes.is_empty(), "{:?}", config.notes);
        let settings = config.app(config.listen);
        let built_in = meetmind_app::Settings::default();
        assert_eq!(settings.public_url, built_in.public_url);
        // The file is the reference: what it says and what the use cases assume must not drift.
        assert_eq!(format!("{settings:?}"), format!("{built_in:?}"));
        assert_eq!(
            config.server().body_limit,
            meetmind_server::Settings::default().body_limit
        );
    }

    #[test]
    fn every_interface_is_no_address_for_links() {
        let listen = "0.0.0.0:8000".parse().expect("an address");
        let config = from_variables(&[]).expect("valid");
        assert_eq!(config.public_url(listen), "http://127.0.0.1:8000");
        let config = from_variables(&[("MEETMIND_PUBLIC_URL", "https://meet.example.com/")]);
        assert_eq!(
            config.expect("valid").public_url(listen),
            "https://meet.example.com"
        );
    }
}
