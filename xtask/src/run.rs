//! `cargo xtask run`: build everything, then become the program. `cargo xtask bench` likewise.

use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use crate::process;
use crate::web;
use crate::workspace::{Workspace, setting};

/// The variable that mirrors `--data-dir`.
const DATA_DIR: &str = "MEETMIND_DATA_DIR";

/// What a person asked `run` for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    release: bool,
    args: Vec<String>,
}

impl Request {
    /// Takes `--release` for itself and hands the rest on; without a command word that is `serve`.
    pub(crate) fn parse(words: &[String]) -> Self {
        // What stands behind `--` belongs to the program, even `--release`.
        let own = words
            .iter()
            .position(|word| word == "--")
            .unwrap_or(words.len());
        let mut args: Vec<String> = words[..own]
            .iter()
            .filter(|word| *word != "--release")
            .cloned()
            .collect();
        let release = args.len() < own;
        args.extend_from_slice(&words[own..]);
        // Out of habit from `cargo run -- …`: the program itself knows no such word in front.
        if args.first().is_some_and(|first| first == "--") {
            args.remove(0);
        }
        let asks_the_program = |word: &str| ["-h", "--help", "-V", "--version"].contains(&word);
        match args.first() {
            Some(first) if !first.starts_with('-') || asks_the_program(first) => {}
            _ => args.insert(0, "serve".to_owned()),
        }
        Self { release, args }
    }

    /// The command word.
    fn command(&self) -> &str {
        &self.args[0]
    }

    /// Whether a data directory is among the arguments.
    fn names_data_dir(&self) -> bool {
        self.args
            .iter()
            .any(|arg| arg == "--data-dir" || arg.starts_with("--data-dir="))
    }

    /// Puts `--data-dir` behind the command word, unless the person gave one.
    fn with_data_dir(mut self, folder: &str) -> Self {
        if ["serve", "demo"].contains(&self.command()) && !self.names_data_dir() {
            self.args
                .splice(1..1, ["--data-dir".to_owned(), folder.to_owned()]);
        }
        self
    }
}

/// Builds the page and the workspace, then becomes `meetmind`.
pub(crate) fn run(workspace: &Workspace, words: &[String]) -> Result<ExitCode> {
    let request = Request::parse(words);
    web::build(workspace)?;
    build(workspace, request.release)?;
    let mut program = program(workspace, request);
    process::become_it(&mut program)
}

/// Builds all crates together: with `-p` the features differ and dependencies compile again.
pub(crate) fn build(workspace: &Workspace, release: bool) -> Result<()> {
    // To standard error, like Cargo's own lines: standard output belongs to the program.
    let first = !workspace.binary(release).is_file();
    let note = if first {
        " (the first one takes minutes)"
    } else {
        ""
    };
    eprintln!("build: cargo build --workspace{note}");
    let mut args = vec!["build", "--workspace"];
    if release {
        args.push("--release");
    }
    process::check(&mut workspace.cargo(&args))
}

/// The command that starts the program as asked, with its data inside the repository by default.
pub(crate) fn program(workspace: &Workspace, request: Request) -> Command {
    let mut program = Command::new(workspace.binary(request.release));
    let mut request = request;
    if !data_dir_is_configured() && !request.names_data_dir() {
        let folder = workspace.local("data").display().to_string();
        // The flag says it where it matters; the variable tells every other command the same.
        program.env(DATA_DIR, &folder);
        request = request.with_data_dir(&folder);
    }
    eprintln!("start: meetmind {}", request.args.join(" "));
    program.args(&request.args);
    program
}

/// Whether the environment or the `.env` of the working directory names a data directory.
fn data_dir_is_configured() -> bool {
    setting(DATA_DIR).is_some()
        || fs::read_to_string(".env").is_ok_and(|text| sets(&text, DATA_DIR))
}

fn sets(dotenv: &str, name: &str) -> bool {
    dotenv.lines().any(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line);
        line.split_once('=')
            .is_some_and(|(left, _)| left.trim() == name)
    })
}

/// Becomes `bench/run`, which builds what it measures.
pub(crate) fn bench(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    let script = workspace.path("bench/run");
    if !script.is_file() {
        bail!("this checkout has no bench/run");
    }
    process::become_it(Command::new(script).current_dir(&workspace.root).args(args))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Request {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Request::parse(&words)
    }

    fn args_of(line: &str) -> String {
        parsed(line).with_data_dir("/data").args.join(" ")
    }

    #[test]
    fn without_a_command_it_serves() {
        assert_eq!(args_of(""), "serve --data-dir /data");
        assert_eq!(
            args_of("--listen 127.0.0.1:0"),
            "serve --data-dir /data --listen 127.0.0.1:0"
        );
        assert_eq!(
            args_of("-- --listen 127.0.0.1:0"),
            "serve --data-dir /data --listen 127.0.0.1:0"
        );
        assert_eq!(args_of("--help"), "--help");
    }

    #[test]
    fn a_command_is_passed_through() {
        assert_eq!(args_of("demo a.vtt"), "demo --data-dir /data a.vtt");
        assert_eq!(args_of("user create ada"), "user create ada");
    }

    #[test]
    fn a_given_data_directory_wins() {
        assert_eq!(args_of("serve --data-dir here"), "serve --data-dir here");
        assert_eq!(args_of("--data-dir=here"), "serve --data-dir=here");
    }

    #[test]
    fn release_is_for_the_build_unless_it_stands_behind_the_dashes() {
        assert!(parsed("demo --release").release);
        assert_eq!(parsed("demo --release").args, ["demo"]);
        let behind = parsed("demo -- --release");
        assert!(!behind.release);
        assert_eq!(behind.args, ["demo", "--", "--release"]);
    }

    #[test]
    fn a_dotenv_file_can_name_the_data_directory() {
        assert!(sets("A=1\nexport MEETMIND_DATA_DIR=/x\n", DATA_DIR));
        assert!(!sets("# MEETMIND_DATA_DIR=/x\n", DATA_DIR));
    }
}
