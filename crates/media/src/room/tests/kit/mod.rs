//! Clients joined to a shard without sockets, clocks or sleeping.

mod client;
mod network;
mod peer;
mod source;
mod world;

pub(super) use world::{Guest, World};
