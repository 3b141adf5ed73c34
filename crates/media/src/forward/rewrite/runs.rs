//! Numbers in → numbers out, with what was left out closed up and what was lost left open.

use std::collections::VecDeque;

/// How many runs are remembered. Leaving out temporal layers makes two runs per picture left out, so
/// that 15 pictures/s left out keep four seconds of history; without filtering there is one run.
const MAX_RUNS: usize = 128;

#[derive(Clone, Copy, Debug)]
struct Run {
    first_in: u64,
    /// For a kept run the number of `first_in`; for one left out, the next free number.
    first_out: u64,
    kept: bool,
}

/// What is known of a number that is not new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It was given (or reserved for) this number.
    Kept(u64),
    /// It was left out.
    LeftOut,
    /// It lies before everything remembered.
    Unknown,
}

/// A map from rising numbers in to contiguous numbers out.
///
/// Runs of kept and left-out numbers are stored, not single numbers. A number that is skipped in the
/// input is lost or late: its place stays reserved (a gap the receiver sees and may ask for) unless
/// the caller knows that it belongs to something left out.
#[derive(Clone, Debug)]
pub(crate) struct Runs {
    runs: VecDeque<Run>,
    highest_in: u64,
}

impl Runs {
    /// Begins with `first_in` ↦ `first_out`; nothing below is known.
    pub(crate) fn new(first_in: u64, first_out: u64) -> Self {
        let run = Run {
            first_in,
            first_out,
            kept: true,
        };
        Self {
            runs: VecDeque::from([run]),
            highest_in: first_in,
        }
    }

    /// The highest number seen.
    pub(crate) fn highest_in(&self) -> u64 {
        self.highest_in
    }

    /// The lowest number out that neither was given nor is reserved.
    pub(crate) fn next_out(&self) -> u64 {
        self.next_after(self.highest_in)
    }

    fn next_after(&self, number: u64) -> u64 {
        match self.runs.back() {
            Some(run) if run.kept => run.first_out + (number - run.first_in) + 1,
            Some(run) => run.first_out,
            None => 0,
        }
    }

    /// The fate of a number that is not above [`highest_in`](Self::highest_in).
    pub(crate) fn seen(&self, number: u64) -> Seen {
        // Late numbers are nearly always in one of the last runs.
        let run = self.runs.iter().rev().find(|run| run.first_in <= number);
        match run {
            Some(_) if number > self.highest_in => Seen::Unknown,
            Some(run) if run.kept => Seen::Kept(run.first_out + (number - run.first_in)),
            Some(_) => Seen::LeftOut,
            None => Seen::Unknown,
        }
    }

    /// Decides a new number, which must lie above the highest, and all skipped ones below it.
    /// Returns the number out of a kept one.
    pub(crate) fn push(&mut self, number: u64, keep: bool, keep_skipped: bool) -> Option<u64> {
        if number > self.highest_in + 1 {
            self.extend(self.highest_in + 1, keep_skipped);
            self.highest_in = number - 1;
        }
        self.extend(number, keep);
        self.highest_in = number;
        keep.then(|| self.next_out() - 1)
    }

    fn extend(&mut self, from: u64, keep: bool) {
        if self.runs.back().is_some_and(|run| run.kept == keep) {
            return;
        }
        let first_out = self.next_after(from - 1);
        if self.runs.len() >= MAX_RUNS {
            self.runs.pop_front();
        }
        self.runs.push_back(Run {
            first_in: from,
            first_out,
            kept: keep,
        });
    }
}
