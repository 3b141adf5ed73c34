//! Keeping memories from a meeting that ended: few, verbatim, each with its place.

use std::collections::{HashMap, HashSet};

use meetmind_ai::local::{self, NotesOptions, Turn};
use meetmind_core::{
    ConsentPolicy, Ctx, Id, Meeting, MeetingId, MeetingRole, Memory, MemoryId, MemoryMode,
    MemorySource, Participant, ParticipantId, ParticipantState, Result, Segment, SegmentId, UserId,
    uuid_v7,
};
use meetmind_store::Conn;
use serde_json::json;

use crate::App;
use crate::meetings::{ConsentKind, consent_permits};

/// The most memories of one meeting, for each user.
const MOST: usize = 40;
/// The most participants that are looked at.
const MAX_PARTICIPANTS: i64 = 10_000;
/// A statement shorter than this tells nothing by itself.
const FEWEST_WORDS: usize = 5;
/// A statement longer than this is talk, not a fact.
const MOST_WORDS: usize = 60;

/// Ways in which people state what stays true of them.
const FACTS: &[(&str, &str)] = &[
    ("i prefer ", "preference"),
    ("i'd prefer ", "preference"),
    ("i would prefer ", "preference"),
    ("i like ", "preference"),
    ("i love ", "preference"),
    ("i hate ", "preference"),
    ("i don't like ", "preference"),
    ("i always ", "preference"),
    ("i never ", "preference"),
    ("i work ", "fact"),
    ("i live ", "fact"),
    ("i'm responsible for ", "fact"),
    ("i am responsible for ", "fact"),
    ("i'm in charge of ", "fact"),
    ("i am in charge of ", "fact"),
    ("i'm allergic ", "fact"),
    ("i am allergic ", "fact"),
    ("my name is ", "fact"),
    ("my team ", "fact"),
    ("my role is ", "fact"),
    ("my phone number is ", "fact"),
    ("my email is ", "fact"),
    ("my birthday is ", "fact"),
    ("we agreed ", "decision"),
    ("we decided ", "decision"),
    ("we've decided ", "decision"),
];

/// A statement worth keeping.
struct Statement {
    text: String,
    category: &'static str,
    segment_ids: Vec<SegmentId>,
}

impl App {
    /// Keeps memories from a meeting that ended, as its mode and the speakers' consent allow;
    /// gives how many. Idempotent.
    ///
    /// What is kept: decisions, things to do, first-person facts and preferences, then
    /// highlights, at most 40 in all, in the words said, with the speaker as subject. Who gets
    /// them: the owner, and every participant with an account who joined. What is never kept:
    /// what agents said, and what a speaker without consent said.
    pub(crate) async fn memories_remember(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
    ) -> Result<usize> {
        let mut read = self.store().read().await?;
        let meeting = read.meeting_get(meeting_id).await?;
        if meeting.memory_mode != MemoryMode::Auto
            || meeting.consent_policy == ConsentPolicy::Off
            || meeting.archived_at.is_some()
        {
            return Ok(0);
        }
        let people = read
            .participant_list(meeting_id, None, MAX_PARTICIPANTS)
            .await?;
        let segments = read.segment_finals(meeting_id).await?;
        let segments = permitted(&mut read, &meeting, &people, segments).await?;
        drop(read);
        let chosen = statements(&segments);
        if chosen.is_empty() {
            return Ok(0);
        }
        let speakers: HashMap<SegmentId, &str> = segments
            .iter()
            .map(|segment| (segment.id, segment.speaker.as_str()))
            .collect();
        let mut kept = 0;
        for user_id in recipients(&meeting, &people) {
            // One transaction per user: none of them waits for all.
            let mut change = self.change(ctx).await?;
            change.memory_user_lock(user_id).await?;
            for statement in &chosen {
                let subject = statement
                    .segment_ids
                    .first()
                    .and_then(|id| speakers.get(id))
                    .map(|name| (*name).to_owned());
                let id = lasting_id(&meeting, user_id, &statement.text);
                // What was kept before and deleted, changed or replaced since stays so.
                let known = change.memory_change_list(id, user_id, None, 1).await?;
                if !known.is_empty() {
                    continue;
                }
                let memory = Memory {
                    id,
                    user_id,
                    meeting_id: Some(meeting_id),
                    agent_id: None,
                    subject,
                    content: statement.text.clone(),
                    metadata: json!({}),
                    categories: vec![statement.category.to_owned()],
                    segment_ids: statement.segment_ids.clone(),
                    source: MemorySource::Auto,
                    replaced_by: None,
                    expires_at: None,
                    created_at: ctx.now,
                    updated_at: ctx.now,
                };
                let saved = self
                    .memory_save_within(&mut change, ctx, memory, None)
                    .await?;
                kept += usize::from(saved.added);
            }
            change.commit().await?;
        }
        Ok(kept)
    }
}

/// The id of a kept statement: the same each time, so that a second pass knows the first one's.
fn lasting_id(meeting: &Meeting, user_id: UserId, text: &str) -> MemoryId {
    let scope = format!("{user_id}/{}/{text}", meeting.id);
    let [a, b, c, d, e, f, g, h, ..] = super::content_hash(&scope);
    let moment = meeting.started_at.unwrap_or(meeting.created_at);
    MemoryId::from_uuid(uuid_v7(
        moment,
        u64::from_be_bytes([a, b, c, d, e, f, g, h]),
    ))
}

/// The segments of people who consent to being remembered. A name that no participant has is
/// kept only where joining counts as consent.
async fn permitted(
    conn: &mut Conn,
    meeting: &Meeting,
    people: &[Participant],
    segments: Vec<Segment>,
) -> Result<Vec<Segment>> {
    let agents: HashSet<ParticipantId> = people
        .iter()
        .filter(|person| person.role == MeetingRole::Agent || person.agent_id.is_some())
        .map(|person| person.id)
        .collect();
    let mut words: HashMap<ParticipantId, bool> = HashMap::new();
    let mut kept = Vec::with_capacity(segments.len());
    for segment in segments {
        let permits = match segment.participant_id {
            None => meeting.consent_policy == ConsentPolicy::Implied,
            Some(id) if agents.contains(&id) => false,
            Some(id) => match words.get(&id) {
                Some(word) => *word,
                None => {
                    let word =
                        consent_permits(conn, meeting, Some(id), ConsentKind::Memory).await?;
                    words.insert(id, word);
                    word
                }
            },
        };
        if permits {
            kept.push(segment);
        }
    }
    Ok(kept)
}

/// The owner, and who has an account and was there.
fn recipients(meeting: &Meeting, people: &[Participant]) -> Vec<UserId> {
    let mut users = vec![meeting.owner_id];
    for person in people {
        let was_there = person.joined_at.is_some() && person.state != ParticipantState::Removed;
        if let Some(user_id) = person.user_id
            && was_there
            && !users.contains(&user_id)
        {
            users.push(user_id);
        }
    }
    users
}

/// What is worth keeping, the surest kinds first, each segment once.
fn statements(segments: &[Segment]) -> Vec<Statement> {
    let turns: Vec<Turn<SegmentId>> = segments
        .iter()
        .map(|segment| Turn {
            id: segment.id,
            speaker: segment.speaker.clone(),
            text: segment.text.clone(),
            start_ms: segment.start_ms,
            end_ms: segment.end_ms,
        })
        .collect();
    let notes = local::notes(&turns, &NotesOptions::default());
    let decisions = notes
        .decisions
        .into_iter()
        .map(|found| (found.text, "decision", found.segment_ids));
    let actions = notes
        .actions
        .into_iter()
        .map(|found| (found.text, "commitment", found.segment_ids));
    let facts = segments.iter().flat_map(|segment| {
        sentences(&segment.text).filter_map(|sentence| {
            let category = fact(sentence)?;
            Some((sentence.to_owned(), category, vec![segment.id]))
        })
    });
    let highlights = notes
        .highlights
        .into_iter()
        .map(|found| (found.text, "highlight", found.segment_ids));
    let mut seen: HashSet<SegmentId> = HashSet::new();
    let mut chosen = Vec::new();
    for (text, category, segment_ids) in decisions.chain(actions).chain(facts).chain(highlights) {
        let Some(first) = segment_ids.first() else {
            continue;
        };
        let words = text.split_whitespace().count();
        if chosen.len() < MOST && (3..=MOST_WORDS).contains(&words) && seen.insert(*first) {
            chosen.push(Statement {
                text,
                category,
                segment_ids,
            });
        }
    }
    chosen
}

/// The sentences of a turn, questions included.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(['.', '!', '?', '\n'])
        .map(str::trim)
        .filter(|sentence| !sentence.is_empty())
}

/// What kind of lasting statement a sentence is, if it is one.
fn fact(sentence: &str) -> Option<&'static str> {
    let words = sentence.split_whitespace().count();
    if !(FEWEST_WORDS..=MOST_WORDS).contains(&words) || sentence.ends_with('?') {
        return None;
    }
    let lower = sentence.to_lowercase().replace('\u{2019}', "'");
    // A lead-in such as "well," or "so" may stand before it.
    let start = lower
        .strip_prefix("well, ")
        .or_else(|| lower.strip_prefix("so, "))
        .or_else(|| lower.strip_prefix("so "))
        .or_else(|| lower.strip_prefix("yes, "))
        .unwrap_or(&lower);
    FACTS
        .iter()
        .find(|(lead, _)| start.starts_with(lead))
        .map(|(_, category)| *category)
}

#[cfg(test)]
mod tests;
