//! Child processes: run one to its end, become one, signal one.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

/// Runs a command to its end; anything but success is an error that names the command.
pub(crate) fn check(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if !status.success() {
        bail!("`{}` failed ({status})", shown(command));
    }
    Ok(())
}

/// Runs a command to its end and gives its status.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    command.status().with_context(|| cannot_start(command))
}

/// Runs a command quietly and gives its standard output; failure carries its standard error.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| cannot_start(command))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{}` failed ({})\n{}",
            shown(command),
            output.status,
            said.trim()
        );
    }
    Ok(output.stdout)
}

/// Becomes the command, so that every signal and the exit code are its own.
pub(crate) fn become_it(command: &mut Command) -> Result<std::process::ExitCode> {
    let error = command.exec();
    Err(error).with_context(|| cannot_start(command))
}

/// Sends a signal by name, or none (`"0"`) to ask whether the process lives.
pub(crate) fn signal(pid: u32, name: &str) -> bool {
    // The shell's own `kill` is there on every machine; a program of that name is not.
    Command::new("sh")
        .args(["-c", r#"kill -s "$1" "$2""#, "sh", name, &pid.to_string()])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The command as a person would type it: the program without its folder, then the arguments.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program());
    std::iter::once(name)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

fn cannot_start(command: &Command) -> String {
    format!("cannot start `{}`", command.get_program().to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_what_it_said() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo no such thing >&2; exit 3"]);
        let error = output(&mut command).expect_err("a failure").to_string();
        assert!(error.contains("sh -c"), "{error}");
        assert!(error.contains("no such thing"), "{error}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = check(&mut Command::new("no-such-program")).expect_err("a failure");
        assert!(format!("{error:#}").contains("cannot start `no-such-program`"));
    }

    #[test]
    fn signal_zero_tells_whether_a_process_lives() {
        assert!(signal(std::process::id(), "0"));
    }
}
