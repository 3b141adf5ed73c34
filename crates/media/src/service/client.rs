//! The other direction: calls of another LiveKit server. The caller has the HTTP client.

use std::time::Duration;

use meetmind_core::Timestamp;

use super::{
    DispatchAnswer, DispatchCall, PREFIX, RoomAnswer, RoomCall, TwirpCode, TwirpError, Wire,
};
use crate::token::{ApiKey, Claims, TokenError, VideoGrant};

/// How long the token of one call holds.
const TTL: Duration = Duration::from_secs(60);

/// A `POST` to another LiveKit server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingCall {
    /// The path, to be appended to the server's address.
    pub path: String,
    /// The `Authorization` header, with a token that holds for this call's room for one minute.
    pub authorization: String,
    /// The `Content-Type` header.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

/// The request for a room call, signed as of `now` with just the grant that it needs.
///
/// # Errors
/// When the signer refuses the secret.
pub fn room_request(
    call: &RoomCall,
    key: &ApiKey,
    now: Timestamp,
) -> Result<OutgoingCall, TokenError> {
    let grant = match call {
        RoomCall::Create(_) | RoomCall::Delete(_) => VideoGrant {
            room_create: true,
            ..VideoGrant::default()
        },
        RoomCall::List(_) => VideoGrant {
            room_list: true,
            ..VideoGrant::default()
        },
        RoomCall::ListParticipants(request) => admin(&request.room),
        RoomCall::GetParticipant(request) | RoomCall::RemoveParticipant(request) => {
            admin(&request.room)
        }
        RoomCall::MuteTrack(request) => admin(&request.room),
        RoomCall::UpdateParticipant(request) => admin(&request.room),
        RoomCall::UpdateSubscriptions(request) => admin(&request.room),
        RoomCall::SendData(request) => admin(&request.room),
        RoomCall::UpdateMetadata(request) => admin(&request.room),
        RoomCall::ForwardParticipant(request) => VideoGrant {
            destination_room: request.destination_room.clone(),
            ..admin(&request.room)
        },
        RoomCall::MoveParticipant(request) => VideoGrant {
            destination_room: request.destination_room.clone(),
            ..admin(&request.room)
        },
        RoomCall::PerformRpc(request) => admin(&request.room),
    };
    request(
        RoomCall::SERVICE,
        call.method(),
        call.encode(),
        grant,
        key,
        now,
    )
}

/// The request for a dispatch call, as [`room_request`].
///
/// # Errors
/// When the signer refuses the secret.
pub fn dispatch_request(
    call: &DispatchCall,
    key: &ApiKey,
    now: Timestamp,
) -> Result<OutgoingCall, TokenError> {
    let room = match call {
        DispatchCall::Create(request) => &request.room,
        DispatchCall::Delete(request) => &request.room,
        DispatchCall::List(request) => &request.room,
    };
    request(
        DispatchCall::SERVICE,
        call.method(),
        call.encode(),
        admin(room),
        key,
        now,
    )
}

/// Reads the answer to a room call.
///
/// # Errors
/// The server's Twirp error; one made of the status for an answer that is not Twirp's.
pub fn room_answer(call: &RoomCall, status: u16, body: &[u8]) -> Result<RoomAnswer, TwirpError> {
    if status != 200 {
        return Err(TwirpError::read(status, body));
    }
    call.decode_answer(body).ok_or_else(unreadable)
}

/// Reads the answer to a dispatch call.
///
/// # Errors
/// As [`room_answer`].
pub fn dispatch_answer(
    call: &DispatchCall,
    status: u16,
    body: &[u8],
) -> Result<DispatchAnswer, TwirpError> {
    if status != 200 {
        return Err(TwirpError::read(status, body));
    }
    call.decode_answer(body).ok_or_else(unreadable)
}

fn unreadable() -> TwirpError {
    TwirpError::new(TwirpCode::Internal, "the server's answer could not be read")
}

fn admin(room: &str) -> VideoGrant {
    VideoGrant {
        room: room.to_owned(),
        room_admin: true,
        ..VideoGrant::default()
    }
}

fn request(
    service: &str,
    method: &str,
    body: Vec<u8>,
    grant: VideoGrant,
    key: &ApiKey,
    now: Timestamp,
) -> Result<OutgoingCall, TokenError> {
    let token = key.sign(&Claims::server_call(grant), now, TTL)?;
    Ok(OutgoingCall {
        path: format!("{PREFIX}{service}/{method}"),
        authorization: format!("Bearer {token}"),
        content_type: Wire::Protobuf.content_type(),
        body,
    })
}
