//! memories

crate::statements::statements! {}
