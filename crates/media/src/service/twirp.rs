//! Twirp's wire format: content types, error codes, statuses (its specification, version 7).

use std::collections::BTreeMap;

use prost::Message;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// The `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

impl HttpAnswer {
    pub(super) fn text(status: u16, text: &str) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: text.as_bytes().to_vec(),
        }
    }
}

/// The language of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// `application/protobuf`
    Protobuf,
    /// `application/json`
    Json,
}

impl Wire {
    /// The language that a `Content-Type` names, with any parameters; `None` for another.
    pub(super) fn of(content_type: Option<&str>) -> Option<Self> {
        let kind = content_type?
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        match kind.as_str() {
            "application/protobuf" => Some(Self::Protobuf),
            "application/json" => Some(Self::Json),
            _ => None,
        }
    }

    /// The `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/protobuf",
            Self::Json => "application/json",
        }
    }

    pub(super) fn read<M: Message + Default + DeserializeOwned>(
        self,
        body: &[u8],
    ) -> Result<M, TwirpError> {
        let malformed = |text| TwirpError::new(TwirpCode::Malformed, text);
        match self {
            Self::Protobuf => {
                M::decode(body).map_err(|_| malformed("the protobuf request could not be decoded"))
            }
            Self::Json => serde_json::from_slice(body)
                .map_err(|_| malformed("the json request could not be decoded")),
        }
    }

    pub(super) fn write<M: Message + Serialize>(self, message: &M) -> HttpAnswer {
        let body = match self {
            Self::Protobuf => message.encode_to_vec(),
            Self::Json => match serde_json::to_vec(message) {
                Ok(body) => body,
                Err(_) => {
                    return TwirpError::new(
                        TwirpCode::Internal,
                        "the answer could not be written as JSON",
                    )
                    .answer();
                }
            },
        };
        HttpAnswer {
            status: 200,
            content_type: self.content_type(),
            body,
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident $name:literal $status:literal,)*) => {
        /// Twirp's error codes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum TwirpCode { $($(#[$doc])* $code,)* }

        impl TwirpCode {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$code),*];

            /// The name in the body's `code`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$code => $name),* }
            }

            /// The HTTP status.
            pub const fn status(self) -> u16 {
                match self { $(Self::$code => $status),* }
            }
        }
    };
}

codes! {
    /// The caller gave up.
    Canceled "canceled" 408,
    /// Something went wrong that has no other code.
    Unknown "unknown" 500,
    /// An argument that is never right.
    InvalidArgument "invalid_argument" 400,
    /// A body that cannot be read.
    Malformed "malformed" 400,
    /// It took too long.
    DeadlineExceeded "deadline_exceeded" 408,
    /// The room, participant, track or dispatch does not exist.
    NotFound "not_found" 404,
    /// No such path, method or content type.
    BadRoute "bad_route" 404,
    /// It exists already.
    AlreadyExists "already_exists" 409,
    /// The caller may not.
    PermissionDenied "permission_denied" 403,
    /// The token is missing or lacks the grant.
    Unauthenticated "unauthenticated" 401,
    /// A limit is reached.
    ResourceExhausted "resource_exhausted" 429,
    /// Not in this state.
    FailedPrecondition "failed_precondition" 412,
    /// Ended by something concurrent.
    Aborted "aborted" 409,
    /// Beyond the range.
    OutOfRange "out_of_range" 400,
    /// Not offered by this server.
    Unimplemented "unimplemented" 501,
    /// The server is at fault.
    Internal "internal" 500,
    /// Not now.
    Unavailable "unavailable" 503,
    /// Data is lost.
    DataLoss "data_loss" 500,
}

impl TwirpCode {
    /// The code of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == name)
    }

    /// The code for an answer that is not Twirp's, such as a proxy's, by its status, as Twirp's clients map it.
    pub const fn of_status(status: u16) -> Self {
        match status {
            300..=399 => Self::Internal,
            400 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::BadRoute,
            413 => Self::ResourceExhausted,
            429 | 502 | 503 | 504 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }
}

/// A Twirp error, to be answered or received.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {msg}", code.as_str())]
pub struct TwirpError {
    /// What kind of error.
    pub code: TwirpCode,
    /// What is wrong, for a person.
    pub msg: String,
    /// More, for a program.
    pub meta: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct Body {
    code: String,
    #[serde(default)]
    msg: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    meta: BTreeMap<String, String>,
}

impl TwirpError {
    /// An error without `meta`.
    pub fn new(code: TwirpCode, msg: impl Into<String>) -> Self {
        Self {
            code,
            msg: msg.into(),
            meta: BTreeMap::new(),
        }
    }

    /// The room does not exist.
    pub fn room_not_found() -> Self {
        Self::new(TwirpCode::NotFound, "requested room does not exist")
    }

    /// The server cannot answer now.
    pub fn unavailable(msg: impl Into<String>) -> Self {
        Self::new(TwirpCode::Unavailable, msg)
    }

    /// The participant is not in the room.
    pub fn participant_not_found() -> Self {
        Self::new(TwirpCode::NotFound, "participant does not exist")
    }

    /// The participant has no such track.
    pub fn track_not_found() -> Self {
        Self::new(TwirpCode::NotFound, "track is not found")
    }

    /// Unmuting others is not allowed on this server.
    pub fn remote_unmute_disabled() -> Self {
        Self::new(TwirpCode::FailedPrecondition, "remote unmute not enabled")
    }

    pub(super) fn with_meta(mut self, name: &str, value: String) -> Self {
        self.meta.insert(name.to_owned(), value);
        self
    }

    /// The error as an HTTP answer: always JSON, in either language.
    pub fn answer(&self) -> HttpAnswer {
        let body = Body {
            code: self.code.as_str().to_owned(),
            msg: self.msg.clone(),
            meta: self.meta.clone(),
        };
        HttpAnswer {
            status: self.code.status(),
            content_type: "application/json",
            // Strings are always JSON; an empty body would say the same with its status.
            body: serde_json::to_vec(&body).unwrap_or_default(),
        }
    }

    /// Reads the error of another server; one that is not Twirp's (a proxy's, a plain 401) by its status.
    pub(super) fn read(status: u16, body: &[u8]) -> Self {
        if let Ok(Body { code, msg, meta }) = serde_json::from_slice(body)
            && let Some(code) = TwirpCode::parse(&code)
        {
            return Self { code, msg, meta };
        }
        let start = &body[..body.len().min(200)];
        let text = String::from_utf8_lossy(start);
        Self::new(
            TwirpCode::of_status(status),
            format!("HTTP status {status}: {}", text.trim()),
        )
    }
}
