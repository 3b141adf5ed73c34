//! Creating, reading, changing, deleting and restoring meetings.

use meetmind_core::{
    AgentId, ConsentPolicy, Ctx, Error, EventKind, Meeting, MeetingAccess, MeetingAction,
    MeetingId, MeetingRole, MeetingStatus, MemoryMode, Page, PageQuery, Participant,
    ParticipantState, Result, Scope, SeriesId, Timestamp, user_may,
};
use meetmind_core::{Code, Id};
use meetmind_store::MeetingFilter;
use serde_json::json;

use super::access::{Access, archived_access, meeting_access};
use crate::{App, AuthorityChange, valid};

/// What a new meeting is made from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MeetingNew {
    /// 1 to 200 characters.
    pub title: String,
    /// At most 20,000 bytes.
    pub description: Option<String>,
    /// When it is planned to start.
    pub starts_at: Option<Timestamp>,
    /// When it is planned to end; not before `starts_at`.
    pub ends_at: Option<Timestamp>,
    /// An IANA name, such as `Europe/Stockholm`.
    pub time_zone: Option<String>,
    /// A series the caller can see.
    pub series_id: Option<SeriesId>,
    /// Invitation only, when absent.
    pub access: Option<MeetingAccess>,
    /// No lobby, when absent.
    pub lobby: Option<bool>,
    /// `ask`, when absent.
    pub consent_policy: Option<ConsentPolicy>,
    /// `auto`, when absent: what it keeps still depends on consent.
    pub memory_mode: Option<MemoryMode>,
    /// 1 to 36,500.
    pub memory_retention_days: Option<i64>,
    /// At most 500 entries of 100 characters.
    pub glossary: Vec<String>,
    /// Agents of the caller that come along.
    pub agents: Vec<AgentId>,
}

/// What changes in a meeting: absent stays, `Some(None)` clears.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MeetingPatch {
    /// A new title.
    pub title: Option<String>,
    /// A new description.
    pub description: Option<Option<String>>,
    /// A new planned start.
    pub starts_at: Option<Option<Timestamp>>,
    /// A new planned end.
    pub ends_at: Option<Option<Timestamp>>,
    /// A new time zone.
    pub time_zone: Option<Option<String>>,
    /// Another series.
    pub series_id: Option<Option<SeriesId>>,
    /// Another way in.
    pub access: Option<MeetingAccess>,
    /// With or without a lobby.
    pub lobby: Option<bool>,
    /// Another consent policy.
    pub consent_policy: Option<ConsentPolicy>,
    /// Another memory mode.
    pub memory_mode: Option<MemoryMode>,
    /// Another retention.
    pub memory_retention_days: Option<Option<i64>>,
    /// Another glossary.
    pub glossary: Option<Vec<String>>,
}

impl App {
    /// How many meetings are live, for the metrics.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn meetings_live(&self) -> Result<i64> {
        Ok(self.store().read().await?.meeting_count_live().await?)
    }

    /// Makes a meeting with the caller as host.
    ///
    /// # Errors
    /// `VALIDATION_FAILED`, `NOT_FOUND` for a series or an agent the caller cannot see.
    pub async fn meeting_create(&self, ctx: &Ctx, new: MeetingNew) -> Result<Meeting> {
        let user_id = user_may(&ctx.actor, Scope::MeetingsWrite)?;
        let meeting = Meeting {
            id: self.id(ctx),
            owner_id: user_id,
            series_id: new.series_id,
            title: new.title,
            description: new.description,
            status: MeetingStatus::Scheduled,
            starts_at: new.starts_at,
            ends_at: new.ends_at,
            time_zone: new.time_zone,
            started_at: None,
            ended_at: None,
            access: new.access.unwrap_or(MeetingAccess::Invite),
            lobby: new.lobby.unwrap_or(false),
            locked: false,
            consent_policy: new.consent_policy.unwrap_or(ConsentPolicy::Ask),
            memory_mode: new.memory_mode.unwrap_or(MemoryMode::Auto),
            memory_retention_days: new.memory_retention_days,
            glossary: new.glossary,
            version: 1,
            created_at: ctx.now,
            updated_at: ctx.now,
            archived_at: None,
        };
        let meeting = checked(meeting)?;
        let mut change = self.change(ctx).await?;
        if let Some(series_id) = meeting.series_id
            && !change.series_is_visible(series_id, user_id).await?
        {
            return Err(Error::not_found("series"));
        }
        let name = change.user_get(user_id).await?.name;
        let host = Participant {
            id: self.id(ctx),
            meeting_id: meeting.id,
            user_id: Some(user_id),
            agent_id: None,
            name,
            role: MeetingRole::Host,
            state: ParticipantState::Invited,
            muted: false,
            joined_at: None,
            left_at: None,
            created_at: ctx.now,
            updated_at: ctx.now,
        };
        change.meeting_insert(&meeting, &self.invite_code()).await?;
        change.participant_insert(&host).await?;
        change
            .meeting_event(meeting.id, EventKind::MeetingCreated, &meeting)
            .await?;
        self.meeting_agents_invite(&mut change, ctx, &meeting, &new.agents)
            .await?;
        change.commit().await?;
        Ok(meeting)
    }

    /// One meeting.
    ///
    /// # Errors
    /// `NOT_FOUND` for who has no part in it.
    pub async fn meeting_get(&self, ctx: &Ctx, id: MeetingId) -> Result<Access> {
        self.meeting_access(ctx, id, MeetingAction::Read).await
    }

    /// The caller's meetings, newest first.
    ///
    /// # Errors
    /// `INVALID_CURSOR`.
    pub async fn meeting_list(
        &self,
        ctx: &Ctx,
        filter: &MeetingFilter,
        page: &PageQuery,
    ) -> Result<Page<Meeting>> {
        let user_id = user_may(&ctx.actor, Scope::MeetingsRead)?;
        let before = cursor_id(page)?;
        if let Some(text) = &filter.text {
            valid::optional_line("q", text, 200)?;
        }
        let rows = self
            .store()
            .read()
            .await?
            .meeting_list(user_id, filter, before, page.limit + 1)
            .await?;
        Ok(Page::from_rows(rows, page.limit, |row| cursor_of(row.id)))
    }

    /// Changes a meeting. `expected` is the version the caller last saw, when it guards.
    ///
    /// # Errors
    /// `PRECONDITION_FAILED` when it changed since, `VALIDATION_FAILED`, `NOT_FOUND`, `FORBIDDEN`.
    pub async fn meeting_update(
        &self,
        ctx: &Ctx,
        id: MeetingId,
        patch: MeetingPatch,
        expected: Option<i64>,
    ) -> Result<Meeting> {
        let mut change = self.change(ctx).await?;
        change.meeting_lock(id).await?;
        let access = meeting_access(&mut change, ctx, id, MeetingAction::Manage).await?;
        let old = access.meeting;
        if expected.is_some_and(|version| version != old.version) {
            return Err(Error::new(
                Code::PreconditionFailed,
                "the meeting changed since you read it",
            ));
        }
        let series_changed = patch
            .series_id
            .flatten()
            .filter(|series| Some(*series) != old.series_id);
        if let (Some(series_id), Some(user_id)) = (series_changed, ctx.actor.user_id())
            && !change.series_is_visible(series_id, user_id).await?
        {
            return Err(Error::not_found("series"));
        }
        let meeting = checked(Meeting {
            title: patch.title.unwrap_or(old.title),
            description: patch.description.unwrap_or(old.description),
            starts_at: patch.starts_at.unwrap_or(old.starts_at),
            ends_at: patch.ends_at.unwrap_or(old.ends_at),
            time_zone: patch.time_zone.unwrap_or(old.time_zone),
            series_id: patch.series_id.unwrap_or(old.series_id),
            access: patch.access.unwrap_or(old.access),
            lobby: patch.lobby.unwrap_or(old.lobby),
            consent_policy: patch.consent_policy.unwrap_or(old.consent_policy),
            memory_mode: patch.memory_mode.unwrap_or(old.memory_mode),
            memory_retention_days: patch
                .memory_retention_days
                .unwrap_or(old.memory_retention_days),
            glossary: patch.glossary.unwrap_or(old.glossary),
            ..old
        })?;
        if !change.meeting_update(&meeting, ctx.now).await? {
            return Err(Error::new(
                Code::PreconditionFailed,
                "the meeting changed at the same time",
            ));
        }
        let meeting = Meeting {
            version: meeting.version + 1,
            updated_at: ctx.now,
            ..meeting
        };
        change
            .meeting_event(id, EventKind::MeetingUpdated, &meeting)
            .await?;
        change.commit().await?;
        Ok(meeting)
    }

    /// Deletes a meeting for now: a live one is ended first; it can be restored for a while.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN`.
    pub async fn meeting_delete(&self, ctx: &Ctx, id: MeetingId) -> Result<Meeting> {
        let mut change = self.change(ctx).await?;
        change.meeting_lock(id).await?;
        let access = meeting_access(&mut change, ctx, id, MeetingAction::Delete).await?;
        let meeting = match access.meeting.status {
            MeetingStatus::Live => {
                self.meeting_end_within(&mut change, ctx, access.meeting)
                    .await?
            }
            _ => access.meeting,
        };
        change
            .meeting_archive_set(id, Some(ctx.now), ctx.now)
            .await?;
        change
            .meeting_event(id, EventKind::MeetingArchived, &json!({ "meeting_id": id }))
            .await?;
        change.audit("meeting.archived", id, json!({})).await?;
        change.authority_changes(AuthorityChange::Meeting(id));
        change.commit().await?;
        Ok(Meeting {
            archived_at: Some(ctx.now),
            version: meeting.version + 1,
            updated_at: ctx.now,
            ..meeting
        })
    }

    /// Brings a deleted meeting back.
    ///
    /// # Errors
    /// `NOT_FOUND` when it is not deleted, erased since, or not the caller's.
    pub async fn meeting_restore(&self, ctx: &Ctx, id: MeetingId) -> Result<Meeting> {
        let mut change = self.change(ctx).await?;
        change.meeting_lock(id).await?;
        let access = archived_access(&mut change, ctx, id, MeetingAction::Delete).await?;
        change.meeting_archive_set(id, None, ctx.now).await?;
        let meeting = Meeting {
            archived_at: None,
            version: access.meeting.version + 1,
            updated_at: ctx.now,
            ..access.meeting
        };
        change
            .meeting_event(id, EventKind::MeetingRestored, &meeting)
            .await?;
        change.audit("meeting.restored", id, json!({})).await?;
        change.commit().await?;
        Ok(meeting)
    }
}

/// The id that a page begins after.
pub(crate) fn cursor_id<T: Id>(page: &PageQuery) -> Result<Option<T>> {
    let Some(bytes) = &page.after else {
        return Ok(None);
    };
    let uuid = bytes.strip_prefix(T::PREFIX.as_bytes());
    let uuid = uuid.and_then(|bytes| uuid::Uuid::from_slice(bytes).ok());
    let wrong = || Error::new(Code::InvalidCursor, "the cursor was not made by this list");
    uuid.map(|uuid| Some(T::from_uuid(uuid))).ok_or_else(wrong)
}

/// The cursor behind the row with this id. It says of what kind the rows are, so that another list
/// does not take it for its own.
pub(crate) fn cursor_of<T: Id>(id: T) -> Vec<u8> {
    [T::PREFIX.as_bytes(), id.uuid().as_bytes()].concat()
}

/// Holds a time zone to the shape of an IANA name; the calendar of whoever reads it knows more.
fn zone_name(zone: &str) -> Result<String> {
    let zone = valid::line("time_zone", zone, 64)?;
    let known = |letter: char| letter.is_ascii_alphanumeric() || "/_+-".contains(letter);
    if !zone.starts_with(|letter: char| letter.is_ascii_alphabetic()) || !zone.chars().all(known) {
        return Err(Error::invalid(
            "time_zone",
            "must be an IANA name such as Europe/Stockholm",
        ));
    }
    Ok(zone)
}

/// Holds the fields of a meeting to their rules.
fn checked(meeting: Meeting) -> Result<Meeting> {
    let title = valid::line("title", &meeting.title, 200)?;
    let description = meeting
        .description
        .map(|text| valid::optional_text("description", &text, 20_000))
        .transpose()?;
    let time_zone = meeting.time_zone.map(|zone| zone_name(&zone)).transpose()?;
    let glossary = valid::lines("glossary", &meeting.glossary, 500, 100)?;
    if let (Some(start), Some(end)) = (meeting.starts_at, meeting.ends_at)
        && end < start
    {
        return Err(Error::invalid("ends_at", "must not be before starts_at"));
    }
    if meeting
        .memory_retention_days
        .is_some_and(|days| !(1..=36_500).contains(&days))
    {
        return Err(Error::invalid(
            "memory_retention_days",
            "must be 1 to 36500",
        ));
    }
    Ok(Meeting {
        title,
        description,
        time_zone,
        glossary,
        ..meeting
    })
}
