//! messages

crate::statements::statements! {}
