//! Actions: reading, entering, confirming, ticking off.

use std::collections::HashSet;

use meetmind_core::{
    Action, ActionId, ActionStatus, Code, Ctx, Error, EventKind, Marker, MeetingAction, MeetingId,
    Page, PageQuery, Participant, Result, Scope, SegmentId, Timestamp, UserId, user_may,
};
use meetmind_store::{ActionFilter, Conn};

use super::item_text;
use crate::meetings::{cursor_id, cursor_of, meeting_access, words_access};
use crate::{App, valid};

/// Segments that a person may cite for one item.
const SEGMENTS_MAX: usize = 100;

/// An action that somebody enters.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ActionNew {
    /// What is to be done; at most 4,000 bytes.
    pub text: String,
    /// Who is to do it; a participant's name finds the account.
    pub owner: Option<String>,
    /// The account of the owner, when it is known; it must take part in the meeting.
    pub owner_user_id: Option<UserId>,
    /// Until when, in words.
    pub due: Option<String>,
    /// Until when.
    pub due_at: Option<Timestamp>,
    /// Whether it counts as confirmed at once; only who may edit notes may say so.
    pub confirmed: bool,
    /// Where it was said, at most 100 final segments of the meeting.
    pub segment_ids: Vec<SegmentId>,
}

/// What changes in an action: absent stays, `Some(None)` clears.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ActionPatch {
    /// New words.
    pub text: Option<String>,
    /// Another owner; a participant's name finds the account.
    pub owner: Option<Option<String>>,
    /// Another account.
    pub owner_user_id: Option<Option<UserId>>,
    /// Another deadline, in words.
    pub due: Option<Option<String>>,
    /// Another deadline.
    pub due_at: Option<Option<Timestamp>>,
    /// Where it stands now.
    pub status: Option<ActionStatus>,
}

/// Whose actions are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnerFilter {
    /// The caller's.
    Me,
    /// Those of people with these characters in their name.
    Named(String),
}

/// Whether an action may go from one state to another.
fn may_become(from: ActionStatus, to: ActionStatus) -> bool {
    use ActionStatus as S;
    from == to
        || match from {
            S::Proposed => true,
            S::Confirmed => true,
            S::Done => to == S::Confirmed,
            S::Dismissed | S::Superseded => to == S::Proposed,
        }
}

impl App {
    /// The actions of a meeting, in the order they were found.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_CURSOR`.
    pub async fn action_list(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        status: Option<ActionStatus>,
        page: &PageQuery,
    ) -> Result<Page<Action>> {
        let mut conn = self.store().read().await?;
        meeting_access(&mut conn, ctx, meeting_id, MeetingAction::ReadTranscript).await?;
        let rows = conn
            .action_list(meeting_id, status, cursor_id(page)?, page.limit + 1)
            .await?;
        Ok(Page::from_rows(rows, page.limit, |row| cursor_of(row.id)))
    }

    /// Actions of the caller's meetings, newest first.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, `FORBIDDEN`, `INVALID_CURSOR`.
    pub async fn action_search(
        &self,
        ctx: &Ctx,
        filter: ActionFilter,
        owner: Option<OwnerFilter>,
        page: &PageQuery,
    ) -> Result<Page<Action>> {
        let user_id = user_may(&ctx.actor, Scope::TranscriptsRead)?;
        let filter = match owner {
            None => filter,
            Some(OwnerFilter::Me) => ActionFilter {
                owner_user_id: Some(user_id),
                ..filter
            },
            Some(OwnerFilter::Named(name)) => ActionFilter {
                owner: Some(valid::line("owner", &name, 200)?),
                ..filter
            },
        };
        let rows = self
            .store()
            .read()
            .await?
            .action_search(user_id, &filter, cursor_id(page)?, page.limit + 1)
            .await?;
        Ok(Page::from_rows(rows, page.limit, |row| cursor_of(row.id)))
    }

    /// One action.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn action_get(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        id: ActionId,
    ) -> Result<Action> {
        let mut conn = self.store().read().await?;
        meeting_access(&mut conn, ctx, meeting_id, MeetingAction::ReadTranscript).await?;
        Ok(conn.action_get(meeting_id, id).await?)
    }

    /// Enters an action; it is explicit, and a proposal unless an editor confirms it at once.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN`, `VALIDATION_FAILED`.
    pub async fn action_create(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        new: ActionNew,
    ) -> Result<Action> {
        let mut change = self.change(ctx).await?;
        let needed = if new.confirmed {
            MeetingAction::EditNotes
        } else {
            MeetingAction::Propose
        };
        meeting_access(&mut change, ctx, meeting_id, needed).await?;
        let segment_ids = checked_segments(&mut change, meeting_id, &new.segment_ids).await?;
        let action = Action {
            id: self.id(ctx),
            meeting_id,
            text: new.text,
            owner: new.owner,
            owner_user_id: new.owner_user_id,
            due: new.due,
            due_at: new.due_at,
            status: if new.confirmed {
                ActionStatus::Confirmed
            } else {
                ActionStatus::Proposed
            },
            marker: Marker::Explicit,
            segment_ids,
            edited: true,
            stale: false,
            version: 1,
            created_at: ctx.now,
            updated_at: ctx.now,
        };
        let action = checked(&mut change, action, true).await?;
        change.action_insert(&action).await?;
        change
            .meeting_event(meeting_id, EventKind::ActionProposed, &action)
            .await?;
        change.commit().await?;
        Ok(action)
    }

    /// Changes an action. `expected` is the version the caller last saw, when it guards.
    ///
    /// # Errors
    /// `CONFLICT` for a change of state that makes no sense, `PRECONDITION_FAILED`, `NOT_FOUND`,
    /// `FORBIDDEN`, `VALIDATION_FAILED`.
    pub async fn action_update(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        id: ActionId,
        patch: ActionPatch,
        expected: Option<i64>,
    ) -> Result<Action> {
        let mut change = self.change(ctx).await?;
        words_access(&mut change, ctx, meeting_id, MeetingAction::EditNotes).await?;
        let old = change.action_get(meeting_id, id).await?;
        if expected.is_some_and(|version| version != old.version) {
            return Err(changed_since("action"));
        }
        let status = patch.status.unwrap_or(old.status);
        if !may_become(old.status, status) {
            return Err(Error::new(
                Code::Conflict,
                format!("an action cannot go from {} to {status}", old.status),
            ));
        }
        let renamed = patch.owner.is_some() && patch.owner_user_id.is_none();
        let action = Action {
            text: patch.text.unwrap_or_else(|| old.text.clone()),
            owner: patch.owner.unwrap_or_else(|| old.owner.clone()),
            owner_user_id: if renamed {
                None
            } else {
                patch.owner_user_id.unwrap_or(old.owner_user_id)
            },
            due: patch.due.unwrap_or_else(|| old.due.clone()),
            due_at: patch.due_at.unwrap_or(old.due_at),
            status,
            edited: true,
            // Somebody looked at it again.
            stale: false,
            updated_at: ctx.now,
            ..old.clone()
        };
        let touched = renamed || action.owner_user_id != old.owner_user_id;
        let action = checked(&mut change, action, touched).await?;
        if !change.action_update(&old, &action).await? {
            return Err(changed_since("action"));
        }
        let action = Action {
            version: old.version + 1,
            ..action
        };
        change
            .meeting_event(meeting_id, EventKind::ActionUpdated, &action)
            .await?;
        change.commit().await?;
        Ok(action)
    }
}

/// Holds the fields of an action to their rules and, when the owner changed (`resolve`), finds
/// the account behind the name or the name of the account.
async fn checked(conn: &mut Conn, action: Action, resolve: bool) -> Result<Action> {
    let mut action = Action {
        text: item_text(&action.text)?,
        owner: action
            .owner
            .map(|owner| valid::line("owner", &owner, 200))
            .transpose()?,
        due: action
            .due
            .map(|due| valid::line("due", &due, 200))
            .transpose()?,
        ..action
    };
    if !resolve {
        return Ok(action);
    }
    let people = conn
        .participant_list(action.meeting_id, None, 1_000)
        .await?;
    match (action.owner_user_id, action.owner.as_deref()) {
        (Some(user_id), _) => {
            let person = people.iter().find(|p| p.user_id == Some(user_id));
            let person = person.ok_or_else(|| {
                Error::invalid(
                    "owner_user_id",
                    "must be an account that takes part in the meeting",
                )
            })?;
            action.owner.get_or_insert_with(|| person.name.clone());
        }
        (None, Some(name)) => action.owner_user_id = account_named(&people, name),
        (None, None) => {}
    }
    Ok(action)
}

/// The account of the one participant with this name.
pub(super) fn account_named(people: &[Participant], name: &str) -> Option<UserId> {
    let name = name.to_lowercase();
    let mut same = people.iter().filter(|p| p.name.to_lowercase() == name);
    match (same.next(), same.next()) {
        (Some(person), None) => person.user_id,
        _ => None,
    }
}

/// Segments that an item may cite: final ones of the meeting, each once.
pub(super) async fn checked_segments(
    conn: &mut Conn,
    meeting_id: MeetingId,
    ids: &[SegmentId],
) -> Result<Vec<SegmentId>> {
    if ids.len() > SEGMENTS_MAX {
        return Err(Error::invalid(
            "segment_ids",
            format!("must have at most {SEGMENTS_MAX} entries"),
        ));
    }
    let (mut seen, mut kept) = (HashSet::new(), Vec::new());
    for id in ids {
        let segment = match conn.segment_get(meeting_id, *id).await {
            Ok(segment) => Some(segment),
            Err(meetmind_store::Error::NotFound(_)) => None,
            Err(error) => return Err(error.into()),
        };
        if segment.is_none_or(|segment| !segment.is_final) {
            return Err(Error::invalid(
                "segment_ids",
                format!("{id} is no final segment of this meeting"),
            ));
        }
        if seen.insert(*id) {
            kept.push(*id);
        }
    }
    Ok(kept)
}

pub(super) fn changed_since(what: &str) -> Error {
    Error::new(
        Code::PreconditionFailed,
        format!("the {what} changed since you read it"),
    )
}
