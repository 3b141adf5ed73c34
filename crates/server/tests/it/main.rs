//! The wires' tests; `rest/` mirrors the URL tree.

mod authz;
mod envelope;
mod event_shapes;
mod health;
mod idempotency;
mod openapi;
mod people;
mod rest {
    mod account;
    mod admin;
    mod agents;
    mod ask;
    mod auth;
    mod events;
    mod mcp;
    mod meetings;
    mod memories;
    mod messages;
    mod notes;
    mod participants;
    mod recordings;
    mod runs;
    mod search;
    mod series;
    mod transcript;
    mod webhooks;
}
mod rooms;
mod ws;
