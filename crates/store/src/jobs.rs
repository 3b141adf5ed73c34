//! jobs

crate::statements::statements! {}
