//! What is derived from transcripts, and which segments it cites.
//!
//! The `citations` table repeats the segment ids of every row, so that a correction finds what
//! it makes stale. Whoever writes a row here writes the difference of its citations with
//! [`Conn::citation_change`]; a deleted row takes its citations along.

mod actions;
mod decisions;
mod derived;

use std::collections::HashSet;

use meetmind_core::{Id, MeetingId, Segment, SegmentId, Timestamp};
use uuid::Uuid;

use crate::db::{execute, fetch_all, fetch_one, on_engine};
use crate::statements::statements;
use crate::{Conn, Error, Result};

pub use actions::ActionFilter;
pub use decisions::DecisionFilter;

macro_rules! topic_columns {
    () => {
        "t.id, t.meeting_id, t.ordinal, t.label, t.start_ms, t.end_ms, t.key_phrases, t.segment_ids, t.edited, t.stale, t.created_at, t.updated_at"
    };
}
macro_rules! highlight_columns {
    () => {
        "id, meeting_id, text, speaker, start_ms, segment_ids, score, status, stale, created_at"
    };
}
macro_rules! summary_columns {
    () => {
        "id, meeting_id, headline, lines, engine, is_final, segment_count, edited, stale, version, created_at, updated_at"
    };
}
macro_rules! action_columns {
    () => {
        "a.id, a.meeting_id, a.text, a.owner, a.owner_user_id, a.due, a.due_at, a.status, a.marker, a.segment_ids, a.edited, a.stale, a.version, a.created_at, a.updated_at"
    };
}
macro_rules! decision_columns {
    () => {
        "d.id, d.meeting_id, d.text, d.status, d.marker, d.superseded_by, d.segment_ids, d.edited, d.stale, d.version, d.created_at, d.updated_at"
    };
}
/// Joins a derived row (`$table`) to its meeting and to the part that user `$1` has in it.
macro_rules! visible {
    ($table:literal) => {
        concat!(
            " JOIN meetings m ON m.id = ", $table, ".meeting_id JOIN participants p ON p.meeting_id = m.id
            WHERE p.user_id = $1 AND p.state NOT IN ('removed', 'waiting') AND m.archived_at IS NULL AND (", $table, ".id < $2 OR $2 IS NULL)"
        )
    };
}

/// How many citations one statement of [`CITATION_INSERT_MANY`] writes.
const CITATIONS_AT_ONCE: usize = 16;

statements! {
    TOPIC_STALE = "UPDATE topics SET stale = TRUE, updated_at = $2 WHERE NOT stale AND id IN (SELECT source_id FROM citations WHERE segment_id = $1 AND kind = 'topic')";
    HIGHLIGHT_STALE = "UPDATE highlights SET stale = TRUE WHERE NOT stale AND id IN (SELECT source_id FROM citations WHERE segment_id = $1 AND kind = 'highlight')";
    SUMMARY_STALE = "UPDATE summaries SET stale = TRUE, updated_at = $2 WHERE NOT stale AND id IN (SELECT source_id FROM citations WHERE segment_id = $1 AND kind = 'summary')";
    ACTION_STALE = "UPDATE actions SET stale = TRUE, version = version + 1, updated_at = $2 WHERE NOT stale AND id IN (SELECT source_id FROM citations WHERE segment_id = $1 AND kind = 'action')";
    DECISION_STALE = "UPDATE decisions SET stale = TRUE, version = version + 1, updated_at = $2 WHERE NOT stale AND id IN (SELECT source_id FROM citations WHERE segment_id = $1 AND kind = 'decision')";

    // A row lock on Postgres, and nothing at all: what is written is what is there. SQLite has
    // one writer anyway.
    NOTES_LOCK = "UPDATE meetings SET locked = locked WHERE id = $1";
    CORRECTIONS = "SELECT CAST(COALESCE(SUM(version), 0) AS BIGINT) FROM segments WHERE meeting_id = $1 AND is_final AND corrected_at IS NOT NULL";
    FINAL_COUNT = "SELECT COUNT(*) FROM segments WHERE meeting_id = $1 AND is_final";
    CITED_COUNT = "SELECT COUNT(DISTINCT c.segment_id) FROM citations c JOIN segments s ON s.id = c.segment_id
        WHERE s.meeting_id = $1 AND c.kind IN ('highlight', 'summary', 'action', 'decision')";
    SEGMENT_LATEST = "SELECT id, meeting_id, participant_id, speaker, text, start_ms, end_ms, confidence, language, is_final, external_id, attribution, version,
        corrected_at, created_at, updated_at FROM segments WHERE meeting_id = $1 AND is_final ORDER BY start_ms DESC, id DESC LIMIT 1";
    SEGMENT_EXCERPT = "SELECT id, meeting_id, participant_id, speaker, text, start_ms, end_ms, confidence, language, is_final, external_id, attribution, version,
        corrected_at, created_at, updated_at FROM segments WHERE meeting_id = $1 AND is_final
        AND (start_ms >= $2 OR $2 IS NULL) AND (start_ms < $3 OR $3 IS NULL) AND (speaker = $4 OR $4 IS NULL)
        AND (start_ms > $5 OR (start_ms = $5 AND id > $6) OR $5 IS NULL) ORDER BY start_ms, id LIMIT $7";

    CITATION_INSERT = "INSERT INTO citations (segment_id, kind, source_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    // A topic cites every segment of its stretch; one by one, an hour would take a second on Postgres.
    CITATION_INSERT_MANY = "INSERT INTO citations (kind, source_id, segment_id) VALUES ($1, $2, $3), ($1, $2, $4), ($1, $2, $5), ($1, $2, $6), ($1, $2, $7),
        ($1, $2, $8), ($1, $2, $9), ($1, $2, $10), ($1, $2, $11), ($1, $2, $12), ($1, $2, $13), ($1, $2, $14), ($1, $2, $15), ($1, $2, $16), ($1, $2, $17), ($1, $2, $18)
        ON CONFLICT DO NOTHING";
    CITATION_DELETE = "DELETE FROM citations WHERE segment_id = $1 AND kind = $2 AND source_id = $3";
    CITATION_DELETE_ALL = "DELETE FROM citations WHERE kind = $1 AND source_id = $2";
    CITATION_LIST = "SELECT segment_id FROM citations WHERE kind = $1 AND source_id = $2 ORDER BY segment_id";

    TOPIC_LIST = concat!("SELECT ", topic_columns!(), " FROM topics t WHERE t.meeting_id = $1 AND (t.ordinal > $2 OR $2 IS NULL) ORDER BY t.ordinal LIMIT $3");
    TOPIC_GET = concat!("SELECT ", topic_columns!(), " FROM topics t WHERE t.meeting_id = $1 AND t.id = $2");
    TOPIC_INSERT = "INSERT INTO topics (id, meeting_id, ordinal, label, start_ms, end_ms, key_phrases, segment_ids, edited, stale, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    TOPIC_UPDATE = "UPDATE topics SET ordinal = $2, label = $3, start_ms = $4, end_ms = $5, key_phrases = $6, segment_ids = $7, edited = $8, stale = $9, updated_at = $10 WHERE id = $1";
    TOPIC_DELETE = "DELETE FROM topics WHERE id = $1";
    TOPIC_SEARCH = concat!("SELECT ", topic_columns!(), " FROM topics t", visible!("t"), "
        AND (t.meeting_id = $3 OR $3 IS NULL) AND (m.series_id = $4 OR $4 IS NULL) AND (lower(t.label) LIKE $5 ESCAPE '!' OR $5 IS NULL) ORDER BY t.id DESC LIMIT $6");

    HIGHLIGHT_LIST = concat!("SELECT ", highlight_columns!(), " FROM highlights WHERE meeting_id = $1
        AND (start_ms > $2 OR (start_ms = $2 AND id > $3) OR $2 IS NULL) AND (status = $4 OR $4 IS NULL) AND (status <> $5 OR $5 IS NULL) ORDER BY start_ms, id LIMIT $6");
    HIGHLIGHT_GET = concat!("SELECT ", highlight_columns!(), " FROM highlights WHERE meeting_id = $1 AND id = $2");
    HIGHLIGHT_INSERT = "INSERT INTO highlights (id, meeting_id, text, speaker, start_ms, segment_ids, score, status, stale, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    HIGHLIGHT_UPDATE = "UPDATE highlights SET text = $2, speaker = $3, start_ms = $4, segment_ids = $5, score = $6, status = $7, stale = $8 WHERE id = $1";
    HIGHLIGHT_DELETE = "DELETE FROM highlights WHERE id = $1";

    SUMMARY_FIND = concat!("SELECT ", summary_columns!(), " FROM summaries WHERE meeting_id = $1");
    SUMMARY_INSERT = "INSERT INTO summaries (id, meeting_id, headline, lines, engine, is_final, segment_count, edited, stale, version, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    SUMMARY_UPDATE = "UPDATE summaries SET headline = $2, lines = $3, engine = $4, is_final = $5, segment_count = $6, edited = $7, stale = $8, version = $9, updated_at = $10 WHERE id = $1";

    ACTION_LIST = concat!("SELECT ", action_columns!(), " FROM actions a WHERE a.meeting_id = $1 AND (a.id > $2 OR $2 IS NULL)
        AND (a.status = $3 OR $3 IS NULL) ORDER BY a.id LIMIT $4");
    ACTION_GET = concat!("SELECT ", action_columns!(), " FROM actions a WHERE a.meeting_id = $1 AND a.id = $2");
    ACTION_INSERT = "INSERT INTO actions (id, meeting_id, text, owner, owner_user_id, due, due_at, status, marker, segment_ids, edited, stale, version, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
    ACTION_UPDATE = "UPDATE actions SET text = $2, owner = $3, owner_user_id = $4, due = $5, due_at = $6, status = $7, marker = $8, segment_ids = $9, edited = $10,
        stale = $11, version = version + 1, updated_at = $12 WHERE id = $1 AND version = $13";
    ACTION_DELETE = "DELETE FROM actions WHERE id = $1";
    ACTION_SEARCH = concat!("SELECT ", action_columns!(), " FROM actions a", visible!("a"), "
        AND (a.status = $3 OR $3 IS NULL) AND (a.owner_user_id = $4 OR $4 IS NULL) AND (lower(a.owner) LIKE $5 ESCAPE '!' OR $5 IS NULL)
        AND (a.meeting_id = $6 OR $6 IS NULL) AND (m.series_id = $7 OR $7 IS NULL) AND (a.due_at < $8 OR $8 IS NULL) ORDER BY a.id DESC LIMIT $9");

    DECISION_LIST = concat!("SELECT ", decision_columns!(), " FROM decisions d WHERE d.meeting_id = $1 AND (d.id > $2 OR $2 IS NULL)
        AND (d.status = $3 OR $3 IS NULL) ORDER BY d.id LIMIT $4");
    DECISION_GET = concat!("SELECT ", decision_columns!(), " FROM decisions d WHERE d.id = $1");
    DECISION_INSERT = "INSERT INTO decisions (id, meeting_id, text, status, marker, superseded_by, segment_ids, edited, stale, version, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    DECISION_UPDATE = "UPDATE decisions SET text = $2, status = $3, marker = $4, superseded_by = $5, segment_ids = $6, edited = $7, stale = $8,
        version = version + 1, updated_at = $9 WHERE id = $1 AND version = $10";
    DECISION_DELETE = "DELETE FROM decisions WHERE id = $1";
    DECISION_SUPERSEDED_BY = concat!("SELECT ", decision_columns!(), " FROM decisions d WHERE d.superseded_by = $1 ORDER BY d.id LIMIT 100");
    // What an agreement of now may replace: open decisions of the meeting, and of the meetings of
    // its series that user `$3` takes part in.
    DECISION_EARLIER = concat!("SELECT ", decision_columns!(), " FROM decisions d JOIN meetings m ON m.id = d.meeting_id
        WHERE (d.meeting_id = $1 OR (m.series_id = $2 AND m.archived_at IS NULL AND EXISTS (SELECT 1 FROM participants p
            WHERE p.meeting_id = m.id AND p.user_id = $3 AND p.state NOT IN ('removed', 'waiting'))))
        AND d.id < $4 AND d.status IN ('proposed', 'confirmed') ORDER BY d.id DESC LIMIT 200");
    DECISION_SEARCH = concat!("SELECT ", decision_columns!(), " FROM decisions d", visible!("d"), "
        AND (d.status = $3 OR $3 IS NULL) AND (d.meeting_id = $4 OR $4 IS NULL) AND (m.series_id = $5 OR $5 IS NULL) ORDER BY d.id DESC LIMIT $6");
}

/// What cites: the `kind` of a citation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Citing {
    /// A topic.
    Topic,
    /// A highlight.
    Highlight,
    /// A summary.
    Summary,
    /// An action.
    Action,
    /// A decision.
    Decision,
}

impl Citing {
    const fn as_str(self) -> &'static str {
        match self {
            Citing::Topic => "topic",
            Citing::Highlight => "highlight",
            Citing::Summary => "summary",
            Citing::Action => "action",
            Citing::Decision => "decision",
        }
    }
}

/// Which part of a transcript is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Excerpt {
    /// Starting at or after, milliseconds from the meeting's start.
    pub from_ms: Option<i64>,
    /// Starting before, milliseconds from the meeting's start.
    pub to_ms: Option<i64>,
    /// Only by this speaker, named as in the transcript.
    pub speaker: Option<String>,
    /// After this place.
    pub after: Option<(i64, SegmentId)>,
}

impl Conn {
    /// Marks everything derived from a segment as stale; gives how many rows were not yet.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn derived_mark_stale(
        &mut self,
        segment_id: SegmentId,
        now: Timestamp,
    ) -> Result<u64> {
        let mut marked = execute!(self, HIGHLIGHT_STALE, segment_id)?;
        for statement in [TOPIC_STALE, SUMMARY_STALE, ACTION_STALE, DECISION_STALE] {
            marked += execute!(self, statement, segment_id, now)?;
        }
        Ok(marked)
    }

    /// Lets nobody else write the notes or the context of a meeting until the transaction ends.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn notes_lock(&mut self, meeting_id: MeetingId) -> Result<()> {
        execute!(self, NOTES_LOCK, meeting_id)?;
        Ok(())
    }

    /// A number that changes with every correction of a final segment of the meeting.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn corrections_mark(&mut self, meeting_id: MeetingId) -> Result<i64> {
        let (mark,): (i64,) = fetch_one!(self, CORRECTIONS, meeting_id)?;
        Ok(mark)
    }

    /// How many final segments a meeting has, and how many of them its highlights, summary,
    /// actions and decisions cite.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn notes_coverage(&mut self, meeting_id: MeetingId) -> Result<(i64, i64)> {
        let (finals,): (i64,) = fetch_one!(self, FINAL_COUNT, meeting_id)?;
        let (cited,): (i64,) = fetch_one!(self, CITED_COUNT, meeting_id)?;
        Ok((finals, cited))
    }

    /// The final segment that starts last.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn segment_latest(&mut self, meeting_id: MeetingId) -> Result<Option<Segment>> {
        crate::db::fetch_optional!(self, SEGMENT_LATEST, meeting_id)
    }

    /// Up to `limit` final segments of a part of the transcript, in order.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn segment_excerpt(
        &mut self,
        meeting_id: MeetingId,
        excerpt: &Excerpt,
        limit: i64,
    ) -> Result<Vec<Segment>> {
        fetch_all!(
            self,
            SEGMENT_EXCERPT,
            meeting_id,
            excerpt.from_ms,
            excerpt.to_ms,
            excerpt.speaker.as_deref(),
            excerpt.after.map(|(start_ms, _)| start_ms),
            excerpt.after.map(|(_, id)| id),
            limit
        )
    }

    /// The segments that a row cites, in the order of their ids.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn citation_list(
        &mut self,
        citing: Citing,
        source: impl Id,
    ) -> Result<Vec<SegmentId>> {
        let rows: Vec<(SegmentId,)> =
            fetch_all!(self, CITATION_LIST, citing.as_str(), source.uuid())?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// Moves the citations of a row from the segments it cited to those it cites now.
    ///
    /// # Errors
    /// [`Error::Dangling`] when a segment is gone, or when the database refuses.
    pub async fn citation_change(
        &mut self,
        citing: Citing,
        source: impl Id,
        old: &[SegmentId],
        new: &[SegmentId],
    ) -> Result<()> {
        let (kind, source) = (citing.as_str(), source.uuid());
        let (before, after): (HashSet<_>, HashSet<_>) =
            (old.iter().collect(), new.iter().collect());
        for gone in before.difference(&after) {
            execute!(self, CITATION_DELETE, **gone, kind, source)?;
        }
        let added: Vec<SegmentId> = after.difference(&before).map(|id| **id).collect();
        let (chunks, rest) = added.as_chunks::<CITATIONS_AT_ONCE>();
        for chunk in chunks {
            self.citation_insert_many(kind, source, chunk).await?;
        }
        for id in rest {
            execute!(self, CITATION_INSERT, *id, kind, source)?;
        }
        Ok(())
    }

    async fn citation_insert_many(
        &mut self,
        kind: &'static str,
        source: Uuid,
        ids: &[SegmentId; CITATIONS_AT_ONCE],
    ) -> Result<()> {
        on_engine!(self, handle => {
            let mut query = sqlx::query(CITATION_INSERT_MANY).bind(kind).bind(source);
            for id in ids {
                query = query.bind(*id);
            }
            query.execute(handle).await.map(drop)
        })
        .map_err(Error::from)
    }

    async fn citation_delete(&mut self, citing: Citing, source: Uuid) -> Result<()> {
        execute!(self, CITATION_DELETE_ALL, citing.as_str(), source)?;
        Ok(())
    }
}
