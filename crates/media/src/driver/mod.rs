//! Sockets, threads and clocks: the only place of this crate that does IO.

/// What a state machine wants done: datagrams to send, addresses to learn or forget.
pub(crate) struct Outbox {
    pub(crate) transmits: Vec<(u64, str0m::net::Transmit)>,
    pub(crate) registered: Vec<(String, u64)>,
    pub(crate) forgotten: Vec<u64>,
}

impl Outbox {
    pub(crate) fn transmit(&mut self, peer: u64, transmit: str0m::net::Transmit) {
        self.transmits.push((peer, transmit));
    }
    pub(crate) fn register(&mut self, ufrag: &str, peer: u64) {
        self.registered.push((ufrag.to_owned(), peer));
    }
    pub(crate) fn forget(&mut self, peer: u64) {
        self.forgotten.push(peer);
    }
}
