//! Where bytes of strangers come in, one function per door, for fuzzers: `fuzz/` runs them with coverage,
//! and a test here with seeded mutations. Each takes anything, and neither panics nor grows without bound.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use livekit_protocol as proto;
use meetmind_core::Timestamp;
use prost::Message as _;
use str0m::net::Protocol;

use crate::audio::{opus, red};
use crate::driver::{Demux, Path};
use crate::forward::Vp8Header;
use crate::record::bitstream;
use crate::record::depacketize::{Depacketizer, VideoCodec, VideoPacket};
use crate::signal::frames::{Frame, FrameCodec};
use crate::signal::join::{Route, parse};
use crate::signal::sdp;
use crate::stun::{Class, Message, Writer, attribute, method};
use crate::token::{ApiKey, ApiKeys, Claims};
use crate::turn::{
    Client, Outcome, REALM, Relay, Time, TurnSecret, Way, frame_length, long_term_key,
};
use crate::{RoomGrant, RoomPart, webhook};

/// One door.
pub type Door = fn(&[u8]);

/// All doors by the names of their fuzz targets.
pub const DOORS: [(&str, Door); 6] = [
    ("signal", signal),
    ("join", join),
    ("token", token),
    ("demux", demux),
    ("payload", payload),
    ("turn", turn),
];

/// The moment at which the seeds' tokens are valid.
const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
const MEDIA: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 10)),
    7882,
);
const CLIENT: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7)),
    4_000,
);
const WALL_S: u64 = 1_700_000_000;
const USERNAME_END_S: u64 = WALL_S + 3_600;

fn key() -> ApiKey {
    ApiKey::new("key", "a secret of at least thirty-two bytes")
}

fn keys() -> ApiKeys {
    [key()].into_iter().collect()
}

/// Frames of the signal connection and of workers, binary and text; descriptions of sessions.
pub fn signal(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    for frame in [
        Frame::Binary(bytes.to_vec().into()),
        Frame::Text(text.clone()),
    ] {
        let mut codec = FrameCodec::default();
        if let Ok(Some(request)) = codec.decode_request(&frame) {
            // What was understood can be said again.
            let _ = proto::SignalRequest {
                message: Some(request),
            }
            .encode_to_vec();
        }
        let _ = FrameCodec::default().decode::<proto::WorkerMessage>(&frame);
    }
    let _ = sdp::sections(&text);
}

/// The query of a join: parameters, base64, gzip, protobuf.
pub fn join(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for route in [Route::V0, Route::V1] {
        let _ = parse(route, &text, None, false, &keys(), NOW);
    }
    // Behind the token, which no fuzzer guesses.
    let authorization = seed_token().map(|token| format!("Bearer {token}"));
    let inner = URL_SAFE_NO_PAD.encode(bytes);
    for query in [text.into_owned(), format!("join_request={inner}")] {
        let _ = parse(
            Route::V1,
            &query,
            authorization.as_deref(),
            true,
            &keys(),
            NOW,
        );
    }
}

/// Tokens, and webhooks that a LiveKit server signed.
pub fn token(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(claims) = keys().verify(&text, NOW) {
        let _ = (claims.permissions(), claims.check_limits());
    }
    let _ = webhook::verify(bytes, Some(&text), &keys(), NOW);
    // As claims under a right signature.
    if let Ok(claims) = serde_json::from_slice::<Claims>(bytes)
        && let Ok(token) = key().sign(&claims, NOW, Duration::from_secs(60))
    {
        let _ = keys().verify(&token, NOW);
    }
}

/// The first look at a datagram: ICE, DTLS, RTP and RTCP told apart, the peer found.
pub fn demux(bytes: &[u8]) {
    let path = Path {
        protocol: Protocol::Udp,
        local: MEDIA,
        remote: CLIENT,
    };
    let _ = Demux::default().view().find(&path, bytes);
    if let Some(message) = Message::read(bytes) {
        let _ = message.is_by(b"a password");
        let _ = message.addresses(attribute::XOR_PEER_ADDRESS).count();
    }
}

/// Payloads of sound and picture: the first two bytes cut the rest into packets.
pub fn payload(bytes: &[u8]) {
    let Some(([cut, flags], rest)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    for codec in [VideoCodec::Vp8, VideoCodec::Vp9, VideoCodec::H264] {
        let mut depacketizer = Depacketizer::new(codec);
        for (number, payload) in rest.chunks(usize::from(*cut).max(1)).enumerate() {
            let _ = depacketizer.push(VideoPacket {
                rtp_time: (number as u32 / 2) * 3_000,
                marker: flags >> (number % 8) & 1 == 1,
                payload,
                missing: u64::from(flags & 0xc0 == 0xc0 && number == 3),
            });
        }
    }
    let _ = Vp8Header::parse(rest).is_some();
    let _ = (
        bitstream::vp8_key_frame(rest),
        bitstream::vp9_key_frame(rest),
    );
    let _ = bitstream::h264_size(rest);
    let _ = (
        red::unwrap_red(rest).is_some(),
        opus::packet_facts(rest).is_ok(),
    );
}

/// The relay: as a stranger, and as somebody who has an allocation. Cuts a stream into frames first.
pub fn turn(bytes: &[u8]) {
    let secret = TurnSecret::new(b"a secret");
    let credentials = secret.credentials("PA_x", USERNAME_END_S);
    let mut relay = Relay::new(secret, vec![MEDIA]);
    let client = Client {
        way: Way::Stream(1),
        remote: CLIENT,
    };
    let time = Time {
        now: Instant::now(),
        wall_s: WALL_S,
    };
    let _ = relay.receive(client, bytes, time);
    let first = Writer::new(Class::Request, method::ALLOCATE, [1; 12]).finish();
    if let Outcome::Reply(reply) = relay.receive(client, &first, time)
        && let Some(nonce) = Message::read(&reply).and_then(|it| it.text(attribute::NONCE))
    {
        let sign = |request: Writer| {
            let key = long_term_key(&credentials.username, REALM, &credentials.password);
            request
                .with(attribute::USERNAME, credentials.username.as_bytes())
                .with(attribute::REALM, REALM.as_bytes())
                .with(attribute::NONCE, nonce.as_bytes())
                .signed(&key)
                .finish()
        };
        let request = Writer::new(Class::Request, method::ALLOCATE, [2; 12]);
        let request = sign(request.with(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]));
        let _ = relay.receive(client, &request, time);
        // The attributes of the input under a right signature.
        if let Some(message) = Message::read(bytes) {
            let mut request = Writer::new(Class::Request, message.method, [3; 12]);
            for (kind, value) in message.attributes().take(8) {
                request = request.with(kind, value);
            }
            let _ = relay.receive(client, &sign(request), time);
        }
    }
    let mut rest = bytes;
    while let Ok(Some(whole)) = frame_length(rest)
        && let Some((frame, more)) = rest.split_at_checked(whole)
    {
        if let Outcome::Relay { peer, data, .. } = relay.receive(client, frame, time) {
            assert!(peer == MEDIA && data.len() <= frame.len(), "an open proxy");
        }
        rest = more;
    }
    let mut into = Vec::new();
    let relayed = SocketAddr::new(MEDIA.ip(), 16_384);
    let _ = relay.back(relayed, MEDIA, bytes, time.now, &mut into);
    relay.expire(time.now + Duration::from_secs(4_000));
    assert!(relay.is_empty(), "an allocation that nobody refreshed");
}

fn seed_token() -> Option<String> {
    let grant = RoomGrant {
        room: "room".to_owned(),
        identity: "me".to_owned(),
        name: "Me".to_owned(),
        part: RoomPart::Participant,
        metadata: String::new(),
        room_metadata: String::new(),
        ttl: Duration::from_secs(60),
    };
    let claims = Claims::participant(&grant);
    key().sign(&claims, NOW, grant.ttl).ok()
}

/// Good inputs of a door, from which a fuzzer begins.
pub fn seeds(door: &str) -> Vec<Vec<u8>> {
    let request = |message| {
        let request = proto::SignalRequest {
            message: Some(message),
        };
        request.encode_to_vec()
    };
    use proto::signal_request::Message as Request;
    let add_track = proto::AddTrackRequest {
        cid: "cid".to_owned(),
        name: "camera".to_owned(),
        r#type: proto::TrackType::Video as i32,
        layers: vec![proto::VideoLayer::default(); 3],
        ..proto::AddTrackRequest::default()
    };
    match door {
        "signal" => vec![
            request(Request::AddTrack(add_track)),
            request(Request::Offer(proto::SessionDescription {
                r#type: "offer".to_owned(),
                sdp: SDP.to_owned(),
                ..proto::SessionDescription::default()
            })),
            request(Request::SyncState(proto::SyncState::default())),
            br#"{"ping":"1700000000000"}"#.to_vec(),
            br#"{"mute":{"sid":"TR_x","muted":true}}"#.to_vec(),
            SDP.as_bytes().to_vec(),
        ],
        "join" => {
            let join = proto::JoinRequest {
                add_track_requests: vec![add_track],
                ..proto::JoinRequest::default()
            };
            let wrapped = proto::WrappedJoinRequest {
                compression: 0,
                join_request: join.encode_to_vec(),
            };
            let wrapped = wrapped.encode_to_vec();
            vec![
                b"access_token=x&protocol=15&sdk=js&auto_subscribe=1".to_vec(),
                format!("join_request={}", URL_SAFE.encode(&wrapped)).into_bytes(),
                wrapped,
            ]
        }
        "token" => vec![
            seed_token().unwrap_or_default().into_bytes(),
            br#"{"sub":"me","video":{"room":"r","roomJoin":true},"exp":1700000001}"#.to_vec(),
        ],
        "demux" => vec![
            crate::stun::ice_check([7; 12], ("abcd", "a password"), "efgh", 1),
            vec![22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            vec![0x80, 111, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0x78, 1],
            vec![0x81, 200, 0, 6, 0, 0, 0, 1],
        ],
        "payload" => vec![
            vec![
                20, 0xff, 0x90, 0xe0, 0x80, 1, 1, 0x20, 0x10, 2, 0, 0x9d, 1, 0x2a, 64, 0, 48, 0, 1,
                2, 3,
            ],
            vec![
                8, 1, 0x67, 0x42, 0, 0x1f, 0x95, 0xa8, 0x14, 1, 0x65, 0x88, 0x80, 0x10,
            ],
            vec![16, 1, 0x8c, 0x80, 1, 0x82, 0x49, 0x83, 0x42, 0, 1],
            vec![9, 0, 0xef, 0, 0x10, 5, 0x6f, 1, 2, 3, 4, 5, 6],
        ],
        "turn" => {
            let peer = |kind| {
                Writer::new(Class::Request, kind, [9; 12])
                    .with_address(attribute::XOR_PEER_ADDRESS, MEDIA)
            };
            vec![
                Writer::new(Class::Request, method::BINDING, [9; 12]).finish(),
                peer(method::CREATE_PERMISSION).finish(),
                peer(method::CHANNEL_BIND)
                    .with(attribute::CHANNEL_NUMBER, &[0x40, 0, 0, 0])
                    .finish(),
                Writer::new(Class::Indication, method::SEND, [9; 12])
                    .with_address(attribute::XOR_PEER_ADDRESS, MEDIA)
                    .with(attribute::DATA, b"data")
                    .finish(),
                b"\x40\x00\x00\x04data".to_vec(),
            ]
        }
        _ => Vec::new(),
    }
}

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendonly\r\na=msid:s cid\r\n\
    a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=rtpmap:111 opus/48000/2\r\n";

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    /// Inputs per door; the fuzzers themselves run for as long as one lets them.
    const ROUNDS: usize = 3_000;

    /// Random bytes, or a good input with some damage.
    fn input(rng: &mut StdRng, seeds: &[Vec<u8>]) -> Vec<u8> {
        if seeds.is_empty() || rng.random_range(0..8) == 0 {
            let length = rng.random_range(0..200);
            return (0..length).map(|_| rng.random()).collect();
        }
        let mut bytes = seeds[rng.random_range(0..seeds.len())].clone();
        for _ in 0..rng.random_range(1..6) {
            let at = rng.random_range(0..=bytes.len());
            match rng.random_range(0..6) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, rng.random()),
                2 => {
                    let other = &seeds[rng.random_range(0..seeds.len())];
                    bytes.extend_from_slice(&other[rng.random_range(0..other.len())..]);
                }
                3 if at < bytes.len() => bytes[at] = [0, 0xff, 0x7f, 0x80][rng.random_range(0..4)],
                _ if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
                _ => {}
            }
        }
        bytes
    }

    #[test]
    fn every_door_has_seeds_and_takes_anything() {
        for (number, (name, door)) in DOORS.into_iter().enumerate() {
            let seeds = seeds(name);
            assert!(!seeds.is_empty(), "{name}");
            seeds.iter().for_each(|seed| door(seed));
            let mut rng = StdRng::seed_from_u64(number as u64);
            for _ in 0..ROUNDS {
                door(&input(&mut rng, &seeds));
            }
        }
    }

    #[test]
    fn the_seeds_reach_behind_the_first_check() {
        let token = String::from_utf8(seeds("token")[0].clone()).expect("text");
        assert!(keys().verify(&token, NOW).is_ok());
        let mut codec = FrameCodec::default();
        for seed in &seeds("signal")[..3] {
            let frame = Frame::Binary(seed.clone().into());
            assert!(matches!(codec.decode_request(&frame), Ok(Some(_))));
        }
        assert!(
            seeds("turn")[..4]
                .iter()
                .all(|seed| Message::read(seed).is_some())
        );
    }
}
