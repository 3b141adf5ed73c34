//! One's own account: profile, password, everything of mine, and leaving.

mod export;

use std::collections::BTreeMap;

use meetmind_core::{
    Code, Ctx, Error, EventKind, EventTopic, MeetingId, ParticipantId, ParticipantState, Result,
    Scope, User, UserId, scope_check, session_may, user_may,
};
use meetmind_store::OneTimePurpose;
use serde::Serialize;
use serde_json::{Value, json};

pub use self::export::AccountExport;

use crate::admin::refuse_without_administrator;
use crate::auth::session_id;
use crate::{App, AuthorityChange, Change, valid};

/// What stands where a name stood, in the meetings of others.
pub const FORMER_PARTICIPANT: &str = "Former participant";

/// Rows read at a time.
const ROWS: i64 = 500;

/// What changes in a profile: absent stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProfilePatch {
    /// What others see, 1 to 100 characters.
    pub name: Option<String>,
    /// Any JSON object up to 16 KB; `Some(None)` empties it.
    pub preferences: Option<Option<Value>>,
    /// A new password; ends the other sessions.
    pub password: Option<String>,
    /// Needed with a new password.
    pub current_password: Option<String>,
}

/// What an erasure did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct AccountReceipt {
    /// Rows deleted, by store; those of one's own meetings included.
    pub erased: BTreeMap<String, i64>,
    /// Rows in other people's meetings where the name was replaced and the link to the account
    /// cut, by store; `memories_about_me` were deleted.
    pub anonymised: BTreeMap<String, i64>,
    /// What is still there, and until when.
    pub kept: Vec<String>,
}

impl App {
    /// The caller's own account.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, `FORBIDDEN` for guests, `SCOPE_MISSING`.
    pub async fn profile_get(&self, ctx: &Ctx) -> Result<User> {
        let id = user_may(&ctx.actor, Scope::Profile)?;
        Ok(self.store().read().await?.user_get(id).await?)
    }

    /// Changes the caller's own account. A new password needs the current one, and ends all
    /// other sessions.
    ///
    /// # Errors
    /// `VALIDATION_FAILED`, `WEAK_PASSWORD`, `INVALID_CREDENTIALS`, `TOO_MANY_ATTEMPTS`;
    /// `FORBIDDEN` for a password with an API key.
    pub async fn profile_update(&self, ctx: &Ctx, patch: ProfilePatch) -> Result<User> {
        let id = user_may(&ctx.actor, Scope::Profile)?;
        let name = patch
            .name
            .map(|name| valid::line("name", &name, 100))
            .transpose()?;
        if let Some(Some(preferences)) = &patch.preferences {
            valid::object("preferences", preferences, 16 * 1024)?;
        }
        let password = match patch.password {
            None => None,
            Some(password) => {
                session_may(&ctx.actor)?;
                let current = patch.current_password.ok_or_else(|| {
                    Error::invalid("current_password", "is needed to set a new password")
                })?;
                let user = self.store().read().await?.user_get(id).await?;
                let confirmed = self.password_confirmed(ctx, &user, current).await?;
                Some((confirmed, self.password_hashed(&user, password).await?))
            }
        };
        let mut change = self.change(ctx).await?;
        let old = change.user_get(id).await?;
        let user = User {
            name: name.unwrap_or_else(|| old.name.clone()),
            preferences: match patch.preferences {
                None => old.preferences.clone(),
                Some(new) => new.unwrap_or_else(|| json!({})),
            },
            updated_at: ctx.now,
            ..old
        };
        change.user_update(&user).await?;
        if let Some((confirmed, new)) = password {
            self.password_change_within(&mut change, ctx, id, &confirmed, &new)
                .await?;
            change.authority_changes(AuthorityChange::User(id));
        }
        change.commit().await?;
        Ok(user)
    }

    async fn password_change_within(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        id: UserId,
        confirmed: &str,
        new: &str,
    ) -> Result<()> {
        if change.user_password_find(id).await?.as_deref() != Some(confirmed) {
            return Err(Error::new(
                Code::Conflict,
                "the password changed at the same time",
            ));
        }
        change.user_password_set(id, new, ctx.now).await?;
        let kept = Some(session_id(&ctx.actor)?);
        let sessions = change.session_revoke_user(id, kept, ctx.now).await?;
        change
            .one_time_delete(OneTimePurpose::Reset, Some(id))
            .await?;
        let details = json!({ "sessions_ended": sessions });
        change.audit("password.changed", id, details).await
    }

    /// Erases the caller's account: what belongs to it, and the meetings that the caller made.
    /// In other people's meetings the words stay, because they are part of what others said and
    /// decided there; the name is replaced and the link to the account cut.
    ///
    /// # Errors
    /// `INVALID_CREDENTIALS`, `TOO_MANY_ATTEMPTS`, `CONFLICT` for the last administrator,
    /// `FORBIDDEN` for who is not signed in with a session.
    pub async fn account_erase(&self, ctx: &Ctx, password: String) -> Result<AccountReceipt> {
        let id = session_may(&ctx.actor)?;
        scope_check(&ctx.actor, Scope::Profile)?;
        let user = self.store().read().await?.user_get(id).await?;
        self.password_confirmed(ctx, &user, password).await?;
        self.recordings_halt_of(ctx).await?;
        let mut change = self.change(ctx).await?;
        change.admin_lock().await?;
        let user = change.user_get(id).await?;
        let mut erased: BTreeMap<String, i64> = BTreeMap::from([("users".to_owned(), 1)]);
        for counted in change.erase_count(id).await? {
            erased.insert(counted.part, counted.touched);
        }
        let events = self.erase_topics(&mut change, ctx, id).await?;
        erased.insert(
            "events".to_owned(),
            i64::try_from(events).unwrap_or(i64::MAX),
        );
        let places = joined_elsewhere(&mut change, id).await?;
        let tracks = self.recordings_erase_user(&mut change, ctx, id).await?;
        *erased.entry("recording_files".to_owned()).or_default() +=
            i64::try_from(tracks).unwrap_or(i64::MAX);
        let mut anonymised = BTreeMap::new();
        for (part, rows) in change
            .anonymise_user(id, FORMER_PARTICIPANT, ctx.now)
            .await?
        {
            anonymised.insert(part.to_owned(), i64::try_from(rows).unwrap_or(i64::MAX));
        }
        for (meeting, participant) in places {
            let left = change.participant_get(meeting, participant).await?;
            change
                .meeting_event(meeting, EventKind::ParticipantLeft, &left)
                .await?;
        }
        self.attempts_forget(&mut change, &user.email).await?;
        change.user_delete(id).await?;
        refuse_without_administrator(&mut change, &user).await?;
        change.audit("user.erased", id, json!({})).await?;
        change.authority_changes(AuthorityChange::User(id));
        change.commit().await?;
        let days = self.settings().event_retention.as_secs() / 86_400;
        Ok(AccountReceipt {
            erased,
            anonymised,
            kept: vec![
                format!("the event streams of other people's meetings hold the name for up to {days} days"),
                "what you said in other people's meetings stays in their transcripts, without your name as the speaker".to_owned(),
                "recordings that mix everybody's sound in other people's meetings keep your voice, unless you erase your words there first".to_owned(),
                "the audit log keeps the account's id, without the address it called from".to_owned(),
                "backups that were made before".to_owned(),
            ],
        })
    }
}

/// Where in other people's meetings the user is right now: they leave with the account.
async fn joined_elsewhere(
    change: &mut Change<'_>,
    id: UserId,
) -> Result<Vec<(MeetingId, ParticipantId)>> {
    let (mut places, mut after) = (Vec::new(), None);
    loop {
        let meetings = change.room_meetings_of_user(id, after, ROWS).await?;
        let Some(last) = meetings.last() else {
            return Ok(places);
        };
        after = Some(*last);
        for meeting in meetings {
            let found = change.participant_find_user(meeting, id).await?;
            if let Some(own) = found.filter(|own| own.state == ParticipantState::Joined) {
                places.push((meeting, own.id));
            }
        }
    }
}

impl App {
    /// Erases the user's own meetings and all event streams that go with the account; those who
    /// listen to a meeting are told. Gives the number of events.
    async fn erase_topics(&self, change: &mut Change<'_>, ctx: &Ctx, id: UserId) -> Result<u64> {
        let mut events = change.event_erase(EventTopic::User(id)).await?;
        let mut after = None;
        loop {
            let runs = change.erase_run_ids(id, after, ROWS).await?;
            let Some(last) = runs.last() else { break };
            after = Some(*last);
            for run in runs {
                events += change.event_erase(EventTopic::Run(run)).await?;
            }
        }
        loop {
            let meetings = change.erase_meeting_ids(id, ROWS).await?;
            if meetings.is_empty() {
                return Ok(events);
            }
            for meeting in meetings {
                let data = json!({ "meeting_id": meeting });
                change
                    .meeting_event(meeting, EventKind::MeetingErased, &data)
                    .await?;
                events += change.event_erase(EventTopic::Meeting(meeting)).await?;
                change.erase_meeting_memory_changes(meeting).await?;
                self.recordings_erase_within(change, ctx, meeting).await?;
                change.meeting_delete(meeting).await?;
                change.authority_changes(AuthorityChange::Meeting(meeting));
            }
        }
    }
}
