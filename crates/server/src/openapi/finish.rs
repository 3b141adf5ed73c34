//! What every operation has in common, written once: errors, security, names, curl lines.

use std::collections::BTreeSet;

use meetmind_core::{Code, Id, RequestId};
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{
    ContentBuilder, OpenApi, PathItem, Ref, RefOr, Response, ResponseBuilder, Tag,
};

use super::sample;

/// What a tag is about. A tag that is not here gets no description, which a test finds.
const TAGS: [(&str, &str); 24] = [
    ("auth", "Signing up, in and out; sessions, keys, passwords."),
    ("account", "Your own profile and data."),
    ("meetings", "Meetings, from planned to erased."),
    ("series", "Meetings that belong together."),
    ("participants", "Who is in a meeting, and as what."),
    ("consent", "What participants agreed to."),
    ("chat", "The chat of a meeting."),
    ("messages", "Messages of a meeting."),
    ("transcript", "What was said."),
    ("recordings", "Sound and pictures of a meeting, as files."),
    (
        "notes",
        "Summaries, topics, highlights, actions and decisions.",
    ),
    ("actions", "Who is to do what."),
    ("decisions", "What was decided."),
    ("topics", "What meetings were about."),
    (
        "ask",
        "Questions, answered from what was said, with citations.",
    ),
    ("search", "Finding words across meetings."),
    ("agents", "Agents that sit in meetings."),
    ("runs", "An agent at work in one meeting."),
    ("memories", "What is remembered."),
    ("mcp", "Tools, summaries and context for programs."),
    ("webhooks", "Events sent to endpoints of yours."),
    ("events", "Live events; more at `/asyncapi.json`."),
    (
        "admin",
        "For administrators: users, runs, rooms, usage, audit.",
    ),
    ("health", "Whether the process is well."),
];

/// Operations that anybody may call. Each stands here on purpose.
const PUBLIC: [(&str, &str); 13] = [
    ("post", "/auth/register"),
    ("post", "/auth/login"),
    ("post", "/auth/refresh"),
    ("post", "/auth/reset"),
    ("post", "/auth/reset/confirm"),
    ("post", "/auth/setup"),
    ("get", "/auth/setup"),
    ("get", "/health"),
    ("get", "/livez"),
    ("get", "/readyz"),
    ("get", "/version"),
    ("get", "/metrics"),
    ("get", "/openapi.json"),
];

/// Operations that anybody may call and that give more to who is known: guests join with a code,
/// and a refresh token alone may end its session.
const OPTIONAL: [(&str, &str); 2] = [
    ("post", "/api/meetings/{id}/join"),
    ("post", "/auth/logout"),
];

/// The error answers that can be declared: status, name, an example's code.
const ERRORS: [(&str, &str, Code); 13] = [
    ("400", "BadRequest", Code::BadRequest),
    ("401", "Unauthenticated", Code::Unauthenticated),
    ("403", "Forbidden", Code::Forbidden),
    ("404", "NotFound", Code::NotFound),
    ("408", "RequestTimeout", Code::RequestTimeout),
    ("409", "Conflict", Code::Conflict),
    ("412", "PreconditionFailed", Code::PreconditionFailed),
    ("413", "PayloadTooLarge", Code::PayloadTooLarge),
    ("415", "UnsupportedMediaType", Code::UnsupportedMediaType),
    ("422", "ValidationFailed", Code::ValidationFailed),
    ("429", "RateLimited", Code::RateLimited),
    ("500", "Internal", Code::Internal),
    ("503", "Unavailable", Code::Unavailable),
];

/// Completes the document that the handlers gave.
pub(super) fn finish(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    for (status, name, example) in ERRORS {
        let response = error_response(status, example);
        components
            .responses
            .insert(name.to_owned(), RefOr::T(response));
    }
    let schemas = serde_json::to_value(&components.schemas).unwrap_or_default();
    let mut names = BTreeSet::new();
    let mut tags = BTreeSet::new();
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            complete(method, path, operation, &schemas);
            let tag = tag_of(operation);
            operation.operation_id = Some(unique(
                &mut names,
                format!(
                    "{tag}_{}",
                    operation.operation_id.as_deref().unwrap_or(method)
                ),
            ));
            tags.insert(tag);
        }
    }
    // In the order of the table; unknown ones after it.
    let known = TAGS
        .iter()
        .filter(|(name, _)| tags.contains(*name))
        .map(|(name, about)| {
            let mut tag = Tag::new(*name);
            tag.description = Some((*about).to_owned());
            tag
        });
    let unknown = tags
        .iter()
        .filter(|name| !TAGS.iter().any(|(known, _)| known == name))
        .map(Tag::new);
    document.tags = Some(known.chain(unknown).collect());
}

/// The operations of a path with their methods, in a fixed order.
pub(super) fn operations(item: &mut PathItem) -> Vec<(&'static str, &mut Operation)> {
    [
        ("get", item.get.as_mut()),
        ("post", item.post.as_mut()),
        ("put", item.put.as_mut()),
        ("patch", item.patch.as_mut()),
        ("delete", item.delete.as_mut()),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation?)))
    .collect()
}

fn complete(method: &str, path: &str, operation: &mut Operation, schemas: &serde_json::Value) {
    let is = |list: &[(&str, &str)]| list.contains(&(method, path));
    let bearer = || SecurityRequirement::new("bearer", Vec::<String>::new());
    let public = is(&PUBLIC);
    operation.security = Some(if public {
        vec![]
    } else if is(&OPTIONAL) {
        vec![SecurityRequirement::default(), bearer()]
    } else {
        vec![bearer()]
    });
    let has_body = operation.request_body.is_some();
    let writes = method != "get";
    let enveloped = path.starts_with("/api/") || path.starts_with("/auth/");
    for (status, name, _) in ERRORS {
        let fits = match status {
            "400" | "429" => enveloped,
            "401" => enveloped,
            "403" => enveloped && path != "/auth/login",
            "404" => enveloped && (path.contains('{') || writes || names_things(operation)),
            "409" => enveloped && writes,
            "412" => guards(operation),
            "408" | "413" | "415" => enveloped && has_body,
            "422" => enveloped,
            _ => true,
        };
        let declared = &mut operation.responses.responses;
        if fits && !declared.contains_key(status) {
            declared.insert(status.to_owned(), RefOr::Ref(Ref::from_response_name(name)));
        }
    }
    // utoipa calls an answer without a description by an empty text; the specification wants one.
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            response.description = match status.as_str() {
                "201" => "Made.".to_owned(),
                "202" => "Taken; the work goes on.".to_owned(),
                _ => "As asked.".to_owned(),
            };
        }
    }
    let authorised = !public;
    let curl = sample::curl(method, path, authorised, operation, schemas);
    let said = operation.description.take().unwrap_or_default();
    let lead = if said.is_empty() {
        String::new()
    } else {
        format!("{said}\n\n")
    };
    operation.description = Some(format!("{lead}```sh\n{curl}\n```"));
}

/// Whether it may be made to depend on the version the caller last saw.
fn guards(operation: &Operation) -> bool {
    operation
        .parameters
        .iter()
        .flatten()
        .any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.name == "If-Match"))
}

/// Whether a parameter holds an id: what it names may not be there.
fn names_things(operation: &Operation) -> bool {
    operation.parameters.iter().flatten().any(
        |parameter| matches!(parameter, RefOr::T(parameter) if parameter.name.ends_with("_id")),
    )
}

fn tag_of(operation: &Operation) -> String {
    operation
        .tags
        .as_ref()
        .and_then(|tags| tags.first())
        .cloned()
        .unwrap_or_else(|| "other".to_owned())
}

/// The name itself, or with the first number that makes it one of its own.
fn unique(taken: &mut BTreeSet<String>, name: String) -> String {
    if taken.insert(name.clone()) {
        return name;
    }
    let mut number = 2;
    loop {
        let other = format!("{name}_{number}");
        if taken.insert(other.clone()) {
            return other;
        }
        number += 1;
    }
}

fn error_response(status: &str, code: Code) -> Response {
    let same: Vec<String> = Code::ALL
        .iter()
        .filter(|other| other.status().to_string() == status)
        .map(|other| format!("`{other}`: {}", other.meaning()))
        .collect();
    let example = serde_json::json!({
        "success": false,
        "error": {
            "code": code,
            "message": "a sentence for people",
            "request_id": RequestId::from_uuid(uuid::Uuid::from_u128(1)),
        }
    });
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("ErrorEnvelope")))
        .example(Some(example))
        .build();
    ResponseBuilder::new()
        .description(same.join("\n\n"))
        .content("application/json", content)
        .build()
}
