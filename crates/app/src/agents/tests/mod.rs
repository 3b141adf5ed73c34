//! Agents and runs, from asking for one to its end.
