//! Workers and agents that go, and jobs that the server ends.

use livekit_protocol as proto;
use livekit_protocol::participant_info::Kind;
use livekit_protocol::server_message::Message as ToWorker;
use livekit_protocol::worker_message::Message as FromWorker;

use super::super::*;
use super::REGISTER;
use super::scene::{Scene, agent_claims, job_id, queued};

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
