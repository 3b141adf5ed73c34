//! Why a run stands where it stands: one table of stable words.

macro_rules! reasons {
    ($($(#[doc = $meaning:literal])+ $name:ident = $word:literal;)+) => {
        /// Why a run moved. Append-only: clients match on the words.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum RunReason { $($(#[doc = $meaning])+ $name),+ }

        impl RunReason {
            /// Every reason.
            pub const ALL: &'static [RunReason] = &[$(RunReason::$name),+];
            /// The stable word, `reason_code` in the API.
            pub const fn as_str(self) -> &'static str { match self { $(RunReason::$name => $word),+ } }
            /// One sentence for people.
            pub const fn sentence(self) -> &'static str { match self { $(RunReason::$name => concat!($($meaning),+).trim_ascii()),+ } }
        }
    };
}

reasons! {
    /// Somebody asked for it.
    Requested = "requested";
    /// It came along with the meeting.
    CameAlong = "came_along";
    /// It joins its owner's meetings by itself.
    AutoJoin = "auto_join";
    /// A node takes it.
    Claimed = "claimed";
    /// Its configuration is at hand.
    Prepared = "prepared";
    /// It enters the meeting.
    Entering = "entering";
    /// It is in the meeting and follows it.
    Joined = "joined";
    /// A pass over the notes takes a moment.
    Working = "working";
    /// The pass is done.
    Worked = "worked";
    /// Somebody asked it something.
    Addressed = "addressed";
    /// It writes its answer.
    Answering = "answering";
    /// It answered.
    Answered = "answered";
    /// The answer could not be given.
    AnswerFailed = "answer_failed";
    /// It was asked more often than it may answer in an hour.
    AnswersUsedUp = "answers_used_up";
    /// Somebody let it say something.
    SpokenFor = "spoken_for";
    /// Somebody muted it.
    Muted = "muted";
    /// Somebody let it speak again.
    Unmuted = "unmuted";
    /// Somebody stopped it.
    Stopped = "stopped";
    /// It was removed from the meeting.
    Removed = "removed";
    /// Its owner was removed from the meeting.
    OwnerRemoved = "owner_removed";
    /// The agent was disabled.
    AgentDisabled = "agent_disabled";
    /// The agent was deleted.
    AgentDeleted = "agent_deleted";
    /// The meeting ended.
    MeetingEnded = "meeting_ended";
    /// The node that held it shuts down and hands it over.
    NodeDraining = "node_draining";
    /// The node that held it was silent for too long.
    LeaseExpired = "lease_expired";
    /// The process that held it is gone.
    ProcessRestarted = "process_restarted";
    /// The processes that held it were gone too often.
    AttemptsExhausted = "attempts_exhausted";
    /// It failed by a fault of ours.
    Crashed = "crashed";
    /// It waits for a worker of its name.
    WorkerAwaited = "worker_awaited";
    /// A worker was sent to the meeting.
    WorkerCame = "worker_came";
    /// A worker took the job.
    WorkerAssigned = "worker_assigned";
    /// The worker finished its job.
    WorkerDone = "worker_done";
    /// The worker's job failed.
    WorkerFailed = "worker_failed";
    /// The worker was gone and its job goes to another.
    WorkerLost = "worker_lost";
    /// The worker's job was taken back.
    WorkerDismissed = "worker_dismissed";
    /// This server takes no workers.
    WorkersAbsent = "workers_absent";
}

#[cfg(test)]
mod tests {
    use super::RunReason;

    #[test]
    fn reasons_are_distinct_words_with_a_sentence() {
        let mut words: Vec<_> = RunReason::ALL.iter().map(|r| r.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), RunReason::ALL.len());
        assert!(RunReason::ALL.iter().all(|r| r.sentence().ends_with('.')));
    }
}
