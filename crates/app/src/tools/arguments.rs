//! What tools take: a struct that serde reads, and the JSON schema that says the same.

use meetmind_core::{Code, Error};
use meetmind_core::{
    Id, MeetingAccess, MeetingId, MeetingStatus, MemoryId, PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX,
    PageQuery, Result, SegmentId, SeriesId, Timestamp, cursor_bytes,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::SearchKind;
use crate::notes::{DigestStyle, NotesPersona, TopicDirection};

fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "properties": properties, "required": required })
}

fn id<T: Id>(what: &str) -> Value {
    json!({ "type": "string", "pattern": format!("^{}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$", T::PREFIX), "description": what })
}

fn text(what: &str, max: usize) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": max, "description": what })
}

fn moment(what: &str) -> Value {
    json!({ "type": "string", "format": "date-time", "description": what })
}

fn one_of(what: &str, words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words, "description": what })
}

fn limit() -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": PAGE_LIMIT_MAX, "default": PAGE_LIMIT_DEFAULT })
}

fn cursor() -> Value {
    json!({ "type": "string", "description": "next_cursor of the answer before" })
}

fn persona() -> Value {
    one_of(
        "Whom it is for",
        &["product", "engineering", "customer", "executive"],
    )
}

/// The page asked for, held to the rules of every list.
pub(super) fn page(limit: Option<i64>, cursor: Option<&str>) -> Result<PageQuery> {
    let limit = limit.unwrap_or(PAGE_LIMIT_DEFAULT);
    if !(1..=PAGE_LIMIT_MAX).contains(&limit) {
        return Err(Error::invalid("limit", "must be 1 to 100"));
    }
    let foreign = || Error::new(Code::InvalidCursor, "the cursor was not made by this list");
    let after = cursor
        .map(|text| cursor_bytes(text).ok_or_else(foreign))
        .transpose()?;
    Ok(PageQuery { limit, after })
}

#[derive(Debug, Deserialize)]
pub(super) struct OneMeeting {
    pub(super) meeting_id: MeetingId,
}

impl OneMeeting {
    pub(super) fn schema() -> Value {
        object(
            &["meeting_id"],
            json!({ "meeting_id": id::<MeetingId>("The meeting") }),
        )
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct ListMeetings {
    pub(super) status: Option<MeetingStatus>,
    pub(super) series_id: Option<SeriesId>,
    pub(super) from: Option<Timestamp>,
    pub(super) to: Option<Timestamp>,
    pub(super) q: Option<String>,
    pub(super) limit: Option<i64>,
    pub(super) cursor: Option<String>,
}

impl ListMeetings {
    pub(super) fn schema() -> Value {
        object(
            &[],
            json!({
                "status": one_of("Only in this state", &["scheduled", "live", "ended"]),
                "series_id": id::<SeriesId>("Only of this series"),
                "from": moment("Planned, or else made, at or after"),
                "to": moment("Planned, or else made, before"),
                "q": text("With these characters in title or description", 200),
                "limit": limit(),
                "cursor": cursor(),
            }),
        )
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct GetTranscript {
    pub(super) meeting_id: MeetingId,
    pub(super) from_ms: Option<i64>,
    pub(super) to_ms: Option<i64>,
    pub(super) speaker: Option<String>,
    pub(super) limit: Option<i64>,
    pub(super) cursor: Option<String>,
}

impl GetTranscript {
    pub(super) fn schema() -> Value {
        object(
            &["meeting_id"],
            json!({
                "meeting_id": id::<MeetingId>("The meeting"),
                "from_ms": { "type": "integer", "description": "Starting at or after, milliseconds from the meeting's start" },
                "to_ms": { "type": "integer", "description": "Starting before, milliseconds from the meeting's start" },
                "speaker": text("Only by this speaker, named as in the transcript", 200),
                "limit": limit(),
                "cursor": cursor(),
            }),
        )
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct ListItems {
    pub(super) meeting_id: Option<MeetingId>,
    pub(super) series_id: Option<SeriesId>,
    pub(super) status: Option<String>,
    pub(super) limit: Option<i64>,
    pub(super) cursor: Option<String>,
}

impl ListItems {
    pub(super) fn schema() -> Value {
        object(
            &[],
            json!({
                "meeting_id": id::<MeetingId>("Only of this meeting"),
                "series_id": id::<SeriesId>("Only of this series; not together with meeting_id"),
                "status": one_of("Only in this state; done is a state of actions alone", &["proposed", "confirmed", "done", "superseded", "dismissed"]),
                "limit": limit(),
                "cursor": cursor(),
            }),
        )
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct CreateMeeting {
    #[serde(alias = "name")]
    pub(super) title: String,
    pub(super) description: Option<String>,
    pub(super) starts_at: Option<Timestamp>,
    pub(super) ends_at: Option<Timestamp>,
    pub(super) time_zone: Option<String>,
    pub(super) series_id: Option<SeriesId>,
    pub(super) access: Option<MeetingAccess>,
}

impl CreateMeeting {
    pub(super) fn schema() -> Value {
        object(
            &["title"],
            json!({
                "title": text("What it is called", 200),
                "description": { "type": "string", "maxLength": 20_000 },
                "starts_at": moment("When it is planned to start"),
                "ends_at": moment("When it is planned to end"),
                "time_zone": text("An IANA name, such as Europe/Stockholm", 64),
                "series_id": id::<SeriesId>("A series the caller can see"),
                "access": one_of("Who can get in", &["invite", "link", "open"]),
            }),
        )
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct UpdateMeeting {
    pub(super) meeting_id: MeetingId,
    #[serde(alias = "name")]
    pub(super) title: Option<String>,
    pub(super) description: Option<String>,
    pub(super) starts_at: Option<Timestamp>,
    pub(super) ends_at: Option<Timestamp>,
}

impl UpdateMeeting {
    pub(super) fn schema() -> Value {
        object(
            &["meeting_id"],
            json!({
                "meeting_id": id::<MeetingId>("The meeting"),
                "title": text("A new title", 200),
                "description": { "type": "string", "maxLength": 20_000 },
                "starts_at": moment("A new planned start"),
                "ends_at": moment("A new planned end"),
            }),
        )
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct AddNote {
    pub(super) meeting_id: MeetingId,
    pub(super) text: String,
    #[serde(default)]
    pub(super) segment_ids: Vec<SegmentId>,
}

impl AddNote {
    pub(super) fn schema() -> Value {
        object(
            &["meeting_id", "text"],
            json!({
                "meeting_id": id::<MeetingId>("The meeting"),
                "text": text("The note", 1_000),
                "segment_ids": { "type": "array", "maxItems": 100, "items": id::<SegmentId>("A final segment of the meeting"), "description": "What it is about; else what was said last" },
            }),
        )
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Ask {
    pub(super) question: String,
    pub(super) meeting_id: Option<MeetingId>,
    pub(super) series_id: Option<SeriesId>,
}

impl Ask {
    pub(super) fn schema() -> Value {
        object(
            &["question"],
            json!({
                "question": text("The question", 2_000),
                "meeting_id": id::<MeetingId>("Look only here"),
                "series_id": id::<SeriesId>("Look only in the meetings of this series; not together with meeting_id"),
            }),
        )
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct PostMessage {
    pub(super) meeting_id: MeetingId,
    pub(super) text: String,
}

impl PostMessage {
    pub(super) fn schema() -> Value {
        object(
            &["meeting_id", "text"],
            json!({ "meeting_id": id::<MeetingId>("The meeting"), "text": text("The message", 16_000) }),
        )
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Summarize {
    pub(super) meeting_id: MeetingId,
    #[serde(default, alias = "summary_style")]
    pub(super) style: DigestStyle,
    #[serde(alias = "persona_id")]
    pub(super) persona: Option<NotesPersona>,
}

impl Summarize {
    pub(super) fn schema() -> Value {
        object(
            &["meeting_id"],
            json!({
                "meeting_id": id::<MeetingId>("The meeting"),
                "style": one_of("How much it says", &["brief", "detailed", "actions"]),
                "persona": persona(),
            }),
        )
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct TopicNavigation {
    pub(super) meeting_id: MeetingId,
    pub(super) direction: TopicDirection,
}

impl TopicNavigation {
    pub(super) fn schema() -> Value {
        object(
            &["meeting_id", "direction"],
            json!({
                "meeting_id": id::<MeetingId>("The meeting"),
                "direction": one_of("Which way", &["next", "previous", "current"]),
            }),
        )
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct FocusView {
    pub(super) meeting_id: MeetingId,
    #[serde(alias = "persona_id")]
    pub(super) persona: NotesPersona,
}

impl FocusView {
    pub(super) fn schema() -> Value {
        object(
            &["meeting_id", "persona"],
            json!({ "meeting_id": id::<MeetingId>("The meeting"), "persona": persona() }),
        )
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Search {
    #[serde(alias = "q")]
    pub(super) query: String,
    #[serde(default)]
    pub(super) kinds: Vec<SearchKind>,
    pub(super) meeting_id: Option<MeetingId>,
    pub(super) series_id: Option<SeriesId>,
    pub(super) from: Option<Timestamp>,
    pub(super) to: Option<Timestamp>,
    pub(super) speaker: Option<String>,
    pub(super) limit: Option<i64>,
}

impl Search {
    pub(super) fn schema() -> Value {
        let kind =
            json!({ "enum": ["segment", "message", "topic", "action", "decision", "memory"] });
        object(
            &["query"],
            json!({
                "query": text("Words to find; no letter is an operator", 500),
                "kinds": { "type": "array", "maxItems": 6, "items": kind, "description": "What to look for; everything when absent" },
                "meeting_id": id::<MeetingId>("Look only here"),
                "series_id": id::<SeriesId>("Look only in the meetings of this series"),
                "from": moment("In meetings that were at or after"),
                "to": moment("In meetings that were before"),
                "speaker": text("Said, written or owned by this name", 120),
                "limit": limit(),
            }),
        )
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct MemorySearch {
    #[serde(alias = "q")]
    pub(super) query: Option<String>,
    pub(super) category: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) meeting_id: Option<MeetingId>,
    pub(super) limit: Option<i64>,
    pub(super) cursor: Option<String>,
}

impl MemorySearch {
    pub(super) fn schema() -> Value {
        object(
            &[],
            json!({
                "query": text("Words to find, best fitting first; without them the newest come first", 500),
                "category": text("Only with this label", 60),
                "subject": text("Only about this person or thing", 120),
                "meeting_id": id::<MeetingId>("Only from this meeting"),
                "limit": limit(),
                "cursor": cursor(),
            }),
        )
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct MemorySave {
    #[serde(alias = "memory")]
    pub(super) content: String,
    #[serde(default)]
    pub(super) categories: Vec<String>,
    pub(super) subject: Option<String>,
    pub(super) meeting_id: Option<MeetingId>,
    pub(super) expires_at: Option<Timestamp>,
}

impl MemorySave {
    pub(super) fn schema() -> Value {
        let label = json!({ "type": "string", "minLength": 1, "maxLength": 60 });
        object(
            &["content"],
            json!({
                "content": text("What to remember, in a sentence that stands alone", 16_384),
                "categories": { "type": "array", "maxItems": 20, "items": label, "description": "Labels" },
                "subject": text("Whom or what it is about", 120),
                "meeting_id": id::<MeetingId>("The meeting it comes from"),
                "expires_at": moment("When it is deleted by itself"),
            }),
        )
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct OneMemory {
    pub(super) memory_id: MemoryId,
}

impl OneMemory {
    pub(super) fn schema() -> Value {
        object(
            &["memory_id"],
            json!({ "memory_id": id::<MemoryId>("The memory") }),
        )
    }
}
