//! Decisions: reading, entering, confirming, and how one takes the place of another.

use meetmind_ai::local;
use meetmind_core::{
    Actor, Code, Ctx, Decision, DecisionId, DecisionStatus, Error, EventKind, Marker, Meeting,
    MeetingAction, MeetingId, Page, PageQuery, Result, Scope, SegmentId, SeriesId, user_may,
};
use meetmind_store::{Conn, DecisionFilter};
use serde::Serialize;

use super::actions::{changed_since, checked_segments};
use super::item_text;
use super::similar::likeness;
use crate::meetings::{cursor_id, cursor_of, meeting_access, words_access};
use crate::{App, Change};

/// Decisions that one may replace at once.
const SUPERSEDES_MAX: usize = 20;
/// Candidates shown for one decision.
const CANDIDATES_MAX: usize = 3;

/// A decision that somebody enters.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DecisionNew {
    /// What was decided; at most 4,000 bytes.
    pub text: String,
    /// Whether it counts as confirmed at once; only who may edit notes may say so.
    pub confirmed: bool,
    /// Where it was said, at most 100 final segments of the meeting.
    pub segment_ids: Vec<SegmentId>,
}

/// What changes in a decision.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DecisionPatch {
    /// New words.
    pub text: Option<String>,
    /// Where it stands now.
    pub status: Option<DecisionStatus>,
    /// Earlier decisions, of the meeting or its series, whose place it takes; it must be
    /// confirmed, now or with this change.
    pub supersedes: Vec<DecisionId>,
}

/// A decision with its place in the chain.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct DecisionView {
    /// The decision.
    #[serde(flatten)]
    pub decision: Decision,
    /// The decisions whose place it took.
    pub supersedes: Vec<DecisionId>,
    /// Earlier decisions it seems to reverse, while it is a proposal whose words say so
    /// ("instead of …"). Confirm it with these in `supersedes` if that is meant.
    pub supersedes_candidates: Vec<DecisionId>,
}

fn may_become(from: DecisionStatus, to: DecisionStatus) -> bool {
    use DecisionStatus as S;
    from == to
        || match from {
            S::Proposed => matches!(to, S::Confirmed | S::Dismissed),
            S::Confirmed => matches!(to, S::Proposed | S::Dismissed),
            S::Superseded | S::Dismissed => to == S::Proposed,
        }
}

impl App {
    /// The decisions of a meeting, in the order they were found.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_CURSOR`.
    pub async fn decision_list(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        status: Option<DecisionStatus>,
        page: &PageQuery,
    ) -> Result<Page<DecisionView>> {
        let mut conn = self.store().read().await?;
        let access =
            meeting_access(&mut conn, ctx, meeting_id, MeetingAction::ReadTranscript).await?;
        let rows = conn
            .decision_list(meeting_id, status, cursor_id(page)?, page.limit + 1)
            .await?;
        let page = Page::from_rows(rows, page.limit, |row| cursor_of(row.id));
        views(&mut conn, ctx, page, Some(&access.meeting)).await
    }

    /// Decisions of the caller's meetings, newest first.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, `FORBIDDEN`, `INVALID_CURSOR`.
    pub async fn decision_search(
        &self,
        ctx: &Ctx,
        filter: &DecisionFilter,
        page: &PageQuery,
    ) -> Result<Page<DecisionView>> {
        let user_id = user_may(&ctx.actor, Scope::TranscriptsRead)?;
        let mut conn = self.store().read().await?;
        let rows = conn
            .decision_search(user_id, filter, cursor_id(page)?, page.limit + 1)
            .await?;
        let page = Page::from_rows(rows, page.limit, |row| cursor_of(row.id));
        views(&mut conn, ctx, page, None).await
    }

    /// One decision.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn decision_get(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        id: DecisionId,
    ) -> Result<DecisionView> {
        let mut conn = self.store().read().await?;
        let access =
            meeting_access(&mut conn, ctx, meeting_id, MeetingAction::ReadTranscript).await?;
        let decision = of_meeting(&mut conn, meeting_id, id).await?;
        view(&mut conn, ctx, decision, access.meeting.series_id).await
    }

    /// Enters a decision; it is explicit, and a proposal unless an editor confirms it at once.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN`, `VALIDATION_FAILED`.
    pub async fn decision_create(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        new: DecisionNew,
    ) -> Result<Decision> {
        let mut change = self.change(ctx).await?;
        let needed = if new.confirmed {
            MeetingAction::EditNotes
        } else {
            MeetingAction::Propose
        };
        meeting_access(&mut change, ctx, meeting_id, needed).await?;
        let decision = Decision {
            id: self.id(ctx),
            meeting_id,
            text: item_text(&new.text)?,
            status: if new.confirmed {
                DecisionStatus::Confirmed
            } else {
                DecisionStatus::Proposed
            },
            marker: Marker::Explicit,
            superseded_by: None,
            segment_ids: checked_segments(&mut change, meeting_id, &new.segment_ids).await?,
            edited: true,
            stale: false,
            version: 1,
            created_at: ctx.now,
            updated_at: ctx.now,
        };
        change.decision_insert(&decision).await?;
        change
            .meeting_event(meeting_id, EventKind::DecisionProposed, &decision)
            .await?;
        change.commit().await?;
        Ok(decision)
    }

    /// Changes a decision. `expected` is the version the caller last saw, when it guards. A
    /// decision that is confirmed no more gives back the places it took: those decisions are
    /// proposals again.
    ///
    /// # Errors
    /// `CONFLICT` for a change of state that makes no sense, `PRECONDITION_FAILED`, `NOT_FOUND`,
    /// `FORBIDDEN`, `VALIDATION_FAILED`.
    pub async fn decision_update(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        id: DecisionId,
        patch: DecisionPatch,
        expected: Option<i64>,
    ) -> Result<DecisionView> {
        let mut change = self.change(ctx).await?;
        let access = words_access(&mut change, ctx, meeting_id, MeetingAction::EditNotes).await?;
        let old = of_meeting(&mut change, meeting_id, id).await?;
        if expected.is_some_and(|version| version != old.version) {
            return Err(changed_since("decision"));
        }
        let status = patch.status.unwrap_or(old.status);
        if !may_become(old.status, status) {
            let message = if status == DecisionStatus::Superseded {
                "a decision is superseded by confirming the one that takes its place, with `supersedes`"
                    .to_owned()
            } else {
                format!("a decision cannot go from {} to {status}", old.status)
            };
            return Err(Error::new(Code::Conflict, message));
        }
        if !patch.supersedes.is_empty() && status != DecisionStatus::Confirmed {
            return Err(Error::new(
                Code::Conflict,
                "only a confirmed decision takes the place of another",
            ));
        }
        if patch.supersedes.len() > SUPERSEDES_MAX {
            return Err(Error::invalid(
                "supersedes",
                format!("must have at most {SUPERSEDES_MAX} entries"),
            ));
        }
        let text = match &patch.text {
            Some(text) => item_text(text)?,
            None => old.text.clone(),
        };
        let decision = Decision {
            text,
            status,
            superseded_by: old
                .superseded_by
                .filter(|_| status == DecisionStatus::Superseded),
            edited: true,
            // Somebody looked at it again.
            stale: false,
            updated_at: ctx.now,
            ..old.clone()
        };
        if !change.decision_update(&old, &decision).await? {
            return Err(changed_since("decision"));
        }
        let decision = Decision {
            version: old.version + 1,
            ..decision
        };
        let mut told = vec![decision.clone()];
        if old.status == DecisionStatus::Confirmed && status != DecisionStatus::Confirmed {
            for earlier in change.decision_superseded_by(id).await? {
                told.push(moved(&mut change, ctx, earlier, None).await?);
            }
        }
        for earlier in &patch.supersedes {
            let earlier = replaceable(
                &mut change,
                ctx,
                &decision,
                access.meeting.series_id,
                *earlier,
            )
            .await?;
            if earlier.superseded_by != Some(id) {
                told.push(moved(&mut change, ctx, earlier, Some(id)).await?);
            }
        }
        for decision in &told {
            change
                .meeting_event(decision.meeting_id, EventKind::DecisionUpdated, decision)
                .await?;
        }
        let shown = view(&mut change, ctx, decision, access.meeting.series_id).await?;
        change.commit().await?;
        Ok(shown)
    }
}

async fn of_meeting(conn: &mut Conn, meeting_id: MeetingId, id: DecisionId) -> Result<Decision> {
    let decision = conn.decision_get(id).await?;
    if decision.meeting_id == meeting_id {
        Ok(decision)
    } else {
        Err(Error::not_found("decision"))
    }
}

/// An earlier decision whose place `by` may take, as the caller sees and may change it.
async fn replaceable(
    change: &mut Change<'_>,
    ctx: &Ctx,
    by: &Decision,
    series_id: Option<SeriesId>,
    id: DecisionId,
) -> Result<Decision> {
    let earlier = change.decision_get(id).await?;
    let access = words_access(change, ctx, earlier.meeting_id, MeetingAction::EditNotes)
        .await
        .map_err(|error| match error.code {
            // Which meeting it is in is not for the caller to know.
            Code::NotFound => Error::not_found("decision"),
            _ => error,
        })?;
    let related = earlier.meeting_id == by.meeting_id
        || (series_id.is_some() && access.meeting.series_id == series_id);
    if earlier.id == by.id || !related {
        return Err(Error::invalid(
            "supersedes",
            "must be other decisions of this meeting or its series",
        ));
    }
    let open = matches!(
        earlier.status,
        DecisionStatus::Proposed | DecisionStatus::Confirmed
    );
    if open || earlier.superseded_by == Some(by.id) {
        return Ok(earlier);
    }
    Err(Error::new(
        Code::Conflict,
        format!("{id} is {} already", earlier.status),
    ))
}

/// Lets another decision take the place of `earlier`, or gives it back as a proposal.
async fn moved(
    change: &mut Change<'_>,
    ctx: &Ctx,
    earlier: Decision,
    by: Option<DecisionId>,
) -> Result<Decision> {
    let made = Decision {
        status: match by {
            Some(_) => DecisionStatus::Superseded,
            None => DecisionStatus::Proposed,
        },
        superseded_by: by,
        edited: true,
        updated_at: ctx.now,
        ..earlier.clone()
    };
    if !change.decision_update(&earlier, &made).await? {
        return Err(changed_since("decision"));
    }
    Ok(Decision {
        version: earlier.version + 1,
        ..made
    })
}

/// A page of decisions with their chains; `of` is their meeting when all are of one.
async fn views(
    conn: &mut Conn,
    ctx: &Ctx,
    page: Page<Decision>,
    of: Option<&Meeting>,
) -> Result<Page<DecisionView>> {
    let mut items = Vec::with_capacity(page.items.len());
    for decision in page.items {
        let series_id = match of {
            Some(meeting) => meeting.series_id,
            None => conn.meeting_get(decision.meeting_id).await?.series_id,
        };
        items.push(view(conn, ctx, decision, series_id).await?);
    }
    Ok(Page {
        items,
        next_cursor: page.next_cursor,
    })
}

/// A decision with its chain, as far as the caller may see it.
async fn view(
    conn: &mut Conn,
    ctx: &Ctx,
    decision: Decision,
    series_id: Option<SeriesId>,
) -> Result<DecisionView> {
    let mut supersedes = Vec::new();
    if decision.status != DecisionStatus::Proposed {
        for earlier in conn.decision_superseded_by(decision.id).await? {
            supersedes.push(earlier.id);
        }
    }
    let mut supersedes_candidates = Vec::new();
    if decision.status == DecisionStatus::Proposed && local::reversal_hint(&decision.text).is_some()
    {
        // An agent speaks to the whole room: it looks no further than the room's own meeting.
        let user_id = match &ctx.actor {
            Actor::User { user_id, .. } => Some(*user_id),
            _ => None,
        };
        let earlier = conn.decision_earlier(&decision, series_id, user_id).await?;
        let mut alike: Vec<(f32, DecisionId)> = earlier
            .iter()
            .map(|earlier| (likeness(&decision.text, &earlier.text), earlier.id))
            .filter(|(likeness, _)| *likeness > 0.0)
            .collect();
        // The newest first among equals.
        alike.sort_by(|a, b| b.0.total_cmp(&a.0));
        supersedes_candidates = alike
            .into_iter()
            .take(CANDIDATES_MAX)
            .map(|(_, id)| id)
            .collect();
    }
    Ok(DecisionView {
        decision,
        supersedes,
        supersedes_candidates,
    })
}
