//! notes

crate::statements::statements! {}
