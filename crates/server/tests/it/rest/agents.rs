//! `agents`
