//! Where things lie: the repository, the build directory, the binary, the private folder.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// The folders every command works with.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The repository's root.
    pub(crate) root: PathBuf,
    /// Cargo's build directory.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Finds the repository this program was built from and the build directory it lies in.
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask lies outside of a workspace")?
            .to_path_buf();
        // The program is TARGET/debug/xtask: that holds for CARGO_TARGET_DIR and for Cargo's
        // configuration alike, and needs no `cargo metadata`.
        let target = std::env::current_exe()
            .ok()
            .and_then(|path| Some(path.parent()?.parent()?.to_path_buf()))
            .unwrap_or_else(|| root.join("target"));
        Ok(Self { root, target })
    }

    /// A path inside the repository.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// The folder for what belongs to this checkout alone: data, virtual environments, stamps.
    pub(crate) fn local(&self, name: &str) -> PathBuf {
        self.root.join(".local").join(name)
    }

    /// The built program.
    pub(crate) fn binary(&self, release: bool) -> PathBuf {
        self.target
            .join(if release { "release" } else { "debug" })
            .join("meetmind")
    }

    /// A Cargo command at the root, in the environment that a shell would give it.
    pub(crate) fn cargo(&self, args: &[&str]) -> Command {
        let mut command = Command::new(setting("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root).args(args);
        // What `cargo run` set to describe xtask itself would make build scripts run again.
        for name in variables().filter(|name| describes_xtask(name)) {
            command.env_remove(name);
        }
        command
    }
}

/// One environment variable; an empty one counts as absent.
#[expect(
    clippy::disallowed_methods,
    reason = "xtask is a process of its own: this is its one door to the environment"
)]
pub(crate) fn setting(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The names of all environment variables that are valid text.
#[expect(
    clippy::disallowed_methods,
    reason = "xtask is a process of its own: this is its one door to the environment"
)]
fn variables() -> impl Iterator<Item = String> {
    std::env::vars_os().filter_map(|(name, _)| name.into_string().ok())
}

fn describes_xtask(name: &str) -> bool {
    [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_BIN_",
        "CARGO_CRATE_",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_holds_the_workspace_manifest() {
        let workspace = Workspace::find().expect("a workspace");
        assert!(workspace.path("Cargo.toml").is_file());
        assert!(workspace.path("xtask/Cargo.toml").is_file());
    }

    #[test]
    fn only_what_describes_xtask_is_kept_from_cargo() {
        assert!(describes_xtask("CARGO_PKG_NAME"));
        assert!(describes_xtask("CARGO_MANIFEST_DIR"));
        assert!(!describes_xtask("CARGO_TARGET_DIR"));
        assert!(!describes_xtask("CARGO_HOME"));
    }
}
