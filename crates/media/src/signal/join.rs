//! The request that opens a session: `/rtc` (two peer connections) and `/rtc/v1` (one), read into one [`Join`].
//!
//! The statuses and texts are those of a LiveKit server, because clients decide by them whether to give up,
//! to try again or to fall back to the older route.

use std::collections::BTreeMap;
use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::read::GzDecoder;
use livekit_protocol::client_info::{Capability, Sdk};
use livekit_protocol::wrapped_join_request::Compression;
use livekit_protocol::{
    AddTrackRequest, ClientInfo, CreateRoomRequest, JoinRequest, ReconnectReason,
    SessionDescription, SyncState, WrappedJoinRequest,
};
use meetmind_core::Timestamp;
use prost::Message;

use super::query::Query;
use crate::token::{ApiKeys, Claims, LimitError, MAX_NAME_BYTES, Permissions};

/// The largest join request after inflation, in bytes; a LiveKit server's limit.
pub const MAX_JOIN_BYTES: usize = 1024 * 1024;

/// Which of the two routes was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `/rtc`: everything in the query; a `join_request` is read if there is one.
    V0,
    /// `/rtc/v1`: needs a `join_request`.
    V1,
}

/// An answer that ends a request before the upgrade: status and plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub text: String,
}

impl Refusal {
    pub(crate) fn new(status: u16, text: impl ToString) -> Self {
        Self {
            status,
            text: text.to_string(),
        }
    }

    /// The token does not open the room.
    pub fn no_permission() -> Self {
        Self::new(401, "no permissions to access the room")
    }

    /// The room does not exist and is not made by joining.
    pub fn room_not_found() -> Self {
        Self::new(404, "requested room does not exist")
    }

    /// This server has reached its limit of rooms, participants or traffic.
    pub fn limit_exceeded() -> Self {
        Self::new(503, "node has exceeded its configured limit")
    }

    /// The room has reached its limit of participants. LiveKit's text; the status says that trying later may help.
    pub fn room_full() -> Self {
        Self::new(503, "room has exceeded its max participants")
    }
}

/// Everything that a client says when it opens a session, the same for both routes.
#[derive(Debug, Clone, PartialEq)]
pub struct Join {
    /// The room's name.
    pub room: String,
    /// The participant's identity, not empty.
    pub identity: String,
    /// The token's claims, with the metadata and attributes that the client added where it may.
    pub claims: Claims,
    /// What the participant may do.
    pub permissions: Permissions,
    /// How to make the room, if it is not there yet.
    pub room_settings: CreateRoomRequest,
    /// One peer connection, on which the client offers (`true`), or two.
    pub single_peer_connection: bool,
    /// What the client says of itself; the caller fills in `address`.
    pub client: ClientInfo,
    /// Subscribe to every track unasked.
    pub auto_subscribe: bool,
    /// Subscribe to every data track unasked; the client's wish, if it has one.
    pub auto_subscribe_data_track: Option<bool>,
    /// The client reports the sizes at which it shows video.
    pub adaptive_stream: bool,
    /// Video may be paused when bandwidth is short; the client's wish, if it has one.
    pub subscriber_allow_pause: Option<bool>,
    /// The client resumes the session `participant_sid`.
    pub reconnect: bool,
    /// Why it resumes.
    pub reconnect_reason: ReconnectReason,
    /// The `PA_…` to resume; empty if none.
    pub participant_sid: String,
    /// Tracks to publish from the start (one peer connection).
    pub add_track_requests: Vec<AddTrackRequest>,
    /// The first offer (one peer connection).
    pub publisher_offer: Option<SessionDescription>,
    /// The client's state, when it resumes.
    pub sync_state: Option<SyncState>,
}

/// Finds the token: `Authorization: Bearer …`, else `access_token` in the query; verifies it.
///
/// # Errors
/// 401 with a LiveKit server's text; `Ok(None)` if there is no token at all.
pub fn authenticate(
    query: &str,
    authorization: Option<&str>,
    keys: &ApiKeys,
    now: Timestamp,
) -> Result<Option<Claims>, Refusal> {
    let token = match authorization.filter(|header| !header.is_empty()) {
        Some(header) => header
            .strip_prefix("Bearer ")
            .map(str::to_owned)
            .ok_or_else(|| {
                Refusal::new(401, "invalid authorization header. Must start with Bearer ")
            })?,
        None => Query::parse(query).get("access_token").to_owned(),
    };
    if token.is_empty() {
        return Ok(None);
    }
    let claims = keys
        .verify(&token, now)
        .map_err(|refused| Refusal::new(401, refused))?;
    Ok(Some(claims))
}

/// Reads a request to `/rtc` or `/rtc/v1`, or to their `validate` routes (`strict`), which answer
/// 200 `success` if this returns a [`Join`]. Whether the room exists and has place is the caller's to check.
///
/// # Errors
/// The status and text with which to answer instead of the upgrade.
pub fn parse(
    route: Route,
    query: &str,
    authorization: Option<&str>,
    strict: bool,
    keys: &ApiKeys,
    now: Timestamp,
) -> Result<Join, Refusal> {
    let claims = authenticate(query, authorization, keys, now)?;
    let claims = claims
        .filter(|claims| claims.video.is_some())
        .ok_or_else(Refusal::no_permission)?;
    let query = Query::parse(query);
    let wrapped = query.get("join_request");
    if !wrapped.is_empty() {
        let request = unwrap(wrapped)?;
        let claims = admit(
            claims,
            "",
            &request.metadata,
            request.participant_attributes.clone(),
        )?;
        return from_request(claims, request);
    }
    if route == Route::V1 {
        return Err(Refusal::new(400, "join_request is required"));
    }
    let attributes = match decode_attributes(query.get("attributes")) {
        Some(attributes) => attributes,
        None if strict => return Err(Refusal::new(400, "cannot decode attributes")),
        None => BTreeMap::new(),
    };
    let claims = admit(claims, query.get("publish"), "", attributes)?;
    from_query(claims, &query)
}

/// Checks the grants and limits, and adds what the client may add of its own.
fn admit(
    mut claims: Claims,
    publish: &str,
    metadata: &str,
    attributes: impl IntoIterator<Item = (String, String)>,
) -> Result<Claims, Refusal> {
    let video = claims.video.get_or_insert_default();
    if !video.room_join {
        return Err(Refusal::new(401, "permissions denied"));
    }
    let room = video.room.clone();
    if claims.identity().is_empty() {
        return Err(Refusal::new(400, "identity cannot be empty"));
    }
    if claims.identity().len() > MAX_NAME_BYTES {
        return Err(Refusal::new(400, LimitError::Identity));
    }
    if room.is_empty() {
        return Err(Refusal::new(400, "no room name"));
    }
    if room.len() > MAX_NAME_BYTES {
        return Err(Refusal::new(400, LimitError::RoomName));
    }
    let permissions = claims.permissions();
    if !publish.is_empty() {
        // A second connection of the same person that only publishes.
        if !permissions.can_publish {
            return Err(Refusal::no_permission());
        }
        claims.sub = format!("{}#{publish}", claims.identity());
        claims.video.get_or_insert_default().can_subscribe = Some(false);
    }
    if !metadata.is_empty() {
        if !permissions.can_update_metadata {
            return Err(Refusal::no_permission());
        }
        claims.metadata = metadata.to_owned();
    }
    let mut attributes = attributes.into_iter().peekable();
    if attributes.peek().is_some() && !permissions.can_update_metadata {
        return Err(Refusal::no_permission());
    }
    // An empty value would delete; what the token says may not be deleted.
    claims
        .attributes
        .extend(attributes.filter(|(_, value)| !value.is_empty()));
    claims
        .check_limits()
        .map_err(|limit| Refusal::new(400, limit))?;
    Ok(claims)
}

fn from_request(claims: Claims, request: JoinRequest) -> Result<Join, Refusal> {
    let settings = request.connection_settings.unwrap_or_default();
    Ok(Join {
        single_peer_connection: true,
        client: request.client_info.unwrap_or_default(),
        auto_subscribe: settings.auto_subscribe,
        auto_subscribe_data_track: Some(settings.auto_subscribe_data_track.unwrap_or(false)),
        adaptive_stream: settings.adaptive_stream,
        subscriber_allow_pause: Some(settings.subscriber_allow_pause.unwrap_or(false)),
        reconnect: request.reconnect,
        reconnect_reason: ReconnectReason::try_from(request.reconnect_reason).unwrap_or_default(),
        participant_sid: request.participant_sid,
        add_track_requests: request.add_track_requests,
        publisher_offer: request.publisher_offer,
        sync_state: request.sync_state,
        ..of_claims(claims)
    })
}

fn from_query(claims: Claims, query: &Query) -> Result<Join, Refusal> {
    let reconnect = query.flag("reconnect").unwrap_or(false);
    let reason = query.get("reconnect_reason").parse().unwrap_or(0);
    Ok(Join {
        single_peer_connection: false,
        client: client_info(query),
        auto_subscribe: query.flag("auto_subscribe").unwrap_or(true),
        auto_subscribe_data_track: query.flag("auto_subscribe_data_track"),
        adaptive_stream: query.flag("adaptive_stream").unwrap_or(false),
        subscriber_allow_pause: query.flag("subscriber_allow_pause"),
        reconnect,
        reconnect_reason: ReconnectReason::try_from(reason).unwrap_or_default(),
        participant_sid: if reconnect {
            query.get("sid").to_owned()
        } else {
            String::new()
        },
        ..of_claims(claims)
    })
}

fn of_claims(claims: Claims) -> Join {
    let room = claims
        .video
        .as_ref()
        .map(|video| video.room.clone())
        .unwrap_or_default();
    let config = claims.room_config.clone().unwrap_or_default();
    Join {
        room_settings: CreateRoomRequest {
            name: room.clone(),
            room_preset: claims.room_preset.clone(),
            agents: config.agents,
            egress: config.egress,
            empty_timeout: config.empty_timeout,
            departure_timeout: config.departure_timeout,
            max_participants: config.max_participants,
            min_playout_delay: config.min_playout_delay,
            max_playout_delay: config.max_playout_delay,
            sync_streams: config.sync_streams,
            metadata: config.metadata,
            tags: config.tags,
            ..CreateRoomRequest::default()
        },
        room,
        identity: claims.identity().to_owned(),
        permissions: claims.permissions(),
        claims,
        single_peer_connection: false,
        client: ClientInfo::default(),
        auto_subscribe: false,
        auto_subscribe_data_track: None,
        adaptive_stream: false,
        subscriber_allow_pause: None,
        reconnect: false,
        reconnect_reason: ReconnectReason::default(),
        participant_sid: String::new(),
        add_track_requests: Vec::new(),
        publisher_offer: None,
        sync_state: None,
    }
}

fn client_info(query: &Query) -> ClientInfo {
    let text = |name: &str| query.get(name).to_owned();
    let sdk = match query.get("sdk") {
        "js" => Sdk::Js,
        "ios" | "swift" => Sdk::Swift,
        "android" => Sdk::Android,
        "flutter" => Sdk::Flutter,
        "go" => Sdk::Go,
        "unity" => Sdk::Unity,
        "reactnative" => Sdk::ReactNative,
        "rust" => Sdk::Rust,
        "python" => Sdk::Python,
        "cpp" => Sdk::Cpp,
        "unityweb" => Sdk::UnityWeb,
        "node" => Sdk::Node,
        "esp32" => Sdk::Esp32,
        _ => Sdk::Unknown,
    };
    ClientInfo {
        sdk: sdk.into(),
        version: text("version"),
        protocol: query.get("protocol").parse().unwrap_or(0),
        client_protocol: query.get("client_protocol").parse().unwrap_or(0),
        os: text("os"),
        os_version: text("os_version"),
        device_model: text("device_model"),
        browser: text("browser"),
        browser_version: text("browser_version"),
        network: text("network"),
        capabilities: query
            .get("capabilities")
            .split(',')
            .filter_map(|name| Capability::from_str_name(name.trim()))
            .map(i32::from)
            .collect(),
        ..ClientInfo::default()
    }
}

/// Base64 in the URL's alphabet or the usual one (whose `+` a query makes a space), padded or not: clients differ.
fn base64_of_a_query(text: &str) -> Option<Vec<u8>> {
    let text: String = text
        .trim_end_matches('=')
        .chars()
        .map(|c| match c {
            '+' | ' ' => '-',
            '/' => '_',
            other => other,
        })
        .collect();
    URL_SAFE_NO_PAD.decode(text).ok()
}

fn unwrap(wrapped: &str) -> Result<JoinRequest, Refusal> {
    let refuse = |text: &str| Refusal::new(400, text);
    let bytes = base64_of_a_query(wrapped)
        .ok_or_else(|| refuse("cannot base64 decode wrapped join request"))?;
    let wrapped = WrappedJoinRequest::decode(bytes.as_slice())
        .map_err(|_| refuse("cannot unmarshal wrapped join request"))?;
    let bytes = match Compression::try_from(wrapped.compression) {
        Ok(Compression::Gzip) => {
            let mut bytes = Vec::new();
            GzDecoder::new(wrapped.join_request.as_slice())
                .take(MAX_JOIN_BYTES as u64 + 1)
                .read_to_end(&mut bytes)
                .map_err(|_| refuse("cannot read decompressed join request"))?;
            bytes
        }
        Ok(Compression::None) => wrapped.join_request,
        Err(_) => return Err(refuse("cannot unmarshal join request")),
    };
    if bytes.len() > MAX_JOIN_BYTES {
        return Err(refuse("join request too large"));
    }
    JoinRequest::decode(bytes.as_slice()).map_err(|_| refuse("cannot unmarshal join request"))
}

fn decode_attributes(text: &str) -> Option<BTreeMap<String, String>> {
    if text.is_empty() {
        return Some(BTreeMap::new());
    }
    serde_json::from_slice(&base64_of_a_query(text)?).ok()
}

#[cfg(test)]
#[path = "join_tests.rs"]
mod tests;
