//! The log: to standard error, as text or JSON lines.

use std::io::IsTerminal as _;

use anyhow::{Result, bail};
use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};

/// Starts the log, and has panics written to it.
///
/// # Errors
/// When the level cannot be read.
pub(crate) fn install(config: &Config, colour: bool) -> Result<()> {
    let filter = filter(&config.log)?;
    let colour = colour && std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour);
    let installed = match config.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if let Err(error) = installed {
        bail!("the log cannot be started: {error}");
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(String::new, |place| {
            format!("{}:{}", place.file(), place.line())
        });
        // The place only: the message of a panic may quote the text that was being worked on.
        tracing::error!(place, "a thread panicked");
    }));
    Ok(())
}

/// A bare level is about our own parts; others tell of trouble only, because at finer levels they
/// print what they carry.
fn filter(setting: &str) -> Result<EnvFilter> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let mut directives = vec!["warn".to_owned()];
    for part in setting
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        match part.split_once('=') {
            None if LEVELS.contains(&part) => {
                if matches!(part, "off" | "error") {
                    directives[0] = part.to_owned();
                }
                directives.push(format!("meetmind={part}"));
            }
            Some((target, level)) if LEVELS.contains(&level) && !target.is_empty() => {
                directives.push(part.to_owned());
            }
            _ => bail!(
                "log: `{part}` is neither a level ({}) nor part=level",
                LEVELS.join(", ")
            ),
        }
    }
    Ok(EnvFilter::try_new(directives.join(","))?)
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn levels_are_read_and_others_refused() {
        for good in ["info", "debug,meetmind_store=trace", "error", " off "] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["loud", "meetmind_store=loud", "=info", "info;debug"] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_fine_level_does_not_open_what_others_carry() {
        let text = filter("trace").expect("a level").to_string();
        assert!(
            text.contains("meetmind=trace") && text.contains("warn"),
            "{text}"
        );
    }
}
