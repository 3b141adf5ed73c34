//! users

crate::statements::statements! {}
