//! Agent workers: the protocol of `/agent`, by which unmodified `livekit-agents` workers take jobs.
//!
//! [`Workers`] is one state machine for all workers and rooms of this process. Frames, the life of rooms and
//! the time go in; frames, closings and job events come out of [`Workers::poll`]. Nothing waits: what has a
//! deadline is named by [`Workers::next_deadline`] and done by [`Workers::tick`].
//!
//! A *dispatch* wants an agent of some name in a room; an unnamed one is made with each room that asks for no
//! other. Per dispatch there is one job for the room, or one per publisher or participant, as the workers of
//! that name registered. A job waits in a queue until a worker appears, is offered to one worker after the
//! other, and is dispatched again, a bounded number of times, when its worker is lost.

mod jobs;
mod loss;
mod rooms;
#[cfg(test)]
mod tests;
mod workers;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use livekit_protocol::{JobType, ServerInfo};
use meetmind_core::Timestamp;
use rand::Rng;

use crate::signal::frames::Frame;
use crate::token::ApiKeys;
use jobs::JobEntry;
use rooms::RoomState;
use workers::Worker;

/// The time, twice: for deadlines, and as it is written into messages and tokens.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For deadlines.
    pub instant: Instant,
    /// For messages and tokens.
    pub wall: Timestamp,
}

/// How workers are treated.
#[derive(Debug, Clone)]
pub struct Config {
    /// The keys with which workers' tokens are signed; a job's token is signed with its worker's.
    pub keys: ApiKeys,
    /// What a worker is told of this server.
    pub server_info: ServerInfo,
    /// The address that jobs connect to; `None` for the one that the worker itself connected to.
    pub url: Option<String>,
    /// How long a worker may take to register.
    pub register_timeout: Duration,
    /// How long a worker may take to answer an offer; workers themselves wait 7.5 s for the assignment after it.
    pub offer_timeout: Duration,
    /// How long the jobs of a worker that is gone wait for it to come back before they are dispatched again.
    pub reconnect_grace: Duration,
    /// How long an agent that has left its room may take to report its job's end or to come back.
    pub leave_grace: Duration,
    /// After how long workers that refused a job are asked again.
    pub retry_delay: Duration,
    /// How often a job is assigned at most.
    pub max_attempts: u32,
    /// How long a job's token holds.
    pub token_ttl: Duration,
    /// How many workers may be connected.
    pub max_workers: usize,
    /// How many jobs may be waiting or running.
    pub max_jobs: usize,
}

impl Config {
    /// The usual figures: 10 s to register, 7.5 s to answer, 10 s to come back, three attempts, tokens of one hour.
    pub fn new(keys: ApiKeys, server_info: ServerInfo) -> Self {
        Self {
            keys,
            server_info,
            url: None,
            register_timeout: Duration::from_secs(10),
            offer_timeout: Duration::from_millis(7500),
            reconnect_grace: Duration::from_secs(10),
            leave_grace: Duration::from_secs(5),
            retry_delay: Duration::from_secs(15),
            max_attempts: 3,
            token_ttl: Duration::from_secs(3600),
            max_workers: 1000,
            max_jobs: 10_000,
        }
    }
}

/// What comes out.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send this frame to the worker.
    Send {
        /// The `AW_…` from [`Workers::connect`].
        worker: String,
        /// What to send.
        frame: Frame,
    },
    /// Close the worker's socket; it is forgotten already.
    Close {
        /// The `AW_…`.
        worker: String,
        /// Why, for the close frame and the log.
        reason: String,
    },
    /// A job changed.
    Job(JobEvent),
    /// A dispatch by name waits: no worker of this name is connected. Its jobs begin when one registers.
    Waiting {
        /// The `AD_…`.
        dispatch_id: String,
        /// The room's name.
        room: String,
        /// The agent's name.
        agent_name: String,
    },
}

/// A job changed.
#[derive(Debug, Clone, PartialEq)]
pub struct JobEvent {
    /// The `AJ_…`.
    pub job_id: String,
    /// The `AD_…` that wants it.
    pub dispatch_id: String,
    /// The room's name.
    pub room: String,
    /// The agent's name; empty for unnamed workers.
    pub agent_name: String,
    /// For the room, a publisher or a participant.
    pub job_type: JobType,
    /// The identity of the publisher or participant; empty for the room.
    pub participant: String,
    /// The number of this attempt, from 1.
    pub attempt: u32,
    /// What happened.
    pub change: JobChange,
}

/// What happened to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobChange {
    /// It waits, for this reason.
    Queued {
        /// Why, for a person.
        reason: String,
    },
    /// A worker took it and got its token.
    Assigned {
        /// The `AW_…`.
        worker: String,
        /// The identity with which the agent joins.
        identity: String,
    },
    /// The agent reported that it runs, or joined the room.
    Running,
    /// It ended well.
    Succeeded,
    /// It ended badly.
    Failed {
        /// Why, for a person.
        error: String,
    },
    /// Its worker or agent is gone; [`JobChange::Queued`] or [`JobChange::Failed`] follows.
    Lost {
        /// The `AW_…`.
        worker: String,
        /// The identity of the agent, which may still be in the room.
        identity: String,
        /// Why, for a person.
        reason: String,
    },
    /// The server ended it, running or not.
    Ended {
        /// Why, for a person.
        reason: String,
    },
}

/// All workers, dispatches and jobs of this process.
pub struct Workers {
    config: Config,
    rng: Box<dyn Rng + Send>,
    workers: BTreeMap<String, Worker>,
    rooms: BTreeMap<String, RoomState>,
    jobs: BTreeMap<String, JobEntry>,
    outputs: VecDeque<Output>,
    draining: bool,
}

impl Workers {
    /// No workers, no rooms. `rng` makes ids and chooses among workers.
    pub fn new(config: Config, rng: Box<dyn Rng + Send>) -> Self {
        Self {
            config,
            rng,
            workers: BTreeMap::new(),
            rooms: BTreeMap::new(),
            jobs: BTreeMap::new(),
            outputs: VecDeque::new(),
            draining: false,
        }
    }

    /// What is to be done next; call until `None` after every input.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Workers::tick`] at the latest; `None` if nothing waits for the time.
    pub fn next_deadline(&self) -> Option<Instant> {
        let workers = self.workers.values().filter_map(Worker::deadline);
        workers
            .chain(self.jobs.values().filter_map(JobEntry::deadline))
            .min()
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Now) {
        self.close_unregistered(now);
        self.expire_jobs(now);
        self.schedule(now);
    }

    /// This server goes down: no job is offered any more, and every worker is told to connect elsewhere.
    pub fn drain(&mut self, now: Now) {
        self.draining = true;
        for worker in self.workers.keys().cloned().collect::<Vec<_>>() {
            self.close(&worker, "server is draining", now);
        }
    }

    /// An id as LiveKit makes them: a prefix and twelve letters or digits.
    fn id(&mut self, prefix: &str) -> String {
        const LETTERS: &[u8] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
        let mut id = prefix.to_owned();
        for _ in 0..12 {
            let at = self.rng.next_u32() as usize % LETTERS.len();
            id.push(char::from(LETTERS[at]));
        }
        id
    }
}

impl std::fmt::Debug for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workers")
            .field("workers", &self.workers.len())
            .field("rooms", &self.rooms.len())
            .field("jobs", &self.jobs.len())
            .finish_non_exhaustive()
    }
}
