//! Whole rooms with whole clients: signalling, ICE, DTLS, SRTP and SCTP, on simulated time and network.

mod kit;

mod data;
mod hostile;
mod joining;
mod lifetime;
mod network;
mod publishing;
mod recording;
mod subscribing;
