//! `memories`
