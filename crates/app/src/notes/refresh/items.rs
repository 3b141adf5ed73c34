//! Actions and decisions of one pass: what is found anew continues the row it was, and what a
//! person has touched stays as it is. Both go the same way; [`Row`] holds what differs.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt::Display;

use meetmind_ai::local;
use meetmind_core::{
    Action, ActionStatus, Decision, DecisionStatus, EventKind, Marker, MeetingId, SegmentId,
};
use meetmind_store::Conn;
use serde::Serialize;

use super::{Pass, Stored};
use crate::notes::ITEMS_MAX;
use crate::notes::actions::account_named;
use crate::notes::merge::{Item, matches, normalised};

/// Actions, and as many decisions, that a pass proposes for one meeting. A day of talk has tens; a
/// file that says "we decided" in each of its lines must not hold the database for everybody.
const FOUND_MAX: usize = 500;
/// Segments that one of them cites.
const EVIDENCE_MAX: usize = 100;

/// An action or a decision as the engine found it.
#[derive(Debug)]
pub(super) struct Candidate {
    text: String,
    owner: Option<String>,
    due: Option<String>,
    marker: Marker,
    segment_ids: Vec<SegmentId>,
}

impl From<&local::ActionCandidate<SegmentId>> for Candidate {
    fn from(found: &local::ActionCandidate<SegmentId>) -> Self {
        Self {
            text: found.text.clone(),
            owner: found.owner.clone(),
            due: found.due.clone(),
            marker: marker(found.marker),
            segment_ids: found.segment_ids.clone(),
        }
    }
}

impl From<&local::DecisionCandidate<SegmentId>> for Candidate {
    fn from(found: &local::DecisionCandidate<SegmentId>) -> Self {
        Self {
            text: found.text.clone(),
            owner: None,
            due: None,
            marker: marker(found.marker),
            segment_ids: found.segment_ids.clone(),
        }
    }
}

fn marker(marker: local::Marker) -> Marker {
    match marker {
        local::Marker::Explicit => Marker::Explicit,
        local::Marker::Pattern => Marker::Pattern,
    }
}

/// A stored action or decision.
pub(super) trait Row: Clone + PartialEq + Serialize {
    const PROPOSED: EventKind;
    const UPDATED: EventKind;

    fn id(&self) -> impl Display;
    fn item(&self) -> Item;
    /// Whether no person has touched it.
    fn is_own(&self) -> bool;
    fn segment_ids(&self) -> &[SegmentId];
    /// The same with other evidence.
    fn resting_on(&self, segment_ids: Vec<SegmentId>) -> Self;
    /// What the candidate is as a row; it continues `row` when there is one.
    fn next(pass: &Pass<'_, '_>, candidate: &Candidate, row: Option<&Self>) -> Self;
    /// The same, changed at the moment of the pass.
    fn touched(self, pass: &Pass<'_, '_>) -> Self;
    /// The same as the store has it after an update.
    fn counted_up(self) -> Self;

    async fn list(conn: &mut Conn, id: MeetingId) -> Stored<Vec<Self>>;
    async fn insert(&self, conn: &mut Conn) -> Stored<()>;
    async fn update(&self, conn: &mut Conn, old: &Self) -> Stored<bool>;
    async fn delete(&self, conn: &mut Conn) -> Stored<()>;
}

/// What is the same text for both kinds of row.
macro_rules! row {
    ($row:ident, $status:ident, $proposed:ident, $updated:ident, $list:ident, $insert:ident, $update:ident, $delete:ident, $next:item) => {
        impl Row for $row {
            const PROPOSED: EventKind = EventKind::$proposed;
            const UPDATED: EventKind = EventKind::$updated;

            fn id(&self) -> impl Display {
                self.id
            }
            fn item(&self) -> Item {
                Item::new(&self.text, &self.segment_ids)
            }
            fn is_own(&self) -> bool {
                self.status == $status::Proposed && !self.edited
            }
            fn segment_ids(&self) -> &[SegmentId] {
                &self.segment_ids
            }
            fn resting_on(&self, segment_ids: Vec<SegmentId>) -> Self {
                Self {
                    segment_ids,
                    ..self.clone()
                }
            }
            $next
            fn touched(self, pass: &Pass<'_, '_>) -> Self {
                Self {
                    updated_at: pass.ctx.now,
                    ..self
                }
            }
            fn counted_up(self) -> Self {
                Self {
                    version: self.version + 1,
                    ..self
                }
            }

            async fn list(conn: &mut Conn, id: MeetingId) -> Stored<Vec<Self>> {
                conn.$list(id, None, None, ITEMS_MAX).await
            }
            async fn insert(&self, conn: &mut Conn) -> Stored<()> {
                conn.$insert(self).await
            }
            async fn update(&self, conn: &mut Conn, old: &Self) -> Stored<bool> {
                conn.$update(old, self).await
            }
            async fn delete(&self, conn: &mut Conn) -> Stored<()> {
                conn.$delete(self.id).await
            }
        }
    };
}

row!(
    Action,
    ActionStatus,
    ActionProposed,
    ActionUpdated,
    action_list,
    action_insert,
    action_update,
    action_delete,
    fn next(pass: &Pass<'_, '_>, candidate: &Candidate, row: Option<&Self>) -> Self {
        let now = pass.ctx.now;
        let people = &pass.material.participants;
        let owner = candidate.owner.as_deref();
        Self {
            id: row.map_or_else(|| pass.app.id(pass.ctx), |row| row.id),
            meeting_id: pass.meeting.id,
            text: candidate.text.clone(),
            owner: candidate.owner.clone(),
            owner_user_id: owner.and_then(|name| account_named(people, name)),
            due: candidate.due.clone(),
            due_at: None,
            status: ActionStatus::Proposed,
            marker: candidate.marker,
            segment_ids: candidate.segment_ids.clone(),
            edited: false,
            stale: false,
            version: row.map_or(1, |row| row.version),
            created_at: row.map_or(now, |row| row.created_at),
            updated_at: row.map_or(now, |row| row.updated_at),
        }
    }
);

row!(
    Decision,
    DecisionStatus,
    DecisionProposed,
    DecisionUpdated,
    decision_list,
    decision_insert,
    decision_update,
    decision_delete,
    fn next(pass: &Pass<'_, '_>, candidate: &Candidate, row: Option<&Self>) -> Self {
        let now = pass.ctx.now;
        Self {
            id: row.map_or_else(|| pass.app.id(pass.ctx), |row| row.id),
            meeting_id: pass.meeting.id,
            text: candidate.text.clone(),
            status: DecisionStatus::Proposed,
            marker: candidate.marker,
            superseded_by: None,
            segment_ids: candidate.segment_ids.clone(),
            edited: false,
            stale: false,
            version: row.map_or(1, |row| row.version),
            created_at: row.map_or(now, |row| row.created_at),
            updated_at: row.map_or(now, |row| row.updated_at),
        }
    }
);

impl Pass<'_, '_> {
    /// Brings the rows of one kind up to date with what was found.
    pub(super) async fn items<R: Row>(
        &mut self,
        found: impl Iterator<Item = Candidate>,
    ) -> Stored<()> {
        let candidates = joined(found);
        let rows = R::list(self.change, self.meeting.id).await?;
        let old: Vec<Item> = rows.iter().map(Row::item).collect();
        let new: Vec<Item> = candidates
            .iter()
            .map(|c| Item::new(&c.text, &c.segment_ids))
            .collect();
        let of_found = matches(&old, &new);
        for (at, row) in rows.iter().enumerate() {
            if !row.is_own() {
                let left = self.still_there(row.segment_ids()).await?;
                if left.len() != row.segment_ids().len() {
                    let made = row.resting_on(left).touched(self);
                    self.rewrite(row, made).await?;
                }
            } else if !of_found.contains(&Some(at)) {
                row.delete(self.change).await?;
                self.tell_removed(R::UPDATED, row.id());
                self.changed = true;
            }
        }
        for (candidate, row) in candidates.iter().zip(of_found) {
            let row = row.map(|at| &rows[at]);
            if row.is_some_and(|row| !row.is_own()) {
                continue;
            }
            let made = R::next(self, candidate, row);
            match row {
                None => {
                    made.insert(self.change).await?;
                    self.tell(R::PROPOSED, &made);
                    self.changed = true;
                }
                Some(row) if *row == made => {}
                Some(row) => {
                    let made = made.touched(self);
                    self.rewrite(row, made).await?;
                }
            }
        }
        Ok(())
    }

    /// Writes a row in place of `old`, unless somebody was faster.
    async fn rewrite<R: Row>(&mut self, old: &R, made: R) -> Stored<()> {
        if made.update(self.change, old).await? {
            self.tell(R::UPDATED, &made.counted_up());
            self.changed = true;
        }
        Ok(())
    }
}

/// What was found, each text once with all its evidence; of more than [`FOUND_MAX`] the surest and
/// earliest, in the order they were said.
fn joined(found: impl Iterator<Item = Candidate>) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut of_text: HashMap<String, usize> = HashMap::new();
    for candidate in found {
        let earlier = match of_text.entry(normalised(&candidate.text)) {
            Entry::Occupied(place) => &mut candidates[*place.get()],
            Entry::Vacant(place) => {
                place.insert(candidates.len());
                candidates.push(candidate);
                continue;
            }
        };
        for id in candidate.segment_ids {
            if earlier.segment_ids.len() < EVIDENCE_MAX && !earlier.segment_ids.contains(&id) {
                earlier.segment_ids.push(id);
            }
        }
    }
    if candidates.len() > FOUND_MAX {
        let mut order: Vec<usize> = (0..candidates.len()).collect();
        order.sort_by_key(|&at| candidates[at].marker != Marker::Explicit);
        order.truncate(FOUND_MAX);
        let kept: HashSet<usize> = order.into_iter().collect();
        let mut at = 0;
        candidates.retain(|_| {
            at += 1;
            kept.contains(&(at - 1))
        });
    }
    candidates
}
