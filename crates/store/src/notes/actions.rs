//! Actions.

use meetmind_core::{Action, ActionId, ActionStatus, Id, MeetingId, SeriesId, Timestamp, UserId};
use sqlx::types::Json;

use super::*;
use crate::db::{execute, fetch_all, fetch_optional};
use crate::meetings::like_anywhere;

/// What a list of actions across meetings is narrowed by.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ActionFilter {
    /// Only in this state.
    pub status: Option<ActionStatus>,
    /// Only of this account.
    pub owner_user_id: Option<UserId>,
    /// With these characters in the owner's name, whatever their case.
    pub owner: Option<String>,
    /// Only of this meeting.
    pub meeting_id: Option<MeetingId>,
    /// Only of this series.
    pub series_id: Option<SeriesId>,
    /// Due before this moment.
    pub due_before: Option<Timestamp>,
}

impl Conn {
    /// Up to `limit` actions of a meeting after `after`, in the order they were found.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn action_list(
        &mut self,
        meeting_id: MeetingId,
        status: Option<ActionStatus>,
        after: Option<ActionId>,
        limit: i64,
    ) -> Result<Vec<Action>> {
        fetch_all!(self, ACTION_LIST, meeting_id, after, status, limit)
    }

    /// One action of a meeting.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database cannot be reached.
    pub async fn action_get(&mut self, meeting_id: MeetingId, id: ActionId) -> Result<Action> {
        fetch_optional!(self, ACTION_GET, meeting_id, id)?.ok_or(Error::NotFound("action"))
    }

    /// Adds an action and its citations.
    ///
    /// # Errors
    /// [`Error::Dangling`] when a segment or the owner is gone, or when the database refuses.
    pub async fn action_insert(&mut self, a: &Action) -> Result<()> {
        execute!(
            self,
            ACTION_INSERT,
            a.id,
            a.meeting_id,
            &a.text,
            &a.owner,
            a.owner_user_id,
            &a.due,
            a.due_at,
            a.status,
            a.marker,
            Json(&a.segment_ids),
            a.edited,
            a.stale,
            a.version,
            a.created_at,
            a.updated_at
        )?;
        self.citation_change(Citing::Action, a.id, &[], &a.segment_ids)
            .await
    }

    /// Writes an action in place of `old`, counts its version up and moves its citations; gives
    /// whether the row still had the version of `old`.
    ///
    /// # Errors
    /// [`Error::Dangling`] when a segment or the owner is gone, or when the database refuses.
    pub async fn action_update(&mut self, old: &Action, a: &Action) -> Result<bool> {
        let changed = execute!(
            self,
            ACTION_UPDATE,
            a.id,
            &a.text,
            &a.owner,
            a.owner_user_id,
            &a.due,
            a.due_at,
            a.status,
            a.marker,
            Json(&a.segment_ids),
            a.edited,
            a.stale,
            a.updated_at,
            old.version
        )?;
        if changed == 0 {
            return Ok(false);
        }
        self.citation_change(Citing::Action, a.id, &old.segment_ids, &a.segment_ids)
            .await?;
        Ok(true)
    }

    /// Deletes an action and its citations.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn action_delete(&mut self, id: ActionId) -> Result<()> {
        self.citation_delete(Citing::Action, id.uuid()).await?;
        execute!(self, ACTION_DELETE, id)?;
        Ok(())
    }

    /// Actions of the meetings a user takes part in, newest first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn action_search(
        &mut self,
        user_id: UserId,
        filter: &ActionFilter,
        before: Option<ActionId>,
        limit: i64,
    ) -> Result<Vec<Action>> {
        let owner = filter.owner.as_deref().map(like_anywhere);
        fetch_all!(
            self,
            ACTION_SEARCH,
            user_id,
            before,
            filter.status,
            filter.owner_user_id,
            owner.as_deref(),
            filter.meeting_id,
            filter.series_id,
            filter.due_before,
            limit
        )
    }
}
