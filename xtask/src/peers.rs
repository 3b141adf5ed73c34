//! The tests in `tests/peers/`: clients of other projects, in Python, Node and a browser, against the built
//! program.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::process;
use crate::report::Outcome;
use crate::stamp::{self, Hash};
use crate::tools::{Found, Required, Tool};
use crate::workspace::Workspace;

/// The folder of the clients that run in Node and in a browser.
const NODE: &str = "tests/peers/livekit/node";

/// Whether this checkout has such tests.
pub(crate) fn exists(workspace: &Workspace) -> bool {
    workspace.path("tests/peers").is_dir()
}

/// Runs pytest over them in the checkout's own virtual environments. Without Node or a browser the tests
/// that need one are left out, and the outcome says so.
pub(crate) fn test(
    workspace: &Workspace,
    required: &Required,
    environment: &[(&'static str, PathBuf)],
) -> Result<Outcome> {
    let Some(python) = Tool::Python.find(workspace) else {
        return Ok(required.missing(Tool::Python));
    };
    let venv = install(workspace, &python, "venv", "tests/peers/requirements.txt")?;
    // Agents are a program of their own, with other versions of the same packages.
    let agents = install(
        workspace,
        &python,
        "venv-agents",
        "tests/peers/livekit/worker/requirements.txt",
    )?;
    let mut pytest = Command::new(&venv);
    pytest
        .current_dir(&workspace.root)
        // Most of the time they wait: three files side by side, each with a server of its own.
        .args([
            "-m",
            "pytest",
            "tests/peers",
            "-n",
            "3",
            "--dist",
            "loadfile",
        ])
        .env("AGENTS_PYTHON", agents)
        .envs(environment.iter().cloned());
    let mut lacking = Vec::new();
    match Tool::Chromium.find(workspace) {
        Some(browser) => {
            pytest.env("CHROMIUM", browser.path);
        }
        None => lacking.push(Tool::Chromium),
    }
    if Tool::Node.find(workspace).is_some() {
        install_packages(workspace)?;
    } else {
        lacking.push(Tool::Node);
    }
    process::check(&mut pytest)?;
    Ok(required.all_missing(&lacking))
}

/// Makes a virtual environment when its requirements or Python changed; gives its Python.
fn install(
    workspace: &Workspace,
    python: &Found,
    name: &str,
    requirements: &str,
) -> Result<PathBuf> {
    let venv = workspace.local(name);
    let inside = venv.join("bin/python");
    let file = workspace.path(requirements);
    let mut wanted = Hash::new();
    wanted.add(python.version.as_bytes());
    wanted.add_path(&file, &[])?;
    if inside.is_file() && stamp::is_current(workspace, name, &wanted) {
        return Ok(inside);
    }
    println!("peers: python3 -m venv .local/{name}, pip install -r {requirements}");
    let mut make = Command::new(&python.path);
    process::check(make.args(["-m", "venv", "--clear"]).arg(&venv))?;
    let mut install = Command::new(&inside);
    install.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-r",
    ]);
    process::check(install.arg(&file))?;
    stamp::keep(workspace, name, &wanted)?;
    Ok(inside)
}

/// `npm ci`, when the lock file changed since the last one.
fn install_packages(workspace: &Workspace) -> Result<()> {
    let folder = workspace.path(NODE);
    let mut lock = Hash::new();
    lock.add_path(&folder.join("package.json"), &[])?;
    lock.add_path(&folder.join("package-lock.json"), &[])?;
    if has_packages(&folder) && stamp::is_current(workspace, "peers-modules", &lock) {
        return Ok(());
    }
    println!("peers: npm ci in {NODE}");
    let mut npm = Command::new("npm");
    npm.current_dir(&folder);
    process::check(npm.args(["ci", "--no-audit", "--no-fund"]))?;
    stamp::keep(workspace, "peers-modules", &lock)
}

fn has_packages(folder: &Path) -> bool {
    folder.join("node_modules").is_dir()
}
