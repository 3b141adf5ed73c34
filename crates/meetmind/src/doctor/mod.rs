//! `meetmind doctor`: looks at everything a start needs, and says how to mend what is wrong.

mod network;
mod probe;
mod visit;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use meetmind_app::{Clock as _, SystemClock};
use meetmind_core::Timestamp;
use meetmind_media::token::ApiKey;
use meetmind_store::Store;
use serde::Serialize;
use url::Url;

use crate::cli::DoctorArgs;
use crate::config::{Config, Sources, TlsMode, without_password};
use crate::data_dir;
use crate::server::{answers, is_free, sqlite_path};
use network::Target;

/// Less free space than this is worth a word: the write-ahead log needs room to grow.
const SPACE_MB: u64 = 200;
/// A thousand people with two sockets each, and files.
const FILES: u64 = 4096;

/// How one check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Good,
    /// Works, but a person should know.
    Note,
    Bad,
}

#[derive(Debug, Serialize)]
struct Line {
    state: State,
    what: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

/// The lines so far; printed as they come, or all together as JSON.
#[derive(Debug, Default)]
struct Report {
    lines: Vec<Line>,
    json: bool,
}

impl Report {
    fn good(&mut self, what: &str) {
        self.add(State::Good, what, None);
    }

    /// Works, but a person should know.
    fn note(&mut self, what: &str) {
        self.add(State::Note, what, None);
    }

    fn bad(&mut self, what: &str, mend: &str) {
        self.add(State::Bad, what, Some(mend.to_owned()));
    }

    fn add(&mut self, state: State, what: &str, mend: Option<String>) {
        if !self.json {
            let sign = match state {
                State::Good => "✓",
                State::Note => "!",
                State::Bad => "✗",
            };
            println!("{sign} {what}");
            if let Some(mend) = &mend {
                println!("  {mend}");
            }
        }
        self.lines.push(Line {
            state,
            what: what.to_owned(),
            mend,
        });
    }

    fn finish(self) -> Result<ExitCode> {
        let faults = self.lines.iter().filter(|line| line.state == State::Bad);
        let faults = faults.count();
        if self.json {
            let report = serde_json::json!({"ok": faults == 0, "checks": self.lines});
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else if faults > 0 {
            println!("\n{faults} to mend");
        } else {
            println!("\nall well");
        }
        Ok(if faults > 0 {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }
}

/// Checks everything; fails when one of the checks does.
pub(crate) async fn doctor(sources: &Sources, args: DoctorArgs) -> Result<ExitCode> {
    let mut report = Report {
        json: args.json,
        ..Report::default()
    };
    if let Some(url) = &args.url {
        // Somebody else's server: nothing here plays a part.
        let Ok(url) = url.parse() else {
            report.bad(
                &format!("address: {url} is none"),
                "Write it as https://meet.example.com.",
            );
            return report.finish();
        };
        let keys = args.api_key.zip(args.api_secret);
        let target = Target {
            url,
            trusted: None,
            keys: keys.map(|(key, secret)| ApiKey::new(key, secret)),
        };
        network::check(&mut report, &target).await;
        return report.finish();
    }
    let config = match Config::load(sources) {
        Ok(config) => config,
        Err(error) => {
            report.bad(
                &format!("configuration: {error:#}"),
                "Mend this first; the other checks need it. `docs/configuration.md` lists every setting.",
            );
            return report.finish();
        }
    };
    report.good("configuration: valid");
    for note in &config.notes {
        report.note(note);
    }
    let folder = config.data_dir(sources)?;
    let served_at = data_dir::served_at(&folder);
    check_folder(&mut report, &folder);
    check_database(&mut report, &config, &folder).await;
    check_port(&mut report, &config, &folder).await;
    check_public_url(&mut report, &config, served_at.clone());
    check_clock(&mut report);
    check_files(&mut report);
    check_livekit(&mut report, &config);
    if args.network {
        check_network(&mut report, &config).await;
        check_own(&mut report, &config, &folder, served_at).await;
    }
    report.finish()
}

/// The way of a client to the server that runs on this data directory.
async fn check_own(report: &mut Report, config: &Config, folder: &Path, served_at: Option<String>) {
    let url = if config.livekit.url.is_empty() {
        served_at
    } else {
        Some(config.livekit.url.clone())
    };
    let Some(url) = url.and_then(|url| url.parse().ok()) else {
        report.note("network: no server runs on this data directory; start it, then ask again, or name one with --url");
        return;
    };
    let keys = match config.livekit_pair() {
        Some(pair) => Some(pair),
        None => made_pair(config, folder).await,
    };
    let target = Target {
        url,
        trusted: config
            .tls_files(folder)
            .filter(|files| files.self_signed)
            .map(|files| files.cert),
        keys: keys.map(|(key, secret)| ApiKey::new(key, secret)),
    };
    network::check(report, &target).await;
}

/// The key pair that the instance made for itself.
async fn made_pair(config: &Config, folder: &Path) -> Option<(String, String)> {
    let store = Store::open(&config.store(folder)).await.ok()?;
    let pair = store.instance_get("livekit_key_pair").await;
    store.close().await;
    let pair = pair.ok()??;
    let (key, secret) = pair.split_once(' ')?;
    Some((key.to_owned(), secret.to_owned()))
}

fn check_folder(report: &mut Report, folder: &Path) {
    let shown = folder.display();
    if let Err(error) = data_dir::make(folder) {
        report.bad(
            &format!("data directory: {error:#}"),
            "Choose another with --data-dir or MEETMIND_DATA_DIR, or give this user the right to write there.",
        );
        return;
    }
    let probe = folder.join(format!("doctor-{}", std::process::id()));
    let written = fs::write(&probe, "x");
    let _ = fs::remove_file(&probe);
    match written {
        Ok(()) => report.good(&format!("data directory: {shown} can be written")),
        Err(error) => report.bad(
            &format!("data directory: {shown} cannot be written: {error}"),
            "Give this user the right to write there, or choose another with --data-dir.",
        ),
    }
    if let Ok(data) = fs::metadata(folder) {
        let mode = data.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            report.bad(
                &format!("data directory: others may look into it (mode {mode:o})"),
                &format!("It holds keys and what people said: chmod 700 {shown}"),
            );
        }
    }
    if let Ok(space) = rustix::fs::statvfs(folder) {
        let free_mb = space.f_bavail.saturating_mul(space.f_frsize) >> 20;
        if free_mb < SPACE_MB {
            report.bad(
                &format!("disk: {free_mb} MB are free"),
                "Make room: with a full disk nothing can be saved, and the server says that it is not ready.",
            );
        } else {
            report.good(&format!("disk: {free_mb} MB are free"));
        }
    }
}

async fn check_database(report: &mut Report, config: &Config, folder: &Path) {
    let settings = config.store(folder);
    if let Some(path) = sqlite_path(&settings.url) {
        // Opening would make it: a check leaves nothing behind.
        if !fs::metadata(path).is_ok_and(|data| data.len() > 0) {
            report.good("database: SQLite; the first start makes it");
            return;
        }
    }
    let shown = without_password(&settings.url);
    let store = match Store::open(&settings).await {
        Ok(store) => store,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(" ({cause})"));
            report.bad(
                &format!("database: {shown}: {error}{}", cause.unwrap_or_default()),
                "Is it running, and are address, name and password right? Look at database.url (DATABASE_URL).",
            );
            return;
        }
    };
    let known = Store::schema_known();
    match store.schema_version().await {
        Ok(None) => report.good(&format!(
            "database: {shown} is empty; the first start fills it"
        )),
        Ok(Some(found)) if found == known => {
            report.good(&format!("database: {shown}, schema {found}"));
        }
        Ok(Some(found)) if found < known => report.note(&format!(
            "database: {shown}, schema {found}; the next start brings it to {known}"
        )),
        Ok(Some(found)) => report.bad(
            &format!(
                "database: schema {found} was written by a newer program; this one knows {known}"
            ),
            "Start the newer program, or restore a backup from before it.",
        ),
        Err(error) => report.bad(
            &format!("database: {shown}: {error}"),
            "Look at the database's own log.",
        ),
    }
    match store.damage().await {
        Ok(damage) if damage.is_empty() => {}
        Ok(damage) => report.bad(
            &format!("database: damaged: {}", damage.join("; ")),
            "Stop the server and restore a backup: meetmind restore FILE --force",
        ),
        Err(error) => report.bad(&format!("database: {error}"), "Restore a backup."),
    }
    store.close().await;
}

async fn check_port(report: &mut Report, config: &Config, folder: &Path) {
    let listen = config.listen;
    if data_dir::is_locked(folder) {
        report.good("port: a MeetMind is serving this data directory now");
    } else if is_free(listen).await {
        report.good(&format!("port: {listen} is free"));
    } else {
        report.bad(
            &format!("port: {listen} cannot be listened on"),
            "Another program has it, or it needs more rights: choose another with --listen.",
        );
    }
}

/// What a running server says of itself counts: it may have been started with other flags.
fn check_public_url(report: &mut Report, config: &Config, served_at: Option<String>) {
    let url = served_at.unwrap_or_else(|| config.public_url(config.listen));
    let is_local = config.listen.ip().is_loopback();
    if config.public_url.is_empty() && !is_local && config.tls_mode() != TlsMode::SelfSigned {
        report.bad(
            &format!("public_url: not set, so links say {url}"),
            "People elsewhere cannot follow them: set public_url (MEETMIND_PUBLIC_URL) to the address they use.",
        );
    } else if url.starts_with("http://") && !is_local {
        report.bad(
            &format!("public_url: {url} is not encrypted"),
            "Give the port a certificate (tls.cert, tls.key), or put a proxy with TLS in front and set public_url to its https:// address; see docs/operations.md.",
        );
    } else {
        report.good(&format!("public_url: {url}"));
    }
}

fn check_clock(report: &mut Report) {
    // Nobody runs this before it was written, nor a century later.
    let (earliest, latest) = (
        Timestamp::parse("2026-01-01T00:00:00Z"),
        Timestamp::parse("2126-01-01T00:00:00Z"),
    );
    let now = SystemClock.now();
    let sane =
        earliest.is_ok_and(|earliest| earliest < now) && latest.is_ok_and(|latest| now < latest);
    if sane {
        report.good(&format!("clock: {now}"));
    } else {
        report.bad(
            &format!("clock: {now}"),
            "Set the machine's clock: sessions and tokens depend on it.",
        );
    }
}

fn check_files(report: &mut Report) {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    match limit.maximum {
        Some(most) if most < FILES => report.bad(
            &format!("open files: at most {most}"),
            &format!("Every connection is one: allow {FILES} or more (`ulimit -n`, LimitNOFILE= in systemd)."),
        ),
        Some(most) => report.good(&format!("open files: up to {most}")),
        None => report.good("open files: no limit"),
    }
}

fn check_livekit(report: &mut Report, config: &Config) {
    if config.livekit.url.is_empty() {
        report.good(&format!(
            "sound and picture: served here, on UDP port {} and TCP port {}",
            config.media.udp_port, config.media.tcp_port
        ));
    } else {
        report.good(&format!(
            "LiveKit: {}",
            without_password(&config.livekit.url)
        ));
    }
}

async fn check_network(report: &mut Report, config: &Config) {
    let addresses = [
        ("LiveKit", &config.livekit.url),
        ("public_url", &config.public_url),
        ("Supabase", &config.supabase.url),
        ("OPENAI_BASE_URL", &config.providers.openai_base_url),
    ];
    for (name, address) in addresses
        .into_iter()
        .filter(|(_, address)| !address.is_empty())
    {
        let target = Url::parse(address).ok().and_then(|url| {
            let port = url.port_or_known_default().or(match url.scheme() {
                "ws" => Some(80),
                "wss" => Some(443),
                _ => None,
            })?;
            Some((url.host_str()?.trim_matches(['[', ']']).to_owned(), port))
        });
        let Some((host, port)) = target else {
            report.bad(
                &format!("{name}: {address} has no host"),
                "Correct the address.",
            );
            continue;
        };
        match answers(&host, port).await {
            Ok(()) => report.good(&format!("{name}: {host}:{port} answers")),
            Err(error) => report.bad(
                &format!("{name}: {host}:{port} does not answer: {error}"),
                "Is the address right, is it running, and does a firewall stand between?",
            ),
        }
    }
}
