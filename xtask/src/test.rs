//! `cargo xtask test`: every check of the project, each timed, with one table at the end.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::dependencies;
use crate::generate;
use crate::peers;
use crate::postgres::Postgres;
use crate::process;
use crate::report::{Outcome, Report};
use crate::run;
use crate::tools::{Required, Tool};
use crate::web;
use crate::workspace::Workspace;

/// The steps in their order: what ends within a second first.
const STEPS: [&str; 10] = [
    "tools",
    "format",
    "dependencies",
    "typos",
    "build",
    "generated",
    "clippy",
    "tests",
    "peers",
    "web",
];

/// What a person asked `test` for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Request {
    steps: Vec<String>,
    filter: Vec<String>,
}

impl Request {
    fn parse(words: &[String]) -> Result<Self> {
        let mut request = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word == "--step" {
                match words.next() {
                    Some(step) if STEPS.contains(&step.as_str()) => {
                        request.steps.push(step.clone());
                    }
                    _ => bail!("--step wants one of {}", STEPS.join(", ")),
                }
            } else {
                request.filter.push(word.clone());
            }
        }
        Ok(request)
    }

    /// A filter is for Rust tests: with one, and no steps named, only those run.
    fn wants(&self, step: &str) -> bool {
        match (self.steps.is_empty(), self.filter.is_empty()) {
            (true, true) => true,
            (true, false) => step == "tests",
            (false, _) => self.steps.iter().any(|wanted| wanted == step),
        }
    }
}

/// Runs the steps; a failed one does not keep the others from running.
pub(crate) fn test(workspace: &Workspace, words: &[String]) -> Result<ExitCode> {
    let request = Request::parse(words)?;
    let run = Run {
        workspace,
        required: Required::from_environment()?,
        filter: &request.filter,
    };
    let mut report = Report::default();
    let mut postgres = None;
    let mut asked = false;
    for step in STEPS.into_iter().filter(|step| request.wants(step)) {
        if !asked && needs_postgres(workspace, step) {
            // Not earlier, so that a wrong comma costs no cluster.
            report.step("postgres", || run.postgres(&mut postgres));
            asked = true;
        }
        match step {
            "peers" if !peers::exists(workspace) => continue,
            "web" if !web::exists(workspace) => continue,
            _ => {}
        }
        report.step(step, || run.step(step, postgres.as_ref()));
    }
    drop(postgres);
    print!("\n{}", report.table());
    Ok(if report.passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn needs_postgres(workspace: &Workspace, step: &str) -> bool {
    match step {
        "tests" => true,
        "peers" => peers::exists(workspace),
        "web" => web::exists(workspace),
        _ => false,
    }
}

/// What the steps share.
struct Run<'a> {
    workspace: &'a Workspace,
    required: Required,
    filter: &'a [String],
}

impl Run<'_> {
    fn step(&self, step: &str, postgres: Option<&Postgres>) -> Result<Outcome> {
        let workspace = self.workspace;
        match step {
            "tools" => return Ok(self.required.check(workspace)),
            "format" => process::check(&mut workspace.cargo(&["fmt", "--all", "--check"]))?,
            "dependencies" => dependencies::check(workspace)?,
            "typos" => return self.tool(Tool::Typos, &[]),
            "build" => run::build(workspace, false)?,
            "generated" => generate::check(workspace)?,
            "clippy" => {
                let args = [
                    "clippy",
                    "--workspace",
                    "--all-targets",
                    "--",
                    "-D",
                    "warnings",
                ];
                process::check(&mut workspace.cargo(&args))?;
            }
            "tests" => self.tests(postgres)?,
            "peers" => return peers::test(workspace, &self.required, &self.environment(postgres)),
            "web" => return web::test(workspace, &self.required, &self.environment(postgres)),
            _ => bail!("no step `{step}`"),
        }
        Ok(Outcome::Passed)
    }

    /// Starts the private cluster, or says why the tests will run on SQLite alone.
    fn postgres(&self, cluster: &mut Option<Postgres>) -> Result<Outcome> {
        let Some(found) = Tool::Postgres.find(self.workspace) else {
            return Ok(self.required.missing(Tool::Postgres));
        };
        if found.path == Path::new("TEST_POSTGRES_URL") {
            println!("postgres: the one that TEST_POSTGRES_URL names");
            return Ok(Outcome::Passed);
        }
        *cluster = Some(Postgres::start(&found.path, false)?);
        Ok(Outcome::Passed)
    }

    fn tests(&self, postgres: Option<&Postgres>) -> Result<()> {
        let mut command = self
            .workspace
            .cargo(&["test", "--workspace", "--no-fail-fast"]);
        process::check(command.args(self.filter).envs(self.environment(postgres)))
    }

    fn tool(&self, tool: Tool, args: &[&str]) -> Result<Outcome> {
        let Some(found) = tool.find(self.workspace) else {
            return Ok(self.required.missing(tool));
        };
        let mut command = std::process::Command::new(found.path);
        process::check(command.current_dir(&self.workspace.root).args(args))?;
        Ok(Outcome::Passed)
    }

    /// Where tests outside of Rust find the program and the database.
    fn environment(&self, postgres: Option<&Postgres>) -> Vec<(&'static str, PathBuf)> {
        let mut variables = vec![("MEETMIND_BINARY", self.workspace.binary(false))];
        if let Some(postgres) = postgres {
            variables.push(("TEST_POSTGRES_URL", postgres.url().into()));
        }
        variables
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Request> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Request::parse(&words)
    }

    #[test]
    fn without_words_every_step_runs() {
        let request = parsed("").expect("a request");
        assert!(STEPS.iter().all(|step| request.wants(step)));
    }

    #[test]
    fn a_filter_runs_only_the_rust_tests() {
        let request = parsed("policy -- --nocapture").expect("a request");
        assert_eq!(request.filter, ["policy", "--", "--nocapture"]);
        assert!(request.wants("tests"));
        assert!(!request.wants("clippy"));
    }

    #[test]
    fn named_steps_run_alone() {
        let request = parsed("--step format --step clippy").expect("a request");
        assert!(request.wants("format") && request.wants("clippy"));
        assert!(!request.wants("tests"));
    }

    #[test]
    fn an_unknown_step_is_refused_with_those_there_are() {
        let error = parsed("--step lint").expect_err("a refusal").to_string();
        assert!(error.contains("clippy"), "{error}");
    }
}
