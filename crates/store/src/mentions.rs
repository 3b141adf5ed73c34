//! Which meetings and memories a kept copy names: webhook deliveries and answers for repetitions
//! hold words without hanging on what they are about, and an erasure must find them.

use std::collections::BTreeSet;

use meetmind_core::{DeliveryId, Id, MeetingId, MemoryId};
use sqlx::types::Json;
use uuid::Uuid;

use crate::db::execute;
use crate::meetings::like_anywhere;
use crate::statements::statements;
use crate::{Conn, Engine, Result};

statements! {
    DELIVERY_MENTIONS_SQLITE(sqlite) = "INSERT INTO delivery_mentions (about, delivery_id) SELECT unhex(e.value), $1 FROM json_each($2) e";
    DELIVERY_MENTIONS_POSTGRES(postgres) = "INSERT INTO delivery_mentions (about, delivery_id)
        SELECT e.about::uuid, $1 FROM jsonb_array_elements_text($2) AS e (about)";
    // A key that was used anew may still have the mentions of its answer before.
    ANSWER_MENTIONS_SQLITE(sqlite) = "INSERT INTO answer_mentions (about, actor, key) SELECT unhex(e.value), $1, $2 FROM json_each($3) e
        WHERE TRUE ON CONFLICT (about, actor, key) DO NOTHING";
    ANSWER_MENTIONS_POSTGRES(postgres) = "INSERT INTO answer_mentions (about, actor, key)
        SELECT e.about::uuid, $1, $2 FROM jsonb_array_elements_text($3) AS e (about) ON CONFLICT (about, actor, key) DO NOTHING";
    // The index leads to the few rows that may hold the words; their text decides.
    DELIVERIES_ERASE = "DELETE FROM deliveries WHERE id IN (SELECT delivery_id FROM delivery_mentions WHERE about = $1)
        AND CAST(payload AS TEXT) LIKE $2 ESCAPE '!'";
    ANSWERS_ERASE = "DELETE FROM idempotency_keys WHERE (actor, key) IN (SELECT actor, key FROM answer_mentions WHERE about = $1)
        AND (response LIKE $2 ESCAPE '!' OR location LIKE $2 ESCAPE '!')";
}

/// The ids of meetings and memories that stand anywhere in a text.
fn mentioned(text: &str) -> BTreeSet<Uuid> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices('_') {
        let word = at.checked_sub(3).and_then(|from| text.get(from..at + 27));
        let id = word.and_then(|word| {
            let meeting = word.parse::<MeetingId>().map(Id::uuid);
            meeting
                .or_else(|_| word.parse::<MemoryId>().map(Id::uuid))
                .ok()
        });
        found.extend(id);
    }
    found
}

/// The form that both `unhex` and the UUID type of Postgres read.
fn list(ids: &BTreeSet<Uuid>) -> Json<Vec<String>> {
    Json(ids.iter().map(|id| id.simple().to_string()).collect())
}

impl Conn {
    /// Notes what a new delivery's payload names.
    pub(crate) async fn delivery_mentions_insert(
        &mut self,
        id: DeliveryId,
        payload: &str,
    ) -> Result<()> {
        let about = mentioned(payload);
        if about.is_empty() {
            return Ok(());
        }
        let statement = match self.engine() {
            Engine::Sqlite => DELIVERY_MENTIONS_SQLITE,
            Engine::Postgres => DELIVERY_MENTIONS_POSTGRES,
        };
        execute!(self, statement, id, list(&about))?;
        Ok(())
    }

    /// Notes what a kept answer names.
    pub(crate) async fn answer_mentions_insert(
        &mut self,
        actor: &str,
        key: &str,
        location: Option<&str>,
        response: &str,
    ) -> Result<()> {
        let mut about = mentioned(response);
        about.append(&mut mentioned(location.unwrap_or_default()));
        if about.is_empty() {
            return Ok(());
        }
        let statement = match self.engine() {
            Engine::Sqlite => ANSWER_MENTIONS_SQLITE,
            Engine::Postgres => ANSWER_MENTIONS_POSTGRES,
        };
        execute!(self, statement, actor, key, list(&about))?;
        Ok(())
    }

    /// Erases webhook deliveries and kept answers that name `about`, a meeting or a memory, and
    /// carry the text `needle` (an id); gives how many of each.
    pub(crate) async fn copies_erase(&mut self, about: Uuid, needle: &str) -> Result<(u64, u64)> {
        let pattern = like_anywhere(needle);
        let pattern = pattern.as_str();
        Ok((
            execute!(self, DELIVERIES_ERASE, about, pattern)?,
            execute!(self, ANSWERS_ERASE, about, pattern)?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Engine;
    use crate::db::fetch_all;
    use crate::testing::TestDb;

    #[test]
    fn ids_are_found_wherever_they_stand() {
        let meeting = MeetingId::from_uuid(Uuid::from_u128(7));
        let memory = MemoryId::from_uuid(Uuid::from_u128(8));
        let text = format!(
            r#"{{"topic":"meeting:{meeting}","text":"{{\"id\":\"{memory}\"}} mtg_ é_ mtg_short"}}/api/meetings/{meeting}"#
        );
        assert_eq!(
            mentioned(&text).into_iter().collect::<Vec<_>>(),
            [meeting.uuid(), memory.uuid()]
        );
        assert!(mentioned("seg_00000000000000000000000001 _").is_empty());
    }

    #[tokio::test]
    async fn an_erasure_reads_no_table_of_copies_from_end_to_end() {
        let db = TestDb::new(Engine::Sqlite)
            .await
            .expect("a test database")
            .expect("SQLite is always there");
        let mut conn = db.store.read().await.expect("a connection");
        for statement in [DELIVERIES_ERASE, ANSWERS_ERASE] {
            let plan: Vec<(i64, i64, i64, String)> = fetch_all!(
                conn,
                sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}")),
                Uuid::nil(),
                "x"
            )
            .expect("a plan");
            assert!(
                plan.iter().all(|(.., step)| !step.contains("SCAN")),
                "{plan:?}"
            );
        }
    }
}
