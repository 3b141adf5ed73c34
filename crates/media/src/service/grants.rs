//! Who may call what, and the limits of what is said: the rules of a LiveKit server, method by method.

use super::twirp::{TwirpCode, TwirpError};
use super::{Call, DispatchCall, RoomCall};
use crate::token::{Claims, LimitError, MAX_NAME_BYTES, VideoGrant};

/// The longest name of a deployment, in bytes.
const MAX_DEPLOYMENT_BYTES: usize = 64;

/// What a call needs.
enum Need<'a> {
    Create,
    List,
    /// `roomAdmin` for this room.
    Admin(&'a str),
    /// `roomAdmin` for the first room and `destinationRoom` for the second.
    Destination(&'a str, &'a str),
}

impl Need<'_> {
    fn check(&self, claims: &Claims) -> Result<(), TwirpError> {
        let none = VideoGrant::default();
        let video = claims.video.as_ref().unwrap_or(&none);
        let admin = |room: &str| video.room_admin && video.room == room;
        let met = match self {
            Self::Create => video.room_create,
            Self::List => video.room_list,
            Self::Admin(room) => admin(room),
            Self::Destination(room, destination) => {
                admin(room) && video.destination_room == *destination
            }
        };
        if met { Ok(()) } else { Err(denied()) }
    }
}

fn denied() -> TwirpError {
    TwirpError::new(TwirpCode::Unauthenticated, "permissions denied")
}

fn invalid(text: impl ToString) -> TwirpError {
    TwirpError::new(TwirpCode::InvalidArgument, text.to_string())
}

fn within<'a>(
    name: &str,
    metadata: &str,
    attributes: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> Result<(), TwirpError> {
    LimitError::check(name, metadata, attributes).map_err(invalid)
}

/// Checks the grants and limits of a call.
pub(super) fn check(call: &Call, claims: &Claims) -> Result<(), TwirpError> {
    match call {
        Call::Room(call) => check_room(call, claims),
        Call::Dispatch(call) => check_dispatch(call, claims),
    }
}

fn check_room(call: &RoomCall, claims: &Claims) -> Result<(), TwirpError> {
    let need = |need: Need<'_>| need.check(claims);
    match call {
        RoomCall::Create(request) => {
            need(Need::Create)?;
            if request.egress.is_some() {
                return Err(refused("Egress"));
            }
            if request.name.len() > MAX_NAME_BYTES {
                return Err(invalid(LimitError::RoomName));
            }
            within("", &request.metadata, [])?;
            for agent in &request.agents {
                within("", &agent.metadata, &agent.attributes)?;
                check_deployment(&agent.deployment)?;
            }
            Ok(())
        }
        RoomCall::List(_) => need(Need::List),
        RoomCall::Delete(_) => need(Need::Create),
        RoomCall::ListParticipants(request) => need(Need::Admin(&request.room)),
        RoomCall::GetParticipant(request) | RoomCall::RemoveParticipant(request) => {
            need(Need::Admin(&request.room))
        }
        RoomCall::MuteTrack(request) => need(Need::Admin(&request.room)),
        RoomCall::UpdateParticipant(request) => {
            within(&request.name, &request.metadata, &request.attributes)?;
            need(Need::Admin(&request.room))
        }
        RoomCall::UpdateSubscriptions(request) => need(Need::Admin(&request.room)),
        RoomCall::SendData(request) => {
            need(Need::Admin(&request.room))?;
            match request.nonce.len() {
                0 | 16 => Ok(()),
                other => Err(invalid(format!(
                    "nonce should be 16-bytes or not present, got: {other} bytes"
                ))),
            }
        }
        RoomCall::UpdateMetadata(request) => {
            within("", &request.metadata, [])?;
            need(Need::Admin(&request.room))
        }
        RoomCall::ForwardParticipant(request) => {
            need(Need::Destination(&request.room, &request.destination_room))?;
            other_room(&request.room, &request.destination_room)
        }
        RoomCall::MoveParticipant(request) => {
            need(Need::Destination(&request.room, &request.destination_room))?;
            other_room(&request.room, &request.destination_room)
        }
        RoomCall::PerformRpc(request) => {
            need(Need::Admin(&request.room))?;
            if request.destination_identity.is_empty() {
                return Err(invalid("destination identity is required"));
            }
            Ok(())
        }
    }
}

fn other_room(room: &str, destination: &str) -> Result<(), TwirpError> {
    if room == destination {
        return Err(invalid(
            "destination room cannot be the same as source room",
        ));
    }
    Ok(())
}

fn check_dispatch(call: &DispatchCall, claims: &Claims) -> Result<(), TwirpError> {
    match call {
        DispatchCall::Create(request) => {
            Need::Admin(&request.room).check(claims)?;
            check_deployment(&request.deployment)?;
            within("", &request.metadata, &request.attributes)
        }
        DispatchCall::Delete(request) => Need::Admin(&request.room).check(claims),
        DispatchCall::List(request) => Need::Admin(&request.room).check(claims),
    }
}

/// Checks the name of a deployment: short, no underscore (it parts names), nothing unprintable.
pub(crate) fn check_deployment(deployment: &str) -> Result<(), TwirpError> {
    if deployment.len() > MAX_DEPLOYMENT_BYTES {
        return Err(invalid(format!(
            "deployment exceeds {MAX_DEPLOYMENT_BYTES} bytes"
        )));
    }
    if deployment.contains('_') {
        return Err(invalid("deployment contains reserved character '_'"));
    }
    match deployment
        .bytes()
        .position(|byte| byte <= b' ' || byte == 0x7f)
    {
        Some(at) => Err(invalid(format!(
            "deployment contains whitespace or control byte at position {at}"
        ))),
        None => Ok(()),
    }
}

/// A service of LiveKit that this server does not offer.
pub(super) struct RefusedService {
    name: &'static str,
    allowed: fn(&Claims) -> bool,
}

impl RefusedService {
    pub(super) fn refuse(&self, claims: &Claims) -> TwirpError {
        if (self.allowed)(claims) {
            refused(self.name)
        } else {
            denied()
        }
    }
}

/// `unimplemented` and not `unavailable`: server SDKs try the latter again, in vain.
fn refused(name: &str) -> TwirpError {
    TwirpError::new(
        TwirpCode::Unimplemented,
        format!("{name} is not available on this server: it has no {name} service connected"),
    )
}

/// The refused service that has this method; an unknown method of one is a bad route as everywhere.
pub(super) fn refused_service(service: &str, method: &str) -> Option<RefusedService> {
    let (known, refused): (&[&str], RefusedService) = match service {
        "livekit.Egress" => (
            &[
                "StartEgress",
                "StartRoomCompositeEgress",
                "StartWebEgress",
                "StartParticipantEgress",
                "StartTrackCompositeEgress",
                "StartTrackEgress",
                "UpdateLayout",
                "UpdateStream",
                "ListEgress",
                "StopEgress",
            ],
            RefusedService {
                name: "Egress",
                allowed: |c| c.video.as_ref().is_some_and(|v| v.room_record),
            },
        ),
        "livekit.Ingress" => (
            &[
                "CreateIngress",
                "UpdateIngress",
                "ListIngress",
                "DeleteIngress",
            ],
            RefusedService {
                name: "Ingress",
                allowed: |c| c.video.as_ref().is_some_and(|v| v.ingress_admin),
            },
        ),
        "livekit.SIP" => match method {
            "CreateSIPParticipant" | "TransferSIPParticipant" => (
                &["CreateSIPParticipant", "TransferSIPParticipant"],
                RefusedService {
                    name: "SIP",
                    allowed: |c| c.sip.is_some_and(|sip| sip.call),
                },
            ),
            _ => (
                &[
                    "ListSIPTrunk",
                    "CreateSIPInboundTrunk",
                    "CreateSIPOutboundTrunk",
                    "UpdateSIPInboundTrunk",
                    "UpdateSIPOutboundTrunk",
                    "GetSIPInboundTrunk",
                    "GetSIPOutboundTrunk",
                    "ListSIPInboundTrunk",
                    "ListSIPOutboundTrunk",
                    "DeleteSIPTrunk",
                    "CreateSIPDispatchRule",
                    "UpdateSIPDispatchRule",
                    "ListSIPDispatchRule",
                    "DeleteSIPDispatchRule",
                ],
                RefusedService {
                    name: "SIP",
                    allowed: |c| c.sip.is_some_and(|sip| sip.admin),
                },
            ),
        },
        _ => return None,
    };
    known.contains(&method).then_some(refused)
}
