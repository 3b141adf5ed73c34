//! agents

crate::statements::statements! {}
