//! Transcript files become meetings.

use std::collections::HashMap;

use meetmind_core::{
    Attribution, Code, ConsentPolicy, Ctx, Error, EventKind, Meeting, MeetingAccess, MeetingAction,
    MeetingId, MeetingRole, MeetingStatus, MemoryMode, Participant, ParticipantId,
    ParticipantState, Result, Scope, Segment, SeriesId, Timestamp, user_may,
};

use super::formats::{self, Format, ImportedSegment, ImportedTranscript, UNKNOWN_SPEAKER};
use super::speakers::{Speakers, consent_denied, same_name};
use crate::meetings::meeting_access;
use crate::{Access, App, valid};

/// Segments per statement.
const CHUNK: usize = 1_000;
/// Segments per transaction of an import that makes a meeting: others write in between.
const BATCH: usize = 5_000;
/// The most names of a file that become participants.
const MAX_PARTICIPANTS: usize = 1_000;
/// The most segments that a file may add to a meeting that is there: they come all at once, and
/// other writers wait meanwhile.
pub const MAX_IMPORT_INTO: usize = 50_000;

/// What goes with a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportNew {
    /// The format; found out from content and name when absent.
    pub format: Option<Format>,
    /// The file's name.
    pub file_name: Option<String>,
    /// The meeting's title; the file's own, or its name, when absent.
    pub title: Option<String>,
    /// A series the caller can see.
    pub series_id: Option<SeriesId>,
    /// When the meeting began; the file's own, or now less its length, when absent.
    pub starts_at: Option<Timestamp>,
}

/// What an import made.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// The meeting.
    pub meeting: Meeting,
    /// How many segments came.
    pub segments: usize,
    /// How many participants came.
    pub participants: usize,
}

impl App {
    /// Makes an ended meeting of a transcript file, with its speakers as participants by name
    /// and its notes queued. Whoever imports answers for the consent of those in the file.
    ///
    /// A large file comes in several transactions; until the last one the meeting counts as
    /// deleted, so nobody sees a part of it, and one that a crash left half is cleaned up like
    /// any deleted meeting.
    ///
    /// # Errors
    /// `VALIDATION_FAILED` naming the place in the file, `NOT_FOUND` for a series the caller
    /// cannot see.
    pub async fn meeting_import(
        &self,
        ctx: &Ctx,
        bytes: &[u8],
        new: ImportNew,
    ) -> Result<Imported> {
        let user_id = user_may(&ctx.actor, Scope::MeetingsWrite)?;
        let file = read(bytes, &new)?;
        let length_ms = file.segments.iter().map(|s| s.end_ms).max().unwrap_or(0);
        let length = std::time::Duration::from_millis(u64::try_from(length_ms).unwrap_or(0));
        let in_file = file
            .starts_at
            .as_deref()
            .and_then(|text| Timestamp::parse(text).ok());
        let started_at = new
            .starts_at
            .or(in_file)
            .unwrap_or_else(|| ctx.now.minus(length));
        let meeting = Meeting {
            id: self.id(ctx),
            owner_id: user_id,
            series_id: new.series_id,
            title: title(&new, &file)?,
            description: None,
            status: MeetingStatus::Ended,
            starts_at: Some(started_at),
            ends_at: None,
            time_zone: None,
            started_at: Some(started_at),
            ended_at: Some(started_at.plus(length)),
            access: MeetingAccess::Invite,
            lobby: false,
            locked: false,
            consent_policy: ConsentPolicy::Implied,
            memory_mode: MemoryMode::Auto,
            memory_retention_days: None,
            glossary: Vec::new(),
            version: 1,
            created_at: ctx.now,
            updated_at: ctx.now,
            archived_at: None,
        };
        let mut change = self.change(ctx).await?;
        if let Some(series_id) = meeting.series_id
            && !change.series_is_visible(series_id, user_id).await?
        {
            return Err(Error::not_found("series"));
        }
        let host_name = change.user_get(user_id).await?.name;
        change.meeting_insert(&meeting, &self.invite_code()).await?;
        let people = self.people(ctx, &meeting, host_name, &file);
        for participant in &people {
            change.participant_insert(participant).await?;
        }
        let by_name: HashMap<String, ParticipantId> = people
            .iter()
            .map(|participant| (participant.name.to_lowercase(), participant.id))
            .collect();
        let count = file.segments.len();
        let rows: Vec<Segment> = file
            .segments
            .into_iter()
            .map(|segment| {
                let participant_id = by_name.get(&segment.speaker.to_lowercase()).copied();
                self.row(ctx, meeting.id, segment, participant_id)
            })
            .collect();
        let mut batches = rows.chunks(BATCH).peekable();
        let several = rows.len() > BATCH;
        if several {
            change
                .meeting_archive_set(meeting.id, Some(ctx.now), ctx.now)
                .await?;
        }
        while let Some(batch) = batches.next() {
            for chunk in batch.chunks(CHUNK) {
                change.segment_insert_many(chunk, ctx.now).await?;
            }
            if batches.peek().is_some() {
                change.commit().await?;
                change = self.change(ctx).await?;
            }
        }
        if several {
            change
                .meeting_archive_set(meeting.id, None, ctx.now)
                .await?;
        }
        let meeting = change.meeting_get(meeting.id).await?;
        change
            .meeting_event(meeting.id, EventKind::MeetingCreated, &meeting)
            .await?;
        self.meeting_end_queue(&mut change, ctx, &meeting).await?;
        change.commit().await?;
        Ok(Imported {
            meeting,
            segments: count,
            participants: people.len(),
        })
    }

    /// Adds a transcript file to a meeting that is there, in any state. Its times count from the
    /// meeting's start. All or nothing: one speaker's refusal refuses the file.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN` for all but the host, `CONSENT_DENIED`, `VALIDATION_FAILED`.
    pub async fn transcript_import(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        bytes: &[u8],
        new: ImportNew,
    ) -> Result<Imported> {
        let allowed = |access: &Access| match access.role {
            MeetingRole::Host => Ok(()),
            _ => Err(Error::forbidden(
                "only the host imports into a meeting that is there",
            )),
        };
        // A file is read only for who may import it, and not while other writers wait.
        allowed(
            &self
                .meeting_access(ctx, meeting_id, MeetingAction::Attribute)
                .await?,
        )?;
        let file = read(bytes, &new)?;
        if file.segments.len() > MAX_IMPORT_INTO {
            return Err(Error::invalid(
                "file",
                format!(
                    "must have at most {MAX_IMPORT_INTO} turns here; import it as a meeting of its own"
                ),
            ));
        }
        let mut change = self.change(ctx).await?;
        let access = meeting_access(&mut change, ctx, meeting_id, MeetingAction::Attribute).await?;
        allowed(&access)?;
        let mut speakers = Speakers::default();
        let mut rows = Vec::with_capacity(file.segments.len());
        for (index, segment) in file.segments.into_iter().enumerate() {
            let speaker = speakers
                .named(&mut change, &access.meeting, &segment.speaker)
                .await?;
            if !speakers
                .permits(&mut change, &ctx.actor, &access.meeting, &speaker)
                .await?
            {
                return Err(consent_denied(index, &speaker));
            }
            rows.push(self.row(ctx, meeting_id, segment, speaker.participant_id));
        }
        for chunk in rows.chunks(CHUNK) {
            change.segment_insert_many(chunk, ctx.now).await?;
        }
        change
            .meeting_event(meeting_id, EventKind::MeetingUpdated, &access.meeting)
            .await?;
        if access.meeting.status == MeetingStatus::Ended {
            self.meeting_end_queue(&mut change, ctx, &access.meeting)
                .await?;
        }
        change.commit().await?;
        Ok(Imported {
            meeting: access.meeting,
            segments: rows.len(),
            participants: 0,
        })
    }

    /// The host, then the people of the file by name only: an address in a file invites nobody.
    fn people(
        &self,
        ctx: &Ctx,
        meeting: &Meeting,
        host_name: String,
        file: &ImportedTranscript,
    ) -> Vec<Participant> {
        let participant = |name: String, host: bool| Participant {
            id: self.id(ctx),
            meeting_id: meeting.id,
            user_id: host.then_some(meeting.owner_id),
            agent_id: None,
            name,
            role: if host {
                MeetingRole::Host
            } else {
                MeetingRole::Participant
            },
            state: ParticipantState::Left,
            muted: false,
            joined_at: None,
            left_at: None,
            created_at: ctx.now,
            updated_at: ctx.now,
        };
        let mut people = vec![participant(host_name.clone(), true)];
        let mut seen = std::collections::HashSet::from([host_name.to_lowercase()]);
        for person in file.participants.iter().take(MAX_PARTICIPANTS) {
            let nobody = same_name(&person.name, UNKNOWN_SPEAKER);
            if !nobody && seen.insert(person.name.to_lowercase()) {
                people.push(participant(person.name.clone(), false));
            }
        }
        people
    }

    fn row(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        segment: ImportedSegment,
        participant_id: Option<ParticipantId>,
    ) -> Segment {
        Segment {
            id: self.id(ctx),
            meeting_id,
            participant_id,
            speaker: segment.speaker,
            text: segment.text,
            start_ms: segment.start_ms,
            end_ms: segment.end_ms,
            confidence: segment.confidence,
            language: None,
            is_final: true,
            external_id: None,
            attribution: Attribution::Import,
            version: 1,
            corrected_at: None,
            created_at: ctx.now,
            updated_at: ctx.now,
        }
    }
}

fn read(bytes: &[u8], new: &ImportNew) -> Result<ImportedTranscript> {
    let file_name = new
        .file_name
        .as_deref()
        .map(|name| valid::line("file_name", name, 255))
        .transpose()?;
    let file = formats::parse(bytes, new.format, file_name.as_deref()).map_err(|error| {
        Error::new(
            Code::ValidationFailed,
            format!("the file cannot be read: {error}"),
        )
        .with_details(serde_json::json!([{ "field": "file", "message": error.to_string() }]))
    })?;
    // One turn of a file may hold no more than a posted one.
    for (index, segment) in file.segments.iter().enumerate() {
        if segment.text.chars().count() > super::MAX_TEXT_CHARS {
            return Err(Error::invalid(
                "file",
                format!(
                    "turn {} has more than {} characters",
                    index + 1,
                    super::MAX_TEXT_CHARS
                ),
            ));
        }
    }
    Ok(file)
}

/// The title that was given, the file's, its name, or a plain one.
fn title(new: &ImportNew, file: &ImportedTranscript) -> Result<String> {
    if let Some(title) = &new.title {
        return valid::line("title", title, 200);
    }
    let stem = new.file_name.as_deref().map(|name| {
        let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
        name.rsplit_once('.').map_or(name, |(stem, _)| stem)
    });
    let title: String = file
        .title
        .as_deref()
        .or(stem)
        .unwrap_or_default()
        .chars()
        .take(200)
        .collect();
    let title = title.trim();
    Ok(if title.is_empty() {
        "Imported meeting".to_owned()
    } else {
        title.to_owned()
    })
}
