//! One file per group of endpoints: wire types, handlers, and the list of routes.

pub(crate) mod account;
pub(crate) mod admin;
pub(crate) mod agents;
pub(crate) mod ask;
pub(crate) mod auth;
pub(crate) mod events;
pub(crate) mod mcp;
pub(crate) mod meetings;
pub(crate) mod memories;
pub(crate) mod messages;
pub(crate) mod notes;
pub(crate) mod participants;
pub(crate) mod recordings;
pub(crate) mod runs;
pub(crate) mod search;
pub(crate) mod series;
pub(crate) mod transcript;
pub(crate) mod webhooks;
