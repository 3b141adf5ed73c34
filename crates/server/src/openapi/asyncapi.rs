//! The AsyncAPI 3 document of the live events, from the same types as everything else.

use meetmind_core::{
    Action, Agent, Consent, Decision, Event, EventKind, Highlight, Meeting, Memory, Message,
    Participant, Recording, Run, Segment, Signal, SignalKind, Summary, Topic,
};
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use crate::ws::{ClientFrame, ServerFrame};

/// The schemas that payloads are made of.
#[derive(OpenApi)]
#[openapi(components(schemas(
    Action,
    Agent,
    ClientFrame,
    Consent,
    Decision,
    Event,
    Highlight,
    Meeting,
    Memory,
    Message,
    Participant,
    Recording,
    Run,
    Segment,
    ServerFrame,
    Signal,
    Summary,
    Topic
)))]
struct Schemas;

/// The schemas an event's `data` may have, most usual first. The one table of payloads.
pub(super) const fn payload(kind: EventKind) -> &'static [&'static str] {
    use EventKind as K;
    match kind {
        K::MeetingCreated
        | K::MeetingUpdated
        | K::MeetingStarted
        | K::MeetingEnded
        | K::MeetingRestored => &["Meeting"],
        // On a user's own topic they name the meeting too.
        K::ParticipantInvited => &["Participant", "Invitation"],
        K::ParticipantRemoved => &["Participant", "Named"],
        K::ParticipantWaiting
        | K::ParticipantJoined
        | K::ParticipantLeft
        | K::ParticipantUpdated => &["Participant"],
        K::ConsentChanged => &["Consent"],
        K::SegmentDrafted | K::SegmentFinalized | K::SegmentCorrected => &["Segment"],
        K::RecordingStarted | K::RecordingStopped | K::RecordingFailed => &["Recording"],
        K::MessagePosted => &["Message"],
        K::SummaryUpdated => &["Summary"],
        K::TopicOpened => &["Topic"],
        K::HighlightUpdated => &["Highlight"],
        K::TopicUpdated => &["Topic", "Removed"],
        K::TopicFocused => &["TopicFocus"],
        K::ActionProposed => &["Action"],
        K::ActionUpdated => &["Action", "Removed"],
        K::DecisionProposed => &["Decision"],
        K::DecisionUpdated => &["Decision", "Removed"],
        K::ContextUpdated => &["ContextChange"],
        K::AgentStateChanged => &["RunChange"],
        K::AgentSpoke => &["RunSpeech"],
        K::ToolCalled => &["ToolCall"],
        K::MemorySaved | K::MemoryUpdated => &["Memory"],
        K::AgentUpdated => &["Agent"],
        K::MeetingArchived
        | K::MeetingErased
        | K::RecordingDeleted
        | K::SegmentErased
        | K::MemoryDeleted
        | K::WebhookTested => &["Named"],
    }
}

/// Payloads that are not a record of ours: what they hold, and which of it is always there.
fn shapes() -> Map<String, Value> {
    let text = json!({ "type": "string" });
    let maybe = json!({ "type": ["string", "null"] });
    let id = |name: &str| schema_ref(name);
    let shape = |about: &str, fields: Value, always: &[&str]| json!({ "type": "object", "description": about, "properties": fields, "required": always });
    let run = json!({ "run_id": id("RunId"), "agent_id": id("AgentId"), "meeting_id": id("MeetingId"), "participant_id": maybe });
    let with = |base: &Value, more: Value| {
        let mut fields = base.as_object().cloned().unwrap_or_default();
        fields.extend(more.as_object().cloned().unwrap_or_default());
        Value::Object(fields)
    };
    let all = [
        (
            "Named",
            shape("Ids of what it happened to.", json!({}), &[]),
        ),
        (
            "Erased",
            shape(
                "What stays of an event whose words were erased: ids, times and numbers. `erased` stands \
                 wherever words were taken out.",
                json!({ "erased": { "const": true } }),
                &["erased"],
            ),
        ),
        (
            "Removed",
            shape(
                "A derived item that is no more.",
                json!({ "id": text, "meeting_id": id("MeetingId"), "removed": { "const": true } }),
                &["id", "removed"],
            ),
        ),
        (
            "Invitation",
            shape(
                "A meeting and your place in it.",
                json!({ "meeting_id": id("MeetingId"), "title": text, "participant": schema_ref("Participant") }),
                &["meeting_id"],
            ),
        ),
        (
            "TopicFocus",
            shape(
                "What the meeting turned to, by talk or by command.",
                json!({ "meeting_id": id("MeetingId"), "topic": { "description": "The topic." }, "by": text }),
                &["meeting_id"],
            ),
        ),
        (
            "ContextChange",
            shape(
                "The meeting's context as it is now.",
                json!({ "meeting_id": id("MeetingId"), "context": { "type": "object" } }),
                &["meeting_id", "context"],
            ),
        ),
        (
            "RunChange",
            shape(
                "A step in the life of a run.",
                with(
                    &run,
                    json!({ "from": maybe, "state": schema_ref("RunState"), "activity": maybe, "reason_code": text, "message": text, "actor": text, "attempt": { "type": "integer" } }),
                ),
                &["run_id", "state", "reason_code"],
            ),
        ),
        (
            "RunSpeech",
            shape(
                "A message that an agent wrote.",
                with(
                    &run,
                    json!({ "message_id": id("MessageId"), "reply_to": maybe }),
                ),
                &["run_id", "message_id"],
            ),
        ),
        (
            "ToolCall",
            shape(
                "A tool that ran; never what it was given or what it gave.",
                json!({ "tool": text, "ok": { "type": "boolean" }, "code": maybe, "duration_ms": { "type": "integer" }, "actor": text }),
                &["tool", "ok"],
            ),
        ),
    ];
    all.into_iter()
        .map(|(name, shape)| (name.to_owned(), shape))
        .collect()
}

/// What each kind of signal holds, beside who it is about.
fn signals() -> Vec<Value> {
    let about = |kind: SignalKind| match kind {
        SignalKind::Speaking => (
            "Somebody began or stopped to speak. From the room, told once for each change.",
            json!({ "speaking": { "type": "boolean" } }),
        ),
        SignalKind::Level => (
            "How loud somebody who speaks is, 0 to 1. From the room, at most once a second for each.",
            json!({ "level": { "type": "number", "minimum": 0, "maximum": 1 } }),
        ),
        SignalKind::Muted => (
            "A track was muted or unmuted. Only rooms send it.",
            json!({ "muted": { "type": "boolean" }, "source": { "type": "string", "enum": ["unknown", "camera", "microphone", "screen_share", "screen_share_audio"] } }),
        ),
        SignalKind::Quality => (
            "How good somebody's connection has become. Only rooms send it, about every 5 s at most.",
            json!({ "quality": { "type": "string", "enum": ["lost", "poor", "good", "excellent"] } }),
        ),
        SignalKind::Typing | SignalKind::Hand | SignalKind::Reaction => {
            ("What a participant sent.", json!({}))
        }
    };
    SignalKind::ALL
        .iter()
        .map(|kind| {
            let (description, mut fields) = about(*kind);
            fields["participant_id"] = schema_ref("ParticipantId");
            json!({
                "type": "object",
                "description": description,
                "properties": { "type": { "const": kind.as_str() }, "data": { "type": "object", "properties": fields, "required": ["participant_id"] } }
            })
        })
        .collect()
}

/// The AsyncAPI 3 document of the live events.
pub fn asyncapi_document() -> Value {
    let mut schemas = schemas();
    let mut messages = Map::new();
    for kind in EventKind::ALL {
        let name = kind.as_str();
        messages.insert(name.to_owned(), event_message(*kind));
    }
    for (name, frame) in [("command", "ClientFrame"), ("reply", "ServerFrame")] {
        messages.insert(
            name.to_owned(),
            json!({ "name": name, "contentType": "application/json", "payload": schema_ref(frame) }),
        );
    }
    messages.insert(
        "signal".to_owned(),
        json!({
            "name": "signal",
            "title": "What passes without a number and is not kept",
            "contentType": "application/json",
            "payload": { "allOf": [schema_ref("Signal"), { "anyOf": signals() }] },
            "examples": [{ "payload": { "topic": "meeting:mtg_01k9zq8v7w8r3t5y6h2j4n6p8q", "type": SignalKind::Typing, "data": { "participant_id": "par_01k9zq8v7w8r3t5y6h2j4n6p8q" } } }],
        }),
    );
    schemas.extend(shapes());
    let events: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
    let of_channel = |channel: &str, names: &[&str]| -> Vec<Value> {
        names
            .iter()
            .map(|name| json!({ "$ref": format!("#/channels/{channel}/messages/{}", pointer(name)) }))
            .collect()
    };
    let channel_messages = |names: &[&str]| -> Map<String, Value> {
        names
            .iter()
            .map(|name| {
                (
                    (*name).to_owned(),
                    json!({ "$ref": format!("#/components/messages/{}", pointer(name)) }),
                )
            })
            .collect()
    };
    let mut stream: Vec<&str> = events;
    stream.push("signal");
    let mut down: Vec<&str> = stream.clone();
    down.push("reply");
    let mut socket: Vec<&str> = down.clone();
    socket.push("command");
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "MeetMind live events",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0" },
            "description": "The same stored events over a WebSocket (`/ws`) and as server-sent events. \
                The topics `meeting:…`, `run:…` and `user:…` each count their own `seq` from 1, without gaps; \
                come back with the last number you had, and nothing is lost or doubled. \
                The first frame on the WebSocket is `{\"op\":\"auth\",\"token\":\"…\"}`, answered by `{\"op\":\"ready\"}` \
                (a browser cookie or a single-use `?ticket=` from `POST /auth/ws-ticket` serve in its place). \
                Close codes: 4401 not or no longer authenticated, 1008 too many refused frames or streams, \
                1012 the server restarts, 1013 you read too slowly or it is overloaded."
        },
        "defaultContentType": "application/json",
        "servers": {
            "here": {
                "host": "{host}",
                "protocol": "ws",
                "description": "The server that this document came from; `wss` behind TLS.",
                "variables": { "host": { "default": "127.0.0.1:8000" } },
                "security": [{ "$ref": "#/components/securitySchemes/bearer" }]
            }
        },
        "channels": {
            "socket": {
                "address": "/ws",
                "title": "Events, signals and commands",
                "bindings": { "ws": { "method": "GET", "query": { "type": "object", "properties": { "ticket": { "type": "string", "description": "A single-use ticket." } } }, "bindingVersion": "0.1.0" } },
                "messages": channel_messages(&socket)
            },
            "stream": {
                "address": "/api/meetings/{id}/events",
                "title": "A meeting's events as server-sent events",
                "description": "`id` is the `seq`, `event` the type, `data` the event. Signals come in between, without an `id`. `gone` and `closed` end it.",
                "parameters": { "id": { "description": "The meeting." } },
                "messages": channel_messages(&stream)
            }
        },
        "operations": {
            "command": { "action": "receive", "channel": { "$ref": "#/channels/socket" }, "summary": "What clients send: auth, subscribe, unsubscribe, signal, ping.", "messages": of_channel("socket", &["command"]) },
            "listen": { "action": "send", "channel": { "$ref": "#/channels/socket" }, "summary": "Events and signals of the topics subscribed to, and answers to commands.", "messages": of_channel("socket", &down) },
            "follow": { "action": "send", "channel": { "$ref": "#/channels/stream" }, "summary": "The events and signals of one meeting.", "messages": of_channel("stream", &stream) }
        },
        "components": {
            "messages": messages,
            "schemas": schemas,
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer", "description": "Sent in the first frame, not in a header." } }
        }
    })
}

/// The core schemas and all they refer to. `#/components/schemas/…` means the same in both kinds
/// of document.
fn schemas() -> Map<String, Value> {
    let components = Schemas::openapi().components.unwrap_or_default();
    match serde_json::to_value(components.schemas) {
        Ok(Value::Object(schemas)) => schemas,
        _ => Map::new(),
    }
}

fn event_message(kind: EventKind) -> Value {
    // The words of any stored event can be erased; its number stays.
    let ways = payload(kind).iter().chain(["Erased"].iter());
    let data = json!({ "anyOf": ways.map(|name| schema_ref(name)).collect::<Vec<_>>() });
    json!({
        "name": kind.as_str(),
        "contentType": "application/json",
        "payload": {
            "allOf": [
                schema_ref("Event"),
                { "type": "object", "properties": { "type": { "const": kind.as_str() }, "data": data } }
            ]
        }
    })
}

fn schema_ref(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// A name as part of a JSON pointer.
fn pointer(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
