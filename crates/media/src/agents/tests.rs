//! Worker scenarios with simulated time.

use livekit_protocol as proto;
use livekit_protocol::participant_info::Kind;
use livekit_protocol::server_message::Message as ToWorker;
use livekit_protocol::worker_message::Message as FromWorker;
use proptest::prelude::*;
use prost::Message;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::token::{ApiKey, Claims, VideoGrant};

/// `WorkerMessage(register=RegisterWorkerRequest(type=JT_ROOM, agent_name="scribe", version="1.8.9"))` by
/// livekit-protocol 1.1.29 of PyPI, in both languages.
const REGISTER: &[u8] = b"\x0a\x0f\x1a\x051.8.9B\x06scribe";
const REGISTER_JSON: &str = r#"{"register": {"version": "1.8.9", "agentName": "scribe"}}"#;

fn keys() -> ApiKeys {
    ["devkey", "other"]
        .map(|key| ApiKey::new(key, "a secret of at least thirty-two bytes"))
        .into_iter()
        .collect()
}

fn agent_claims(key: &str) -> Claims {
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
struct Scene {
    workers: Workers,
    now: Now,
    events: Vec<(String, JobChange)>,
    attempts: Vec<u32>,
    waiting: Vec<String>,
    said: BTreeMap<String, Vec<ToWorker>>,
    closed: BTreeMap<String, String>,
    text_frames: usize,
}

impl Scene {
    fn new() -> Self {
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

    fn drain_outputs(&mut self) {
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
    fn pass(&mut self, seconds: u64) {
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

    fn connect(&mut self) -> String {
        self.workers
            .connect(&agent_claims("devkey"), self.now)
            .expect("connected")
    }

    fn say(&mut self, worker: &str, message: FromWorker) {
        let bytes = proto::WorkerMessage {
            message: Some(message),
        }
        .encode_to_vec();
        self.workers
            .frame(worker, &Frame::Binary(bytes.into()), self.now);
        self.drain_outputs();
    }

    fn worker(&mut self, agent_name: &str, job_type: JobType) -> String {
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

    fn status(&mut self, worker: &str, status: proto::WorkerStatus, load: f32) {
        self.say(
            worker,
            FromWorker::UpdateWorker(proto::UpdateWorkerStatus {
                status: Some(status.into()),
                load,
                ..Default::default()
            }),
        );
    }

    fn room(&mut self, name: &str, agents: &[&str]) {
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

    fn join(&mut self, identity: &str, kind: Kind) {
        let info = proto::ParticipantInfo {
            identity: identity.to_owned(),
            sid: format!("PA_{identity}"),
            kind: kind.into(),
            ..Default::default()
        };
        self.workers.participant_joined("r", info, self.now);
        self.drain_outputs();
    }

    fn leave(&mut self, identity: &str) {
        self.workers.participant_left("r", identity, self.now);
        self.drain_outputs();
    }

    fn gone(&mut self, worker: &str) {
        self.workers.disconnected(worker, self.now);
        self.drain_outputs();
    }

    /// The jobs offered to a worker since the last call.
    fn offers(&mut self, worker: &str) -> Vec<proto::AvailabilityRequest> {
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

    fn answer(&mut self, worker: &str, job: &str, available: bool) {
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

    fn update(&mut self, worker: &str, job: &str, status: proto::JobStatus, error: &str) {
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
    fn running() -> (Self, String, String) {
        let mut scene = Self::new();
        let worker = scene.worker("scribe", JobType::JtRoom);
        scene.room("r", &["scribe"]);
        let job = job_id(&scene.offers(&worker)[0]);
        scene.answer(&worker, &job, true);
        scene.update(&worker, &job, proto::JobStatus::JsRunning, "");
        (scene, worker, job)
    }

    fn changes(&self) -> Vec<&JobChange> {
        self.events.iter().map(|(_, change)| change).collect()
    }

    fn last(&self) -> &JobChange {
        &self.events.last().expect("an event").1
    }
}

fn job_id(offer: &proto::AvailabilityRequest) -> String {
    offer.job.as_ref().expect("a job").id.clone()
}

fn queued(reason: &str) -> JobChange {
    JobChange::Queued {
        reason: reason.to_owned(),
    }
}

#[test]
fn a_worker_needs_the_agent_grant_and_a_known_key() {
    let mut scene = Scene::new();
    let refusal = |claims: &Claims, scene: &mut Scene| {
        scene
            .workers
            .connect(claims, scene.now)
            .expect_err("refused")
            .status
    };
    assert_eq!(refusal(&Claims::default(), &mut scene), 401);
    assert_eq!(
        refusal(
            &Claims {
                iss: "devkey".to_owned(),
                ..Claims::server_call(VideoGrant {
                    room_admin: true,
                    ..VideoGrant::default()
                })
            },
            &mut scene
        ),
        401
    );
    assert_eq!(refusal(&agent_claims("nobody"), &mut scene), 401);
    for _ in 0..1000 {
        scene.connect();
    }
    assert_eq!(refusal(&agent_claims("devkey"), &mut scene), 503);
}

#[test]
fn registration_is_answered_first_in_the_workers_own_language() {
    let mut scene = Scene::new();
    for frame in [
        Frame::Binary(REGISTER.into()),
        Frame::Text(REGISTER_JSON.to_owned()),
    ] {
        let id = scene.connect();
        scene.workers.frame(&id, &frame, scene.now);
        scene.drain_outputs();
        let ToWorker::Register(answer) = &scene.said[&id][0] else {
            panic!("another message first")
        };
        assert_eq!(answer.worker_id, id);
        assert_eq!(
            answer
                .server_info
                .as_ref()
                .map(|info| info.version.as_str()),
            Some("1")
        );
    }
    assert_eq!(scene.text_frames, 1);
}

#[test]
fn who_does_not_register_in_time_or_speaks_out_of_turn_is_closed() {
    let mut scene = Scene::new();
    let slow = scene.connect();
    scene.say(&slow, FromWorker::Ping(proto::WorkerPing { timestamp: 5 }));
    assert!(matches!(
        scene.said[&slow][0],
        ToWorker::Pong(proto::WorkerPong {
            last_timestamp: 5,
            timestamp: 1_772_442_000_000
        })
    ));
    scene.pass(9);
    assert!(scene.closed.is_empty());
    scene.pass(1);
    assert_eq!(scene.closed[&slow], "worker did not register in time");

    let early = scene.connect();
    scene.status(&early, proto::WorkerStatus::WsAvailable, 0.0);
    assert_eq!(scene.closed[&early], "worker must register first");
    let broken = scene.connect();
    scene.workers.frame(
        &broken,
        &Frame::Binary(b"\xff".as_slice().into()),
        scene.now,
    );
    scene.drain_outputs();
    assert_eq!(scene.closed[&broken], "malformed message");
    let twice = scene.worker("scribe", JobType::JtRoom);
    scene.say(
        &twice,
        FromWorker::Register(proto::RegisterWorkerRequest::default()),
    );
    assert_eq!(scene.closed[&twice], "worker is registered already");
}

#[test]
fn a_room_job_is_offered_assigned_with_a_token_and_ends_well() {
    let mut scene = Scene::new();
    let worker = scene.worker("", JobType::JtRoom);
    scene.room("r", &[]);
    let offer = scene.offers(&worker).remove(0);
    assert!(!offer.resuming);
    let id = job_id(&offer);
    scene.answer(&worker, &id, true);
    let Some(ToWorker::Assignment(assignment)) = scene.said[&worker].last() else {
        panic!("no assignment")
    };
    let claims = keys()
        .verify(&assignment.token, scene.now.wall)
        .expect("valid");
    assert_eq!(
        (
            claims.identity(),
            claims.participant_kind(),
            claims.name.as_str()
        ),
        ("agent-1", Kind::Agent, "Scribe")
    );
    let video = claims.video.as_ref().expect("a grant");
    assert!(video.room == "r" && video.room_join && video.agent);
    assert!(claims.permissions().can_publish && claims.permissions().can_update_metadata);
    scene.join("agent-1", Kind::Agent);
    scene.update(&worker, &id, proto::JobStatus::JsRunning, "");
    scene.update(&worker, &id, proto::JobStatus::JsSuccess, "");
    assert_eq!(
        scene.changes(),
        [
            &queued("waiting for a worker"),
            &JobChange::Assigned {
                worker: worker.clone(),
                identity: "agent-1".to_owned()
            },
            &JobChange::Running,
            &JobChange::Succeeded,
        ]
    );
    assert_eq!(scene.attempts, [1, 1, 1, 1]);
    let listed = scene.workers.list_dispatch("r", "").expect("the room");
    let state = listed[0].state.as_ref().expect("a state").jobs[0]
        .state
        .clone()
        .expect("a state");
    assert_eq!(
        (state.status(), state.worker_id),
        (proto::JobStatus::JsSuccess, worker)
    );
}

#[test]
fn a_named_agent_comes_only_when_it_is_asked_for() {
    let mut scene = Scene::new();
    let named = scene.worker("scribe", JobType::JtRoom);
    let unnamed = scene.worker("", JobType::JtRoom);
    scene.room("r", &[]);
    assert_eq!(
        (scene.offers(&named).len(), scene.offers(&unnamed).len()),
        (0, 1)
    );
    scene.room("s", &["scribe"]);
    assert_eq!(
        (scene.offers(&named).len(), scene.offers(&unnamed).len()),
        (1, 0)
    );
    let request = proto::CreateAgentDispatchRequest {
        room: "r".to_owned(),
        agent_name: "scribe".to_owned(),
        metadata: "notes".to_owned(),
        ..Default::default()
    };
    let dispatch = scene
        .workers
        .create_dispatch(request.clone(), scene.now)
        .expect("created");
    scene.drain_outputs();
    let offer = scene.offers(&named).remove(0);
    let job = offer.job.expect("a job");
    assert_eq!(
        (job.dispatch_id, job.metadata.as_str()),
        (dispatch.id.clone(), "notes")
    );
    assert_eq!(dispatch.state.expect("a state").jobs.len(), 1);
    let missing = proto::CreateAgentDispatchRequest {
        room: "q".to_owned(),
        ..request
    };
    assert_eq!(
        scene
            .workers
            .create_dispatch(missing, scene.now)
            .expect_err("no room")
            .msg,
        "requested room does not exist"
    );
}

#[test]
fn a_dispatch_waits_until_a_worker_of_its_name_appears() {
    let mut scene = Scene::new();
    scene.room("r", &["scribe"]);
    assert_eq!(scene.waiting, ["scribe"]);
    scene.pass(300);
    let other = scene.worker("guide", JobType::JtRoom);
    assert!(scene.offers(&other).is_empty());
    let worker = scene.worker("scribe", JobType::JtRoom);
    assert_eq!(scene.offers(&worker).len(), 1);
}

#[test]
fn publishers_and_participants_get_a_job_each_and_agents_none() {
    let mut scene = Scene::new();
    let per_publisher = scene.worker("", JobType::JtPublisher);
    let per_participant = scene.worker("", JobType::JtParticipant);
    scene.room("r", &[]);
    scene.join("anna", Kind::Standard);
    scene.join("bot", Kind::Agent);
    let offers = scene.offers(&per_participant);
    assert_eq!(offers.len(), 1);
    assert_eq!(
        offers[0]
            .job
            .as_ref()
            .and_then(|job| job.participant.as_ref())
            .map(|p| p.identity.as_str()),
        Some("anna")
    );
    assert!(scene.offers(&per_publisher).is_empty());
    for identity in ["anna", "anna", "bot"] {
        scene
            .workers
            .participant_published("r", identity, scene.now);
        scene.drain_outputs();
    }
    assert_eq!(scene.offers(&per_publisher).len(), 1);
    scene.join("ben", Kind::Standard);
    assert_eq!(scene.offers(&per_participant).len(), 1);
    // Nobody has taken the jobs for Anna: they end as she leaves, and begin anew as she returns.
    scene.leave("anna");
    let ended = JobChange::Ended {
        reason: "the participant left".to_owned(),
    };
    assert_eq!(
        scene
            .changes()
            .into_iter()
            .filter(|change| **change == ended)
            .count(),
        2
    );
    scene.join("anna", Kind::Standard);
    assert_eq!(scene.offers(&per_participant).len(), 1);
}

#[test]
fn a_refusal_goes_to_the_next_worker_and_silence_too() {
    let mut scene = Scene::new();
    let workers = [
        scene.worker("", JobType::JtRoom),
        scene.worker("", JobType::JtRoom),
        scene.worker("", JobType::JtRoom),
    ];
    scene.room("r", &[]);
    let mut asked = Vec::new();
    for turn in 0..3 {
        let (worker, offer) = workers
            .iter()
            .find_map(|worker| Some((worker.clone(), scene.offers(worker).pop()?)))
            .expect("one is asked");
        assert!(!asked.contains(&worker));
        if turn == 0 {
            scene.answer(&worker, &job_id(&offer), false);
        } else if turn == 1 {
            scene.pass(7);
            assert!(workers.iter().all(|worker| scene.offers(worker).is_empty()));
            scene.pass(1);
            // Too late: it is not assigned any more.
            scene.answer(&worker, &job_id(&offer), true);
        } else {
            scene.answer(&worker, &job_id(&offer), false);
        }
        asked.push(worker);
    }
    assert_eq!(scene.last(), &queued("no worker took the job"));
    scene.pass(14);
    assert!(workers.iter().all(|worker| scene.offers(worker).is_empty()));
    scene.pass(1);
    assert_eq!(
        workers
            .iter()
            .map(|worker| scene.offers(worker).len())
            .sum::<usize>(),
        1
    );
}

#[test]
fn the_status_decides_and_the_load_only_weighs() {
    let mut scene = Scene::new();
    let full = scene.worker("", JobType::JtRoom);
    scene.status(&full, proto::WorkerStatus::WsFull, 0.0);
    let busy = scene.worker("", JobType::JtRoom);
    scene.status(&busy, proto::WorkerStatus::WsAvailable, 1.0);
    scene.room("r", &[]);
    assert_eq!(
        (scene.offers(&full).len(), scene.offers(&busy).len()),
        (0, 1)
    );
    let idle = scene.worker("", JobType::JtRoom);
    scene.status(&busy, proto::WorkerStatus::WsAvailable, 0.9);
    for room in 0..200 {
        scene.room(&room.to_string(), &[]);
    }
    let (busy, idle) = (scene.offers(&busy).len(), scene.offers(&idle).len());
    assert_eq!(busy + idle, 200);
    assert!(
        (5..45).contains(&busy),
        "{busy} of 200 went to the worker at nine tenths"
    );
    scene.status(&full, proto::WorkerStatus::WsAvailable, f32::NAN);
    assert!(scene.closed.is_empty());
}

#[test]
fn a_full_worker_gets_the_waiting_job_when_it_is_free_again() {
    let mut scene = Scene::new();
    let worker = scene.worker("", JobType::JtRoom);
    scene.status(&worker, proto::WorkerStatus::WsFull, 1.0);
    scene.room("r", &[]);
    assert!(scene.offers(&worker).is_empty());
    scene.status(&worker, proto::WorkerStatus::WsAvailable, 0.2);
    assert_eq!(scene.offers(&worker).len(), 1);
}

#[test]
fn a_worker_that_comes_back_keeps_its_jobs() {
    let (mut scene, worker, job) = Scene::running();
    scene.gone(&worker);
    scene.pass(9);
    let again = scene.worker("scribe", JobType::JtRoom);
    scene.update(&again, &job, proto::JobStatus::JsRunning, "");
    scene.pass(60);
    assert!(scene.offers(&again).is_empty());
    scene.update(&again, &job, proto::JobStatus::JsFailed, "out of words");
    assert_eq!(
        scene.last(),
        &JobChange::Failed {
            error: "out of words".to_owned()
        }
    );
    assert!(
        !scene
            .changes()
            .iter()
            .any(|change| matches!(change, JobChange::Lost { .. }))
    );
}

#[test]
fn another_keys_worker_cannot_take_over_a_job() {
    let (mut scene, worker, job) = Scene::running();
    let thief = scene
        .workers
        .connect(&agent_claims("other"), scene.now)
        .expect("connected");
    scene
        .workers
        .frame(&thief, &Frame::Binary(REGISTER.into()), scene.now);
    scene.drain_outputs();
    scene.update(&thief, &job, proto::JobStatus::JsFailed, "stolen");
    scene.gone(&worker);
    scene.update(&thief, &job, proto::JobStatus::JsFailed, "stolen");
    scene.say(
        &thief,
        FromWorker::MigrateJob(proto::MigrateJobRequest { job_ids: vec![job] }),
    );
    assert_eq!(scene.last(), &JobChange::Running);
}

#[test]
fn a_lost_workers_job_is_dispatched_again_three_times_at_most() {
    let (mut scene, worker, job) = Scene::running();
    let mut holder = worker;
    for attempt in 2..=3 {
        let next = scene.worker("scribe", JobType::JtRoom);
        scene.gone(&holder);
        assert!(scene.offers(&next).is_empty());
        scene.pass(10);
        let [.., (_, lost), (_, waits)] = scene.events.as_slice() else {
            panic!("two events")
        };
        assert_eq!(
            lost,
            &JobChange::Lost {
                worker: holder.clone(),
                identity: "agent-1".to_owned(),
                reason: "the worker is gone".to_owned()
            }
        );
        assert_eq!(waits, &queued("the worker is gone"));
        assert_eq!(scene.attempts.last(), Some(&attempt));
        let offer = scene.offers(&next).remove(0);
        assert!(offer.resuming);
        assert_eq!(job_id(&offer), job);
        scene.answer(&next, &job, true);
        holder = next;
    }
    scene.gone(&holder);
    scene.pass(10);
    assert_eq!(
        scene.last(),
        &JobChange::Failed {
            error: "given up after 3 attempts: the worker is gone".to_owned()
        }
    );
    let late = scene.worker("scribe", JobType::JtRoom);
    assert!(scene.offers(&late).is_empty());
}

#[test]
fn when_the_agent_leaves_with_its_worker_nobody_waits() {
    let (mut scene, worker, _) = Scene::running();
    let next = scene.worker("scribe", JobType::JtRoom);
    scene.join("agent-1", Kind::Agent);
    scene.gone(&worker);
    assert!(scene.offers(&next).is_empty());
    scene.leave("agent-1");
    assert_eq!(scene.offers(&next).len(), 1);
}

#[test]
fn an_agent_that_leaves_may_report_its_end_or_come_back() {
    let (mut scene, worker, job) = Scene::running();
    scene.join("agent-1", Kind::Agent);
    scene.leave("agent-1");
    scene.pass(4);
    scene.join("agent-1", Kind::Agent);
    scene.pass(60);
    assert_eq!(scene.last(), &JobChange::Running);
    scene.leave("agent-1");
    scene.pass(5);
    assert_eq!(
        scene.last(),
        &JobChange::Failed {
            error: "the agent left the room".to_owned()
        }
    );
    assert!(
        matches!(scene.said[&worker].last(), Some(ToWorker::Termination(end)) if end.job_id == job)
    );

    let (mut scene, worker, job) = Scene::running();
    scene.join("agent-1", Kind::Agent);
    scene.leave("agent-1");
    scene.update(&worker, &job, proto::JobStatus::JsSuccess, "");
    scene.pass(60);
    assert_eq!(scene.last(), &JobChange::Succeeded);
}

#[test]
fn the_end_of_a_room_or_dispatch_ends_its_jobs() {
    let (mut scene, worker, job) = Scene::running();
    let dispatch = scene.workers.list_dispatch("r", "").expect("the room")[0]
        .id
        .clone();
    assert_eq!(
        scene
            .workers
            .delete_dispatch("r", "AD_none", scene.now)
            .expect_err("unknown")
            .msg,
        "dispatch ID not found"
    );
    let deleted = scene
        .workers
        .delete_dispatch("r", &dispatch, scene.now)
        .expect("deleted");
    scene.drain_outputs();
    assert!(deleted.state.expect("a state").deleted_at > 0);
    assert_eq!(
        scene.last(),
        &JobChange::Ended {
            reason: "the dispatch was deleted".to_owned()
        }
    );
    assert!(
        matches!(scene.said[&worker].last(), Some(ToWorker::Termination(end)) if end.job_id == job)
    );
    assert!(
        scene
            .workers
            .list_dispatch("r", "")
            .expect("the room")
            .is_empty()
    );

    let (mut scene, worker, job) = Scene::running();
    scene.workers.room_ended("r", scene.now);
    scene.drain_outputs();
    assert_eq!(
        scene.last(),
        &JobChange::Ended {
            reason: "the room ended".to_owned()
        }
    );
    assert!(
        matches!(scene.said[&worker].last(), Some(ToWorker::Termination(end)) if end.job_id == job)
    );
    assert!(scene.workers.list_dispatch("r", "").is_err());
    scene.update(&worker, &job, proto::JobStatus::JsSuccess, "");
    assert_eq!(scene.workers.next_deadline(), None);
}

#[test]
fn draining_closes_the_workers_and_takes_no_new_ones() {
    let (mut scene, worker, _) = Scene::running();
    scene.workers.drain(scene.now);
    scene.drain_outputs();
    assert_eq!(scene.closed[&worker], "server is draining");
    assert_eq!(
        scene
            .workers
            .connect(&agent_claims("devkey"), scene.now)
            .expect_err("refused")
            .status,
        503
    );
}

#[test]
fn a_worker_that_drains_gets_no_job() {
    let mut scene = Scene::new();
    let worker = scene.worker("", JobType::JtRoom);
    scene.say(
        &worker,
        FromWorker::UpdateWorker(proto::UpdateWorkerStatus {
            draining: true,
            ..Default::default()
        }),
    );
    scene.room("r", &[]);
    assert!(scene.offers(&worker).is_empty());
}

#[derive(Debug, Clone)]
enum Act {
    Connect(bool),
    Register(usize, i32),
    Answer(usize, usize, bool),
    Update(usize, usize, i32),
    Status(usize, i32, f32),
    Gone(usize),
    Bytes(usize, Vec<u8>),
    Room(u8, bool),
    Join(u8),
    Publish(u8),
    Leave(u8),
    Dispatch,
    Pass(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        any::<bool>().prop_map(Act::Connect),
        (0usize..4, -1i32..4).prop_map(|(w, t)| Act::Register(w, t)),
        (0usize..4, 0usize..6, any::<bool>()).prop_map(|(w, j, yes)| Act::Answer(w, j, yes)),
        (0usize..4, 0usize..6, -1i32..5).prop_map(|(w, j, s)| Act::Update(w, j, s)),
        (0usize..4, -1i32..3, any::<f32>()).prop_map(|(w, s, l)| Act::Status(w, s, l)),
        (0usize..4).prop_map(Act::Gone),
        (0usize..4, proptest::collection::vec(any::<u8>(), 0..30))
            .prop_map(|(w, b)| Act::Bytes(w, b)),
        (0u8..2, any::<bool>()).prop_map(|(r, end)| Act::Room(r, end)),
        (0u8..3).prop_map(Act::Join),
        (0u8..3).prop_map(Act::Publish),
        (0u8..3).prop_map(Act::Leave),
        Just(Act::Dispatch),
        (0u64..20).prop_map(Act::Pass),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_each_job_ends_at_most_once_and_nothing_panics(acts in proptest::collection::vec(act(), 0..60)) {
        let mut scene = Scene::new();
        let mut ids = vec![scene.worker("", JobType::JtRoom)];
        for act in acts {
            let worker = |at: usize| ids[at % ids.len()].clone();
            let jobs: Vec<String> = scene.events.iter().map(|(id, _)| id.clone()).collect();
            let job = |at: usize| jobs.iter().rev().nth(at).cloned().unwrap_or_default();
            let now = scene.now;
            match act {
                Act::Connect(register) => {
                    let id = if register { scene.worker("", JobType::JtPublisher) } else { scene.connect() };
                    ids.push(id);
                }
                Act::Register(at, job_type) => {
                    let request = proto::RegisterWorkerRequest { r#type: job_type, ..Default::default() };
                    scene.say(&worker(at), FromWorker::Register(request));
                }
                Act::Answer(at, of, yes) => scene.answer(&worker(at), &job(of), yes),
                Act::Update(at, of, status) => {
                    let update = proto::UpdateJobStatus { job_id: job(of), status, error: String::new() };
                    scene.say(&worker(at), FromWorker::UpdateJob(update));
                }
                Act::Status(at, status, load) => {
                    let update = proto::UpdateWorkerStatus { status: Some(status), load, ..Default::default() };
                    scene.say(&worker(at), FromWorker::UpdateWorker(update));
                }
                Act::Gone(at) => scene.gone(&worker(at)),
                Act::Bytes(at, bytes) => scene.workers.frame(&worker(at), &Frame::Binary(bytes.into()), now),
                Act::Room(room, false) => scene.room(if room == 0 { "r" } else { "s" }, &[]),
                Act::Room(room, true) => scene.workers.room_ended(if room == 0 { "r" } else { "s" }, now),
                Act::Join(who) => scene.join(if who == 0 { "agent-1" } else { "anna" }, Kind::Standard),
                Act::Publish(_) => scene.workers.participant_published("r", "anna", now),
                Act::Leave(who) => scene.leave(if who == 0 { "agent-1" } else { "anna" }),
                Act::Dispatch => {
                    let request = proto::CreateAgentDispatchRequest { room: "r".to_owned(), ..Default::default() };
                    let _ = scene.workers.create_dispatch(request, now);
                }
                Act::Pass(seconds) => scene.pass(seconds),
            }
            scene.drain_outputs();
        }
        scene.pass(120);
        let over = |change: &JobChange| matches!(change, JobChange::Succeeded | JobChange::Failed { .. } | JobChange::Ended { .. });
        let mut ended = std::collections::BTreeSet::new();
        for (id, change) in &scene.events {
            prop_assert!(!ended.contains(id), "{id} changed after its end: {change:?}");
            if over(change) {
                ended.insert(id.clone());
            }
        }
    }
}
