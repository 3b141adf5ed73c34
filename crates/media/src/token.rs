//! LiveKit access tokens: HS256 JWTs with LiveKit's `video` grant.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use meetmind_core::Timestamp;
use serde::Serialize;

/// What a token lets its bearer do in one room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomGrant {
    /// The room: the meeting's id.
    pub room: String,
    /// The identity: the participant's id.
    pub identity: String,
    /// The name that others see.
    pub name: String,
    /// Whether the bearer may publish tracks and data; looking on needs neither.
    pub can_publish: bool,
    /// Whether the bearer is an agent.
    pub is_agent: bool,
    /// Any text that the room's members can read; JSON by custom.
    pub metadata: String,
    /// How long the token opens the room; a connection made with it may last longer.
    pub ttl: Duration,
}

/// The token could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("the LiveKit token could not be signed")]
pub struct TokenError(#[from] jsonwebtoken::errors::Error);

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    name: &'a str,
    nbf: i64,
    exp: i64,
    #[serde(skip_serializing_if = "str::is_empty")]
    metadata: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    video: VideoGrant<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VideoGrant<'a> {
    room: &'a str,
    room_join: bool,
    can_publish: bool,
    can_subscribe: bool,
    can_publish_data: bool,
}

/// Signs a token for one participant of one room, valid from `now`.
///
/// # Errors
/// When the signer refuses the secret.
pub fn access_token(
    api_key: &str,
    api_secret: &str,
    grant: &RoomGrant,
    now: Timestamp,
) -> Result<String, TokenError> {
    let claims = Claims {
        iss: api_key,
        sub: &grant.identity,
        name: &grant.name,
        nbf: now.seconds(),
        exp: now.plus(grant.ttl).seconds(),
        metadata: &grant.metadata,
        kind: grant.is_agent.then_some("agent"),
        video: VideoGrant {
            room: &grant.room,
            room_join: true,
            can_publish: grant.can_publish,
            can_subscribe: true,
            can_publish_data: grant.can_publish,
        },
    };
    let key = EncodingKey::from_secret(api_secret.as_bytes());
    Ok(encode(&Header::new(Algorithm::HS256), &claims, &key)?)
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation, decode};
    use serde_json::{Value, json};

    use super::*;

    const SECRET: &str = "a secret of at least thirty-two bytes";

    fn grant() -> RoomGrant {
        RoomGrant {
            room: "mtg_1".to_owned(),
            identity: "par_1".to_owned(),
            name: "Anna".to_owned(),
            can_publish: true,
            is_agent: false,
            metadata: r#"{"role":"host"}"#.to_owned(),
            ttl: Duration::from_secs(600),
        }
    }

    fn now() -> Timestamp {
        Timestamp::parse("2026-03-02T09:00:00Z").expect("a valid time")
    }

    fn claims(grant: &RoomGrant) -> Value {
        let token = access_token("devkey", SECRET, grant, now()).expect("a token");
        let mut rules = Validation::new(Algorithm::HS256);
        // The token's own moment is long past or far ahead when the test runs.
        rules.validate_exp = false;
        let key = DecodingKey::from_secret(SECRET.as_bytes());
        decode::<Value>(&token, &key, &rules)
            .expect("a valid signature")
            .claims
    }

    #[test]
    fn a_token_is_what_another_signer_makes_of_the_same_claims() {
        // Made with the hmac and hashlib modules of Python from these claims.
        let expected = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJkZXZrZXkiLCJzdWIiOiJwYXJfMSIsIm5hbWUiOiJBbm5hIiwibmJmIjoxNzcyNDQyMDAwLCJleHAiOjE3NzI0NDI2MDAsIm1ldGFkYXRhIjoie1wicm9sZVwiOlwiaG9zdFwifSIsInZpZGVvIjp7InJvb20iOiJtdGdfMSIsInJvb21Kb2luIjp0cnVlLCJjYW5QdWJsaXNoIjp0cnVlLCJjYW5TdWJzY3JpYmUiOnRydWUsImNhblB1Ymxpc2hEYXRhIjp0cnVlfX0.lZpgoZQIJAWvTogFHcd5nknqmm7FM8ZJy6Tur5FqABg";
        let token = access_token("devkey", SECRET, &grant(), now()).expect("a token");
        assert_eq!(token, expected);
    }

    #[test]
    fn who_looks_on_publishes_nothing_and_agents_are_marked() {
        let viewer = claims(&RoomGrant {
            can_publish: false,
            ..grant()
        });
        assert_eq!(
            viewer["video"],
            json!({ "room": "mtg_1", "roomJoin": true, "canPublish": false, "canSubscribe": true, "canPublishData": false })
        );
        assert_eq!(viewer.get("kind"), None);
        let agent = claims(&RoomGrant {
            is_agent: true,
            ..grant()
        });
        assert_eq!(agent["kind"], "agent");
        assert_eq!(
            (agent["nbf"].as_i64(), agent["exp"].as_i64()),
            (Some(1_772_442_000), Some(1_772_442_600))
        );
    }
}
