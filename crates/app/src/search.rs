//! Search over what was said, written, noted and remembered.

use std::collections::HashSet;
use std::time::Duration;

use meetmind_core::{
    ActionId, Actor, Ctx, DecisionId, Error, Id, MeetingAction, MeetingId, Memory, MessageId,
    Result, Scope, SeriesId, Timestamp, TopicId, UserId, user_may,
};
use meetmind_store::{
    Conn, MemoryFilter, RowHit, RowKind, SearchMatch, SearchScope, SearchTerms, Searcher,
};
use rust_stemmers::{Algorithm, Stemmer};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::transcripts::formats::MAX_TIME_MS;
use crate::{App, valid};

/// The most characters of a query.
const MAX_QUERY: usize = 500;
/// Rows of a kind without an index that are looked at, newest first.
const ROWS_LOOKED_AT: i64 = 500;

/// What can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SearchKind {
    /// What was said, by full-text index.
    Segment,
    /// Chat, among the 500 newest that may match.
    Message,
    /// Topics by label, among the 500 newest that may match.
    Topic,
    /// Actions, among the 500 newest that may match.
    Action,
    /// Decisions, among the 500 newest that may match.
    Decision,
    /// One's own memories, by full-text index.
    Memory,
}

impl SearchKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Segment,
        Self::Message,
        Self::Topic,
        Self::Action,
        Self::Decision,
        Self::Memory,
    ];
}

/// A search.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SearchQuery {
    /// 1 to 500 characters; no letter is an operator.
    pub text: String,
    /// All kinds the caller may read, when empty.
    pub kinds: Vec<SearchKind>,
    /// In this meeting only.
    pub meeting_id: Option<MeetingId>,
    /// In the meetings of this series only.
    pub series_id: Option<SeriesId>,
    /// In meetings that were at or after this moment.
    pub from: Option<Timestamp>,
    /// In meetings that were before this moment.
    pub to: Option<Timestamp>,
    /// Said, written or owned by this name; for memories, about it.
    pub speaker: Option<String>,
    /// Hits wanted, 1 to 100.
    pub limit: i64,
}

/// Something found.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct SearchHit {
    /// What it is.
    pub kind: SearchKind,
    /// Its id.
    pub id: String,
    /// Its meeting.
    pub meeting_id: Option<MeetingId>,
    /// That meeting's title.
    pub meeting_title: Option<String>,
    /// Who said, wrote or owns it, or whom it is about.
    pub speaker: Option<String>,
    /// Milliseconds from that meeting's start, for segments.
    pub start_ms: Option<i64>,
    /// The words.
    pub text: String,
    /// Start and end of each matched word in `text`, in characters.
    pub spans: Vec<[usize; 2]>,
    /// 0 to 1: how well it fits among the hits of its kind.
    pub score: f64,
    /// When it was said, written or saved.
    pub at: Timestamp,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct SearchAnswer {
    /// The hits, best first.
    pub items: Vec<SearchHit>,
    /// Always null: the best hits come at once.
    pub next_cursor: Option<String>,
    /// Whether the hits have all words of the query, or, when nothing has all, some.
    pub matched: Matched,
}

/// How many words of the query each hit has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Matched {
    /// All of them.
    All,
    /// At least one that carries meaning.
    Any,
}

impl App {
    /// Searches meetings that the caller takes part in, and the caller's memories. Guests and
    /// agents search their own meeting, as far as its transcript is theirs to read.
    ///
    /// # Errors
    /// `NOT_FOUND` for a meeting or series the caller cannot see, `SCOPE_MISSING`,
    /// `VALIDATION_FAILED`.
    pub async fn search(&self, ctx: &Ctx, query: SearchQuery) -> Result<SearchAnswer> {
        let mut query = query;
        let place = match &ctx.actor {
            Actor::Guest { meeting_id, .. } | Actor::Agent { meeting_id, .. } => Some(*meeting_id),
            _ => None,
        };
        let user_id = match place {
            None => Some(user_may(&ctx.actor, Scope::TranscriptsRead)?),
            Some(own) => {
                query.meeting_id.get_or_insert(own);
                None
            }
        };
        let text = valid::line("q", &query.text, MAX_QUERY)?;
        let speaker = query
            .speaker
            .map(|name| valid::line("speaker", &name, 120))
            .transpose()?;
        let mut kinds = query.kinds;
        let memories = user_may(&ctx.actor, Scope::MemoryRead);
        if kinds.is_empty() {
            kinds = SearchKind::ALL.to_vec();
            kinds.retain(|kind| *kind != SearchKind::Memory || memories.is_ok());
        } else if kinds.contains(&SearchKind::Memory) {
            memories?;
        }
        let mut conn = self.store().read().await?;
        let mut own_place = None;
        if let Some(id) = query.meeting_id {
            let action = MeetingAction::ReadTranscript;
            let access = crate::meetings::meeting_access(&mut conn, ctx, id, action).await?;
            own_place = access.participant_id;
        }
        if let Some(id) = query.series_id {
            // A guest's link opens one meeting: there is no series to see.
            let visible = match user_id {
                Some(user_id) => conn.series_is_visible(id, user_id).await?,
                None => false,
            };
            if !visible {
                return Err(Error::not_found("series"));
            }
        }
        let searcher = user_id.map(Searcher::from);
        let searcher = searcher
            .or(own_place.map(Searcher::from))
            .ok_or_else(|| Error::not_found("meeting"))?;
        let scope = SearchScope {
            meeting_id: query.meeting_id,
            series_id: query.series_id,
            from: query.from,
            to: query.to,
            speaker,
        };
        let terms = SearchTerms::read(&text);
        let search = Search {
            searcher,
            user_id,
            now: ctx.now,
            marker: Marker::new(&terms),
            terms,
            scope,
            limit: query.limit,
        };
        let mut items = search.run(&mut conn, &kinds, SearchMatch::All).await?;
        let mut matched = Matched::All;
        if items.is_empty() {
            items = search.run(&mut conn, &kinds, SearchMatch::Any).await?;
            matched = Matched::Any;
        }
        Ok(SearchAnswer {
            items,
            next_cursor: None,
            matched,
        })
    }
}

/// One search, ready to run.
struct Search {
    searcher: Searcher,
    /// Whose memories; nobody's for who has no account.
    user_id: Option<UserId>,
    now: Timestamp,
    terms: SearchTerms,
    marker: Marker,
    scope: SearchScope,
    limit: i64,
}

impl Search {
    async fn run(
        &self,
        conn: &mut Conn,
        kinds: &[SearchKind],
        how: SearchMatch,
    ) -> Result<Vec<SearchHit>> {
        let mut items = Vec::new();
        for kind in kinds {
            let mut hits = match kind {
                SearchKind::Segment => self.segments(conn, how).await?,
                SearchKind::Memory => self.memories(conn, how).await?,
                SearchKind::Message => self.rows(conn, *kind, RowKind::Message, how).await?,
                SearchKind::Topic => self.rows(conn, *kind, RowKind::Topic, how).await?,
                SearchKind::Action => self.rows(conn, *kind, RowKind::Action, how).await?,
                SearchKind::Decision => self.rows(conn, *kind, RowKind::Decision, how).await?,
            };
            // Scores of different kinds have different scales: each kind's best counts as 1.
            let best = hits.iter().map(|hit| hit.score).fold(0.0, f64::max);
            for hit in &mut hits {
                hit.score = if best > 0.0 {
                    (hit.score / best).clamp(0.0, 1.0)
                } else {
                    1.0
                };
            }
            items.extend(hits);
        }
        items.sort_by(|a, b| b.score.total_cmp(&a.score).then(b.at.cmp(&a.at)));
        items.truncate(usize::try_from(self.limit).unwrap_or(0));
        Ok(items)
    }

    async fn segments(&self, conn: &mut Conn, how: SearchMatch) -> Result<Vec<SearchHit>> {
        let hits = conn
            .segment_search(self.searcher, &self.terms, how, &self.scope, self.limit)
            .await?;
        let hits = hits.into_iter().map(|hit| {
            let start_ms = hit.segment.start_ms.clamp(0, MAX_TIME_MS);
            let since_start = Duration::from_millis(u64::try_from(start_ms).unwrap_or(0));
            SearchHit {
                kind: SearchKind::Segment,
                id: hit.segment.id.to_string(),
                meeting_id: Some(hit.segment.meeting_id),
                meeting_title: Some(hit.meeting_title),
                speaker: Some(hit.segment.speaker),
                start_ms: Some(start_ms),
                spans: self.marker.mark(&hit.segment.text).spans,
                text: hit.segment.text,
                score: hit.score,
                at: hit.meeting_at.plus(since_start),
            }
        });
        Ok(hits.collect())
    }

    async fn memories(&self, conn: &mut Conn, how: SearchMatch) -> Result<Vec<SearchHit>> {
        let Some(user_id) = self.user_id else {
            return Ok(Vec::new());
        };
        let filter = MemoryFilter {
            meeting_id: self.scope.meeting_id,
            subject: self.scope.speaker.clone(),
            latest_only: true,
            ..MemoryFilter::default()
        };
        let of_series = match self.scope.series_id {
            Some(series_id) => Some(conn.meeting_ids_of_series(series_id, user_id).await?),
            None => None,
        };
        let hits = conn
            .memory_search(user_id, &self.terms, how, &filter, self.now, self.limit)
            .await?;
        let inside = |memory: &Memory| {
            let of_series = of_series.as_ref().is_none_or(|meetings| {
                memory
                    .meeting_id
                    .is_some_and(|meeting_id| meetings.contains(&meeting_id))
            });
            of_series
                && self.scope.from.is_none_or(|from| memory.created_at >= from)
                && self.scope.to.is_none_or(|to| memory.created_at < to)
        };
        let hits = hits.into_iter().filter(|hit| inside(&hit.memory));
        Ok(hits
            .map(|hit| SearchHit {
                kind: SearchKind::Memory,
                id: hit.memory.id.to_string(),
                meeting_id: hit.memory.meeting_id,
                meeting_title: None,
                speaker: hit.memory.subject,
                start_ms: None,
                spans: self.marker.mark(&hit.memory.content).spans,
                text: hit.memory.content,
                score: hit.score,
                at: hit.memory.created_at,
            })
            .collect())
    }

    /// Kinds without an index: the engine finds candidates, the words decide here.
    async fn rows(
        &self,
        conn: &mut Conn,
        kind: SearchKind,
        rows: RowKind,
        how: SearchMatch,
    ) -> Result<Vec<SearchHit>> {
        let found = conn
            .row_search(
                self.searcher,
                rows,
                &self.terms,
                &self.scope,
                ROWS_LOOKED_AT,
            )
            .await?;
        let wanted = match how {
            SearchMatch::All => self.terms.telling().len(),
            SearchMatch::Any => 1,
        };
        let by_speaker = |row: &RowHit| {
            self.scope.speaker.as_ref().is_none_or(|name| {
                row.speaker
                    .as_ref()
                    .is_some_and(|speaker| speaker.to_lowercase() == name.to_lowercase())
            })
        };
        let mut hits: Vec<SearchHit> = found
            .into_iter()
            .filter(by_speaker)
            .filter_map(|row| {
                let marks = self.marker.mark(&row.text);
                (marks.terms >= wanted).then(|| SearchHit {
                    kind,
                    id: id_text(rows, row.id),
                    meeting_id: Some(row.meeting_id),
                    meeting_title: Some(row.meeting_title),
                    speaker: row.speaker,
                    start_ms: None,
                    // Many of the words in few words fit best.
                    score: marks.terms as f64 * (1.0 + marks.spans.len() as f64)
                        / (8.0 + marks.words as f64),
                    spans: marks.spans,
                    text: row.text,
                    at: row.at,
                })
            })
            .collect();
        hits.sort_by(|a, b| b.score.total_cmp(&a.score));
        hits.truncate(usize::try_from(self.limit).unwrap_or(0));
        Ok(hits)
    }
}

fn id_text(kind: RowKind, id: Uuid) -> String {
    match kind {
        RowKind::Message => MessageId::from_uuid(id).to_string(),
        RowKind::Topic => TopicId::from_uuid(id).to_string(),
        RowKind::Action => ActionId::from_uuid(id).to_string(),
        RowKind::Decision => DecisionId::from_uuid(id).to_string(),
    }
}

/// Finds the words of a query in a text, by stem; the last word also as a beginning.
struct Marker {
    stemmer: Stemmer,
    stems: Vec<String>,
    last: Option<String>,
}

/// Where words of a query stand in a text.
struct Marks {
    spans: Vec<[usize; 2]>,
    /// Different words of the query that were found.
    terms: usize,
    /// Words of the text.
    words: usize,
}

impl Marker {
    fn new(terms: &SearchTerms) -> Self {
        let stemmer = Stemmer::create(Algorithm::English);
        let telling = terms.telling();
        Self {
            stems: telling
                .iter()
                .map(|term| stemmer.stem(term).into_owned())
                .collect(),
            last: telling.last().map(|term| (*term).to_owned()),
            stemmer,
        }
    }

    fn mark(&self, text: &str) -> Marks {
        let mut spans = Vec::new();
        let mut found = HashSet::new();
        let mut words = 0;
        let mut word = String::new();
        let mut start = 0;
        let inside = |c: char| c.is_alphanumeric() || ('\u{300}'..='\u{36f}').contains(&c);
        // The blank at the end closes the last word.
        for (at, letter) in text.chars().chain([' ']).enumerate() {
            if inside(letter) {
                if word.is_empty() {
                    start = at;
                }
                word.extend(letter.to_lowercase());
                continue;
            }
            if word.is_empty() {
                continue;
            }
            words += 1;
            let stem = self.stemmer.stem(&word);
            let begun = || {
                self.last
                    .as_ref()
                    .filter(|last| word.starts_with(last.as_str()))
                    .and_then(|_| self.stems.len().checked_sub(1))
            };
            if let Some(term) = self.stems.iter().position(|s| *s == stem).or_else(begun) {
                found.insert(term);
                spans.push([start, at]);
            }
            word.clear();
        }
        Marks {
            spans,
            terms: found.len(),
            words,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_count_characters_and_follow_the_stem() {
        let marker = Marker::new(&SearchTerms::read("decided tank"));
        let text = "Äh, we decide: tanks 😀 tank!";
        let marks = marker.mark(text);
        let letters: Vec<char> = text.chars().collect();
        let words: Vec<String> = marks
            .spans
            .iter()
            .map(|[from, to]| letters[*from..*to].iter().collect())
            .collect();
        assert_eq!(words, ["decide", "tanks", "tank"]);
        assert_eq!((marks.terms, marks.words), (2, 5));
    }
}
