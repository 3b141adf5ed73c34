//! A join as a client makes it, to learn what the server tells clients.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message;
use meetmind_app::{Clock as _, Entropy, SystemClock};
use meetmind_media::token::{ApiKey, Claims};
use meetmind_media::{RoomGrant, RoomPart, stun};
use prost::Message as _;
use str0m::change::SdpOffer;
use str0m::{Candidate, RtcConfig};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message as Frame;

use super::network::Target;
use crate::dial::{self, Socket};

/// Candidates that come after the offer, from servers that gather while they talk.
const TRICKLE: Duration = Duration::from_millis(700);

/// A participant that nobody sees, for as long as the checks take.
pub(super) struct Visit {
    socket: Socket,
    pub(super) join: proto::JoinResponse,
    pub(super) offer: Offer,
}

/// What the server's offer says of its media.
pub(super) struct Offer {
    fragment: String,
    pub(super) password: String,
    pub(super) candidates: Vec<Candidate>,
    /// Ours, as the answer told it.
    own: String,
}

impl Visit {
    pub(super) async fn begin(target: &Target, keys: &ApiKey) -> Result<Self> {
        let run = crate::demo::uuid_word();
        let claims = Claims::participant(&RoomGrant {
            room: format!("doctor-{run}"),
            identity: format!("doctor-{run}"),
            name: String::new(),
            part: RoomPart::Recorder,
            metadata: String::new(),
            room_metadata: String::new(),
            ttl: Duration::ZERO,
        });
        let token = keys.sign(&claims, SystemClock.now(), Duration::from_secs(60))?;
        let mut url = target.url.clone();
        url.set_path(&format!("{}/rtc", target.url.path().trim_end_matches('/')));
        url.query_pairs_mut()
            .append_pair("access_token", &token)
            .append_pair("protocol", "15")
            .append_pair("sdk", "rust")
            .append_pair("auto_subscribe", "0");
        let wire = dial::wire(&url, target.trusted.as_deref()).await?;
        let mut socket = dial::upgrade(wire, &url).await?;
        let Message::Join(join) = next(&mut socket).await? else {
            bail!("the first message is no join");
        };
        let (sdp, id) = loop {
            if let Message::Offer(offer) = next(&mut socket).await? {
                break (offer.sdp, offer.id);
            }
        };
        let mut offer = Offer::read(&sdp)?;
        // The server takes checks only from a side it has an answer of.
        let mut rtc = RtcConfig::new().build(Instant::now());
        let answer = rtc
            .sdp_api()
            .accept_offer(SdpOffer::from_sdp_string(&sdp)?)?
            .to_sdp_string();
        offer.own = line(&answer, "a=ice-ufrag:")
            .context("no fragment in the answer")?
            .to_owned();
        let answer = proto::SessionDescription {
            r#type: "answer".to_owned(),
            sdp: answer,
            id,
            ..proto::SessionDescription::default()
        };
        let mut visit = Self {
            socket,
            join,
            offer,
        };
        visit.say(Request::Answer(answer)).await?;
        visit.gather().await;
        Ok(visit)
    }

    async fn say(&mut self, message: Request) -> Result<()> {
        let request = proto::SignalRequest {
            message: Some(message),
        };
        let frame = Frame::Binary(request.encode_to_vec().into());
        Ok(self.socket.send(frame).await?)
    }

    /// Takes the candidates that come by themselves.
    async fn gather(&mut self) {
        let gathering = async {
            while let Ok(message) = next(&mut self.socket).await {
                let Message::Trickle(trickle) = message else {
                    continue;
                };
                let init: serde_json::Value =
                    serde_json::from_str(&trickle.candidate_init).unwrap_or_default();
                let text = init["candidate"].as_str().unwrap_or_default();
                if trickle.target == proto::SignalTarget::Subscriber as i32
                    && let Ok(candidate) = Candidate::from_sdp_string(text)
                {
                    self.offer.candidates.push(candidate);
                }
            }
        };
        let _over = timeout(TRICKLE, gathering).await;
    }

    pub(super) async fn leave(&mut self) {
        // Its place would be given up anyway, half a minute later.
        let _ = self
            .say(Request::Leave(proto::LeaveRequest::default()))
            .await;
        let _ = self.socket.close(None).await;
    }
}

impl Offer {
    fn read(sdp: &str) -> Result<Self> {
        let candidates = sdp
            .lines()
            .filter_map(|line| line.trim().strip_prefix("a="))
            .filter(|line| line.starts_with("candidate:"))
            .filter_map(|line| Candidate::from_sdp_string(line).ok());
        Ok(Self {
            fragment: line(sdp, "a=ice-ufrag:")
                .context("the offer has no fragment")?
                .to_owned(),
            password: line(sdp, "a=ice-pwd:")
                .context("the offer has no password")?
                .to_owned(),
            candidates: candidates.collect(),
            own: String::new(),
        })
    }

    pub(super) fn check(&self) -> ([u8; 12], Vec<u8>) {
        let transaction = Entropy::system().bytes::<12>();
        let tie_breaker = u64::from_be_bytes(Entropy::system().bytes());
        let theirs = (self.fragment.as_str(), self.password.as_str());
        (
            transaction,
            stun::ice_check(transaction, theirs, &self.own, tie_breaker),
        )
    }
}

fn line<'a>(sdp: &'a str, prefix: &str) -> Option<&'a str> {
    sdp.lines()
        .find_map(|line| line.trim().strip_prefix(prefix))
}

async fn next(socket: &mut Socket) -> Result<Message> {
    loop {
        let frame = timeout(dial::PATIENCE, socket.next())
            .await
            .context("the signal connection is silent")?
            .context("the server closed the signal connection")??;
        if let Frame::Binary(bytes) = frame
            && let Some(message) = proto::SignalResponse::decode(bytes)?.message
        {
            return Ok(message);
        }
    }
}
