//! The table of a run, and its ratio to an earlier one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::super::http::percentile;
use super::super::process;
use super::client::Outcome;
use super::receive::Tally;
use crate::cli::MediaLoadArgs;

/// What was measured outside of the participants.
pub(super) struct Sums {
    pub(super) people: u64,
    pub(super) failed: u64,
    pub(super) ready: u64,
    pub(super) sent: u64,
    pub(super) took: Duration,
    pub(super) cpu: Option<Duration>,
    pub(super) resident_before_kb: Option<u64>,
    pub(super) resident_kb: Option<u64>,
}

/// Figures by name, in the order of the table.
pub(super) struct Report {
    figures: Vec<(&'static str, f64)>,
}

const CPU_PER_PACKET: &str = "server CPU per forwarded packet, µs";
const CPU: &str = "server CPU, % of one core";
const MEMORY: &str = "server memory per participant, kB";

impl Report {
    pub(super) fn new(args: &MediaLoadArgs, sums: &Sums, outcomes: &[Outcome]) -> Self {
        let (mut audio, mut video) = (Tally::default(), Tally::default());
        for outcome in outcomes {
            audio.merge(&outcome.audio);
            video.merge(&outcome.video);
        }
        let seconds = sums.took.as_secs_f64();
        let forwarded = (audio.packets + video.packets) as f64;
        let mut figures = vec![
            ("participants", sums.people as f64),
            ("participants that failed", sums.failed as f64),
            (
                "participants that received everything at the start",
                sums.ready as f64,
            ),
            (
                "tracks that never arrived",
                outcomes.iter().map(|it| it.missing).sum::<u64>() as f64,
            ),
            ("packets/s to the server", sums.sent as f64 / seconds),
            ("packets/s forwarded", forwarded / seconds),
            (
                "Mbit/s forwarded",
                (audio.bytes + video.bytes) as f64 * 8.0 / 1e6 / seconds,
            ),
        ];
        if let Some(cpu) = sums.cpu {
            let us = cpu.as_secs_f64() * 1e6;
            figures.push((CPU, us / seconds / 1e4));
            figures.push((CPU_PER_PACKET, us / forwarded.max(1.0)));
            figures.push((
                "packets/s per core",
                forwarded / cpu.as_secs_f64().max(1e-9),
            ));
        }
        if let Some(kb) = sums.resident_kb {
            figures.push(("server memory, MB", kb as f64 / 1024.0));
            let more = kb.saturating_sub(sums.resident_before_kb.unwrap_or(0));
            figures.push((MEMORY, more as f64 / sums.people.max(1) as f64));
        }
        let kinds = [
            (
                audio,
                [
                    "audio loss, %",
                    "audio jitter, mean, ms",
                    "audio delay p50, ms",
                    "audio delay p99, ms",
                ],
            ),
            (
                video.clone(),
                [
                    "video loss, %",
                    "video jitter, mean, ms",
                    "video delay p50, ms",
                    "video delay p99, ms",
                ],
            ),
        ];
        for (tally, [loss, jitter, p50, p99]) in &kinds {
            if tally.streams == 0 {
                continue;
            }
            let all = (tally.packets + tally.lost).max(1) as f64;
            figures.push((loss, tally.lost as f64 * 100.0 / all));
            figures.push((jitter, tally.jitter_sum_us / tally.streams as f64 / 1000.0));
            for (name, of_hundred) in [(p50, 50.0), (p99, 99.0)] {
                let delay = tally.delays.percentile(of_hundred);
                figures.push((name, delay.map_or(f64::NAN, |it| it.as_secs_f64() * 1e3)));
            }
        }
        figures.push((
            "streams in which nothing arrived",
            (kinds[0].0.silent + video.silent) as f64,
        ));
        if video.streams > 0 {
            // One that stood still has a figure of its own.
            let streams = (video.streams - video.silent).max(1) as f64;
            let all = video.layers.iter().sum::<u64>().max(1) as f64;
            figures.push((
                "pictures/s per stream",
                video.pictures as f64 / streams / seconds,
            ));
            figures.push((
                "freezes per stream and minute",
                video.freezes as f64 / streams / seconds * 60.0,
            ));
            figures.push((
                "time frozen, %",
                video.frozen.as_secs_f64() * 100.0 / streams / seconds,
            ));
            if !args.no_simulcast {
                figures.push((
                    "packets of the highest layer, %",
                    video.layers[2] as f64 * 100.0 / all,
                ));
            }
        }
        let mut times = |names: [&'static str; 2], of: &dyn Fn(&Outcome) -> Option<Duration>| {
            let mut sorted: Vec<Duration> = outcomes.iter().filter_map(of).collect();
            sorted.sort_unstable();
            for (name, of_hundred) in names.into_iter().zip([50, 99]) {
                if let Some(time) = percentile(&sorted, of_hundred) {
                    figures.push((name, time.as_secs_f64() * 1e3));
                }
            }
        };
        times(
            [
                "signal open → joined p50, ms",
                "signal open → joined p99, ms",
            ],
            &|it| Some(it.joined),
        );
        times(
            ["signal open → media p50, ms", "signal open → media p99, ms"],
            &|it| it.media,
        );
        times(["signal resume p50, ms", "signal resume p99, ms"], &|it| {
            it.resumed
        });
        Self { figures }
    }

    /// The head with machine and command, then the table; with the ratio to an earlier run.
    pub(super) fn print(&self, args: &MediaLoadArgs, baseline: Option<&BTreeMap<String, f64>>) {
        let profile = if cfg!(debug_assertions) {
            "debug: not for comparing"
        } else {
            "release"
        };
        println!(
            "\nMeetMind {} loadtest media ({profile})",
            env!("CARGO_PKG_VERSION")
        );
        println!("{}", process::machine());
        println!("command: {}", without_secret(&process::command()));
        println!(
            "{}: {} rooms × ({} publishers + {} subscribers), counted for {} s\n",
            args.label, args.rooms, args.publishers, args.subscribers, args.seconds
        );
        if baseline.is_none() {
            println!("| what | {} |\n|---|---|", args.label);
        } else {
            println!(
                "| what | {} | baseline | ratio |\n|---|---|---|---|",
                args.label
            );
        }
        for (name, figure) in &self.figures {
            let shown = number(*figure);
            match baseline {
                None => println!("| {name} | {shown} |"),
                Some(baseline) => match baseline.get(*name) {
                    Some(other) if *other != 0.0 => {
                        println!(
                            "| {name} | {shown} | {} | {:.2} |",
                            number(*other),
                            figure / other
                        );
                    }
                    Some(other) => println!("| {name} | {shown} | {} | – |", number(*other)),
                    None => println!("| {name} | {shown} | – | – |"),
                },
            }
        }
    }

    /// The figures as JSON, for a later run's `--baseline`.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        // JSON has no number for "nothing was measured".
        let figures: BTreeMap<&str, f64> = self
            .figures
            .iter()
            .filter(|(_, figure)| figure.is_finite())
            .copied()
            .collect();
        fs::write(path, serde_json::to_string_pretty(&figures)?)
            .with_context(|| format!("{} cannot be written", path.display()))
    }

    pub(super) fn read(path: &Path) -> Result<BTreeMap<String, f64>> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is no report of --json", path.display()))
    }
}

fn number(figure: f64) -> String {
    if !figure.is_finite() {
        "–".to_owned()
    } else if figure.fract() == 0.0 || figure >= 1_000.0 {
        format!("{figure:.0}")
    } else if figure >= 10.0 {
        format!("{figure:.1}")
    } else {
        format!("{figure:.3}")
    }
}

/// The command line without what follows `--api-secret`.
fn without_secret(command: &str) -> String {
    let mut hidden = false;
    let words = command.split(' ').map(|word| {
        if std::mem::take(&mut hidden) {
            return "…".to_owned();
        }
        hidden = word == "--api-secret";
        match word.split_once('=') {
            Some(("--api-secret", _)) => "--api-secret=…".to_owned(),
            _ => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::without_secret;

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(
            without_secret("meetmind loadtest media --api-secret abc --rooms 2"),
            "meetmind loadtest media --api-secret … --rooms 2"
        );
        assert!(!without_secret("x --api-secret=abc").contains("abc"));
    }
}
