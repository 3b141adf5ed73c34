//! runs

crate::statements::statements! {}
