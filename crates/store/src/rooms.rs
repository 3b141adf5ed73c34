//! What rooms need to outlast a process: who is in them, their metadata, dispatches and webhooks.

use meetmind_core::{MeetingId, Participant, ParticipantId, Timestamp, UserId};
use sqlx::types::Json;
use uuid::Uuid;

use crate::db::{execute, fetch_all, fetch_optional};
use crate::statements::statements;
use crate::{Conn, Result};

macro_rules! member {
    ($condition:expr) => {
        concat!(
            "SELECT p.id, p.meeting_id, p.user_id, p.agent_id, p.name, p.role, p.state, p.muted, p.joined_at, p.left_at, p.created_at, p.updated_at,
            (u.disabled_at IS NOT NULL) AS is_disabled, r.is_present
            FROM participants p LEFT JOIN users u ON u.id = p.user_id LEFT JOIN room_presences r ON r.participant_id = p.id
            WHERE p.meeting_id = $1 AND ", $condition
        )
    };
}

statements! {
    ROOM_MEMBER_FIND = member!("p.id = $2");
    ROOM_MEMBER_LIST = member!("(p.id > $2 OR $2 IS NULL) AND (p.state = 'joined' OR r.participant_id IS NOT NULL) ORDER BY p.id LIMIT $3");
    ROOM_PRESENCE_SET = "INSERT INTO room_presences (participant_id, meeting_id, is_present, changed_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (participant_id) DO UPDATE SET is_present = excluded.is_present, changed_at = excluded.changed_at";
    ROOM_PRESENCE_DELETE = "DELETE FROM room_presences WHERE participant_id = $1";
    ROOM_PRESENCE_CLEAR = "DELETE FROM room_presences WHERE meeting_id = $1";
    ROOM_PRESENT_MEETINGS = "SELECT DISTINCT meeting_id FROM room_presences WHERE is_present AND (meeting_id > $1 OR $1 IS NULL) ORDER BY meeting_id LIMIT $2";
    ROOM_MEETINGS_OF_USER = "SELECT p.meeting_id FROM participants p WHERE p.user_id = $1 AND (p.meeting_id > $2 OR $2 IS NULL)
        AND (p.state = 'joined' OR EXISTS (SELECT 1 FROM room_presences r WHERE r.participant_id = p.id)) ORDER BY p.meeting_id LIMIT $3";
    ROOM_METADATA_FIND = "SELECT metadata FROM room_settings WHERE meeting_id = $1";
    ROOM_METADATA_SET = "INSERT INTO room_settings (meeting_id, metadata, updated_at) SELECT id, $2, $3 FROM meetings WHERE id = $1
        ON CONFLICT (meeting_id) DO UPDATE SET metadata = excluded.metadata, updated_at = excluded.updated_at";
    ROOM_DISPATCH_INSERT = "INSERT INTO room_dispatches (id, meeting_id, dispatch, created_at) SELECT $2, id, $3, $4 FROM meetings WHERE id = $1";
    ROOM_DISPATCH_DELETE = "DELETE FROM room_dispatches WHERE id = $1";
    ROOM_DISPATCH_CLEAR = "DELETE FROM room_dispatches WHERE meeting_id = $1";
    ROOM_DISPATCH_LIST = "SELECT dispatch FROM room_dispatches WHERE meeting_id = $1 ORDER BY created_at, id LIMIT 100";
    ROOM_WEBHOOK_INSERT = "INSERT INTO room_webhooks (id, url, room, position, body, created_at) VALUES ($1, $2, $3, $4, $5, $6)";
    ROOM_WEBHOOK_NEXT = "SELECT id, position, body, created_at FROM room_webhooks WHERE room = $1 AND url = $2 ORDER BY position, id LIMIT 1";
    ROOM_WEBHOOK_WAITING = "SELECT DISTINCT room, url FROM room_webhooks WHERE created_at < $1 LIMIT 500";
    ROOM_WEBHOOK_DELETE = "DELETE FROM room_webhooks WHERE id = $1";
    ROOM_WEBHOOK_ERASE = "DELETE FROM room_webhooks WHERE room = $1";
    ROOM_WEBHOOK_TRIM = "DELETE FROM room_webhooks WHERE created_at < $1";
}

/// A participant as its room has to know it.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct RoomMember {
    /// The participant.
    #[sqlx(flatten)]
    pub participant: Participant,
    /// Whether its account was disabled.
    pub is_disabled: bool,
    /// `true` while it is in the room; `false` when it was and its connection went, so that it may
    /// come back with its token; absent when it never was, or left by the API.
    pub is_present: Option<bool>,
}

/// A LiveKit webhook on its way out.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct RoomWebhook {
    /// The id.
    pub id: Uuid,
    /// Its place in the order of its room.
    pub position: i64,
    /// The JSON to be signed and posted.
    pub body: String,
    /// When it was written down.
    pub created_at: Timestamp,
}

impl Conn {
    /// A participant of a meeting, as its room has to know it.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn room_member_find(
        &mut self,
        meeting_id: MeetingId,
        id: ParticipantId,
    ) -> Result<Option<RoomMember>> {
        fetch_optional!(self, ROOM_MEMBER_FIND, meeting_id, id)
    }

    /// Who is in the meeting or was in its room, in the order of their ids.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn room_member_list(
        &mut self,
        meeting_id: MeetingId,
        after: Option<ParticipantId>,
        limit: i64,
    ) -> Result<Vec<RoomMember>> {
        fetch_all!(self, ROOM_MEMBER_LIST, meeting_id, after, limit)
    }

    /// Notes that a participant is in the room, or was until its connection went.
    ///
    /// # Errors
    /// When the participant is gone, or the database refuses.
    pub async fn room_presence_set(
        &mut self,
        participant: &Participant,
        is_present: bool,
        now: Timestamp,
    ) -> Result<()> {
        let (id, meeting_id) = (participant.id, participant.meeting_id);
        execute!(self, ROOM_PRESENCE_SET, id, meeting_id, is_present, now)?;
        Ok(())
    }

    /// Forgets that a participant was in the room: its tokens open it no more, unless it joins again.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn room_presence_delete(&mut self, id: ParticipantId) -> Result<()> {
        execute!(self, ROOM_PRESENCE_DELETE, id)?;
        Ok(())
    }

    /// Forgets who was in a meeting's room, because the meeting ended.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn room_presence_clear(&mut self, meeting_id: MeetingId) -> Result<()> {
        execute!(self, ROOM_PRESENCE_CLEAR, meeting_id)?;
        Ok(())
    }

    /// The meetings in whose rooms somebody is, in the order of their ids.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn room_present_meetings(
        &mut self,
        after: Option<MeetingId>,
        limit: i64,
    ) -> Result<Vec<MeetingId>> {
        let rows: Vec<(MeetingId,)> = fetch_all!(self, ROOM_PRESENT_MEETINGS, after, limit)?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// The meetings that a user is in, or in whose rooms it was, in the order of their ids.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn room_meetings_of_user(
        &mut self,
        user_id: UserId,
        after: Option<MeetingId>,
        limit: i64,
    ) -> Result<Vec<MeetingId>> {
        let rows: Vec<(MeetingId,)> =
            fetch_all!(self, ROOM_MEETINGS_OF_USER, user_id, after, limit)?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// The metadata that somebody gave a meeting's room.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn room_metadata_find(&mut self, meeting_id: MeetingId) -> Result<Option<String>> {
        let row: Option<(String,)> = fetch_optional!(self, ROOM_METADATA_FIND, meeting_id)?;
        Ok(row.map(|(metadata,)| metadata))
    }

    /// Keeps the metadata that somebody gave a meeting's room; of no meeting, it keeps nothing.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn room_metadata_set(
        &mut self,
        meeting_id: MeetingId,
        metadata: &str,
        now: Timestamp,
    ) -> Result<()> {
        execute!(self, ROOM_METADATA_SET, meeting_id, metadata, now)?;
        Ok(())
    }

    /// Keeps an agent's dispatch into a meeting's room; of no meeting, it keeps nothing.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn room_dispatch_insert(
        &mut self,
        meeting_id: MeetingId,
        id: &str,
        dispatch: &serde_json::Value,
        now: Timestamp,
    ) -> Result<()> {
        execute!(
            self,
            ROOM_DISPATCH_INSERT,
            meeting_id,
            id,
            Json(dispatch),
            now
        )?;
        Ok(())
    }

    /// Forgets a dispatch.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn room_dispatch_delete(&mut self, id: &str) -> Result<()> {
        execute!(self, ROOM_DISPATCH_DELETE, id)?;
        Ok(())
    }

    /// Forgets all dispatches of a meeting's room.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn room_dispatch_clear(&mut self, meeting_id: MeetingId) -> Result<()> {
        execute!(self, ROOM_DISPATCH_CLEAR, meeting_id)?;
        Ok(())
    }

    /// The dispatches of a meeting's room, oldest first; a room has a hundred at most.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn room_dispatch_list(
        &mut self,
        meeting_id: MeetingId,
    ) -> Result<Vec<serde_json::Value>> {
        let rows: Vec<(Json<serde_json::Value>,)> =
            fetch_all!(self, ROOM_DISPATCH_LIST, meeting_id)?;
        Ok(rows.into_iter().map(|(Json(dispatch),)| dispatch).collect())
    }

    /// Puts a webhook into the outbox.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn room_webhook_insert(
        &mut self,
        webhook: &RoomWebhook,
        url: &str,
        room: &str,
    ) -> Result<()> {
        execute!(
            self,
            ROOM_WEBHOOK_INSERT,
            webhook.id,
            url,
            room,
            webhook.position,
            webhook.body.as_str(),
            webhook.created_at
        )?;
        Ok(())
    }

    /// The oldest webhook of a room that waits for an address.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn room_webhook_next(
        &mut self,
        room: &str,
        url: &str,
    ) -> Result<Option<RoomWebhook>> {
        fetch_optional!(self, ROOM_WEBHOOK_NEXT, room, url)
    }

    /// Rooms and addresses for which a webhook has waited since before `before`, some hundreds at most.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn room_webhook_waiting(
        &mut self,
        before: Timestamp,
    ) -> Result<Vec<(String, String)>> {
        fetch_all!(self, ROOM_WEBHOOK_WAITING, before)
    }

    /// Takes a webhook out of the outbox.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn room_webhook_delete(&mut self, id: Uuid) -> Result<()> {
        execute!(self, ROOM_WEBHOOK_DELETE, id)?;
        Ok(())
    }

    /// Takes all webhooks of a room out of the outbox, because its meeting is erased.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn room_webhook_erase(&mut self, room: &str) -> Result<u64> {
        execute!(self, ROOM_WEBHOOK_ERASE, room)
    }

    /// Deletes webhooks that waited since before `before`.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn room_webhook_trim(&mut self, before: Timestamp) -> Result<u64> {
        execute!(self, ROOM_WEBHOOK_TRIM, before)
    }
}
