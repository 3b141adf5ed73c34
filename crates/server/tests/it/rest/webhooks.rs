//! `webhooks`
