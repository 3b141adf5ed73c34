//! Accounts, sessions, tokens, keys.
//!
//! A credential is an access token (a JWT of ours), an API key, or a guest token. The hot path
//! of [`App::authenticate`] is one hash and two look-ups: verified tokens are remembered by their
//! digest, and what they stand for (session, key, guest) is remembered for [`RECHECK`] at most.
//! What this process changes it forgets at once, so that signing out acts on the next request;
//! what another process on the same database changed acts after [`RECHECK`].

mod api_keys;
mod cache;
mod email;
mod guest;
mod password;
mod register;
mod reset;
mod sessions;
mod setup;
mod signer;
pub(crate) mod throttle;
mod tickets;

use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use meetmind_core::{
    Actor, ApiKeyId, Code, Error, Id, MeetingId, ParticipantId, ParticipantState, Proof, Result,
    SessionId, Timestamp, UserId,
};
use meetmind_store::{ApiKeyState, GuestState, SessionState, Store};
use sha2::{Digest, Sha256};

use self::cache::Cache;
use self::password::Hasher;
use self::signer::{Claims, Signer, TokenKind};
use crate::{App, AuthorityChange, Entropy, Settings};

pub use self::api_keys::{ApiKeyNew, ApiKeySecret};
pub use self::register::AccountNew;
pub use self::reset::{PasswordReset, ResetLink};
pub use self::sessions::{LogoutScope, SignedIn};
pub use self::tickets::WsTicket;

pub(crate) use self::email::normalised as email_normalised;
pub(crate) use self::register::user_insert_within;
pub(crate) use self::sessions::session_id;

/// How long a cached answer about a session, key or guest is trusted without the store.
pub const RECHECK: Duration = Duration::from_secs(5);

/// No credential of ours is longer.
const CREDENTIAL_MAX: usize = 4096;

/// `last_used_at` of an API key is exact to this.
const TOUCH_INTERVAL: Duration = Duration::from_secs(60);

type Hash = [u8; 32];

/// What is cached, and when it was read.
#[derive(Debug, Clone)]
struct Checked<T> {
    value: T,
    at: Timestamp,
}

impl<T> Checked<T> {
    fn is_fresh(&self, now: Timestamp) -> bool {
        now >= self.at && now < self.at.plus(RECHECK)
    }
}

/// Keys and caches.
pub(crate) struct State {
    signer: Signer,
    hasher: Hasher,
    /// The one to use, then the one before it.
    csrf_keys: Vec<Hash>,
    tokens: Cache<Hash, Arc<Claims>>,
    sessions: Cache<SessionId, Checked<SessionState>>,
    keys: Cache<Hash, (ApiKeyId, Checked<Arc<ApiKeyState>>)>,
    key_use: Cache<ApiKeyId, Timestamp>,
    guests: Cache<ParticipantId, Checked<GuestState>>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("auth::State")
    }
}

impl State {
    pub(crate) async fn load(
        store: &Store,
        settings: &Settings,
        entropy: &Entropy,
    ) -> Result<Self> {
        let signer = Signer::load(store, &settings.public_url).await?;
        let csrf_keys = signer.derived_keys("cross-site protection");
        Ok(Self {
            signer,
            hasher: Hasher::new(&settings.auth, entropy)?,
            csrf_keys,
            tokens: Cache::new(10_000),
            sessions: Cache::new(10_000),
            keys: Cache::new(10_000),
            key_use: Cache::new(10_000),
            guests: Cache::new(10_000),
        })
    }

    /// After a commit that ended sessions or changed what an account may do.
    pub(crate) fn forget_user(&self, user_id: UserId) {
        self.sessions
            .forget(|_, found| found.value.user_id == user_id);
        self.keys
            .forget(|_, found| found.1.value.user_id == user_id);
    }

    fn forget_guest(&self, id: ParticipantId) {
        self.guests.forget(|key, _| *key == id);
    }

    fn forget_guests(&self) {
        self.guests.forget(|_, _| true);
    }
}

/// SHA-256.
fn digest(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    meetmind_core::cursor_text(bytes)
}

fn token_invalid() -> Error {
    Error::new(Code::TokenInvalid, "the token is not valid")
}

fn token_expired() -> Error {
    Error::new(Code::TokenExpired, "the token has expired")
}

fn session_revoked() -> Error {
    Error::new(Code::SessionRevoked, "the session was ended: sign in again")
}

impl App {
    /// After a commit that took something from somebody: caches forget it, and open streams
    /// prove themselves anew.
    pub(crate) fn authority_changed(&self, change: AuthorityChange) {
        match change {
            AuthorityChange::User(id) => self.inner.auth.forget_user(id),
            AuthorityChange::Guest(id) => self.inner.auth.forget_guest(id),
            AuthorityChange::Meeting(_) => self.inner.auth.forget_guests(),
        }
        self.bus().authority_changed(change);
    }

    /// Who stands behind a credential: an access token, an API key or a guest token.
    ///
    /// # Errors
    /// `TOKEN_INVALID`, `TOKEN_EXPIRED`, `SESSION_REVOKED`; `UNAVAILABLE` when it cannot be
    /// checked.
    pub async fn authenticate(&self, credential: &str) -> Result<Actor> {
        let outcome = self.credential_check(credential).await;
        if let Err(error) = &outcome {
            metrics::counter!("meetmind_auth_failures_total", "reason" => error.code.as_str())
                .increment(1);
        }
        outcome
    }

    async fn credential_check(&self, credential: &str) -> Result<Actor> {
        if credential.len() > CREDENTIAL_MAX {
            return Err(token_invalid());
        }
        let auth = &self.inner.auth;
        let now = self.now();
        let hash = digest(credential.as_bytes());
        if let Some(text) = credential.strip_prefix("mm_") {
            return self.key_check(text, hash, now).await;
        }
        let claims = match auth.tokens.find(&hash) {
            Some(claims) => claims,
            None => {
                let epoch = auth.tokens.epoch();
                let claims = Arc::new(auth.signer.verify(credential)?);
                auth.tokens.insert(hash, Arc::clone(&claims), epoch);
                claims
            }
        };
        claims.check_time(now)?;
        match claims.kind {
            TokenKind::Access => {
                let session_id = claims.sid.ok_or_else(token_invalid)?;
                let user_id: UserId = claims.sub.parse().map_err(|_| token_invalid())?;
                self.session_actor(session_id, Some(user_id), now).await
            }
            TokenKind::Guest => {
                let meeting_id = claims.mtg.ok_or_else(token_invalid)?;
                let id = claims.sub.parse().map_err(|_| token_invalid())?;
                self.guest_actor(id, meeting_id, now).await
            }
        }
    }

    /// The user of a session that still works.
    async fn session_actor(
        &self,
        id: SessionId,
        claimed: Option<UserId>,
        now: Timestamp,
    ) -> Result<Actor> {
        let cache = &self.inner.auth.sessions;
        let state = match cache.find(&id).filter(|found| found.is_fresh(now)) {
            Some(found) => found.value,
            None => {
                let epoch = cache.epoch();
                let found = self.store().read().await?.session_state_find(id).await?;
                let value = found.ok_or_else(session_revoked)?;
                let checked = Checked {
                    value: value.clone(),
                    at: now,
                };
                cache.insert(id, checked, epoch);
                value
            }
        };
        if claimed.is_some_and(|claimed| claimed != state.user_id) {
            return Err(token_invalid());
        }
        if state.revoked_at.is_some() || state.disabled_at.is_some() {
            return Err(session_revoked());
        }
        if state.expires_at <= now {
            return Err(token_expired());
        }
        Ok(Actor::User {
            user_id: state.user_id,
            role: state.role,
            proof: Proof::Session(id),
        })
    }

    /// The owner of an API key, given without its `mm_`.
    async fn key_check(&self, text: &str, hash: Hash, now: Timestamp) -> Result<Actor> {
        let cache = &self.inner.auth.keys;
        let found = cache.find(&hash).filter(|(_, state)| state.is_fresh(now));
        let (id, state) = match found {
            Some((id, state)) => (id, state.value),
            None => {
                let (id, secret) = api_keys::parse(text).ok_or_else(token_invalid)?;
                let epoch = cache.epoch();
                let state = self.store().read().await?.api_key_state_find(id).await?;
                let state = Arc::new(state.ok_or_else(token_invalid)?);
                if !same(&digest(secret.as_bytes()), &state.secret_hash) {
                    return Err(token_invalid());
                }
                let checked = Checked {
                    value: Arc::clone(&state),
                    at: now,
                };
                cache.insert(hash, (id, checked), epoch);
                (id, state)
            }
        };
        self.key_actor(id, &state, now).await
    }

    async fn key_actor(&self, id: ApiKeyId, state: &ApiKeyState, now: Timestamp) -> Result<Actor> {
        if state.revoked_at.is_some() {
            return Err(token_invalid());
        }
        if state.disabled_at.is_some() {
            return Err(session_revoked());
        }
        if state.expires_at.is_some_and(|end| end <= now) {
            return Err(token_expired());
        }
        self.key_touch(id, state, now).await;
        Ok(Actor::User {
            user_id: state.user_id,
            role: state.role,
            proof: Proof::ApiKey(id, state.scopes.clone()),
        })
    }

    /// Writes down that a key was used, at most once a minute. The call goes on if this fails.
    async fn key_touch(&self, id: ApiKeyId, state: &ApiKeyState, now: Timestamp) {
        let uses = &self.inner.auth.key_use;
        let last = uses.find(&id).or(state.last_used_at);
        if last.is_some_and(|last| now < last.plus(TOUCH_INTERVAL)) {
            return;
        }
        uses.insert(id, now, uses.epoch());
        let written = async {
            let mut tx = self.store().begin().await?;
            tx.api_key_touch(id, now).await?;
            tx.commit().await
        };
        if let Err(error) = written.await {
            tracing::debug!(%error, %id, "the last use of an API key was not written down");
        }
    }

    /// A guest who is still in the meeting.
    async fn guest_actor(
        &self,
        id: ParticipantId,
        meeting_id: MeetingId,
        now: Timestamp,
    ) -> Result<Actor> {
        let cache = &self.inner.auth.guests;
        let state = match cache.find(&id).filter(|found| found.is_fresh(now)) {
            Some(found) => found.value,
            None => {
                let epoch = cache.epoch();
                let mut conn = self.store().read().await?;
                let found = conn.guest_state_find(id, meeting_id).await?;
                let value = found.ok_or_else(session_revoked)?;
                let checked = Checked {
                    value: value.clone(),
                    at: now,
                };
                cache.insert(id, checked, epoch);
                value
            }
        };
        if state.state == ParticipantState::Removed || state.archived_at.is_some() {
            return Err(session_revoked());
        }
        Ok(Actor::Guest {
            participant_id: id,
            meeting_id,
            role: state.role,
        })
    }

    /// The public halves of the signing keys, as a JSON Web Key Set.
    pub fn jwks(&self) -> serde_json::Value {
        self.inner.auth.signer.jwks()
    }

    /// What a page must send along with a change, so that other sites cannot: bound to the session.
    pub fn csrf_token(&self, session_id: SessionId) -> String {
        let key = self.inner.auth.csrf_keys.first();
        // There is always one; of none at all no token would be right.
        key.map_or_else(String::new, |key| {
            hex(&csrf_mac(key, session_id).finalize().into_bytes())
        })
    }

    /// Whether `token` is the one of this session.
    pub fn csrf_check(&self, session_id: SessionId, token: &str) -> bool {
        let Some(bytes) = meetmind_core::cursor_bytes(token) else {
            return false;
        };
        let mut keys = self.inner.auth.csrf_keys.iter();
        keys.any(|key| csrf_mac(key, session_id).verify_slice(&bytes).is_ok())
    }

    /// Deletes what is over and no longer of use: sessions a month after their end, one-time
    /// tokens a day after theirs, counters of failed sign-ins after a day. Bounded; gives the
    /// number of rows.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn auth_trim(&self) -> Result<u64> {
        const ROWS: i64 = 500;
        let now = self.now();
        let day = Duration::from_secs(86_400);
        let mut tx = self.store().begin().await?;
        let mut rows = tx.session_trim(now.minus(30 * day), ROWS).await?;
        rows += tx.one_time_trim(now.minus(day), ROWS).await?;
        rows += tx.throttle_trim(now.minus(day), now, ROWS).await?;
        tx.commit().await?;
        Ok(rows)
    }
}

fn csrf_mac(key: &Hash, session_id: SessionId) -> Hmac<Sha256> {
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    // A whole block, so that the constructor that cannot fail will do; HMAC pads with zeros.
    let mut mac = <Hmac<Sha256> as KeyInit>::new(&block.into());
    mac.update(session_id.uuid().as_bytes());
    mac
}

/// Compares without telling by the time it takes where the difference is.
pub(crate) fn same(left: &[u8], right: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(left, right).is_ok()
}

#[cfg(test)]
mod tests;
