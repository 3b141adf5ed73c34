//! A run that this process holds.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use meetmind_core::{Agent, AgentRole, ParticipantId, Run, RunCounters, Timestamp};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The passes or answers that the latency figures are taken from.
const LATENCIES: usize = 64;

/// What this process knows of a run beyond its row.
#[derive(Debug)]
pub(super) struct Held {
    /// The run as it became live here.
    pub(super) run: Run,
    /// The agent, with the configuration the run was started with.
    pub(super) agent: Agent,
    /// The agent in the meeting.
    pub(super) participant_id: ParticipantId,
    /// Ends the run's task at once.
    pub(super) stop: CancellationToken,
    /// Something happened in the meeting.
    pub(super) wake: Notify,
    /// How far it has come; written to the row with each heartbeat.
    progress: Mutex<Progress>,
    /// Held while the run does its work, so that it does one thing at a time.
    pub(super) follow: tokio::sync::Mutex<Follow>,
}

#[derive(Debug, Clone)]
struct Progress {
    seen_seq: i64,
    counters: RunCounters,
    latencies: VecDeque<i64>,
}

/// A scribe's state of work.
#[derive(Debug)]
pub(super) struct Follow {
    /// Whether something was said since the last pass.
    pub(super) dirty: bool,
    /// When the last pass began.
    pub(super) last_pass: Option<Timestamp>,
    /// Passes in a row that failed: each doubles the wait.
    pub(super) failures: u32,
}

impl Held {
    pub(super) fn new(run: Run, agent: Agent, participant_id: ParticipantId) -> Self {
        let progress = Progress {
            seen_seq: run.seen_seq,
            counters: run.counters.clone(),
            latencies: VecDeque::new(),
        };
        Self {
            run,
            agent,
            participant_id,
            stop: CancellationToken::new(),
            wake: Notify::new(),
            progress: Mutex::new(progress),
            // What was said before it came is read in one pass.
            follow: tokio::sync::Mutex::new(Follow {
                dirty: true,
                last_pass: None,
                failures: 0,
            }),
        }
    }

    /// Whether this process does an agent's work of that kind; a worker does its own.
    pub(super) fn works_as(&self, role: AgentRole) -> bool {
        self.agent.config.worker.is_none() && self.agent.role == role
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far it has come.
    pub(super) fn so_far(&self) -> (i64, RunCounters) {
        let progress = self.progress();
        (progress.seen_seq, progress.counters.clone())
    }

    /// The run's row with how far it has come.
    pub(super) fn row(&self) -> Run {
        let (seen_seq, counters) = self.so_far();
        Run {
            seen_seq,
            counters,
            ..self.run.clone()
        }
    }

    /// It has followed the meeting's events to here.
    pub(super) fn saw(&self, seq: i64) {
        let mut progress = self.progress();
        progress.seen_seq = progress.seen_seq.max(seq);
    }

    /// Counts what was done.
    pub(super) fn count(&self, change: impl FnOnce(&mut RunCounters)) {
        change(&mut self.progress().counters);
    }

    /// Enters how long a pass or an answer took.
    pub(super) fn took(&self, millis: i64) {
        let mut progress = self.progress();
        if progress.latencies.len() == LATENCIES {
            progress.latencies.pop_front();
        }
        progress.latencies.push_back(millis);
        let mut sorted: Vec<i64> = progress.latencies.iter().copied().collect();
        sorted.sort_unstable();
        progress.counters.latency_p50_ms = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
        progress.counters.latency_max_ms = sorted.last().copied().unwrap_or(0);
    }
}
