//! search

crate::statements::statements! {}
