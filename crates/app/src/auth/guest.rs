//! Tokens for guests of one meeting.

use meetmind_core::{Ctx, Participant, Result};

use crate::App;

impl App {
    /// A token that lets its bearer act as this participant, in this meeting only.
    pub(crate) fn guest_token(&self, _ctx: &Ctx, _participant: &Participant) -> Result<String> {
        Err(meetmind_core::Error::not_found("meeting"))
    }
}
