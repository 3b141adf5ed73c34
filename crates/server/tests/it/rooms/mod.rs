//! Meetings and their rooms: the same scenarios on the server inside and on a real LiveKit server.

mod elsewhere;
mod peer;
mod scenarios;
mod stage;
mod table;
