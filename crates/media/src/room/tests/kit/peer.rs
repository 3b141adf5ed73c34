//! A client's end of a peer connection.

use std::net::SocketAddr;
use std::time::Instant;

use str0m::net::Protocol;
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use super::network::Flight;

/// One peer connection of a client.
pub(super) struct Peer {
    pub(super) rtc: Rtc,
    /// Where it believes to be, and where the server sees it.
    pub(super) inner: SocketAddr,
    pub(super) outer: SocketAddr,
    pub(super) deadline: Instant,
    pub(super) down: bool,
    /// A description was taken, which its clock has to hear of.
    pub(super) fresh: bool,
}

impl Peer {
    pub(super) fn new(address: SocketAddr, now: Instant) -> Self {
        let mut rtc = RtcConfig::new().set_rtp_mode(true).build(now);
        rtc.add_local_candidate(Candidate::host(address, Protocol::Udp).expect("an address"));
        Self {
            rtc,
            inner: address,
            outer: address,
            deadline: now,
            down: false,
            fresh: false,
        }
    }

    pub(super) fn drain(&mut self, now: Instant, air: &mut Vec<Flight>, events: &mut Vec<Event>) {
        if self.down {
            return;
        }
        if std::mem::take(&mut self.fresh) {
            let passed = self.rtc.handle_input(Input::Timeout(now));
            passed.expect("time passes");
        }
        for _ in 0..8 {
            let at = loop {
                match self.rtc.poll_output() {
                    Ok(Output::Timeout(at)) => break at,
                    Ok(Output::Transmit(transmit)) => air.push(Flight {
                        from: self.outer,
                        to: transmit.destination,
                        bytes: transmit.contents.to_vec(),
                    }),
                    Ok(Output::Event(event)) => events.push(event),
                    Err(_) => {
                        self.down = true;
                        return;
                    }
                }
            };
            self.deadline = at;
            if at > now || !self.rtc.is_alive() {
                return;
            }
            self.rtc
                .handle_input(Input::Timeout(now))
                .expect("time passes");
        }
    }
}
