use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use livekit_protocol::TrackSource;
use livekit_protocol::participant_info::Kind;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const SECRET: &str = "a secret of at least thirty-two bytes";
/// Made by livekit-api 1.2.2 of PyPI with its clock held at 2026-03-02T09:00:00Z: `AccessToken("devkey", SECRET)`
/// with identity, name, metadata, attributes, grants (join, two sources, own metadata, hidden) and a room configuration.
const JOIN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJuYW1lIjoiQW5uYSIsIm1ldGFkYXRhIjoie1wicm9sZVwiOlwiaG9zdFwifSIsInZpZGVvIjp7InJvb21Kb2luIjp0cnVlLCJyb29tIjoibXRnXzEiLCJjYW5QdWJsaXNoIjp0cnVlLCJjYW5TdWJzY3JpYmUiOnRydWUsImNhblB1Ymxpc2hEYXRhIjp0cnVlLCJjYW5QdWJsaXNoU291cmNlcyI6WyJtaWNyb3Bob25lIiwic2NyZWVuX3NoYXJlIl0sImNhblVwZGF0ZU93bk1ldGFkYXRhIjp0cnVlLCJoaWRkZW4iOnRydWV9LCJhdHRyaWJ1dGVzIjp7InNlYXQiOiI0In0sInJvb21Db25maWciOnsibmFtZSI6Im10Z18xIiwiZW1wdHlUaW1lb3V0Ijo2MCwiZGVwYXJ0dXJlVGltZW91dCI6MjAsIm1heFBhcnRpY2lwYW50cyI6MTIsImFnZW50cyI6W3siYWdlbnROYW1lIjoic2NyaWJlIiwibWV0YWRhdGEiOiJub3RlcyJ9XSwibWV0YWRhdGEiOiJtIn0sInN1YiI6InBhcl8xIiwiaXNzIjoiZGV2a2V5IiwibmJmIjoxNzcyNDQyMDAwLCJleHAiOjE3NzI0NDI2MDB9.3ufjQAfpIqATxKJ-VYoA02v1BZwoglxM-g0Yrd25GfU";
/// Made by the same signer with `VideoGrants(room_admin=True, room="mtg_1")` and `SIPGrants(admin=True)`.
const ADMIN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ2aWRlbyI6eyJyb29tQWRtaW4iOnRydWUsInJvb20iOiJtdGdfMSIsImNhblB1Ymxpc2giOnRydWUsImNhblN1YnNjcmliZSI6dHJ1ZSwiY2FuUHVibGlzaERhdGEiOnRydWV9LCJzaXAiOnsiYWRtaW4iOnRydWUsImNhbGwiOmZhbHNlfSwic3ViIjoiIiwiaXNzIjoiZGV2a2V5IiwibmJmIjoxNzcyNDQyMDAwLCJleHAiOjE3NzI0NDI2MDB9.xNfniAYgjAWK-OAgtqM4soaLDvzX1Efpa9JBk22CAug";

fn grant() -> RoomGrant {
    RoomGrant {
        room: "mtg_1".to_owned(),
        identity: "par_1".to_owned(),
        name: "Anna".to_owned(),
        part: RoomPart::Participant,
        metadata: r#"{"role":"host"}"#.to_owned(),
        room_metadata: String::new(),
        ttl: Duration::from_secs(600),
    }
}

fn now() -> Timestamp {
    Timestamp::parse("2026-03-02T09:00:00Z").expect("a valid time")
}

fn after(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(now().seconds() + seconds)
}

fn keys() -> ApiKeys {
    [
        ApiKey::new("other", "another secret of thirty-two bytes!"),
        ApiKey::new("devkey", SECRET),
        ApiKey::new("blank", ""),
    ]
    .into_iter()
    .collect()
}

fn body(token: &str) -> Value {
    let body = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).expect("base64")).expect("JSON")
}

/// Any header and claims with the right HS256 signature of `SECRET`.
fn signed(head: &Value, claims: &Value) -> String {
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(head.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    let signature =
        jsonwebtoken::crypto::sign(signed.as_bytes(), &key, jsonwebtoken::Algorithm::HS256)
            .expect("a signature");
    format!("{signed}.{signature}")
}

#[test]
fn a_token_is_what_another_signer_makes_of_the_same_claims() {
    // Made with the hmac and hashlib modules of Python from these claims.
    let expected = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJkZXZrZXkiLCJzdWIiOiJwYXJfMSIsIm5hbWUiOiJBbm5hIiwibmJmIjoxNzcyNDQyMDAwLCJleHAiOjE3NzI0NDI2MDAsIm1ldGFkYXRhIjoie1wicm9sZVwiOlwiaG9zdFwifSIsInZpZGVvIjp7InJvb20iOiJtdGdfMSIsInJvb21Kb2luIjp0cnVlLCJjYW5QdWJsaXNoIjp0cnVlLCJjYW5TdWJzY3JpYmUiOnRydWUsImNhblB1Ymxpc2hEYXRhIjp0cnVlfX0.lZpgoZQIJAWvTogFHcd5nknqmm7FM8ZJy6Tur5FqABg";
    let claims = Claims {
        sub: "par_1".to_owned(),
        name: "Anna".to_owned(),
        metadata: r#"{"role":"host"}"#.to_owned(),
        video: Some(VideoGrant {
            room: "mtg_1".to_owned(),
            room_join: true,
            can_publish: Some(true),
            can_subscribe: Some(true),
            can_publish_data: Some(true),
            ..VideoGrant::default()
        }),
        ..Claims::default()
    };
    let token = ApiKey::new("devkey", SECRET).sign(&claims, now(), Duration::from_secs(600));
    assert_eq!(token.expect("a token"), expected);
}

#[test]
fn what_somebody_is_in_a_room_decides_what_they_may_do_there() {
    let read = |part| {
        let grant = RoomGrant { part, ..grant() };
        let token = access_token("devkey", SECRET, &grant, now()).expect("a token");
        keys().verify(&token, now()).expect("valid")
    };
    for part in [
        RoomPart::Viewer,
        RoomPart::Participant,
        RoomPart::Agent,
        RoomPart::Recorder,
    ] {
        let permissions = read(part).permissions();
        assert_eq!(permissions, part.permissions());
        assert!(permissions.can_subscribe);
        assert_eq!(permissions.hidden, part == RoomPart::Recorder);
    }
    let viewer = read(RoomPart::Viewer).permissions();
    assert!(!viewer.can_publish && !viewer.can_publish_data && !viewer.can_update_metadata);
    let participant = read(RoomPart::Participant).permissions();
    for source in [
        TrackSource::Camera,
        TrackSource::Microphone,
        TrackSource::ScreenShare,
        TrackSource::ScreenShareAudio,
    ] {
        assert!(participant.may_publish(source), "{source:?}");
        assert!(!viewer.may_publish(source), "{source:?}");
    }
    assert!(!participant.may_publish(TrackSource::Unknown));
    assert!(participant.can_publish_data && !participant.can_update_metadata);
    let agent = read(RoomPart::Agent);
    assert_eq!(agent.participant_kind(), Kind::Agent);
    assert!(agent.permissions().may_publish(TrackSource::Unknown) && agent.permissions().agent);
    let recorder = read(RoomPart::Recorder);
    assert_eq!(recorder.participant_kind(), Kind::Egress);
    assert!(!recorder.permissions().can_publish && recorder.permissions().recorder);
}

#[test]
fn who_makes_the_room_by_joining_gives_it_its_metadata() {
    let grant = RoomGrant {
        room_metadata: "{}".to_owned(),
        ..grant()
    };
    let token = access_token("devkey", SECRET, &grant, now()).expect("a token");
    assert_eq!(body(&token)["roomConfig"]["metadata"], "{}");
}

#[test]
fn a_token_of_livekits_own_signer_is_read_in_full() {
    let claims = keys().verify(JOIN, now()).expect("valid");
    assert_eq!(
        (claims.identity(), claims.name.as_str(), claims.iss.as_str()),
        ("par_1", "Anna", "devkey")
    );
    assert_eq!(claims.metadata, r#"{"role":"host"}"#);
    assert_eq!(claims.attributes.get("seat").map(String::as_str), Some("4"));
    let permissions = claims.permissions();
    assert!(permissions.may_publish(TrackSource::Microphone));
    assert!(permissions.may_publish(TrackSource::ScreenShare));
    assert!(!permissions.may_publish(TrackSource::Camera));
    assert!(permissions.hidden && permissions.can_update_metadata && !permissions.agent);
    let config = claims.room_config.clone().expect("a room configuration");
    assert_eq!(
        (
            config.empty_timeout,
            config.departure_timeout,
            config.max_participants
        ),
        (60, 20, 12)
    );
    assert_eq!(config.agents[0].agent_name, "scribe");
    assert_eq!(config.agents[0].metadata, "notes");

    let admin = keys().verify(ADMIN, now()).expect("valid");
    assert!(admin.video.as_ref().expect("a grant").room_admin);
    assert!(admin.sip.expect("a grant").admin);
    assert_eq!(admin.identity(), "");
}

#[test]
fn a_token_holds_for_one_minute_around_its_time_and_no_longer() {
    let ends = 600;
    for (seconds, expected) in [
        (-61, Err(TokenRefused::NotYetValid)),
        (-60, Ok(())),
        (ends + 59, Ok(())),
        (ends + 60, Err(TokenRefused::Expired)),
    ] {
        assert_eq!(
            keys().verify(JOIN, after(seconds)).map(|_| ()),
            expected,
            "{seconds} s"
        );
    }
}

#[test]
fn other_algorithms_other_keys_and_eternal_tokens_are_refused() {
    let claims = json!({ "iss": "devkey", "exp": now().seconds() + 60 });
    let hs256 = json!({ "alg": "HS256" });
    assert!(keys().verify(&signed(&hs256, &claims), now()).is_ok());
    for alg in ["none", "None", "RS256", "HS512", ""] {
        let token = signed(&json!({ "alg": alg }), &claims);
        assert_eq!(
            keys().verify(&token, now()),
            Err(TokenRefused::Malformed),
            "{alg}"
        );
    }
    let unsigned = format!("{}.", JOIN.rsplit_once('.').expect("parts").0);
    assert_eq!(
        keys().verify(&unsigned, now()),
        Err(TokenRefused::BadSignature)
    );
    let of_another = signed(
        &hs256,
        &json!({ "iss": "other", "exp": now().seconds() + 60 }),
    );
    assert_eq!(
        keys().verify(&of_another, now()),
        Err(TokenRefused::BadSignature)
    );
    for iss in ["nobody", "blank", ""] {
        let token = signed(&hs256, &json!({ "iss": iss, "exp": now().seconds() + 60 }));
        assert_eq!(
            keys().verify(&token, now()),
            Err(TokenRefused::UnknownKey),
            "{iss}"
        );
    }
    assert_eq!(
        keys().verify(&signed(&hs256, &json!({ "iss": "devkey" })), now()),
        Err(TokenRefused::NoExpiry)
    );
    let wrong = json!({ "iss": "devkey", "exp": now().seconds() + 60, "video": "all" });
    assert_eq!(
        keys().verify(&signed(&hs256, &wrong), now()),
        Err(TokenRefused::BadClaims)
    );
}

#[test]
fn an_absent_permission_follows_livekits_default() {
    let claims = json!({ "iss": "devkey", "exp": now().seconds() + 60, "jti": "old", "metadata": null,
        "attributes": null, "inference": { "perform": true }, "video": { "roomJoin": true, "room": "r" } });
    let claims = keys()
        .verify(&signed(&json!({ "alg": "HS256" }), &claims), now())
        .expect("valid");
    let permissions = claims.permissions();
    assert!(permissions.can_publish && permissions.can_subscribe && permissions.can_publish_data);
    assert!(!permissions.can_update_metadata && !permissions.can_subscribe_metrics);
    assert!(permissions.may_publish(TrackSource::Camera));
    assert_eq!(claims.identity(), "old");
    let mute = VideoGrant {
        can_publish: Some(false),
        ..VideoGrant::default()
    };
    assert!(!mute.permissions().can_publish_data);
    let misspelt = VideoGrant {
        can_publish_sources: vec!["mic".to_owned()],
        ..VideoGrant::default()
    };
    assert!(!misspelt.permissions().may_publish(TrackSource::Microphone));
}

#[test]
fn a_refreshed_token_keeps_what_changed_and_drops_what_only_the_join_needs() {
    let first = keys().verify(JOIN, now()).expect("valid");
    let mut permissions = first.permissions();
    permissions.can_publish = false;
    let refreshed = first.refresh("Anna B", "", BTreeMapOf::new(), &permissions);
    let token = ApiKey::new("devkey", SECRET)
        .sign(&refreshed, after(300), Duration::from_secs(600))
        .expect("a token");
    let read = keys().verify(&token, after(700)).expect("valid");
    assert_eq!((read.identity(), read.name.as_str()), ("par_1", "Anna B"));
    assert_eq!(read.permissions(), permissions);
    assert_eq!(read.room_config, None);
    assert!(read.video.expect("a grant").room_join);
}

type BTreeMapOf = std::collections::BTreeMap<String, String>;

#[test]
fn names_metadata_and_attributes_have_limits() {
    let long = "x".repeat(MAX_NAME_BYTES + 1);
    let mut claims = Claims::participant(&grant());
    assert_eq!(claims.check_limits(), Ok(()));
    claims
        .attributes
        .insert("k".to_owned(), "v".repeat(MAX_ATTRIBUTES_BYTES));
    assert_eq!(claims.check_limits(), Err(LimitError::Attributes));
    claims.metadata = "m".repeat(MAX_METADATA_BYTES + 1);
    assert_eq!(claims.check_limits(), Err(LimitError::Metadata));
    claims.name = long.clone();
    assert_eq!(claims.check_limits(), Err(LimitError::Name));
    claims.sub = long;
    assert_eq!(claims.check_limits(), Err(LimitError::Identity));
}

#[test]
fn a_secret_is_not_printed() {
    assert!(!format!("{:?}", keys()).contains("secret"));
}

proptest! {
    #[test]
    fn no_text_makes_the_verifier_fail_or_pass(text in "\\PC{0,200}", cut in 0usize..JOIN.len(), with in any::<char>()) {
        prop_assert!(keys().verify(&text, now()).is_err());
        let mut changed: Vec<char> = JOIN.chars().collect();
        prop_assume!(changed[cut] != with);
        changed[cut] = with;
        // The last character of the signature carries bits that mean nothing; a strict reader refuses those too.
        prop_assert!(keys().verify(&changed.into_iter().collect::<String>(), now()).is_err());
    }

    #[test]
    fn permissions_survive_the_protocols_message(bits in any::<[bool; 9]>(), sources in proptest::collection::vec(0i32..5, 0..4)) {
        let permissions = Permissions {
            can_publish: bits[0], can_subscribe: bits[1], can_publish_data: bits[2], can_update_metadata: bits[3],
            hidden: bits[4], recorder: bits[5], agent: bits[6], can_subscribe_metrics: bits[7], can_manage_agent_session: bits[8],
            sources: sources.iter().map(|source| TrackSource::try_from(*source).unwrap_or(TrackSource::Unknown)).collect(),
        };
        prop_assert_eq!(&Permissions::from_proto(&permissions.to_proto()), &permissions);
        let mut grant = VideoGrant::default();
        grant.set_permissions(&permissions);
        prop_assert_eq!(grant.permissions(), permissions);
    }
}
