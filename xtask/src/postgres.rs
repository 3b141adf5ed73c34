//! A private Postgres: a fresh cluster in `/tmp`, on a socket only, gone when xtask is.

mod folder;

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::guard::Guard;
use crate::process;
use crate::tools::{Tool, on_path};
use crate::workspace::Workspace;

/// How long a start may take; an idle machine needs one or two seconds.
const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(10);

/// A running cluster; dropped, it stops and its folder is removed.
#[derive(Debug)]
pub(crate) struct Postgres {
    folder: PathBuf,
    server: Child,
    _guard: Guard,
}

/// `cargo xtask postgres`: until Ctrl-C, or while a command runs.
pub(crate) fn command(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    let durable = args.first().is_some_and(|arg| arg == "--durable");
    let words = &args[usize::from(durable)..];
    let Some(programs) = programs() else {
        bail!("{}", Tool::Postgres.missing());
    };
    let mut postgres = Postgres::start(&programs, durable)?;
    if let [program, rest @ ..] = words {
        let mut command = Command::new(program);
        command.args(rest).env("TEST_POSTGRES_URL", postgres.url());
        let status = process::status(command.current_dir(&workspace.root))?;
        // A command that a signal ended has no code.
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        return Ok(ExitCode::from(code.unwrap_or(1)));
    }
    println!("{}", postgres.url());
    println!(
        "until Ctrl-C; in another shell: export TEST_POSTGRES_URL='{}'",
        postgres.url()
    );
    let status = postgres.server.wait()?;
    bail!("the server ended ({status})")
}

/// The folder with `initdb` and `postgres`: the one on the search path, else the newest installed.
pub(crate) fn programs() -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    // A link on the search path leads to the folder where `postgres` lies too.
    folders.extend(
        on_path("initdb").and_then(|path| Some(path.canonicalize().ok()?.parent()?.into())),
    );
    let mut installed = Vec::new();
    for parent in ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"] {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Ok(version) = name.trim_start_matches("postgresql@").parse::<u32>() {
                installed.push((version, entry.path().join("bin")));
            }
        }
    }
    installed.sort();
    folders.extend(installed.into_iter().rev().map(|(_, folder)| folder));
    folders
        .into_iter()
        .find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

impl Postgres {
    /// Makes a cluster and waits until it answers. `durable` keeps the server's own safety against
    /// a power cut, for measurements; tests go without.
    pub(crate) fn start(programs: &Path, durable: bool) -> Result<Self> {
        let begin = Instant::now();
        folder::remove_stale();
        let folder = folder::make()?;
        let result = Self::start_in(&folder, programs, durable);
        match &result {
            Ok(_) => println!(
                "postgres: private cluster from {} ready in {:.1} s",
                programs.display(),
                begin.elapsed().as_secs_f64()
            ),
            Err(_) => drop(fs::remove_dir_all(&folder)),
        }
        result
    }

    fn start_in(folder: &Path, programs: &Path, durable: bool) -> Result<Self> {
        let owner = folder::give_away(folder)?;
        let command = |name: &str| {
            let mut command = Command::new(programs.join(name));
            command.current_dir(folder).stdin(Stdio::null());
            if let Some((uid, gid)) = owner {
                command.uid(uid).gid(gid);
            }
            command
        };
        let data = folder.join("data");
        let locale = if cfg!(target_os = "macos") {
            "en_US.UTF-8"
        } else {
            "C.UTF-8"
        };
        process::output(
            command("initdb")
                .args([
                    "--username=meetmind",
                    "--auth=trust",
                    "--encoding=UTF8",
                    "--no-sync",
                ])
                .arg(format!("--locale={locale}"))
                .arg("--pgdata")
                .arg(&data),
        )?;

        let log = folder.join("log");
        let file = File::create(&log).context("the server's log")?;
        let mut server = command("postgres");
        server.arg("-D").arg(&data).arg("-k").arg(folder);
        server.args(["-c", "listen_addresses=", "-c", "max_connections=300"]);
        if !durable {
            for setting in [
                "fsync=off",
                "synchronous_commit=off",
                "full_page_writes=off",
            ] {
                server.args(["-c", setting]);
            }
        }
        let server = server
            .stdout(file.try_clone().context("the server's log")?)
            .stderr(file)
            .spawn()
            .context("cannot start `postgres`")?;
        // SIGINT is the fast shutdown: it does not wait for clients to go.
        let guard = Guard::over(server.id(), "INT", Some(folder))?;
        let mut postgres = Self {
            folder: folder.to_path_buf(),
            server,
            _guard: guard,
        };
        postgres.wait_until_ready(&data.join("postmaster.pid"), &log)?;
        Ok(postgres)
    }

    fn wait_until_ready(&mut self, pid_file: &Path, log: &Path) -> Result<()> {
        let deadline = Instant::now() + START;
        while !fs::read_to_string(pid_file).is_ok_and(|text| is_ready(&text)) {
            let ended = self.server.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let said = fs::read_to_string(log).unwrap_or_default();
                bail!("Postgres did not start\n{}", said.trim());
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The address in the form that sqlx and libpq share.
    pub(crate) fn url(&self) -> String {
        let folder = percent_encoded(&self.folder.to_string_lossy());
        format!("postgres://meetmind@localhost/postgres?host={folder}")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        process::signal(self.server.id(), "INT");
        let deadline = Instant::now() + STOP;
        while matches!(self.server.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.server.kill();
                let _ = self.server.wait();
            }
            sleep(Duration::from_millis(20));
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The eighth line of `postmaster.pid` is the server's own word on whether it answers.
fn is_ready(pid_file: &str) -> bool {
    pid_file
        .lines()
        .nth(7)
        .is_some_and(|line| line.trim() == "ready")
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_folder_is_percent_encoded() {
        assert_eq!(
            percent_encoded("/tmp/mm-pg-7-00ff"),
            "%2Ftmp%2Fmm-pg-7-00ff"
        );
        assert_eq!(percent_encoded("å b"), "%C3%A5%20b");
    }

    #[test]
    fn the_server_says_when_it_is_ready() {
        let seven = "1\n/data\n1700000000\n5432\n/tmp/x\n\n 1 2\n";
        assert!(!is_ready(seven));
        assert!(!is_ready(&format!("{seven}starting\n")));
        assert!(is_ready(&format!("{seven}ready   \n")));
    }
}
