//! Erasing: a meeting with all that came from it, or one participant's words.
//!
//! Rows that hang on a meeting by a foreign key would go with it; they are deleted one table at a
//! time all the same, because the receipt says how many there were. What carries copies of the
//! words without a foreign key (events, deliveries, jobs, kept answers) is found by the ids in it.

use meetmind_core::{
    DeliveryId, EventTopic, Id, MeetingId, MemoryId, MessageId, ParticipantId, RunId, SegmentId,
    UserId,
};
use serde_json::Value;
use sqlx::types::Json;

use crate::db::{execute, fetch_all};
use crate::meetings::like_anywhere;
use crate::statements::statements;
use crate::{Conn, Result};

/// The memories of a meeting, and those that cite it.
macro_rules! memories_of_meeting {
    () => {
        "(SELECT id FROM memories WHERE meeting_id = $1 UNION SELECT c.source_id FROM citations c
            JOIN segments s ON s.id = c.segment_id WHERE c.kind = 'memory' AND s.meeting_id = $1)"
    };
}

/// What cites a participant's segments, of one kind.
macro_rules! cites_participant {
    ($kind:literal) => {
        concat!(
            "(SELECT c.source_id FROM citations c JOIN segments s ON s.id = c.segment_id WHERE c.kind = '",
            $kind,
            "' AND s.participant_id = $1)"
        )
    };
}

statements! {
    ERASE_RUN_IDS = "SELECT id FROM runs WHERE meeting_id = $1 ORDER BY id";
    ERASE_USER_IDS = "SELECT user_id FROM participants WHERE meeting_id = $1 AND user_id IS NOT NULL
        UNION SELECT user_id FROM memories WHERE meeting_id = $1
        UNION SELECT owner_id FROM runs WHERE meeting_id = $1
        UNION SELECT owner_id FROM meetings WHERE id = $1 ORDER BY 1";
    ERASE_MEMORY_CHANGES = concat!("DELETE FROM memory_changes WHERE memory_id IN ", memories_of_meeting!());
    ERASE_MEMORIES = concat!("DELETE FROM memories WHERE id IN ", memories_of_meeting!());
    ERASE_CITATIONS = "DELETE FROM citations WHERE segment_id IN (SELECT id FROM segments WHERE meeting_id = $1)";
    ERASE_RUN_EVENTS = "DELETE FROM run_events WHERE run_id IN (SELECT id FROM runs WHERE meeting_id = $1)";
    ERASE_RUNS = "DELETE FROM runs WHERE meeting_id = $1";
    ERASE_ACTIONS = "DELETE FROM actions WHERE meeting_id = $1";
    ERASE_DECISIONS = "DELETE FROM decisions WHERE meeting_id = $1";
    ERASE_SUMMARIES = "DELETE FROM summaries WHERE meeting_id = $1";
    ERASE_HIGHLIGHTS = "DELETE FROM highlights WHERE meeting_id = $1";
    ERASE_TOPICS = "DELETE FROM topics WHERE meeting_id = $1";
    ERASE_SEGMENT_CHANGES = "DELETE FROM segment_changes WHERE segment_id IN (SELECT id FROM segments WHERE meeting_id = $1)";
    ERASE_SEGMENTS = "DELETE FROM segments WHERE meeting_id = $1";
    ERASE_MESSAGES = "DELETE FROM messages WHERE meeting_id = $1";
    ERASE_CONSENTS = "DELETE FROM consents WHERE meeting_id = $1";
    ERASE_PARTICIPANTS = "DELETE FROM participants WHERE meeting_id = $1";
    // Deliveries' jobs name nothing but their delivery; the others are few.
    ERASE_JOBS = "DELETE FROM jobs WHERE webhook_id IS NULL AND failed_at IS NULL AND CAST(payload AS TEXT) LIKE $1 ESCAPE '!'";
    ERASE_JOBS_FAILED = "DELETE FROM jobs WHERE failed_at IS NOT NULL AND CAST(payload AS TEXT) LIKE $1 ESCAPE '!'";
    // The rows stay, because a topic counts without gaps; their words go.
    EVENTS_BLANK = "UPDATE events SET data = $2 WHERE topic = $1 AND CAST(data AS TEXT) LIKE $3 ESCAPE '!'";
    EVENT_BLANK = "UPDATE events SET data = $3 WHERE topic = $1 AND seq = $2";
    WORDS_SEGMENT_IDS = "SELECT id FROM segments WHERE participant_id = $1 ORDER BY id";
    WORDS_MEMORY_IDS = concat!("SELECT id, user_id FROM memories WHERE id IN ", cites_participant!("memory"), " ORDER BY user_id, id");
    WORDS_MEMORY_CHANGES = concat!("DELETE FROM memory_changes WHERE memory_id IN ", cites_participant!("memory"));
    WORDS_MEMORIES = concat!("DELETE FROM memories WHERE id IN ", cites_participant!("memory"));
    WORDS_HIGHLIGHTS = concat!("DELETE FROM highlights WHERE id IN ", cites_participant!("highlight"));
    // Also what was ascribed to the participant before somebody corrected it; a segment takes its own history along.
    WORDS_SEGMENT_CHANGES = "DELETE FROM segment_changes WHERE participant_id = $1 OR segment_id IN (SELECT id FROM segments WHERE participant_id = $1)";
    WORDS_SEGMENTS = "DELETE FROM segments WHERE participant_id = $1";
    WORDS_ANSWERS = "SELECT id, segment_ids FROM messages WHERE meeting_id = $1 AND kind IN ('answer', 'notice') ORDER BY id";
    WORDS_MESSAGE_DELETE = "DELETE FROM messages WHERE id = $1";
    WORDS_DELIVERIES = "SELECT d.id, d.payload FROM delivery_mentions n JOIN deliveries d ON d.id = n.delivery_id
        WHERE n.about = $1 AND (n.delivery_id > $2 OR $2 IS NULL) ORDER BY n.delivery_id LIMIT $3";
    WORDS_DELIVERY_DELETE = "DELETE FROM deliveries WHERE id = $1";
}

/// How many rows of which table were erased.
pub type ErasureCounts = Vec<(&'static str, u64)>;

impl Conn {
    /// Erases all rows that hang on a meeting, and the meeting; gives the counts per table. Copies
    /// elsewhere are erased by [`Conn::erasure_copies`], events by [`Conn::event_erase`]: before.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn erasure_meeting_rows(&mut self, id: MeetingId) -> Result<ErasureCounts> {
        let steps = [
            ("memory_changes", ERASE_MEMORY_CHANGES),
            ("memories", ERASE_MEMORIES),
            ("citations", ERASE_CITATIONS),
            ("run_events", ERASE_RUN_EVENTS),
            ("runs", ERASE_RUNS),
            ("actions", ERASE_ACTIONS),
            ("decisions", ERASE_DECISIONS),
            ("summaries", ERASE_SUMMARIES),
            ("highlights", ERASE_HIGHLIGHTS),
            ("topics", ERASE_TOPICS),
            ("segment_changes", ERASE_SEGMENT_CHANGES),
            ("segments", ERASE_SEGMENTS),
            ("messages", ERASE_MESSAGES),
            ("consents", ERASE_CONSENTS),
            ("participants", ERASE_PARTICIPANTS),
        ];
        let mut counts = Vec::with_capacity(steps.len() + 1);
        for (table, statement) in steps {
            counts.push((table, execute!(self, statement, id)?));
        }
        counts.push(("meetings", u64::from(self.meeting_delete(id).await?)));
        Ok(counts)
    }

    /// The runs of a meeting.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn erasure_run_ids(&mut self, id: MeetingId) -> Result<Vec<RunId>> {
        let rows: Vec<(RunId,)> = fetch_all!(self, ERASE_RUN_IDS, id)?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// The accounts that were told of a meeting: its people, also removed ones, and who has
    /// memories or runs of it. In the order of their ids, so that two erasures cannot wait for
    /// each other.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn erasure_user_ids(&mut self, id: MeetingId) -> Result<Vec<UserId>> {
        let rows: Vec<(UserId,)> = fetch_all!(self, ERASE_USER_IDS, id)?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// Erases webhook deliveries, jobs and kept answers that name `about`, a meeting or a memory.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn erasure_copies(&mut self, about: impl Id) -> Result<ErasureCounts> {
        let needle = about.to_string();
        let (deliveries, answers) = self.copies_erase(about.uuid(), &needle).await?;
        let pattern = like_anywhere(&needle);
        let jobs = execute!(self, ERASE_JOBS, pattern.as_str())?
            + execute!(self, ERASE_JOBS_FAILED, pattern.as_str())?;
        Ok(vec![
            ("webhook_deliveries", deliveries),
            ("jobs", jobs),
            ("kept_answers", answers),
        ])
    }

    /// Replaces the data of a topic's events that carry `needle`; gives how many did.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn events_blank(
        &mut self,
        topic: EventTopic,
        needle: &str,
        data: &Value,
    ) -> Result<u64> {
        execute!(
            self,
            EVENTS_BLANK,
            topic.to_string(),
            Json(data),
            like_anywhere(needle)
        )
    }

    /// Replaces the data of one event.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn event_blank(&mut self, topic: EventTopic, seq: i64, data: &Value) -> Result<()> {
        execute!(self, EVENT_BLANK, topic.to_string(), seq, Json(data))?;
        Ok(())
    }

    /// The segments a participant spoke.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn words_segment_ids(&mut self, id: ParticipantId) -> Result<Vec<SegmentId>> {
        let rows: Vec<(SegmentId,)> = fetch_all!(self, WORDS_SEGMENT_IDS, id)?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// The memories that cite a participant's segments, and whose they are.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn words_memory_ids(&mut self, id: ParticipantId) -> Result<Vec<(MemoryId, UserId)>> {
        fetch_all!(self, WORDS_MEMORY_IDS, id)
    }

    /// Erases a participant's segments, the memories that cite them and the highlights that quote
    /// them; gives the counts per table. Mark what else is derived as stale before: the citations
    /// go with the segments.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn erasure_words_rows(&mut self, id: ParticipantId) -> Result<ErasureCounts> {
        let steps = [
            ("memory_changes", WORDS_MEMORY_CHANGES),
            ("memories", WORDS_MEMORIES),
            ("highlights", WORDS_HIGHLIGHTS),
            ("segment_changes", WORDS_SEGMENT_CHANGES),
            ("segments", WORDS_SEGMENTS),
        ];
        let mut counts = Vec::with_capacity(steps.len());
        for (table, statement) in steps {
            counts.push((table, execute!(self, statement, id)?));
        }
        Ok(counts)
    }

    /// Agents' answers in a meeting's chat, with the segments they rest on.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn words_answers(
        &mut self,
        id: MeetingId,
    ) -> Result<Vec<(MessageId, Vec<SegmentId>)>> {
        let rows: Vec<(MessageId, Json<Vec<SegmentId>>)> = fetch_all!(self, WORDS_ANSWERS, id)?;
        Ok(rows.into_iter().map(|(id, cited)| (id, cited.0)).collect())
    }

    /// Erases a chat message.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn message_erase(&mut self, id: MessageId) -> Result<()> {
        execute!(self, WORDS_MESSAGE_DELETE, id)?;
        Ok(())
    }

    /// Webhook deliveries that name a meeting, in the order of their ids.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn words_deliveries(
        &mut self,
        id: MeetingId,
        after: Option<DeliveryId>,
        limit: i64,
    ) -> Result<Vec<(DeliveryId, Value)>> {
        let rows: Vec<(DeliveryId, Json<Value>)> =
            fetch_all!(self, WORDS_DELIVERIES, id, after, limit)?;
        Ok(rows.into_iter().map(|(id, data)| (id, data.0)).collect())
    }

    /// Erases a webhook delivery with its attempts.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn delivery_erase(&mut self, id: DeliveryId) -> Result<()> {
        execute!(self, WORDS_DELIVERY_DELETE, id)?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "erasure_tests.rs"]
mod tests;
