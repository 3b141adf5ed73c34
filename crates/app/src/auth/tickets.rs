//! Tickets that open one WebSocket: the only credential that may stand in a URL.

use std::time::Duration;

use meetmind_core::{
    Actor, ApiKeyId, Code, Ctx, Error, MeetingId, ParticipantId, Proof, Result, SessionId,
    Timestamp,
};
use meetmind_store::OneTimePurpose;
use serde::{Deserialize, Serialize};

use super::{digest, hex, token_invalid};
use crate::App;

/// Long enough to open a socket, too short to be found in a log and used.
const TTL: Duration = Duration::from_secs(30);

/// A ticket for one WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WsTicket {
    /// Goes into `?ticket=`.
    pub ticket: String,
    /// Until when it can be used.
    pub expires_at: Timestamp,
}

/// For whom a ticket stands: looked up anew when it is used.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Bearer {
    Session(SessionId),
    ApiKey(ApiKeyId),
    Guest(ParticipantId, MeetingId),
}

impl App {
    /// A ticket that stands for the caller, for 30 seconds and one use.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, `FORBIDDEN` for agents.
    pub async fn ws_ticket_create(&self, ctx: &Ctx) -> Result<WsTicket> {
        let bearer = match &ctx.actor {
            Actor::User {
                proof: Proof::Session(id),
                ..
            } => Bearer::Session(*id),
            Actor::User {
                proof: Proof::ApiKey(id, _),
                ..
            } => Bearer::ApiKey(*id),
            Actor::Guest {
                participant_id,
                meeting_id,
                ..
            } => Bearer::Guest(*participant_id, *meeting_id),
            Actor::Anonymous => return Err(Error::new(Code::Unauthenticated, "sign in first")),
            Actor::Agent { .. } | Actor::System => {
                return Err(Error::forbidden(
                    "a ticket is for people and their programs",
                ));
            }
        };
        let payload = serde_json::to_value(&bearer).map_err(Error::internal)?;
        let ticket = hex(&self.entropy().bytes::<32>());
        let expires_at = ctx.now.plus(TTL);
        let hash = digest(ticket.as_bytes());
        let mut change = self.change(ctx).await?;
        change
            .one_time_insert(
                &hash,
                OneTimePurpose::WsTicket,
                ctx.actor.user_id(),
                &payload,
                ctx.now,
                expires_at,
            )
            .await?;
        change.commit().await?;
        Ok(WsTicket { ticket, expires_at })
    }

    /// Uses a ticket up; gives whom it stands for, if they may still come in.
    ///
    /// # Errors
    /// `TOKEN_INVALID` for an unknown, used or expired ticket, and what [`App::authenticate`]
    /// says of the one behind it.
    pub async fn ws_ticket_redeem(&self, ticket: &str) -> Result<Actor> {
        let now = self.now();
        let hash = digest(ticket.as_bytes());
        let purpose = OneTimePurpose::WsTicket;
        let mut tx = self.store().begin().await?;
        let (_, payload) = tx
            .one_time_find(&hash, purpose, now)
            .await?
            .ok_or_else(token_invalid)?;
        if !tx.one_time_use(&hash, purpose, now).await? {
            return Err(token_invalid());
        }
        tx.commit().await?;
        match serde_json::from_value(payload).map_err(Error::internal)? {
            Bearer::Session(id) => self.session_actor(id, None, now).await,
            Bearer::Guest(id, meeting_id) => self.guest_actor(id, meeting_id, now).await,
            Bearer::ApiKey(id) => {
                let state = self.store().read().await?.api_key_state_find(id).await?;
                let state = state.ok_or_else(token_invalid)?;
                self.key_actor(id, &state, now).await
            }
        }
    }
}
