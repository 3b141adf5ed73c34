//! Chat.

use std::time::Duration;

use meetmind_core::{
    Actor, Code, Ctx, Error, EventKind, MeetingAction, MeetingId, MeetingStatus, Message,
    MessageId, MessageKind, Page, PageQuery, Result, Scope, SegmentId, scope_check,
};
use meetmind_store::Conn;

use crate::commands::command_reads;
use crate::meetings::{cursor_id, cursor_of, meeting_access};
use crate::{Access, App, valid};

/// The longest message, in bytes.
const TEXT_BYTES: usize = 16_000;
/// The segments an answer may cite.
pub(crate) const CITED_MAX: usize = 200;
/// What stands in the place of words that the caller's key may not read.
const WITHHELD: &str = "(not shown: this key needs the scope transcripts:read)";

/// A message to post.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageNew {
    /// What it is; only agents answer and only the system notifies.
    pub kind: MessageKind,
    /// The words, at most 16,000 bytes.
    pub text: String,
    /// The message it answers.
    pub reply_to: Option<MessageId>,
    /// The segments an answer rests on.
    pub segment_ids: Vec<SegmentId>,
}

/// In which order chat is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MessageOrder {
    /// From the oldest message on.
    #[default]
    OldestFirst,
    /// From the newest message back.
    NewestFirst,
}

impl App {
    /// Posts a message in the caller's name and runs the typed command in it, if there is one.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN` for viewers, `MEETING_ENDED`, `VALIDATION_FAILED`; `SCOPE_MISSING`
    /// when it asks about what was said and the caller's key may not read that.
    pub async fn message_post(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        new: MessageNew,
    ) -> Result<Message> {
        let (access, message) = self.message_store(ctx, meeting_id, new).await?;
        let may_command = matches!(ctx.actor, Actor::User { .. } | Actor::Guest { .. });
        if may_command && message.kind == MessageKind::Text {
            self.command_answer(ctx, &access, &message).await;
        }
        Ok(message)
    }

    /// The chat of a meeting, also of one that ended. Answers and notices quote what was said: a
    /// key that may not read that gets them without their words.
    ///
    /// # Errors
    /// `NOT_FOUND` for who has no part in it, `INVALID_CURSOR`.
    pub async fn message_list(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        order: MessageOrder,
        page: &PageQuery,
    ) -> Result<Page<Message>> {
        let cursor = cursor_id(page)?;
        let mut conn = self.store().read().await?;
        meeting_access(&mut conn, ctx, meeting_id, MeetingAction::Read).await?;
        let limit = page.limit + 1;
        let rows = match order {
            MessageOrder::OldestFirst => conn.message_list(meeting_id, cursor, limit).await?,
            MessageOrder::NewestFirst => {
                conn.message_list_newest(meeting_id, cursor, limit).await?
            }
        };
        let rows = match scope_check(&ctx.actor, Scope::TranscriptsRead) {
            Ok(()) => rows,
            Err(_) => rows.into_iter().map(without_quotations).collect(),
        };
        Ok(Page::from_rows(rows, page.limit, |row| cursor_of(row.id)))
    }

    /// Fails when a message asks about what was said, in the name of a key that may not read that:
    /// a typed command that tells of it, or a question to an agent that would answer.
    async fn asking_check(&self, conn: &mut Conn, ctx: &Ctx, message: &Message) -> Result<()> {
        let Err(missing) = scope_check(&ctx.actor, Scope::TranscriptsRead) else {
            return Ok(());
        };
        let asks = message.kind == MessageKind::Text
            && (command_reads(&message.text) || self.assistant_hears(conn, message).await?);
        if asks { Err(missing) } else { Ok(()) }
    }

    async fn message_store(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        new: MessageNew,
    ) -> Result<(Access, Message)> {
        let mut change = self.change(ctx).await?;
        let access = meeting_access(&mut change, ctx, meeting_id, MeetingAction::Speak).await?;
        let text = valid::text("text", &new.text, TEXT_BYTES)?;
        if new.segment_ids.len() > CITED_MAX {
            return Err(Error::invalid(
                "segment_ids",
                format!("must have at most {CITED_MAX} entries"),
            ));
        }
        let may_be = match ctx.actor {
            Actor::System => new.kind == MessageKind::Notice,
            Actor::Agent { .. } => new.kind != MessageKind::Notice,
            _ => new.kind == MessageKind::Text,
        };
        if !may_be {
            return Err(Error::forbidden(
                "this kind of message is not yours to post",
            ));
        }
        if access.meeting.status == MeetingStatus::Ended {
            return Err(Error::new(Code::MeetingEnded, "the meeting has ended"));
        }
        if let Some(reply_to) = new.reply_to {
            change
                .message_get(meeting_id, reply_to)
                .await
                .map_err(|error| match error {
                    meetmind_store::Error::NotFound(_) => {
                        Error::invalid("reply_to", "there is no such message in this meeting")
                    }
                    other => other.into(),
                })?;
        }
        let message = Message {
            id: self.id(ctx),
            meeting_id,
            participant_id: access.participant_id,
            author: access.name.clone(),
            kind: new.kind,
            text,
            reply_to: new.reply_to,
            segment_ids: new.segment_ids,
            created_at: ctx.now,
        };
        self.asking_check(&mut change, ctx, &message).await?;
        change.message_insert(&message).await?;
        change
            .meeting_event(meeting_id, EventKind::MessagePosted, &message)
            .await?;
        change.commit().await?;
        Ok((access, message))
    }

    /// Runs the command of a posted message and posts what it says. The message stands whatever
    /// becomes of its command, so a failure is told in the chat and not to the caller, who would
    /// post the message again.
    async fn command_answer(&self, ctx: &Ctx, access: &Access, message: &Message) {
        let notice = match self.command_run(ctx, access, message).await {
            Ok(None) => return,
            Ok(Some(notice)) => notice,
            Err(error) => {
                tracing::warn!(message_id = %message.id, code = error.code.as_str(), "a typed command failed");
                error.message.into_owned().into()
            }
        };
        // Ids sort by time: the notice must come after what it answers.
        let system = Ctx {
            actor: Actor::System,
            now: self.now().max(ctx.now.plus(Duration::from_micros(1))),
            ..ctx.clone()
        };
        let new = MessageNew {
            kind: MessageKind::Notice,
            text: notice.text,
            reply_to: Some(message.id),
            segment_ids: notice.segment_ids,
        };
        if let Err(error) = self.message_store(&system, access.meeting.id, new).await {
            tracing::warn!(message_id = %message.id, code = error.code.as_str(), "a notice was not posted");
        }
    }
}

/// A message as it is shown to who may not read what was said.
fn without_quotations(message: Message) -> Message {
    match message.kind {
        MessageKind::Text => message,
        MessageKind::Answer | MessageKind::Notice => Message {
            text: WITHHELD.to_owned(),
            segment_ids: Vec::new(),
            ..message
        },
    }
}
