//! `ask`
