//! The protocol of agent workers: registration, jobs, dispatch; a state machine without IO.
