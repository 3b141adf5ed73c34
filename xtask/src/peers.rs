//! The tests in `tests/peers/`: clients of other projects, in Python, against the built program.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::process;
use crate::report::Outcome;
use crate::stamp::{self, Hash};
use crate::tools::{Required, Tool};
use crate::workspace::Workspace;

/// Whether this checkout has such tests.
pub(crate) fn exists(workspace: &Workspace) -> bool {
    workspace.path("tests/peers").is_dir()
}

/// Runs pytest over them in the checkout's own virtual environment.
pub(crate) fn test(
    workspace: &Workspace,
    required: &Required,
    environment: &[(&'static str, PathBuf)],
) -> Result<Outcome> {
    let Some(python) = Tool::Python.find(workspace) else {
        return Ok(required.missing(Tool::Python));
    };
    let venv = workspace.local("venv");
    let requirements = workspace.path("tests/peers/requirements.txt");
    let mut wanted = Hash::new();
    wanted.add(python.version.as_bytes());
    wanted.add_path(&requirements, &[])?;
    if !venv.join("bin/python").is_file() || !stamp::is_current(workspace, "venv", &wanted) {
        println!("peers: python3 -m venv .local/venv, pip install -r tests/peers/requirements.txt");
        let mut make = Command::new(&python.path);
        process::check(make.args(["-m", "venv", "--clear"]).arg(&venv))?;
        let mut install = Command::new(venv.join("bin/python"));
        install.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
        ]);
        process::check(install.arg(&requirements))?;
        stamp::keep(workspace, "venv", &wanted)?;
    }
    let mut pytest = Command::new(venv.join("bin/python"));
    pytest
        .current_dir(&workspace.root)
        .args(["-m", "pytest", "tests/peers"])
        .envs(environment.iter().cloned());
    process::check(&mut pytest)?;
    Ok(Outcome::Passed)
}
