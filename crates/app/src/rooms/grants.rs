//! What a participant's role and the meeting are in a room: grants, metadata, and who may come in.

use std::time::Duration;

use livekit_protocol::CreateRoomRequest;
use meetmind_core::{
    Ctx, Error, Meeting, MeetingId, MeetingRole, MeetingStatus, Participant, ParticipantId,
    ParticipantState, Result,
};
use meetmind_media::token::RoomPart;
use meetmind_media::{RoomGrant, access_token};
use meetmind_store::RoomMember;
use serde_json::{Value, json};

use crate::{App, LiveKitJoin};

/// How long a LiveKit token opens the room; joining again gives another.
const ROOM_TOKEN_TTL: Duration = Duration::from_secs(10 * 60);

/// What somebody of this role is in a room.
pub(super) fn part(role: MeetingRole) -> RoomPart {
    match role {
        MeetingRole::Viewer => RoomPart::Viewer,
        MeetingRole::Agent => RoomPart::Agent,
        MeetingRole::Host | MeetingRole::Cohost | MeetingRole::Participant => RoomPart::Participant,
    }
}

/// What the others in the room can read of a participant.
pub(super) fn metadata(participant: &Participant) -> String {
    json!({ "role": participant.role }).to_string()
}

/// Whether a participant with a token that still holds may be in the room now. Who left by the API
/// may not, who lost the connection may come back; a lock keeps out nobody who was in.
pub(super) fn may_be_in(meeting: &Meeting, member: &RoomMember) -> bool {
    if meeting.status == MeetingStatus::Ended || meeting.archived_at.is_some() || member.is_disabled
    {
        return false;
    }
    match member.participant.state {
        ParticipantState::Joined => true,
        ParticipantState::Left => member.is_present == Some(false),
        _ => false,
    }
}

/// A room's identity as the participant it belongs to, and whether it is a second connection of the
/// same person, which only publishes. None for identities that others made.
pub(super) fn participant_of(identity: &str) -> Option<(ParticipantId, bool)> {
    match identity.split_once('#') {
        Some((id, _)) => Some((id.parse().ok()?, true)),
        None => Some((identity.parse().ok()?, false)),
    }
}

impl App {
    /// What everybody in a meeting's room can read of it.
    pub(super) fn room_metadata(&self, meeting: &Meeting) -> String {
        json!({
            "meeting_id": meeting.id,
            "title": meeting.title,
            "server": self.settings().public_url,
        })
        .to_string()
    }

    /// Whether a room's metadata is what [`App::room_metadata`] once wrote for it: then it may be
    /// written anew. What somebody else wrote is theirs.
    pub(super) fn wrote_room_metadata(&self, meeting: MeetingId, metadata: &str) -> bool {
        serde_json::from_str::<Value>(metadata).is_ok_and(|value| {
            value["meeting_id"] == json!(meeting)
                && value["server"] == json!(self.settings().public_url)
        })
    }

    /// How a meeting's room is made: its metadata from the database. None for a room of no meeting.
    pub(super) async fn room_settings(&self, room: &str) -> Option<CreateRoomRequest> {
        let id: MeetingId = room.parse().ok()?;
        let found = async {
            let mut conn = self.store().read().await?;
            let meeting = conn.meeting_get(id).await?;
            Ok::<_, meetmind_store::Error>((meeting, conn.room_metadata_find(id).await?))
        };
        let (meeting, metadata) = found.await.ok()?;
        Some(CreateRoomRequest {
            name: room.to_owned(),
            metadata: metadata.unwrap_or_else(|| self.room_metadata(&meeting)),
            ..CreateRoomRequest::default()
        })
    }

    /// A token for the meeting's room, fresh with each call; none where there is no LiveKit server.
    ///
    /// # Errors
    /// When the signer refuses the secret.
    pub(crate) fn livekit_join(
        &self,
        ctx: &Ctx,
        meeting: &Meeting,
        participant: &Participant,
    ) -> Result<Option<LiveKitJoin>> {
        let Some(livekit) = self.livekit() else {
            return Ok(None);
        };
        let grant = RoomGrant {
            room: participant.meeting_id.to_string(),
            identity: participant.id.to_string(),
            name: participant.name.clone(),
            part: part(participant.role),
            metadata: metadata(participant),
            room_metadata: self.room_metadata(meeting),
            ttl: ROOM_TOKEN_TTL,
        };
        let token = access_token(&livekit.api_key, &livekit.api_secret, &grant, ctx.now)
            .map_err(Error::internal)?;
        Ok(Some(LiveKitJoin {
            url: livekit.url.clone(),
            token,
        }))
    }
}
