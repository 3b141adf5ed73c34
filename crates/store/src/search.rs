//! Full-text search: FTS5 with bm25 on SQLite, `tsvector` with `ts_rank` on Postgres.
//!
//! What people type is never query syntax: [`SearchTerms`] keeps letters and digits only and
//! builds the engine's expression from quoted terms. Both engines stem English words.
//! Ranking by embedding joins above, in the use cases, over the candidates found here.

use meetmind_core::{Id, MeetingId, Memory, ParticipantId, Segment, SeriesId, Timestamp, UserId};
use uuid::Uuid;

use crate::db::fetch_all;
use crate::memories::{memory_columns, memory_filter};
use crate::segments::segment_columns;
use crate::statements::statements;
use crate::{Conn, Engine, MemoryFilter, Result};

/// The most terms of a query that count.
const MAX_TERMS: usize = 32;

/// Narrows a meeting `m` to those of the searcher `$1` (an account, or one participant): `$2` meeting, `$3` series, `$4` and `$5`
/// when it was. The searcher's meetings are a list made once, not a join: SQLite would begin there
/// and ask the index about every segment of them.
macro_rules! visible {
    () => {
        "WHERE m.id IN (SELECT p.meeting_id FROM participants p WHERE (p.user_id = $1 OR p.id = $1) AND p.state <> 'removed'
            AND (p.state <> 'waiting' OR p.role IN ('host', 'cohost')))
        AND m.archived_at IS NULL AND (m.id = $2 OR $2 IS NULL) AND (m.series_id = $3 OR $3 IS NULL)
        AND (coalesce(m.started_at, m.starts_at, m.created_at) >= $4 OR $4 IS NULL)
        AND (coalesce(m.started_at, m.starts_at, m.created_at) < $5 OR $5 IS NULL)"
    };
}

/// Where a found thing was said.
macro_rules! meeting_part {
    () => {
        "m.title AS meeting_title, coalesce(m.started_at, m.starts_at, m.created_at) AS meeting_at"
    };
}

/// Rows of one kind whose words hold `$6` or `$7`, newest first, up to `$8`.
macro_rules! containing {
    ($columns:literal, $table:literal, $words:literal) => {
        concat!(
            "SELECT ",
            $columns,
            ", m.id AS meeting_id, ",
            meeting_part!(),
            " FROM ",
            $table,
            " x JOIN meetings m ON m.id = x.meeting_id ",
            visible!(),
            " AND (lower(",
            $words,
            ") LIKE $6 ESCAPE '!' OR ",
            $words,
            " LIKE $7 ESCAPE '!') ORDER BY x.id DESC LIMIT $8"
        )
    };
}

statements! {
    // CROSS JOIN keeps the order of the tables: the index first.
    SEGMENT_SEARCH_SQLITE(sqlite) = concat!("SELECT ", segment_columns!(), ", ", meeting_part!(), ", -bm25(segments_fts, 0.5, 1.0) AS score
        FROM segments_fts f CROSS JOIN segments s ON s.rowid = f.rowid CROSS JOIN meetings m ON m.id = s.meeting_id ", visible!(), "
        AND segments_fts MATCH $6 AND (lower(s.speaker) = $7 OR s.speaker = $8 OR $8 IS NULL) ORDER BY score DESC, s.id LIMIT $9");
    SEGMENT_SEARCH_POSTGRES(postgres) = concat!("SELECT ", segment_columns!(), ", ", meeting_part!(), ",
        CAST(ts_rank(to_tsvector('english', s.speaker || ' ' || s.text), to_tsquery('english', $6)) AS DOUBLE PRECISION) AS score
        FROM segments s JOIN meetings m ON m.id = s.meeting_id ", visible!(), "
        AND s.is_final AND to_tsvector('english', s.speaker || ' ' || s.text) @@ to_tsquery('english', $6)
        AND (lower(s.speaker) = $7 OR s.speaker = $8 OR $8 IS NULL) ORDER BY score DESC, s.id LIMIT $9");
    MEMORY_SEARCH_SQLITE(sqlite) = concat!("SELECT ", memory_columns!(), ", -bm25(memories_fts, 0.5, 1.0) AS score
        FROM memories_fts f CROSS JOIN memories y ON y.rowid = f.rowid
        WHERE y.user_id = $1 AND ", memory_filter!(), " AND memories_fts MATCH $9 ORDER BY score DESC, y.id LIMIT $10");
    MEMORY_SEARCH_POSTGRES(postgres) = concat!("SELECT ", memory_columns!(), ",
        CAST(ts_rank(to_tsvector('english', coalesce(y.subject, '') || ' ' || y.content), to_tsquery('english', $9)) AS DOUBLE PRECISION) AS score
        FROM memories y WHERE y.user_id = $1 AND ", memory_filter!(), "
        AND to_tsvector('english', coalesce(y.subject, '') || ' ' || y.content) @@ to_tsquery('english', $9) ORDER BY score DESC, y.id LIMIT $10");
    MESSAGE_CONTAINING = containing!("x.id, x.author AS speaker, x.text, x.created_at AS at", "messages", "x.text");
    TOPIC_CONTAINING = containing!("x.id, NULL AS speaker, x.label AS text, x.created_at AS at", "topics", "x.label");
    ACTION_CONTAINING = containing!("x.id, x.owner AS speaker, x.text, x.created_at AS at", "actions", "x.text");
    DECISION_CONTAINING = containing!("x.id, NULL AS speaker, x.text, x.created_at AS at", "decisions", "x.text");
}

/// For whom is searched: an account in all its meetings, or a participant without one in theirs.
/// Both are UUIDs of one source, so that no id is also one of the other kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Searcher(Uuid);

impl From<UserId> for Searcher {
    fn from(id: UserId) -> Self {
        Self(id.uuid())
    }
}

impl From<ParticipantId> for Searcher {
    fn from(id: ParticipantId) -> Self {
        Self(id.uuid())
    }
}

/// The words of a query, as the index can look for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchTerms {
    terms: Vec<String>,
}

/// Whether a hit must have every term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchMatch {
    /// All of them; the last one may be the beginning of a word.
    All,
    /// One is enough; words that carry no meaning do not count.
    Any,
}

/// Words that every sentence may have: one of them alone finds nothing.
const EMPTY_WORDS: &[&str] = &[
    "a", "about", "an", "and", "are", "as", "at", "be", "been", "but", "by", "can", "could", "did",
    "do", "does", "for", "from", "had", "has", "have", "he", "her", "his", "how", "i", "if", "in",
    "is", "it", "its", "me", "my", "no", "not", "of", "on", "or", "our", "s", "she", "should",
    "so", "t", "than", "that", "the", "their", "them", "then", "there", "they", "this", "to", "us",
    "was", "we", "were", "what", "when", "where", "which", "who", "why", "will", "with", "would",
    "you", "your",
];

impl SearchTerms {
    /// Reads what somebody typed: runs of letters and digits, in lower case, at most 32 of them.
    pub fn read(query: &str) -> Self {
        let mut terms: Vec<String> = Vec::new();
        // Marks such as a combining accent belong to their letter; the indexes drop them.
        let split = |c: char| !c.is_alphanumeric() && !('\u{300}'..='\u{36f}').contains(&c);
        for word in query.split(split) {
            let word = word.to_lowercase();
            if word.chars().any(char::is_alphanumeric) && !terms.contains(&word) {
                terms.push(word);
            }
            if terms.len() == MAX_TERMS {
                break;
            }
        }
        Self { terms }
    }

    /// Whether nothing is left to look for.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The terms.
    pub fn terms(&self) -> &[String] {
        &self.terms
    }

    /// The terms that carry meaning; all of them when none does.
    pub fn telling(&self) -> Vec<&str> {
        let all = || self.terms.iter().map(String::as_str);
        let telling: Vec<&str> = all().filter(|term| !EMPTY_WORDS.contains(term)).collect();
        if telling.is_empty() {
            all().collect()
        } else {
            telling
        }
    }

    fn expression(&self, engine: Engine, how: SearchMatch) -> String {
        let (terms, joint) = match (how, engine) {
            (SearchMatch::All, Engine::Sqlite) => {
                (self.terms.iter().map(String::as_str).collect(), " AND ")
            }
            (SearchMatch::All, Engine::Postgres) => (self.telling(), " & "),
            (SearchMatch::Any, Engine::Sqlite) => (self.telling(), " OR "),
            (SearchMatch::Any, Engine::Postgres) => (self.telling(), " | "),
        };
        let last = terms.len().saturating_sub(1);
        let quoted = terms.iter().enumerate().map(|(at, term)| {
            let open = how == SearchMatch::All && at == last;
            match (engine, open) {
                (Engine::Sqlite, false) => format!("\"{term}\""),
                (Engine::Sqlite, true) => format!("\"{term}\"*"),
                (Engine::Postgres, false) => format!("'{term}'"),
                (Engine::Postgres, true) => format!("'{term}':*"),
            }
        });
        quoted.collect::<Vec<_>>().join(joint)
    }

    /// Patterns for rows that may hold the longest telling term in some form: its beginning in
    /// lower case, and with a capital, because SQLite lowers ASCII letters only.
    fn patterns(&self) -> Option<(String, String)> {
        let terms = self.telling();
        let term = terms.iter().max_by_key(|term| term.chars().count())?;
        let length = term.chars().count();
        let stem: String = term.chars().take((length * 2 / 3).max(3)).collect();
        let mut letters = stem.chars();
        let capital: String = letters
            .next()
            .map(|c| c.to_uppercase().chain(letters).collect())?;
        // `like_anywhere` lowers its text, so the capital form is put together here; terms hold
        // letters and digits only and need no escape.
        Some((format!("%{stem}%"), format!("%{capital}%")))
    }
}

/// Where to search.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchScope {
    /// In this meeting only.
    pub meeting_id: Option<MeetingId>,
    /// In the meetings of this series only.
    pub series_id: Option<SeriesId>,
    /// In meetings that were at or after this moment.
    pub from: Option<Timestamp>,
    /// In meetings that were before this moment.
    pub to: Option<Timestamp>,
    /// Said by this speaker; the case of letters does not matter.
    pub speaker: Option<String>,
}

/// A segment that was found.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct SegmentHit {
    /// The segment.
    #[sqlx(flatten)]
    pub segment: Segment,
    /// The title of its meeting.
    pub meeting_title: String,
    /// When its meeting began, was to begin, or was made.
    pub meeting_at: Timestamp,
    /// How well it fits; comparable within one answer of one engine.
    pub score: f64,
}

/// A memory that was found.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct MemoryHit {
    /// The memory.
    #[sqlx(flatten)]
    pub memory: Memory,
    /// How well it fits; comparable within one answer of one engine.
    pub score: f64,
}

/// A row of another kind that may fit; the caller checks its words.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct RowHit {
    /// The id; of which kind, the caller knows.
    pub id: Uuid,
    /// Who said, wrote or owns it.
    pub speaker: Option<String>,
    /// The words.
    pub text: String,
    /// When it was made.
    pub at: Timestamp,
    /// The meeting.
    pub meeting_id: MeetingId,
    /// The title of its meeting.
    pub meeting_title: String,
    /// When its meeting began, was to begin, or was made.
    pub meeting_at: Timestamp,
}

/// Kinds that are found by containing a word, not by an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// Chat messages.
    Message,
    /// Topics, by their labels.
    Topic,
    /// Actions.
    Action,
    /// Decisions.
    Decision,
}

impl Conn {
    /// Final segments of meetings the searcher takes part in that match, best first. With
    /// [`SearchMatch::Any`] these are the candidates for an answer over many meetings.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn segment_search(
        &mut self,
        searcher: impl Into<Searcher>,
        terms: &SearchTerms,
        how: SearchMatch,
        scope: &SearchScope,
        limit: i64,
    ) -> Result<Vec<SegmentHit>> {
        if terms.is_empty() {
            return Ok(Vec::new());
        }
        let engine = self.engine();
        let statement = match engine {
            Engine::Sqlite => SEGMENT_SEARCH_SQLITE,
            Engine::Postgres => SEGMENT_SEARCH_POSTGRES,
        };
        let lower = scope.speaker.as_deref().map(str::to_lowercase);
        fetch_all!(
            self,
            statement,
            searcher.into().0,
            scope.meeting_id,
            scope.series_id,
            scope.from,
            scope.to,
            terms.expression(engine, how),
            lower.as_deref(),
            scope.speaker.as_deref(),
            limit
        )
    }

    /// A user's memories that match, best first; expired ones are not among them.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn memory_search(
        &mut self,
        user_id: UserId,
        terms: &SearchTerms,
        how: SearchMatch,
        filter: &MemoryFilter,
        now: Timestamp,
        limit: i64,
    ) -> Result<Vec<MemoryHit>> {
        if terms.is_empty() {
            return Ok(Vec::new());
        }
        let engine = self.engine();
        let statement = match engine {
            Engine::Sqlite => MEMORY_SEARCH_SQLITE,
            Engine::Postgres => MEMORY_SEARCH_POSTGRES,
        };
        let lower = filter.subject.as_deref().map(str::to_lowercase);
        let category = filter.category_json();
        fetch_all!(
            self,
            statement,
            user_id,
            filter.meeting_id,
            filter.agent_id,
            filter.subject.as_deref(),
            lower.as_deref(),
            category.as_deref(),
            filter.latest_only,
            now,
            terms.expression(engine, how),
            limit
        )
    }

    /// Rows of a kind, in meetings the searcher takes part in, that hold the beginning of the
    /// query's longest word, newest first. The speaker of the scope is left to the caller.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn row_search(
        &mut self,
        searcher: impl Into<Searcher>,
        kind: RowKind,
        terms: &SearchTerms,
        scope: &SearchScope,
        limit: i64,
    ) -> Result<Vec<RowHit>> {
        let Some((lower, capital)) = terms.patterns() else {
            return Ok(Vec::new());
        };
        let statement = match kind {
            RowKind::Message => MESSAGE_CONTAINING,
            RowKind::Topic => TOPIC_CONTAINING,
            RowKind::Action => ACTION_CONTAINING,
            RowKind::Decision => DECISION_CONTAINING,
        };
        fetch_all!(
            self,
            statement,
            searcher.into().0,
            scope.meeting_id,
            scope.series_id,
            scope.from,
            scope.to,
            lower.as_str(),
            capital.as_str(),
            limit
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_operators_are_no_syntax() {
        let terms = SearchTerms::read("NEAR(\"a' OR b\") & !c:* {speaker} -größe 😀 ' \\");
        assert_eq!(
            terms.expression(Engine::Postgres, SearchMatch::All),
            "'near' & 'b' & 'c' & 'speaker' & 'größe':*"
        );
        assert_eq!(
            terms.expression(Engine::Sqlite, SearchMatch::Any),
            "\"near\" OR \"b\" OR \"c\" OR \"speaker\" OR \"größe\""
        );
        assert!(SearchTerms::read("😀 \"' -- *").is_empty());
    }

    #[test]
    fn words_without_meaning_count_only_alone() {
        assert_eq!(SearchTerms::read("what about the tank").telling(), ["tank"]);
        assert_eq!(SearchTerms::read("to be or not to be").telling().len(), 4);
    }
}
