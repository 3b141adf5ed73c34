//! Topics, highlights and the summary.

use meetmind_core::{
    Highlight, HighlightId, HighlightStatus, Id, MeetingId, SeriesId, Summary, Timestamp, Topic,
    TopicId, UserId,
};
use sqlx::types::Json;

use super::*;
use crate::db::{execute, fetch_all, fetch_optional};
use crate::meetings::like_anywhere;

impl Conn {
    /// Up to `limit` topics of a meeting after an ordinal, in order.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn topic_list(
        &mut self,
        meeting_id: MeetingId,
        after: Option<i64>,
        limit: i64,
    ) -> Result<Vec<Topic>> {
        fetch_all!(self, TOPIC_LIST, meeting_id, after, limit)
    }

    /// One topic of a meeting.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database cannot be reached.
    pub async fn topic_get(&mut self, meeting_id: MeetingId, id: TopicId) -> Result<Topic> {
        fetch_optional!(self, TOPIC_GET, meeting_id, id)?.ok_or(Error::NotFound("topic"))
    }

    /// Adds a topic and its citations.
    ///
    /// # Errors
    /// [`Error::Dangling`] when a segment is gone, or when the database refuses.
    pub async fn topic_insert(&mut self, t: &Topic) -> Result<()> {
        execute!(
            self,
            TOPIC_INSERT,
            t.id,
            t.meeting_id,
            t.ordinal,
            &t.label,
            t.start_ms,
            t.end_ms,
            Json(&t.key_phrases),
            Json(&t.segment_ids),
            t.edited,
            t.stale,
            t.created_at,
            t.updated_at
        )?;
        self.citation_change(Citing::Topic, t.id, &[], &t.segment_ids)
            .await
    }

    /// Writes a topic in place of `old` and moves its citations.
    ///
    /// # Errors
    /// [`Error::Dangling`] when a segment is gone, or when the database refuses.
    pub async fn topic_update(&mut self, old: &Topic, t: &Topic) -> Result<()> {
        execute!(
            self,
            TOPIC_UPDATE,
            t.id,
            t.ordinal,
            &t.label,
            t.start_ms,
            t.end_ms,
            Json(&t.key_phrases),
            Json(&t.segment_ids),
            t.edited,
            t.stale,
            t.updated_at
        )?;
        self.citation_change(Citing::Topic, t.id, &old.segment_ids, &t.segment_ids)
            .await
    }

    /// Deletes a topic and its citations.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn topic_delete(&mut self, id: TopicId) -> Result<()> {
        self.citation_delete(Citing::Topic, id.uuid()).await?;
        execute!(self, TOPIC_DELETE, id)?;
        Ok(())
    }

    /// Topics of the meetings a user takes part in, newest first; `text` stands in the label.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn topic_search(
        &mut self,
        user_id: UserId,
        meeting_id: Option<MeetingId>,
        series_id: Option<SeriesId>,
        text: Option<&str>,
        before: Option<TopicId>,
        limit: i64,
    ) -> Result<Vec<Topic>> {
        let text = text.map(like_anywhere);
        fetch_all!(
            self,
            TOPIC_SEARCH,
            user_id,
            before,
            meeting_id,
            series_id,
            text.as_deref(),
            limit
        )
    }

    /// Up to `limit` highlights of a meeting after a place, in the order they were said: only
    /// those in the state `only`, and none in the state `but`, where these are given.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn highlight_list(
        &mut self,
        meeting_id: MeetingId,
        only: Option<HighlightStatus>,
        but: Option<HighlightStatus>,
        after: Option<(i64, HighlightId)>,
        limit: i64,
    ) -> Result<Vec<Highlight>> {
        fetch_all!(
            self,
            HIGHLIGHT_LIST,
            meeting_id,
            after.map(|(start_ms, _)| start_ms),
            after.map(|(_, id)| id),
            only,
            but,
            limit
        )
    }

    /// One highlight of a meeting.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database cannot be reached.
    pub async fn highlight_get(
        &mut self,
        meeting_id: MeetingId,
        id: HighlightId,
    ) -> Result<Highlight> {
        fetch_optional!(self, HIGHLIGHT_GET, meeting_id, id)?.ok_or(Error::NotFound("highlight"))
    }

    /// Adds a highlight and its citations.
    ///
    /// # Errors
    /// [`Error::Dangling`] when a segment is gone, or when the database refuses.
    pub async fn highlight_insert(&mut self, h: &Highlight) -> Result<()> {
        execute!(
            self,
            HIGHLIGHT_INSERT,
            h.id,
            h.meeting_id,
            &h.text,
            &h.speaker,
            h.start_ms,
            Json(&h.segment_ids),
            h.score,
            h.status,
            h.stale,
            h.created_at
        )?;
        self.citation_change(Citing::Highlight, h.id, &[], &h.segment_ids)
            .await
    }

    /// Writes a highlight in place of `old` and moves its citations.
    ///
    /// # Errors
    /// [`Error::Dangling`] when a segment is gone, or when the database refuses.
    pub async fn highlight_update(&mut self, old: &Highlight, h: &Highlight) -> Result<()> {
        execute!(
            self,
            HIGHLIGHT_UPDATE,
            h.id,
            &h.text,
            &h.speaker,
            h.start_ms,
            Json(&h.segment_ids),
            h.score,
            h.status,
            h.stale
        )?;
        self.citation_change(Citing::Highlight, h.id, &old.segment_ids, &h.segment_ids)
            .await
    }

    /// Deletes a highlight and its citations.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn highlight_delete(&mut self, id: HighlightId) -> Result<()> {
        self.citation_delete(Citing::Highlight, id.uuid()).await?;
        execute!(self, HIGHLIGHT_DELETE, id)?;
        Ok(())
    }

    /// The summary of a meeting, once there is one.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn summary_find(&mut self, meeting_id: MeetingId) -> Result<Option<Summary>> {
        fetch_optional!(self, SUMMARY_FIND, meeting_id)
    }

    /// Adds the summary of a meeting and its citations.
    ///
    /// # Errors
    /// [`Error::Duplicate`] when there is one, [`Error::Dangling`] when a segment is gone.
    pub async fn summary_insert(&mut self, s: &Summary) -> Result<()> {
        execute!(
            self,
            SUMMARY_INSERT,
            s.id,
            s.meeting_id,
            &s.headline,
            Json(&s.lines),
            &s.engine,
            s.is_final,
            s.segment_count,
            s.edited,
            s.stale,
            s.version,
            s.created_at,
            s.updated_at
        )?;
        self.citation_change(Citing::Summary, s.id, &[], &cited(s))
            .await
    }

    /// Writes a summary in place of `old` and moves its citations.
    ///
    /// # Errors
    /// [`Error::Dangling`] when a segment is gone, or when the database refuses.
    pub async fn summary_update(
        &mut self,
        old: &Summary,
        s: &Summary,
        now: Timestamp,
    ) -> Result<()> {
        execute!(
            self,
            SUMMARY_UPDATE,
            s.id,
            &s.headline,
            Json(&s.lines),
            &s.engine,
            s.is_final,
            s.segment_count,
            s.edited,
            s.stale,
            s.version,
            now
        )?;
        self.citation_change(Citing::Summary, s.id, &cited(old), &cited(s))
            .await
    }
}

fn cited(summary: &Summary) -> Vec<SegmentId> {
    summary
        .lines
        .iter()
        .flat_map(|line| line.segment_ids.iter().copied())
        .collect()
}
