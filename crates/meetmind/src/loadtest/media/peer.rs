//! One peer connection of a participant: a str0m instance with a socket of its own, always drained.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

use anyhow::{Context, Result};
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind, Mid, Simulcast, SimulcastLayer};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use super::source::LAYERS;

/// Datagrams read before everything else gets its turn.
const READS: usize = 64;

pub(super) struct Peer {
    pub(super) rtc: Rtc,
    /// Watched for reading.
    pub(super) socket: tokio::net::UdpSocket,
    /// The same, for sending without asking whether it may.
    out: UdpSocket,
    local: SocketAddr,
    pub(super) deadline: Instant,
    pub(super) is_down: bool,
    pending: Option<SdpPendingOffer>,
    /// Candidates that came before the description they belong to.
    early: Vec<Candidate>,
    described: bool,
}

impl Peer {
    /// `towards` is the server's address, from which the own one follows.
    pub(super) fn new(towards: SocketAddr, now: Instant) -> Result<Self> {
        let any: SocketAddr = if towards.is_ipv4() {
            ([0, 0, 0, 0], 0).into()
        } else {
            ([0_u16; 8], 0).into()
        };
        // Connecting sends nothing; it asks the system which address leads there.
        let probe = UdpSocket::bind(any)?;
        probe.connect(towards)?;
        let out = UdpSocket::bind((probe.local_addr()?.ip(), 0))?;
        out.set_nonblocking(true)?;
        let local = out.local_addr()?;
        let socket = tokio::net::UdpSocket::from_std(out.try_clone()?)?;
        let mut rtc = RtcConfig::new().set_rtp_mode(true).build(now);
        rtc.add_local_candidate(Candidate::host(local, Protocol::Udp)?);
        Ok(Self {
            rtc,
            socket,
            out,
            local,
            deadline: now,
            is_down: false,
            pending: None,
            early: Vec::new(),
            described: false,
        })
    }

    /// Works off what the connection has to do; events go to `events`.
    pub(super) fn drain(&mut self, now: Instant, events: &mut Vec<Event>) {
        while !self.is_down {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.deadline = at;
                    if at > now {
                        return;
                    }
                    self.input(Input::Timeout(now));
                }
                Ok(Output::Transmit(transmit)) => {
                    // A full socket or a way that does not exist is loss, as on any network.
                    let _ = self.out.send_to(&transmit.contents, transmit.destination);
                }
                Ok(Output::Event(event)) => events.push(event),
                Err(_) => self.is_down = true,
            }
            self.is_down |= !self.rtc.is_alive();
        }
    }

    /// Reads what has arrived, each datagram drained before the next.
    pub(super) fn read(&mut self, buffer: &mut [u8], events: &mut Vec<Event>) {
        for _ in 0..READS {
            let (length, from) = match self.socket.try_recv_from(buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // A port that was refused before; the next read goes on.
                Err(_) => continue,
            };
            let now = Instant::now();
            let bytes = buffer.get(..length).unwrap_or_default();
            if let Ok(receive) = Receive::new(Protocol::Udp, from, self.local, bytes) {
                let input = Input::Receive(now, receive);
                if self.rtc.accepts(&input) {
                    self.input(input);
                    self.drain(now, events);
                }
            }
        }
    }

    fn input(&mut self, input: Input<'_>) {
        self.is_down |= self.rtc.handle_input(input).is_err();
    }

    /// Adds a section for what is published; gives its name.
    pub(super) fn publish(
        &mut self,
        tracks: &[(MediaKind, String, bool)],
    ) -> Result<(Vec<Mid>, String)> {
        let mut api = self.rtc.sdp_api();
        let mut mids = Vec::new();
        for (kind, cid, simulcast) in tracks {
            let simulcast = simulcast.then(|| Simulcast {
                send: LAYERS.map(|layer| SimulcastLayer::new(layer.0)).to_vec(),
                recv: Vec::new(),
            });
            let stream = Some("load".to_owned());
            let track = Some(cid.clone());
            mids.push(api.add_media(*kind, Direction::SendOnly, stream, track, simulcast));
        }
        let (offer, pending) = api.apply().context("nothing to offer")?;
        self.pending = Some(pending);
        Ok((mids, offer.to_sdp_string()))
    }

    /// An offer for new ways to the server, after the signal connection was lost.
    pub(super) fn restart(&mut self) -> Result<String> {
        let mut api = self.rtc.sdp_api();
        api.ice_restart(true);
        let (offer, pending) = api.apply().context("nothing to offer")?;
        self.pending = Some(pending);
        Ok(offer.to_sdp_string())
    }

    pub(super) fn on_answer(&mut self, sdp: &str) -> Result<()> {
        let Some(pending) = self.pending.take() else {
            return Ok(());
        };
        let answer = SdpAnswer::from_sdp_string(sdp)?;
        self.rtc.sdp_api().accept_answer(pending, answer)?;
        self.on_described();
        Ok(())
    }

    pub(super) fn on_offer(&mut self, sdp: &str) -> Result<String> {
        let offer = SdpOffer::from_sdp_string(sdp)?;
        let answer = self.rtc.sdp_api().accept_offer(offer)?;
        self.on_described();
        Ok(answer.to_sdp_string())
    }

    fn on_described(&mut self) {
        self.described = true;
        for candidate in self.early.drain(..) {
            self.rtc.add_remote_candidate(candidate);
        }
    }

    /// A candidate in the browser's form. Others than UDP of the own family lead nowhere here.
    pub(super) fn on_candidate(&mut self, init: &str) {
        let value: serde_json::Value = serde_json::from_str(init).unwrap_or_default();
        let text = value["candidate"].as_str().unwrap_or_default();
        let Ok(candidate) = Candidate::from_sdp_string(text) else {
            return;
        };
        let fits = candidate.proto() == Protocol::Udp
            && candidate.addr().is_ipv4() == self.local.is_ipv4();
        if !fits {
            return;
        }
        if self.described {
            self.rtc.add_remote_candidate(candidate);
        } else {
            self.early.push(candidate);
        }
    }
}
