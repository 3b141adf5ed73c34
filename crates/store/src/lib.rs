//! Everything that is SQL.
