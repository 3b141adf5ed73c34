//! A LiveKit client for tests: the signal connection and the peer connection that the server offers, with
//! real sockets; enough to be in a room.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use livekit_protocol::leave_request::Action;
use livekit_protocol::participant_info::State;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message;
use livekit_protocol::{
    DisconnectReason, LeaveRequest, Room, SessionDescription, SignalRequest, SignalResponse,
    SignalTarget, TrickleRequest,
};
use prost::Message as _;
use str0m::change::SdpOffer;
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Input, Output, Rtc, RtcConfig};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite;

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One client. Dropped, it is gone without a word.
pub(crate) struct Peer {
    /// The room as it was on the way in.
    pub(crate) room: Room,
    messages: mpsc::UnboundedReceiver<Message>,
    requests: mpsc::UnboundedSender<Request>,
    task: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peer {
    /// Opens the signal connection at `url` (`ws://…`).
    ///
    /// # Errors
    /// The HTTP status of a refusal.
    pub(crate) async fn join(url: &str, token: &str) -> Result<Self, u16> {
        let url = format!(
            "{url}/rtc?access_token={token}&auto_subscribe=1&sdk=rust&version=0.7&protocol=16"
        );
        let socket = match tokio_tungstenite::connect_async(url).await {
            Ok((socket, _)) => socket,
            Err(tungstenite::Error::Http(answer)) => return Err(answer.status().as_u16()),
            Err(error) => panic!("no signal connection: {error}"),
        };
        let (tell, messages) = mpsc::unbounded_channel();
        let (requests, wishes) = mpsc::unbounded_channel();
        let udp = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let task = tokio::spawn(run(socket, udp, tell, wishes));
        let mut peer = Self {
            room: Room::default(),
            messages,
            requests,
            task,
        };
        let join = peer
            .until("a join answer", |message| match message {
                Message::Join(join) => Some(join.clone()),
                _ => None,
            })
            .await;
        peer.room = join.room.unwrap_or_default();
        Ok(peer)
    }

    /// Waits for a message that gives something.
    pub(crate) async fn until<T>(
        &mut self,
        what: &str,
        mut take: impl FnMut(&Message) -> Option<T>,
    ) -> T {
        let found = async {
            loop {
                let message = self.messages.recv().await;
                let message =
                    message.unwrap_or_else(|| panic!("the connection ended before {what}"));
                if let Some(found) = take(&message) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found)
            .await
            .unwrap_or_else(|_| panic!("{what} did not come"))
    }

    /// Waits until the server says to leave and not to come back; gives its reason.
    pub(crate) async fn until_put_out(&mut self) -> DisconnectReason {
        self.until("the end", |message| match message {
            Message::Leave(leave) if leave.action() == Action::Disconnect => Some(leave.reason()),
            _ => None,
        })
        .await
    }

    /// Waits until the server says that this participant's media flows.
    pub(crate) async fn until_active(&mut self, identity: &str) {
        self.until("the media", |message| match message {
            Message::Update(update) => update
                .participants
                .iter()
                .find(|info| info.identity == identity && info.state() == State::Active)
                .map(|_| ()),
            _ => None,
        })
        .await;
    }

    /// Leaves as a client does.
    pub(crate) async fn leave(mut self) {
        let leave = Request::Leave(LeaveRequest {
            reason: DisconnectReason::ClientInitiated as i32,
            action: Action::Disconnect as i32,
            ..LeaveRequest::default()
        });
        self.send(leave);
        while tokio::time::timeout(PATIENCE, self.messages.recv())
            .await
            .expect("the server closes the connection")
            .is_some()
        {}
    }

    pub(crate) fn send(&self, request: Request) {
        self.requests.send(request).expect("the client runs");
    }
}

type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn send(socket: &mut Socket, message: Request) {
    let request = SignalRequest {
        message: Some(message),
    };
    let frame = tungstenite::Message::Binary(request.encode_to_vec().into());
    // The other side may be on its way out.
    let _ = socket.send(frame).await;
}

async fn run(
    mut socket: Socket,
    udp: UdpSocket,
    tell: mpsc::UnboundedSender<Message>,
    mut wishes: mpsc::UnboundedReceiver<Request>,
) {
    let local = udp.local_addr().expect("an address");
    let mut rtc = RtcConfig::new().set_rtp_mode(true).build(Instant::now());
    let candidate = Candidate::host(local, Protocol::Udp).expect("an address");
    let told = candidate.to_sdp_string();
    rtc.add_local_candidate(candidate);
    let mut buffer = vec![0; 2048];
    loop {
        let deadline = drain(&mut rtc, &udp).await;
        tokio::select! {
            frame = socket.next() => {
                let Some(Ok(frame)) = frame else { return };
                let tungstenite::Message::Binary(bytes) = frame else { continue };
                let response = SignalResponse::decode(bytes).expect("a signal response");
                let Some(message) = response.message else { continue };
                match &message {
                    Message::Offer(offer) => {
                        let id = offer.id;
                        let offer = SdpOffer::from_sdp_string(&offer.sdp).expect("an offer");
                        let answer = rtc.sdp_api().accept_offer(offer).expect("it is taken");
                        let answer = SessionDescription {
                            r#type: "answer".to_owned(),
                            sdp: answer.to_sdp_string(),
                            id,
                            ..SessionDescription::default()
                        };
                        send(&mut socket, Request::Answer(answer)).await;
                        let init = serde_json::json!({ "candidate": told, "sdpMid": "0", "sdpMLineIndex": 0 });
                        let trickle = TrickleRequest {
                            candidate_init: init.to_string(),
                            target: SignalTarget::Subscriber as i32,
                            r#final: false,
                        };
                        send(&mut socket, Request::Trickle(trickle)).await;
                    }
                    Message::Trickle(trickle) => {
                        let init: serde_json::Value =
                            serde_json::from_str(&trickle.candidate_init).expect("a candidate");
                        let text = init["candidate"].as_str().unwrap_or_default();
                        if let Ok(candidate) = Candidate::from_sdp_string(text) {
                            rtc.add_remote_candidate(candidate);
                        }
                    }
                    _ => {}
                }
                // A lite server never begins: without this the checks would not either.
                let _ = rtc.handle_input(Input::Timeout(Instant::now()));
                let _ = tell.send(message);
            }
            Some(wish) = wishes.recv() => send(&mut socket, wish).await,
            received = udp.recv_from(&mut buffer) => {
                let (length, from): (usize, SocketAddr) = received.expect("a datagram");
                let Ok(contents) = buffer[..length].try_into() else { continue };
                let received = Receive { proto: Protocol::Udp, source: from, destination: local, contents };
                let _ = rtc.handle_input(Input::Receive(Instant::now(), received));
            }
            () = tokio::time::sleep_until(deadline.into()) => {
                let _ = rtc.handle_input(Input::Timeout(Instant::now()));
            }
        }
    }
}

/// Sends what there is to send; gives when to look again.
async fn drain(rtc: &mut Rtc, udp: &UdpSocket) -> Instant {
    loop {
        match rtc.poll_output() {
            Ok(Output::Timeout(at)) => return at,
            Ok(Output::Transmit(out)) => {
                let _ = udp.send_to(&out.contents, out.destination).await;
            }
            Ok(Output::Event(_)) => {}
            Err(_) => return Instant::now() + Duration::from_secs(3600),
        }
    }
}
