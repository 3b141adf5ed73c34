//! What becomes of jobs whose worker or agent is gone, and of those that the server ends.

use livekit_protocol::server_message::Message as ToWorker;
use livekit_protocol::{JobStatus, JobTermination};

use super::jobs::{JobEntry, Stage};
use super::{JobChange, Now, Workers};

impl Workers {
    /// A worker names a job that its earlier connection ran: it is the same worker, back again.
    pub(super) fn adopt(&mut self, worker_id: &str, id: &str) {
        let (Some(entry), Some(worker)) = (self.jobs.get_mut(id), self.workers.get(worker_id))
        else {
            return;
        };
        let Stage::Orphaned { key, .. } = &entry.stage else {
            return;
        };
        let same = worker.key.key() == key
            && worker.registration().is_some_and(|it| {
                it.agent_name == entry.job.agent_name && it.deployment == entry.job.deployment
            });
        if same {
            entry.stage = Stage::Running {
                worker: worker_id.to_owned(),
            };
            entry.state().worker_id = worker_id.to_owned();
        }
    }

    /// Somebody joined a room: perhaps the agent of a job.
    pub(super) fn agent_seen(&mut self, room: &str, identity: &str) {
        let Some(id) = self.job_of_agent(room, identity) else {
            return;
        };
        if let Some(entry) = self.jobs.get_mut(&id) {
            entry.left = None;
        }
        self.tell_running(&id);
    }

    /// Somebody left a room: perhaps the agent of a job.
    pub(super) fn agent_left(&mut self, room: &str, identity: &str, now: Now) {
        let Some(id) = self.job_of_agent(room, identity) else {
            return;
        };
        let grace = now.instant + self.config.leave_grace;
        let Some(entry) = self.jobs.get_mut(&id) else {
            return;
        };
        match entry.stage {
            Stage::Orphaned { .. } => {
                self.lose(&id, "the worker is gone and its agent left the room", now)
            }
            _ => entry.left = Some(grace),
        }
    }

    fn job_of_agent(&self, room: &str, identity: &str) -> Option<String> {
        let found = self
            .jobs
            .iter()
            .find(|(_, job)| job.is_taken() && job.room() == room && job.identity() == identity);
        found.map(|(id, _)| id.clone())
    }

    /// A worker is gone.
    pub(super) fn orphan_jobs(&mut self, worker: &str, key: &str, now: Now) {
        let until = now.instant + self.config.reconnect_grace;
        let its = |entry: &JobEntry| match &entry.stage {
            Stage::Running { worker: of } | Stage::Offered { worker: of, .. } => of == worker,
            Stage::Queued { .. } | Stage::Orphaned { .. } => false,
        };
        let ids: Vec<String> = self
            .jobs
            .iter()
            .filter(|(_, entry)| its(entry))
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            let Some(entry) = self.jobs.get_mut(&id) else {
                continue;
            };
            if matches!(entry.stage, Stage::Offered { .. }) {
                entry.stage = Stage::Queued { retry: None };
            } else if entry.left.is_some() {
                self.lose(&id, "the worker is gone and its agent left the room", now);
            } else {
                entry.stage = Stage::Orphaned {
                    worker: worker.to_owned(),
                    key: key.to_owned(),
                    until,
                };
            }
        }
    }

    pub(super) fn expire_jobs(&mut self, now: Now) {
        let due: Vec<String> = self
            .jobs
            .iter()
            .filter(|(_, entry)| entry.deadline().is_some_and(|at| at <= now.instant))
            .map(|(id, _)| id.clone())
            .collect();
        for id in due {
            let Some(entry) = self.jobs.get_mut(&id) else {
                continue;
            };
            match &mut entry.stage {
                Stage::Queued { retry } => {
                    *retry = None;
                    entry.tried.clear();
                }
                Stage::Offered { worker, .. } => {
                    let worker = worker.clone();
                    self.refused(&id, &worker, now);
                }
                Stage::Orphaned { .. } => self.lose(&id, "the worker is gone", now),
                Stage::Running { worker } => {
                    let worker = worker.clone();
                    self.send(
                        &worker,
                        ToWorker::Termination(JobTermination { job_id: id.clone() }),
                    );
                    let error = "the agent left the room";
                    let change = JobChange::Failed {
                        error: error.to_owned(),
                    };
                    self.finish(&id, JobStatus::JsFailed, error, change, now);
                }
            }
        }
    }

    /// The job's worker is lost: it waits for another one, unless that happened too often.
    fn lose(&mut self, id: &str, reason: &str, now: Now) {
        let Some(entry) = self.jobs.get(id) else {
            return;
        };
        let (Stage::Running { worker } | Stage::Orphaned { worker, .. }) = &entry.stage else {
            return;
        };
        let change = JobChange::Lost {
            worker: worker.clone(),
            identity: entry.identity().to_owned(),
            reason: reason.to_owned(),
        };
        let again = entry.assigned < self.config.max_attempts;
        self.emit(id, change);
        if !again {
            let error = format!(
                "given up after {} attempts: {reason}",
                self.config.max_attempts
            );
            let change = JobChange::Failed {
                error: error.clone(),
            };
            return self.finish(id, JobStatus::JsFailed, &error, change, now);
        }
        if let Some(entry) = self.jobs.get_mut(id) {
            entry.stage = Stage::Queued { retry: None };
            entry.tried.clear();
            entry.left = None;
            let state = entry.state();
            state.status = JobStatus::JsPending.into();
            state.worker_id.clear();
            state.updated_at = now.nanos();
        }
        self.emit(
            id,
            JobChange::Queued {
                reason: reason.to_owned(),
            },
        );
    }

    /// Ends jobs by the server's will: running ones are terminated.
    pub(super) fn end_jobs(&mut self, which: impl Fn(&JobEntry) -> bool, reason: &str, now: Now) {
        let ids: Vec<String> = self
            .jobs
            .iter()
            .filter(|(_, entry)| which(entry))
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            if let Some(JobEntry {
                stage: Stage::Running { worker },
                ..
            }) = self.jobs.get(&id)
            {
                let worker = worker.clone();
                self.send(
                    &worker,
                    ToWorker::Termination(JobTermination { job_id: id.clone() }),
                );
            }
            let change = JobChange::Ended {
                reason: reason.to_owned(),
            };
            self.finish(&id, JobStatus::JsSuccess, "", change, now);
        }
    }
}
