//! The folder of a private cluster: made for one run, removed after it or by a later one.

use std::fs::{self, DirBuilder};
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process;

/// Short, since a socket's path has room for about 100 bytes, and open to the user that a server
/// started by root runs as, which a home directory may not be.
const FOLDER: &str = "/tmp";
const PREFIX: &str = "mm-pg-";

/// A folder that only this run has: the process id tells later runs whether it is stale.
pub(super) fn make() -> Result<PathBuf> {
    let random = RandomState::new().hash_one(std::process::id()) & 0xffff;
    let name = format!("{PREFIX}{}-{random:04x}", std::process::id());
    let folder = Path::new(FOLDER).join(name);
    DirBuilder::new()
        .mode(0o700)
        .create(&folder)
        .with_context(|| folder.display().to_string())?;
    Ok(folder)
}

/// Root may not run Postgres: the folder then goes to another user, who is returned.
pub(super) fn give_away(folder: &Path) -> Result<Option<(u32, u32)>> {
    if folder.metadata()?.uid() != 0 {
        return Ok(None);
    }
    for user in ["postgres", "nobody"] {
        if let (Some(uid), Some(gid)) = (id("-u", user), id("-g", user)) {
            chown(folder, Some(uid), Some(gid)).with_context(|| folder.display().to_string())?;
            return Ok(Some((uid, gid)));
        }
    }
    bail!("root cannot run Postgres, and there is no user `postgres` or `nobody` to run it as")
}

fn id(flag: &str, user: &str) -> Option<u32> {
    let said = process::output(Command::new("id").args([flag, user])).ok()?;
    String::from_utf8(said).ok()?.trim().parse().ok()
}

/// Stops and removes the clusters of runs that are gone, such as those of a machine that ran out of
/// memory. Folders of other users stay: they cannot be removed.
pub(super) fn remove_stale() {
    for entry in fs::read_dir(FOLDER).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(owner) = run_of(&name) else { continue };
        if process::signal(owner, "0") {
            continue;
        }
        let folder = entry.path();
        let pid_file = fs::read_to_string(folder.join("data/postmaster.pid")).unwrap_or_default();
        if let Some(server) = pid_file.lines().next().and_then(|line| line.parse().ok())
            && command_line(server).contains(&*folder.to_string_lossy())
        {
            // SIGQUIT ends it at once: nobody wants its data.
            process::signal(server, "QUIT");
            sleep(Duration::from_millis(500));
        }
        if fs::remove_dir_all(&folder).is_ok() {
            println!(
                "postgres: removed {}, left by an earlier run",
                folder.display()
            );
        }
    }
}

/// The process id in the name of a cluster's folder.
fn run_of(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()
}

fn command_line(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_else(|_| {
        let said = Command::new("ps")
            .args(["-o", "args=", "-p", &pid.to_string()])
            .output();
        said.map_or_else(
            |_| String::new(),
            |said| String::from_utf8_lossy(&said.stdout).into_owned(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_names_the_run_that_made_it() {
        assert_eq!(run_of("mm-pg-4711-00ff"), Some(4711));
        assert_eq!(run_of("mm-pg-"), None);
        assert_eq!(run_of("other-4711-00ff"), None);
    }
}
