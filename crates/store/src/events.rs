//! Stored events: each topic counts from 1 without gaps.

use std::collections::{BTreeMap, HashMap};

use meetmind_core::{
    Event, EventKind, EventTopic, EventVersion, MeetingId, Proof, RunId, Timestamp, UserId,
};
use serde::Serialize;
use serde_json::Value;
use sqlx::types::Json;

use crate::db::{execute, fetch_all, fetch_one, fetch_optional};
use crate::statements::statements;
use crate::{Conn, Engine, Result};

statements! {
    // On Postgres the row lock lasts to the commit, so numbers become visible in their order.
    EVENT_TOPIC_ADVANCE = "INSERT INTO event_topics (topic, last_seq, first_seq) VALUES ($1, 1, 1)
        ON CONFLICT (topic) DO UPDATE SET last_seq = event_topics.last_seq + 1 RETURNING last_seq";
    EVENT_INSERT = "INSERT INTO events (topic, seq, at, kind, data) VALUES ($1, $2, $3, $4, $5)";
    // In one order everywhere: two changes with events of the same topics do not wait for each other.
    EVENT_TOPICS_ADVANCE_SQLITE(sqlite) = "INSERT INTO event_topics (topic, last_seq, first_seq) SELECT e.key, e.value, 1 FROM json_each($1) e WHERE TRUE
        ON CONFLICT (topic) DO UPDATE SET last_seq = event_topics.last_seq + excluded.last_seq RETURNING topic, last_seq";
    EVENT_TOPICS_ADVANCE_POSTGRES(postgres) = "INSERT INTO event_topics (topic, last_seq, first_seq)
        SELECT e.key, e.value::bigint, 1 FROM jsonb_each_text($1) AS e (key, value) ORDER BY e.key
        ON CONFLICT (topic) DO UPDATE SET last_seq = event_topics.last_seq + excluded.last_seq RETURNING topic, last_seq";
    EVENT_INSERT_MANY_SQLITE(sqlite) = "INSERT INTO events (topic, seq, at, kind, data)
        SELECT e.value ->> 'topic', e.value ->> 'seq', $2, e.value ->> 'kind', e.value -> 'data' FROM json_each($1) e";
    EVENT_INSERT_MANY_POSTGRES(postgres) = "INSERT INTO events (topic, seq, at, kind, data)
        SELECT e.topic, e.seq, $2, e.kind, e.data FROM jsonb_to_recordset($1) AS e (topic TEXT, seq BIGINT, kind TEXT, data JSONB)";
    EVENT_LIST = "SELECT topic, seq, at, kind, data FROM events WHERE topic = $1 AND seq > $2 ORDER BY seq LIMIT $3";
    EVENT_TOPIC_GET = "SELECT last_seq, first_seq FROM event_topics WHERE topic = $1";
    EVENT_TOPIC_TRIM = "UPDATE event_topics SET first_seq = $2 WHERE topic = $1 AND first_seq < $2";
    EVENT_DELETE_BEFORE = "DELETE FROM events WHERE topic = $1 AND seq < $2";
    EVENT_OLD_TOPICS = "SELECT topic, MAX(seq) FROM events WHERE at < $1 GROUP BY topic ORDER BY topic LIMIT $2";
    EVENT_TOPIC_DELETE = "DELETE FROM event_topics WHERE topic = $1";
    EVENT_DELETE_ALL = "DELETE FROM events WHERE topic = $1";
    EVENT_RUN_PLACE = "SELECT owner_id, meeting_id FROM runs WHERE id = $1";
    // A listener outlives its access token, never its session, its key or its account.
    EVENT_SESSION_LIVE = "SELECT 1 FROM sessions s JOIN users u ON u.id = s.user_id
        WHERE s.id = $1 AND s.user_id = $2 AND s.revoked_at IS NULL AND s.expires_at > $3 AND u.disabled_at IS NULL";
    EVENT_KEY_LIVE = "SELECT 1 FROM api_keys k JOIN users u ON u.id = k.user_id
        WHERE k.id = $1 AND k.user_id = $2 AND k.revoked_at IS NULL AND (k.expires_at > $3 OR k.expires_at IS NULL) AND u.disabled_at IS NULL";
}

/// An event as the engines read it.
#[derive(Serialize)]
struct Row<'a> {
    topic: &'a str,
    seq: i64,
    kind: EventKind,
    data: &'a Value,
}

impl<'a> Row<'a> {
    fn of(event: &'a Event) -> Self {
        Self {
            topic: &event.topic,
            seq: event.seq,
            kind: event.kind,
            data: &event.data,
        }
    }
}

impl Conn {
    /// Appends an event and gives it back with its number. Call inside the transaction of the
    /// change it reports.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn event_append(
        &mut self,
        topic: EventTopic,
        kind: EventKind,
        at: Timestamp,
        data: Value,
    ) -> Result<Event> {
        let topic = topic.to_string();
        let (seq,): (i64,) = fetch_one!(self, EVENT_TOPIC_ADVANCE, topic.as_str())?;
        execute!(
            self,
            EVENT_INSERT,
            topic.as_str(),
            seq,
            at,
            kind,
            Json(&data)
        )?;
        Ok(Event {
            v: EventVersion::default(),
            topic,
            seq,
            at,
            kind,
            data,
        })
    }

    /// Appends many events, of any topics, in their order, and gives them back with their numbers.
    /// Call inside the transaction of the change they report.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn event_append_many(
        &mut self,
        at: Timestamp,
        events: Vec<(EventTopic, EventKind, Value)>,
    ) -> Result<Vec<(EventTopic, Event)>> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let (advance, insert) = match self.engine() {
            Engine::Sqlite => (EVENT_TOPICS_ADVANCE_SQLITE, EVENT_INSERT_MANY_SQLITE),
            Engine::Postgres => (EVENT_TOPICS_ADVANCE_POSTGRES, EVENT_INSERT_MANY_POSTGRES),
        };
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        for (topic, ..) in &events {
            *counts.entry(topic.to_string()).or_default() += 1;
        }
        let last: Vec<(String, i64)> = fetch_all!(self, advance, Json(&counts))?;
        // The numbers that were taken, from the first on.
        let mut next: HashMap<String, i64> = last
            .into_iter()
            .map(|(topic, last)| {
                let count = counts.get(&topic).copied().unwrap_or_default();
                (topic, last - count)
            })
            .collect();
        let mut stored = Vec::with_capacity(events.len());
        for (topic, kind, data) in events {
            let name = topic.to_string();
            let seq = next.entry(name.clone()).or_default();
            *seq += 1;
            let event = Event {
                v: EventVersion::default(),
                topic: name,
                seq: *seq,
                at,
                kind,
                data,
            };
            stored.push((topic, event));
        }
        let rows: Vec<Row<'_>> = stored.iter().map(|(_, event)| Row::of(event)).collect();
        execute!(self, insert, Json(rows), at)?;
        Ok(stored)
    }

    /// Up to `limit` events of a topic after `seq`, oldest first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn event_list(
        &mut self,
        topic: EventTopic,
        after: i64,
        limit: i64,
    ) -> Result<Vec<Event>> {
        fetch_all!(self, EVENT_LIST, topic.to_string(), after, limit)
    }

    /// The last number of a topic and the oldest one still kept; `(0, 1)` for a silent topic.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn event_range(&mut self, topic: EventTopic) -> Result<(i64, i64)> {
        Ok(fetch_optional!(self, EVENT_TOPIC_GET, topic.to_string())?.unwrap_or((0, 1)))
    }

    /// Deletes events older than `before`, of up to `topics` topics; gives the number of rows.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn event_trim(&mut self, before: Timestamp, topics: i64) -> Result<u64> {
        let old: Vec<(String, i64)> = fetch_all!(self, EVENT_OLD_TOPICS, before, topics)?;
        let mut deleted = 0;
        for (topic, last) in old {
            execute!(self, EVENT_TOPIC_TRIM, topic.as_str(), last + 1)?;
            deleted += execute!(self, EVENT_DELETE_BEFORE, topic.as_str(), last + 1)?;
        }
        Ok(deleted)
    }

    /// Whose a run is and in which meeting, for who wants to hear of it.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn event_run_place_find(&mut self, id: RunId) -> Result<Option<(UserId, MeetingId)>> {
        fetch_optional!(self, EVENT_RUN_PLACE, id)
    }

    /// Whether what a listener proved itself with still counts: its session or key, and the
    /// account behind it.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn event_listener_is_live(
        &mut self,
        user_id: UserId,
        proof: &Proof,
        now: Timestamp,
    ) -> Result<bool> {
        let row: Option<(i32,)> = match proof {
            Proof::Session(id) => fetch_optional!(self, EVENT_SESSION_LIVE, *id, user_id, now)?,
            Proof::ApiKey(id, _) => fetch_optional!(self, EVENT_KEY_LIVE, *id, user_id, now)?,
        };
        Ok(row.is_some())
    }

    /// Erases all events of a topic and its counter.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn event_erase(&mut self, topic: EventTopic) -> Result<u64> {
        execute!(self, EVENT_TOPIC_DELETE, topic.to_string())?;
        execute!(self, EVENT_DELETE_ALL, topic.to_string())
    }
}
