//! The words: ids, time, domain types, events, error codes, policy.
