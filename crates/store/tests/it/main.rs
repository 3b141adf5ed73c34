//! The store's tests: every body runs on SQLite and, where a server is at hand, on Postgres.

mod backup;
mod events;
mod idempotency;
mod meetings;
mod messages;
mod participants;
mod runs;
mod notes;
mod schema;
mod segments;
mod webhooks;
