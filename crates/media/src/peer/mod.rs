//! One participant's connections: the only place that touches a str0m instance.

mod connection;
mod moves;
mod sections;

pub(crate) use connection::{
    CHANNEL_LABELS, Connection, ConnectionKey, ConnectionRole, Outgoing, Transport,
};
pub(crate) use sections::{SendSections, TrackKey};
