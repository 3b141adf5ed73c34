//! Who is in a meeting: inviting, admitting, roles, muting, removing.

use meetmind_core::{
    Code, Ctx, Error, EventKind, EventTopic, MeetingAction, MeetingId, MeetingRole, Page,
    PageQuery, Participant, ParticipantId, ParticipantState, Result, UserId, role_allows,
    role_over,
};
use meetmind_store::Conn;
use serde::Serialize;
use serde_json::json;

use super::access::{Access, meeting_access};
use super::crud::{cursor_id, cursor_of};
use crate::{App, AuthorityChange, Change, valid};

/// Who is put on the list.
#[derive(Debug, Clone, PartialEq)]
pub enum Who {
    /// An account by its id.
    User(UserId),
    /// An account by its address.
    Email(String),
}

/// Somebody to put on the list.
#[derive(Debug, Clone, PartialEq)]
pub struct ParticipantNew {
    /// Whom.
    pub who: Who,
    /// As cohost, participant or viewer.
    pub role: MeetingRole,
}

/// What changes in a participant: absent stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ParticipantPatch {
    /// Another role; `host` hands the meeting over.
    pub role: Option<MeetingRole>,
    /// Whether a host muted them.
    pub muted: Option<bool>,
    /// Lets somebody in who waits at the door, or turns them away.
    pub admit: Option<bool>,
    /// Another name, 1 to 100 characters.
    pub name: Option<String>,
}

/// What an invited user learns.
#[derive(Serialize)]
struct Invitation<'a> {
    meeting_id: MeetingId,
    title: &'a str,
    participant: &'a Participant,
}

/// A participant that the caller may see: hosts and cohosts see all, others not who waits at the
/// door or was removed.
pub(super) async fn visible_participant(
    conn: &mut Conn,
    access: &Access,
    id: ParticipantId,
) -> Result<Participant> {
    let participant = conn.participant_get(access.meeting.id, id).await?;
    let hidden = matches!(
        participant.state,
        ParticipantState::Waiting | ParticipantState::Removed
    );
    if hidden && !role_allows(access.role, MeetingAction::Manage) {
        return Err(Error::not_found("participant"));
    }
    Ok(participant)
}

impl App {
    /// Who is in a meeting, in the order they came on the list. Who waits at the door and who was
    /// removed is listed for hosts and cohosts only.
    ///
    /// # Errors
    /// `NOT_FOUND` for who has no part in it, `INVALID_CURSOR`.
    pub async fn participant_list(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        page: &PageQuery,
    ) -> Result<Page<Participant>> {
        let after = cursor_id(page)?;
        let mut conn = self.store().read().await?;
        let access = meeting_access(&mut conn, ctx, meeting_id, MeetingAction::Read).await?;
        let limit = page.limit + 1;
        let rows = if role_allows(access.role, MeetingAction::Manage) {
            conn.participant_list(meeting_id, after, limit).await?
        } else {
            conn.participant_list_present(meeting_id, after, limit)
                .await?
        };
        Ok(Page::from_rows(rows, page.limit, |row| cursor_of(row.id)))
    }

    /// One participant.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn participant_get(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        id: ParticipantId,
    ) -> Result<Participant> {
        let mut conn = self.store().read().await?;
        let access = meeting_access(&mut conn, ctx, meeting_id, MeetingAction::Read).await?;
        visible_participant(&mut conn, &access, id).await
    }

    /// Puts an account on the list; somebody who was removed may come again. The account learns
    /// of it on its own topic.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN` for all but hosts and cohosts; `CONFLICT` for who is on the list;
    /// `VALIDATION_FAILED` for a role that cannot be given and, with the same words for ids and
    /// addresses, where there is no such account.
    pub async fn participant_add(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        new: ParticipantNew,
    ) -> Result<Participant> {
        if matches!(new.role, MeetingRole::Host | MeetingRole::Agent) {
            return Err(Error::invalid(
                "role",
                "must be cohost, participant or viewer",
            ));
        }
        let mut change = self.change(ctx).await?;
        change.meeting_lock(meeting_id).await?;
        let access = meeting_access(&mut change, ctx, meeting_id, MeetingAction::Manage).await?;
        let (field, found) = match &new.who {
            Who::User(user_id) => ("user_id", change.invitee_find(*user_id).await?),
            Who::Email(email) => {
                let email = valid::line("email", email, 254)?.to_lowercase();
                ("email", change.invitee_find_email(&email).await?)
            }
        };
        let Some((user_id, name)) = found else {
            return Err(Error::invalid(
                field,
                "nobody here has such an account: send them the invitation link instead",
            ));
        };
        let participant = match change.participant_find_user(meeting_id, user_id).await? {
            Some(there) if there.state != ParticipantState::Removed => {
                return Err(Error::new(Code::Conflict, "they are on the list already")
                    .with_details(json!({ "participant_id": there.id })));
            }
            Some(removed) => {
                let participant = Participant {
                    role: new.role,
                    state: ParticipantState::Invited,
                    // As if never in: a lock holds for them too.
                    joined_at: None,
                    updated_at: ctx.now,
                    ..removed
                };
                change.participant_update(&participant).await?;
                participant
            }
            None => {
                let participant = Participant {
                    id: self.id(ctx),
                    meeting_id,
                    user_id: Some(user_id),
                    agent_id: None,
                    name,
                    role: new.role,
                    state: ParticipantState::Invited,
                    muted: false,
                    joined_at: None,
                    left_at: None,
                    created_at: ctx.now,
                    updated_at: ctx.now,
                };
                change.participant_insert(&participant).await?;
                participant
            }
        };
        change
            .meeting_event(meeting_id, EventKind::ParticipantInvited, &participant)
            .await?;
        let invitation = Invitation {
            meeting_id,
            title: &access.meeting.title,
            participant: &participant,
        };
        change
            .event(
                EventTopic::User(user_id),
                EventKind::ParticipantInvited,
                &invitation,
            )
            .await?;
        change.commit().await?;
        Ok(participant)
    }

    /// Changes a participant: hosts and cohosts change name, role, mute and admission of roles
    /// below their own, everybody their own name; only the host gives the host's role away, and
    /// becomes cohost.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN`, `VALIDATION_FAILED`; `CONFLICT` where the participant's state
    /// does not allow it, and for a host who would leave the meeting without one.
    pub async fn participant_update(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        id: ParticipantId,
        patch: ParticipantPatch,
    ) -> Result<Participant> {
        let mut change = self.change(ctx).await?;
        change.meeting_lock(meeting_id).await?;
        let access = meeting_access(&mut change, ctx, meeting_id, MeetingAction::Consent).await?;
        let old = visible_participant(&mut change, &access, id).await?;
        let own = access.participant_id == Some(id);
        let only_name = patch.role.is_none() && patch.muted.is_none() && patch.admit.is_none();
        if !(own && only_name) {
            meeting_access(&mut change, ctx, meeting_id, MeetingAction::Manage).await?;
        }
        if !own {
            role_over(&ctx.actor, access.role, old.role)?;
        }
        let name = match &patch.name {
            Some(name) => valid::line("name", name, 100)?,
            None => old.name.clone(),
        };
        let admitted = match patch.admit {
            Some(admit) => self.admit(&mut change, ctx, old.clone(), admit).await?,
            None => old.clone(),
        };
        if let Some(role) = patch.role {
            self.role_check(&mut change, ctx, &access, &admitted, role)
                .await?;
        }
        let participant = Participant {
            name,
            role: patch.role.unwrap_or(admitted.role),
            muted: patch.muted.unwrap_or(admitted.muted),
            updated_at: ctx.now,
            ..admitted.clone()
        };
        let changed = (&participant.name, participant.role, participant.muted)
            != (&admitted.name, admitted.role, admitted.muted);
        if !changed {
            change.commit().await?;
            return Ok(admitted);
        }
        change.participant_update(&participant).await?;
        change
            .meeting_event(meeting_id, EventKind::ParticipantUpdated, &participant)
            .await?;
        change.commit().await?;
        Ok(participant)
    }

    /// Lets somebody in who waits, or turns them away. Who is in already is not admitted twice.
    async fn admit(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        participant: Participant,
        admit: bool,
    ) -> Result<Participant> {
        match (participant.state, admit) {
            (ParticipantState::Waiting, true) => {
                let meeting = change.meeting_get(participant.meeting_id).await?;
                let participant = self.participant_enter(change, ctx, participant).await?;
                self.meeting_start_within(change, ctx, meeting).await?;
                Ok(participant)
            }
            (ParticipantState::Waiting, false) => self.remove(change, ctx, participant).await,
            (ParticipantState::Joined, true) => Ok(participant),
            _ => Err(Error::new(Code::Conflict, "they do not wait at the door")),
        }
    }

    /// Whether the caller may give this role, and makes place for a new host.
    async fn role_check(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        access: &Access,
        target: &Participant,
        role: MeetingRole,
    ) -> Result<()> {
        if role == target.role {
            return Ok(());
        }
        if role == MeetingRole::Agent {
            return Err(Error::invalid(
                "role",
                "must be host, cohost, participant or viewer",
            ));
        }
        if target.role == MeetingRole::Host || role == MeetingRole::Host {
            let id = access.meeting.id;
            meeting_access(change, ctx, id, MeetingAction::ManageHost).await?;
        }
        if target.role == MeetingRole::Host {
            return Err(Error::new(
                Code::Conflict,
                "hand the meeting over to somebody else first",
            ));
        }
        if target.role == MeetingRole::Agent {
            return Err(Error::new(Code::Conflict, "an agent has no other role"));
        }
        if matches!(
            target.state,
            ParticipantState::Waiting | ParticipantState::Removed
        ) {
            return Err(Error::new(
                Code::Conflict,
                "they are not in the meeting: admit or invite them first",
            ));
        }
        if role != MeetingRole::Host {
            return Ok(());
        }
        if target.user_id.is_none() {
            return Err(Error::new(Code::Conflict, "a guest cannot be the host"));
        }
        if let Some(host) = change.participant_find_host(access.meeting.id).await? {
            let cohost = Participant {
                role: MeetingRole::Cohost,
                updated_at: ctx.now,
                ..host
            };
            change.participant_update(&cohost).await?;
            change
                .meeting_event(access.meeting.id, EventKind::ParticipantUpdated, &cohost)
                .await?;
        }
        let details = json!({ "participant_id": target.id });
        change
            .audit("meeting.host_changed", access.meeting.id, details)
            .await
    }

    /// Removes somebody: they may not come back by link. An account is known again; of a guest
    /// nothing is but the link, so the meeting gets another invitation code. Who is turned away
    /// at the door keeps the old one from nobody: the door itself holds them. Removing somebody
    /// again is no change.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN` for all but hosts and cohosts, for roles that are not below the
    /// caller's, and for the host's own removal.
    pub async fn participant_remove(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        id: ParticipantId,
    ) -> Result<Participant> {
        let mut change = self.change(ctx).await?;
        change.meeting_lock(meeting_id).await?;
        let access = meeting_access(&mut change, ctx, meeting_id, MeetingAction::Manage).await?;
        let participant = change.participant_get(meeting_id, id).await?;
        if participant.role == MeetingRole::Host {
            return Err(Error::forbidden("the host cannot be removed"));
        }
        if access.participant_id != Some(id) {
            role_over(&ctx.actor, access.role, participant.role)?;
        }
        if participant.state == ParticipantState::Removed {
            return Ok(participant);
        }
        let is_at_door = participant.state == ParticipantState::Waiting;
        if participant.agent_id.is_none() && !is_at_door {
            let because = json!({ "removed": id });
            self.invite_renew_within(&mut change, meeting_id, because)
                .await?;
        }
        let participant = self.remove(&mut change, ctx, participant).await?;
        change.commit().await?;
        self.room_put_out(meeting_id, id).await;
        Ok(participant)
    }

    async fn remove(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        participant: Participant,
    ) -> Result<Participant> {
        let was_in = participant.state == ParticipantState::Joined;
        let participant = Participant {
            state: ParticipantState::Removed,
            left_at: if was_in {
                Some(ctx.now)
            } else {
                participant.left_at
            },
            updated_at: ctx.now,
            ..participant
        };
        change.participant_update(&participant).await?;
        let kind = EventKind::ParticipantRemoved;
        change
            .meeting_event(participant.meeting_id, kind, &participant)
            .await?;
        // They no longer hear the meeting's own topic.
        if let Some(user_id) = participant.user_id {
            let data =
                json!({ "meeting_id": participant.meeting_id, "participant_id": participant.id });
            change.event(EventTopic::User(user_id), kind, &data).await?;
        }
        change.authority_changes(match participant.user_id {
            Some(user_id) => AuthorityChange::User(user_id),
            None => AuthorityChange::Guest(participant.id),
        });
        Ok(participant)
    }
}
