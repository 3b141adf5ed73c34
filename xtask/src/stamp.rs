//! Skips work whose inputs have not changed: a hash of the inputs, kept in a stamp file.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::workspace::Workspace;

/// FNV-1a over 64 bits: the same on every machine and toolchain, unlike std's hasher. It notices
/// edits; it is no defence against anyone.
#[derive(Debug)]
pub(crate) struct Hash(u64);

impl Hash {
    /// The hash of nothing.
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Adds one field; its length goes in too, so that fields cannot run into each other.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.bytes(bytes);
        self.bytes(&(bytes.len() as u64).to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Adds a file, or a folder with the names and contents of all it holds, except the names in
    /// `without`. What does not exist counts as empty.
    pub(crate) fn add_path(&mut self, path: &Path, without: &[&str]) -> Result<()> {
        for file in files(path, without)? {
            let name = file.strip_prefix(path).unwrap_or(&file);
            self.add(name.as_os_str().as_encoded_bytes());
            self.add(&fs::read(&file).with_context(|| file.display().to_string())?);
        }
        Ok(())
    }

    /// The hash as text.
    pub(crate) fn text(&self) -> String {
        format!("{:016x}", self.0)
    }
}

/// Every file under a path in a fixed order, leaving out entries whose name is in `without`.
pub(crate) fn files(path: &Path, without: &[&str]) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    if !path.is_dir() {
        return Ok(Vec::new());
    }
    let mut entries = fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .with_context(|| path.display().to_string())
        .map(|mut entries: Vec<PathBuf>| {
            entries.sort();
            entries
        })?;
    entries.retain(|entry| {
        !entry.is_symlink() && !without.iter().any(|name| entry.ends_with(Path::new(name)))
    });
    let mut found = Vec::new();
    for entry in entries {
        found.extend(files(&entry, without)?);
    }
    Ok(found)
}

/// Whether the named work was last done on exactly these inputs.
pub(crate) fn is_current(workspace: &Workspace, name: &str, hash: &Hash) -> bool {
    fs::read_to_string(stamp(workspace, name)).is_ok_and(|kept| kept == hash.text())
}

/// Remembers that the named work is done on these inputs.
pub(crate) fn keep(workspace: &Workspace, name: &str, hash: &Hash) -> Result<()> {
    let stamp = stamp(workspace, name);
    fs::create_dir_all(workspace.local("stamps"))
        .and_then(|()| fs::write(&stamp, hash.text()))
        .with_context(|| stamp.display().to_string())
}

fn stamp(workspace: &Workspace, name: &str) -> PathBuf {
    workspace.local("stamps").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash_of(fields: &[&str]) -> String {
        let mut hash = Hash::new();
        for field in fields {
            hash.add(field.as_bytes());
        }
        hash.text()
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        // The published test vector for "foobar".
        let mut hash = Hash::new();
        hash.bytes(b"foobar");
        assert_eq!(hash.text(), "85944171f73967e8");
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        assert_ne!(hash_of(&["ab", "c"]), hash_of(&["a", "bc"]));
        assert_eq!(hash_of(&["ab", "c"]), hash_of(&["ab", "c"]));
    }

    #[test]
    fn a_folder_hashes_by_names_and_contents_without_what_is_left_out() {
        let folder = std::env::temp_dir().join(format!("xtask-stamp-{}", std::process::id()));
        let modules = folder.join("node_modules");
        fs::create_dir_all(&modules).expect("a folder");
        fs::write(folder.join("a.ts"), "one").expect("a file");
        let hash = || {
            let mut hash = Hash::new();
            hash.add_path(&folder, &["node_modules"]).expect("a hash");
            hash.text()
        };
        let first = hash();
        fs::write(modules.join("b.js"), "two").expect("a file");
        assert_eq!(hash(), first);
        fs::write(folder.join("a.ts"), "two").expect("a file");
        assert_ne!(hash(), first);
        fs::remove_dir_all(&folder).expect("the end");
    }

    #[test]
    fn a_missing_path_is_empty() {
        assert!(
            files(Path::new("/no/such/path"), &[])
                .expect("a list")
                .is_empty()
        );
    }
}
