//! `mcp`
