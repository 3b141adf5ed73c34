//! The files of one recording on disk.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::record::spec::Chunk;

/// Files kept open; a meeting with more tracks opens them again for each page.
const OPEN: usize = 128;

/// Writes chunks where they belong, and counts.
#[derive(Debug)]
pub(crate) struct Files {
    directory: PathBuf,
    open: BTreeMap<Arc<str>, File>,
    lengths: BTreeMap<Arc<str>, u64>,
}

impl Files {
    /// Makes the directory, which must not be there yet, for this user alone.
    pub(crate) fn new(directory: &Path) -> io::Result<Self> {
        if let Some(parent) = directory.parent() {
            private_directory(parent, true)?;
        }
        private_directory(directory, false)?;
        private_directory(&directory.join("tracks"), false)?;
        Ok(Self {
            directory: directory.to_owned(),
            open: BTreeMap::new(),
            lengths: BTreeMap::new(),
        })
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.lengths.values().sum()
    }

    /// Writes a chunk. When that fails half-way the file ends where it ended before.
    pub(super) fn write(&mut self, chunk: &Chunk) -> io::Result<()> {
        if self.open.len() >= OPEN && !self.open.contains_key(&chunk.file) {
            self.open.clear();
        }
        let file = match self.open.get_mut(&chunk.file) {
            Some(file) => file,
            None => {
                let file = private_file(&self.directory.join(&*chunk.file))?;
                self.open.entry(Arc::clone(&chunk.file)).or_insert(file)
            }
        };
        let length = self.lengths.entry(Arc::clone(&chunk.file)).or_default();
        file.seek(SeekFrom::Start(chunk.at))?;
        if let Err(error) = file.write_all(&chunk.bytes) {
            // A player would stumble over half a page; that this fails too changes nothing.
            let _ = file.set_len(*length);
            return Err(error);
        }
        *length = (*length).max(chunk.at + chunk.bytes.len() as u64);
        Ok(())
    }

    /// Replaces a small file as a whole: at any moment either the old one is there or the new one.
    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let beside = self.directory.join(format!("{name}.new"));
        let mut file = private_file(&beside)?;
        file.set_len(0)?;
        file.write_all(bytes)?;
        drop(file);
        fs::rename(&beside, self.directory.join(name))
    }

    /// Waits until all of it is on the disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.open.clear();
        for name in self.lengths.keys() {
            File::open(self.directory.join(&**name))?.sync_all()?;
        }
        File::open(self.directory.join("tracks"))?.sync_all()?;
        File::open(&self.directory)?.sync_all()
    }
}

/// Free bytes for this user on the disk of a directory.
#[cfg(unix)]
pub(crate) fn free_bytes(directory: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(directory)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Nobody is told here; a write that finds no room still says so.
#[cfg(not(unix))]
pub(crate) fn free_bytes(_directory: &Path) -> io::Result<u64> {
    Ok(u64::MAX)
}

fn private_directory(path: &Path, with_parents: bool) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(with_parents);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
