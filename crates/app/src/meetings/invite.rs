//! Invitation codes and links.

use meetmind_core::{Ctx, MeetingAction, MeetingId, Result};
use serde::Serialize;
use serde_json::json;

use super::access::meeting_access;
use crate::{App, Change};

/// Letters that are hard to mistake for one another.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// How people are invited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Invite {
    /// The link to give away. The code stands behind `#`, so that no server log has it.
    pub url: String,
    /// The code alone, for `join`.
    pub invite_code: String,
}

impl App {
    /// A new invitation code: 16 letters, 80 bits.
    pub(crate) fn invite_code(&self) -> String {
        self.entropy()
            .bytes::<16>()
            .iter()
            .map(|byte| LETTERS[usize::from(byte % 32)] as char)
            .collect()
    }

    /// The invitation of a meeting. It opens the door only while the meeting's access is `link`.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN` for all but hosts and cohosts.
    pub async fn meeting_invite(&self, ctx: &Ctx, id: MeetingId) -> Result<Invite> {
        let mut conn = self.store().read().await?;
        meeting_access(&mut conn, ctx, id, MeetingAction::Manage).await?;
        let (code, _) = conn.meeting_secret_get(id).await?;
        Ok(self.invite(id, code))
    }

    /// Gives a meeting another code: links given away before stop working.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN` for all but hosts and cohosts.
    pub async fn meeting_invite_renew(&self, ctx: &Ctx, id: MeetingId) -> Result<Invite> {
        let mut change = self.change(ctx).await?;
        change.meeting_lock(id).await?;
        meeting_access(&mut change, ctx, id, MeetingAction::Manage).await?;
        let code = self.invite_renew_within(&mut change, id, json!({})).await?;
        change.commit().await?;
        Ok(self.invite(id, code))
    }

    /// Gives a meeting another code within a change; `details` say why.
    pub(super) async fn invite_renew_within(
        &self,
        change: &mut Change<'_>,
        id: MeetingId,
        details: serde_json::Value,
    ) -> Result<String> {
        let code = self.invite_code();
        change.meeting_invite_set(id, &code).await?;
        change.audit("meeting.invite_renewed", id, details).await?;
        Ok(code)
    }

    fn invite(&self, id: MeetingId, invite_code: String) -> Invite {
        Invite {
            url: format!("{}/app/join/{id}#{invite_code}", self.settings().public_url),
            invite_code,
        }
    }
}
