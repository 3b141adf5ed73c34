//! LiveKit's webhooks: their body, signature and check, for those we send and those a LiveKit server sends us.

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use livekit_protocol::WebhookEvent;
use meetmind_core::Timestamp;
use sha2::{Digest, Sha256};

use crate::token::{ApiKey, ApiKeys, Claims, TokenError, TokenRefused};

/// The content type of a webhook: its own, so that no reader parses the body before it checks the signature.
pub const CONTENT_TYPE: &str = "application/webhook+json";
/// The largest body that is read, in bytes; a room's metadata has its place in it.
pub const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;
/// How long a signature holds; a LiveKit server's figure. A retry signs again.
const TTL: Duration = Duration::from_secs(5 * 60);

/// The events that LiveKit knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventName {
    /// A room began.
    RoomStarted,
    /// A room ended.
    RoomFinished,
    /// A participant is connected.
    ParticipantJoined,
    /// A participant left.
    ParticipantLeft,
    /// A participant joined, yet no media connection came about.
    ParticipantConnectionAborted,
    /// A track was published.
    TrackPublished,
    /// A track was unpublished.
    TrackUnpublished,
    /// A recording began.
    EgressStarted,
    /// A recording changed.
    EgressUpdated,
    /// A recording ended.
    EgressEnded,
    /// An ingress began.
    IngressStarted,
    /// An ingress ended.
    IngressEnded,
    /// An agent took a job.
    AgentJobStarted,
    /// An agent's job ended.
    AgentJobEnded,
}

impl EventName {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::RoomStarted,
        Self::RoomFinished,
        Self::ParticipantJoined,
        Self::ParticipantLeft,
        Self::ParticipantConnectionAborted,
        Self::TrackPublished,
        Self::TrackUnpublished,
        Self::EgressStarted,
        Self::EgressUpdated,
        Self::EgressEnded,
        Self::IngressStarted,
        Self::IngressEnded,
        Self::AgentJobStarted,
        Self::AgentJobEnded,
    ];

    /// The name in the body's `event`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RoomStarted => "room_started",
            Self::RoomFinished => "room_finished",
            Self::ParticipantJoined => "participant_joined",
            Self::ParticipantLeft => "participant_left",
            Self::ParticipantConnectionAborted => "participant_connection_aborted",
            Self::TrackPublished => "track_published",
            Self::TrackUnpublished => "track_unpublished",
            Self::EgressStarted => "egress_started",
            Self::EgressUpdated => "egress_updated",
            Self::EgressEnded => "egress_ended",
            Self::IngressStarted => "ingress_started",
            Self::IngressEnded => "ingress_ended",
            Self::AgentJobStarted => "agent_job_started",
            Self::AgentJobEnded => "agent_job_ended",
        }
    }

    /// The event of this name; `None` for one of a newer server.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == name)
    }
}

/// A webhook to be posted: body, and the headers `Authorization` and `Content-Type` ([`CONTENT_TYPE`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedWebhook {
    /// The JSON, byte for byte what was signed.
    pub body: String,
    /// The `Authorization` header: the bare token, as LiveKit sends it.
    pub authorization: String,
}

/// A webhook could not be made.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The event holds a number of an enumeration that has no name.
    #[error("the webhook could not be written as JSON")]
    Json(#[from] serde_json::Error),
    /// The signer refused.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// Why a received webhook is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebhookRefused {
    /// There is no `Authorization` header.
    #[error("authorization header could not be found")]
    NoAuthorization,
    /// The token does not hold.
    #[error(transparent)]
    Token(#[from] TokenRefused),
    /// The token was not made for this body.
    #[error("could not verify authenticity of message")]
    BadChecksum,
    /// The body is larger than [`MAX_BODY_BYTES`].
    #[error("the webhook is too large")]
    TooLarge,
    /// The body is signed, yet no webhook.
    #[error("the webhook is malformed")]
    Malformed,
}

/// Writes an event as JSON.
///
/// # Errors
/// When the event holds a number of an enumeration that has no name.
pub fn body(event: &WebhookEvent) -> Result<String, WebhookError> {
    Ok(serde_json::to_string(event)?)
}

/// Signs a body that [`body`] wrote, as of `now`. An outbox keeps the body and signs each attempt anew.
///
/// # Errors
/// When the signer refuses the secret.
pub fn sign(body: String, key: &ApiKey, now: Timestamp) -> Result<SignedWebhook, WebhookError> {
    let authorization = key.sign(&Claims::webhook(checksum(body.as_bytes())), now, TTL)?;
    Ok(SignedWebhook {
        body,
        authorization,
    })
}

/// Verifies a received webhook and reads it. `authorization` is the header, with or without `Bearer`.
///
/// # Errors
/// When signature, checksum or body do not hold.
pub fn verify(
    body: &[u8],
    authorization: Option<&str>,
    keys: &ApiKeys,
    now: Timestamp,
) -> Result<WebhookEvent, WebhookRefused> {
    let authorization = authorization
        .filter(|header| !header.is_empty())
        .ok_or(WebhookRefused::NoAuthorization)?;
    if body.len() > MAX_BODY_BYTES {
        return Err(WebhookRefused::TooLarge);
    }
    let token = authorization
        .strip_prefix("Bearer ")
        .unwrap_or(authorization);
    let claims = keys.verify(token, now)?;
    verify_slices_are_equal(claims.sha256.as_bytes(), checksum(body).as_bytes())
        .map_err(|_| WebhookRefused::BadChecksum)?;
    serde_json::from_slice(body).map_err(|_| WebhookRefused::Malformed)
}

fn checksum(body: &[u8]) -> String {
    STANDARD.encode(Sha256::digest(body))
}

#[cfg(test)]
mod tests {
    use livekit_protocol::Room;
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "a secret of at least thirty-two bytes";
    /// Body and token made by livekit-api 1.2.2 of PyPI (`MessageToJson` of a `WebhookEvent`; `AccessToken(…).with_sha256(…)`),
    /// its clock held at 2026-03-02T09:00:00Z.
    const BODY: &str = r#"{"event": "room_started", "room": {"sid": "RM_1", "name": "mtg_1", "creationTime": "1772442000"}, "id": "EV_1", "createdAt": "1772442000"}"#;
    const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzaGEyNTYiOiJycDZpVHhyNlVrTEQvQVdBNFZ1Z052ZkhBZjlDNEpZY2ozRTJreDdqS2VRPSIsInN1YiI6IiIsImlzcyI6ImRldmtleSIsIm5iZiI6MTc3MjQ0MjAwMCwiZXhwIjoxNzcyNDQyMzAwfQ.Rw1NdRm7ReAkf6W-MiXpuXT3PUS46C9NWNQVG4DNZUM";

    fn now() -> Timestamp {
        Timestamp::parse("2026-03-02T09:00:00Z").expect("a valid time")
    }

    fn key() -> ApiKey {
        ApiKey::new("devkey", SECRET)
    }

    fn keys() -> ApiKeys {
        [key()].into_iter().collect()
    }

    fn event() -> WebhookEvent {
        WebhookEvent {
            event: EventName::RoomStarted.as_str().to_owned(),
            room: Some(Room {
                sid: "RM_1".to_owned(),
                name: "mtg_1".to_owned(),
                creation_time: 1_772_442_000,
                ..Room::default()
            }),
            id: "EV_1".to_owned(),
            created_at: 1_772_442_000,
            ..WebhookEvent::default()
        }
    }

    #[test]
    fn a_webhook_of_another_signer_is_read() {
        assert_eq!(
            verify(BODY.as_bytes(), Some(TOKEN), &keys(), now()),
            Ok(event())
        );
        let bearer = format!("Bearer {TOKEN}");
        assert_eq!(
            verify(BODY.as_bytes(), Some(&bearer), &keys(), now()),
            Ok(event())
        );
    }

    #[test]
    fn our_webhook_passes_our_own_check_and_nothing_else_does() {
        let signed = sign(body(&event()).expect("JSON"), &key(), now()).expect("signed");
        assert!(
            signed.body.contains(r#""createdAt":"1772442000""#),
            "{}",
            signed.body
        );
        let check =
            |body: &str, token: Option<&str>| verify(body.as_bytes(), token, &keys(), now());
        assert_eq!(
            check(&signed.body, Some(&signed.authorization)),
            Ok(event())
        );
        assert_eq!(
            check(&signed.body, Some(TOKEN)),
            Err(WebhookRefused::BadChecksum)
        );
        assert_eq!(
            check(&signed.body, None),
            Err(WebhookRefused::NoAuthorization)
        );
        assert_eq!(
            check(&signed.body, Some("x")),
            Err(WebhookRefused::Token(TokenRefused::Malformed))
        );
        let join = key().sign(&Claims::default(), now(), TTL).expect("a token");
        assert_eq!(
            check(&signed.body, Some(&join)),
            Err(WebhookRefused::BadChecksum)
        );
        let text = sign("no JSON".to_owned(), &key(), now()).expect("signed");
        assert_eq!(
            check(&text.body, Some(&text.authorization)),
            Err(WebhookRefused::Malformed)
        );
    }

    #[test]
    fn every_event_has_a_name_of_its_own() {
        for event in EventName::ALL {
            assert_eq!(EventName::parse(event.as_str()), Some(event));
        }
        assert_eq!(EventName::parse("room_moved"), None);
    }

    proptest! {
        #[test]
        fn a_changed_body_is_never_believed(at in 0usize..BODY.len(), with in any::<u8>()) {
            let mut body = BODY.as_bytes().to_vec();
            prop_assume!(body[at] != with);
            body[at] = with;
            prop_assert_eq!(verify(&body, Some(TOKEN), &keys(), now()), Err(WebhookRefused::BadChecksum));
        }
    }
}
