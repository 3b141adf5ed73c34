//! The forwarding decisions under simulated time and network.

mod congestion;
mod decisions;
mod network;
mod rewriting;
mod simulcast;
mod speaking;
