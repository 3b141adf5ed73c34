//! The machine with a simulated clock, and what is said to it and by it.

use livekit_protocol as proto;
use livekit_protocol::participant_info::Kind;
use livekit_protocol::server_message::Message as ToWorker;
use livekit_protocol::worker_message::Message as FromWorker;
use prost::Message;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::super::*;
use crate::token::{ApiKey, Claims, VideoGrant};

pub(super) fn keys() -> ApiKeys {
    ["devkey", "other"]
        .map(|key| ApiKey::new(key, "a secret of at least thirty-two bytes"))
        .into_iter()
        .collect()
}

pub(super) fn agent_claims(key: &str) -> Claims {
    let grant = VideoGrant {
        agent: true,
        ..VideoGrant::default()
    };
    Claims {
        iss: key.to_owned(),
        ..Claims::server_call(grant)
    }
}

/// The machine, its clock, and what it has said so far.
pub(super) struct Scene {
    pub(super) workers: Workers,
    pub(super) now: Now,
    pub(super) events: Vec<(String, JobChange)>,
    pub(super) attempts: Vec<u32>,
    pub(super) waiting: Vec<String>,
    pub(super) said: BTreeMap<String, Vec<ToWorker>>,
    pub(super) closed: BTreeMap<String, String>,
    pub(super) text_frames: usize,
}

impl Scene {
    pub(super) fn new() -> Self {
        let config = Config::new(
            keys(),
            ServerInfo {
                version: "1".to_owned(),
                ..ServerInfo::default()
            },
        );
        Self {
            workers: Workers::new(config, Box::new(StdRng::seed_from_u64(7))),
            now: Now {
                instant: Instant::now(),
                wall: Timestamp::parse("2026-03-02T09:00:00Z").expect("a valid time"),
            },
            events: Vec::new(),
            attempts: Vec::new(),
            waiting: Vec::new(),
            said: BTreeMap::new(),
            closed: BTreeMap::new(),
            text_frames: 0,
        }
    }

    pub(super) fn drain_outputs(&mut self) {
        while let Some(output) = self.workers.poll() {
            match output {
                Output::Send { worker, frame } => {
                    let message = match frame {
                        Frame::Binary(bytes) => {
                            proto::ServerMessage::decode(bytes).expect("protobuf")
                        }
                        Frame::Text(text) => {
                            self.text_frames += 1;
                            serde_json::from_str(&text).expect("JSON")
                        }
                    };
                    self.said
                        .entry(worker)
                        .or_default()
                        .push(message.message.expect("a message"));
                }
                Output::Close { worker, reason } => {
                    self.closed.insert(worker, reason);
                }
                Output::Job(event) => {
                    self.attempts.push(event.attempt);
                    self.events.push((event.job_id, event.change));
                }
                Output::Waiting { agent_name, .. } => self.waiting.push(agent_name),
            }
        }
    }

    /// Time passes; every deadline on the way is kept.
    pub(super) fn pass(&mut self, seconds: u64) {
        let end = self.now.instant + Duration::from_secs(seconds);
        while let Some(at) = self.workers.next_deadline().filter(|at| *at <= end) {
            let step = at.saturating_duration_since(self.now.instant);
            self.now = Now {
                instant: at,
                wall: self.now.wall.plus(step),
            };
            self.workers.tick(self.now);
            self.drain_outputs();
        }
        let rest = end.saturating_duration_since(self.now.instant);
        self.now = Now {
            instant: end,
            wall: self.now.wall.plus(rest),
        };
    }

    pub(super) fn connect(&mut self) -> String {
        self.workers
            .connect(&agent_claims("devkey"), self.now)
            .expect("connected")
    }

    pub(super) fn say(&mut self, worker: &str, message: FromWorker) {
        let bytes = proto::WorkerMessage {
            message: Some(message),
        }
        .encode_to_vec();
        self.workers
            .frame(worker, &Frame::Binary(bytes.into()), self.now);
        self.drain_outputs();
    }

    pub(super) fn worker(&mut self, agent_name: &str, job_type: JobType) -> String {
        let id = self.connect();
        self.say(
            &id,
            FromWorker::Register(proto::RegisterWorkerRequest {
                r#type: job_type.into(),
                agent_name: agent_name.to_owned(),
                ..Default::default()
            }),
        );
        id
    }

    pub(super) fn status(&mut self, worker: &str, status: proto::WorkerStatus, load: f32) {
        self.say(
            worker,
            FromWorker::UpdateWorker(proto::UpdateWorkerStatus {
                status: Some(status.into()),
                load,
                ..Default::default()
            }),
        );
    }

    pub(super) fn room(&mut self, name: &str, agents: &[&str]) {
        let agents = agents
            .iter()
            .map(|name| proto::RoomAgentDispatch {
                agent_name: (*name).to_owned(),
                metadata: "m".to_owned(),
                ..Default::default()
            })
            .collect();
        let room = proto::Room {
            name: name.to_owned(),
            sid: format!("RM_{name}"),
            ..Default::default()
        };
        self.workers.room_started(room, agents, self.now);
        self.drain_outputs();
    }

    pub(super) fn join(&mut self, identity: &str, kind: Kind) {
        let info = proto::ParticipantInfo {
            identity: identity.to_owned(),
            sid: format!("PA_{identity}"),
            kind: kind.into(),
            ..Default::default()
        };
        self.workers.participant_joined("r", info, self.now);
        self.drain_outputs();
    }

    pub(super) fn leave(&mut self, identity: &str) {
        self.workers.participant_left("r", identity, self.now);
        self.drain_outputs();
    }

    pub(super) fn gone(&mut self, worker: &str) {
        self.workers.disconnected(worker, self.now);
        self.drain_outputs();
    }

    /// The jobs offered to a worker since the last call.
    pub(super) fn offers(&mut self, worker: &str) -> Vec<proto::AvailabilityRequest> {
        let said = self
            .said
            .get_mut(worker)
            .map(std::mem::take)
            .unwrap_or_default();
        said.into_iter()
            .filter_map(|message| match message {
                ToWorker::Availability(offer) => Some(offer),
                _ => None,
            })
            .collect()
    }

    pub(super) fn answer(&mut self, worker: &str, job: &str, available: bool) {
        self.say(
            worker,
            FromWorker::Availability(proto::AvailabilityResponse {
                job_id: job.to_owned(),
                available,
                participant_identity: "agent-1".to_owned(),
                participant_name: "Scribe".to_owned(),
                ..Default::default()
            }),
        );
    }

    pub(super) fn update(
        &mut self,
        worker: &str,
        job: &str,
        status: proto::JobStatus,
        error: &str,
    ) {
        self.say(
            worker,
            FromWorker::UpdateJob(proto::UpdateJobStatus {
                job_id: job.to_owned(),
                status: status.into(),
                error: error.to_owned(),
            }),
        );
    }

    /// A worker named `scribe` with one running job in room `r`.
    pub(super) fn running() -> (Self, String, String) {
        let mut scene = Self::new();
        let worker = scene.worker("scribe", JobType::JtRoom);
        scene.room("r", &["scribe"]);
        let job = job_id(&scene.offers(&worker)[0]);
        scene.answer(&worker, &job, true);
        scene.update(&worker, &job, proto::JobStatus::JsRunning, "");
        (scene, worker, job)
    }

    pub(super) fn changes(&self) -> Vec<&JobChange> {
        self.events.iter().map(|(_, change)| change).collect()
    }

    pub(super) fn last(&self) -> &JobChange {
        &self.events.last().expect("an event").1
    }
}

pub(super) fn job_id(offer: &proto::AvailabilityRequest) -> String {
    offer.job.as_ref().expect("a job").id.clone()
}

pub(super) fn queued(reason: &str) -> JobChange {
    JobChange::Queued {
        reason: reason.to_owned(),
    }
}
