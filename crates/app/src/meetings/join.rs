//! Joining, leaving, starting, locking, ending.

use meetmind_core::{
    Actor, Code, Ctx, Error, EventKind, Meeting, MeetingAccess, MeetingAction, MeetingId,
    MeetingRole, MeetingStatus, Participant, ParticipantState, Result, Scope, meeting_may,
    scope_check,
};
use meetmind_store::Conn;
use serde::Serialize;

use super::access::meeting_access;
use crate::auth::same;
use crate::{App, Change, valid};

/// What somebody brings to the door.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MeetingJoin {
    /// The name of a guest, 1 to 100 characters; for a user who is new here, another name than
    /// the account's.
    pub name: Option<String>,
    /// The code of the invitation.
    pub invite_code: Option<String>,
    /// For guests: the idempotency key of the request. The same join under the same key is the
    /// same guest, who gets a fresh token.
    pub once: Option<String>,
}

/// What somebody gets at the door.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Joined {
    /// The caller, as a participant; `state` tells whether they are in or wait.
    pub participant: Participant,
    /// The meeting's title.
    pub title: String,
    /// The meeting; null while the caller waits to be admitted.
    pub meeting: Option<Meeting>,
    /// For guests: the Bearer token for everything else in this meeting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest_token: Option<String>,
    /// The way to sound and picture; null while waiting and where no LiveKit server is configured.
    pub livekit: Option<LiveKitJoin>,
}

/// The way into a LiveKit room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct LiveKitJoin {
    /// The server, `ws://` or `wss://`.
    pub url: String,
    /// A token of 10 minutes; the room is the meeting's id, the identity the participant's.
    pub token: String,
}

/// What the door says to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Open,
    Wait,
}

/// Decides at the door. `own` is who the caller is in the meeting so far; `by_link` is whether
/// the code fits or the meeting is open to the caller.
fn door(meeting: &Meeting, own: Option<&Participant>, by_link: bool) -> Result<Door> {
    let state = own.map(|own| own.state);
    // Who was removed learns no more than a stranger, whatever code they have.
    if state == Some(ParticipantState::Removed) || (own.is_none() && !by_link) {
        return Err(Error::not_found("meeting"));
    }
    if meeting.status == MeetingStatus::Ended {
        return Err(ended());
    }
    let waits = match state {
        None | Some(ParticipantState::Waiting) => meeting.lobby,
        Some(_) => false,
    };
    let may_pass_lock = own.is_some_and(|own| {
        own.joined_at.is_some() || matches!(own.role, MeetingRole::Host | MeetingRole::Cohost)
    });
    if meeting.locked && !may_pass_lock {
        if state == Some(ParticipantState::Waiting) {
            return Ok(Door::Wait);
        }
        return Err(Error::new(Code::MeetingLocked, "the meeting is locked"));
    }
    Ok(if waits { Door::Wait } else { Door::Open })
}

pub(super) fn ended() -> Error {
    Error::new(Code::MeetingEnded, "the meeting has ended")
}

/// The caller's participant, wherever it stands.
async fn own_participant(conn: &mut Conn, ctx: &Ctx, id: MeetingId) -> Result<Option<Participant>> {
    match &ctx.actor {
        Actor::User { user_id, .. } => Ok(conn.participant_find_user(id, *user_id).await?),
        Actor::Agent { agent_id, .. } => Ok(conn.participant_find_agent(id, *agent_id).await?),
        Actor::Guest { participant_id, .. } => {
            Ok(Some(conn.participant_get(id, *participant_id).await?))
        }
        Actor::Anonymous | Actor::System => Ok(None),
    }
}

impl App {
    /// Joins a meeting, or comes to its door. Joining again is no change: it gives a new token,
    /// and after an admission the first one.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` for nobody without an invitation code; `NOT_FOUND` for who is not on the
    /// list and has no fitting code, and for who was removed; `MEETING_LOCKED`; `MEETING_ENDED`;
    /// `VALIDATION_FAILED` for a guest's name or key; `TOO_MANY_ATTEMPTS` after wrong codes,
    /// `RATE_LIMITED` for guests from one address, `QUOTA_EXCEEDED` for guests in one meeting;
    /// `IDEMPOTENCY_MISMATCH`.
    pub async fn meeting_join(
        &self,
        ctx: &Ctx,
        id: MeetingId,
        join: MeetingJoin,
    ) -> Result<Joined> {
        if join.invite_code.is_some() {
            self.codes_check(ctx).await?;
        }
        let mut change = self.change(ctx).await?;
        let joined = self.join_within(&mut change, ctx, id, &join).await;
        let (meeting, participant) = match joined {
            Err(error) if error.code == Code::NotFound && join.invite_code.is_some() => {
                drop(change);
                self.code_failed(ctx).await?;
                return Err(error);
            }
            joined => joined?,
        };
        let guest_token = match ctx.actor {
            Actor::Anonymous | Actor::Guest { .. } => Some(self.guest_token(ctx, &participant)?),
            _ => None,
        };
        change.commit().await?;
        let is_in = participant.state == ParticipantState::Joined;
        let livekit = if is_in {
            self.livekit_join(ctx, &meeting, &participant)?
        } else {
            None
        };
        Ok(Joined {
            participant,
            title: meeting.title.clone(),
            meeting: is_in.then_some(meeting),
            guest_token,
            livekit,
        })
    }

    async fn join_within(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        id: MeetingId,
        join: &MeetingJoin,
    ) -> Result<(Meeting, Participant)> {
        match &ctx.actor {
            Actor::System => return Err(Error::forbidden("this needs somebody who joins")),
            Actor::Anonymous if join.invite_code.is_none() => {
                meeting_may(&ctx.actor, None, id, MeetingAction::Consent)?;
            }
            Actor::Guest { meeting_id, .. } | Actor::Agent { meeting_id, .. }
                if *meeting_id != id =>
            {
                return Err(Error::not_found("meeting"));
            }
            actor => scope_check(actor, Scope::MeetingsWrite)?,
        }
        let name = join
            .name
            .as_deref()
            .map(|name| valid::line("name", name, 100))
            .transpose()?;
        // Two calls of the same person must find one another.
        change.meeting_lock(id).await?;
        let meeting = change.meeting_get(id).await?;
        if meeting.archived_at.is_some() {
            return Err(Error::not_found("meeting"));
        }
        let own = match ctx.actor {
            Actor::Anonymous => self.guest_again(change, ctx, id, join).await?,
            _ => own_participant(change, ctx, id).await?,
        };
        let by_link = match meeting.access {
            MeetingAccess::Open => matches!(ctx.actor, Actor::User { .. }),
            MeetingAccess::Link => match &join.invite_code {
                Some(code) => {
                    let (expected, _) = change.meeting_secret_get(id).await?;
                    same(expected.as_bytes(), code.as_bytes())
                }
                None => false,
            },
            MeetingAccess::Invite => false,
        };
        let door = door(&meeting, own.as_ref(), by_link)?;
        let participant = match own {
            Some(own) => own,
            None => {
                let guest = ctx.actor == Actor::Anonymous;
                if guest {
                    self.guest_check(change, ctx, id).await?;
                }
                let new = self.participant_new(change, ctx, id, name).await?;
                if guest {
                    self.guest_remember(change, ctx, &new, join).await?;
                }
                new
            }
        };
        let participant = self.pass(change, ctx, participant, door).await?;
        let meeting = if door == Door::Open && participant.role != MeetingRole::Agent {
            self.meeting_start_within(change, ctx, meeting).await?
        } else {
            meeting
        };
        Ok((meeting, participant))
    }

    /// Puts somebody who came by link on the list.
    async fn participant_new(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        meeting_id: MeetingId,
        name: Option<String>,
    ) -> Result<Participant> {
        let user_id = ctx.actor.user_id();
        let name = match (name, user_id) {
            (Some(name), _) => name,
            (None, Some(user_id)) => change.user_get(user_id).await?.name,
            (None, None) => return Err(Error::invalid("name", "a guest needs a name")),
        };
        let participant = Participant {
            id: self.id(ctx),
            meeting_id,
            user_id,
            agent_id: None,
            name,
            role: MeetingRole::Participant,
            state: ParticipantState::Invited,
            muted: false,
            joined_at: None,
            left_at: None,
            created_at: ctx.now,
            updated_at: ctx.now,
        };
        change.participant_insert(&participant).await?;
        Ok(participant)
    }

    /// Moves a participant through the door, or before it; no event when they are there already.
    pub(super) async fn participant_enter(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        participant: Participant,
    ) -> Result<Participant> {
        self.pass(change, ctx, participant, Door::Open).await
    }

    async fn pass(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        participant: Participant,
        door: Door,
    ) -> Result<Participant> {
        let (state, kind) = match door {
            Door::Open => (ParticipantState::Joined, EventKind::ParticipantJoined),
            Door::Wait => (ParticipantState::Waiting, EventKind::ParticipantWaiting),
        };
        if participant.state == state {
            return Ok(participant);
        }
        let participant = Participant {
            state,
            joined_at: match door {
                Door::Open => Some(ctx.now),
                Door::Wait => participant.joined_at,
            },
            updated_at: ctx.now,
            ..participant
        };
        change.participant_update(&participant).await?;
        change
            .meeting_event(participant.meeting_id, kind, &participant)
            .await?;
        Ok(participant)
    }

    /// The caller leaves. Who waited at the door is taken off the list; who is not in stays as
    /// they are.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, `NOT_FOUND` for who has no part in the meeting.
    pub async fn meeting_leave(&self, ctx: &Ctx, id: MeetingId) -> Result<Participant> {
        let mut change = self.change(ctx).await?;
        change.meeting_lock(id).await?;
        let own = own_participant(&mut change, ctx, id).await?;
        let waiting = own
            .as_ref()
            .is_some_and(|own| own.state == ParticipantState::Waiting);
        if waiting {
            scope_check(&ctx.actor, Scope::MeetingsWrite)?;
        } else {
            meeting_access(&mut change, ctx, id, MeetingAction::Consent).await?;
        }
        let Some(own) = own else {
            return Err(Error::forbidden("this needs somebody who leaves"));
        };
        if !matches!(
            own.state,
            ParticipantState::Joined | ParticipantState::Waiting
        ) {
            return Ok(own);
        }
        let participant = Participant {
            state: ParticipantState::Left,
            left_at: Some(ctx.now),
            updated_at: ctx.now,
            ..own
        };
        if waiting {
            change.participant_delete(participant.id).await?;
        } else {
            change.participant_update(&participant).await?;
            // The room is left too, and the token opens it no more.
            change.room_presence_delete(participant.id).await?;
        }
        change
            .meeting_event(id, EventKind::ParticipantLeft, &participant)
            .await?;
        change.commit().await?;
        Ok(participant)
    }

    /// Ends a meeting. Ending it again is no change.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN` for all but hosts and cohosts.
    pub async fn meeting_end(&self, ctx: &Ctx, id: MeetingId) -> Result<Meeting> {
        let mut change = self.change(ctx).await?;
        change.meeting_lock(id).await?;
        let access = meeting_access(&mut change, ctx, id, MeetingAction::Manage).await?;
        let meeting = self
            .meeting_end_within(&mut change, ctx, access.meeting)
            .await?;
        change.commit().await?;
        Ok(meeting)
    }

    /// Locks a meeting, so that nobody new comes in, or unlocks it.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN` for all but hosts and cohosts, `MEETING_ENDED`.
    pub async fn meeting_lock(&self, ctx: &Ctx, id: MeetingId, locked: bool) -> Result<Meeting> {
        let mut change = self.change(ctx).await?;
        change.meeting_lock(id).await?;
        let access = meeting_access(&mut change, ctx, id, MeetingAction::Manage).await?;
        if access.meeting.status == MeetingStatus::Ended {
            return Err(ended());
        }
        if access.meeting.locked == locked {
            return Ok(access.meeting);
        }
        let meeting = Meeting {
            locked,
            ..access.meeting
        };
        change.meeting_update(&meeting, ctx.now).await?;
        let meeting = Meeting {
            version: meeting.version + 1,
            updated_at: ctx.now,
            ..meeting
        };
        change
            .meeting_event(id, EventKind::MeetingUpdated, &meeting)
            .await?;
        change.commit().await?;
        Ok(meeting)
    }

    /// A planned meeting becomes live within a change, because somebody joined or spoke; agents
    /// of its owner that join by themselves are called. Any other meeting stays as it is.
    pub(crate) async fn meeting_start_within(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        meeting: Meeting,
    ) -> Result<Meeting> {
        if meeting.status != MeetingStatus::Scheduled {
            return Ok(meeting);
        }
        // Two who speak at once start it once.
        change.meeting_lock(meeting.id).await?;
        let meeting = change.meeting_get(meeting.id).await?;
        if meeting.status != MeetingStatus::Scheduled {
            return Ok(meeting);
        }
        let meeting = Meeting {
            status: MeetingStatus::Live,
            started_at: Some(ctx.now),
            version: meeting.version + 1,
            updated_at: ctx.now,
            ..meeting
        };
        change.meeting_status_set(&meeting, ctx.now).await?;
        change
            .meeting_event(meeting.id, EventKind::MeetingStarted, &meeting)
            .await?;
        self.agents_auto_join(change, ctx, &meeting).await?;
        Ok(meeting)
    }

    /// Ends a meeting within a change: everybody leaves, and the final notes are queued. One that
    /// has ended stays as it is.
    pub(crate) async fn meeting_end_within(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        meeting: Meeting,
    ) -> Result<Meeting> {
        if meeting.status == MeetingStatus::Ended {
            return Ok(meeting);
        }
        let meeting = Meeting {
            status: MeetingStatus::Ended,
            ended_at: Some(ctx.now),
            version: meeting.version + 1,
            updated_at: ctx.now,
            ..meeting
        };
        change.meeting_status_set(&meeting, ctx.now).await?;
        change.participant_leave_all(meeting.id, ctx.now).await?;
        change
            .meeting_event(meeting.id, EventKind::MeetingEnded, &meeting)
            .await?;
        self.meeting_end_queue(change, ctx, &meeting).await?;
        Ok(meeting)
    }
}
