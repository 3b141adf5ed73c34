//! Actions and decisions of one pass: what is found anew continues the row it was, and what a
//! person has touched stays as it is.

use meetmind_ai::local;
use meetmind_core::{Action, ActionStatus, Decision, DecisionStatus, EventKind, Marker, SegmentId};

use super::{Pass, Stored};
use crate::notes::ITEMS_MAX;
use crate::notes::derive::Material;
use crate::notes::merge::{Item, matches, normalised};

impl Pass<'_, '_> {
    pub(super) async fn actions(
        &mut self,
        found: &[local::ActionCandidate<SegmentId>],
    ) -> Stored<()> {
        let mut candidates: Vec<local::ActionCandidate<SegmentId>> = Vec::new();
        for action in found {
            let same = candidates
                .iter_mut()
                .find(|c| normalised(&c.text) == normalised(&action.text));
            match same {
                Some(earlier) => join(&mut earlier.segment_ids, &action.segment_ids),
                None => candidates.push(action.clone()),
            }
        }
        let rows = self
            .change
            .action_list(self.meeting.id, None, None, ITEMS_MAX)
            .await?;
        let old: Vec<Item> = rows
            .iter()
            .map(|row| Item::new(&row.text, &row.segment_ids))
            .collect();
        let new: Vec<Item> = candidates
            .iter()
            .map(|c| Item::new(&c.text, &c.segment_ids))
            .collect();
        let of_found = matches(&old, &new);
        let is_own = |row: &Action| row.status == ActionStatus::Proposed && !row.edited;
        for (at, row) in rows.iter().enumerate() {
            if !is_own(row) {
                let left = self.still_there(&row.segment_ids).await?;
                if left.len() != row.segment_ids.len() {
                    let made = Action {
                        segment_ids: left,
                        updated_at: self.ctx.now,
                        ..row.clone()
                    };
                    if self.change.action_update(row, &made).await? {
                        self.tell(
                            EventKind::ActionUpdated,
                            &Action {
                                version: row.version + 1,
                                ..made
                            },
                        );
                        self.changed = true;
                    }
                }
            } else if !of_found.contains(&Some(at)) {
                self.change.action_delete(row.id).await?;
                self.tell_removed(EventKind::ActionUpdated, row.id);
                self.changed = true;
            }
        }
        for (candidate, row) in candidates.iter().zip(of_found) {
            let row = row.map(|at| &rows[at]);
            if row.is_some_and(|row| !is_own(row)) {
                continue;
            }
            let made = Action {
                id: row.map_or_else(|| self.app.id(self.ctx), |row| row.id),
                meeting_id: self.meeting.id,
                text: candidate.text.clone(),
                owner: candidate.owner.clone(),
                owner_user_id: owner_account(self.material, candidate.owner.as_deref()),
                due: candidate.due.clone(),
                due_at: None,
                status: ActionStatus::Proposed,
                marker: marker(candidate.marker),
                segment_ids: candidate.segment_ids.clone(),
                edited: false,
                stale: false,
                version: row.map_or(1, |row| row.version),
                created_at: row.map_or(self.ctx.now, |row| row.created_at),
                updated_at: row.map_or(self.ctx.now, |row| row.updated_at),
            };
            match row {
                None => {
                    self.change.action_insert(&made).await?;
                    self.tell(EventKind::ActionProposed, &made);
                    self.changed = true;
                }
                Some(row) if *row == made => {}
                Some(row) => {
                    let made = Action {
                        updated_at: self.ctx.now,
                        ..made
                    };
                    if self.change.action_update(row, &made).await? {
                        self.tell(
                            EventKind::ActionUpdated,
                            &Action {
                                version: row.version + 1,
                                ..made
                            },
                        );
                        self.changed = true;
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) async fn decisions(
        &mut self,
        found: &[local::DecisionCandidate<SegmentId>],
    ) -> Stored<()> {
        let mut candidates: Vec<local::DecisionCandidate<SegmentId>> = Vec::new();
        for decision in found {
            let same = candidates
                .iter_mut()
                .find(|c| normalised(&c.text) == normalised(&decision.text));
            match same {
                Some(earlier) => join(&mut earlier.segment_ids, &decision.segment_ids),
                None => candidates.push(decision.clone()),
            }
        }
        let rows = self
            .change
            .decision_list(self.meeting.id, None, None, ITEMS_MAX)
            .await?;
        let old: Vec<Item> = rows
            .iter()
            .map(|row| Item::new(&row.text, &row.segment_ids))
            .collect();
        let new: Vec<Item> = candidates
            .iter()
            .map(|c| Item::new(&c.text, &c.segment_ids))
            .collect();
        let of_found = matches(&old, &new);
        let is_own = |row: &Decision| row.status == DecisionStatus::Proposed && !row.edited;
        for (at, row) in rows.iter().enumerate() {
            if !is_own(row) {
                let left = self.still_there(&row.segment_ids).await?;
                if left.len() != row.segment_ids.len() {
                    let made = Decision {
                        segment_ids: left,
                        updated_at: self.ctx.now,
                        ..row.clone()
                    };
                    if self.change.decision_update(row, &made).await? {
                        self.tell(
                            EventKind::DecisionUpdated,
                            &Decision {
                                version: row.version + 1,
                                ..made
                            },
                        );
                        self.changed = true;
                    }
                }
            } else if !of_found.contains(&Some(at)) {
                self.change.decision_delete(row.id).await?;
                self.tell_removed(EventKind::DecisionUpdated, row.id);
                self.changed = true;
            }
        }
        for (candidate, row) in candidates.iter().zip(of_found) {
            let row = row.map(|at| &rows[at]);
            if row.is_some_and(|row| !is_own(row)) {
                continue;
            }
            let made = Decision {
                id: row.map_or_else(|| self.app.id(self.ctx), |row| row.id),
                meeting_id: self.meeting.id,
                text: candidate.text.clone(),
                status: DecisionStatus::Proposed,
                marker: marker(candidate.marker),
                superseded_by: None,
                segment_ids: candidate.segment_ids.clone(),
                edited: false,
                stale: false,
                version: row.map_or(1, |row| row.version),
                created_at: row.map_or(self.ctx.now, |row| row.created_at),
                updated_at: row.map_or(self.ctx.now, |row| row.updated_at),
            };
            match row {
                None => {
                    self.change.decision_insert(&made).await?;
                    self.tell(EventKind::DecisionProposed, &made);
                    self.changed = true;
                }
                Some(row) if *row == made => {}
                Some(row) => {
                    let made = Decision {
                        updated_at: self.ctx.now,
                        ..made
                    };
                    if self.change.decision_update(row, &made).await? {
                        self.tell(
                            EventKind::DecisionUpdated,
                            &Decision {
                                version: row.version + 1,
                                ..made
                            },
                        );
                        self.changed = true;
                    }
                }
            }
        }
        Ok(())
    }
}

fn join(into: &mut Vec<SegmentId>, more: &[SegmentId]) {
    for id in more {
        if !into.contains(id) {
            into.push(*id);
        }
    }
}

fn marker(marker: local::Marker) -> Marker {
    match marker {
        local::Marker::Explicit => Marker::Explicit,
        local::Marker::Pattern => Marker::Pattern,
    }
}

/// The account of the one participant with this name.
fn owner_account(material: &Material, owner: Option<&str>) -> Option<meetmind_core::UserId> {
    crate::notes::actions::account_named(&material.participants, owner?)
}
