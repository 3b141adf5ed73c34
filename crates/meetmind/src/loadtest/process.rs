//! The measured server: this program once more, in a process of its own, so that its memory is its
//! own too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::api::Api;
use crate::cli::LoadtestArgs;

/// A start that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder for the data, removed at the end.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("meetmind-load-{}", std::process::id()));
        crate::data_dir::make(&folder)?;
        Ok(Self(folder))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running server.
pub(super) struct Serving {
    child: Child,
    pub(super) url: String,
    /// Kept open, so that the server may write on.
    _lines: BufReader<ChildStdout>,
}

impl Serving {
    /// Starts it; gives the time from the start of the process to the first "ready".
    pub(super) async fn start(folder: &Folder, args: &LoadtestArgs) -> Result<(Self, Duration)> {
        let program = std::env::current_exe().context("where this program lies")?;
        let started = Instant::now();
        let mut command = match &args.server_cpus {
            // It becomes the program, under the same process id.
            Some(cpus) => {
                let mut command = Command::new("taskset");
                command.args(["--cpu-list", cpus]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--log",
                "warn",
                "--data-dir",
            ])
            .arg(&folder.0)
            // No `.env` and no file of the working directory plays a part.
            .current_dir(&folder.0)
            .env_clear()
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        if let Some(url) = &args.postgres {
            command.env("DATABASE_URL", url);
        }
        if args.synchronous_full {
            command.env("MEETMIND_DATABASE_SYNCHRONOUS", "full");
        }
        let mut child = command.spawn().context("the server cannot be started")?;
        let stdout = child.stdout.take().context("the server's output")?;
        let mut lines = BufReader::new(stdout);
        let mut first = String::new();
        tokio::time::timeout(PATIENCE, lines.read_line(&mut first))
            .await
            .context("the server did not start in time")??;
        let Some(url) = first.trim().strip_prefix("listening on ") else {
            bail!("the server did not start");
        };
        let url = url.to_owned();
        let api = Api::server(&url)?;
        while !api.is_ready().await {
            ensure!(
                started.elapsed() < PATIENCE,
                "the server was not ready in time"
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let took = started.elapsed();
        Ok((
            Self {
                child,
                url,
                _lines: lines,
            },
            took,
        ))
    }

    /// Resident memory in KiB.
    pub(super) fn resident_kb(&self) -> Result<u64> {
        let pid = self.child.id().context("the server has ended")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))
            .context("resident memory is read from /proc, which only Linux has")?;
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .context("no VmRSS in /proc")
    }

    /// Ends it the way an operator does.
    pub(super) async fn stop(mut self) -> Result<()> {
        if let Some(pid) = self
            .child
            .id()
            .and_then(|pid| rustix::process::Pid::from_raw(i32::try_from(pid).ok()?))
        {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        }
        let status = tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .context("the server did not end in time")??;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }
}

/// What the measured database does against a power cut, in its own words.
pub(super) async fn durability(folder: &Folder, args: &LoadtestArgs) -> Result<String> {
    let mut settings = match &args.postgres {
        Some(url) => meetmind_store::Settings::url(url),
        None => meetmind_store::Settings::sqlite(folder.0.join("meetmind.db")),
    };
    if args.synchronous_full {
        settings.synchronous = meetmind_store::Synchronous::Full;
    }
    let store = meetmind_store::Store::open(&settings).await?;
    let words = store.durability().await?;
    store.close().await;
    let words: Vec<String> = words
        .iter()
        .map(|(name, value)| format!("{name} = {value}"))
        .collect();
    Ok(words.join(", "))
}

/// The machine in one line: processor, cores, memory.
pub(super) fn machine() -> String {
    let field = |path: &str, name: &str| {
        let text = fs::read_to_string(Path::new(path)).ok()?;
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .map(|rest| rest.trim_start_matches([':', ' ', '\t']).trim().to_owned())
    };
    let model =
        field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned());
    // Not what this process may use: it may be held to one of them.
    let cores = fs::read_to_string("/proc/cpuinfo").map_or(0, |text| {
        text.lines()
            .filter(|line| line.starts_with("processor"))
            .count()
    });
    let memory = field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok())
        .map_or_else(String::new, |kb| format!(", {} GB", (kb + (1 << 19)) >> 20));
    format!("{model}, {cores} cores{memory}")
}

/// The command line without the path of the program and without a password.
pub(super) fn command() -> String {
    let words = std::env::args().skip(1).map(|word| {
        if word.contains("://") {
            crate::config::without_password(&word)
        } else {
            word
        }
    });
    std::iter::once("meetmind".to_owned())
        .chain(words)
        .collect::<Vec<_>>()
        .join(" ")
}
