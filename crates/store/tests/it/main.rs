//! The store's tests: every body runs on SQLite and, where a server is at hand, on Postgres.

mod events;
mod meetings;
mod notes;
mod schema;
