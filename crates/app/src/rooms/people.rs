//! What happens to a meeting's people happens to its room: who is put out, and the end for all. Leaving by
//! the API, a new role and the deletion of a meeting do not reach the room yet.

use livekit_protocol::{DeleteRoomRequest, RoomParticipantIdentity};
use meetmind_core::{MeetingId, ParticipantId};
use meetmind_media::service::RoomCall;

use crate::App;

impl App {
    /// Somebody was put out: their connection to the room ends at once.
    pub(crate) async fn room_put_out(&self, meeting: MeetingId, participant: ParticipantId) {
        let call = RoomCall::RemoveParticipant(RoomParticipantIdentity {
            room: meeting.to_string(),
            identity: participant.to_string(),
            ..RoomParticipantIdentity::default()
        });
        self.room_call(call).await;
    }

    /// A meeting has ended: so has its room, for everybody.
    pub(crate) async fn room_close(&self, meeting: MeetingId) {
        let call = RoomCall::Delete(DeleteRoomRequest {
            room: meeting.to_string(),
        });
        self.room_call(call).await;
    }

    /// The change in the meeting stands whatever the room says: who is not in the room need not be put
    /// out of it, and the token alone opens it no more.
    async fn room_call(&self, call: RoomCall) {
        let Ok(embedded) = self.embedded() else {
            return;
        };
        if let Err(error) = embedded.server.call(call).await {
            tracing::debug!(%error, "the room did not follow its meeting");
        }
    }
}
