//! Worker scenarios with simulated time.

mod chaos;
mod loss;
mod scene;

use livekit_protocol as proto;
use livekit_protocol::participant_info::Kind;
use livekit_protocol::server_message::Message as ToWorker;
use livekit_protocol::worker_message::Message as FromWorker;

use super::*;
use crate::token::{Claims, VideoGrant};
use scene::{Scene, agent_claims, job_id, keys, queued};

/// `WorkerMessage(register=RegisterWorkerRequest(type=JT_ROOM, agent_name="scribe", version="1.8.9"))` by
/// livekit-protocol 1.1.29 of PyPI, in both languages.
const REGISTER: &[u8] = b"\x0a\x0f\x1a\x051.8.9B\x06scribe";
const REGISTER_JSON: &str = r#"{"register": {"version": "1.8.9", "agentName": "scribe"}}"#;

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
