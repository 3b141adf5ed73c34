//! Agent workers: the program around the protocol's state machine.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use livekit_protocol::{
    AgentDispatch, CreateAgentDispatchRequest, CreateRoomRequest, ListAgentDispatchResponse, Room,
    ServerInfo,
};
use meetmind_core::{Code, Error, MeetingId};
use meetmind_media::agents::{Config, JobEvent, Now, Output, Workers};
use meetmind_media::room::{RoomEvent, RoomEventKind};
use meetmind_media::service::{DispatchAnswer, DispatchCall, RoomAnswer, RoomCall, TwirpError};
use meetmind_media::signal::frames::Frame;
use meetmind_media::signal::join::{self, Refusal};
use meetmind_media::token::ApiKeys;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{Notify, mpsc};

use crate::App;

/// Frames that may wait for a worker that does not read.
const QUEUE: usize = 256;

/// All workers of this process.
pub(super) struct State {
    machine: Mutex<Machine>,
    keys: ApiKeys,
    /// The machine's next deadline may have moved.
    changed: Arc<Notify>,
}

struct Machine {
    workers: Workers,
    sockets: HashMap<String, mpsc::Sender<Frame>>,
    /// What happens to jobs, for their runs.
    jobs: mpsc::UnboundedSender<JobEvent>,
}

/// One worker's connection; dropping it says that the worker is gone.
pub struct WorkerSocket {
    app: App,
    id: String,
    frames: mpsc::Receiver<Frame>,
}

impl State {
    pub(super) fn new(app: &App, keys: ApiKeys, info: ServerInfo) -> Self {
        let seed = u64::from_le_bytes(app.entropy().bytes());
        let rng = Box::new(StdRng::seed_from_u64(seed));
        let (jobs, told) = mpsc::unbounded_channel();
        let machine = Machine {
            jobs,
            workers: Workers::new(Config::new(keys.clone(), info), rng),
            sockets: HashMap::new(),
        };
        let state = Self {
            machine: Mutex::new(machine),
            keys,
            changed: Arc::new(Notify::new()),
        };
        tokio::spawn(tick(app.clone(), state.changed.clone()));
        tokio::spawn(follow(app.clone(), told));
        state
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        // A panic of another thread leaves the machine between two frames, which is no bad state.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the machine something and does what comes out.
    fn with<R>(&self, app: &App, work: impl FnOnce(&mut Workers, Now) -> R) -> R {
        let now = Now {
            instant: Instant::now(),
            wall: app.now(),
        };
        let mut machine = self.lock();
        let result = work(&mut machine.workers, now);
        machine.settle();
        drop(machine);
        self.changed.notify_one();
        result
    }

    pub(super) fn dispatch(
        &self,
        app: &App,
        call: DispatchCall,
    ) -> Result<DispatchAnswer, TwirpError> {
        self.with(app, |workers, now| match call {
            DispatchCall::Create(request) => workers
                .create_dispatch(request, now)
                .map(DispatchAnswer::Create),
            DispatchCall::Delete(request) => workers
                .delete_dispatch(&request.room, &request.dispatch_id, now)
                .map(DispatchAnswer::Delete),
            DispatchCall::List(request) => workers
                .list_dispatch(&request.room, &request.dispatch_id)
                .map(|agent_dispatches| {
                    DispatchAnswer::List(ListAgentDispatchResponse { agent_dispatches })
                }),
        })
    }

    /// A room exists of which the machine may not have heard yet.
    pub(super) fn room_known(&self, app: &App, room: Room) {
        self.with(app, |workers, now| {
            workers.room_started(room, Vec::new(), now);
        });
    }

    /// Agents that were sent into a room before this process began.
    pub(super) fn restore(&self, app: &App, dispatches: Vec<AgentDispatch>) {
        self.with(app, |workers, now| {
            for dispatch in dispatches {
                workers.restore_dispatch(dispatch, now);
            }
        });
    }

    /// Rooms and participants decide which jobs there are.
    pub(super) fn room_event(&self, app: &App, event: &RoomEvent) {
        let room = &event.room;
        match &event.kind {
            RoomEventKind::Started(agents) => self.with(app, |workers, now| {
                workers.room_started(room.clone(), agents.clone(), now);
            }),
            RoomEventKind::Finished => self.with(app, |workers, now| {
                workers.room_ended(&room.name, now);
            }),
            RoomEventKind::Joined(participant) => self.with(app, |workers, now| {
                workers.participant_joined(&room.name, participant.clone(), now);
            }),
            RoomEventKind::Published(participant, _) => self.with(app, |workers, now| {
                workers.participant_published(&room.name, &participant.identity, now);
            }),
            RoomEventKind::Left(participant) | RoomEventKind::Aborted(participant) => {
                self.with(app, |workers, now| {
                    workers.participant_left(&room.name, &participant.identity, now);
                });
            }
            _ => {}
        }
    }
}

impl Machine {
    fn settle(&mut self) {
        while let Some(output) = self.workers.poll() {
            match output {
                Output::Send { worker, frame } => {
                    let full = self
                        .sockets
                        .get(&worker)
                        .is_some_and(|socket| socket.try_send(frame).is_err());
                    if full {
                        // A worker that does not read is as good as gone: its socket closes.
                        self.sockets.remove(&worker);
                    }
                }
                Output::Close { worker, reason } => {
                    tracing::debug!(worker, reason, "an agent worker is sent off");
                    self.sockets.remove(&worker);
                }
                Output::Job(job) => {
                    tracing::info!(job = job.job_id, room = job.room, change = ?job.change, "agent job");
                    // Without a receiver the program is on its way down.
                    let _ = self.jobs.send(job);
                }
                Output::Waiting {
                    room, agent_name, ..
                } => tracing::info!(room, agent_name, "an agent is awaited"),
            }
        }
    }
}

/// Lets time pass for the workers.
async fn tick(app: App, changed: Arc<Notify>) {
    loop {
        let deadline = app
            .inner
            .rooms
            .embedded
            .get()
            .and_then(|embedded| embedded.workers.lock().workers.next_deadline());
        match deadline {
            Some(at) => tokio::select! {
                () = tokio::time::sleep_until(at.into()) => {}
                () = changed.notified() => continue,
            },
            None => {
                changed.notified().await;
                continue;
            }
        }
        if let Some(embedded) = app.inner.rooms.embedded.get() {
            embedded.workers.with(&app, Workers::tick);
        }
    }
}

/// Takes the runs where their jobs go, in order.
async fn follow(app: App, mut jobs: mpsc::UnboundedReceiver<JobEvent>) {
    while let Some(job) = jobs.recv().await {
        if let Err(error) = app.worker_job(&app.system_ctx(), &job).await {
            tracing::warn!(job = job.job_id, room = job.room, %error, "the run of a worker's job could not follow it");
        }
    }
}

impl App {
    /// Whether workers can connect here.
    pub(crate) fn takes_workers(&self) -> bool {
        self.inner.rooms.embedded.get().is_some()
    }

    /// Asks for an agent in a room, which is made if need be. Gives the id of the dispatch.
    ///
    /// # Errors
    /// `INTERNAL` with what the room's server answered.
    pub(crate) async fn worker_dispatch(
        &self,
        request: CreateAgentDispatchRequest,
    ) -> meetmind_core::Result<String> {
        let refused = |error: String| Error::new(Code::Internal, error);
        let embedded = self.embedded().map_err(|it| refused(it.text))?;
        let room = RoomCall::Create(CreateRoomRequest {
            name: request.room.clone(),
            ..CreateRoomRequest::default()
        });
        match embedded.server.call(room).await {
            Ok(RoomAnswer::Create(room)) => embedded.workers.room_known(self, room),
            Ok(_) => {}
            Err(error) => return Err(refused(format!("{error:?}"))),
        }
        match embedded
            .workers
            .dispatch(self, DispatchCall::Create(request))
        {
            Ok(DispatchAnswer::Create(dispatch)) => Ok(dispatch.id),
            Ok(_) => Err(refused("the dispatch was not answered".to_owned())),
            Err(error) => Err(refused(error.msg)),
        }
    }

    /// Takes a dispatch back; its jobs are terminated. One that is gone is no fault.
    pub(crate) fn worker_dismiss(&self, room: MeetingId, dispatch: &str) {
        if let Some(embedded) = self.inner.rooms.embedded.get() {
            embedded.workers.with(self, |workers, now| {
                // The room may have ended, and its dispatches with it.
                let _ = workers.delete_dispatch(&room.to_string(), dispatch, now);
            });
        }
    }

    /// A worker connects (`/agent`).
    ///
    /// # Errors
    /// The status and text to answer instead of the upgrade.
    pub fn worker_connect(
        &self,
        query: &str,
        authorization: Option<&str>,
    ) -> Result<WorkerSocket, Refusal> {
        let workers = &self.embedded()?.workers;
        let claims = join::authenticate(query, authorization, &workers.keys, self.now())?
            .ok_or_else(Refusal::no_permission)?;
        let id = workers.with(self, |machine, now| machine.connect(&claims, now))?;
        let (sender, frames) = mpsc::channel(QUEUE);
        workers.lock().sockets.insert(id.clone(), sender);
        Ok(WorkerSocket {
            app: self.clone(),
            id,
            frames,
        })
    }
}

impl WorkerSocket {
    /// A frame from the worker.
    pub fn receive(&self, frame: Frame) {
        if let Ok(embedded) = self.app.embedded() {
            embedded.workers.with(&self.app, |workers, now| {
                workers.frame(&self.id, &frame, now);
            });
        }
    }

    /// The next frame for the worker; none when it is sent off.
    pub async fn next(&mut self) -> Option<Frame> {
        self.frames.recv().await
    }
}

impl Drop for WorkerSocket {
    fn drop(&mut self) {
        if let Ok(embedded) = self.app.embedded() {
            embedded.workers.lock().sockets.remove(&self.id);
            embedded.workers.with(&self.app, |workers, now| {
                workers.disconnected(&self.id, now);
            });
        }
    }
}
