//! What may come into the dependency graph: the bans, licences and sources of `deny.toml`, read off
//! `cargo tree` and `Cargo.lock`. It needs nothing installed and no network; `cargo deny` reads the
//! same file and takes longer to install than every other check to run (decision 7).

use std::fs;

use anyhow::{Context, Result, bail, ensure};

use crate::process;
use crate::workspace::Workspace;

/// The only place that packages may come from, as `Cargo.lock` writes it.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Fails when the graph has a package that `deny.toml` does not let in.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let read = |path: &str| fs::read_to_string(workspace.path(path)).context(path.to_owned());
    let rules = read("deny.toml")?;
    let banned = list(&rules, "bans", "deny")?;
    let licences = list(&rules, "licenses", "allow")?;
    // `Cargo.lock` would not do for these: it also names packages that only a feature which nobody
    // turns on would bring in.
    let mut args = vec!["tree", "--workspace", "--prefix=none", "--format={p}|{l}"];
    let targets = list(&rules, "graph", "targets")?;
    args.extend(targets.iter().flat_map(|target| ["--target", target]));
    let tree = process::output(&mut workspace.cargo(&args))?;
    let mut packages: Vec<Package> = String::from_utf8_lossy(&tree)
        .lines()
        .filter_map(Package::parse)
        .collect();
    packages.sort();
    packages.dedup();
    let mut faults = Vec::new();
    for package in &packages {
        if banned.contains(&package.name) {
            faults.push(format!(
                "{} is banned; who asks for it: `cargo tree --workspace -e features -i {0}`",
                package.name
            ));
        }
        if !is_allowed(&package.licence, &licences) {
            faults.push(format!(
                "{} has the licence `{}`, which deny.toml does not allow",
                package.name, package.licence
            ));
        }
    }
    faults.extend(strange_sources(&read("Cargo.lock")?));
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    println!(
        "{} packages: none of {}; permissive licences; all from crates.io",
        packages.len(),
        banned.join(", ")
    );
    Ok(())
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    licence: String,
}

impl Package {
    /// Reads a line such as `ring v0.17.14|Apache-2.0 AND ISC (*)`.
    fn parse(line: &str) -> Option<Self> {
        let (package, licence) = line.split_once('|')?;
        Some(Self {
            name: package.split(' ').next()?.to_owned(),
            licence: licence.trim_end_matches(" (*)").to_owned(),
        })
    }
}

/// The quoted words of a list in `deny.toml`.
fn list(rules: &str, section: &str, key: &str) -> Result<Vec<String>> {
    let mut lines = rules
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim());
    let heading = format!("[{section}]");
    let opening = format!("{key} = [");
    let found = lines.any(|line| line == heading) && lines.any(|line| line == opening);
    ensure!(found, "deny.toml has no list `{key}` under [{section}]");
    let words = lines.take_while(|line| *line != "]");
    let words = words.filter_map(|line| line.split('"').nth(1).map(str::to_owned));
    Ok(words.collect())
}

/// Whether an SPDX expression can be met with the allowed licences alone.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    // `/` is how older packages write OR.
    let spaced = expression.replace('/', " OR ");
    let spaced = spaced.replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let answer = any_of(&mut rest, allowed);
    answer && rest.is_empty()
}

fn any_of(rest: &mut &[&str], allowed: &[String]) -> bool {
    let mut answer = all_of(rest, allowed);
    while let ["OR", after @ ..] = *rest {
        *rest = after;
        // Not short-circuited: the words must be read either way.
        answer |= all_of(rest, allowed);
    }
    answer
}

fn all_of(rest: &mut &[&str], allowed: &[String]) -> bool {
    let mut answer = one(rest, allowed);
    while let ["AND", after @ ..] = *rest {
        *rest = after;
        answer &= one(rest, allowed);
    }
    answer
}

fn one(rest: &mut &[&str], allowed: &[String]) -> bool {
    match *rest {
        ["(", after @ ..] => {
            *rest = after;
            let answer = any_of(rest, allowed);
            match *rest {
                [")", after @ ..] => *rest = after,
                _ => return false,
            }
            answer
        }
        [licence, "WITH", exception, after @ ..] => {
            *rest = after;
            allowed.contains(&format!("{licence} WITH {exception}"))
        }
        [licence, after @ ..] => {
            *rest = after;
            allowed.iter().any(|known| known == licence)
        }
        [] => false,
    }
}

/// The sources in `Cargo.lock` that are not the registry.
fn strange_sources(lock: &str) -> Vec<String> {
    let sources = lock
        .lines()
        .filter_map(|line| line.strip_prefix("source = "));
    sources
        .filter(|source| source.trim_matches('"') != REGISTRY)
        .map(|source| format!("Cargo.lock has a package from {source}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn an_expression_is_met_by_the_allowed_licences_alone() {
        let allowed = words("MIT,Apache-2.0,ISC,Apache-2.0 WITH LLVM-exception");
        for good in [
            "MIT",
            "GPL-3.0 OR MIT",
            "Apache-2.0/GPL-3.0",
            "(GPL-3.0 OR MIT) AND ISC",
            "ISC AND (Apache-2.0 OR ISC) AND MIT",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert!(is_allowed(good, &allowed), "{good}");
        }
        for bad in [
            "",
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT OR ISC) AND GPL-3.0",
            "GPL-3.0 AND MIT OR GPL-2.0",
            "MIT WITH some-exception",
            "(MIT",
            "MIT ISC",
        ] {
            assert!(!is_allowed(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn the_lists_of_the_rules_are_read() {
        let rules = "[graph]\ntargets = [\n    \"a\", # one\n    # \"b\",\n]\n[bans]\nwild = \"x\"\ndeny = [\n    { name = \"ring\" },\n]\n";
        assert_eq!(list(rules, "graph", "targets").expect("a list"), ["a"]);
        assert_eq!(list(rules, "bans", "deny").expect("a list"), ["ring"]);
        assert!(list(rules, "graph", "deny-nothing").is_err());
    }

    #[test]
    fn a_line_of_the_tree_is_a_package_with_its_licence() {
        let package = Package::parse("openssl-probe v0.2.1|MIT OR Apache-2.0 (*)");
        let package = package.expect("a package");
        assert_eq!(package.name, "openssl-probe");
        assert_eq!(package.licence, "MIT OR Apache-2.0");
        assert!(Package::parse("").is_none());
    }

    #[test]
    fn packages_from_elsewhere_are_named() {
        let lock =
            format!("source = \"{REGISTRY}\"\nsource = \"git+https://example.com/x#1234\"\n");
        let found = strange_sources(&lock);
        assert!(found.len() == 1 && found[0].contains("example.com"));
    }
}
