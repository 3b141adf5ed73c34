//! The relay as a client sees it, message by message.

use std::time::Duration;

use super::*;

const PEER: &str = "192.0.2.10:7882";
const WALL_S: u64 = 1_700_000_000;

struct Scene {
    relay: Relay,
    time: Time,
    client: Client,
    credentials: TurnCredentials,
    nonce: String,
    transactions: u8,
}

impl Scene {
    fn new() -> Self {
        let secret = TurnSecret::new(b"a secret of the relay");
        let credentials = secret.credentials("PA_me", WALL_S + 60);
        let peers = vec![PEER.parse().expect("an address")];
        Self {
            relay: Relay::new(secret, peers),
            time: Time {
                now: Instant::now(),
                wall_s: WALL_S,
            },
            client: Client {
                way: Way::Udp(0),
                remote: "198.51.100.7:40000".parse().expect("an address"),
            },
            credentials,
            nonce: String::new(),
            transactions: 0,
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.time.now += Duration::from_secs(seconds);
        self.time.wall_s += seconds;
        self.relay.expire(self.time.now);
    }

    fn begin(&mut self, method: u16) -> Writer {
        self.transactions += 1;
        Writer::new(Class::Request, method, [self.transactions; 12])
    }

    /// Signs a request, sends it and reads the answer: its code (0 for success) and bytes.
    fn ask(&mut self, request: Writer) -> (u16, Vec<u8>) {
        let TurnCredentials { username, password } = self.credentials.clone();
        let key = long_term_key(&username, REALM, &password);
        let request = request
            .with(attribute::USERNAME, username.as_bytes())
            .with(attribute::REALM, REALM.as_bytes())
            .with(attribute::NONCE, self.nonce.as_bytes())
            .signed(&key)
            .finish();
        self.exchange(&request)
    }

    fn exchange(&mut self, request: &[u8]) -> (u16, Vec<u8>) {
        let Outcome::Reply(reply) = self.relay.receive(self.client, request, self.time) else {
            return (u16::MAX, Vec::new());
        };
        let message = Message::read(&reply).expect("an answer");
        if let Some(nonce) = message.text(attribute::NONCE) {
            self.nonce = nonce.to_owned();
        }
        (message.error_code().unwrap_or(0), reply)
    }

    fn allocate(&mut self) -> SocketAddr {
        let first = self.begin(method::ALLOCATE).finish();
        assert_eq!(self.exchange(&first).0, 401);
        let request = self.begin(method::ALLOCATE);
        let (code, reply) = self.ask(request.with(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]));
        assert_eq!(code, 0);
        let reply = Message::read(&reply).expect("an answer");
        let mapped = reply.address(attribute::XOR_MAPPED_ADDRESS);
        assert_eq!(mapped, Some(self.client.remote));
        assert_eq!(reply.number(attribute::LIFETIME), Some(600));
        reply
            .address(attribute::XOR_RELAYED_ADDRESS)
            .expect("a relayed address")
    }

    fn about(&mut self, method: u16, peer: &str) -> u16 {
        let peer = peer.parse().expect("an address");
        let request = self.begin(method);
        let request = if method == method::CHANNEL_BIND {
            request.with(attribute::CHANNEL_NUMBER, &[0x40, 0x01, 0, 0])
        } else {
            request
        };
        self.ask(request.with_address(attribute::XOR_PEER_ADDRESS, peer))
            .0
    }

    fn back(&mut self, relayed: SocketAddr, data: &[u8]) -> Option<Vec<u8>> {
        let mut into = Vec::new();
        let peer = PEER.parse().expect("an address");
        let client = self
            .relay
            .back(relayed, peer, data, self.time.now, &mut into)?;
        assert_eq!(client, self.client);
        Some(into)
    }
}

#[test]
fn data_goes_both_ways_by_indication_and_by_channel() {
    let mut scene = Scene::new();
    let relayed = scene.allocate();
    assert_eq!(relayed.ip(), PEER.parse::<SocketAddr>().expect("one").ip());
    assert_eq!(scene.back(relayed, b"early"), None, "no permission");
    assert_eq!(scene.about(method::CREATE_PERMISSION, PEER), 0);

    let peer = PEER.parse().expect("an address");
    let send = Writer::new(Class::Indication, method::SEND, [9; 12])
        .with_address(attribute::XOR_PEER_ADDRESS, peer)
        .with(attribute::DATA, b"check")
        .finish();
    let relay = Outcome::Relay {
        relayed,
        peer,
        data: b"check",
    };
    assert_eq!(scene.relay.receive(scene.client, &send, scene.time), relay);
    let back = scene.back(relayed, b"answer").expect("permitted");
    let back = Message::read(&back).expect("an indication");
    assert_eq!((back.class, back.method), (Class::Indication, method::DATA));
    assert_eq!(back.get(attribute::DATA), Some(&b"answer"[..]));
    assert_eq!(back.address(attribute::XOR_PEER_ADDRESS), Some(peer));

    assert_eq!(scene.about(method::CHANNEL_BIND, PEER), 0);
    let frame = b"\x40\x01\x00\x03abc\0";
    let relay = Outcome::Relay {
        relayed,
        peer,
        data: b"abc",
    };
    assert_eq!(scene.relay.receive(scene.client, frame, scene.time), relay);
    assert_eq!(
        scene.back(relayed, b"xyz").expect("bound"),
        b"\x40\x01\x00\x03xyz"
    );
}

#[test]
fn it_relays_to_nothing_but_our_own_media() {
    let mut scene = Scene::new();
    scene.allocate();
    for peer in [
        "10.0.0.1:7882",
        "127.0.0.1:22",
        "192.0.2.11:7882",
        "[::1]:7882",
    ] {
        assert_eq!(scene.about(method::CREATE_PERMISSION, peer), 403, "{peer}");
        assert_eq!(scene.about(method::CHANNEL_BIND, peer), 403, "{peer}");
    }
    // The right address with another port: permitted by address, but nothing goes there.
    assert_eq!(scene.about(method::CHANNEL_BIND, "192.0.2.10:22"), 403);
    assert_eq!(scene.about(method::CREATE_PERMISSION, "192.0.2.10:22"), 0);
    let send = Writer::new(Class::Indication, method::SEND, [9; 12])
        .with_address(
            attribute::XOR_PEER_ADDRESS,
            "192.0.2.10:22".parse().expect("one"),
        )
        .with(attribute::DATA, b"x")
        .finish();
    assert_eq!(
        scene.relay.receive(scene.client, &send, scene.time),
        Outcome::Nothing
    );
}

#[test]
fn credentials_count_until_their_end_and_an_allocation_goes_on_after_it() {
    let mut scene = Scene::new();
    let relayed = scene.allocate();
    scene.pass(120);
    let request = scene.begin(method::REFRESH);
    assert_eq!(scene.ask(request).0, 0, "a meeting may be longer");
    assert_eq!(scene.about(method::CREATE_PERMISSION, PEER), 0);
    assert!(scene.back(relayed, b"x").is_some());
    scene.client.remote.set_port(40_001);
    let request = scene.begin(method::ALLOCATE);
    let request = request.with(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
    assert_eq!(scene.ask(request).0, 401, "no new one with old credentials");
}

#[test]
fn forged_credentials_and_old_nonces_are_refused() {
    let mut scene = Scene::new();
    scene.allocate();
    scene.client.remote.set_port(40_001);
    let transport = |request: Writer| request.with(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
    let good = scene.credentials.clone();
    scene.credentials.username = format!("{}:PA_me", WALL_S + 9_999);
    let request = transport(scene.begin(method::ALLOCATE));
    assert_eq!(
        scene.ask(request).0,
        401,
        "a later end needs another password"
    );
    scene.credentials = good;
    scene.nonce = scene.nonce.replace('-', "0-");
    let request = transport(scene.begin(method::ALLOCATE));
    assert_eq!(scene.ask(request).0, 438);
    let request = transport(scene.begin(method::ALLOCATE));
    assert_eq!(scene.ask(request).0, 0, "with the nonce of the refusal");
}

#[test]
fn an_allocation_belongs_to_its_user_and_way() {
    let mut scene = Scene::new();
    scene.allocate();
    let other = TurnSecret::new(b"a secret of the relay").credentials("PA_other", WALL_S + 60);
    scene.credentials = other;
    let request = scene.begin(method::REFRESH);
    assert_eq!(scene.ask(request).0, 441);
    scene.client.remote.set_port(40_001);
    let request = scene.begin(method::REFRESH);
    assert_eq!(scene.ask(request).0, 437);
}

#[test]
fn what_nobody_refreshes_ends_and_leaves_nothing_behind() {
    let mut scene = Scene::new();
    let relayed = scene.allocate();
    assert_eq!(scene.about(method::CHANNEL_BIND, PEER), 0);
    scene.pass(299);
    assert!(scene.back(relayed, b"x").is_some());
    scene.pass(2);
    assert_eq!(
        scene.back(relayed, b"x"),
        None,
        "permissions last 5 minutes"
    );
    scene.pass(300);
    assert!(scene.relay.is_empty());
    assert!(scene.relay.relayed.is_empty() && scene.relay.users.is_empty());
    assert!(scene.relay.addresses.is_empty());
    let again = {
        let secret = TurnSecret::new(b"a secret of the relay");
        scene.credentials = secret.credentials("PA_me", scene.time.wall_s + 60);
        scene.allocate()
    };
    assert_ne!(again, relayed, "numbers come back late");
    let request = scene.begin(method::REFRESH);
    assert_eq!(scene.ask(request.with(attribute::LIFETIME, &[0; 4])).0, 0);
    assert!(scene.relay.is_empty());
}

#[test]
fn one_user_gets_so_many_and_a_repeated_request_no_second_one() {
    let mut scene = Scene::new();
    scene.allocate();
    let transport = |request: Writer| request.with(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
    let again = transport(Writer::new(
        Class::Request,
        method::ALLOCATE,
        [scene.transactions; 12],
    ));
    assert_eq!(scene.ask(again).0, 0);
    assert_eq!(scene.relay.len(), 1);
    let other = transport(scene.begin(method::ALLOCATE));
    assert_eq!(scene.ask(other).0, 437);
    for port in 1..=PER_USER as u16 {
        scene.client.remote.set_port(50_000 + port);
        let request = transport(scene.begin(method::ALLOCATE));
        let expected = if usize::from(port) < PER_USER { 0 } else { 486 };
        assert_eq!(scene.ask(request).0, expected, "{port}");
    }
}

#[test]
fn what_it_cannot_do_is_said() {
    let mut scene = Scene::new();
    let first = scene.begin(method::ALLOCATE).finish();
    assert_eq!(scene.exchange(&first).0, 401);
    let cases: [(u16, &[u8], u16); 3] = [
        (attribute::REQUESTED_TRANSPORT, &[6, 0, 0, 0], 442),
        (attribute::REQUESTED_ADDRESS_FAMILY, &[17, 0, 0, 0], 400),
        (0x7777, &[0; 4], 420),
    ];
    for (kind, value, code) in cases {
        let request = scene.begin(method::ALLOCATE).with(kind, value);
        assert_eq!(scene.ask(request).0, code, "{kind:#x}");
    }
    let request = scene
        .begin(method::ALLOCATE)
        .with(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
        .with(attribute::REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0]);
    assert_eq!(scene.ask(request).0, 440, "no IPv6 here");
}

#[test]
fn a_stranger_gets_few_answers_per_second() {
    let mut scene = Scene::new();
    let request = scene.begin(method::ALLOCATE).finish();
    let answered = (0..1_000)
        .filter(|_| scene.exchange(&request).0 == 401)
        .count();
    assert_eq!(answered, 64);
    scene.pass(1);
    assert_eq!(scene.exchange(&request).0, 401);
}

#[test]
fn one_allocation_carries_so_much() {
    let mut scene = Scene::new();
    let relayed = scene.allocate();
    assert_eq!(scene.about(method::CREATE_PERMISSION, PEER), 0);
    let packet = [0; 1_200];
    let passed = (0..10_000)
        .filter(|_| scene.back(relayed, &packet).is_some())
        .count();
    assert!((3_000..4_000).contains(&passed), "{passed}");
}

#[test]
fn frames_on_a_stream_have_their_length_in_front() {
    assert_eq!(frame_length(&[0, 1, 0, 8]), Ok(Some(28)));
    assert_eq!(frame_length(&[0x40, 1, 0, 5]), Ok(Some(12)));
    assert_eq!(frame_length(&[0x40, 1]), Ok(None));
    assert_eq!(frame_length(b"GET /"), Err(FrameUnreadable));
    assert_eq!(frame_length(&[0x40, 1, 0xff, 0xff]), Err(FrameUnreadable));
}
