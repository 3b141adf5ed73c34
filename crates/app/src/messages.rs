//! Chat.

use meetmind_core::{Ctx, MeetingId, Message, MessageId, MessageKind, Result, SegmentId};

use crate::App;

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

impl App {
    /// Posts a message in the caller's name and runs the typed command in it, if there is one.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN` for viewers, `MEETING_ENDED`, `VALIDATION_FAILED`.
    pub async fn message_post(
        &self,
        _ctx: &Ctx,
        _meeting_id: MeetingId,
        _new: MessageNew,
    ) -> Result<Message> {
        Err(meetmind_core::Error::not_found("meeting"))
    }
}
