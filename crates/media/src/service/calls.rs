//! The calls of the two services and their answers.

use livekit_protocol as proto;
use prost::Message;

use super::twirp::{HttpAnswer, TwirpError, Wire};

/// Makes a service's call and answer enumerations, one variant for each method, from one table.
macro_rules! service {
    (
        $(#[$call_doc:meta])* $call:ident, $(#[$answer_doc:meta])* $answer:ident, $service:literal,
        $($(#[$doc:meta])* $variant:ident $method:literal $request:ident => $response:ident,)*
    ) => {
        $(#[$call_doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $call { $($(#[$doc])* $variant(proto::$request),)* }

        $(#[$answer_doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $answer { $(#[doc = concat!("To [`", stringify!($call), "::", stringify!($variant), "`].")] $variant(proto::$response),)* }

        impl $call {
            /// The service's full name.
            pub const SERVICE: &'static str = $service;

            /// The method's name.
            pub const fn method(&self) -> &'static str {
                match self { $(Self::$variant(_) => $method),* }
            }

            pub(super) fn knows(service: &str, method: &str) -> bool {
                service == $service && matches!(method, $($method)|*)
            }

            /// The request; `None` if the service or method is another.
            pub(super) fn decode(
                service: &str,
                method: &str,
                wire: Wire,
                body: &[u8],
            ) -> Option<Result<Self, TwirpError>> {
                if service != $service {
                    return None;
                }
                match method {
                    $($method => Some(wire.read(body).map(Self::$variant)),)*
                    _ => None,
                }
            }

            /// The request as protobuf.
            pub(super) fn encode(&self) -> Vec<u8> {
                match self { $(Self::$variant(request) => request.encode_to_vec()),* }
            }

            /// Reads the answer to this call; `None` if it is not one.
            pub(super) fn decode_answer(&self, body: &[u8]) -> Option<$answer> {
                match self {
                    $(Self::$variant(_) => proto::$response::decode(body).ok().map($answer::$variant)),*
                }
            }
        }

        impl $answer {
            /// The answer in the caller's language.
            pub fn answer(&self, wire: Wire) -> HttpAnswer {
                match self { $(Self::$variant(response) => wire.write(response)),* }
            }
        }
    };
}

service! {
    /// A call of `livekit.RoomService`.
    #[expect(
        clippy::large_enum_variant,
        reason = "a call is made once and matched once; a box would only lengthen every match"
    )]
    RoomCall,
    /// The answer to a [`RoomCall`], of the same variant.
    RoomAnswer, "livekit.RoomService",
    /// Make a room, or find the one of this name.
    Create "CreateRoom" CreateRoomRequest => Room,
    /// List rooms, all or those of these names.
    List "ListRooms" ListRoomsRequest => ListRoomsResponse,
    /// End a room and disconnect everybody.
    Delete "DeleteRoom" DeleteRoomRequest => DeleteRoomResponse,
    /// List a room's participants.
    ListParticipants "ListParticipants" ListParticipantsRequest => ListParticipantsResponse,
    /// One participant.
    GetParticipant "GetParticipant" RoomParticipantIdentity => ParticipantInfo,
    /// Disconnect a participant.
    RemoveParticipant "RemoveParticipant" RoomParticipantIdentity => RemoveParticipantResponse,
    /// Mute or unmute a participant's track.
    MuteTrack "MutePublishedTrack" MuteRoomTrackRequest => MuteRoomTrackResponse,
    /// Change a participant's name, metadata, attributes or permissions.
    UpdateParticipant "UpdateParticipant" UpdateParticipantRequest => ParticipantInfo,
    /// Subscribe a participant to tracks, or unsubscribe it.
    UpdateSubscriptions "UpdateSubscriptions" UpdateSubscriptionsRequest => UpdateSubscriptionsResponse,
    /// Send data to participants.
    SendData "SendData" SendDataRequest => SendDataResponse,
    /// Change a room's metadata.
    UpdateMetadata "UpdateRoomMetadata" UpdateRoomMetadataRequest => Room,
    /// Let a participant's tracks be heard in another room too.
    ForwardParticipant "ForwardParticipant" ForwardParticipantRequest => ForwardParticipantResponse,
    /// Move a participant to another room.
    MoveParticipant "MoveParticipant" MoveParticipantRequest => MoveParticipantResponse,
    /// Call a method of a participant.
    PerformRpc "PerformRpc" PerformRpcRequest => PerformRpcResponse,
}

service! {
    /// A call of `livekit.AgentDispatchService`.
    DispatchCall,
    /// The answer to a [`DispatchCall`], of the same variant.
    DispatchAnswer, "livekit.AgentDispatchService",
    /// Send an agent into a room.
    Create "CreateDispatch" CreateAgentDispatchRequest => AgentDispatch,
    /// Take it back, and end its jobs.
    Delete "DeleteDispatch" DeleteAgentDispatchRequest => AgentDispatch,
    /// List a room's dispatches with their jobs.
    List "ListDispatch" ListAgentDispatchRequest => ListAgentDispatchResponse,
}
