//! Typed commands in chat.

use meetmind_core::{Ctx, Message, Result};

use crate::{Access, App};

impl App {
    /// Runs the command in a posted message, if it has one: `/task`, `/decide`, `/note`,
    /// `/remember`, `/summary`, `/topics`, next and previous topic, and their Swedish forms.
    /// Gives the notice to post in the meeting, if there is something to say. Questions to an
    /// assistant (`@name …`) are the assistant's business, not this one's.
    pub(crate) async fn command_run(
        &self,
        _ctx: &Ctx,
        _access: &Access,
        _message: &Message,
    ) -> Result<Option<String>> {
        Ok(None)
    }
}
