//! `messages`
