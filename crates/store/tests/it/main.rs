//! The store's tests: every body runs on SQLite and, where a server is at hand, on Postgres.

mod backup;
mod events;
mod idempotency;
mod meetings;
mod messages;
mod notes;
mod participants;
mod runs;
mod schema;
mod segments;
mod webhooks;
