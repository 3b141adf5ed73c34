//! idempotency

crate::statements::statements! {}
