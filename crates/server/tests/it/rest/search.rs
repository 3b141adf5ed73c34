//! `search`
