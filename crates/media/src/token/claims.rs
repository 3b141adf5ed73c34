//! The claims of a token.

use std::collections::BTreeMap;

use livekit_protocol::RoomConfiguration;
use livekit_protocol::participant_info::Kind;
use serde::{Deserialize, Deserializer, Serialize};

use super::{
    MAX_ATTRIBUTES_BYTES, MAX_METADATA_BYTES, MAX_NAME_BYTES, Permissions, RoomGrant, SipGrant,
    VideoGrant,
};

/// Reads `null` as the default, as LiveKit's own reader does.
pub(super) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// A JWT's date may have a fraction; the signer's clock does not matter below a second.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let number = Option::<serde_json::Number>::deserialize(deserializer)?;
    Ok(number.and_then(|number| {
        number
            .as_i64()
            .or_else(|| number.as_f64().map(|seconds| seconds as i64))
    }))
}

/// Everything that a token says. `sip` is only read; `inference` and other grants of LiveKit's cloud are ignored.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Claims {
    /// The API key that signed; set by the signer.
    #[serde(deserialize_with = "null_is_default")]
    pub iss: String,
    /// The identity.
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub sub: String,
    /// The identity when `sub` is absent (old signers); only read.
    #[serde(deserialize_with = "null_is_default", skip_serializing)]
    pub jti: String,
    /// The name that others see.
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub name: String,
    /// Seconds since 1970 from which on the token holds; set by the signer.
    #[serde(deserialize_with = "seconds", skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// Seconds since 1970 at which the token ends; set by the signer, required of others.
    #[serde(deserialize_with = "seconds", skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
    /// Text that the room's members can read.
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub metadata: String,
    /// Key and value pairs that the room's members can read.
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub attributes: BTreeMap<String, String>,
    /// The participant's kind in lower case; see [`Claims::participant_kind`].
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub kind: String,
    /// Base64 of the SHA-256 of the body that this token signs (webhooks).
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub sha256: String,
    /// The name of a set of room settings; for LiveKit's cloud.
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub room_preset: String,
    /// The settings of the room if this participant is the one who makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_config: Option<RoomConfiguration>,
    /// What the bearer may do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video: Option<VideoGrant>,
    /// What the bearer may do with SIP.
    #[serde(skip_serializing)]
    pub sip: Option<SipGrant>,
}

/// A name, metadata or attributes are too large. The text is the one of a LiveKit server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// The identity is longer than [`MAX_NAME_BYTES`].
    #[error("participant identity length exceeds limits: max length {MAX_NAME_BYTES}")]
    Identity,
    /// The name is longer than [`MAX_NAME_BYTES`].
    #[error("name length exceeds limits")]
    Name,
    /// The room's name is longer than [`MAX_NAME_BYTES`].
    #[error("room name length exceeds limits: max length {MAX_NAME_BYTES}")]
    RoomName,
    /// The metadata is larger than [`MAX_METADATA_BYTES`].
    #[error("metadata size exceeds limits")]
    Metadata,
    /// The attributes are larger than [`MAX_ATTRIBUTES_BYTES`].
    #[error("attribute size exceeds limits")]
    Attributes,
}

impl LimitError {
    /// Checks a participant's name, metadata and attributes.
    ///
    /// # Errors
    /// The first limit that is exceeded.
    pub fn check<'a>(
        name: &str,
        metadata: &str,
        attributes: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) -> Result<(), Self> {
        if name.len() > MAX_NAME_BYTES {
            return Err(Self::Name);
        }
        if metadata.len() > MAX_METADATA_BYTES {
            return Err(Self::Metadata);
        }
        let size: usize = attributes
            .into_iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        if size > MAX_ATTRIBUTES_BYTES {
            return Err(Self::Attributes);
        }
        Ok(())
    }
}

impl Claims {
    /// For a participant who joins a room.
    pub fn participant(grant: &RoomGrant) -> Self {
        let mut video = VideoGrant {
            room: grant.room.clone(),
            room_join: true,
            ..VideoGrant::default()
        };
        video.set_permissions(&grant.part.permissions());
        let room_config = (!grant.room_metadata.is_empty()).then(|| RoomConfiguration {
            metadata: grant.room_metadata.clone(),
            ..RoomConfiguration::default()
        });
        Self {
            sub: grant.identity.clone(),
            name: grant.name.clone(),
            metadata: grant.metadata.clone(),
            kind: grant.part.kind().to_owned(),
            video: Some(video),
            room_config,
            ..Self::default()
        }
    }

    /// For an agent that a worker starts in `room`, with what the worker allowed it.
    pub fn agent_job(
        room: &str,
        identity: &str,
        name: &str,
        metadata: &str,
        attributes: BTreeMap<String, String>,
        permissions: &Permissions,
    ) -> Self {
        let mut video = VideoGrant {
            room: room.to_owned(),
            room_join: true,
            ..VideoGrant::default()
        };
        video.set_permissions(permissions);
        video.agent = true;
        Self {
            sub: identity.to_owned(),
            name: name.to_owned(),
            metadata: metadata.to_owned(),
            attributes,
            kind: "agent".to_owned(),
            video: Some(video),
            ..Self::default()
        }
    }

    /// For a call of another server's interface.
    pub fn server_call(video: VideoGrant) -> Self {
        Self {
            video: Some(video),
            ..Self::default()
        }
    }

    /// For a webhook's body, whose SHA-256 in base64 is `sha256`.
    pub fn webhook(sha256: String) -> Self {
        Self {
            sha256,
            ..Self::default()
        }
    }

    /// For a participant who is connected: the same person and grants with what has changed
    /// since, without what only the first join needs. Sign it again from time to time, as a
    /// resume with an expired token fails.
    pub fn refresh(
        &self,
        name: &str,
        metadata: &str,
        attributes: BTreeMap<String, String>,
        permissions: &Permissions,
    ) -> Self {
        let mut video = self.video.clone().unwrap_or_default();
        video.set_permissions(permissions);
        Self {
            sub: self.identity().to_owned(),
            name: name.to_owned(),
            metadata: metadata.to_owned(),
            attributes,
            kind: self.kind.clone(),
            video: Some(video),
            ..Self::default()
        }
    }

    /// The participant's identity: `sub`, or `jti` of old signers; may be empty.
    pub fn identity(&self) -> &str {
        if self.sub.is_empty() {
            &self.jti
        } else {
            &self.sub
        }
    }

    /// The participant's kind; one that is not known counts as [`Kind::Standard`].
    pub fn participant_kind(&self) -> Kind {
        Kind::from_str_name(&self.kind.to_ascii_uppercase()).unwrap_or(Kind::Standard)
    }

    /// The permissions in the room; without a `video` grant those of an empty one.
    pub fn permissions(&self) -> Permissions {
        match &self.video {
            Some(video) => video.permissions(),
            None => VideoGrant::default().permissions(),
        }
    }

    /// Checks identity, name, room name, metadata and attributes against the limits.
    ///
    /// # Errors
    /// The first limit that is exceeded.
    pub fn check_limits(&self) -> Result<(), LimitError> {
        if self.identity().len() > MAX_NAME_BYTES {
            return Err(LimitError::Identity);
        }
        if self
            .video
            .as_ref()
            .is_some_and(|video| video.room.len() > MAX_NAME_BYTES)
        {
            return Err(LimitError::RoomName);
        }
        LimitError::check(&self.name, &self.metadata, &self.attributes)
    }
}
