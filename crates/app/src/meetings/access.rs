//! The one way into a meeting: load it with the caller's part in it, then ask the policy.

use meetmind_core::{
    Actor, Ctx, Error, Meeting, MeetingAction, MeetingId, MeetingRole, ParticipantId,
    ParticipantState, Result, meeting_may,
};
use meetmind_store::{Conn, MeetingViewer};

use crate::App;

/// A meeting that the caller may act on, and the caller's part in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Access {
    /// The meeting.
    pub meeting: Meeting,
    /// The caller's role; the system acts as host.
    pub role: MeetingRole,
    /// The caller's participant; absent for the system.
    pub participant_id: Option<ParticipantId>,
    /// Where the caller stands.
    pub state: Option<ParticipantState>,
    /// The caller's name in the meeting.
    pub name: String,
}

impl App {
    /// Loads a meeting for an action of the caller, on its own connection.
    ///
    /// # Errors
    /// `NOT_FOUND` for who may not see it, `FORBIDDEN` or `SCOPE_MISSING` for who may not do this.
    pub async fn meeting_access(
        &self,
        ctx: &Ctx,
        id: MeetingId,
        action: MeetingAction,
    ) -> Result<Access> {
        meeting_access(&mut self.store().read().await?, ctx, id, action).await
    }
}

/// Loads a meeting for an action of the caller, on the connection or in the transaction at hand.
/// Deleted meetings are there only for their restoration ([`archived_access`]).
pub(crate) async fn meeting_access(
    conn: &mut Conn,
    ctx: &Ctx,
    id: MeetingId,
    action: MeetingAction,
) -> Result<Access> {
    let access = load(conn, ctx, id, action).await?;
    if access.meeting.archived_at.is_some() {
        Err(Error::not_found("meeting"))
    } else {
        Ok(access)
    }
}

/// Like [`meeting_access`], for what is answered with words of the meeting: a key needs the scope
/// for reading them as well.
pub(crate) async fn words_access(
    conn: &mut Conn,
    ctx: &Ctx,
    id: MeetingId,
    action: MeetingAction,
) -> Result<Access> {
    let access = meeting_access(conn, ctx, id, action).await?;
    let read = MeetingAction::ReadTranscript;
    meeting_may(&ctx.actor, Some(access.role), id, read)?;
    Ok(access)
}

/// Like [`meeting_access`], but only for a deleted meeting.
pub(crate) async fn archived_access(
    conn: &mut Conn,
    ctx: &Ctx,
    id: MeetingId,
    action: MeetingAction,
) -> Result<Access> {
    let access = load(conn, ctx, id, action).await?;
    if access.meeting.archived_at.is_none() {
        Err(Error::not_found("deleted meeting"))
    } else {
        Ok(access)
    }
}

/// Like [`meeting_access`], whether the meeting is deleted or not.
pub(crate) async fn any_access(
    conn: &mut Conn,
    ctx: &Ctx,
    id: MeetingId,
    action: MeetingAction,
) -> Result<Access> {
    load(conn, ctx, id, action).await
}

async fn load(conn: &mut Conn, ctx: &Ctx, id: MeetingId, action: MeetingAction) -> Result<Access> {
    let viewer = match &ctx.actor {
        Actor::User { user_id, .. } => Some(MeetingViewer::User(*user_id)),
        Actor::Guest { participant_id, .. } => Some(MeetingViewer::Participant(*participant_id)),
        Actor::Agent { agent_id, .. } => Some(MeetingViewer::Agent(*agent_id)),
        Actor::System => None,
        // Nobody learns whether the meeting exists before saying who they are.
        Actor::Anonymous => {
            meeting_may(&ctx.actor, None, id, action)?;
            None
        }
    };
    let Some(viewer) = viewer else {
        let meeting = conn.meeting_get(id).await?;
        return Ok(Access {
            meeting,
            role: MeetingRole::Host,
            participant_id: None,
            state: None,
            name: "MeetMind".to_owned(),
        });
    };
    let row = conn.meeting_access_find(id, viewer).await?;
    let role = row.as_ref().and_then(|row| {
        row.role
            .filter(|_| row.state != Some(ParticipantState::Removed))
    });
    // Who waits at the door sees nothing of what is behind it.
    let role = role.filter(|role| {
        let waiting = row
            .as_ref()
            .is_some_and(|row| row.state == Some(ParticipantState::Waiting));
        !waiting || matches!(role, MeetingRole::Host | MeetingRole::Cohost)
    });
    let allowed = meeting_may(&ctx.actor, role, id, action);
    if row.is_some() && role.is_none() {
        // To the caller it looks like what is not there; the log tells them apart.
        tracing::info!(request_id = %ctx.request_id, actor = ctx.actor.key(), address = ctx.address, meeting_id = %id, action = action.as_str(), "a meeting was kept hidden");
    }
    allowed?;
    let (Some(row), Some(role)) = (row, role) else {
        return Err(Error::not_found("meeting"));
    };
    if let Some(once) = &ctx.once {
        once.note((id, action));
    }
    Ok(Access {
        meeting: row.meeting,
        role,
        participant_id: row.participant_id,
        state: row.state,
        name: row.participant_name.unwrap_or_default(),
    })
}
