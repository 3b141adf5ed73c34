//! The measured server: started here, or one that runs; its CPU time and memory from /proc.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::super::process::Folder;
use crate::cli::MediaLoadArgs;

/// The pair of a server that is started here; nobody else can reach it.
const KEY: &str = "load";

/// Who is measured.
pub(super) struct Measured {
    pub(super) url: url::Url,
    pub(super) api_key: String,
    pub(super) api_secret: String,
    /// The process, when it runs on this machine.
    pub(super) pid: Option<u32>,
    _own: Option<(Child, Folder)>,
}

impl Measured {
    /// The server that the arguments name, or a new one on loopback.
    pub(super) async fn of(args: &MediaLoadArgs) -> Result<Self> {
        if let Some(url) = &args.url {
            let url: url::Url = url.parse().context("--url is no address")?;
            let pid = args.server_pid.or_else(|| process_of(&url));
            return Ok(Self {
                url,
                api_key: args.api_key.clone().context("--api-key is missing")?,
                api_secret: args.api_secret.clone().context("--api-secret is missing")?,
                pid,
                _own: None,
            });
        }
        let folder = Folder::new()?;
        let secret = format!("{}{}", crate::demo::uuid_word(), crate::demo::uuid_word());
        let program = std::env::current_exe().context("where this program lies")?;
        let mut command = match &args.server_cpus {
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
            .arg(folder.path())
            .current_dir(folder.path())
            .env_clear()
            .env("LIVEKIT_API_KEY", KEY)
            .env("LIVEKIT_API_SECRET", &secret)
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true);
        if let Some(threads) = args.server_threads {
            command.env("MEETMIND_MEDIA_THREADS", threads.to_string());
        }
        let mut child = command.spawn().context("the server cannot be started")?;
        let stdout = child.stdout.take().context("the server's output")?;
        let mut lines = BufReader::new(stdout).lines();
        let mut url = None;
        let waiting = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(found) = line.strip_prefix("listening on ") {
                    url = Some(found.to_owned());
                }
                if line.starts_with("media:") {
                    break;
                }
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(Duration::from_secs(30), waiting)
            .await
            .context("the server did not start in time")??;
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self {
            url: url.context("the server did not start")?.parse()?,
            api_key: KEY.to_owned(),
            api_secret: secret,
            pid: child.id(),
            _own: Some((child, folder)),
        })
    }

    /// CPU time and resident memory now; none for a server elsewhere.
    pub(super) fn usage(&self) -> Option<Usage> {
        Usage::of(self.pid?)
    }
}

/// What a process has used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    /// Since its start, of all its threads.
    pub(super) cpu: Duration,
    /// Resident now.
    pub(super) resident_kb: u64,
}

impl Usage {
    fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may hold anything; the fields are counted behind it.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks: u64 =
            fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        let per_second = rustix::param::clock_ticks_per_second();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(Self {
            cpu: Duration::from_secs_f64(ticks as f64 / per_second as f64),
            resident_kb: resident.split_whitespace().next()?.parse().ok()?,
        })
    }
}

/// The process of this machine that listens at the URL, found by its socket.
fn process_of(url: &url::Url) -> Option<u32> {
    let host = url.host_str()?.trim_matches(['[', ']']);
    let local = host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| std::net::UdpSocket::bind((ip, 0)).is_ok());
    if !local {
        return None;
    }
    let port = crate::dial::Place::of(url).ok()?.port;
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .find_map(|table| listener(&table, port))?;
    let wanted = PathBuf::from(format!("socket:[{inode}]"));
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|it| it.parse().ok()) else {
            continue;
        };
        // Other users' processes cannot be looked into.
        let Ok(files) = fs::read_dir(entry.path().join("fd")) else {
            continue;
        };
        for file in files.flatten() {
            if fs::read_link(file.path()).is_ok_and(|to| to == wanted) {
                return Some(pid);
            }
        }
    }
    None
}

/// The inode of the socket that listens on a port, from the kernel's table.
fn listener(table: &str, port: u16) -> Option<u64> {
    const LISTEN: &str = "0A";
    let suffix = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_it = fields.get(1)?.ends_with(&suffix) && *fields.get(3)? == LISTEN;
        is_it.then(|| fields.get(9)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_listens_is_found_by_its_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let url = format!("http://127.0.0.1:{port}").parse().expect("a URL");
        assert_eq!(process_of(&url), Some(std::process::id()));
        let usage = Usage::of(std::process::id()).expect("a process");
        assert!(usage.resident_kb > 1_000);
    }
}
