//! webhooks

crate::statements::statements! {}
