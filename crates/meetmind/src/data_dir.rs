//! The folder for the data: made for its user alone, and locked by the process that serves it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::{Context, Result, bail};

/// The lock on a data directory; released when dropped, and by the system when the process dies.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    /// Tells other commands on this machine under which address people reach the process.
    pub(crate) fn tell(&mut self, public_url: &str) -> std::io::Result<()> {
        writeln!(self.file, "{public_url}")
    }
}

/// Makes the folder and its parents, open to this user alone. One that is there stays as it is.
pub(crate) fn make(folder: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("the data directory {} cannot be made", folder.display()))
}

/// Opens a new or old file that only this user may read.
pub(crate) fn private_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

/// Locks the folder and prepares the SQLite file in it, whose mode its log files take over.
pub(crate) fn lock(folder: &Path) -> Result<Lock> {
    make(folder)?;
    let path = folder.join("meetmind.lock");
    let mut file =
        private_file(&path).with_context(|| format!("{} cannot be opened", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid);
            let who = match pid.lines().next() {
                None => String::new(),
                Some(pid) => format!(" (process {pid})"),
            };
            bail!(
                "the data directory {} is in use by another MeetMind{who}: stop that one, or choose another with --data-dir",
                folder.display()
            );
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("{} cannot be locked", path.display()));
        }
    }
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())?;
    Ok(Lock { file })
}

/// Whether a process holds the folder.
pub(crate) fn is_locked(folder: &Path) -> bool {
    File::open(folder.join("meetmind.lock"))
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// The address under which people reach the process that serves the folder, when one does.
pub(crate) fn served_at(folder: &Path) -> Option<String> {
    if !is_locked(folder) {
        return None;
    }
    let text = fs::read_to_string(folder.join("meetmind.lock")).ok()?;
    text.lines().nth(1).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn one_process_holds_the_folder_and_others_are_told_which() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("a/b");
        assert!(!is_locked(&data));
        let mut held = lock(&data).expect("free");
        assert!(is_locked(&data) && served_at(&data).is_none());
        held.tell("https://meet.example.com").expect("room");
        let told = served_at(&data);
        assert_eq!(told.as_deref(), Some("https://meet.example.com"));
        let error = lock(&data).expect_err("taken").to_string();
        assert!(
            error.contains(&format!("process {}", std::process::id())),
            "{error}"
        );
        drop(held);
        assert!(served_at(&data).is_none(), "what a dead process said");
        lock(&data).expect("free again");
    }

    #[test]
    fn new_folders_and_files_are_for_their_user_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let _held = lock(&data).expect("free");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&data), 0o700);
        assert_eq!(mode(&data.join("meetmind.lock")), 0o600);
    }
}
