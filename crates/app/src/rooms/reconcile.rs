//! One room compared with its meeting, both ways.
//!
//! The database decides who may be in the room and with which grants; the room decides who is there. Both
//! are read and compared, so it does not matter which change, doubled, late or lost, gave the occasion.

use std::collections::HashMap;
use std::time::Duration;

use livekit_protocol::participant_info::State;
use livekit_protocol::{
    DeleteRoomRequest, ListParticipantsRequest, ListRoomsRequest, MuteRoomTrackRequest,
    ParticipantInfo, RoomParticipantIdentity, TrackSource, TrackType, UpdateParticipantRequest,
    UpdateRoomMetadataRequest,
};
use meetmind_core::{
    Error, EventKind, Meeting, MeetingId, MeetingRole, MeetingStatus, Participant, ParticipantId,
    ParticipantState, Result, Timestamp,
};
use meetmind_media::service::{RoomAnswer, RoomCall};
use meetmind_media::token::Permissions;
use meetmind_store::RoomMember;

use super::backend::RoomCallError;
use super::follow::Hints;
use super::grants::{may_be_in, metadata, part, participant_of};
use crate::App;

/// Rows read at a time.
const ROWS: i64 = 500;

/// What follows from a look at a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Look again after this time, because somebody is missed.
    pub(super) again_after: Option<Duration>,
}

/// How somebody's presence changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    Came,
    /// Gone; with the time of the join that is over.
    Went(Option<Timestamp>),
}

impl App {
    /// Brings a room in line with its meeting, and the participants' states in line with the room.
    ///
    /// # Errors
    /// When the room or the database cannot be asked: look again later.
    pub(super) async fn room_reconcile(&self, id: MeetingId, hints: &Hints) -> Result<Outcome> {
        // The room first: who is found in it and in the database's later answer may not be there has
        // no business there.
        let present = self.room_present(id).await?;
        let Some((meeting, members)) = self.room_members(id).await? else {
            self.room_delete(id).await?;
            return Ok(Outcome { again_after: None });
        };
        if hints.meeting {
            self.room_metadata_follow(&meeting).await?;
        }
        let members: HashMap<ParticipantId, RoomMember> = members
            .into_iter()
            .map(|member| (member.participant.id, member))
            .collect();
        for info in &present {
            let Some((participant, is_second)) = participant_of(&info.identity) else {
                continue;
            };
            match members.get(&participant) {
                Some(member) if may_be_in(&meeting, member) => {
                    self.room_member_follow(&meeting, &member.participant, info, is_second)
                        .await?;
                }
                _ => self.room_put_out(id, &info.identity).await?,
            }
        }
        self.presence_follow(&meeting, &members, &present, hints)
            .await
    }

    async fn room_present(&self, id: MeetingId) -> Result<Vec<ParticipantInfo>> {
        let call = RoomCall::ListParticipants(ListParticipantsRequest {
            room: id.to_string(),
        });
        match self.room_call(call).await {
            Ok(RoomAnswer::ListParticipants(answer)) => Ok(answer.participants),
            Ok(_) => Ok(Vec::new()),
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            Err(error) => Err(Error::internal(error)),
        }
    }

    /// The meeting and who may be in its room; none when it is over or gone.
    async fn room_members(&self, id: MeetingId) -> Result<Option<(Meeting, Vec<RoomMember>)>> {
        let mut conn = self.store().read().await?;
        let meeting = match conn.meeting_get(id).await {
            Ok(meeting) => meeting,
            Err(meetmind_store::Error::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if meeting.status == MeetingStatus::Ended || meeting.archived_at.is_some() {
            return Ok(None);
        }
        let mut members = Vec::new();
        loop {
            let after = members.last().map(|it: &RoomMember| it.participant.id);
            let mut rows = conn.room_member_list(id, after, ROWS).await?;
            let is_last = (rows.len() as i64) < ROWS;
            members.append(&mut rows);
            if is_last {
                return Ok(Some((meeting, members)));
            }
        }
    }

    /// A meeting has ended or is gone: so is its room, for everybody.
    async fn room_delete(&self, id: MeetingId) -> Result<()> {
        let room = id.to_string();
        done(
            self.room_call(RoomCall::Delete(DeleteRoomRequest { room }))
                .await,
        )
    }

    /// Ends the connection of who has no business in the room.
    async fn room_put_out(&self, id: MeetingId, identity: &str) -> Result<()> {
        let call = RoomCall::RemoveParticipant(RoomParticipantIdentity {
            room: id.to_string(),
            identity: identity.to_owned(),
            ..RoomParticipantIdentity::default()
        });
        done(self.room_call(call).await)
    }

    async fn room_metadata_follow(&self, meeting: &Meeting) -> Result<()> {
        let room = meeting.id.to_string();
        let list = RoomCall::List(ListRoomsRequest {
            names: vec![room.clone()],
        });
        let found = match self.room_call(list).await {
            Ok(RoomAnswer::List(answer)) => answer.rooms.into_iter().next(),
            Ok(_) => None,
            Err(error) => return Err(Error::internal(error)),
        };
        let Some(found) = found else { return Ok(()) };
        let metadata = self.room_metadata(meeting);
        let is_ours =
            found.metadata.is_empty() || self.wrote_room_metadata(meeting.id, &found.metadata);
        if !is_ours || found.metadata == metadata {
            return Ok(());
        }
        let call = RoomCall::UpdateMetadata(UpdateRoomMetadataRequest { room, metadata });
        done(self.room_call(call).await)
    }

    /// Gives somebody in the room the grants, name and mute of now.
    async fn room_member_follow(
        &self,
        meeting: &Meeting,
        participant: &Participant,
        info: &ParticipantInfo,
        is_second: bool,
    ) -> Result<()> {
        let room = meeting.id.to_string();
        let is_agent = participant.role == MeetingRole::Agent;
        let wanted = permissions(participant.role, is_second);
        let grants_differ = info
            .permission
            .as_ref()
            .is_none_or(|given| !same_grants(&Permissions::from_proto(given), &wanted));
        let metadata = metadata(participant);
        // What an agent says of itself is its own.
        let metadata_differs = !is_agent && info.metadata != metadata;
        if grants_differ || metadata_differs || info.name != participant.name {
            let call = RoomCall::UpdateParticipant(UpdateParticipantRequest {
                room: room.clone(),
                identity: info.identity.clone(),
                metadata: if is_agent { String::new() } else { metadata },
                permission: grants_differ.then(|| wanted.to_proto()),
                name: participant.name.clone(),
                ..UpdateParticipantRequest::default()
            });
            done(self.room_call(call).await)?;
        }
        if !participant.muted {
            return Ok(());
        }
        let microphones = info.tracks.iter().filter(|track| {
            track.r#type == TrackType::Audio as i32
                && track.source != TrackSource::ScreenShareAudio as i32
                && !track.muted
        });
        for track in microphones {
            let call = RoomCall::MuteTrack(MuteRoomTrackRequest {
                room: room.clone(),
                identity: info.identity.clone(),
                track_sid: track.sid.clone(),
                muted: true,
            });
            done(self.room_call(call).await)?;
        }
        Ok(())
    }

    /// Finds out who came into the room and who left it.
    async fn presence_follow(
        &self,
        meeting: &Meeting,
        members: &HashMap<ParticipantId, RoomMember>,
        present: &[ParticipantInfo],
        hints: &Hints,
    ) -> Result<Outcome> {
        let follower = &self.inner.rooms.follower;
        let window = self.settings().reconnect_window;
        // Who signals and has no media yet is neither here nor gone.
        let states: HashMap<ParticipantId, bool> = present
            .iter()
            .filter(|info| info.state != State::Disconnected as i32)
            .filter_map(|info| match participant_of(&info.identity) {
                Some((id, false)) => Some((id, info.state == State::Active as i32)),
                _ => None,
            })
            .collect();
        let mut moves = Vec::new();
        let mut again_after: Option<Duration> = None;
        for (id, member) in members {
            match states.get(id) {
                Some(is_active) => {
                    follower.not_missed(*id);
                    if *is_active && member.is_present != Some(true) && may_be_in(meeting, member) {
                        moves.push((*id, Move::Came));
                    }
                }
                None if hints.gone.contains(id) && member.is_present != Some(false) => {
                    moves.push((*id, Move::Went(member.participant.joined_at)));
                }
                None if member.is_present == Some(true) => {
                    let missed = follower.missed_for(*id);
                    let is_over = member.participant.state != ParticipantState::Joined
                        || member.is_disabled
                        || missed >= window;
                    if is_over {
                        moves.push((*id, Move::Went(member.participant.joined_at)));
                    } else {
                        let rest = window - missed;
                        again_after = Some(again_after.map_or(rest, |it| it.min(rest)));
                    }
                }
                None => {}
            }
        }
        if !moves.is_empty() {
            self.presence_move(meeting.id, &moves).await?;
        }
        for (id, step) in moves {
            if step != Move::Came {
                follower.not_missed(id);
            }
        }
        Ok(Outcome { again_after })
    }

    /// Writes down who came and went, with one event each where the participant's state changes.
    async fn presence_move(&self, id: MeetingId, moves: &[(ParticipantId, Move)]) -> Result<()> {
        let ctx = self.system_ctx();
        let mut change = self.change(&ctx).await?;
        change.meeting_lock(id).await?;
        let meeting = match change.meeting_get(id).await {
            Ok(meeting) => meeting,
            Err(meetmind_store::Error::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for (participant, step) in moves {
            // All may have changed since the room was asked.
            let Some(member) = change.room_member_find(id, *participant).await? else {
                continue;
            };
            let before = member.participant.clone();
            let (after, kind) = match step {
                Move::Came => {
                    if !may_be_in(&meeting, &member) {
                        continue;
                    }
                    change.room_presence_set(&before, true, ctx.now).await?;
                    if before.state == ParticipantState::Joined {
                        continue;
                    }
                    let after = Participant {
                        state: ParticipantState::Joined,
                        joined_at: Some(ctx.now),
                        updated_at: ctx.now,
                        ..before
                    };
                    (after, EventKind::ParticipantJoined)
                }
                Move::Went(joined_at) => {
                    if before.joined_at != *joined_at {
                        // They joined again meanwhile.
                        continue;
                    }
                    if before.state != ParticipantState::Joined {
                        if member.is_present == Some(true) {
                            change.room_presence_delete(before.id).await?;
                        }
                        continue;
                    }
                    if member.is_disabled {
                        change.room_presence_delete(before.id).await?;
                    } else {
                        change.room_presence_set(&before, false, ctx.now).await?;
                    }
                    let after = Participant {
                        state: ParticipantState::Left,
                        left_at: Some(ctx.now),
                        updated_at: ctx.now,
                        ..before
                    };
                    (after, EventKind::ParticipantLeft)
                }
            };
            change.participant_update(&after).await?;
            change.meeting_event(id, kind, &after).await?;
        }
        change.commit().await
    }
}

/// What a participant of this role may do; a second connection of the same person hears nothing.
pub(super) fn permissions(role: MeetingRole, is_second: bool) -> Permissions {
    let permissions = part(role).permissions();
    Permissions {
        can_subscribe: permissions.can_subscribe && !is_second,
        ..permissions
    }
}

/// Whether two grants come to the same, as far as roles differ in them: servers may add to the rest.
fn same_grants(a: &Permissions, b: &Permissions) -> bool {
    let sources = |of: &Permissions| {
        let mut sources: Vec<i32> = of.sources.iter().map(|source| *source as i32).collect();
        sources.sort_unstable();
        sources
    };
    a.can_publish == b.can_publish
        && (!a.can_publish || sources(a) == sources(b))
        && a.can_subscribe == b.can_subscribe
        && a.can_publish_data == b.can_publish_data
        && a.can_update_metadata == b.can_update_metadata
        && a.hidden == b.hidden
}

/// What is gone already need not be changed.
fn done(answer: std::result::Result<RoomAnswer, RoomCallError>) -> Result<()> {
    match answer {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(Error::internal(error)),
    }
}
