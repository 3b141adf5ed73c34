//! The committed files that the program writes itself, and the check that they are current.

use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::process;
use crate::run;
use crate::workspace::Workspace;

/// Each generated file and the arguments of `meetmind` that print it.
const FILES: [(&str, &[&str]); 4] = [
    ("api/openapi.json", &["openapi"]),
    ("api/asyncapi.json", &["asyncapi"]),
    ("docs/errors.md", &["docs", "errors"]),
    ("docs/configuration.md", &["docs", "configuration"]),
];

/// Builds, then writes the files, or with `--check` compares them.
pub(crate) fn generate(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    let checking = match args {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("usage: cargo xtask generate [--check]"),
    };
    run::build(workspace, false)?;
    if checking {
        check(workspace)?;
    } else {
        write(workspace)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write(workspace: &Workspace) -> Result<()> {
    for (file, args) in FILES {
        let text = printed(workspace, args)?;
        let path = workspace.path(file);
        if fs::read(&path).is_ok_and(|kept| kept == text) {
            println!("unchanged: {file}");
            continue;
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        fs::write(&path, text).with_context(|| file.to_owned())?;
        println!("written: {file}");
    }
    Ok(())
}

/// Compares every generated file with what the built program prints, and names all that differ.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let mut outdated = Vec::new();
    for (file, args) in FILES {
        let text = printed(workspace, args)?;
        match fs::read(workspace.path(file)) {
            Ok(kept) if kept == text => println!("current: {file}"),
            Ok(_) => outdated.push(file),
            Err(error) => {
                println!("{file}: {error}");
                outdated.push(file);
            }
        }
    }
    if !outdated.is_empty() {
        bail!(
            "out of date: {}; mend with `cargo xtask generate`",
            outdated.join(", ")
        );
    }
    Ok(())
}

fn printed(workspace: &Workspace, args: &[&str]) -> Result<Vec<u8>> {
    let mut program = Command::new(workspace.binary(false));
    // In the build directory, where no `.env` of the working directory plays a part.
    program.args(args).current_dir(&workspace.target);
    process::output(&mut program)
}
