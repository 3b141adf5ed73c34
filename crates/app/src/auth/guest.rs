//! Tokens for guests of one meeting.

use std::time::Duration;

use meetmind_core::{Ctx, Participant, Result};

use super::signer::TokenKind;
use crate::App;

/// A guest token outlives no meeting that people hold in one go.
const TTL: Duration = Duration::from_secs(12 * 3600);

impl App {
    /// A token that lets its bearer act as this participant, in this meeting only, for 12 hours
    /// at most and only while the participant is not removed and the meeting not deleted.
    pub(crate) fn guest_token(&self, ctx: &Ctx, participant: &Participant) -> Result<String> {
        let signer = &self.inner.auth.signer;
        let jti = self.entropy().bytes();
        let sub = participant.id.to_string();
        let mut claims = signer.claims(TokenKind::Guest, sub, &jti, ctx.now, TTL);
        claims.mtg = Some(participant.meeting_id);
        signer.sign(&claims)
    }
}
