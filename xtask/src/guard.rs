//! Ends a child even when xtask itself is killed before it can clean up.
//!
//! Std has no signal handlers. So a small shell, in a process group of its own, waits at the end of
//! a pipe whose only writer is xtask: whatever ends xtask closes the pipe, and the shell stops the
//! child and removes its folder.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

const SCRIPT: &str = r#"
trap '' INT TERM HUP
read -r _
kill -s "$1" "$2" 2>/dev/null
tenths=0
while kill -s 0 "$2" 2>/dev/null && [ "$tenths" -lt 100 ]; do
    sleep 0.1
    tenths=$((tenths + 1))
done
[ -z "$3" ] || rm -rf -- "$3"
"#;

/// Watches over one child for as long as it lives; dropped, it leaves the child alone.
#[derive(Debug)]
pub(crate) struct Guard(Child);

impl Guard {
    /// Sends `signal` to `pid` when xtask is gone, waits up to 10 s, then removes `folder`.
    pub(crate) fn over(pid: u32, signal: &str, folder: Option<&Path>) -> Result<Self> {
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "sh", signal, &pid.to_string()])
            .arg(folder.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("cannot start `sh`")?;
        Ok(Self(shell))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Killed before its pipe closes, so it never acts on a process id that someone else got.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_closed_pipe_ends_the_child() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep");
        let mut guard = Guard::over(child.id(), "TERM", None).expect("a guard");
        drop(guard.0.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(20);
        while child.try_wait().expect("a status").is_none() {
            assert!(Instant::now() < deadline, "the child outlived its guard");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn a_dropped_guard_leaves_the_child_alone() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep");
        drop(Guard::over(child.id(), "TERM", None).expect("a guard"));
        std::thread::sleep(Duration::from_millis(100));
        assert!(child.try_wait().expect("a status").is_none());
        child.kill().expect("the end");
        child.wait().expect("a status");
    }
}
