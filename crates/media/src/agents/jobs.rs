//! The jobs: queue, offer, assignment, status, loss.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use livekit_protocol::server_message::Message as ToWorker;
use livekit_protocol::{
    AvailabilityRequest, AvailabilityResponse, Job, JobAssignment, JobState, JobStatus,
    JobTermination, JobType, UpdateJobStatus,
};

use super::{JobChange, JobEvent, Now, Output, Workers};
use crate::token::{Claims, LimitError, MAX_NAME_BYTES};

/// The attribute by which others in the room tell which agent this is.
const AGENT_NAME_ATTRIBUTE: &str = "lk.agent_name";

impl Now {
    /// Nanoseconds since 1970, as job states count.
    pub(super) fn nanos(self) -> i64 {
        self.wall.micros().saturating_mul(1000)
    }
}

pub(super) struct JobEntry {
    pub(super) job: Job,
    stage: Stage,
    /// Workers that refused or did not answer.
    tried: BTreeSet<String>,
    /// How often it was assigned.
    assigned: u32,
    /// Whether `Running` was told of this assignment.
    running: bool,
    /// The agent left its room; until then it may report its end.
    left: Option<Instant>,
}

enum Stage {
    /// `retry`: when those who refused are asked again.
    Queued {
        retry: Option<Instant>,
    },
    Offered {
        worker: String,
        until: Instant,
    },
    Running {
        worker: String,
    },
    /// The worker is gone; until then it may come back.
    Orphaned {
        worker: String,
        key: String,
        until: Instant,
    },
}

impl JobEntry {
    pub(super) fn deadline(&self) -> Option<Instant> {
        let stage = match &self.stage {
            Stage::Queued { retry } => *retry,
            Stage::Offered { until, .. } | Stage::Orphaned { until, .. } => Some(*until),
            Stage::Running { .. } => None,
        };
        stage.into_iter().chain(self.left).min()
    }

    pub(super) fn room(&self) -> &str {
        self.job.room.as_ref().map_or("", |room| &room.name)
    }

    pub(super) fn participant(&self) -> &str {
        self.job
            .participant
            .as_ref()
            .map_or("", |info| &info.identity)
    }

    pub(super) fn dispatch(&self) -> &str {
        &self.job.dispatch_id
    }

    /// Whether a worker has it.
    pub(super) fn is_taken(&self) -> bool {
        matches!(self.stage, Stage::Running { .. } | Stage::Orphaned { .. })
    }

    fn identity(&self) -> &str {
        self.job
            .state
            .as_ref()
            .map_or("", |state| &state.participant_identity)
    }

    fn state(&mut self) -> &mut JobState {
        self.job.state.get_or_insert_default()
    }
}

impl Workers {
    pub(super) fn add_job(&mut self, mut job: Job, now: Now) {
        job.state = Some(JobState {
            updated_at: now.nanos(),
            ..JobState::default()
        });
        let entry = JobEntry {
            stage: Stage::Queued { retry: None },
            tried: BTreeSet::new(),
            assigned: 0,
            running: false,
            left: None,
            job,
        };
        self.jobs.insert(entry.job.id.clone(), entry);
    }

    pub(super) fn emit(&mut self, id: &str, change: JobChange) {
        let Some(entry) = self.jobs.get(id) else {
            return;
        };
        self.outputs.push_back(Output::Job(JobEvent {
            job_id: id.to_owned(),
            dispatch_id: entry.job.dispatch_id.clone(),
            room: entry.room().to_owned(),
            agent_name: entry.job.agent_name.clone(),
            job_type: JobType::try_from(entry.job.r#type).unwrap_or_default(),
            participant: entry.participant().to_owned(),
            // An assignment counts itself; what waits is on its way to the next.
            attempt: entry.assigned + u32::from(!entry.is_taken()),
            change,
        }));
    }

    /// Offers every waiting job for which there is a worker.
    pub(super) fn schedule(&mut self, now: Now) {
        if self.draining {
            return;
        }
        let waiting: Vec<String> = self
            .jobs
            .iter()
            .filter(|(_, entry)| matches!(entry.stage, Stage::Queued { .. }))
            .map(|(id, _)| id.clone())
            .collect();
        for id in waiting {
            self.offer(&id, now);
        }
    }

    /// Offers a waiting job to one of the workers that have not refused it, at random by their idle share.
    fn offer(&mut self, id: &str, now: Now) {
        let Some(entry) = self.jobs.get(id) else {
            return;
        };
        let mut candidates: Vec<(&String, f32)> = Vec::new();
        for (worker, registration) in self
            .workers
            .iter()
            .filter_map(|(id, worker)| Some((id, worker.registration()?)))
        {
            let fits = registration.agent_name == entry.job.agent_name
                && registration.deployment == entry.job.deployment
                && i32::from(registration.job_type) == entry.job.r#type;
            if fits
                && !entry.tried.contains(worker)
                && let Some(weight) = registration.weight()
            {
                candidates.push((worker, weight));
            }
        }
        let sum: f32 = candidates.iter().map(|(_, weight)| weight).sum();
        let mut point = (self.rng.next_u32() as f32 / u32::MAX as f32) * sum;
        let chosen = candidates.iter().find(|(_, weight)| {
            point -= weight;
            point <= 0.0
        });
        let Some(worker) = chosen
            .or(candidates.last())
            .map(|(worker, _)| (*worker).clone())
        else {
            let retry = now.instant + self.config.retry_delay;
            if let Some(JobEntry {
                stage: Stage::Queued { retry: at },
                tried,
                ..
            }) = self.jobs.get_mut(id)
                && at.is_none()
                && !tried.is_empty()
            {
                *at = Some(retry);
            }
            return;
        };
        let until = now.instant + self.config.offer_timeout;
        let Some(entry) = self.jobs.get_mut(id) else {
            return;
        };
        entry.stage = Stage::Offered {
            worker: worker.clone(),
            until,
        };
        let mut job = entry.job.clone();
        // Workers are shown the state that the job has if they take it.
        let state = job.state.get_or_insert_default();
        state.status = JobStatus::JsRunning.into();
        state.worker_id.clone_from(&worker);
        state.started_at = now.nanos();
        state.updated_at = now.nanos();
        let resuming = entry.assigned > 0;
        self.send(
            &worker,
            ToWorker::Availability(AvailabilityRequest {
                job: Some(job),
                resuming,
            }),
        );
    }

    pub(super) fn offer_answered(&mut self, worker: &str, answer: AvailabilityResponse, now: Now) {
        let id = answer.job_id.clone();
        let Some(entry) = self.jobs.get_mut(&id) else {
            return;
        };
        // A late answer: the job is another's by now, or waits to be offered anew.
        if !matches!(&entry.stage, Stage::Offered { worker: to, .. } if to == worker) {
            return;
        }
        if answer.terminate {
            return self.finish(&id, JobStatus::JsSuccess, "", JobChange::Succeeded, now);
        }
        if !answer.available {
            return self.refused(&id, worker, now);
        }
        self.assign(&id, worker, answer, now);
    }

    fn assign(&mut self, id: &str, worker_id: &str, answer: AvailabilityResponse, now: Now) {
        let limits = LimitError::check(
            &answer.participant_name,
            &answer.participant_metadata,
            &answer.participant_attributes,
        );
        if limits.is_err() || answer.participant_identity.len() > MAX_NAME_BYTES {
            return self.refused(id, worker_id, now);
        }
        let (Some(entry), Some(worker)) = (self.jobs.get_mut(id), self.workers.get(worker_id))
        else {
            return;
        };
        let Some(registration) = worker.registration() else {
            return;
        };
        let identity = match answer.participant_identity {
            empty if empty.is_empty() => format!("agent-{id}"),
            identity => identity,
        };
        let mut attributes: BTreeMap<_, _> = answer.participant_attributes.into_iter().collect();
        attributes.insert(
            AGENT_NAME_ATTRIBUTE.to_owned(),
            registration.agent_name.clone(),
        );
        let claims = Claims::agent_job(
            entry.room(),
            &identity,
            &answer.participant_name,
            &answer.participant_metadata,
            attributes,
            &registration.permissions,
        );
        let Ok(token) = worker.key.sign(&claims, now.wall, self.config.token_ttl) else {
            let error = "the agent's token could not be signed";
            let change = JobChange::Failed {
                error: error.to_owned(),
            };
            return self.finish(id, JobStatus::JsFailed, error, change, now);
        };
        entry.stage = Stage::Running {
            worker: worker_id.to_owned(),
        };
        entry.assigned += 1;
        entry.running = false;
        entry.left = None;
        let state = entry.state();
        state.status = JobStatus::JsRunning.into();
        state.participant_identity.clone_from(&identity);
        state.worker_id = worker_id.to_owned();
        state.started_at = now.nanos();
        state.updated_at = now.nanos();
        let job = Some(entry.job.clone());
        let url = self.config.url.clone();
        self.send(
            worker_id,
            ToWorker::Assignment(JobAssignment { job, url, token }),
        );
        self.emit(
            id,
            JobChange::Assigned {
                worker: worker_id.to_owned(),
                identity,
            },
        );
    }

    /// The worker does not take it: it is offered to the next, or waits.
    fn refused(&mut self, id: &str, worker: &str, now: Now) {
        let Some(entry) = self.jobs.get_mut(id) else {
            return;
        };
        entry.tried.insert(worker.to_owned());
        entry.stage = Stage::Queued { retry: None };
        self.offer(id, now);
        if self
            .jobs
            .get(id)
            .is_some_and(|it| matches!(it.stage, Stage::Queued { .. }))
        {
            self.emit(
                id,
                JobChange::Queued {
                    reason: "no worker took the job".to_owned(),
                },
            );
        }
    }

    pub(super) fn job_updated(&mut self, worker: &str, update: &UpdateJobStatus, now: Now) {
        self.adopt(worker, &update.job_id);
        let Some(entry) = self.jobs.get_mut(&update.job_id) else {
            return;
        };
        if !matches!(&entry.stage, Stage::Running { worker: of } if of == worker) {
            return;
        }
        entry.state().updated_at = now.nanos();
        match JobStatus::try_from(update.status) {
            Ok(JobStatus::JsRunning) => self.tell_running(&update.job_id),
            Ok(JobStatus::JsSuccess) => {
                self.finish(
                    &update.job_id,
                    JobStatus::JsSuccess,
                    "",
                    JobChange::Succeeded,
                    now,
                );
            }
            Ok(JobStatus::JsFailed) => {
                let error = update.error.chars().take(1000).collect::<String>();
                let change = JobChange::Failed {
                    error: error.clone(),
                };
                self.finish(&update.job_id, JobStatus::JsFailed, &error, change, now);
            }
            Ok(JobStatus::JsPending) | Err(_) => {}
        }
    }

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

    fn tell_running(&mut self, id: &str) {
        if let Some(entry) = self.jobs.get_mut(id)
            && !entry.running
        {
            entry.running = true;
            self.emit(id, JobChange::Running);
        }
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

    fn finish(&mut self, id: &str, status: JobStatus, error: &str, change: JobChange, now: Now) {
        self.emit(id, change);
        let Some(mut entry) = self.jobs.remove(id) else {
            return;
        };
        let state = entry.state();
        state.status = status.into();
        state.error = error.to_owned();
        state.updated_at = now.nanos();
        state.ended_at = now.nanos();
        let room = entry.room().to_owned();
        if let Some(dispatch) = self
            .rooms
            .get_mut(&room)
            .and_then(|it| it.dispatches.get_mut(&entry.job.dispatch_id))
        {
            dispatch.keep(entry.job);
        }
    }
}
