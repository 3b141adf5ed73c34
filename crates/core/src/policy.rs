//! Who may do what. One table for all doors: REST, WebSocket, MCP, A2A and voice ask here.

use crate::text_enum::text_enum;
use crate::{Actor, Code, Error, EventKind, MeetingId, MeetingRole, Proof, Result, UserId};

text_enum! {
    /// What an API key may do. A session may do all that its user may.
    Scope {
        /// Read meetings, participants, notes, series.
        MeetingsRead = "meetings:read",
        /// Create and change meetings, notes, chat.
        MeetingsWrite = "meetings:write",
        /// Read transcripts and all that quotes them: notes, answers, notices; ask and search.
        TranscriptsRead = "transcripts:read",
        /// Add segments, for any speaker; with `transcripts:read` also correct them.
        TranscriptsWrite = "transcripts:write",
        /// Read memories.
        MemoryRead = "memory:read",
        /// Save, change and delete memories.
        MemoryWrite = "memory:write",
        /// Read agents and runs.
        AgentsRead = "agents:read",
        /// Create, start and stop agents.
        AgentsRun = "agents:run",
        /// Manage webhooks; what they send needs the scopes for reading it as well.
        Webhooks = "webhooks",
        /// Read and change the profile, with the scopes for reading everything also export; never
        /// sessions, keys or passwords.
        Profile = "profile",
    }
}

text_enum! {
    /// What can be done in a meeting; the rows of the table in the documents.
    MeetingAction {
        /// See it.
        Read = "read",
        /// Read what was said, and search it.
        ReadTranscript = "read_transcript",
        /// Read what others' words were before somebody corrected them.
        ReadHistory = "read_history",
        /// Ask about what was said.
        Ask = "ask",
        /// Chat, ask the agents in chat, add segments under one's own name.
        Speak = "speak",
        /// Add segments in another speaker's name.
        Attribute = "attribute",
        /// Give or withdraw one's own consent; leave.
        Consent = "consent",
        /// Propose notes, actions and decisions.
        Propose = "propose",
        /// Edit, confirm and dismiss notes, actions and decisions; correct segments.
        EditNotes = "edit_notes",
        /// Start and stop recordings.
        Record = "record",
        /// Invite, roles, admit, remove, mute, lock, end, agents, change the meeting.
        Manage = "manage",
        /// Change or give away the host's role.
        ManageHost = "manage_host",
        /// Delete, restore and erase it.
        Delete = "delete",
    }
}

/// Whether a role may do an action. The one place where the table of the contract stands.
pub const fn role_allows(role: MeetingRole, action: MeetingAction) -> bool {
    use MeetingAction as A;
    use MeetingRole as R;
    match action {
        A::Read | A::ReadTranscript | A::Consent => true,
        A::Speak | A::Ask => matches!(role, R::Host | R::Cohost | R::Participant | R::Agent),
        A::Attribute => matches!(role, R::Host | R::Agent),
        A::Propose => matches!(role, R::Host | R::Cohost | R::Participant | R::Agent),
        A::EditNotes | A::Record => matches!(role, R::Host | R::Cohost | R::Participant),
        A::ReadHistory | A::Manage => matches!(role, R::Host | R::Cohost),
        A::ManageHost | A::Delete => matches!(role, R::Host),
    }
}

/// How far up a role stands: host, cohost, everybody else.
const fn rank(role: MeetingRole) -> u8 {
    match role {
        MeetingRole::Host => 2,
        MeetingRole::Cohost => 1,
        MeetingRole::Participant | MeetingRole::Viewer | MeetingRole::Agent => 0,
    }
}

/// Whether somebody who runs a meeting may do something to somebody else in it: a role acts only
/// on roles below its own. What people do to themselves is not asked here.
///
/// # Errors
/// `FORBIDDEN`.
pub fn role_over(actor: &Actor, role: MeetingRole, other: MeetingRole) -> Result<()> {
    if matches!(actor, Actor::System) || rank(role) > rank(other) {
        return Ok(());
    }
    Err(Error::forbidden(format!(
        "a {role} may not do this to a {other}"
    )))
}

/// The scope that a key needs to get events of this kind sent to it.
pub const fn event_scope(kind: EventKind) -> Scope {
    use EventKind as E;
    match kind {
        E::MeetingCreated
        | E::MeetingUpdated
        | E::MeetingStarted
        | E::MeetingEnded
        | E::MeetingArchived
        | E::MeetingRestored
        | E::MeetingErased
        | E::ParticipantInvited
        | E::ParticipantWaiting
        | E::ParticipantJoined
        | E::ParticipantLeft
        | E::ParticipantUpdated
        | E::ParticipantRemoved
        | E::ConsentChanged
        | E::ContextUpdated
        | E::RecordingStarted
        | E::RecordingStopped
        | E::RecordingFailed
        | E::RecordingDeleted => Scope::MeetingsRead,
        E::SegmentDrafted
        | E::SegmentFinalized
        | E::SegmentCorrected
        | E::SegmentErased
        | E::MessagePosted
        | E::SummaryUpdated
        | E::TopicOpened
        | E::HighlightUpdated
        | E::TopicUpdated
        | E::TopicFocused
        | E::ActionProposed
        | E::ActionUpdated
        | E::DecisionProposed
        | E::DecisionUpdated => Scope::TranscriptsRead,
        E::MemorySaved | E::MemoryUpdated | E::MemoryDeleted => Scope::MemoryRead,
        E::AgentStateChanged | E::AgentSpoke | E::AgentUpdated | E::ToolCalled => Scope::AgentsRead,
        E::WebhookTested => Scope::Webhooks,
    }
}

const fn scope_for(action: MeetingAction) -> Scope {
    use MeetingAction as A;
    match action {
        A::Read => Scope::MeetingsRead,
        A::ReadTranscript | A::ReadHistory | A::Ask => Scope::TranscriptsRead,
        A::Attribute => Scope::TranscriptsWrite,
        _ => Scope::MeetingsWrite,
    }
}

/// Decides on an action in a meeting. `role` is the caller's role there, `None` when the caller
/// has no part in it.
///
/// # Errors
/// `UNAUTHENTICATED` without any identity, `NOT_FOUND` for who may not see it, `SCOPE_MISSING`
/// for a key without the scope, `FORBIDDEN` for who may see it but not do this.
pub fn meeting_may(
    actor: &Actor,
    role: Option<MeetingRole>,
    meeting_id: MeetingId,
    action: MeetingAction,
) -> Result<()> {
    let role = match actor {
        Actor::Anonymous => return Err(unauthenticated()),
        Actor::System => return Ok(()),
        Actor::Guest {
            meeting_id: own, ..
        }
        | Actor::Agent {
            meeting_id: own, ..
        } if *own != meeting_id => None,
        _ => role,
    };
    let Some(role) = role else {
        return Err(Error::not_found("meeting"));
    };
    scope_check(actor, scope_for(action))?;
    // A key with `transcripts:write` stands for a recorder: it may name other speakers wherever
    // its owner may speak.
    let recorder = action == MeetingAction::Attribute
        && matches!(
            actor,
            Actor::User {
                proof: Proof::ApiKey(..),
                ..
            }
        )
        && role_allows(role, MeetingAction::Speak);
    if recorder || role_allows(role, action) {
        return Ok(());
    }
    Err(Error::forbidden(format!(
        "a {role} may not do this in the meeting"
    )))
}

/// Fails when the caller came with an API key that lacks `scope`.
///
/// # Errors
/// `SCOPE_MISSING`.
pub fn scope_check(actor: &Actor, scope: Scope) -> Result<()> {
    match actor {
        Actor::User {
            proof: Proof::ApiKey(_, scopes),
            ..
        } if !scopes.contains(&scope) => Err(Error::new(
            Code::ScopeMissing,
            format!("the API key needs the scope {scope}"),
        )),
        _ => Ok(()),
    }
}

/// The signed-in user behind the call, for what belongs to a person; with the scope a key needs.
///
/// # Errors
/// `UNAUTHENTICATED` for nobody, `FORBIDDEN` for guests and agents, `SCOPE_MISSING`.
pub fn user_may(actor: &Actor, scope: Scope) -> Result<UserId> {
    match actor {
        Actor::User { user_id, .. } => scope_check(actor, scope).map(|()| *user_id),
        Actor::Anonymous => Err(unauthenticated()),
        _ => Err(Error::forbidden("this needs an account")),
    }
}

/// The user behind a session: what an API key may never do (passwords, keys, sessions).
///
/// # Errors
/// `UNAUTHENTICATED`, `FORBIDDEN`.
pub fn session_may(actor: &Actor) -> Result<UserId> {
    match actor {
        Actor::User {
            user_id,
            proof: Proof::Session(_),
            ..
        } => Ok(*user_id),
        Actor::Anonymous => Err(unauthenticated()),
        _ => Err(Error::forbidden("this needs a signed-in session")),
    }
}

/// An administrator with a session.
///
/// # Errors
/// `UNAUTHENTICATED`, `FORBIDDEN`.
pub fn admin_may(actor: &Actor) -> Result<()> {
    if matches!(actor, Actor::System) {
        return Ok(());
    }
    session_may(actor)?;
    if actor.is_admin() {
        Ok(())
    } else {
        Err(Error::forbidden("this needs an administrator"))
    }
}

fn unauthenticated() -> Error {
    Error::new(Code::Unauthenticated, "sign in first")
}
