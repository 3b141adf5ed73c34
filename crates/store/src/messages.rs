//! Chat.

use meetmind_core::{MeetingId, Message, MessageId};
use sqlx::types::Json;

use crate::db::{execute, fetch_all, fetch_optional};
use crate::statements::statements;
use crate::{Conn, Error, Result};

macro_rules! message_columns {
    () => {
        "id, meeting_id, participant_id, author, kind, text, reply_to, segment_ids, created_at"
    };
}

statements! {
    MESSAGE_INSERT = "INSERT INTO messages (id, meeting_id, participant_id, author, kind, text, reply_to, segment_ids, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    MESSAGE_GET = concat!("SELECT ", message_columns!(), " FROM messages WHERE meeting_id = $1 AND id = $2");
    MESSAGE_LIST = concat!("SELECT ", message_columns!(), " FROM messages WHERE meeting_id = $1 AND (id > $2 OR $2 IS NULL) ORDER BY id LIMIT $3");
    MESSAGE_LIST_NEWEST = concat!("SELECT ", message_columns!(), " FROM messages WHERE meeting_id = $1 AND (id < $2 OR $2 IS NULL) ORDER BY id DESC LIMIT $3");
}

impl Conn {
    /// Adds a message.
    ///
    /// # Errors
    /// When the meeting or the message it answers is gone, or the database refuses.
    pub async fn message_insert(&mut self, m: &Message) -> Result<()> {
        execute!(
            self,
            MESSAGE_INSERT,
            m.id,
            m.meeting_id,
            m.participant_id,
            &m.author,
            m.kind,
            &m.text,
            m.reply_to,
            Json(&m.segment_ids),
            m.created_at
        )?;
        Ok(())
    }

    /// One message of a meeting.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database cannot be reached.
    pub async fn message_get(&mut self, meeting_id: MeetingId, id: MessageId) -> Result<Message> {
        fetch_optional!(self, MESSAGE_GET, meeting_id, id)?.ok_or(Error::NotFound("message"))
    }

    /// The chat from the oldest message on.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn message_list(
        &mut self,
        meeting_id: MeetingId,
        after: Option<MessageId>,
        limit: i64,
    ) -> Result<Vec<Message>> {
        fetch_all!(self, MESSAGE_LIST, meeting_id, after, limit)
    }

    /// The chat from the newest message back.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn message_list_newest(
        &mut self,
        meeting_id: MeetingId,
        before: Option<MessageId>,
        limit: i64,
    ) -> Result<Vec<Message>> {
        fetch_all!(self, MESSAGE_LIST_NEWEST, meeting_id, before, limit)
    }
}
