//! The table: every operation, and what each caller gets. It is written from the contract, not
//! from the policy: when the two differ, the service is wrong.

use meetmind_core::Scope;
use meetmind_core::Scope::{
    AgentsRead, AgentsRun, MeetingsRead, MeetingsWrite, MemoryRead, MemoryWrite, Profile,
    TranscriptsRead, TranscriptsWrite, Webhooks,
};

/// Who calls. `Key` is the host by an API key with that scope alone, `FullKey` with all scopes;
/// `AdminKey` and `AdminFullKey` are the administrator's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    Anonymous,
    Stranger,
    Guest,
    Viewer,
    Participant,
    Agent,
    Cohost,
    Host,
    Admin,
    FullKey,
    AdminFullKey,
    Key(Scope),
    AdminKey(Scope),
}

impl Caller {
    /// All but the keys with one scope.
    pub(super) const PEOPLE: [Self; 11] = [
        Self::Anonymous,
        Self::Stranger,
        Self::Guest,
        Self::Viewer,
        Self::Participant,
        Self::Agent,
        Self::Cohost,
        Self::Host,
        Self::Admin,
        Self::FullKey,
        Self::AdminFullKey,
    ];
    /// How many callers there are.
    pub(super) const COUNT: usize = Self::PEOPLE.len() + 2 * Scope::ALL.len();
}

/// The caller may: no answer that refuses.
pub(super) const OK: u16 = 200;
/// 403 or 404: a key without the scope, for what its user could not see anyway. Either tells
/// nothing.
pub(super) const REFUSED: u16 = 400;

/// What keys get.
#[derive(Debug, Clone, Copy)]
enum Keys {
    /// A key with one of these may, as one with all scopes; others get 403.
    With(&'static [Scope]),
    /// Only a key with all scopes may: two are needed.
    WithSeveral,
    /// No key may, whatever its scopes.
    Never,
    /// Every key gets this.
    All(u16),
}

/// What each caller gets: [`OK`] or the status of the refusal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    people: [u16; 9],
    keys: Keys,
}

impl Rule {
    pub(super) fn of(&self, caller: Caller) -> u16 {
        // No key has the powers of the office: an administrator's key is a key of a stranger.
        let stranger = self.people[1];
        match (caller, self.keys) {
            (Caller::AdminFullKey, _) if stranger == OK => self.of(Caller::FullKey),
            (Caller::AdminKey(scope), _) if stranger == OK => self.of(Caller::Key(scope)),
            (Caller::AdminFullKey | Caller::AdminKey(_), Keys::Never) if stranger == NO => NO,
            (Caller::AdminFullKey, Keys::With(_) | Keys::WithSeveral) => stranger,
            (Caller::AdminKey(scope), Keys::With(scopes)) if scopes.contains(&scope) => stranger,
            (Caller::AdminFullKey | Caller::AdminKey(_), Keys::All(status)) => status,
            (Caller::AdminFullKey | Caller::AdminKey(_), _) => REFUSED,
            (Caller::Key(_) | Caller::FullKey, Keys::All(status)) => status,
            (Caller::Key(_) | Caller::FullKey, Keys::Never) => 403,
            (Caller::FullKey, _) => OK,
            (Caller::Key(scope), Keys::With(scopes)) if scopes.contains(&scope) => OK,
            (Caller::Key(_), _) => 403,
            (caller, _) => {
                let place = Caller::PEOPLE.iter().position(|other| *other == caller);
                self.people[place.expect("one of the people")]
            }
        }
    }
}

/// Columns: anonymous, stranger, guest, viewer, participant, agent, cohost, host, administrator.
const fn rule(people: [u16; 9], keys: Keys) -> Rule {
    Rule { people, keys }
}

const NO: u16 = 403;
const GONE: u16 = 404;

// In a meeting. Administrators are strangers there.
const IN_ROOM: [u16; 9] = [401, GONE, OK, OK, OK, OK, OK, OK, GONE];
const SPEAKERS: [u16; 9] = [401, GONE, OK, NO, OK, OK, OK, OK, GONE];
const EDITORS: [u16; 9] = [401, GONE, OK, NO, OK, NO, OK, OK, GONE];
const MANAGERS: [u16; 9] = [401, GONE, NO, NO, NO, NO, OK, OK, GONE];
const HOST_ALONE: [u16; 9] = [401, GONE, NO, NO, NO, NO, NO, OK, GONE];
const READ: Rule = rule(IN_ROOM, Keys::With(&[MeetingsRead]));
const READ_WORDS: Rule = rule(IN_ROOM, Keys::With(&[TranscriptsRead]));
const LISTEN: Rule = rule(IN_ROOM, Keys::WithSeveral);
const OWN_PLACE: Rule = rule(IN_ROOM, Keys::With(&[MeetingsWrite]));
const SPEAK: Rule = rule(SPEAKERS, Keys::With(&[MeetingsWrite]));
/// What answers with words of the meeting needs the scope for reading them too.
const EDIT_WORDS: Rule = rule(EDITORS, Keys::WithSeveral);
const CORRECT_WORDS: Rule = rule(MANAGERS, Keys::WithSeveral);
const TRANSCRIBE: Rule = rule(SPEAKERS, Keys::With(&[MeetingsWrite, TranscriptsWrite]));
const ASK: Rule = rule(SPEAKERS, Keys::With(&[TranscriptsRead]));
const PROPOSE: Rule = rule(SPEAKERS, Keys::With(&[MeetingsWrite]));
const RECORD: Rule = rule(EDITORS, Keys::With(&[MeetingsWrite]));
const EDIT: Rule = rule(EDITORS, Keys::With(&[MeetingsWrite]));
const CORRECT: Rule = rule(MANAGERS, Keys::With(&[MeetingsWrite, TranscriptsWrite]));
const READ_HISTORY: Rule = rule(MANAGERS, Keys::With(&[TranscriptsRead]));
/// The answer shows the summary, so a key also needs to read.
const EDIT_SUMMARY: Rule = rule(EDITORS, Keys::WithSeveral);
const REGENERATE: Rule = rule(EDITORS, Keys::WithSeveral);
const MANAGE: Rule = rule(MANAGERS, Keys::With(&[MeetingsWrite]));
const ADD_AGENT: Rule = rule(MANAGERS, Keys::WithSeveral);
const TAKE_AGENT_OUT: Rule = rule(MANAGERS, Keys::With(&[AgentsRun]));
const OTHERS_CONSENT: Rule = rule(MANAGERS, Keys::WithSeveral);
const HOST_ONLY: Rule = rule(HOST_ALONE, Keys::With(&[MeetingsWrite]));
const IMPORT_INTO: Rule = rule(HOST_ALONE, Keys::With(&[TranscriptsWrite]));
/// Consent is one's own to give.
const OF_SOMEBODY_ELSE: Rule = rule([401, GONE, NO, NO, NO, NO, NO, NO, GONE], Keys::Never);
/// A deleted meeting; the guest and the agent were in another.
const RESTORE: Rule = rule(
    [401, GONE, GONE, NO, NO, GONE, NO, OK, GONE],
    Keys::With(&[MeetingsWrite]),
);
// Runs: who sees the meeting sees them; administrators look and stop, but never speak.
const RUN_READ: Rule = rule(
    [401, GONE, OK, OK, OK, OK, OK, OK, OK],
    Keys::With(&[AgentsRead]),
);
const RUN_REIN: Rule = rule(
    [401, GONE, NO, NO, NO, NO, OK, OK, OK],
    Keys::With(&[AgentsRun]),
);
// A key also stands for its user in the meeting where the agent speaks.
const RUN_SPEAK: Rule = rule(MANAGERS, Keys::WithSeveral);
// A series: who takes part in one of its meetings sees it, who made it changes it.
const SERIES_READ: Rule = rule(
    [401, GONE, NO, OK, OK, NO, OK, OK, GONE],
    Keys::With(&[MeetingsRead]),
);
const SERIES_OWN: Rule = rule(
    [401, GONE, NO, NO, NO, NO, NO, OK, GONE],
    Keys::With(&[MeetingsWrite]),
);
/// Lists of one's own things, and making them: everybody with an account.
const fn mine(scope: &'static [Scope]) -> Rule {
    rule(ACCOUNTS, Keys::With(scope))
}
const ACCOUNTS: [u16; 9] = [401, OK, NO, OK, OK, NO, OK, OK, OK];
const MY_SESSION: Rule = rule(ACCOUNTS, Keys::Never);
/// A question or a search without a place: guests and agents are answered from their meeting.
const ASK_AROUND: Rule = rule(
    [401, OK, OK, OK, OK, OK, OK, OK, OK],
    Keys::With(&[TranscriptsRead]),
);
/// Things of the host.
const fn hosts(scope: &'static [Scope]) -> Rule {
    rule(OWNER, Keys::With(scope))
}
const OWNER: [u16; 9] = [401, GONE, NO, GONE, GONE, NO, GONE, OK, GONE];
const HOSTS_SESSION: Rule = rule(OWNER, Keys::Never);
const ADMIN: Rule = rule([401, NO, NO, NO, NO, NO, NO, NO, OK], Keys::Never);
const IDENTIFIED: Rule = rule([401, OK, OK, OK, OK, OK, OK, OK, OK], Keys::All(OK));
const TICKET: Rule = rule([401, OK, OK, OK, OK, NO, OK, OK, OK], Keys::All(OK));
const PUBLIC: Rule = rule([OK; 9], Keys::All(OK));
/// Only the token in the body counts, and this one is not valid.
const BY_TOKEN: Rule = rule([401; 9], Keys::All(401));

/// What a permitted call leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    Reads,
    /// Something, but the next caller may do it too.
    Writes,
    /// The thing is gone, or the place of somebody changed.
    Spends,
}

/// One operation with a request that is valid.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) method: &'static str,
    /// With the names of things of the world where ids stand.
    pub(super) path: &'static str,
    /// JSON with names of things in it; empty for none.
    pub(super) body: &'static str,
    pub(super) rule: Rule,
    pub(super) effect: Effect,
}

const fn get(path: &'static str, rule: Rule) -> Row {
    Row {
        method: "GET",
        path,
        body: "",
        rule,
        effect: Effect::Reads,
    }
}

const fn does(method: &'static str, path: &'static str, body: &'static str, rule: Rule) -> Row {
    Row {
        method,
        path,
        body,
        rule,
        effect: Effect::Writes,
    }
}

const fn spends(method: &'static str, path: &'static str, body: &'static str, rule: Rule) -> Row {
    Row {
        method,
        path,
        body,
        rule,
        effect: Effect::Spends,
    }
}

const CREDENTIALS: &str =
    r#"{"email":"host@example.com","password":"sparrows on the roof at dawn"}"#;
const FILE: &str =
    r#"{"segments":[{"speaker":"Anna","text":"Hello there","start_ms":0,"end_ms":900}]}"#;

/// A row that says the wrong thing, for the test of the test.
pub(super) fn mistaken() -> Row {
    get("/api/meetings/{meeting}", ADMIN)
}

/// All operations; some have several rows, for what differs by whom or what it is about.
#[rustfmt::skip]
pub(super) fn rows() -> Vec<Row> {
    vec![
        get("/health", PUBLIC),
        does("POST", "/auth/register", r#"{"email":"new@example.com","password":"sparrows on the roof at dawn"}"#, PUBLIC),
        does("POST", "/auth/login", CREDENTIALS, PUBLIC),
        does("POST", "/auth/refresh", r#"{"refresh_token":"{refresh_token}"}"#, PUBLIC),
        does("POST", "/auth/reset", r#"{"email":"nobody@example.com"}"#, PUBLIC),
        does("POST", "/auth/reset/confirm", r#"{"token":"00","password":"sparrows on the roof at dawn"}"#, BY_TOKEN),
        does("POST", "/auth/setup", r#"{"token":"00","email":"boss@example.com","password":"sparrows on the roof at dawn"}"#, BY_TOKEN),
        spends("POST", "/auth/logout", "{}", MY_SESSION),
        get("/auth/me", mine(&[Profile])),
        get("/auth/profile", mine(&[Profile])),
        does("PATCH", "/auth/me", r#"{"name":"Somebody"}"#, mine(&[Profile])),
        does("PATCH", "/auth/profile", r#"{"name":"Somebody"}"#, mine(&[Profile])),
        does("PATCH", "/auth/profile", r#"{"password":"herons on the lake at dusk","current_password":"sparrows on the roof at dawn"}"#, MY_SESSION),
        get("/auth/sessions", MY_SESSION),
        spends("DELETE", "/auth/sessions/{session}", "", HOSTS_SESSION),
        get("/auth/api-keys", MY_SESSION),
        does("POST", "/auth/api-keys", r#"{"name":"ci","scopes":["profile"]}"#, MY_SESSION),
        get("/auth/api-keys/{key}", HOSTS_SESSION),
        spends("DELETE", "/auth/api-keys/{key}", "", HOSTS_SESSION),
        does("POST", "/auth/ws-ticket", "", TICKET),
        get("/api/me/export", rule(ACCOUNTS, Keys::WithSeveral)),
        spends("DELETE", "/api/me", r#"{"password":"sparrows on the roof at dawn"}"#, MY_SESSION),

        get("/api/admin/users", ADMIN),
        does("POST", "/api/admin/users", r#"{"email":"new@example.com"}"#, ADMIN),
        get("/api/admin/users/{other_id}", ADMIN),
        does("PATCH", "/api/admin/users/{other_id}", r#"{"role":"admin"}"#, ADMIN),
        does("POST", "/api/admin/users/{other_id}/reset-link", "", ADMIN),
        does("DELETE", "/api/admin/users/{other_id}/sessions", "", ADMIN),
        get("/api/admin/audit", ADMIN),
        get("/api/admin/runs", ADMIN),

        get("/api/agents", mine(&[AgentsRead])),
        does("POST", "/api/agents", r#"{"name":"Lea"}"#, mine(&[AgentsRun])),
        get("/api/agents/{agent}", hosts(&[AgentsRead])),
        get("/api/agents/{agent}/runs", hosts(&[AgentsRead])),
        get("/api/agents/{agent}/versions", hosts(&[AgentsRead])),
        does("PUT", "/api/agents/{agent}", r#"{"name":"Mia"}"#, hosts(&[AgentsRun])),
        does("PUT", "/api/agents/{agent}/status", r#"{"status":"stopped"}"#, hosts(&[AgentsRun])),
        spends("DELETE", "/api/agents/{agent}", "", hosts(&[AgentsRun])),

        get("/api/runs/{run}", RUN_READ),
        get("/api/runs/{run}/events", RUN_READ),
        does("POST", "/api/runs/{run}/say", r#"{"text":"Hello"}"#, RUN_SPEAK),
        does("POST", "/api/runs/{run}/mute", r#"{"muted":true}"#, RUN_REIN),
        does("POST", "/api/runs/{run}/stop", "", RUN_REIN),

        get("/api/series", mine(&[MeetingsRead])),
        does("POST", "/api/series", r#"{"title":"Monthly"}"#, mine(&[MeetingsWrite])),
        get("/api/series/{series}", SERIES_READ),
        does("PATCH", "/api/series/{series}", r#"{"title":"Monthly"}"#, SERIES_OWN),
        spends("DELETE", "/api/series/{series}", "", SERIES_OWN),

        get("/api/meetings", mine(&[MeetingsRead])),
        does("POST", "/api/meetings", r#"{"title":"Another"}"#, mine(&[MeetingsWrite])),
        does("POST", "/api/meetings/import", FILE, mine(&[MeetingsWrite])),
        get("/api/meetings/{meeting}", READ),
        get("/api/meetings/{meeting}/ics", READ),
        get("/api/meetings/{meeting}/events", LISTEN),
        does("PUT", "/api/meetings/{meeting}", r#"{"title":"New"}"#, MANAGE),
        does("PATCH", "/api/meetings/{meeting}", r#"{"title":"New"}"#, MANAGE),
        get("/api/meetings/{meeting}/invite", MANAGE),
        does("POST", "/api/meetings/{meeting}/invite", r#"{"regenerate":true}"#, MANAGE),
        does("POST", "/api/meetings/{meeting}/lock", r#"{"locked":true}"#, MANAGE),
        does("POST", "/api/meetings/{meeting}/end", "", MANAGE),
        spends("DELETE", "/api/meetings/{meeting}", "", HOST_ONLY),
        spends("DELETE", "/api/meetings/{meeting}?erase=true", "", HOST_ONLY),
        spends("POST", "/api/meetings/{archived}/restore", "", RESTORE),
        does("POST", "/api/meetings/{meeting}/join", "{}", OWN_PLACE),
        spends("POST", "/api/meetings/{meeting}/leave", "", OWN_PLACE),

        get("/api/meetings/{meeting}/participants", READ),
        get("/api/meetings/{meeting}/participants/{other}", READ),
        does("POST", "/api/meetings/{meeting}/participants", r#"{"user_id":"{stranger_id}","role":"viewer"}"#, MANAGE),
        does("PATCH", "/api/meetings/{meeting}/participants/{self}", r#"{"name":"Somebody"}"#, OWN_PLACE),
        does("PATCH", "/api/meetings/{meeting}/participants/{other}", r#"{"name":"Somebody"}"#, MANAGE),
        does("PATCH", "/api/meetings/{meeting}/participants/{other}", r#"{"muted":true}"#, MANAGE),
        does("PATCH", "/api/meetings/{meeting}/participants/{other}", r#"{"role":"viewer"}"#, MANAGE),
        spends("PATCH", "/api/meetings/{meeting}/participants/{other}", r#"{"role":"host"}"#, HOST_ONLY),
        spends("DELETE", "/api/meetings/{meeting}/participants/{other}", "", MANAGE),
        get("/api/meetings/{meeting}/participants/{self}/consent", READ),
        get("/api/meetings/{meeting}/participants/{other}/consent", OTHERS_CONSENT),
        does("PUT", "/api/meetings/{meeting}/participants/{self}/consent", r#"{"memory":"denied"}"#, OWN_PLACE),
        does("PUT", "/api/meetings/{meeting}/participants/{other}/consent", r#"{"memory":"granted"}"#, OF_SOMEBODY_ELSE),
        does("POST", "/api/meetings/{meeting}/participants/{self}/erase-words", "", OWN_PLACE),
        does("POST", "/api/meetings/{meeting}/participants/{other}/erase-words", "", HOST_ONLY),
        get("/api/meetings/{meeting}/consents", MANAGE),

        get("/api/meetings/{meeting}/recordings", READ),
        does("POST", "/api/meetings/{meeting}/recordings", r#"{"mode":"both"}"#, RECORD),
        get("/api/meetings/{meeting}/recordings/{recording}", READ),
        does("POST", "/api/meetings/{meeting}/recordings/{recording}/stop", "", RECORD),
        get("/api/meetings/{meeting}/recordings/{recording}/files/{recording_file}", READ_WORDS),
        spends("DELETE", "/api/meetings/{meeting}/recordings/{recording}", "", HOST_ONLY),

        get("/api/meetings/{meeting}/agents", READ),
        does("POST", "/api/meetings/{meeting}/agents", r#"{"agent_id":"{own_agent}"}"#, ADD_AGENT),
        spends("DELETE", "/api/meetings/{meeting}/agents/{agent}", "", TAKE_AGENT_OUT),

        get("/api/meetings/{meeting}/messages", READ),
        does("POST", "/api/meetings/{meeting}/messages", r#"{"text":"Hello"}"#, SPEAK),
        does("POST", "/api/meetings/{meeting}/ask", r#"{"question":"When does the offer go out?"}"#, ASK),

        get("/api/meetings/{meeting}/transcript", READ_WORDS),
        does("POST", "/api/meetings/{meeting}/transcript", r#"{"text":"Yes.","start_ms":1000,"end_ms":1900,"final":true}"#, TRANSCRIBE),
        get("/api/meetings/{meeting}/transcript/{segment}", READ_WORDS),
        get("/api/meetings/{meeting}/transcript/{segment}/history", READ_HISTORY),
        does("PATCH", "/api/meetings/{meeting}/transcript/{segment}", r#"{"text":"Better"}"#, CORRECT_WORDS),
        spends("DELETE", "/api/meetings/{meeting}/transcript/{segment}", "", CORRECT),
        does("POST", "/api/meetings/{meeting}/import", FILE, IMPORT_INTO),

        get("/api/meetings/{meeting}/summary", READ_WORDS),
        does("POST", "/api/meetings/{meeting}/summary", "", REGENERATE),
        does("PATCH", "/api/meetings/{meeting}/summary", r#"{"headline":"Offers"}"#, EDIT_SUMMARY),
        get("/api/meetings/{meeting}/highlights", READ_WORDS),
        does("POST", "/api/meetings/{meeting}/highlights", "", REGENERATE),
        does("PATCH", "/api/meetings/{meeting}/highlights/{highlight}", r#"{"status":"confirmed"}"#, EDIT_WORDS),
        get("/api/meetings/{meeting}/insights", READ_WORDS),
        does("POST", "/api/meetings/{meeting}/insights", "", REGENERATE),
        get("/api/meetings/{meeting}/topics", READ_WORDS),
        does("POST", "/api/meetings/{meeting}/topics", "", REGENERATE),
        does("PATCH", "/api/meetings/{meeting}/topics/{topic}", r#"{"label":"lease"}"#, EDIT_WORDS),
        get("/api/meetings/{meeting}/actions", READ_WORDS),
        does("POST", "/api/meetings/{meeting}/actions", r#"{"text":"Call"}"#, PROPOSE),
        does("POST", "/api/meetings/{meeting}/actions", r#"{"text":"Call","status":"confirmed"}"#, EDIT),
        does("POST", "/api/meetings/{meeting}/actions", "", REGENERATE),
        get("/api/meetings/{meeting}/actions/{action}", READ_WORDS),
        does("PATCH", "/api/meetings/{meeting}/actions/{action}", r#"{"status":"confirmed"}"#, EDIT_WORDS),
        get("/api/meetings/{meeting}/decisions", READ_WORDS),
        does("POST", "/api/meetings/{meeting}/decisions", r#"{"text":"We buy"}"#, PROPOSE),
        does("POST", "/api/meetings/{meeting}/decisions", r#"{"text":"We buy","status":"confirmed"}"#, EDIT),
        does("POST", "/api/meetings/{meeting}/decisions", "", REGENERATE),
        get("/api/meetings/{meeting}/decisions/{decision}", READ_WORDS),
        does("PATCH", "/api/meetings/{meeting}/decisions/{decision}", r#"{"status":"confirmed"}"#, EDIT_WORDS),

        get("/api/actions", mine(&[TranscriptsRead])),
        get("/api/decisions", mine(&[TranscriptsRead])),
        get("/api/topics", mine(&[TranscriptsRead])),
        get("/api/search?q=offer", ASK_AROUND),
        get("/api/search?q=offer&meeting_id={meeting}", READ_WORDS),
        does("POST", "/api/ask", r#"{"question":"When does the offer go out?"}"#, ASK_AROUND),
        does("POST", "/api/ask", r#"{"question":"When?","scope":{"meeting_id":"{meeting}"}}"#, ASK),

        get("/api/mcp/tools", IDENTIFIED),
        does("POST", "/api/mcp/tools", r#"{"tool":"list_meetings"}"#, mine(&[MeetingsRead])),
        does("POST", "/api/mcp/tools", r#"{"tool":"get_meeting","arguments":{"meeting_id":"{meeting}"}}"#, READ),
        does("POST", "/api/mcp/tools", r#"{"tool":"post_message","arguments":{"meeting_id":"{meeting}","text":"Hi"}}"#, SPEAK),
        does("POST", "/api/mcp/tools", r#"{"tool":"memory_search","arguments":{"query":"offer"}}"#, mine(&[MemoryRead])),
        spends("POST", "/api/mcp/tools", r#"{"tool":"memory_delete","arguments":{"memory_id":"{memory}"}}"#, hosts(&[MemoryWrite])),
        // Reading may make notes that are out of date anew.
        does("GET", "/api/mcp/summarize?meeting_id={meeting}", "", READ_WORDS),
        does("POST", "/api/mcp/summarize", r#"{"meeting_id":"{meeting}"}"#, READ_WORDS),
        get("/api/mcp/context?meeting_id={meeting}", READ),
        does("POST", "/api/mcp/context", r#"{"meeting_id":"{meeting}","context":{"phase":"a"}}"#, SPEAK),

        get("/api/mem0/memories", mine(&[MemoryRead])),
        get("/api/mem0/memories?q=offer", mine(&[MemoryRead])),
        does("POST", "/api/mem0/memories", r#"{"content":"The lease is long"}"#, mine(&[MemoryWrite])),
        does("DELETE", "/api/mem0/memories?subject=Ben", "", mine(&[MemoryWrite])),
        get("/api/mem0/memories/{memory}", hosts(&[MemoryRead])),
        get("/api/mem0/memories/{memory}/history", hosts(&[MemoryRead])),
        does("PUT", "/api/mem0/memories/{memory}", r#"{"content":"Otherwise"}"#, hosts(&[MemoryWrite])),
        spends("DELETE", "/api/mem0/memories/{memory}", "", hosts(&[MemoryWrite])),

        get("/api/webhooks", mine(&[Webhooks])),
        does("POST", "/api/webhooks", r#"{"url":"http://127.0.0.1:9/x","events":["webhook.tested"]}"#, mine(&[Webhooks])),
        does("POST", "/api/webhooks", r#"{"url":"http://127.0.0.1:9/x","events":["segment.finalized"]}"#, rule(ACCOUNTS, Keys::WithSeveral)),
        get("/api/webhooks/{webhook}", hosts(&[Webhooks])),
        does("PATCH", "/api/webhooks/{webhook}", r#"{"url":"http://127.0.0.1:9/y"}"#, rule(OWNER, Keys::WithSeveral)),
        does("POST", "/api/webhooks/{webhook}/rotate-secret", "", hosts(&[Webhooks])),
        does("POST", "/api/webhooks/{webhook}/test", "", hosts(&[Webhooks])),
        get("/api/webhooks/{webhook}/deliveries", hosts(&[Webhooks])),
        get("/api/webhooks/{webhook}/deliveries/{delivery}", hosts(&[Webhooks])),
        does("POST", "/api/webhooks/{webhook}/deliveries/{delivery}/replay", "", hosts(&[Webhooks])),
        spends("DELETE", "/api/webhooks/{webhook}", "", hosts(&[Webhooks])),
    ]
}
