//! Making an account, and signing in to it.

use meetmind_core::{
    Code, Ctx, Error, MeetingAccess, MeetingId, MeetingStatus, Result, User, UserRole,
};
use meetmind_store::Conn;
use serde_json::json;

use super::{email_normalised, same};
use crate::{App, Registration, SignedIn, valid};

/// What an account is made from.
#[derive(Debug, Clone, Default)]
pub struct AccountNew {
    /// The address; its case does not matter.
    pub email: String,
    /// At least as long as the settings say, and not easy to guess.
    pub password: String,
    /// What others see, 1 to 100 characters; the address before the `@` when absent.
    pub name: Option<String>,
    /// A meeting that the person was invited to by link, and the code of the invitation: where
    /// registration is by invitation, this is one.
    pub invitation: Option<(MeetingId, String)>,
    /// The browser or program, as it names itself.
    pub user_agent: Option<String>,
}

impl App {
    /// Makes an account and signs it in.
    ///
    /// # Errors
    /// `REGISTRATION_CLOSED`, `EMAIL_TAKEN`, `WEAK_PASSWORD`, `VALIDATION_FAILED`.
    pub async fn account_register(&self, ctx: &Ctx, new: AccountNew) -> Result<SignedIn> {
        self.refuse_when_draining()?;
        let user = self.user_made(ctx, &new.email, new.name.as_deref(), UserRole::Member)?;
        self.registration_check(ctx, new.invitation.as_ref())
            .await?;
        let hash = self.password_hashed(&user, new.password).await?;
        let mut change = self.change(ctx).await?;
        user_insert_within(&mut change, &user, Some(&hash)).await?;
        let agent = new.user_agent.as_deref();
        let signed_in = self
            .session_open_within(&mut change, ctx, user, agent)
            .await?;
        change.commit().await?;
        tracing::info!(request_id = %ctx.request_id, user_id = %signed_in.user.id, "an account was made");
        Ok(signed_in)
    }

    async fn registration_check(
        &self,
        ctx: &Ctx,
        invitation: Option<&(MeetingId, String)>,
    ) -> Result<()> {
        let closed = |message: &'static str| Err(Error::new(Code::RegistrationClosed, message));
        match self.settings().registration {
            Registration::Open => Ok(()),
            Registration::Closed => closed("an administrator makes the accounts here"),
            Registration::Invite => {
                const ASK: &str = "an account needs an invitation here: ask for a meeting's link, or an administrator";
                let Some((meeting_id, code)) = invitation else {
                    return closed(ASK);
                };
                self.codes_check(ctx).await?;
                if self.invitation_fits(*meeting_id, code).await? {
                    return Ok(());
                }
                self.code_failed(ctx).await?;
                closed(ASK)
            }
        }
    }

    async fn invitation_fits(&self, meeting_id: MeetingId, code: &str) -> Result<bool> {
        let mut conn = self.store().read().await?;
        let meeting = match conn.meeting_get(meeting_id).await {
            Ok(meeting) => meeting,
            Err(meetmind_store::Error::NotFound(_)) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let (expected, _) = conn.meeting_secret_get(meeting_id).await?;
        let open = meeting.access == MeetingAccess::Link
            && meeting.status != MeetingStatus::Ended
            && meeting.archived_at.is_none();
        Ok(open && same(expected.as_bytes(), code.as_bytes()))
    }

    /// Signs in. Who fails learns nothing about whether the account exists: answer and work are
    /// the same.
    ///
    /// # Errors
    /// `INVALID_CREDENTIALS`, `TOO_MANY_ATTEMPTS`; `FORBIDDEN` with the right password of a
    /// disabled account.
    pub async fn sign_in(
        &self,
        ctx: &Ctx,
        email: &str,
        password: String,
        user_agent: Option<&str>,
    ) -> Result<SignedIn> {
        self.refuse_when_draining()?;
        let email = email_normalised(email)?;
        self.attempt_begin(ctx, &email).await?;
        let (user, stored) = {
            let mut conn = self.store().read().await?;
            match conn.user_find_email(&email).await? {
                Some(user) => {
                    let stored = conn.user_password_find(user.id).await?;
                    (Some(user), stored)
                }
                None => (None, None),
            }
        };
        let hasher = &self.inner.auth.hasher;
        let verdict = hasher.verify(password.clone(), stored.clone()).await?;
        let (Some(user), Some(stored)) = (user.filter(|_| verdict.matches), stored) else {
            tracing::info!(request_id = %ctx.request_id, method = "password", address = ctx.address, "a sign-in failed");
            metrics::counter!("meetmind_auth_failures_total", "reason" => "INVALID_CREDENTIALS")
                .increment(1);
            return Err(Error::new(
                Code::InvalidCredentials,
                "the address or the password is wrong",
            ));
        };
        let renewed = match verdict.stale {
            true => Some(hasher.hash(password, self.entropy().bytes()).await?),
            false => None,
        };
        let mut change = self.change(ctx).await?;
        self.attempt_succeed(&mut change, ctx, &email).await?;
        let user = change.user_get(user.id).await?;
        if user.disabled_at.is_some() {
            change.commit().await?;
            return Err(Error::forbidden("this account is disabled"));
        }
        if change.user_password_find(user.id).await?.as_ref() != Some(&stored) {
            return Err(Error::new(
                Code::InvalidCredentials,
                "the password was changed a moment ago",
            ));
        }
        if let Some(renewed) = renewed {
            change.user_rehash(user.id, &stored, &renewed).await?;
        }
        let signed_in = self
            .session_open_within(&mut change, ctx, user, user_agent)
            .await?;
        change.commit().await?;
        tracing::info!(request_id = %ctx.request_id, user_id = %signed_in.user.id, session_id = %signed_in.session_id, method = "password", address = ctx.address, "signed in");
        Ok(signed_in)
    }

    /// A user as it will be stored.
    pub(crate) fn user_made(
        &self,
        ctx: &Ctx,
        email: &str,
        name: Option<&str>,
        role: UserRole,
    ) -> Result<User> {
        let email = email_normalised(email)?;
        let name = match name {
            Some(name) => valid::line("name", name, 100)?,
            None => {
                let local = email.split('@').next().unwrap_or_default();
                local.chars().take(100).collect()
            }
        };
        Ok(User {
            id: self.id(ctx),
            email,
            name,
            role,
            preferences: json!({}),
            disabled_at: None,
            created_at: ctx.now,
            updated_at: ctx.now,
        })
    }

    /// Holds a password against the policy and hashes it.
    pub(crate) async fn password_hashed(&self, user: &User, password: String) -> Result<String> {
        let hasher = &self.inner.auth.hasher;
        hasher.accept(&password, &[&user.email, &user.name]).await?;
        hasher.hash(password, self.entropy().bytes()).await
    }

    /// Checks the password of somebody who is signed in; failures count as failed sign-ins.
    ///
    /// Gives the hash that it matched, so that a change can make sure it still stands.
    pub(crate) async fn password_confirmed(
        &self,
        ctx: &Ctx,
        user: &User,
        password: String,
    ) -> Result<String> {
        self.attempt_begin(ctx, &user.email).await?;
        let stored = self
            .store()
            .read()
            .await?
            .user_password_find(user.id)
            .await?;
        let hasher = &self.inner.auth.hasher;
        let verdict = hasher.verify(password, stored.clone()).await?;
        let Some(stored) = stored.filter(|_| verdict.matches) else {
            return Err(Error::new(
                Code::InvalidCredentials,
                "the current password is wrong",
            ));
        };
        let mut change = self.change(ctx).await?;
        self.attempt_succeed(&mut change, ctx, &user.email).await?;
        change.commit().await?;
        Ok(stored)
    }
}

/// Adds a user; an address that is taken has its own code.
pub(crate) async fn user_insert_within(
    conn: &mut Conn,
    user: &User,
    hash: Option<&str>,
) -> Result<()> {
    match conn.user_insert(user, hash).await {
        Err(meetmind_store::Error::Duplicate(_)) => Err(Error::new(
            Code::EmailTaken,
            "there is an account with this address",
        )),
        other => Ok(other?),
    }
}
