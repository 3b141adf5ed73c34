//! Consent: who agreed to what is kept, the ledger of it, and taking words back.

use std::time::Duration;

use meetmind_core::{
    Consent, ConsentPolicy, ConsentState, Ctx, Error, EventKind, Meeting, MeetingAction, MeetingId,
    MeetingRole, Page, PageQuery, ParticipantId, Result, Timestamp,
};
use meetmind_store::Conn;
use serde::Serialize;

use super::access::meeting_access;
use super::crud::{cursor_id, cursor_of};
use super::participants::visible_participant;
use crate::App;

/// What a participant agrees to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConsentKind {
    /// Keeping what they say as text.
    Transcript,
    /// Remembering it beyond the meeting.
    Memory,
}

/// Whether words of a participant may be kept for this purpose. Agents need no consent. Words
/// without a participant (an imported file, a name nobody here has) are nobody's to refuse here:
/// they are kept unless the meeting captures nothing, and who enters them answers for them.
///
/// # Errors
/// `NOT_FOUND` when the participant is not one of this meeting, or the database cannot be reached.
pub(crate) async fn consent_permits(
    conn: &mut Conn,
    meeting: &Meeting,
    participant_id: Option<ParticipantId>,
    kind: ConsentKind,
) -> Result<bool> {
    if meeting.consent_policy == ConsentPolicy::Off {
        return Ok(false);
    }
    let Some(participant_id) = participant_id else {
        return Ok(true);
    };
    let (role, transcript, memory) = conn.consent_standing(meeting.id, participant_id).await?;
    if role == MeetingRole::Agent {
        return Ok(true);
    }
    let word = match kind {
        ConsentKind::Transcript => transcript,
        ConsentKind::Memory => memory,
    };
    let word = word.filter(|word| *word != ConsentState::Pending);
    Ok(meeting.consent_policy.permits(word))
}

/// What a participant says: absent stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConsentChange {
    /// On keeping what they say as text.
    pub transcript: Option<ConsentState>,
    /// On keeping what they say as sound or picture.
    pub recording: Option<ConsentState>,
    /// On remembering it beyond the meeting.
    pub memory: Option<ConsentState>,
}

/// A participant's consent in force, and what they can do about what was kept before.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ConsentOutcome {
    /// On text; `pending` when nothing was said yet.
    pub transcript: ConsentState,
    /// On sound and picture.
    pub recording: ConsentState,
    /// On memories.
    pub memory: ConsentState,
    /// When this was said; null when nothing was said yet.
    pub at: Option<Timestamp>,
    /// Whether something may have been kept under consent that was just withdrawn.
    pub erasure_offered: bool,
    /// Where to POST to erase it, when it is offered.
    pub erasure_url: Option<String>,
}

impl App {
    /// Enters the caller's own consent. Saying the same again adds nothing to the ledger.
    ///
    /// # Errors
    /// `NOT_FOUND` for who has no part in the meeting or names nobody there, `FORBIDDEN` for
    /// anybody else's consent, `VALIDATION_FAILED` for `pending`.
    pub async fn consent_set(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        participant_id: ParticipantId,
        said: ConsentChange,
    ) -> Result<ConsentOutcome> {
        for (field, word) in [
            ("transcript", said.transcript),
            ("recording", said.recording),
            ("memory", said.memory),
        ] {
            if word == Some(ConsentState::Pending) {
                return Err(Error::invalid(field, "must be granted or denied"));
            }
        }
        let mut change = self.change(ctx).await?;
        change.meeting_lock(meeting_id).await?;
        let access = meeting_access(&mut change, ctx, meeting_id, MeetingAction::Consent).await?;
        if access.participant_id != Some(participant_id) {
            visible_participant(&mut change, &access, participant_id).await?;
            return Err(Error::forbidden("consent is one's own to give"));
        }
        let old = change.consent_find(participant_id).await?;
        let word = |said: Option<ConsentState>, of: fn(&Consent) -> ConsentState| {
            said.unwrap_or_else(|| old.as_ref().map_or(ConsentState::Pending, of))
        };
        // The newest entry is in force and ids sort by time: this one must be the newest.
        let at = old.as_ref().map_or(ctx.now, |old| {
            ctx.now.max(old.at.plus(Duration::from_micros(1)))
        });
        let new = Consent {
            id: self.entropy().id(at),
            meeting_id,
            participant_id,
            transcript: word(said.transcript, |old| old.transcript),
            recording: word(said.recording, |old| old.recording),
            memory: word(said.memory, |old| old.memory),
            actor: ctx.actor.key(),
            at,
        };
        let words = |entry: &Consent| (entry.transcript, entry.recording, entry.memory);
        let before = old.as_ref().map_or(
            (
                ConsentState::Pending,
                ConsentState::Pending,
                ConsentState::Pending,
            ),
            words,
        );
        if before == words(&new) {
            return Ok(outcome(old.as_ref(), None));
        }
        change.consent_insert(&new).await?;
        change
            .meeting_event(meeting_id, EventKind::ConsentChanged, &new)
            .await?;
        change.commit().await?;
        self.recording_consents_changed(meeting_id).await;
        let policy = access.meeting.consent_policy;
        let withdrawn = |before: ConsentState, now: ConsentState| {
            let before = Some(before).filter(|word| *word != ConsentState::Pending);
            now == ConsentState::Denied && policy.permits(before)
        };
        let offered = withdrawn(before.0, new.transcript)
            || withdrawn(before.1, new.recording)
            || withdrawn(before.2, new.memory);
        let url = offered.then(|| {
            format!("/api/meetings/{meeting_id}/participants/{participant_id}/erase-words")
        });
        Ok(outcome(Some(&new), url))
    }

    /// A participant's consent in force: one's own, and anybody's for hosts and cohosts.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN`.
    pub async fn consent_get(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        participant_id: ParticipantId,
    ) -> Result<ConsentOutcome> {
        let mut conn = self.store().read().await?;
        let access = meeting_access(&mut conn, ctx, meeting_id, MeetingAction::Read).await?;
        visible_participant(&mut conn, &access, participant_id).await?;
        if access.participant_id != Some(participant_id) {
            meeting_access(&mut conn, ctx, meeting_id, MeetingAction::Manage).await?;
        }
        Ok(outcome(
            conn.consent_find(participant_id).await?.as_ref(),
            None,
        ))
    }

    /// The ledger of a meeting, oldest entry first, for hosts and cohosts.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN`, `INVALID_CURSOR`.
    pub async fn consent_list(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        page: &PageQuery,
    ) -> Result<Page<Consent>> {
        let after = cursor_id(page)?;
        let mut conn = self.store().read().await?;
        meeting_access(&mut conn, ctx, meeting_id, MeetingAction::Manage).await?;
        let rows = conn.consent_list(meeting_id, after, page.limit + 1).await?;
        Ok(Page::from_rows(rows, page.limit, |row| cursor_of(row.id)))
    }
}

fn outcome(consent: Option<&Consent>, erasure_url: Option<String>) -> ConsentOutcome {
    let word = |of: fn(&Consent) -> ConsentState| consent.map_or(ConsentState::Pending, of);
    ConsentOutcome {
        transcript: word(|entry| entry.transcript),
        recording: word(|entry| entry.recording),
        memory: word(|entry| entry.memory),
        at: consent.map(|entry| entry.at),
        erasure_offered: erasure_url.is_some(),
        erasure_url,
    }
}

#[cfg(test)]
mod tests {
    use meetmind_core::Participant;

    use super::*;
    use crate::MeetingNew;
    use crate::testing::TestApp;

    #[tokio::test]
    async fn what_may_be_kept_follows_policy_and_word() {
        use ConsentPolicy as P;
        use ConsentState as S;
        let test = TestApp::new().await;
        let host = test.user("host").await;
        // Policy, word on the transcript, whether the transcript and a memory may be kept.
        let table = [
            (P::Ask, None, false, false),
            (P::Ask, Some(S::Granted), true, false),
            (P::Ask, Some(S::Denied), false, false),
            (P::Implied, None, true, true),
            (P::Implied, Some(S::Granted), true, true),
            (P::Implied, Some(S::Denied), false, true),
            (P::Off, Some(S::Granted), false, false),
        ];
        for (policy, word, transcript, memory) in table {
            let ctx = test.ctx(&host);
            let new = MeetingNew {
                title: "x".to_owned(),
                consent_policy: Some(policy),
                ..MeetingNew::default()
            };
            let meeting = test.app.meeting_create(&ctx, new).await.expect("a meeting");
            let access = test
                .app
                .meeting_get(&ctx, meeting.id)
                .await
                .expect("access");
            let own = access.participant_id.expect("a participant");
            let said = ConsentChange {
                transcript: word,
                ..ConsentChange::default()
            };
            let outcome = test.app.consent_set(&ctx, meeting.id, own, said).await;
            outcome.expect("an outcome");
            let mut conn = test.app.store().read().await.expect("a connection");
            let permits = async |conn: &mut Conn, who, kind| {
                consent_permits(conn, &meeting, who, kind)
                    .await
                    .expect("an answer")
            };
            let case = format!("{policy} {word:?}");
            assert_eq!(
                permits(&mut conn, Some(own), ConsentKind::Transcript).await,
                transcript,
                "{case}"
            );
            assert_eq!(
                permits(&mut conn, Some(own), ConsentKind::Memory).await,
                memory,
                "{case}"
            );
            let nobody = permits(&mut conn, None, ConsentKind::Transcript).await;
            assert_eq!(nobody, policy != P::Off, "{case}");
        }
    }

    #[tokio::test]
    async fn agents_need_no_consent_and_strangers_have_no_word() {
        let test = TestApp::new().await;
        let ctx = test.ctx(&test.user("host").await);
        let new = MeetingNew {
            title: "x".to_owned(),
            ..MeetingNew::default()
        };
        let meeting = test.app.meeting_create(&ctx, new).await.expect("a meeting");
        let mut change = test.app.change(&ctx).await.expect("a change");
        let host = change.participant_find_host(meeting.id).await;
        let agent = Participant {
            id: test.app.id(&ctx),
            user_id: None,
            role: MeetingRole::Agent,
            ..host.expect("a row").expect("a host")
        };
        change.participant_insert(&agent).await.expect("an agent");
        let kind = ConsentKind::Transcript;
        let allowed = consent_permits(&mut change, &meeting, Some(agent.id), kind).await;
        assert!(allowed.expect("an answer"));
        let unknown = consent_permits(&mut change, &meeting, Some(test.app.id(&ctx)), kind).await;
        assert_eq!(
            unknown.map_err(|error| error.code),
            Err(meetmind_core::Code::NotFound)
        );
    }
}
