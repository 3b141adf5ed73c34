//! The page in `web/`: built when its sources changed, checked by its own scripts.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::process;
use crate::report::Outcome;
use crate::stamp::{self, Hash};
use crate::tools::{Required, Tool};
use crate::workspace::Workspace;

/// What is written into the folder by tools and is no source.
const WRITTEN: [&str; 3] = ["node_modules", "dist", "test-results"];

/// The scripts of `package.json` that a test run calls, in order.
const SCRIPTS: [&str; 2] = ["check", "test"];

/// Builds the page when its sources changed. Without the folder there is nothing to do; without
/// Node the server starts without its page, and this says so.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    if !exists(workspace) {
        return Ok(());
    }
    if Tool::Node.find(workspace).is_none() {
        eprintln!(
            "page: skipped, the API starts without it — {}",
            Tool::Node.missing()
        );
        return Ok(());
    }
    let mut sources = Hash::new();
    sources.add_path(&workspace.path("web"), &WRITTEN)?;
    let built = workspace.path("web/dist/index.html");
    if built.is_file() && stamp::is_current(workspace, "web", &sources) {
        return Ok(());
    }
    install(workspace)?;
    eprintln!("page: npm run build");
    process::check(&mut npm(workspace, &["run", "build"]))?;
    stamp::keep(workspace, "web", &sources)
}

/// The checks of the page, end-to-end last and only with a browser.
pub(crate) fn test(
    workspace: &Workspace,
    required: &Required,
    environment: &[(&'static str, PathBuf)],
) -> Result<Outcome> {
    if Tool::Node.find(workspace).is_none() {
        return Ok(required.missing(Tool::Node));
    }
    install(workspace)?;
    for script in SCRIPTS {
        process::check(&mut npm(workspace, &["run", "--if-present", script]))?;
    }
    build(workspace)?;
    let Some(browser) = Tool::Chromium.find(workspace) else {
        return Ok(required.missing(Tool::Chromium));
    };
    let mut browsing = npm(workspace, &["run", "--if-present", "e2e"]);
    browsing.env("CHROMIUM", browser.path);
    process::check(browsing.envs(environment.iter().cloned()))?;
    Ok(Outcome::Passed)
}

/// Whether this checkout has a page.
pub(crate) fn exists(workspace: &Workspace) -> bool {
    workspace.path("web/package.json").is_file()
}

/// `npm ci`, when the lock file changed since the last one.
fn install(workspace: &Workspace) -> Result<()> {
    let mut lock = Hash::new();
    lock.add_path(&workspace.path("web/package.json"), &[])?;
    lock.add_path(&workspace.path("web/package-lock.json"), &[])?;
    let installed = workspace.path("web/node_modules").is_dir();
    if installed && stamp::is_current(workspace, "web-modules", &lock) {
        return Ok(());
    }
    eprintln!("page: npm ci");
    process::check(&mut npm(workspace, &["ci", "--no-audit", "--no-fund"]))?;
    stamp::keep(workspace, "web-modules", &lock)
}

fn npm(workspace: &Workspace, args: &[&str]) -> Command {
    let mut command = Command::new("npm");
    command.current_dir(workspace.path("web")).args(args);
    command
}
