//! Decisions.

use meetmind_core::{Decision, DecisionId, DecisionStatus, Id, MeetingId, SeriesId, UserId};
use sqlx::types::Json;

use super::*;
use crate::db::{execute, fetch_all, fetch_optional};

/// What a list of decisions across meetings is narrowed by.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DecisionFilter {
    /// Only in this state.
    pub status: Option<DecisionStatus>,
    /// Only of this meeting.
    pub meeting_id: Option<MeetingId>,
    /// Only of this series.
    pub series_id: Option<SeriesId>,
}

impl Conn {
    /// Up to `limit` decisions of a meeting after `after`, in the order they were found.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn decision_list(
        &mut self,
        meeting_id: MeetingId,
        status: Option<DecisionStatus>,
        after: Option<DecisionId>,
        limit: i64,
    ) -> Result<Vec<Decision>> {
        fetch_all!(self, DECISION_LIST, meeting_id, after, status, limit)
    }

    /// One decision, of whatever meeting.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database cannot be reached.
    pub async fn decision_get(&mut self, id: DecisionId) -> Result<Decision> {
        fetch_optional!(self, DECISION_GET, id)?.ok_or(Error::NotFound("decision"))
    }

    /// Adds a decision and its citations.
    ///
    /// # Errors
    /// [`Error::Dangling`] when a segment is gone, or when the database refuses.
    pub async fn decision_insert(&mut self, d: &Decision) -> Result<()> {
        execute!(
            self,
            DECISION_INSERT,
            d.id,
            d.meeting_id,
            &d.text,
            d.status,
            d.marker,
            d.superseded_by,
            Json(&d.segment_ids),
            d.edited,
            d.stale,
            d.version,
            d.created_at,
            d.updated_at
        )?;
        self.citation_change(Citing::Decision, d.id, &[], &d.segment_ids)
            .await
    }

    /// Writes a decision in place of `old`, counts its version up and moves its citations; gives
    /// whether the row still had the version of `old`.
    ///
    /// # Errors
    /// [`Error::Dangling`] when a segment is gone, or when the database refuses.
    pub async fn decision_update(&mut self, old: &Decision, d: &Decision) -> Result<bool> {
        let changed = execute!(
            self,
            DECISION_UPDATE,
            d.id,
            &d.text,
            d.status,
            d.marker,
            d.superseded_by,
            Json(&d.segment_ids),
            d.edited,
            d.stale,
            d.updated_at,
            old.version
        )?;
        if changed == 0 {
            return Ok(false);
        }
        self.citation_change(Citing::Decision, d.id, &old.segment_ids, &d.segment_ids)
            .await?;
        Ok(true)
    }

    /// Deletes a decision and its citations.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn decision_delete(&mut self, id: DecisionId) -> Result<()> {
        self.citation_delete(Citing::Decision, id.uuid()).await?;
        execute!(self, DECISION_DELETE, id)?;
        Ok(())
    }

    /// The decisions whose place a decision took.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn decision_superseded_by(&mut self, id: DecisionId) -> Result<Vec<Decision>> {
        fetch_all!(self, DECISION_SUPERSEDED_BY, id)
    }

    /// Open decisions found before `d`, newest first: of its meeting and, with a series, of the
    /// meetings of that series which `user_id` takes part in.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn decision_earlier(
        &mut self,
        d: &Decision,
        series_id: Option<SeriesId>,
        user_id: Option<UserId>,
    ) -> Result<Vec<Decision>> {
        fetch_all!(
            self,
            DECISION_EARLIER,
            d.meeting_id,
            series_id,
            user_id,
            d.id
        )
    }

    /// Decisions of the meetings a user takes part in, newest first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn decision_search(
        &mut self,
        user_id: UserId,
        filter: &DecisionFilter,
        before: Option<DecisionId>,
        limit: i64,
    ) -> Result<Vec<Decision>> {
        fetch_all!(
            self,
            DECISION_SEARCH,
            user_id,
            before,
            filter.status,
            filter.meeting_id,
            filter.series_id,
            limit
        )
    }
}
