//! The frames of the socket, both ways.

use meetmind_core::{Code, Error, EventTopic, SignalKind};
use serde::{Deserialize, Serialize};

/// What a client sends.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(crate) enum ClientFrame {
    /// Who I am: an access token, an API key or a guest token.
    Auth {
        /// The credential.
        token: String,
    },
    /// Send me the events of a topic.
    Subscribe {
        /// `meeting:…`, `run:…` or `user:…`.
        topic: String,
        /// The number of the last event I have; what happens from now on, when absent.
        after: Option<i64>,
    },
    /// No more of it.
    Unsubscribe {
        /// The topic.
        topic: String,
    },
    /// Tell the others, without keeping it.
    Signal {
        /// A meeting that is subscribed to.
        topic: String,
        /// What it is.
        #[serde(rename = "type")]
        kind: SignalKind,
        /// What it holds; an object of at most 1 KB.
        #[serde(default)]
        #[schema(value_type = Object)]
        data: serde_json::Value,
    },
    /// Are you there?
    Ping,
}

/// What the server sends besides events and signals.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(crate) enum ServerFrame {
    /// You are known; subscribe.
    Ready,
    /// Events of the topic follow.
    Subscribed {
        /// The topic.
        topic: String,
        /// The topic's last number at this moment; events up to it that you asked for come first.
        seq: i64,
    },
    /// No more events of it follow.
    Unsubscribed {
        /// The topic.
        topic: String,
    },
    /// What should come next is no longer kept. Nothing follows: read the state anew, then
    /// subscribe with `after` at `oldest - 1`, or without it.
    Gone {
        /// The topic.
        topic: String,
        /// The oldest number still kept.
        oldest: i64,
    },
    /// You may not hear it any more, or it ended. Nothing follows.
    Closed {
        /// The topic.
        topic: String,
        /// The error code that listening would meet now, such as `NOT_FOUND`.
        reason: String,
    },
    /// A frame was refused; the connection stays.
    Error {
        /// As in the envelope.
        #[schema(value_type = String)]
        code: Code,
        /// A sentence for people.
        message: String,
    },
    /// I am here.
    Pong,
}

impl ServerFrame {
    pub(crate) fn error(error: &Error) -> Self {
        Self::Error {
            code: error.code,
            message: error.message.to_string(),
        }
    }

    pub(crate) fn text(&self) -> String {
        // These shapes have no map keys that are not text: they cannot fail to be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Reads a frame. Errors are for the client.
pub(super) fn parse(text: &str) -> Result<ClientFrame, Error> {
    serde_json::from_str(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Error::new(
            Code::ValidationFailed,
            error
                .to_string()
                .split(" at line ")
                .next()
                .unwrap_or_default()
                .chars()
                .take(300)
                .collect::<String>(),
        ),
        _ => Error::new(Code::InvalidJson, "the frame is not valid JSON"),
    })
}

/// Reads the name of a topic.
pub(super) fn topic(text: &str) -> Result<EventTopic, Error> {
    text.parse()
        .map_err(|reason| Error::invalid("topic", reason))
}
