//! What a room tells the rest of the program.

use livekit_protocol as proto;

/// One fact about a room, in the order in which it happened there.
#[derive(Debug, Clone)]
pub struct RoomEvent {
    /// When, ms since 1970.
    pub at_ms: i64,
    /// The room as it was then.
    pub room: proto::Room,
    /// What happened.
    pub kind: RoomEventKind,
}

/// The kinds of facts. The first group has LiveKit webhooks of the same names.
#[derive(Debug, Clone)]
pub enum RoomEventKind {
    /// The room opened; whoever made it asks for these agents.
    Started(Vec<proto::RoomAgentDispatch>),
    /// The room ended: everybody was gone long enough, or it was deleted.
    Finished,
    /// A participant's media can flow.
    Joined(proto::ParticipantInfo),
    /// A participant is gone; its `disconnect_reason` says why.
    Left(proto::ParticipantInfo),
    /// A participant signalled and never connected its media.
    Aborted(proto::ParticipantInfo),
    /// A track is live.
    Published(proto::ParticipantInfo, proto::TrackInfo),
    /// A track ended.
    Unpublished(proto::ParticipantInfo, proto::TrackInfo),
    /// A track was muted or unmuted, by its owner or by a server call.
    Muted(proto::ParticipantInfo, proto::TrackInfo),
    /// Who began or stopped to speak, as (identity, level 0–1, speaking).
    Speaking(Vec<(String, f32, bool)>),
    /// The quality of a participant's connection changed.
    Quality(String, proto::ConnectionQuality),
}
