//! segments

crate::statements::statements! {}
