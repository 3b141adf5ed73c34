//! Sessions: opening, refreshing, listing, ending.

use meetmind_core::{
    Actor, Code, Ctx, Error, Id, Page, PageQuery, Proof, Result, Session, SessionId, User,
    session_may,
};
use meetmind_store::RefreshRow;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::signer::TokenKind;
use super::{Hash, digest, hex, session_revoked, token_expired, token_invalid};
use crate::meetings::{cursor_id, cursor_of};
use crate::{App, AuthorityChange, Change};

/// Somebody who is signed in, and the tokens of the session.
#[derive(Debug, Clone, PartialEq)]
pub struct SignedIn {
    /// Who.
    pub user: User,
    /// The session.
    pub session_id: SessionId,
    /// A JWT for the `Authorization` header.
    pub access_token: String,
    /// Gives new tokens, once.
    pub refresh_token: String,
    /// Seconds that the access token lives.
    pub expires_in: i64,
}

/// What signing out ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogoutScope {
    /// This session.
    #[default]
    Local,
    /// All sessions.
    Global,
    /// All sessions but this one.
    Others,
}

/// A refresh token names its session, so that a page's request can be checked against forgery
/// before the store is asked; only the hash of the whole text is stored.
fn refresh_text(id: SessionId, secret: &[u8; 32]) -> String {
    let id = id.to_string();
    format!("mmr_{}_{}", id.trim_start_matches("ses_"), hex(secret))
}

impl App {
    /// The session that a refresh token says it belongs to; not yet checked.
    pub fn refresh_token_session(token: &str) -> Option<SessionId> {
        let id = token.strip_prefix("mmr_")?.split('_').next()?;
        format!("{}_{id}", SessionId::PREFIX).parse().ok()
    }

    /// Opens a session within a change.
    pub(super) async fn session_open_within(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        user: User,
        user_agent: Option<&str>,
    ) -> Result<SignedIn> {
        let session = Session {
            id: self.id(ctx),
            user_id: user.id,
            user_agent: user_agent.map(|text| {
                let kept = text.chars().filter(|letter| !letter.is_control());
                kept.take(200).collect()
            }),
            address: ctx.address.clone(),
            created_at: ctx.now,
            last_used_at: ctx.now,
            expires_at: ctx.now.plus(self.settings().auth.session_max),
            revoked_at: None,
        };
        change.session_insert(&session).await?;
        self.tokens_within(change, ctx, user, session.id, session.expires_at)
            .await
    }

    /// Makes the next pair of tokens of a session.
    async fn tokens_within(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        user: User,
        session_id: SessionId,
        session_end: meetmind_core::Timestamp,
    ) -> Result<SignedIn> {
        let settings = &self.settings().auth;
        let refresh_token = refresh_text(session_id, &self.entropy().bytes());
        let refresh_end = ctx.now.plus(settings.session_idle).min(session_end);
        let hash = digest(refresh_token.as_bytes());
        change
            .refresh_insert(&hash, session_id, ctx.now, refresh_end)
            .await?;
        let signer = &self.inner.auth.signer;
        let jti = self.entropy().bytes();
        let ttl = settings.access_token_ttl;
        let mut claims = signer.claims(TokenKind::Access, user.id.to_string(), &jti, ctx.now, ttl);
        claims.sid = Some(session_id);
        claims.role = Some(user.role.to_string());
        claims.exp = claims.exp.min(session_end.seconds());
        Ok(SignedIn {
            user,
            session_id,
            access_token: signer.sign(&claims)?,
            refresh_token,
            expires_in: claims.exp - claims.iat,
        })
    }

    /// Trades a refresh token for new tokens. A token used a moment ago is answered once more,
    /// because the answer may have been lost; one used earlier was copied, and ends the session.
    ///
    /// # Errors
    /// `TOKEN_INVALID`, `TOKEN_EXPIRED`, `SESSION_REVOKED`, `REFRESH_TOKEN_REUSED`.
    pub async fn session_refresh(&self, ctx: &Ctx, token: &str) -> Result<SignedIn> {
        let hash: Hash = digest(token.as_bytes());
        let mut change = self.change(ctx).await?;
        let first = change.refresh_use(&hash, ctx.now).await?;
        let row = change
            .refresh_find(&hash)
            .await?
            .ok_or_else(token_invalid)?;
        if row.revoked_at.is_some() || row.disabled_at.is_some() {
            return Err(session_revoked());
        }
        let grace = self.settings().auth.refresh_reuse_grace;
        let lost_answer = row.used_at.is_some_and(|used| ctx.now <= used.plus(grace));
        if !first && !lost_answer {
            return self.refresh_reused(change, ctx, &row).await;
        }
        if row.expires_at <= ctx.now || row.session_expires_at <= ctx.now {
            return Err(token_expired());
        }
        change.session_touch(row.session_id, ctx.now).await?;
        let user = change.user_get(row.user_id).await?;
        let end = row.session_expires_at;
        let signed_in = self
            .tokens_within(&mut change, ctx, user, row.session_id, end)
            .await?;
        change.commit().await?;
        tracing::info!(request_id = %ctx.request_id, user_id = %signed_in.user.id, session_id = %row.session_id, "a session was renewed");
        Ok(signed_in)
    }

    async fn refresh_reused(
        &self,
        mut change: Change<'_>,
        ctx: &Ctx,
        row: &RefreshRow,
    ) -> Result<SignedIn> {
        change
            .session_revoke(row.session_id, row.user_id, ctx.now)
            .await?;
        let details = json!({ "user_id": row.user_id });
        change
            .audit("session.refresh_reused", row.session_id, details)
            .await?;
        change.authority_changes(AuthorityChange::User(row.user_id));
        change.commit().await?;
        tracing::warn!(request_id = %ctx.request_id, session_id = %row.session_id, "a refresh token was used twice: the session was ended");
        Err(Error::new(
            Code::RefreshTokenReused,
            "this refresh token was used before: the session was ended for safety, sign in again",
        ))
    }

    /// Signs out: the session of the caller, or the one that the refresh token belongs to. Its
    /// access tokens stop working at once. Gives the number of sessions that ended.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without either, `TOKEN_INVALID` for a refresh token of somebody else,
    /// `FORBIDDEN` for API keys, guests and agents.
    pub async fn sign_out(
        &self,
        ctx: &Ctx,
        refresh_token: Option<&str>,
        scope: LogoutScope,
    ) -> Result<u64> {
        let own = match &ctx.actor {
            Actor::Anonymous => None,
            actor => Some((session_may(actor)?, session_id(actor)?)),
        };
        let mut change = self.change(ctx).await?;
        let other = match refresh_token {
            None => None,
            Some(token) => {
                let row = change.refresh_find(&digest(token.as_bytes())).await?;
                let row = row.ok_or_else(token_invalid)?;
                Some((row.user_id, row.session_id))
            }
        };
        let Some((user_id, session_id)) = own.or(other) else {
            return Err(Error::new(
                Code::Unauthenticated,
                "say which session: send its access token or its refresh token",
            ));
        };
        if other.is_some_and(|(other_user, _)| other_user != user_id) {
            return Err(token_invalid());
        }
        let mut ended = match scope {
            LogoutScope::Local => 0,
            LogoutScope::Global => change.session_revoke_user(user_id, None, ctx.now).await?,
            LogoutScope::Others => {
                let kept = Some(session_id);
                change.session_revoke_user(user_id, kept, ctx.now).await?
            }
        };
        if scope == LogoutScope::Local {
            for (_, id) in own.into_iter().chain(other) {
                ended += u64::from(change.session_revoke(id, user_id, ctx.now).await?);
            }
        }
        if ended > 0 {
            let details = json!({ "scope": scope, "sessions": ended });
            change.audit("session.revoked", user_id, details).await?;
        }
        change.authority_changes(AuthorityChange::User(user_id));
        change.commit().await?;
        tracing::info!(request_id = %ctx.request_id, %user_id, sessions = ended, "signed out");
        Ok(ended)
    }

    /// The caller's sessions that still work, newest first.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, `FORBIDDEN` for who is not signed in with a session.
    pub async fn session_list(&self, ctx: &Ctx, page: &PageQuery) -> Result<Page<Session>> {
        let user_id = session_may(&ctx.actor)?;
        let before = cursor_id(page)?;
        let idle_since = ctx.now.minus(self.settings().auth.session_idle);
        let mut conn = self.store().read().await?;
        let rows = conn
            .session_list(user_id, ctx.now, idle_since, before, page.limit + 1)
            .await?;
        Ok(Page::from_rows(rows, page.limit, |row| cursor_of(row.id)))
    }

    /// Ends one of the caller's sessions.
    ///
    /// # Errors
    /// `NOT_FOUND` when it is not the caller's or ended before.
    pub async fn session_delete(&self, ctx: &Ctx, id: SessionId) -> Result<Session> {
        let user_id = session_may(&ctx.actor)?;
        let mut change = self.change(ctx).await?;
        if !change.session_revoke(id, user_id, ctx.now).await? {
            return Err(Error::not_found("session"));
        }
        let session = change.session_find(id, user_id).await?;
        let session = session.ok_or_else(|| Error::not_found("session"))?;
        change.audit("session.revoked", id, json!({})).await?;
        change.authority_changes(AuthorityChange::User(user_id));
        change.commit().await?;
        Ok(session)
    }
}

/// The session that an actor came with.
pub(crate) fn session_id(actor: &Actor) -> Result<SessionId> {
    match actor {
        Actor::User {
            proof: Proof::Session(id),
            ..
        } => Ok(*id),
        _ => Err(Error::forbidden("this needs a signed-in session")),
    }
}
