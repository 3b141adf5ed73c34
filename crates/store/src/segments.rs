//! The transcript: segments, imports in bulk, and the erasure of words wherever they were copied.

use std::collections::HashSet;

use meetmind_core::{
    Attribution, EventTopic, Id, MeetingId, ParticipantId, Segment, SegmentId, Timestamp,
};
use serde::Serialize;
use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use crate::db::{execute, fetch_all, fetch_optional};
use crate::meetings::like_anywhere;
use crate::statements::statements;
use crate::{Conn, Engine, Error, Result};

/// The columns of a [`Segment`], qualified by `s`.
macro_rules! segment_columns {
    () => {
        "s.id, s.meeting_id, s.participant_id, s.speaker, s.text, s.start_ms, s.end_ms, s.confidence, s.language, s.is_final, s.external_id, \
         s.attribution, s.version, s.corrected_at, s.created_at, s.updated_at"
    };
}
pub(crate) use segment_columns;

/// The columns that many new segments at once are given.
macro_rules! many_columns {
    () => {
        "id, meeting_id, participant_id, speaker, text, start_ms, end_ms, confidence, language, is_final, external_id, attribution, version, \
         created_at, updated_at"
    };
}

/// On Postgres a refused insert would end the transaction; so a doubled external id inserts nothing.
macro_rules! unless_known {
    () => {
        " ON CONFLICT (meeting_id, external_id) WHERE external_id IS NOT NULL DO NOTHING RETURNING id"
    };
}

statements! {
    SEGMENT_UPDATE = "UPDATE segments SET participant_id = $2, speaker = $3, text = $4, start_ms = $5, end_ms = $6, confidence = $7, language = $8,
        is_final = $9, version = $10, corrected_at = $11, updated_at = $12 WHERE id = $1 AND version = $10 - 1";
    SEGMENT_GET = concat!("SELECT ", segment_columns!(), " FROM segments s WHERE s.meeting_id = $1 AND s.id = $2");
    SEGMENT_BY_EXTERNAL = concat!("SELECT ", segment_columns!(), " FROM segments s WHERE s.meeting_id = $1 AND s.external_id = $2");
    SEGMENT_FINALS = concat!("SELECT ", segment_columns!(), " FROM segments s WHERE s.meeting_id = $1 AND s.is_final ORDER BY s.start_ms, s.id");
    SEGMENT_FINALS_BEFORE = concat!("SELECT ", segment_columns!(), " FROM segments s WHERE s.meeting_id = $1 AND (s.start_ms, s.id) < ($2, $3)
        AND s.is_final ORDER BY s.start_ms DESC, s.id DESC LIMIT $4");
    // The row comparison is a seek in the index; a window that opens later begins its seek there.
    SEGMENT_LIST = concat!("SELECT ", segment_columns!(), " FROM segments s WHERE s.meeting_id = $1 AND (s.start_ms, s.id) > ($2, $3)
        AND (s.start_ms < $4 OR $4 IS NULL) AND (s.is_final = $5 OR $5 IS NULL) AND (s.speaker = $6 OR lower(s.speaker) = $7 OR $6 IS NULL)
        ORDER BY s.start_ms, s.id LIMIT $8");
    SEGMENT_DELETE = "DELETE FROM segments WHERE id = $1";
    SEGMENT_BY_EXTERNALS_SQLITE(sqlite) = concat!("SELECT ", segment_columns!(), " FROM segments s
        WHERE s.meeting_id = $1 AND s.external_id IN (SELECT e.value FROM json_each($2) e)");
    SEGMENT_BY_EXTERNALS_POSTGRES(postgres) = concat!("SELECT ", segment_columns!(), " FROM segments s
        WHERE s.meeting_id = $1 AND s.external_id IN (SELECT e.value FROM jsonb_array_elements_text($2) AS e (value))");
    SEGMENT_INSERT_MANY_SQLITE(sqlite) = concat!("INSERT INTO segments (", many_columns!(), ")
        SELECT unhex(e.value ->> 'id'), unhex(e.value ->> 'meeting_id'), unhex(e.value ->> 'participant_id'), e.value ->> 'speaker', e.value ->> 'text',
        e.value ->> 'start_ms', e.value ->> 'end_ms', e.value ->> 'confidence', e.value ->> 'language', e.value ->> 'is_final', e.value ->> 'external_id',
        e.value ->> 'attribution', 1, $2, $2 FROM json_each($1) e WHERE TRUE", unless_known!());
    SEGMENT_INSERT_MANY_POSTGRES(postgres) = concat!("INSERT INTO segments (", many_columns!(), ")
        SELECT e.id, e.meeting_id, e.participant_id, e.speaker, e.text, e.start_ms, e.end_ms, e.confidence, e.language, e.is_final, e.external_id,
        e.attribution, 1, $2, $2 FROM jsonb_to_recordset($1) AS e (id UUID, meeting_id UUID, participant_id UUID, speaker TEXT, text TEXT, start_ms BIGINT,
        end_ms BIGINT, confidence DOUBLE PRECISION, language TEXT, is_final BOOLEAN, external_id TEXT, attribution TEXT)", unless_known!());
    SEGMENT_SPEAKERS = "SELECT id, name FROM participants WHERE meeting_id = $1 ORDER BY id LIMIT $2";
    // What a segment's erasure takes along. Summaries and topics are made anew by the next pass.
    HIGHLIGHT_ERASE = "DELETE FROM highlights WHERE id IN (SELECT source_id FROM citations WHERE segment_id = $1 AND kind = 'highlight')";
    TOPIC_ERASE = "DELETE FROM topics WHERE id IN (SELECT source_id FROM citations WHERE segment_id = $1 AND kind = 'topic')";
    SUMMARY_ERASE = "DELETE FROM summaries WHERE id IN (SELECT source_id FROM citations WHERE segment_id = $1 AND kind = 'summary')";
    ACTION_ERASE = "DELETE FROM actions WHERE id IN (SELECT source_id FROM citations WHERE segment_id = $1 AND kind = 'action')";
    DECISION_ERASE = "DELETE FROM decisions WHERE id IN (SELECT source_id FROM citations WHERE segment_id = $1 AND kind = 'decision')";
    CITING_MEMORIES = "SELECT c.source_id, m.user_id FROM citations c JOIN memories m ON m.id = c.source_id WHERE c.segment_id = $1 AND c.kind = 'memory'";
    ANSWER_ERASE = "UPDATE messages SET text = '(erased)' WHERE meeting_id = $1 AND kind IN ('answer', 'notice') AND CAST(segment_ids AS TEXT) LIKE $2 ESCAPE '!'";
    EVENTS_NAMING = "SELECT seq, data FROM events WHERE topic = $1 AND (CAST(data AS TEXT) LIKE $2 ESCAPE '!' OR $2 IS NULL OR kind = 'summary.updated') ORDER BY seq";
    EVENT_REWRITE = "UPDATE events SET data = $3 WHERE topic = $1 AND seq = $2";
}

/// What a transcript is narrowed by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SegmentFilter {
    /// Beginning at or after, in milliseconds from the meeting's start.
    pub from_ms: Option<i64>,
    /// Beginning before, in milliseconds from the meeting's start.
    pub to_ms: Option<i64>,
    /// By this speaker; the case of letters does not matter.
    pub speaker: Option<String>,
    /// Only final ones, or only drafts.
    pub is_final: Option<bool>,
}

/// A new segment as the engines read it.
#[derive(Serialize)]
struct NewRow<'a> {
    #[serde(serialize_with = "simple")]
    id: SegmentId,
    #[serde(serialize_with = "simple")]
    meeting_id: MeetingId,
    #[serde(serialize_with = "simple_option")]
    participant_id: Option<ParticipantId>,
    speaker: &'a str,
    text: &'a str,
    start_ms: i64,
    end_ms: i64,
    confidence: Option<f64>,
    language: Option<&'a str>,
    is_final: bool,
    external_id: Option<&'a str>,
    attribution: Attribution,
}

impl<'a> NewRow<'a> {
    fn of(s: &'a Segment) -> Self {
        Self {
            id: s.id,
            meeting_id: s.meeting_id,
            participant_id: s.participant_id,
            speaker: &s.speaker,
            text: &s.text,
            start_ms: s.start_ms,
            end_ms: s.end_ms,
            confidence: s.confidence,
            language: s.language.as_deref(),
            is_final: s.is_final,
            external_id: s.external_id.as_deref(),
            attribution: s.attribution,
        }
    }
}

/// How much an erasure took along.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SegmentErasure {
    /// Highlights, topics, summaries, actions and decisions.
    pub derived: u64,
    /// Memories that cite it.
    pub memories: u64,
    /// Answers in chat that quote it.
    pub answers: u64,
    /// Stored events that held its words.
    pub events: u64,
}

/// 32 hexadecimal digits: what both `unhex` and the UUID type of Postgres read.
fn simple<I: meetmind_core::Id, S: serde::Serializer>(
    id: &I,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(&id.uuid().simple())
}

fn simple_option<I: meetmind_core::Id, S: serde::Serializer>(
    id: &Option<I>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    match id {
        Some(id) => simple(id, serializer),
        None => serializer.serialize_none(),
    }
}

impl Conn {
    /// Adds a segment that nobody knows yet.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the meeting has a segment with the same external id, or the
    /// database refuses.
    pub async fn segment_insert(&mut self, s: &Segment) -> Result<()> {
        let added = self
            .segment_insert_many(std::slice::from_ref(s), s.created_at)
            .await?;
        if added.is_empty() {
            return Err(Error::NotFound("place for the segment"));
        }
        Ok(())
    }

    /// Adds new segments at once, of any meetings, all made at `now`; leaves out those whose
    /// meeting has one with the same external id, and gives the ids of the others. A thousand per
    /// call is a good measure.
    ///
    /// # Errors
    /// When a meeting or a participant is gone, or the database refuses.
    pub async fn segment_insert_many(
        &mut self,
        segments: &[Segment],
        now: Timestamp,
    ) -> Result<HashSet<SegmentId>> {
        let statement = match self.engine() {
            Engine::Sqlite => SEGMENT_INSERT_MANY_SQLITE,
            Engine::Postgres => SEGMENT_INSERT_MANY_POSTGRES,
        };
        let mut rows: Vec<NewRow<'_>> = segments.iter().map(NewRow::of).collect();
        // In one order everywhere: two calls with the same external ids do not wait for each other.
        rows.sort_by_key(|row| (row.meeting_id, row.external_id));
        let added: Vec<(SegmentId,)> = fetch_all!(self, statement, Json(&rows), now)?;
        Ok(added.into_iter().map(|(id,)| id).collect())
    }

    /// Writes all that may change in a segment, if the row still has the version before
    /// `s.version`; gives whether it had.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn segment_update(&mut self, s: &Segment) -> Result<bool> {
        let changed = execute!(
            self,
            SEGMENT_UPDATE,
            s.id,
            s.participant_id,
            &s.speaker,
            &s.text,
            s.start_ms,
            s.end_ms,
            s.confidence,
            &s.language,
            s.is_final,
            s.version,
            s.corrected_at,
            s.updated_at
        )?;
        Ok(changed == 1)
    }

    /// One segment of a meeting.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database cannot be reached.
    pub async fn segment_get(&mut self, meeting_id: MeetingId, id: SegmentId) -> Result<Segment> {
        fetch_optional!(self, SEGMENT_GET, meeting_id, id)?.ok_or(Error::NotFound("segment"))
    }

    /// The segment that a caller knows under its own id.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn segment_find_external(
        &mut self,
        meeting_id: MeetingId,
        external_id: &str,
    ) -> Result<Option<Segment>> {
        fetch_optional!(self, SEGMENT_BY_EXTERNAL, meeting_id, external_id)
    }

    /// The segments that a caller knows under these ids of its own.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn segment_find_externals(
        &mut self,
        meeting_id: MeetingId,
        external_ids: &[&str],
    ) -> Result<Vec<Segment>> {
        let statement = match self.engine() {
            Engine::Sqlite => SEGMENT_BY_EXTERNALS_SQLITE,
            Engine::Postgres => SEGMENT_BY_EXTERNALS_POSTGRES,
        };
        fetch_all!(self, statement, meeting_id, Json(external_ids))
    }

    /// A stretch of the transcript in the order it was said, after the segment that begins at
    /// `after.0` milliseconds and has the id `after.1`.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn segment_list(
        &mut self,
        meeting_id: MeetingId,
        filter: &SegmentFilter,
        after: Option<(i64, SegmentId)>,
        limit: i64,
    ) -> Result<Vec<Segment>> {
        // Nothing sorts after the highest id, so this seeks the first segment at `from_ms`.
        let before_first = (filter.from_ms.unwrap_or(0) - 1, Uuid::max());
        let (start_ms, id) = match after {
            Some((start_ms, id)) => (start_ms, id.uuid()).max(before_first),
            None => before_first,
        };
        let lower = filter.speaker.as_deref().map(str::to_lowercase);
        fetch_all!(
            self,
            SEGMENT_LIST,
            meeting_id,
            start_ms,
            id,
            filter.to_ms,
            filter.is_final,
            filter.speaker.as_deref(),
            lower.as_deref(),
            limit
        )
    }

    /// All final segments of a meeting in the order they were said.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn segment_finals(&mut self, meeting_id: MeetingId) -> Result<Vec<Segment>> {
        fetch_all!(self, SEGMENT_FINALS, meeting_id)
    }

    /// Up to `limit` final segments that were said before the one that begins at `before.0`
    /// milliseconds and has the id `before.1`, the latest first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn segment_finals_before(
        &mut self,
        meeting_id: MeetingId,
        before: Option<(i64, SegmentId)>,
        limit: i64,
    ) -> Result<Vec<Segment>> {
        let (start_ms, id) = match before {
            Some((start_ms, id)) => (start_ms, id.uuid()),
            None => (i64::MAX, Uuid::max()),
        };
        fetch_all!(self, SEGMENT_FINALS_BEFORE, meeting_id, start_ms, id, limit)
    }

    /// The names that speakers of a meeting may have, removed participants included.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn segment_speakers(
        &mut self,
        meeting_id: MeetingId,
        limit: i64,
    ) -> Result<Vec<(ParticipantId, String)>> {
        fetch_all!(self, SEGMENT_SPEAKERS, meeting_id, limit)
    }

    /// Deletes the row of a segment and its citations, nothing else; gives whether it was there.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn segment_delete(&mut self, id: SegmentId) -> Result<bool> {
        Ok(execute!(self, SEGMENT_DELETE, id)? == 1)
    }

    /// Erases a segment and every copy of its words: what was derived from it, memories and
    /// their history, answers that quote it, stored events, deliveries, kept responses.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn segment_erase(&mut self, segment: &Segment) -> Result<SegmentErasure> {
        let mut erased = SegmentErasure::default();
        let named = like_anywhere(&segment.id.to_string());
        for statement in [
            HIGHLIGHT_ERASE,
            TOPIC_ERASE,
            SUMMARY_ERASE,
            ACTION_ERASE,
            DECISION_ERASE,
        ] {
            erased.derived += execute!(self, statement, segment.id)?;
        }
        let memories: Vec<(meetmind_core::MemoryId, meetmind_core::UserId)> =
            fetch_all!(self, CITING_MEMORIES, segment.id)?;
        erased.memories = self.memory_erase(&memories).await?;
        erased.answers = execute!(self, ANSWER_ERASE, segment.meeting_id, named.as_str())?;
        self.segment_delete(segment.id).await?;
        let topic = EventTopic::Meeting(segment.meeting_id);
        let id = segment.id.to_string();
        erased.events = self
            .event_words_erase(topic, std::slice::from_ref(&id))
            .await?;
        self.copies_erase(segment.meeting_id.uuid(), &id).await?;
        Ok(erased)
    }

    /// Takes the words out of a topic's stored events that name one of the ids; gives how many
    /// events changed.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn event_words_erase(
        &mut self,
        topic: EventTopic,
        ids: &[String],
    ) -> Result<u64> {
        let topic = topic.to_string();
        // One id is looked for by the engine; for many, reading the topic once is cheaper.
        let one = match ids {
            [id] => Some(like_anywhere(id)),
            _ => None,
        };
        let rows: Vec<(i64, Json<Value>)> =
            fetch_all!(self, EVENTS_NAMING, topic.as_str(), one.as_deref())?;
        let known: HashSet<&str> = ids.iter().map(String::as_str).collect();
        let mut changed = 0;
        for (seq, Json(mut data)) in rows {
            if words_remove(&mut data, &known) {
                if let Some(fields) = data.as_object_mut() {
                    fields.insert("erased".to_owned(), Value::Bool(true));
                }
                changed += execute!(self, EVENT_REWRITE, topic.as_str(), seq, Json(&data))?;
            }
        }
        Ok(changed)
    }
}

/// Fields that hold what was said, or are made of it.
const WORDS: &[&str] = &[
    "text",
    "quote",
    "content",
    "label",
    "key_phrases",
    "headline",
    "due",
];

/// Takes the words out of every object that is one of `ids` or cites one, and the headline out of
/// every summary: it is made of all that was said and cites nothing. Gives whether anything changed.
fn words_remove(value: &mut Value, ids: &HashSet<&str>) -> bool {
    match value {
        Value::Array(list) => list
            .iter_mut()
            .fold(false, |changed, entry| words_remove(entry, ids) | changed),
        Value::Object(object) => {
            let known = |value: &Value| value.as_str().is_some_and(|text| ids.contains(text));
            let cites = object
                .get("segment_ids")
                .and_then(Value::as_array)
                .is_some_and(|list| list.iter().any(known));
            let named = cites
                || ["id", "segment_id", "memory_id"]
                    .iter()
                    .any(|key| object.get(*key).is_some_and(known));
            let mut changed = false;
            for entry in object.values_mut() {
                changed |= words_remove(entry, ids);
            }
            let gone: &[&str] = if named { WORDS } else { &["headline"] };
            for key in gone {
                changed |= object.remove(*key).is_some();
            }
            if named && changed {
                object.insert("erased".to_owned(), Value::Bool(true));
            }
            changed
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn words_leave_every_object_that_names_the_segment_and_no_other() {
        let mut data = json!({ "headline": "secret", "lines": [
            { "text": "secret", "segment_ids": ["seg_1"] }, { "text": "kept", "segment_ids": ["seg_2"] } ] });
        assert!(super::words_remove(&mut data, &["seg_1"].into()));
        assert!(!data.to_string().contains("secret") && data.to_string().contains("kept"));
        assert!(!super::words_remove(&mut data, &["seg_3"].into()));
        let mut empty = json!({ "headline": "secret", "lines": [] });
        assert!(super::words_remove(&mut empty, &["seg_1"].into()));
        assert!(!empty.to_string().contains("secret"));
    }
}
