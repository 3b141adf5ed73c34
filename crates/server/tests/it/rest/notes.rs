//! `notes`
