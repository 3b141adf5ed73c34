//! Any order of events, also those that no worker would send.

use std::collections::BTreeSet;

use livekit_protocol as proto;
use livekit_protocol::participant_info::Kind;
use livekit_protocol::worker_message::Message as FromWorker;
use proptest::prelude::*;

use super::super::*;
use super::scene::Scene;

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
    Publish,
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
        Just(Act::Publish),
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
                Act::Publish => scene.workers.participant_published("r", "anna", now),
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
        let mut ended = BTreeSet::new();
        for (id, change) in &scene.events {
            prop_assert!(!ended.contains(id), "{id} changed after its end: {change:?}");
            if over(change) {
                ended.insert(id.clone());
            }
        }
    }
}
