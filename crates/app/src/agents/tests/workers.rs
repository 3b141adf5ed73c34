//! Jobs of LiveKit workers as runs.

use std::net::Ipv4Addr;

use livekit_protocol::server_message::Message as ToWorker;
use livekit_protocol::worker_message::Message as FromWorker;
use livekit_protocol::{
    AvailabilityResponse, JobStatus, JobType, RegisterWorkerRequest, ServerMessage,
    UpdateJobStatus, WorkerMessage,
};
use meetmind_media::agents::{JobChange, JobEvent};
use meetmind_media::driver::DriverConfig;
use meetmind_media::service::HttpRequest;
use meetmind_media::signal::frames::FrameCodec;
use meetmind_media::token::{ApiKey, Claims, VideoGrant};

use super::*;
use crate::{Rooms, WorkerSocket};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

async fn served(room: &Room) -> Rooms {
    let driver = DriverConfig {
        listen: vec![Ipv4Addr::LOCALHOST.into()],
        udp_port: 0,
        tcp_port: None,
        shards: 1,
        ..DriverConfig::default()
    };
    room.app()
        .rooms_open(driver, None)
        .await
        .expect("a server inside")
}

fn token(app: &App, grant: VideoGrant) -> String {
    let pair = app.livekit().expect("a server inside");
    ApiKey::new(pair.api_key, pair.api_secret)
        .sign(&Claims::server_call(grant), app.now(), LONG)
        .expect("a token")
}

/// A worker's side of its connection.
struct Worker {
    socket: WorkerSocket,
    codec: FrameCodec,
}

impl Worker {
    async fn registered(app: &App, name: &str) -> Self {
        let grant = VideoGrant {
            agent: true,
            ..VideoGrant::default()
        };
        let bearer = format!("Bearer {}", token(app, grant));
        let socket = app.worker_connect("", Some(&bearer)).expect("let in");
        let mut worker = Self {
            socket,
            codec: FrameCodec::default(),
        };
        worker.say(FromWorker::Register(RegisterWorkerRequest {
            agent_name: name.to_owned(),
            ..RegisterWorkerRequest::default()
        }));
        assert!(matches!(worker.hears().await, ToWorker::Register(_)));
        worker
    }

    fn say(&self, message: FromWorker) {
        let message = WorkerMessage {
            message: Some(message),
        };
        self.socket.receive(self.codec.encode(&message));
    }

    async fn hears(&mut self) -> ToWorker {
        let frame = tokio::time::timeout(LONG, self.socket.next()).await;
        let frame = frame.expect("in time").expect("an open socket");
        let message: ServerMessage = self.codec.decode(&frame).expect("a message");
        message.message.expect("a known message")
    }

    /// Takes the job that is offered; gives its id and metadata.
    async fn takes(&mut self) -> (String, String) {
        let ToWorker::Availability(offer) = self.hears().await else {
            panic!("an offer");
        };
        let job = offer.job.expect("a job");
        self.say(FromWorker::Availability(AvailabilityResponse {
            job_id: job.id.clone(),
            available: true,
            ..AvailabilityResponse::default()
        }));
        assert!(matches!(self.hears().await, ToWorker::Assignment(_)));
        (job.id, job.metadata)
    }

    fn reports(&self, job_id: &str, status: JobStatus) {
        self.say(FromWorker::UpdateJob(UpdateJobStatus {
            job_id: job_id.to_owned(),
            status: status.into(),
            ..UpdateJobStatus::default()
        }));
    }
}

/// An agent of the room's host whose work the workers called `helper` do.
async fn helper(room: &Room) -> Agent {
    let new = AgentNew {
        name: "Notes by Hal".to_owned(),
        config: AgentConfig {
            worker: Some("helper".to_owned()),
            instructions: Some("take notes".to_owned()),
            ..AgentConfig::default()
        },
        ..AgentNew::default()
    };
    let made = room.app().agent_create(&room.ctx(), new).await;
    made.expect("an agent").agent
}

async fn until(room: &Room, id: RunId, state: RunState) -> Run {
    let reached = async {
        loop {
            let run = room.run(id).await;
            if run.state == state {
                return run;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    match tokio::time::timeout(LONG, reached).await {
        Ok(run) => run,
        Err(_) => panic!("{state} was not reached: {:?}", room.life(id).await),
    }
}

async fn reasons(room: &Room, id: RunId) -> Vec<String> {
    let life = room.life(id).await;
    life.into_iter().map(|(_, reason)| reason).collect()
}

async fn create_dispatch(app: &App, room: &Meeting, name: &str) {
    let grant = VideoGrant {
        room: room.id.to_string(),
        room_admin: true,
        ..VideoGrant::default()
    };
    let bearer = format!("Bearer {}", token(app, grant));
    let body = json!({ "room": room.id.to_string(), "agentName": name }).to_string();
    let request = HttpRequest {
        method: "POST",
        path: "/twirp/livekit.AgentDispatchService/CreateDispatch",
        query: "",
        content_type: Some("application/json"),
        authorization: Some(&bearer),
        body: body.as_bytes(),
    };
    let answer = app.twirp(&request).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
}

/// The newest run in the meeting of the agent that stands for workers of a name.
async fn run_of(room: &Room, worker: &str) -> Run {
    let found = async {
        loop {
            let rows = room
                .app()
                .meeting_agent_list(&room.ctx(), room.meeting.id, &PageQuery::default())
                .await
                .expect("agents");
            for row in rows.items {
                let agent = room.app().agent_get(&room.ctx(), row.run.agent_id).await;
                let agent = agent.expect("an agent of the host").agent;
                if agent.config.worker.as_deref() == Some(worker) {
                    return row.run;
                }
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LONG, found).await.expect("a run")
}

#[tokio::test]
async fn an_agent_with_a_worker_is_sent_there_and_its_run_goes_where_the_job_goes() {
    let room = Room::new(AgentRole::Scribe).await;
    let rooms = served(&room).await;
    let agent = helper(&room).await;
    let run = room
        .app()
        .meeting_agent_add(&room.ctx(), room.meeting.id, agent.id)
        .await
        .expect("a run");
    room.tick().await;
    let waiting = room.run(run.id).await;
    assert_eq!(
        (waiting.state, waiting.reason_code.as_str()),
        (RunState::Dispatching, "worker_awaited")
    );
    let mut worker = Worker::registered(room.app(), "helper").await;
    let (job, metadata) = worker.takes().await;
    assert_eq!(metadata, "take notes");
    until(&room, run.id, RunState::Starting).await;
    worker.reports(&job, JobStatus::JsRunning);
    let live = until(&room, run.id, RunState::Live).await;
    let mut conn = room.test.db.store.read().await.expect("a connection");
    let participant = conn
        .participant_find_agent(room.meeting.id, agent.id)
        .await
        .expect("a row")
        .expect("a participant");
    assert_eq!(
        (participant.name.as_str(), participant.state),
        ("Notes by Hal", ParticipantState::Joined)
    );
    assert_eq!(live.participant_id, Some(participant.id));
    drop(conn);
    worker.reports(&job, JobStatus::JsSuccess);
    until(&room, run.id, RunState::Completed).await;
    let expected = [
        "requested",
        "worker_awaited",
        "worker_assigned",
        "entering",
        "joined",
        "worker_done",
        "worker_done",
    ];
    assert_eq!(reasons(&room, run.id).await, expected);
    rooms.stop(LONG).await;
}

#[tokio::test]
async fn a_stopped_run_takes_its_job_from_the_worker() {
    let room = Room::new(AgentRole::Scribe).await;
    let rooms = served(&room).await;
    let agent = helper(&room).await;
    let mut worker = Worker::registered(room.app(), "helper").await;
    let run = room
        .app()
        .meeting_agent_add(&room.ctx(), room.meeting.id, agent.id)
        .await
        .expect("a run");
    room.tick().await;
    let (job, _) = worker.takes().await;
    worker.reports(&job, JobStatus::JsRunning);
    until(&room, run.id, RunState::Live).await;
    room.app()
        .run_stop(&room.ctx(), run.id, None)
        .await
        .expect("a stop");
    room.tick().await;
    let ToWorker::Termination(ended) = worker.hears().await else {
        panic!("a termination");
    };
    assert_eq!(ended.job_id, job);
    assert_eq!(room.run(run.id).await.state, RunState::Completed);
    assert!(room.app().inner.agents.followed.lock().await.is_empty());
    rooms.stop(LONG).await;
}

#[tokio::test]
async fn the_job_of_a_lost_worker_is_another_attempt_and_after_too_many_the_run_is_lost() {
    let room = Room::new(AgentRole::Scribe).await;
    let rooms = served(&room).await;
    let agent = helper(&room).await;
    let run = room
        .app()
        .meeting_agent_add(&room.ctx(), room.meeting.id, agent.id)
        .await
        .expect("a run");
    room.tick().await;
    let dispatch_id = {
        let followed = room.app().inner.agents.followed.lock().await;
        followed.keys().next().expect("a dispatch").clone()
    };
    let happens = |change: JobChange| {
        let job = JobEvent {
            job_id: "AJ_1".to_owned(),
            dispatch_id: dispatch_id.clone(),
            room: room.meeting.id.to_string(),
            agent_name: "helper".to_owned(),
            job_type: JobType::JtRoom,
            participant: String::new(),
            attempt: 1,
            change,
        };
        let room = &room;
        async move {
            let ctx = room.app().system_ctx();
            room.app().worker_job(&ctx, &job).await.expect("followed");
        }
    };
    let queued = || JobChange::Queued {
        reason: "the worker is gone".to_owned(),
    };
    let lost = |worker: &str| JobChange::Lost {
        worker: worker.to_owned(),
        identity: "agent-1".to_owned(),
        reason: "the worker is gone".to_owned(),
    };
    happens(queued()).await;
    for (attempt, worker) in [(1, "AW_1"), (2, "AW_2")] {
        happens(JobChange::Assigned {
            worker: worker.to_owned(),
            identity: "agent-1".to_owned(),
        })
        .await;
        happens(JobChange::Running).await;
        let live = room.run(run.id).await;
        assert_eq!((live.state, live.attempt), (RunState::Live, attempt));
        room.tick().await;
        happens(lost(worker)).await;
        if attempt == 1 {
            happens(queued()).await;
            let again = room.run(run.id).await;
            assert_eq!((again.state, again.attempt), (RunState::Dispatching, 2));
            room.tick().await;
            assert_eq!(room.run(run.id).await.state, RunState::Dispatching);
        }
    }
    happens(JobChange::Failed {
        error: "given up after 2 attempts".to_owned(),
    })
    .await;
    let over = room.run(run.id).await;
    assert_eq!(
        (over.state, over.message.as_str()),
        (RunState::Lost, "given up after 2 attempts")
    );
    assert!(room.app().inner.agents.find(run.id).is_none());
    rooms.stop(LONG).await;
}

#[tokio::test]
async fn a_job_that_nobody_here_asked_for_is_a_run_of_an_agent_of_the_meetings_owner() {
    let room = Room::new(AgentRole::Scribe).await;
    let rooms = served(&room).await;
    let mut worker = Worker::registered(room.app(), "visitor").await;
    create_dispatch(room.app(), &room.meeting, "visitor").await;
    let (job, _) = worker.takes().await;
    worker.reports(&job, JobStatus::JsRunning);
    let run = run_of(&room, "visitor").await;
    let run = until(&room, run.id, RunState::Live).await;
    let agent = room.app().agent_get(&room.ctx(), run.agent_id).await;
    let agent = agent.expect("an agent").agent;
    assert_eq!(
        (agent.name.as_str(), agent.owner_id),
        ("visitor", room.meeting.owner_id)
    );
    let ben = room.test.user("ben").await;
    let unseen = room.app().run_get(&room.test.ctx(&ben), run.id).await;
    assert_eq!(code(unseen), Code::NotFound);
    // The second time it is the same agent.
    worker.reports(&job, JobStatus::JsFailed);
    until(&room, run.id, RunState::Failed).await;
    create_dispatch(room.app(), &room.meeting, "visitor").await;
    let _ = worker.takes().await;
    let again = run_of(&room, "visitor").await;
    assert_eq!(again.agent_id, run.agent_id);
    rooms.stop(LONG).await;
}

#[tokio::test]
async fn a_disabled_agent_lets_its_worker_into_no_meeting() {
    let room = Room::new(AgentRole::Scribe).await;
    let rooms = served(&room).await;
    let agent = helper(&room).await;
    let mut worker = Worker::registered(room.app(), "helper").await;
    room.app()
        .agent_status_set(&room.ctx(), agent.id, AgentStatus::Disabled, None, None)
        .await
        .expect("disabled");
    create_dispatch(room.app(), &room.meeting, "helper").await;
    let (job, _) = worker.takes().await;
    let ToWorker::Termination(ended) = worker.hears().await else {
        panic!("a termination");
    };
    assert_eq!(ended.job_id, job);
    rooms.stop(LONG).await;
}

#[tokio::test]
async fn without_a_server_inside_a_workers_run_fails_and_says_why() {
    let room = Room::new(AgentRole::Scribe).await;
    let agent = helper(&room).await;
    let run = room
        .app()
        .meeting_agent_add(&room.ctx(), room.meeting.id, agent.id)
        .await
        .expect("a run");
    room.tick().await;
    let run = room.run(run.id).await;
    assert_eq!(
        (run.state, run.reason_code.as_str()),
        (RunState::Failed, "workers_absent")
    );
}
