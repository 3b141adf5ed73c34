//! Who asks, in which request, at what moment: the first parameter of every use case.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::{
    AgentId, ApiKeyId, MeetingAction, MeetingId, MeetingRole, ParticipantId, RequestId, RunId,
    Scope, SessionId, Timestamp, UserId, UserRole,
};

/// The circumstances of one call. Time is read once, so all that a call writes carries one moment.
#[derive(Debug, Clone)]
pub struct Ctx {
    /// Who asks.
    pub actor: Actor,
    /// The request, for logs and for the caller's error report.
    pub request_id: RequestId,
    /// The moment of the call.
    pub now: Timestamp,
    /// The caller's address as text, when there is one; kept in sessions and the audit log.
    pub address: Option<String>,
    /// The idempotency key that the request came with.
    pub once: Option<Arc<Once>>,
}

/// A request that must happen once, whatever it is repeated: its idempotency key, and what its
/// answer rests on.
#[derive(Debug)]
pub struct Once {
    /// Whose key it is.
    pub owner: String,
    /// The key.
    pub key: String,
    /// When the request came; tells it from one that takes the key over.
    pub created_at: Timestamp,
    granted: Mutex<Vec<Grant>>,
}

/// Something that the policy allowed in a meeting.
pub type Grant = (MeetingId, MeetingAction);

impl Once {
    /// A request that has just come.
    pub fn new(owner: String, key: String, created_at: Timestamp) -> Self {
        Self {
            owner,
            key,
            created_at,
            granted: Mutex::default(),
        }
    }

    /// Notes what the policy allowed, because the answer may be told again only to who may
    /// still do it.
    pub fn note(&self, grant: Grant) {
        let mut granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        if !granted.contains(&grant) {
            granted.push(grant);
        }
    }

    /// All that the policy allowed so far.
    pub fn granted(&self) -> Vec<Grant> {
        self.granted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Nobody in particular.
    Anonymous,
    /// A person with an account, signed in or by key.
    User {
        /// The account.
        user_id: UserId,
        /// Its role on this instance.
        role: UserRole,
        /// How the person proved who they are.
        proof: Proof,
    },
    /// A guest with a token for one meeting.
    Guest {
        /// The participant that the token is for.
        participant_id: ParticipantId,
        /// The only meeting it opens.
        meeting_id: MeetingId,
        /// The role the invitation gave.
        role: MeetingRole,
    },
    /// A running agent; it may do what its role allows in its own meeting.
    Agent {
        /// The definition.
        agent_id: AgentId,
        /// The run.
        run_id: RunId,
        /// The agent's owner: an agent never has more rights than its owner in that meeting.
        owner_id: UserId,
        /// The meeting of the run.
        meeting_id: MeetingId,
    },
    /// MeetMind itself: jobs, start-up, command line.
    System,
}

/// How a user proved who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// A session (access token or browser cookie): all rights of the user.
    Session(SessionId),
    /// An API key: only what its scopes allow.
    ApiKey(ApiKeyId, Vec<Scope>),
}

impl Actor {
    /// The account behind the actor: the user, or an agent's owner.
    pub fn user_id(&self) -> Option<UserId> {
        match self {
            Actor::User { user_id, .. } => Some(*user_id),
            Actor::Agent { owner_id, .. } => Some(*owner_id),
            _ => None,
        }
    }

    /// Whether this is an administrator with a session.
    pub fn is_admin(&self) -> bool {
        matches!(
            self,
            Actor::User {
                role: UserRole::Admin,
                proof: Proof::Session(_),
                ..
            } | Actor::System
        )
    }

    /// A stable text for audit rows, idempotency keys and run events, such as `user:usr_…`.
    pub fn key(&self) -> String {
        match self {
            Actor::Anonymous => "anonymous".to_owned(),
            Actor::User { user_id, .. } => format!("user:{user_id}"),
            Actor::Guest { participant_id, .. } => format!("guest:{participant_id}"),
            Actor::Agent { agent_id, .. } => format!("agent:{agent_id}"),
            Actor::System => "system".to_owned(),
        }
    }
}

/// The named actor of a stored record, as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ActorRef(pub String);
