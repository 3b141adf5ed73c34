//! `transcript`
