//! The jobs: queue, offer, assignment, status.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use livekit_protocol::server_message::Message as ToWorker;
use livekit_protocol::{
    AvailabilityRequest, AvailabilityResponse, Job, JobAssignment, JobState, JobStatus, JobType,
    UpdateJobStatus,
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
    pub(super) stage: Stage,
    /// Workers that refused or did not answer.
    pub(super) tried: BTreeSet<String>,
    /// How often it was assigned.
    pub(super) assigned: u32,
    /// Whether `Running` was told of this assignment.
    running: bool,
    /// The agent left its room; until then it may report its end.
    pub(super) left: Option<Instant>,
}

pub(super) enum Stage {
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

    pub(super) fn identity(&self) -> &str {
        self.job
            .state
            .as_ref()
            .map_or("", |state| &state.participant_identity)
    }

    pub(super) fn state(&mut self) -> &mut JobState {
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
    pub(super) fn refused(&mut self, id: &str, worker: &str, now: Now) {
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

    pub(super) fn finish(
        &mut self,
        id: &str,
        status: JobStatus,
        error: &str,
        change: JobChange,
        now: Now,
    ) {
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

    pub(super) fn tell_running(&mut self, id: &str) {
        if let Some(entry) = self.jobs.get_mut(id)
            && !entry.running
        {
            entry.running = true;
            self.emit(id, JobChange::Running);
        }
    }
}
