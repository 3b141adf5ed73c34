//! Writing checked segments, of one call or of several, in few statements.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use meetmind_core::{
    Actor, Attribution, Code, Ctx, Error, EventKind, EventTopic, Meeting, MeetingAction, MeetingId,
    MeetingStatus, Result, Segment, Timestamp, meeting_may,
};
use meetmind_store::Conn;

use super::formats::{MAX_TIME_MS, spoken_ms};
use super::speakers::Speaker;
use super::{SegmentNew, SegmentPosted, check_order};
use crate::{Access, App, Change};

/// How long after a meeting's end its recorders may still deliver finals.
const LATE: Duration = Duration::from_secs(600);
/// How often a write is tried again when another one of the same external id came between.
const TRIES: usize = 8;

/// One segment on its way into a transcript.
pub(super) struct Entry<'a> {
    /// Of the call that brings it.
    pub(super) ctx: &'a Ctx,
    /// The caller's part in the meeting.
    pub(super) access: &'a Access,
    pub(super) new: SegmentNew,
    pub(super) speaker: Speaker,
}

/// A write and the event it causes, if it changed anything.
pub(super) struct Written {
    pub(super) posted: SegmentPosted,
    event: Option<EventKind>,
}

/// What an entry comes to, given the segment with its external id.
enum Step {
    /// Nothing is to be written.
    Nothing(Written),
    /// The draft changes.
    Update(Segment),
}

/// The caller's own name for a segment of a meeting.
type Key = (MeetingId, String);

/// The writes of one call of [`App::segments_write`].
struct Writes<'a> {
    app: &'a App,
    now: Timestamp,
    entries: Vec<Entry<'a>>,
    /// The segments whose external ids are named, as they stand.
    known: HashMap<Key, Segment>,
    /// New segments that are not inserted yet, each with the place of its entry.
    added: Vec<(usize, Segment)>,
    outcomes: Vec<Option<Result<Written>>>,
}

impl App {
    /// Writes segments at the moment `now`, in their order; gives what became of each. An entry
    /// that is refused leaves the others as they are.
    ///
    /// # Errors
    /// When the database fails: then the transaction cannot go on.
    pub(super) async fn segments_write(
        &self,
        conn: &mut Conn,
        now: Timestamp,
        entries: Vec<Entry<'_>>,
    ) -> Result<Vec<Result<Written>>> {
        let outcomes = entries.iter().map(|_| None).collect();
        let mut writes = Writes {
            app: self,
            now,
            known: known(conn, &entries).await?,
            entries,
            added: Vec::new(),
            outcomes,
        };
        for place in 0..writes.entries.len() {
            writes.write(conn, place).await?;
        }
        writes.flush(conn).await?;
        writes
            .outcomes
            .into_iter()
            .map(|outcome| outcome.ok_or_else(|| Error::internal("a segment was left out")))
            .collect()
    }

    /// Stores the events of writes, and queues the notes of ended meetings that changed.
    pub(super) async fn segments_tell<'w>(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        written: impl Iterator<Item = (&'w Written, &'w Access)>,
    ) -> Result<()> {
        let mut events = Vec::new();
        let mut ended: Vec<&Meeting> = Vec::new();
        for (one, access) in written {
            let Some(kind) = one.event else { continue };
            let segment = &one.posted.segment;
            let data = serde_json::to_value(segment).map_err(Error::internal)?;
            events.push((EventTopic::Meeting(segment.meeting_id), kind, data));
            let meeting = &access.meeting;
            let is_known = ended.iter().any(|known| known.id == meeting.id);
            if meeting.status == MeetingStatus::Ended && !is_known {
                ended.push(meeting);
            }
        }
        // Events come last: their number is a lock on Postgres.
        change.events(events).await?;
        for meeting in ended {
            self.meeting_end_queue(change, ctx, meeting).await?;
        }
        Ok(())
    }
}

/// The segments that the entries name by external ids.
async fn known(conn: &mut Conn, entries: &[Entry<'_>]) -> Result<HashMap<Key, Segment>> {
    let mut named: HashMap<MeetingId, BTreeSet<&str>> = HashMap::new();
    for entry in entries {
        if let Some(external_id) = &entry.new.external_id {
            let of_meeting = named.entry(entry.access.meeting.id).or_default();
            of_meeting.insert(external_id);
        }
    }
    let mut known = HashMap::new();
    for (meeting_id, external_ids) in named {
        let external_ids: Vec<&str> = external_ids.into_iter().collect();
        for segment in conn
            .segment_find_externals(meeting_id, &external_ids)
            .await?
        {
            if let Some(external_id) = segment.external_id.clone() {
                known.insert((meeting_id, external_id), segment);
            }
        }
    }
    Ok(known)
}

impl Writes<'_> {
    /// Writes one entry, or puts it among those to be inserted.
    async fn write(&mut self, conn: &mut Conn, place: usize) -> Result<()> {
        let entry = &self.entries[place];
        let key = entry
            .new
            .external_id
            .clone()
            .map(|external_id| (entry.access.meeting.id, external_id));
        let found = key.as_ref().and_then(|key| self.known.get(key)).cloned();
        let Some(found) = found else {
            match segment_of(self.app, self.now, entry) {
                Ok(segment) => {
                    if let Some(key) = key {
                        self.known.insert(key, segment.clone());
                    }
                    self.added.push((place, segment));
                }
                Err(error) => self.outcomes[place] = Some(Err(error)),
            }
            return Ok(());
        };
        let updated = match step(self.now, entry, found) {
            Ok(Step::Update(updated)) => updated,
            Ok(Step::Nothing(written)) => {
                self.outcomes[place] = Some(Ok(written));
                return Ok(());
            }
            Err(error) => {
                self.outcomes[place] = Some(Err(error));
                return Ok(());
            }
        };
        // It may have been added by this very call.
        self.flush(conn).await?;
        let outcome = if conn.segment_update(&updated).await? {
            if let Some(key) = key {
                self.known.insert(key, updated.clone());
            }
            Ok(changed(updated))
        } else {
            self.write_again(conn, place).await?
        };
        self.outcomes[place] = Some(outcome);
        Ok(())
    }

    /// Inserts what waits for it.
    async fn flush(&mut self, conn: &mut Conn) -> Result<()> {
        if self.added.is_empty() {
            return Ok(());
        }
        let (places, segments): (Vec<usize>, Vec<Segment>) =
            std::mem::take(&mut self.added).into_iter().unzip();
        let inserted = conn.segment_insert_many(&segments, self.now).await?;
        for (place, segment) in places.into_iter().zip(segments) {
            self.outcomes[place] = Some(if inserted.contains(&segment.id) {
                Ok(added(segment))
            } else {
                self.write_again(conn, place).await?
            });
        }
        Ok(())
    }

    /// Writes an entry whose segment another transaction changed since it was read.
    async fn write_again(&mut self, conn: &mut Conn, place: usize) -> Result<Result<Written>> {
        let entry = &self.entries[place];
        let meeting_id = entry.access.meeting.id;
        let external_id = entry.new.external_id.as_deref().unwrap_or_default();
        for _ in 0..TRIES {
            let found = conn.segment_find_external(meeting_id, external_id).await?;
            let written = match found {
                None => match segment_of(self.app, self.now, entry) {
                    Err(error) => return Ok(Err(error)),
                    Ok(segment) => {
                        let rows = std::slice::from_ref(&segment);
                        let inserted = conn.segment_insert_many(rows, self.now).await?;
                        (!inserted.is_empty()).then(|| added(segment))
                    }
                },
                Some(found) => match step(self.now, entry, found) {
                    Err(error) => return Ok(Err(error)),
                    Ok(Step::Nothing(written)) => Some(written),
                    Ok(Step::Update(updated)) => {
                        let stands = conn.segment_update(&updated).await?;
                        stands.then(|| changed(updated))
                    }
                },
            };
            if let Some(written) = written {
                let segment = written.posted.segment.clone();
                self.known
                    .insert((meeting_id, external_id.to_owned()), segment);
                return Ok(Ok(written));
            }
        }
        Ok(Err(Error::new(
            Code::Conflict,
            "the segment changes too fast: try again",
        )))
    }
}

/// A new row for what was said.
fn segment_of(app: &App, now: Timestamp, entry: &Entry<'_>) -> Result<Segment> {
    let (ctx, new, meeting) = (entry.ctx, &entry.new, &entry.access.meeting);
    let start_ms = new.start_ms.unwrap_or_else(|| {
        let since = meeting
            .started_at
            .map_or(0, |start| ctx.now.millis_since(start));
        // An end that was given is a better guess than the moment of the call.
        let latest = new.end_ms.unwrap_or(MAX_TIME_MS);
        since.clamp(0, latest)
    });
    let end_ms = new
        .end_ms
        .unwrap_or_else(|| natural_end(start_ms, &new.text));
    check_order("end_ms", start_ms, end_ms)?;
    let segment = Segment {
        id: app.id(ctx),
        meeting_id: meeting.id,
        participant_id: entry.speaker.participant_id,
        speaker: entry.speaker.name.clone(),
        text: new.text.clone(),
        start_ms,
        end_ms,
        confidence: new.confidence,
        language: new.language.clone(),
        is_final: new.is_final,
        external_id: new.external_id.clone(),
        attribution: match ctx.actor {
            Actor::Agent { .. } => Attribution::Track,
            _ => Attribution::Declared,
        },
        version: 1,
        corrected_at: None,
        created_at: now,
        updated_at: now,
    };
    check_open(ctx, meeting, &segment)?;
    Ok(segment)
}

/// What is to be done where a segment with the entry's external id is known.
fn step(now: Timestamp, entry: &Entry<'_>, known: Segment) -> Result<Step> {
    let (ctx, access, speaker) = (entry.ctx, entry.access, &entry.speaker);
    check_owner(ctx, access, &known, speaker)?;
    if known.is_final {
        return repeated(known, &entry.new, speaker).map(Step::Nothing);
    }
    let updated = updated(now, known.clone(), &entry.new, speaker)?;
    if updated == known {
        return Ok(Step::Nothing(unchanged(known)));
    }
    check_open(ctx, &access.meeting, &updated)?;
    Ok(Step::Update(updated))
}

fn unchanged(segment: Segment) -> Written {
    Written {
        posted: SegmentPosted {
            segment,
            added: false,
        },
        event: None,
    }
}

fn changed(segment: Segment) -> Written {
    let event = Some(event_of(&segment));
    Written {
        event,
        ..unchanged(segment)
    }
}

fn added(segment: Segment) -> Written {
    let event = Some(event_of(&segment));
    Written {
        posted: SegmentPosted {
            segment,
            added: true,
        },
        event,
    }
}

fn event_of(segment: &Segment) -> EventKind {
    if segment.is_final {
        EventKind::SegmentFinalized
    } else {
        EventKind::SegmentDrafted
    }
}

fn natural_end(start_ms: i64, text: &str) -> i64 {
    start_ms.saturating_add(spoken_ms(text)).min(MAX_TIME_MS)
}

/// A segment that comes for a final one: the same words again, or a draft that was overtaken.
fn repeated(known: Segment, new: &SegmentNew, speaker: &Speaker) -> Result<Written> {
    let same = new.text == known.text
        && speaker.name == known.speaker
        && new.start_ms.is_none_or(|ms| ms == known.start_ms)
        && new.end_ms.is_none_or(|ms| ms == known.end_ms);
    if new.is_final && !same {
        return Err(Error::new(
            Code::SegmentFinal,
            "the segment is final: correct it with PATCH instead",
        )
        .with_details(serde_json::json!({ "segment_id": known.id })));
    }
    Ok(unchanged(known))
}

/// The draft with what is new about it, counted up if there is anything.
fn updated(now: Timestamp, known: Segment, new: &SegmentNew, speaker: &Speaker) -> Result<Segment> {
    let start_ms = new.start_ms.unwrap_or(known.start_ms);
    let end_ms = match new.end_ms {
        Some(end_ms) => end_ms,
        None if new.text == known.text => known.end_ms.max(start_ms),
        None => natural_end(start_ms, &new.text),
    };
    check_order("end_ms", start_ms, end_ms)?;
    let updated = Segment {
        participant_id: speaker.participant_id,
        speaker: speaker.name.clone(),
        text: new.text.clone(),
        start_ms,
        end_ms,
        confidence: new.confidence.or(known.confidence),
        language: new.language.clone().or_else(|| known.language.clone()),
        is_final: new.is_final,
        ..known.clone()
    };
    if updated == known {
        return Ok(known);
    }
    Ok(Segment {
        version: known.version + 1,
        updated_at: now,
        ..updated
    })
}

/// Another speaker's segment changes only by who may name speakers.
fn check_owner(ctx: &Ctx, access: &Access, known: &Segment, speaker: &Speaker) -> Result<()> {
    let own = known.participant_id == speaker.participant_id && known.speaker == speaker.name;
    let may = || {
        meeting_may(
            &ctx.actor,
            Some(access.role),
            access.meeting.id,
            MeetingAction::Attribute,
        )
    };
    if own || may().is_ok() {
        return Ok(());
    }
    Err(Error::new(
        Code::Conflict,
        "another speaker's segment has this external_id",
    ))
}

/// After the end only finals come, and only for a while.
fn check_open(ctx: &Ctx, meeting: &Meeting, segment: &Segment) -> Result<()> {
    if meeting.status != MeetingStatus::Ended {
        return Ok(());
    }
    let late = meeting
        .ended_at
        .is_some_and(|ended_at| ctx.now <= ended_at.plus(LATE));
    if late && segment.is_final {
        return Ok(());
    }
    Err(Error::new(
        Code::MeetingEnded,
        "the meeting has ended; finals are taken for ten minutes after its end",
    ))
}
