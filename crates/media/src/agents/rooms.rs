//! Rooms and their dispatches: which jobs are wanted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use livekit_protocol::participant_info::Kind;
use livekit_protocol::{
    AgentDispatch, AgentDispatchState, CreateAgentDispatchRequest, Job, JobType, ParticipantInfo,
    Room, RoomAgentDispatch,
};

use super::{JobChange, Now, Output, Workers};
use crate::service::{TwirpCode, TwirpError, check_deployment};

/// The most dispatches of one room.
const MAX_DISPATCHES: usize = 100;
/// The ended jobs that are kept to be listed, of one dispatch.
const MAX_ENDED: usize = 50;

pub(super) struct RoomState {
    pub(super) room: Room,
    pub(super) dispatches: BTreeMap<String, Dispatch>,
    members: BTreeMap<String, Member>,
}

struct Member {
    info: ParticipantInfo,
    published: bool,
}

pub(super) struct Dispatch {
    proto: AgentDispatch,
    /// Type and participant's sid of the jobs that were made.
    made: BTreeSet<(i32, String)>,
    pub(super) ended: VecDeque<Job>,
}

impl Dispatch {
    pub(super) fn keep(&mut self, job: Job) {
        if self.ended.len() == MAX_ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back(job);
    }
}

fn not_found(text: &str) -> TwirpError {
    TwirpError::new(TwirpCode::NotFound, text)
}

impl Workers {
    /// A room began, with the agents that its maker or the first token asks for (`roomConfig.agents`). If they
    /// ask for none, unnamed workers get their jobs. A room that is known keeps its dispatches.
    pub fn room_started(&mut self, room: Room, agents: Vec<RoomAgentDispatch>, now: Now) {
        let name = room.name.clone();
        if let Some(known) = self.rooms.get_mut(&name) {
            known.room = room;
            return;
        }
        let state = RoomState {
            room,
            dispatches: BTreeMap::new(),
            members: BTreeMap::new(),
        };
        self.rooms.insert(name.clone(), state);
        let agents = if agents.is_empty() {
            vec![RoomAgentDispatch::default()]
        } else {
            agents
        };
        for agent in agents.into_iter().take(MAX_DISPATCHES) {
            let dispatch = AgentDispatch {
                id: self.id("AD_"),
                room: name.clone(),
                agent_name: agent.agent_name,
                metadata: agent.metadata,
                restart_policy: agent.restart_policy,
                deployment: agent.deployment,
                attributes: agent.attributes,
                state: None,
            };
            self.add_dispatch(dispatch, now);
        }
        self.schedule(now);
    }

    /// A room ended: its jobs are terminated, its dispatches forgotten.
    pub fn room_ended(&mut self, room: &str, now: Now) {
        if self.rooms.contains_key(room) {
            self.end_jobs(|job| job.room() == room, "the room ended", now);
            self.rooms.remove(room);
        }
    }

    /// A participant joined, or is known anew (metadata, tracks). Agents get no jobs of their own.
    pub fn participant_joined(&mut self, room: &str, info: ParticipantInfo, now: Now) {
        let Some(state) = self.rooms.get_mut(room) else {
            return;
        };
        let identity = info.identity.clone();
        let published = state
            .members
            .get(&identity)
            .is_some_and(|m| m.published && m.info.sid == info.sid);
        state
            .members
            .insert(identity.clone(), Member { info, published });
        self.agent_seen(room, &identity);
        self.make_jobs(room, now);
        self.schedule(now);
    }

    /// A participant published a track; only the first one counts.
    pub fn participant_published(&mut self, room: &str, identity: &str, now: Now) {
        let Some(member) = self
            .rooms
            .get_mut(room)
            .and_then(|it| it.members.get_mut(identity))
        else {
            return;
        };
        if !member.published {
            member.published = true;
            self.make_jobs(room, now);
            self.schedule(now);
        }
    }

    /// A participant left. Jobs for it that no worker has taken are ended; if it was an agent, its job has a
    /// moment to report its end.
    pub fn participant_left(&mut self, room: &str, identity: &str, now: Now) {
        let Some(member) = self
            .rooms
            .get_mut(room)
            .and_then(|it| it.members.remove(identity))
        else {
            return;
        };
        let sid = member.info.sid;
        if let Some(state) = self.rooms.get_mut(room) {
            for dispatch in state.dispatches.values_mut() {
                dispatch.made.retain(|(_, of)| *of != sid || of.is_empty());
            }
        }
        self.end_jobs(
            |job| job.room() == room && job.participant() == identity && !job.is_taken(),
            "the participant left",
            now,
        );
        self.agent_left(room, identity, now);
        self.schedule(now);
    }

    /// `CreateDispatch`. The room must be known: make it first, if calls may make rooms.
    ///
    /// # Errors
    /// `not_found` without the room, `invalid_argument` for a bad deployment, `resource_exhausted` at the limits.
    pub fn create_dispatch(
        &mut self,
        request: CreateAgentDispatchRequest,
        now: Now,
    ) -> Result<AgentDispatch, TwirpError> {
        check_deployment(&request.deployment)?;
        let state = self
            .rooms
            .get(&request.room)
            .ok_or_else(TwirpError::room_not_found)?;
        if state.dispatches.len() >= MAX_DISPATCHES || self.jobs.len() >= self.config.max_jobs {
            return Err(TwirpError::new(
                TwirpCode::ResourceExhausted,
                "too many dispatches",
            ));
        }
        let dispatch = AgentDispatch {
            id: self.id("AD_"),
            agent_name: request.agent_name,
            room: request.room,
            metadata: request.metadata,
            restart_policy: request.restart_policy,
            deployment: request.deployment,
            attributes: request.attributes,
            state: None,
        };
        let (id, room) = (dispatch.id.clone(), dispatch.room.clone());
        self.add_dispatch(dispatch, now);
        self.schedule(now);
        self.list_dispatch(&room, &id)?
            .pop()
            .ok_or_else(|| not_found("dispatch ID not found"))
    }

    /// A dispatch of before this process began, with the id it had. One that is known is left alone.
    pub fn restore_dispatch(&mut self, dispatch: AgentDispatch, now: Now) {
        let has_place = self.rooms.get(&dispatch.room).is_some_and(|state| {
            state.dispatches.len() < MAX_DISPATCHES && !state.dispatches.contains_key(&dispatch.id)
        });
        if has_place {
            self.add_dispatch(dispatch, now);
            self.schedule(now);
        }
    }

    /// `DeleteDispatch`: its jobs are terminated.
    ///
    /// # Errors
    /// `not_found` without the room or the dispatch.
    pub fn delete_dispatch(
        &mut self,
        room: &str,
        dispatch_id: &str,
        now: Now,
    ) -> Result<AgentDispatch, TwirpError> {
        if self.list_dispatch(room, dispatch_id)?.is_empty() {
            return Err(not_found("dispatch ID not found"));
        }
        self.end_jobs(
            |job| job.dispatch() == dispatch_id,
            "the dispatch was deleted",
            now,
        );
        let mut dispatch = self.list_dispatch(room, dispatch_id)?.pop();
        if let Some(state) = self.rooms.get_mut(room) {
            state.dispatches.remove(dispatch_id);
        }
        if let Some(state) = dispatch.as_mut().and_then(|it| it.state.as_mut()) {
            state.deleted_at = now.nanos();
        }
        dispatch.ok_or_else(|| not_found("dispatch ID not found"))
    }

    /// `ListDispatch`: a room's dispatches with their jobs, waiting, running and the latest ended ones;
    /// `dispatch_id` empty for all.
    ///
    /// # Errors
    /// `not_found` without the room.
    pub fn list_dispatch(
        &self,
        room: &str,
        dispatch_id: &str,
    ) -> Result<Vec<AgentDispatch>, TwirpError> {
        let state = self
            .rooms
            .get(room)
            .ok_or_else(TwirpError::room_not_found)?;
        let listed = state
            .dispatches
            .values()
            .filter(|it| dispatch_id.is_empty() || it.proto.id == dispatch_id);
        Ok(listed
            .map(|it| {
                let mut dispatch = it.proto.clone();
                let live = self
                    .jobs
                    .values()
                    .filter(|job| job.dispatch() == dispatch.id);
                let jobs = it
                    .ended
                    .iter()
                    .cloned()
                    .chain(live.map(|job| job.job.clone()))
                    .collect();
                if let Some(state) = &mut dispatch.state {
                    state.jobs = jobs;
                }
                dispatch
            })
            .collect())
    }

    fn add_dispatch(&mut self, mut dispatch: AgentDispatch, now: Now) {
        let Some(state) = self.rooms.get_mut(&dispatch.room) else {
            return;
        };
        dispatch.state = Some(AgentDispatchState {
            created_at: now.nanos(),
            ..AgentDispatchState::default()
        });
        let room = dispatch.room.clone();
        let waiting = Output::Waiting {
            dispatch_id: dispatch.id.clone(),
            room: room.clone(),
            agent_name: dispatch.agent_name.clone(),
        };
        let (name, deployment) = (dispatch.agent_name.clone(), dispatch.deployment.clone());
        let entry = Dispatch {
            proto: dispatch,
            made: BTreeSet::new(),
            ended: VecDeque::new(),
        };
        state.dispatches.insert(entry.proto.id.clone(), entry);
        if !name.is_empty() && !self.has_worker(&name, &deployment) {
            self.outputs.push_back(waiting);
        }
        self.make_jobs(&room, now);
    }

    /// Makes the jobs that the room's dispatches want of the workers that are registered, and that were not made yet.
    pub(super) fn make_jobs(&mut self, room: &str, now: Now) {
        let Some(state) = self.rooms.get(room) else {
            return;
        };
        let mut wanted: Vec<Job> = Vec::new();
        for dispatch in state.dispatches.values() {
            let proto = &dispatch.proto;
            let types: BTreeSet<i32> = self
                .job_types(&proto.agent_name, &proto.deployment)
                .map(i32::from)
                .collect();
            for job_type in types {
                let mut want = |participant: Option<&ParticipantInfo>| {
                    let sid = participant.map(|info| info.sid.clone()).unwrap_or_default();
                    if !dispatch.made.contains(&(job_type, sid)) {
                        wanted.push(Job {
                            dispatch_id: proto.id.clone(),
                            r#type: job_type,
                            room: Some(state.room.clone()),
                            participant: participant.cloned(),
                            agent_name: proto.agent_name.clone(),
                            metadata: proto.metadata.clone(),
                            deployment: proto.deployment.clone(),
                            attributes: proto.attributes.clone(),
                            ..Job::default()
                        });
                    }
                };
                if job_type == i32::from(JobType::JtRoom) {
                    want(None);
                    continue;
                }
                for member in state.members.values() {
                    let own = matches!(member.info.kind(), Kind::Agent | Kind::Egress);
                    if !own && (member.published || job_type == i32::from(JobType::JtParticipant)) {
                        want(Some(&member.info));
                    }
                }
            }
        }
        for job in wanted {
            if self.jobs.len() >= self.config.max_jobs {
                return;
            }
            let sid = job
                .participant
                .as_ref()
                .map(|info| info.sid.clone())
                .unwrap_or_default();
            let dispatches = self.rooms.get_mut(room).map(|it| &mut it.dispatches);
            if let Some(dispatch) = dispatches.and_then(|it| it.get_mut(&job.dispatch_id)) {
                dispatch.made.insert((job.r#type, sid));
            }
            let id = self.id("AJ_");
            self.add_job(
                Job {
                    id: id.clone(),
                    ..job
                },
                now,
            );
            self.emit(
                &id,
                JobChange::Queued {
                    reason: "waiting for a worker".to_owned(),
                },
            );
        }
    }
}
