//! The one error table: code, HTTP status, meaning. Append-only: clients match on the codes.

use std::borrow::Cow;
use std::fmt;

/// A boxed cause; goes to the log, never to the caller.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

macro_rules! codes {
    ($($(#[doc = $meaning:literal])+ $name:ident = $text:literal, $status:literal;)+) => {
        /// What went wrong, as a stable word.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        pub enum Code { $($(#[doc = $meaning])+ #[serde(rename = $text)] $name),+ }

        impl Code {
            /// Every code, in the order it was added.
            pub const ALL: &'static [Code] = &[$(Code::$name),+];
            /// The word that clients see.
            pub const fn as_str(self) -> &'static str { match self { $(Code::$name => $text),+ } }
            /// The HTTP status that goes with it.
            pub const fn status(self) -> u16 { match self { $(Code::$name => $status),+ } }
            /// One sentence on when it is used.
            pub const fn meaning(self) -> &'static str { match self { $(Code::$name => concat!($($meaning),+).trim_ascii()),+ } }
        }
    };
}

codes! {
    /// The request cannot be read.
    BadRequest = "BAD_REQUEST", 400;
    /// The body is not valid JSON.
    InvalidJson = "INVALID_JSON", 400;
    /// The cursor was not made by this list.
    InvalidCursor = "INVALID_CURSOR", 400;
    /// Sign in first.
    Unauthenticated = "UNAUTHENTICATED", 401;
    /// The address or the password is wrong.
    InvalidCredentials = "INVALID_CREDENTIALS", 401;
    /// The token has expired: refresh it.
    TokenExpired = "TOKEN_EXPIRED", 401;
    /// The token is not one of ours, or was made for something else.
    TokenInvalid = "TOKEN_INVALID", 401;
    /// The session was ended.
    SessionRevoked = "SESSION_REVOKED", 401;
    /// The refresh token was used before: the session was ended for safety.
    RefreshTokenReused = "REFRESH_TOKEN_REUSED", 401;
    /// You may see this but not do that.
    Forbidden = "FORBIDDEN", 403;
    /// The API key lacks the scope.
    ScopeMissing = "SCOPE_MISSING", 403;
    /// The page's cross-site protection header is missing or wrong.
    CsrfFailed = "CSRF_FAILED", 403;
    /// This instance does not take new accounts in this way.
    RegistrationClosed = "REGISTRATION_CLOSED", 403;
    /// The participant did not consent to this.
    ConsentDenied = "CONSENT_DENIED", 403;
    /// The meeting is locked.
    MeetingLocked = "MEETING_LOCKED", 403;
    /// There is no such thing, or you may not see it.
    NotFound = "NOT_FOUND", 404;
    /// This path does not take that method.
    MethodNotAllowed = "METHOD_NOT_ALLOWED", 405;
    /// None of the accepted media types can be produced.
    NotAcceptable = "NOT_ACCEPTABLE", 406;
    /// The state does not allow it.
    Conflict = "CONFLICT", 409;
    /// The address has an account.
    EmailTaken = "EMAIL_TAKEN", 409;
    /// The agent is already in that meeting.
    AgentAlreadyRunning = "AGENT_ALREADY_RUNNING", 409;
    /// The meeting has ended.
    MeetingEnded = "MEETING_ENDED", 409;
    /// The segment is final: correct it instead.
    SegmentFinal = "SEGMENT_FINAL", 409;
    /// A request with this idempotency key is still at work.
    IdempotencyInProgress = "IDEMPOTENCY_IN_PROGRESS", 409;
    /// These events are no longer kept.
    Gone = "GONE", 410;
    /// The thing changed since you read it.
    PreconditionFailed = "PRECONDITION_FAILED", 412;
    /// The body is larger than the limit.
    PayloadTooLarge = "PAYLOAD_TOO_LARGE", 413;
    /// The body is not of a media type this path takes.
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE", 415;
    /// A field is missing or wrong; `details` lists them.
    ValidationFailed = "VALIDATION_FAILED", 422;
    /// The password is too easy to guess.
    WeakPassword = "WEAK_PASSWORD", 422;
    /// The idempotency key was used with another request.
    IdempotencyMismatch = "IDEMPOTENCY_MISMATCH", 422;
    /// Too many requests: wait for `Retry-After` seconds.
    RateLimited = "RATE_LIMITED", 429;
    /// Too many failed sign-ins: wait for `Retry-After` seconds.
    TooManyAttempts = "TOO_MANY_ATTEMPTS", 429;
    /// A quota is used up; `details` has current, limit and reset.
    QuotaExceeded = "QUOTA_EXCEEDED", 429;
    /// Something failed here; the log has the cause under the request id.
    Internal = "INTERNAL", 500;
    /// A configured provider failed.
    ProviderFailed = "PROVIDER_FAILED", 502;
    /// The database or another part cannot be reached now.
    Unavailable = "UNAVAILABLE", 503;
    /// The server is shutting down.
    Draining = "DRAINING", 503;
    /// The disk is full: nothing was saved.
    StorageFull = "STORAGE_FULL", 503;
    /// The request took too long.
    Timeout = "TIMEOUT", 503;
    /// The body did not arrive in time.
    RequestTimeout = "REQUEST_TIMEOUT", 408;
    /// The file has no such range of bytes.
    RangeNotSatisfiable = "RANGE_NOT_SATISFIABLE", 416;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error on its way to a caller: a code, a sentence that is safe to show, and a cause that
/// only the log sees.
#[derive(Debug)]
pub struct Error {
    /// The stable code.
    pub code: Code,
    /// For the caller: lower case, no full stop, nothing internal.
    pub message: Cow<'static, str>,
    /// For the caller: fields, limits, ids of what is in the way.
    pub details: Option<serde_json::Value>,
    /// For the log.
    pub source: Option<BoxError>,
}

/// The result of a use case.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error with a code and a message for the caller.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            details: None,
            source: None,
        }
    }
    /// The thing does not exist, or the caller may not see it: the two must look alike.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no such {what}"))
    }
    /// The caller may see the thing but not do this.
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Forbidden, message)
    }
    /// One field is wrong.
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::new(Code::ValidationFailed, format!("{field}: {message}"))
            .with_details(serde_json::json!([{ "field": field, "message": message }]))
    }
    /// Something failed that the caller cannot help.
    pub fn internal(source: impl Into<BoxError>) -> Self {
        Self {
            code: Code::Internal,
            message: Cow::Borrowed("something went wrong here"),
            details: None,
            source: Some(source.into()),
        }
    }
    /// Adds details for the caller.
    pub fn with_details(mut self, details: serde_json::Value) -> Self {
        self.details = Some(details);
        self
    }
    /// Adds a cause for the log.
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }
    /// Seconds to wait before trying again, when the details say so.
    pub fn retry_after_s(&self) -> Option<i64> {
        self.details.as_ref()?.get("retry_after_s")?.as_i64()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_ref()
            .map(|source| source.as_ref() as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_words() {
        let mut words: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Code::ALL.len());
        assert!(
            Code::ALL
                .iter()
                .all(|code| (400..600).contains(&code.status()) && code.meaning().ends_with('.'))
        );
    }
}
