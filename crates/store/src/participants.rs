//! Participants and the consent ledger.

use meetmind_core::{
    AgentId, Consent, ConsentId, ConsentState, MeetingId, MeetingRole, Participant, ParticipantId,
    SeriesId, Timestamp, UserId,
};

use crate::db::{execute, fetch_all, fetch_optional};
use crate::statements::statements;
use crate::{Conn, Error, Result};

macro_rules! participant_columns {
    () => {
        "id, meeting_id, user_id, agent_id, name, role, state, muted, joined_at, left_at, created_at, updated_at"
    };
}

statements! {
    PARTICIPANT_INSERT = "INSERT INTO participants (id, meeting_id, user_id, agent_id, name, role, state, muted, joined_at, left_at, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    PARTICIPANT_UPDATE = "UPDATE participants SET name = $2, role = $3, state = $4, muted = $5, joined_at = $6, left_at = $7, updated_at = $8 WHERE id = $1";
    PARTICIPANT_GET = concat!("SELECT ", participant_columns!(), " FROM participants WHERE meeting_id = $1 AND id = $2");
    PARTICIPANT_BY_USER = concat!("SELECT ", participant_columns!(), " FROM participants WHERE meeting_id = $1 AND user_id = $2");
    PARTICIPANT_BY_AGENT = concat!("SELECT ", participant_columns!(), " FROM participants WHERE meeting_id = $1 AND agent_id = $2");
    PARTICIPANT_HOST = concat!("SELECT ", participant_columns!(), " FROM participants WHERE meeting_id = $1 AND role = 'host'");
    PARTICIPANT_LIST = concat!("SELECT ", participant_columns!(), " FROM participants WHERE meeting_id = $1 AND (id > $2 OR $2 IS NULL) ORDER BY id LIMIT $3");
    // Who waits at the door and who was removed is the hosts' business.
    PARTICIPANT_LIST_PRESENT = concat!("SELECT ", participant_columns!(), " FROM participants WHERE meeting_id = $1 AND (id > $2 OR $2 IS NULL)
        AND state NOT IN ('waiting', 'removed') ORDER BY id LIMIT $3");
    INVITEE_BY_ID = "SELECT id, name FROM users WHERE id = $1 AND disabled_at IS NULL";
    INVITEE_BY_EMAIL = "SELECT id, name FROM users WHERE email = $1 AND disabled_at IS NULL";
    // The meetings of a series in which everybody on the list of one meeting, agents aside, takes part as well.
    MEETING_IDS_OF_ROOM = "SELECT m.id FROM meetings m WHERE m.series_id = $2 AND NOT EXISTS (SELECT 1 FROM participants r
        WHERE r.meeting_id = $1 AND r.role <> 'agent' AND r.state <> 'removed' AND NOT EXISTS (SELECT 1 FROM participants o
            WHERE o.meeting_id = m.id AND o.user_id = r.user_id AND o.state NOT IN ('removed', 'waiting')))";
    PARTICIPANT_COUNT_GUESTS = "SELECT COUNT(*) FROM participants WHERE meeting_id = $1 AND user_id IS NULL AND agent_id IS NULL AND state IN ('waiting', 'joined')";
    PARTICIPANT_LEAVE_ALL = "UPDATE participants SET state = 'left', left_at = $2, updated_at = $2 WHERE meeting_id = $1 AND state = 'joined'";
    // Who was never let in has no part in the record.
    PARTICIPANT_DOOR_CLEAR = "DELETE FROM participants WHERE meeting_id = $1 AND state = 'waiting'";
    PARTICIPANT_DELETE = "DELETE FROM participants WHERE id = $1";
    CONSENT_INSERT = "INSERT INTO consents (id, meeting_id, participant_id, transcript, recording, memory, actor, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    CONSENT_CURRENT = "SELECT id, meeting_id, participant_id, transcript, recording, memory, actor, at FROM consents
        WHERE participant_id = $1 ORDER BY id DESC LIMIT 1";
    CONSENT_STANDING = "SELECT p.role, c.transcript, c.memory FROM participants p
        LEFT JOIN consents c ON c.id = (SELECT n.id FROM consents n WHERE n.participant_id = p.id ORDER BY n.id DESC LIMIT 1)
        WHERE p.meeting_id = $1 AND p.id = $2";
    CONSENT_RECORDING = "SELECT p.id, p.role, c.recording FROM participants p
        LEFT JOIN consents c ON c.id = (SELECT n.id FROM consents n WHERE n.participant_id = p.id ORDER BY n.id DESC LIMIT 1)
        WHERE p.meeting_id = $1 ORDER BY p.id";
    CONSENT_LIST = "SELECT id, meeting_id, participant_id, transcript, recording, memory, actor, at FROM consents
        WHERE meeting_id = $1 AND (id > $2 OR $2 IS NULL) ORDER BY id LIMIT $3";
}

impl Conn {
    /// Adds a participant.
    ///
    /// # Errors
    /// [`Error::Duplicate`] when the user or the agent is on the list already.
    pub async fn participant_insert(&mut self, p: &Participant) -> Result<()> {
        execute!(
            self,
            PARTICIPANT_INSERT,
            p.id,
            p.meeting_id,
            p.user_id,
            p.agent_id,
            &p.name,
            p.role,
            p.state,
            p.muted,
            p.joined_at,
            p.left_at,
            p.created_at,
            p.updated_at
        )?;
        Ok(())
    }

    /// Writes name, role, state, mute and times.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn participant_update(&mut self, p: &Participant) -> Result<()> {
        execute!(
            self,
            PARTICIPANT_UPDATE,
            p.id,
            &p.name,
            p.role,
            p.state,
            p.muted,
            p.joined_at,
            p.left_at,
            p.updated_at
        )?;
        Ok(())
    }

    /// One participant of a meeting.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database cannot be reached.
    pub async fn participant_get(
        &mut self,
        meeting_id: MeetingId,
        id: ParticipantId,
    ) -> Result<Participant> {
        fetch_optional!(self, PARTICIPANT_GET, meeting_id, id)?
            .ok_or(Error::NotFound("participant"))
    }

    /// A user's participant in a meeting.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn participant_find_user(
        &mut self,
        meeting_id: MeetingId,
        user_id: UserId,
    ) -> Result<Option<Participant>> {
        fetch_optional!(self, PARTICIPANT_BY_USER, meeting_id, user_id)
    }

    /// An agent's participant in a meeting.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn participant_find_agent(
        &mut self,
        meeting_id: MeetingId,
        agent_id: AgentId,
    ) -> Result<Option<Participant>> {
        fetch_optional!(self, PARTICIPANT_BY_AGENT, meeting_id, agent_id)
    }

    /// Participants in the order they came on the list.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn participant_list(
        &mut self,
        meeting_id: MeetingId,
        after: Option<ParticipantId>,
        limit: i64,
    ) -> Result<Vec<Participant>> {
        fetch_all!(self, PARTICIPANT_LIST, meeting_id, after, limit)
    }

    /// Like [`Conn::participant_list`], without who waits at the door and who was removed.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn participant_list_present(
        &mut self,
        meeting_id: MeetingId,
        after: Option<ParticipantId>,
        limit: i64,
    ) -> Result<Vec<Participant>> {
        fetch_all!(self, PARTICIPANT_LIST_PRESENT, meeting_id, after, limit)
    }

    /// The host of a meeting.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn participant_find_host(
        &mut self,
        meeting_id: MeetingId,
    ) -> Result<Option<Participant>> {
        fetch_optional!(self, PARTICIPANT_HOST, meeting_id)
    }

    /// The account that can be put on the list under this id, with its name.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn invitee_find(&mut self, user_id: UserId) -> Result<Option<(UserId, String)>> {
        fetch_optional!(self, INVITEE_BY_ID, user_id)
    }

    /// The account that can be put on the list under this address (lower case), with its name.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn invitee_find_email(&mut self, email: &str) -> Result<Option<(UserId, String)>> {
        fetch_optional!(self, INVITEE_BY_EMAIL, email)
    }

    /// The meetings of a series in which everybody in the room of one meeting takes part: a guest
    /// is nobody elsewhere, and agents do not count.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn meeting_ids_of_room(
        &mut self,
        room: MeetingId,
        series_id: SeriesId,
    ) -> Result<Vec<MeetingId>> {
        let rows: Vec<(MeetingId,)> = fetch_all!(self, MEETING_IDS_OF_ROOM, room, series_id)?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// How many people without an account are in a meeting or wait at its door.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn participant_count_guests(&mut self, meeting_id: MeetingId) -> Result<i64> {
        let row: Option<(i64,)> = fetch_optional!(self, PARTICIPANT_COUNT_GUESTS, meeting_id)?;
        Ok(row.map_or(0, |(count,)| count))
    }

    /// Everybody leaves, as a meeting ends; who still waits at the door is taken off the list.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn participant_leave_all(
        &mut self,
        meeting_id: MeetingId,
        now: Timestamp,
    ) -> Result<u64> {
        execute!(self, PARTICIPANT_DOOR_CLEAR, meeting_id)?;
        self.room_presence_clear(meeting_id).await?;
        execute!(self, PARTICIPANT_LEAVE_ALL, meeting_id, now)
    }

    /// Takes somebody off the list who was never let in.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn participant_delete(&mut self, id: ParticipantId) -> Result<()> {
        execute!(self, PARTICIPANT_DELETE, id)?;
        Ok(())
    }

    /// Adds an entry to the consent ledger.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn consent_insert(&mut self, c: &Consent) -> Result<()> {
        execute!(
            self,
            CONSENT_INSERT,
            c.id,
            c.meeting_id,
            c.participant_id,
            c.transcript,
            c.recording,
            c.memory,
            &c.actor,
            c.at
        )?;
        Ok(())
    }

    /// A participant's consent in force.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn consent_find(&mut self, participant_id: ParticipantId) -> Result<Option<Consent>> {
        fetch_optional!(self, CONSENT_CURRENT, participant_id)
    }

    /// A participant's role and what they agreed to: the transcript, the memory.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database cannot be reached.
    pub async fn consent_standing(
        &mut self,
        meeting_id: MeetingId,
        participant_id: ParticipantId,
    ) -> Result<(MeetingRole, Option<ConsentState>, Option<ConsentState>)> {
        fetch_optional!(self, CONSENT_STANDING, meeting_id, participant_id)?
            .ok_or(Error::NotFound("participant"))
    }

    /// Everybody of a meeting with their role and what they said to recordings.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn consent_recording(
        &mut self,
        meeting_id: MeetingId,
    ) -> Result<Vec<(ParticipantId, MeetingRole, Option<ConsentState>)>> {
        fetch_all!(self, CONSENT_RECORDING, meeting_id)
    }

    /// The ledger of a meeting, oldest first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn consent_list(
        &mut self,
        meeting_id: MeetingId,
        after: Option<ConsentId>,
        limit: i64,
    ) -> Result<Vec<Consent>> {
        fetch_all!(self, CONSENT_LIST, meeting_id, after, limit)
    }
}
