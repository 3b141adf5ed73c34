//! `series`
