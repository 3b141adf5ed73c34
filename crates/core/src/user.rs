//! People, their sessions and keys.

use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use crate::text_enum::text_enum;
use crate::{ApiKeyId, AuditId, Scope, SessionId, Timestamp, UserId};

text_enum! {
    /// A user's role on this instance.
    UserRole {
        /// Manages users, runs, rooms and settings.
        Admin = "admin",
        /// Everybody else.
        Member = "member",
    }
}

/// A person with an account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow, utoipa::ToSchema)]
pub struct User {
    /// The id.
    pub id: UserId,
    /// The address, lower case.
    pub email: String,
    /// What others see.
    pub name: String,
    /// The role on this instance.
    pub role: UserRole,
    /// The person's own settings; any JSON object up to 16 KB.
    #[sqlx(json)]
    #[schema(value_type = Object)]
    pub preferences: serde_json::Value,
    /// When an administrator disabled the account.
    pub disabled_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// One sign-in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow, utoipa::ToSchema)]
pub struct Session {
    /// The id; the `sid` of its access tokens.
    pub id: SessionId,
    /// Whose it is.
    pub user_id: UserId,
    /// The browser or program that signed in, as it named itself.
    pub user_agent: Option<String>,
    /// From which address.
    pub address: Option<String>,
    /// When it began.
    pub created_at: Timestamp,
    /// When a token of it was last refreshed.
    pub last_used_at: Timestamp,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
    /// When it was ended.
    pub revoked_at: Option<Timestamp>,
}

/// A key for programs, without its secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow, utoipa::ToSchema)]
pub struct ApiKey {
    /// The id; part of the key's text.
    pub id: ApiKeyId,
    /// Whose it is.
    pub user_id: UserId,
    /// What it is for.
    pub name: String,
    /// What it may do.
    #[sqlx(json)]
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// One entry of the audit log: security-relevant changes, never words of meetings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow, utoipa::ToSchema)]
pub struct AuditEntry {
    /// The id.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// Who, such as `user:usr_…`.
    pub actor: String,
    /// What, such as `session.revoked`.
    pub action: String,
    /// On what, such as an id.
    pub subject: String,
    /// From which address.
    pub address: Option<String>,
    /// More.
    #[sqlx(json)]
    #[schema(value_type = Object)]
    pub details: serde_json::Value,
}
