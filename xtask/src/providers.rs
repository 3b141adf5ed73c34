//! The rule that the whole graph has one crypto provider, aws-lc-rs, read off `cargo tree`.
//!
//! `deny.toml` says the same; this needs nothing installed. A second provider compiles and passes
//! most tests, and then rustls panics when it has to choose.

use anyhow::{Result, bail};

use crate::process;
use crate::workspace::Workspace;

/// Keep in step with `[bans]` of `deny.toml`.
const BANNED: [&str; 4] = ["openssl", "openssl-sys", "native-tls", "ring"];

/// Fails when a banned package is in the graph. `Cargo.lock` would not do: it also names packages
/// that only a feature which nobody turns on would bring in.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let mut tree = workspace.cargo(&["tree", "--workspace", "--prefix=none", "--format={p}"]);
    let tree = process::output(&mut tree)?;
    let found = banned(&String::from_utf8_lossy(&tree));
    if let Some(first) = found.first() {
        bail!(
            "{} in the graph; who asks for it: `cargo tree --workspace -e features -i {first}`",
            found.join(", ")
        );
    }
    println!("not in the graph: {}", BANNED.join(", "));
    Ok(())
}

/// The banned packages in a list of lines such as `ring v0.17.14`.
fn banned(tree: &str) -> Vec<&'static str> {
    let names: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    BANNED
        .into_iter()
        .filter(|banned| names.contains(banned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banned_packages_are_named() {
        let tree = "rustls v0.23.46\nring v0.17.14\nring v0.17.14 (*)\nopenssl-sys v0.9.1\n";
        assert_eq!(banned(tree), ["openssl-sys", "ring"]);
    }

    #[test]
    fn names_that_only_contain_a_banned_one_pass() {
        assert!(banned("openssl-probe v0.2.1\nstring v1.0.0\n").is_empty());
    }
}
