//! `/api/meetings/{id}/participants`, `…/join`, `…/leave`, `…/lock` and consent.

mod consent;
mod door;
mod guests;
mod roles;
