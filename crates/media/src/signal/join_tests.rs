use std::io::Write;
use std::time::Duration;

use flate2::Compression as Level;
use flate2::write::GzEncoder;
use livekit_protocol::{ConnectionSettings, RoomAgentDispatch, RoomConfiguration};
use proptest::prelude::*;

use super::*;
use crate::token::{ApiKey, RoomGrant, RoomPart, VideoGrant};

fn now() -> Timestamp {
    Timestamp::parse("2026-03-02T09:00:00Z").expect("a valid time")
}

fn key() -> ApiKey {
    ApiKey::new("devkey", "a secret of at least thirty-two bytes")
}

fn keys() -> ApiKeys {
    [key()].into_iter().collect()
}

fn claims() -> Claims {
    Claims::participant(&RoomGrant {
        room: "mtg_1".to_owned(),
        identity: "par_1".to_owned(),
        name: "Anna".to_owned(),
        part: RoomPart::Participant,
        metadata: String::new(),
        room_metadata: String::new(),
        ttl: Duration::from_secs(600),
    })
}

fn token(claims: &Claims) -> String {
    key()
        .sign(claims, now(), Duration::from_secs(600))
        .expect("a token")
}

fn join(route: Route, claims: &Claims, query: &str) -> Result<Join, Refusal> {
    let bearer = format!("Bearer {}", token(claims));
    parse(route, query, Some(&bearer), false, &keys(), now())
}

fn wrap(request: &JoinRequest, gzip: bool) -> String {
    let mut bytes = request.encode_to_vec();
    if gzip {
        let mut encoder = GzEncoder::new(Vec::new(), Level::default());
        encoder.write_all(&bytes).expect("written");
        bytes = encoder.finish().expect("finished");
    }
    let wrapped = WrappedJoinRequest {
        compression: gzip.into(),
        join_request: bytes,
    };
    URL_SAFE_NO_PAD.encode(wrapped.encode_to_vec())
}

fn refusal(status: u16, text: &str) -> Refusal {
    Refusal::new(status, text)
}

#[test]
fn the_old_route_reads_the_query() {
    let query = format!(
        "access_token={}&auto_subscribe=0&sdk=js&version=2.23.0&protocol=17&adaptive_stream=1&reconnect=1&sid=PA_1\
         &reconnect_reason=3&device_model=Pixel%207+Pro&client_protocol=1",
        token(&claims())
    );
    let join = parse(Route::V0, &query, None, false, &keys(), now()).expect("valid");
    assert!(
        !join.single_peer_connection
            && !join.auto_subscribe
            && join.adaptive_stream
            && join.reconnect
    );
    assert_eq!(
        (
            join.room.as_str(),
            join.identity.as_str(),
            join.participant_sid.as_str()
        ),
        ("mtg_1", "par_1", "PA_1")
    );
    assert_eq!(join.reconnect_reason as i32, 3);
    assert_eq!(
        (
            join.client.sdk(),
            join.client.protocol,
            join.client.client_protocol
        ),
        (Sdk::Js, 17, 1)
    );
    assert_eq!(join.client.device_model, "Pixel 7 Pro");
    let plain = self::join(Route::V0, &claims(), "").expect("valid");
    assert!(plain.auto_subscribe && plain.subscriber_allow_pause.is_none());
}

#[test]
fn the_new_route_reads_the_join_request_plain_or_gzipped_in_either_alphabet() {
    let request = JoinRequest {
        client_info: Some(ClientInfo {
            sdk: Sdk::Python.into(),
            protocol: 18,
            ..ClientInfo::default()
        }),
        connection_settings: Some(ConnectionSettings {
            auto_subscribe: true,
            ..ConnectionSettings::default()
        }),
        publisher_offer: Some(SessionDescription {
            r#type: "offer".to_owned(),
            sdp: "v=0\r\n".repeat(50),
            id: 1,
            ..SessionDescription::default()
        }),
        participant_sid: "PA_7".to_owned(),
        reconnect: true,
        ..JoinRequest::default()
    };
    for gzip in [false, true] {
        let text = wrap(&request, gzip);
        for text in [
            text.clone(),
            format!("{text}%3D%3D"),
            text.replace('-', "+").replace('_', "/"),
        ] {
            let join = join(Route::V1, &claims(), &format!("join_request={text}")).expect("valid");
            assert!(join.single_peer_connection && join.auto_subscribe && join.reconnect);
            assert_eq!(join.publisher_offer, request.publisher_offer);
            assert_eq!(
                (join.client.protocol, join.participant_sid.as_str()),
                (18, "PA_7")
            );
            assert_eq!(join.subscriber_allow_pause, Some(false));
        }
    }
}

#[test]
fn a_bomb_is_not_inflated() {
    let request = JoinRequest {
        metadata: "x".repeat(50 * 1024 * 1024),
        ..JoinRequest::default()
    };
    for gzip in [true, false] {
        let query = format!("join_request={}", wrap(&request, gzip));
        assert_eq!(
            join(Route::V1, &claims(), &query),
            Err(refusal(400, "join request too large"))
        );
    }
}

#[test]
fn refusals_have_the_status_and_text_that_clients_classify_by() {
    assert_eq!(
        parse(Route::V0, "", None, true, &keys(), now()),
        Err(refusal(401, "no permissions to access the room"))
    );
    assert_eq!(
        parse(Route::V0, "", Some("Basic x"), true, &keys(), now()),
        Err(refusal(
            401,
            "invalid authorization header. Must start with Bearer "
        ))
    );
    assert_eq!(
        parse(Route::V0, "access_token=x.y.z", None, true, &keys(), now()),
        Err(refusal(401, "invalid authorization token"))
    );
    assert_eq!(
        join(Route::V1, &claims(), ""),
        Err(refusal(400, "join_request is required"))
    );
    assert_eq!(
        join(Route::V1, &claims(), "join_request=%21"),
        Err(refusal(400, "cannot base64 decode wrapped join request"))
    );
    let with = |change: fn(&mut VideoGrant)| {
        let mut claims = claims();
        change(claims.video.get_or_insert_default());
        join(Route::V0, &claims, "").map(|_| ())
    };
    assert_eq!(
        with(|video| video.room_join = false),
        Err(refusal(401, "permissions denied"))
    );
    assert_eq!(
        with(|video| video.room.clear()),
        Err(refusal(400, "no room name"))
    );
    assert_eq!(
        with(|video| video.room = "r".repeat(257)),
        Err(refusal(
            400,
            "room name length exceeds limits: max length 256"
        ))
    );
    let nobody = Claims {
        sub: String::new(),
        ..claims()
    };
    assert_eq!(
        join(Route::V0, &nobody, ""),
        Err(refusal(400, "identity cannot be empty"))
    );
    assert_eq!(
        join(
            Route::V0,
            &Claims {
                video: None,
                ..claims()
            },
            ""
        ),
        Err(Refusal::no_permission())
    );
}

#[test]
fn metadata_and_attributes_of_the_client_need_the_grant() {
    let request = JoinRequest {
        metadata: "mine".to_owned(),
        participant_attributes: [("seat", ""), ("hand", "up")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
        ..JoinRequest::default()
    };
    let query = format!("join_request={}", wrap(&request, false));
    assert_eq!(
        join(Route::V1, &claims(), &query),
        Err(Refusal::no_permission())
    );
    let mut allowed = claims();
    allowed.attributes.insert("seat".to_owned(), "4".to_owned());
    allowed
        .video
        .get_or_insert_default()
        .can_update_own_metadata = Some(true);
    let join = join(Route::V1, &allowed, &query).expect("valid");
    assert_eq!(join.claims.metadata, "mine");
    assert_eq!(join.claims.attributes["seat"], "4");
    assert_eq!(join.claims.attributes["hand"], "up");
}

#[test]
fn a_connection_that_only_publishes_is_another_participant() {
    let join = join(Route::V0, &claims(), "publish=screen").expect("valid");
    assert_eq!(join.identity, "par_1#screen");
    assert!(!join.permissions.can_subscribe);
}

#[test]
fn the_tokens_room_configuration_makes_the_room() {
    let claims = Claims {
        room_config: Some(RoomConfiguration {
            empty_timeout: 60,
            max_participants: 3,
            agents: vec![RoomAgentDispatch {
                agent_name: "scribe".to_owned(),
                ..RoomAgentDispatch::default()
            }],
            ..RoomConfiguration::default()
        }),
        ..claims()
    };
    let settings = join(Route::V0, &claims, "").expect("valid").room_settings;
    assert_eq!(
        (
            settings.name.as_str(),
            settings.empty_timeout,
            settings.max_participants
        ),
        ("mtg_1", 60, 3)
    );
    assert_eq!(settings.agents[0].agent_name, "scribe");
}

proptest! {
    #[test]
    fn no_query_makes_the_parser_panic(query in "\\PC{0,200}", request in "[A-Za-z0-9_%=+-]{0,80}", bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = join(Route::V0, &claims(), &query);
        let _ = join(Route::V1, &claims(), &format!("join_request={request}"));
        let gzip = WrappedJoinRequest { compression: 1, join_request: bytes };
        let _ = join(Route::V1, &claims(), &format!("join_request={}", URL_SAFE_NO_PAD.encode(gzip.encode_to_vec())));
    }
}
