//! The steps of a test run: each timed, and all of them in one table at the end.

use std::time::Instant;

use anyhow::Result;

/// How a step ended; the text says why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All is well.
    Passed,
    /// Something is wrong.
    Failed(String),
    /// It could not run here.
    Skipped(String),
}

#[derive(Debug)]
struct Row {
    step: &'static str,
    outcome: Outcome,
    seconds: f64,
}

/// The steps so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// Runs one step; its error is a failure, and the steps after it still run.
    pub(crate) fn step(
        &mut self,
        step: &'static str,
        work: impl FnOnce() -> Result<Outcome>,
    ) -> Outcome {
        println!("\n== {step}");
        let start = Instant::now();
        let outcome = work().unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        match &outcome {
            Outcome::Passed => {}
            Outcome::Failed(why) => println!("failed: {why}"),
            Outcome::Skipped(why) => println!("skipped: {why}"),
        }
        self.rows.push(Row {
            step,
            outcome: outcome.clone(),
            seconds: start.elapsed().as_secs_f64(),
        });
        outcome
    }

    /// Whether no step failed.
    pub(crate) fn passed(&self) -> bool {
        !self
            .rows
            .iter()
            .any(|row| matches!(row.outcome, Outcome::Failed(_)))
    }

    /// The table, and below it one line for each step that did not pass.
    pub(crate) fn table(&self) -> String {
        let width = self
            .rows
            .iter()
            .map(|row| row.step.len())
            .max()
            .unwrap_or(0)
            .max(4);
        let mut text = format!("{:width$}  {:7}  {:>7}\n", "step", "result", "seconds");
        for row in &self.rows {
            text += &format!(
                "{:width$}  {:7}  {:>7.1}\n",
                row.step,
                word(&row.outcome),
                row.seconds
            );
        }
        for row in &self.rows {
            if let Outcome::Failed(why) | Outcome::Skipped(why) = &row.outcome {
                // The rest was printed where it happened.
                let first = why.lines().next().unwrap_or_default();
                text += &format!("{}: {} — {first}\n", word(&row.outcome), row.step);
            }
        }
        text
    }
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed",
        Outcome::Failed(_) => "FAILED",
        Outcome::Skipped(_) => "skipped",
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn the_table_lines_up_and_says_why() {
        let mut report = Report::default();
        report.step("format", || Ok(Outcome::Passed));
        report.step("clippy", || bail!("two warnings\nand their text"));
        report.step("peers", || Ok(Outcome::Skipped("no python3".into())));
        for row in &mut report.rows {
            row.seconds = 1.25;
        }
        assert_eq!(
            report.table(),
            "step    result   seconds\n\
             format  passed       1.2\n\
             clippy  FAILED       1.2\n\
             peers   skipped      1.2\n\
             FAILED: clippy — two warnings\n\
             skipped: peers — no python3\n"
        );
        assert!(!report.passed());
    }

    #[test]
    fn a_skip_is_no_failure() {
        let mut report = Report::default();
        report.step("peers", || Ok(Outcome::Skipped("no python3".into())));
        assert!(report.passed());
    }
}
