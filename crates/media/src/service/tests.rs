use livekit_protocol as proto;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::time::Duration;

use super::*;
use crate::token::{ApiKey, SipGrant, VideoGrant};

/// `CreateRoomRequest(name="mtg_1", empty_timeout=60, agents=[RoomAgentDispatch(agent_name="scribe")])` by
/// livekit-protocol 1.1.29 of PyPI.
const CREATE: &[u8] = b"\x0a\x05mtg_1\x10\x3c\x72\x08\x0a\x06scribe";

fn now() -> Timestamp {
    Timestamp::parse("2026-03-02T09:00:00Z").expect("a valid time")
}

fn key() -> ApiKey {
    ApiKey::new("devkey", "a secret of at least thirty-two bytes")
}

fn keys() -> ApiKeys {
    [key()].into_iter().collect()
}

fn bearer(claims: &Claims) -> String {
    format!(
        "Bearer {}",
        key()
            .sign(claims, now(), Duration::from_secs(60))
            .expect("a token")
    )
}

fn everything(room: &str) -> VideoGrant {
    VideoGrant {
        room: room.to_owned(),
        room_admin: true,
        room_create: true,
        room_list: true,
        room_record: true,
        ingress_admin: true,
        destination_room: "there".to_owned(),
        ..VideoGrant::default()
    }
}

fn post(
    path: &str,
    content_type: &str,
    body: &[u8],
    grant: VideoGrant,
) -> Result<Accepted, HttpAnswer> {
    let authorization = bearer(&Claims::server_call(grant));
    let request = HttpRequest {
        method: "POST",
        path,
        query: "",
        content_type: Some(content_type),
        authorization: Some(&authorization),
        body,
    };
    decode(&request, &keys(), now())
}

fn json_of(answer: &HttpAnswer) -> Value {
    assert_eq!(answer.content_type, "application/json");
    serde_json::from_slice(&answer.body).expect("JSON")
}

fn refused(result: Result<Accepted, HttpAnswer>) -> (u16, String, String) {
    let answer = result.expect_err("refused");
    let body = json_of(&answer);
    let text = |name: &str| body[name].as_str().expect("text").to_owned();
    (answer.status, text("code"), text("msg"))
}

#[test]
fn a_request_in_either_language_is_the_same_call_and_is_answered_in_its_own() {
    let path = "/twirp/livekit.RoomService/CreateRoom";
    let binary = post(path, "application/protobuf", CREATE, everything("")).expect("accepted");
    let text =
        br#"{"name":"mtg_1","emptyTimeout":60,"agents":[{"agent_name":"scribe"}],"later":1}"#;
    let json = post(
        path,
        "application/json; charset=utf-8",
        text,
        everything(""),
    )
    .expect("accepted");
    assert_eq!(binary.call, json.call);
    let Call::Room(RoomCall::Create(request)) = binary.call else {
        panic!("another call")
    };
    assert_eq!(
        (request.empty_timeout, request.agents[0].agent_name.as_str()),
        (60, "scribe")
    );

    let room = proto::Room {
        sid: "RM_1".to_owned(),
        creation_time: 5,
        ..proto::Room::default()
    };
    let answer = RoomAnswer::Create(room);
    assert_eq!(
        json_of(&answer.answer(json.wire)),
        json!({ "sid": "RM_1", "creationTime": "5" })
    );
    let bytes = answer.answer(binary.wire);
    assert_eq!(
        (bytes.status, bytes.content_type),
        (200, "application/protobuf")
    );
    assert_eq!(bytes.body, b"\x0a\x04RM_1\x28\x05");
}

#[test]
fn wrong_routes_and_bodies_get_twirps_answers() {
    let room = "/twirp/livekit.RoomService/ListRooms";
    let ask =
        |path: &str, kind: &str, body: &[u8]| refused(post(path, kind, body, everything("mtg_1")));
    for path in [
        "/twirp/livekit.RoomService/Nothing",
        "/twirp/livekit.Nothing/ListRooms",
        "/twirp/livekit.RoomService",
        "/other",
        "/twirp/livekit.Egress/Nothing",
        "/twirp/livekit.AgentDispatchService/ListRooms",
    ] {
        let (status, code, msg) = ask(path, "application/json", b"{}");
        assert_eq!((status, code.as_str()), (404, "bad_route"), "{path}");
        assert_eq!(msg, format!("no handler for path {path:?}"));
    }
    assert_eq!(
        ask(room, "text/plain", b""),
        (
            404,
            "bad_route".to_owned(),
            "unexpected Content-Type: \"text/plain\"".to_owned()
        )
    );
    assert_eq!(
        ask(room, "application/json", b"{"),
        (
            400,
            "malformed".to_owned(),
            "the json request could not be decoded".to_owned()
        )
    );
    assert_eq!(ask(room, "application/protobuf", b"\xff").1, "malformed");
    let get = HttpRequest {
        method: "GET",
        path: room,
        query: "",
        content_type: None,
        authorization: None,
        body: b"",
    };
    let answer = decode(&get, &keys(), now()).expect_err("refused");
    assert_eq!(
        json_of(&answer)["meta"]["twirp_invalid_route"],
        format!("GET {room}")
    );
    let large = post(
        room,
        "application/json",
        &vec![b' '; MAX_BODY_BYTES + 1],
        everything(""),
    )
    .expect_err("refused");
    assert_eq!(large.status, 413);
    assert!(
        post(
            "//twirp/livekit.RoomService/ListRooms",
            "application/json",
            b"{}",
            everything("")
        )
        .is_ok()
    );
}

#[test]
fn each_method_needs_its_grant_and_no_other() {
    let without = |change: fn(&mut VideoGrant)| {
        let mut grant = everything("mtg_1");
        change(&mut grant);
        grant
    };
    let create: fn(&mut VideoGrant) = |grant| grant.room_create = false;
    let list: fn(&mut VideoGrant) = |grant| grant.room_list = false;
    let admin: fn(&mut VideoGrant) = |grant| grant.room_admin = false;
    let other: fn(&mut VideoGrant) = |grant| grant.room = "mtg_2".to_owned();
    let there: fn(&mut VideoGrant) = |grant| grant.destination_room.clear();
    let body = br#"{"room":"mtg_1","destinationRoom":"there","destinationIdentity":"x"}"#;
    for (service, method, lacking) in [
        ("RoomService", "CreateRoom", vec![create]),
        ("RoomService", "ListRooms", vec![list]),
        ("RoomService", "DeleteRoom", vec![create]),
        ("RoomService", "ListParticipants", vec![admin, other]),
        ("RoomService", "GetParticipant", vec![admin, other]),
        ("RoomService", "RemoveParticipant", vec![admin, other]),
        ("RoomService", "MutePublishedTrack", vec![admin, other]),
        ("RoomService", "UpdateParticipant", vec![admin, other]),
        ("RoomService", "UpdateSubscriptions", vec![admin, other]),
        ("RoomService", "SendData", vec![admin, other]),
        ("RoomService", "UpdateRoomMetadata", vec![admin, other]),
        (
            "RoomService",
            "ForwardParticipant",
            vec![admin, other, there],
        ),
        ("RoomService", "MoveParticipant", vec![admin, other, there]),
        ("RoomService", "PerformRpc", vec![admin, other]),
        ("AgentDispatchService", "CreateDispatch", vec![admin, other]),
        ("AgentDispatchService", "DeleteDispatch", vec![admin, other]),
        ("AgentDispatchService", "ListDispatch", vec![admin, other]),
    ] {
        let path = format!("/twirp/livekit.{service}/{method}");
        let ask = |grant| post(&path, "application/json", body, grant);
        assert!(ask(everything("mtg_1")).is_ok(), "{method}");
        let enough = [create, list, admin, other, there]
            .into_iter()
            .filter(|change| ask(without(*change)).is_ok())
            .count();
        assert_eq!(enough, 5 - lacking.len(), "{method}");
        for change in lacking {
            let denied = (
                401,
                "unauthenticated".to_owned(),
                "permissions denied".to_owned(),
            );
            assert_eq!(refused(ask(without(change))), denied, "{method}");
        }
    }
}

#[test]
fn a_token_that_does_not_hold_is_refused_before_twirp_speaks() {
    let request = |authorization| HttpRequest {
        method: "POST",
        path: "/twirp/livekit.RoomService/ListRooms",
        query: "",
        content_type: Some("application/json"),
        authorization,
        body: b"{}",
    };
    let bad = decode(&request(Some("Bearer x.y.z")), &keys(), now()).expect_err("refused");
    assert_eq!(
        (bad.status, bad.body.as_slice()),
        (401, b"invalid authorization token".as_slice())
    );
    let none = refused(decode(&request(None), &keys(), now()));
    assert_eq!((none.0, none.1.as_str()), (401, "unauthenticated"));
}

#[test]
fn limits_are_checked_as_livekit_does() {
    let ask = |method: &str, body: Value| {
        let path = format!("/twirp/livekit.{method}");
        let (status, code, msg) = refused(post(
            &path,
            "application/json",
            body.to_string().as_bytes(),
            everything("r"),
        ));
        assert_eq!((status, code.as_str()), (400, "invalid_argument"));
        msg
    };
    let long = "x".repeat(600 * 1024);
    assert_eq!(
        ask("RoomService/CreateRoom", json!({ "name": "x".repeat(257) })),
        "room name length exceeds limits: max length 256"
    );
    assert_eq!(
        ask(
            "RoomService/CreateRoom",
            json!({ "agents": [{ "metadata": long }] })
        ),
        "metadata size exceeds limits"
    );
    assert_eq!(
        ask(
            "RoomService/UpdateParticipant",
            json!({ "attributes": { "a": long } })
        ),
        "attribute size exceeds limits"
    );
    assert_eq!(
        ask(
            "RoomService/SendData",
            json!({ "room": "r", "nonce": "AAAA" })
        ),
        "nonce should be 16-bytes or not present, got: 3 bytes"
    );
    assert_eq!(
        ask("RoomService/PerformRpc", json!({ "room": "r" })),
        "destination identity is required"
    );
    assert_eq!(
        ask(
            "AgentDispatchService/CreateDispatch",
            json!({ "room": "r", "deployment": "a_b" })
        ),
        "deployment contains reserved character '_'"
    );
}

#[test]
fn egress_ingress_and_sip_refuse_cleanly_after_the_grant() {
    let ask = |path: &str, claims: &Claims| {
        let authorization = bearer(claims);
        let request = HttpRequest {
            method: "POST",
            path,
            query: "",
            content_type: Some("application/json"),
            authorization: Some(&authorization),
            body: b"{}",
        };
        refused(decode(&request, &keys(), now()))
    };
    let may = Claims::server_call(everything(""));
    for path in [
        "/twirp/livekit.Egress/StartRoomCompositeEgress",
        "/twirp/livekit.Ingress/CreateIngress",
    ] {
        let (status, code, msg) = ask(path, &may);
        assert_eq!((status, code.as_str()), (501, "unimplemented"));
        assert!(msg.contains("is not available on this server"), "{msg}");
        assert_eq!(ask(path, &Claims::default()).1, "unauthenticated");
    }
    let sip = "/twirp/livekit.SIP/CreateSIPParticipant";
    assert_eq!(ask(sip, &may).1, "unauthenticated");
    // The `sip` grant is only read; its refusal is asked of the rule itself.
    let caller = Claims {
        sip: Some(SipGrant {
            admin: false,
            call: true,
        }),
        ..Claims::default()
    };
    let rule = grants::refused_service("livekit.SIP", "CreateSIPParticipant").expect("known");
    assert_eq!(rule.refuse(&caller).code, TwirpCode::Unimplemented);
}

#[test]
fn what_our_client_asks_our_server_accepts_and_its_answer_is_read() {
    let named = || "r".to_owned();
    let calls = [
        RoomCall::Create(proto::CreateRoomRequest {
            name: named(),
            ..Default::default()
        }),
        RoomCall::List(proto::ListRoomsRequest::default()),
        RoomCall::Delete(proto::DeleteRoomRequest { room: named() }),
        RoomCall::RemoveParticipant(proto::RoomParticipantIdentity {
            room: named(),
            identity: "a".to_owned(),
            ..Default::default()
        }),
        RoomCall::MoveParticipant(proto::MoveParticipantRequest {
            room: named(),
            destination_room: "s".to_owned(),
            ..Default::default()
        }),
        RoomCall::PerformRpc(proto::PerformRpcRequest {
            room: named(),
            destination_identity: "a".to_owned(),
            ..Default::default()
        }),
    ];
    let deliver = |outgoing: &client::OutgoingCall| {
        let request = HttpRequest {
            method: "POST",
            path: &outgoing.path,
            query: "",
            content_type: Some(outgoing.content_type),
            authorization: Some(&outgoing.authorization),
            body: &outgoing.body,
        };
        decode(&request, &keys(), now()).expect("accepted")
    };
    for call in calls {
        let outgoing = client::room_request(&call, &key(), now()).expect("signed");
        assert_eq!(deliver(&outgoing).call, Call::Room(call));
    }
    let dispatch = DispatchCall::Create(proto::CreateAgentDispatchRequest {
        room: named(),
        ..Default::default()
    });
    let accepted = deliver(&client::dispatch_request(&dispatch, &key(), now()).expect("signed"));
    let answer = DispatchAnswer::Create(proto::AgentDispatch {
        id: "AD_1".to_owned(),
        ..Default::default()
    });
    let http = answer.answer(accepted.wire);
    assert_eq!(
        client::dispatch_answer(&dispatch, http.status, &http.body),
        Ok(answer)
    );

    let list = RoomCall::List(proto::ListRoomsRequest::default());
    let missing = TwirpError::room_not_found();
    let http = missing.answer();
    assert_eq!(http.status, 404);
    assert_eq!(
        client::room_answer(&list, http.status, &http.body),
        Err(missing)
    );
    let proxy = client::room_answer(&list, 502, b"<html>bad gateway").expect_err("an error");
    assert_eq!(proxy.code, TwirpCode::Unavailable);
    assert_eq!(
        client::room_answer(&list, 200, b"\xff")
            .expect_err("an error")
            .code,
        TwirpCode::Internal
    );
}

#[test]
fn every_code_has_its_own_name() {
    for code in TwirpCode::ALL {
        assert_eq!(TwirpCode::parse(code.as_str()), Some(*code));
    }
}

proptest! {
    #[test]
    fn no_request_makes_the_decoder_panic(
        path in "(/?/twirp/livekit\\.(RoomService|AgentDispatchService|SIP)/[A-Za-z]{0,20}|\\PC{0,40})",
        body in proptest::collection::vec(any::<u8>(), 0..200),
        kind in "(application/json|application/protobuf|\\PC{0,20})",
    ) {
        let _ = post(&path, &kind, &body, everything("r"));
        for method in ["SendData", "CreateRoom", "UpdateParticipant"] {
            let _ = post(&format!("/twirp/livekit.RoomService/{method}"), "application/protobuf", &body, everything("r"));
        }
        let list = RoomCall::List(proto::ListRoomsRequest::default());
        let _ = client::room_answer(&list, 500, &body);
        let _ = client::room_answer(&list, 200, &body);
    }
}
