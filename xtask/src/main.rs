//! The repository's own commands: `cargo xtask run`, `cargo xtask test` and their helpers.
//!
//! Only std and anyhow, so that the first `cargo xtask` on a fresh machine starts within seconds.
//! Linux and macOS; on Windows use WSL.

mod dependencies;
mod dev;
mod generate;
mod guard;
mod peers;
mod postgres;
mod process;
mod report;
mod run;
mod stamp;
mod test;
mod tools;
mod web;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

const HELP: &str = "\
cargo xtask run [COMMAND] [ARGS…] [--release]   build, then start the server (or `meetmind COMMAND`)
cargo xtask test [--step STEP]… [FILTER]        every check; with FILTER only the Rust tests that match
cargo xtask dev [ARGS…]                         start the server; build and restart it on every change
cargo xtask generate [--check]                  write the generated files, or say which are out of date
cargo xtask postgres [--durable] [COMMAND…]     a private Postgres until Ctrl-C, or while COMMAND runs
cargo xtask bench [ARGS…]                       the benchmarks in bench/

test reads MEETMIND_TEST_REQUIRE (postgres, chromium, python, node, node22, typos; separated
by commas): what is named there and missing fails the run instead of being skipped.
TEST_POSTGRES_URL names a Postgres to test on; without it a private one is started.";

fn main() -> ExitCode {
    match dispatch() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Hands the words after `cargo xtask` to the command that the first of them names.
fn dispatch() -> Result<ExitCode> {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let args: Vec<String> = words.collect();
    let workspace = Workspace::find()?;
    match command.as_str() {
        "run" => run::run(&workspace, &args),
        "test" => test::test(&workspace, &args),
        "dev" => dev::dev(&workspace, args),
        "generate" => generate::generate(&workspace, &args),
        "postgres" => postgres::command(&workspace, &args),
        "bench" => run::bench(&workspace, &args),
        "" | "help" | "-h" | "--help" => {
            println!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        other => bail!("no command `{other}`\n\n{HELP}"),
    }
}
