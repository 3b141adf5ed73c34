//! `runs`
