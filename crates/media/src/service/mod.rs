//! LiveKit's server APIs over Twirp: `RoomService` and `AgentDispatchService` with protobuf and JSON bodies.
//!
//! [`decode`] turns a request into a checked [`Call`] or the answer that refuses it; [`client`] builds the
//! same calls for another LiveKit server and reads its answers. Neither does any IO.

mod calls;
pub mod client;
mod grants;
#[cfg(test)]
mod tests;
mod twirp;

use meetmind_core::Timestamp;

use crate::signal::join::authenticate;
use crate::token::{ApiKeys, Claims};

pub use calls::{DispatchAnswer, DispatchCall, RoomAnswer, RoomCall};
pub(crate) use grants::check_deployment;
pub use twirp::{HttpAnswer, TwirpCode, TwirpError, Wire};

/// The largest request body, in bytes: metadata at its limit, escaped, with room to spare.
pub const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;

/// What every Twirp path begins with.
pub const PREFIX: &str = "/twirp/";

/// An HTTP request to a Twirp path.
#[derive(Debug, Clone, Copy)]
pub struct HttpRequest<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// The path, without the query.
    pub path: &'a str,
    /// The query, without the question mark; a token may stand in it.
    pub query: &'a str,
    /// The `Content-Type` header.
    pub content_type: Option<&'a str>,
    /// The `Authorization` header.
    pub authorization: Option<&'a str>,
    /// The body; the reader need not keep more than [`MAX_BODY_BYTES`] and one byte.
    pub body: &'a [u8],
}

/// A call of one of our services.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "a call is made once and matched once; a box would only lengthen every match"
)]
pub enum Call {
    /// `livekit.RoomService`
    Room(RoomCall),
    /// `livekit.AgentDispatchService`
    Dispatch(DispatchCall),
}

/// A call that is well formed and allowed.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// What to do.
    pub call: Call,
    /// Who asks.
    pub claims: Claims,
    /// In which language to answer: `wire.answer(…)`.
    pub wire: Wire,
}

/// Reads a request, as a LiveKit server does: size, token, route, content type, body, limits, grants — in
/// this order, so that the same mistake gets the same answer.
///
/// # Errors
/// The answer to send instead of doing anything. Egress, ingress and SIP are refused with `unimplemented`,
/// after the grants, so that a caller learns of a wrong token first.
pub fn decode(
    request: &HttpRequest<'_>,
    keys: &ApiKeys,
    now: Timestamp,
) -> Result<Accepted, HttpAnswer> {
    if request.body.len() > MAX_BODY_BYTES {
        return Err(HttpAnswer::text(413, "request body too large"));
    }
    let claims = authenticate(request.query, request.authorization, keys, now)
        .map_err(|refusal| HttpAnswer::text(refusal.status, &refusal.text))?
        .unwrap_or_default();
    let (call, wire) = read(request, &claims).map_err(|error| error.answer())?;
    let accepted = Accepted { call, claims, wire };
    grants::check(&accepted.call, &accepted.claims).map_err(|error| error.answer())?;
    Ok(accepted)
}

fn read(request: &HttpRequest<'_>, claims: &Claims) -> Result<(Call, Wire), TwirpError> {
    let bad_route = |text: String| {
        let route = format!("{} {}", request.method, request.path);
        TwirpError::new(TwirpCode::BadRoute, text).with_meta("twirp_invalid_route", route)
    };
    if request.method != "POST" {
        return Err(bad_route(format!(
            "unsupported method {:?} (only POST is allowed)",
            request.method
        )));
    }
    let unknown = || bad_route(format!("no handler for path {:?}", request.path));
    // Clients whose base address ends with a slash send two.
    let path = if request.path.starts_with("//") {
        &request.path[1..]
    } else {
        request.path
    };
    let (service, method) = path
        .strip_prefix(PREFIX)
        .and_then(|path| path.split_once('/'))
        .ok_or_else(unknown)?;
    let known = RoomCall::knows(service, method)
        || DispatchCall::knows(service, method)
        || grants::refused_service(service, method).is_some();
    if !known {
        return Err(unknown());
    }
    let wire = Wire::of(request.content_type).ok_or_else(|| {
        bad_route(format!(
            "unexpected Content-Type: {:?}",
            request.content_type.unwrap_or_default()
        ))
    })?;
    if let Some(refused) = grants::refused_service(service, method) {
        return Err(refused.refuse(claims));
    }
    if let Some(call) = RoomCall::decode(service, method, wire, request.body) {
        return Ok((Call::Room(call?), wire));
    }
    if let Some(call) = DispatchCall::decode(service, method, wire, request.body) {
        return Ok((Call::Dispatch(call?), wire));
    }
    Err(unknown())
}
