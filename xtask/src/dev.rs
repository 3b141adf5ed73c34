//! `cargo xtask dev`: build and restart the server, and build the page, on every change.

use std::process::{Child, ExitCode};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};

use crate::guard::Guard;
use crate::process;
use crate::run::{self, Request};
use crate::stamp;
use crate::web;
use crate::workspace::Workspace;

/// How often the sources are looked at: a few hundred files take a millisecond or two.
const POLL: Duration = Duration::from_secs(1);

/// Longer than the ten seconds that the server takes at most to drain.
const DRAIN: Duration = Duration::from_secs(12);

/// Runs until Ctrl-C.
pub(crate) fn dev(workspace: &Workspace, args: Vec<String>) -> Result<ExitCode> {
    let mut server: Option<Server> = None;
    loop {
        let before = newest(workspace)?;
        match web::build(workspace).and_then(|()| run::build(workspace, false)) {
            Ok(()) => {
                drop(server.take());
                server = Some(Server::start(workspace, &args)?);
            }
            // The old server goes on while the person mends the code.
            Err(error) => eprintln!("error: {error:#}"),
        }
        eprintln!("dev: waiting for a change");
        while newest(workspace)? == before {
            sleep(POLL);
            if let Some(running) = &mut server
                && let Some(status) = running.child.try_wait()?
            {
                eprintln!("dev: the server ended ({status})");
                server = None;
            }
        }
    }
}

/// The time of the newest source and the number of sources, so that a deletion shows too.
fn newest(workspace: &Workspace) -> Result<(Option<SystemTime>, usize)> {
    let mut files = Vec::new();
    for path in [
        "crates",
        "Cargo.toml",
        "Cargo.lock",
        "meetmind.default.toml",
        "web",
    ] {
        let without = ["target", "node_modules", "dist"];
        files.extend(stamp::files(&workspace.path(path), &without)?);
    }
    // A file that an editor just replaced may be gone for a moment: it counts next time.
    let times = files
        .iter()
        .filter_map(|file| file.metadata().ok()?.modified().ok());
    Ok((times.max(), files.len()))
}

/// The running server; dropped, it is asked to drain and, if it does not, ended.
#[derive(Debug)]
struct Server {
    child: Child,
    _guard: Guard,
}

impl Server {
    fn start(workspace: &Workspace, args: &[String]) -> Result<Self> {
        let child = run::program(workspace, Request::parse(args))
            .spawn()
            .context("cannot start the server")?;
        let guard = Guard::over(child.id(), "TERM", None)?;
        Ok(Self {
            child,
            _guard: guard,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        process::signal(self.child.id(), "TERM");
        let deadline = Instant::now() + DRAIN;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
