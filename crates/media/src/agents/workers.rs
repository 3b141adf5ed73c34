//! The workers: connecting, registering, status, and what they say.

use std::time::Instant;

use livekit_protocol::server_message::Message as ToWorker;
use livekit_protocol::worker_message::Message as FromWorker;
use livekit_protocol::{
    JobType, ParticipantPermission, RegisterWorkerRequest, RegisterWorkerResponse, ServerMessage,
    UpdateWorkerStatus, WorkerMessage, WorkerPong, WorkerStatus,
};

use super::{Now, Output, Workers};
use crate::service::check_deployment;
use crate::signal::frames::{Frame, FrameCodec};
use crate::signal::join::Refusal;
use crate::token::{ApiKey, Claims, MAX_NAME_BYTES, Permissions};

/// A worker that says it is available is not passed over because of a load of 1: a busy small machine reports that.
const LEAST_WEIGHT: f32 = 0.05;

/// One connected worker.
pub(super) struct Worker {
    codec: FrameCodec,
    /// Signs its jobs' tokens.
    pub(super) key: ApiKey,
    stage: Stage,
}

enum Stage {
    /// Must register until then.
    New {
        until: Instant,
    },
    Registered(Registration),
}

/// What a worker said of itself.
pub(super) struct Registration {
    pub(super) agent_name: String,
    pub(super) deployment: String,
    pub(super) job_type: JobType,
    pub(super) permissions: Permissions,
    available: bool,
    /// 0 idle to 1 full.
    load: f32,
}

impl Worker {
    pub(super) fn registration(&self) -> Option<&Registration> {
        match &self.stage {
            Stage::Registered(registration) => Some(registration),
            Stage::New { .. } => None,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::New { until } => Some(until),
            Stage::Registered(_) => None,
        }
    }
}

impl Registration {
    /// The chance to be chosen; `None` if it wants no job.
    pub(super) fn weight(&self) -> Option<f32> {
        self.available.then(|| (1.0 - self.load).max(LEAST_WEIGHT))
    }
}

impl Workers {
    /// A worker opened `/agent` with this token, which was verified; gives the `AW_…` by which it is known.
    ///
    /// # Errors
    /// What to answer instead of the upgrade: 401 without the `agent` grant, 503 when there are too many.
    pub fn connect(&mut self, claims: &Claims, now: Now) -> Result<String, Refusal> {
        if !claims.video.as_ref().is_some_and(|video| video.agent) {
            return Err(Refusal::new(401, "permissions denied"));
        }
        let key = self.config.keys.get(&claims.iss).cloned();
        let key = key.ok_or_else(|| Refusal::new(401, "invalid API key"))?;
        if self.draining || self.workers.len() >= self.config.max_workers {
            return Err(Refusal::limit_exceeded());
        }
        let id = self.id("AW_");
        let until = now.instant + self.config.register_timeout;
        let worker = Worker {
            codec: FrameCodec::default(),
            key,
            stage: Stage::New { until },
        };
        self.workers.insert(id.clone(), worker);
        Ok(id)
    }

    /// The worker's socket is closed. Its jobs wait for it to come back, and are then dispatched again.
    pub fn disconnected(&mut self, worker: &str, now: Now) {
        if let Some(gone) = self.workers.remove(worker) {
            self.orphan_jobs(worker, gone.key.key(), now);
            self.schedule(now);
        }
    }

    /// A frame from a worker. One that breaks the protocol closes it.
    pub fn frame(&mut self, id: &str, frame: &Frame, now: Now) {
        let Some(worker) = self.workers.get_mut(id) else {
            return;
        };
        let message = match worker.codec.decode::<WorkerMessage>(frame) {
            Ok(message) => message.message,
            Err(error) => return self.close(id, &error.to_string(), now),
        };
        let registered = worker.registration().is_some();
        match message {
            Some(FromWorker::Ping(ping)) => self.send(
                id,
                ToWorker::Pong(WorkerPong {
                    last_timestamp: ping.timestamp,
                    timestamp: now.wall.micros() / 1000,
                }),
            ),
            Some(FromWorker::Register(request)) if !registered => self.register(id, request, now),
            Some(FromWorker::Register(_)) => self.close(id, "worker is registered already", now),
            // Newer workers may say what this server does not know.
            None => {}
            Some(_) if !registered => self.close(id, "worker must register first", now),
            Some(FromWorker::UpdateWorker(update)) => self.update_worker(id, &update, now),
            Some(FromWorker::Availability(answer)) => self.offer_answered(id, answer, now),
            Some(FromWorker::UpdateJob(update)) => self.job_updated(id, &update, now),
            Some(FromWorker::MigrateJob(request)) => {
                for job in &request.job_ids {
                    self.adopt(id, job);
                }
            }
            // A job without a dispatch, for trying out a worker against LiveKit's cloud.
            Some(FromWorker::SimulateJob(_)) => {}
        }
    }

    fn register(&mut self, id: &str, request: RegisterWorkerRequest, now: Now) {
        let Ok(job_type) = JobType::try_from(request.r#type) else {
            return self.close(id, "unknown job type", now);
        };
        if request.agent_name.len() > MAX_NAME_BYTES {
            return self.close(id, "agent name length exceeds limits", now);
        }
        if let Err(error) = check_deployment(&request.deployment) {
            return self.close(id, &error.msg, now);
        }
        let everything = ParticipantPermission {
            can_subscribe: true,
            can_publish: true,
            can_publish_data: true,
            can_update_metadata: true,
            ..ParticipantPermission::default()
        };
        let allowed = request.allowed_permissions.unwrap_or(everything);
        let Some(worker) = self.workers.get_mut(id) else {
            return;
        };
        worker.stage = Stage::Registered(Registration {
            agent_name: request.agent_name,
            deployment: request.deployment,
            job_type,
            permissions: Permissions::from_proto(&allowed),
            available: true,
            load: 0.0,
        });
        let server_info = Some(self.config.server_info.clone());
        self.send(
            id,
            ToWorker::Register(RegisterWorkerResponse {
                worker_id: id.to_owned(),
                server_info,
                ..RegisterWorkerResponse::default()
            }),
        );
        for room in self.rooms.keys().cloned().collect::<Vec<_>>() {
            self.make_jobs(&room, now);
        }
        self.schedule(now);
    }

    fn update_worker(&mut self, id: &str, update: &UpdateWorkerStatus, now: Now) {
        let Some(Worker {
            stage: Stage::Registered(registration),
            ..
        }) = self.workers.get_mut(id)
        else {
            return;
        };
        let full = update.status == Some(i32::from(WorkerStatus::WsFull));
        if update.status.is_some() || update.draining {
            registration.available = !full && !update.draining;
        }
        registration.load = if update.load.is_finite() {
            update.load.clamp(0.0, 1.0)
        } else {
            1.0
        };
        self.schedule(now);
    }

    pub(super) fn close_unregistered(&mut self, now: Now) {
        let late: Vec<String> = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.deadline().is_some_and(|until| until <= now.instant))
            .map(|(id, _)| id.clone())
            .collect();
        for id in late {
            self.close(&id, "worker did not register in time", now);
        }
    }

    pub(super) fn close(&mut self, id: &str, reason: &str, now: Now) {
        self.outputs.push_back(Output::Close {
            worker: id.to_owned(),
            reason: reason.to_owned(),
        });
        self.disconnected(id, now);
    }

    pub(super) fn send(&mut self, id: &str, message: ToWorker) {
        if let Some(worker) = self.workers.get(id) {
            let frame = worker.codec.encode(&ServerMessage {
                message: Some(message),
            });
            self.outputs.push_back(Output::Send {
                worker: id.to_owned(),
                frame,
            });
        }
    }

    /// Whether a worker of this name and deployment is registered.
    pub(super) fn has_worker(&self, agent_name: &str, deployment: &str) -> bool {
        self.job_types(agent_name, deployment).next().is_some()
    }

    /// The job types that workers of this name and deployment registered for.
    pub(super) fn job_types(
        &self,
        agent_name: &str,
        deployment: &str,
    ) -> impl Iterator<Item = JobType> {
        self.workers
            .values()
            .filter_map(Worker::registration)
            .filter(move |it| it.agent_name == agent_name && it.deployment == deployment)
            .map(|it| it.job_type)
    }
}
