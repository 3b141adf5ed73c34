//! The tools that are not Rust's own: which are here, which must be, how to get the others.

use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::postgres;
use crate::process;
use crate::report::Outcome;
use crate::workspace::{Workspace, setting};

/// A tool that some tests need and a machine may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    /// A Postgres server: `initdb` and `postgres`, or an address.
    Postgres,
    /// A browser for the tests of the page.
    Chromium,
    /// Python with `venv`, for the clients of other projects.
    Python,
    /// Node 20: builds and tests the page.
    Node,
    /// Node 22, which some clients of other projects ask for.
    Node22,
    /// The spelling check.
    Typos,
}

impl Tool {
    const ALL: [Self; 6] = [
        Self::Postgres,
        Self::Chromium,
        Self::Python,
        Self::Node,
        Self::Node22,
        Self::Typos,
    ];

    /// The name in `MEETMIND_TEST_REQUIRE`.
    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Chromium => "chromium",
            Self::Python => "python",
            Self::Node => "node",
            Self::Node22 => "node22",
            Self::Typos => "typos",
        }
    }

    /// What is missing and how to get it, in one line.
    pub(crate) fn missing(self) -> &'static str {
        match self {
            Self::Postgres => {
                "no initdb found; apt-get install postgresql, or set TEST_POSTGRES_URL"
            }
            Self::Chromium => {
                "no Chromium found; apt-get install chromium, or set CHROMIUM to its path"
            }
            Self::Python => "no python3 with venv found; apt-get install python3-venv",
            Self::Node => "no Node 20 or newer with npm found; see nodejs.org",
            Self::Node22 => "no Node 22 or newer found; see nodejs.org",
            Self::Typos => {
                "no typos found; cargo install typos-cli, or \
                 python3 -m venv .local/tools && .local/tools/bin/pip install typos"
            }
        }
    }

    /// Where the tool is, or `None`.
    pub(crate) fn find(self, workspace: &Workspace) -> Option<Found> {
        match self {
            Self::Postgres => match setting("TEST_POSTGRES_URL") {
                Some(_) => Some(Found::plain("TEST_POSTGRES_URL")),
                None => postgres::programs().map(Found::plain),
            },
            Self::Chromium => setting("CHROMIUM")
                .map(PathBuf::from)
                .or_else(|| {
                    let names = ["chromium", "chromium-browser", "google-chrome", "chrome"];
                    names.iter().find_map(|name| on_path(name))
                })
                .map(Found::plain),
            Self::Python => {
                let python = on_path("python3")?;
                let mut probe = Command::new(&python);
                probe.args([
                    "-c",
                    "import ensurepip, venv, sys; print(sys.version.split()[0])",
                ]);
                Found::with_version(python, process::output(&mut probe).ok()?)
            }
            Self::Node => {
                on_path("npm")?;
                node(20)
            }
            Self::Node22 => node(22),
            Self::Typos => on_path("typos")
                .or_else(|| Some(workspace.local("tools/bin/typos")).filter(|path| path.is_file()))
                .map(Found::plain),
        }
    }
}

/// A tool that is here.
#[derive(Debug)]
pub(crate) struct Found {
    /// Its program, or what stands for it.
    pub(crate) path: PathBuf,
    /// Its version, where it was asked for.
    pub(crate) version: String,
}

impl Found {
    fn plain(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            version: String::new(),
        }
    }

    fn with_version(path: PathBuf, said: Vec<u8>) -> Option<Self> {
        let version = String::from_utf8(said).ok()?.trim().to_owned();
        Some(Self { path, version })
    }
}

impl fmt::Display for Found {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} {}", self.path.display(), self.version)
    }
}

/// The tools whose absence fails a test run.
#[derive(Debug)]
pub(crate) struct Required(Vec<Tool>);

impl Required {
    /// Reads `MEETMIND_TEST_REQUIRE`.
    pub(crate) fn from_environment() -> Result<Self> {
        let list = setting("MEETMIND_TEST_REQUIRE").unwrap_or_default();
        Self::parse(list.to_str().context("MEETMIND_TEST_REQUIRE is not text")?)
    }

    fn parse(list: &str) -> Result<Self> {
        let mut tools = Vec::new();
        for name in list
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            match Tool::ALL.into_iter().find(|tool| tool.name() == name) {
                Some(tool) => tools.push(tool),
                None => bail!(
                    "MEETMIND_TEST_REQUIRE names `{name}`; it knows {}",
                    Tool::ALL.map(Tool::name).join(", ")
                ),
            }
        }
        Ok(Self(tools))
    }

    /// The outcome of a step that cannot run without the tool.
    pub(crate) fn missing(&self, tool: Tool) -> Outcome {
        if self.0.contains(&tool) {
            Outcome::Failed(format!("{} (required here)", tool.missing()))
        } else {
            Outcome::Skipped(tool.missing().to_owned())
        }
    }

    /// The outcome of a step that ran without some of its tests for want of these tools: all are named, and
    /// one that must be here fails it.
    pub(crate) fn all_missing(&self, tools: &[Tool]) -> Outcome {
        let said: Vec<&str> = tools.iter().map(|tool| tool.missing()).collect();
        if said.is_empty() {
            Outcome::Passed
        } else if tools.iter().any(|tool| self.0.contains(tool)) {
            Outcome::Failed(format!("{} (required here)", said.join("; ")))
        } else {
            Outcome::Skipped(format!("ran without some tests: {}", said.join("; ")))
        }
    }

    /// Lists what is here and fails on what must be and is not.
    pub(crate) fn check(&self, workspace: &Workspace) -> Outcome {
        let mut lacking = Vec::new();
        for tool in Tool::ALL {
            let required = if self.0.contains(&tool) {
                "required"
            } else {
                ""
            };
            let said = match tool.find(workspace) {
                Some(found) => found.to_string(),
                None => tool.missing().to_owned(),
            };
            println!("{:9} {required:8}  {said}", tool.name());
            if self.0.contains(&tool) && tool.find(workspace).is_none() {
                lacking.push(tool.name());
            }
        }
        if lacking.is_empty() {
            Outcome::Passed
        } else {
            Outcome::Failed(format!("required and missing: {}", lacking.join(", ")))
        }
    }
}

/// The first program of that name on the search path.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = setting("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

fn node(least: u32) -> Option<Found> {
    let node = on_path("node")?;
    let said = Command::new(&node)
        .arg("--version")
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let found = Found::with_version(node, said.stdout)?;
    (node_major(&found.version)? >= least).then_some(found)
}

fn node_major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_required_tools_are_a_comma_list() {
        let required = Required::parse("postgres, python,,node22").expect("a list");
        assert_eq!(required.0, [Tool::Postgres, Tool::Python, Tool::Node22]);
        assert!(Required::parse("").expect("a list").0.is_empty());
    }

    #[test]
    fn an_unknown_requirement_is_named() {
        let error = Required::parse("postgres,mysql").expect_err("a refusal");
        assert!(error.to_string().contains("`mysql`"), "{error}");
    }

    #[test]
    fn a_required_tool_fails_where_another_skips() {
        let required = Required::parse("python").expect("a list");
        assert!(matches!(required.missing(Tool::Python), Outcome::Failed(_)));
        assert!(matches!(required.missing(Tool::Typos), Outcome::Skipped(_)));
    }

    #[test]
    fn the_major_version_of_node_is_read() {
        assert_eq!(node_major("v20.20.2"), Some(20));
        assert_eq!(node_major("20"), None);
        assert_eq!(node_major("vx"), None);
    }
}
