//! The documents and their page.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use meetmind_core::{Actor, EventKind};
use meetmind_server::testing::TestServer;
use meetmind_server::{asyncapi_document, openapi_document};
use serde_json::{Value, json};

/// Calls `visit` with every reference in a document.
fn references(value: &Value, visit: &mut impl FnMut(&str)) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get("$ref") {
                visit(target);
            }
            fields.values().for_each(|field| references(field, visit));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, visit)),
        _ => {}
    }
}

fn dangling(document: &Value) -> Vec<String> {
    let mut lost = vec![];
    references(document, &mut |target| {
        let found = target
            .strip_prefix('#')
            .and_then(|pointer| document.pointer(pointer));
        if found.is_none() {
            lost.push(target.to_owned());
        }
    });
    lost
}

fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut list = vec![];
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in ["get", "post", "put", "patch", "delete"] {
            if let Some(operation) = item.get(method) {
                list.push((method.to_owned(), path.clone(), operation.clone()));
            }
        }
    }
    list
}

#[test]
fn every_operation_says_what_it_is_and_what_it_may_answer() {
    let document = serde_json::to_value(openapi_document()).expect("JSON");
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(dangling(&document), Vec::<String>::new());
    let tags: BTreeSet<&str> = document["tags"]
        .as_array()
        .expect("tags")
        .iter()
        .filter(|tag| tag["description"].is_string())
        .filter_map(|tag| tag["name"].as_str())
        .collect();
    let mut names = BTreeSet::new();
    let list = operations(&document);
    assert!(list.len() > 10);
    for (method, path, operation) in list {
        let at = format!("{method} {path}");
        let tag = operation["tags"][0].as_str().unwrap_or_default();
        assert!(
            tags.contains(tag),
            "{at}: the tag `{tag}` has no description"
        );
        assert!(
            operation["summary"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{at}: no summary"
        );
        let name = operation["operationId"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!(
            name.starts_with(&format!("{tag}_")) && names.insert(name),
            "{at}: no name of its own"
        );
        let description = operation["description"].as_str().unwrap_or_default();
        assert!(
            description.contains("curl ") && description.contains("$URL/"),
            "{at}: no curl line"
        );
        assert!(
            !description.contains('{') || !description.contains("{id}"),
            "{at}: {description}"
        );
        let public = operation["security"] == json!([]);
        if path.starts_with("/api/") {
            assert!(!public, "{at}: nothing under /api is public");
            assert_eq!(
                operation["responses"]["401"]["$ref"], "#/components/responses/Unauthenticated",
                "{at}"
            );
        }
        if path.starts_with("/api/") || path.starts_with("/auth/") {
            for status in ["400", "422", "429", "500", "503"] {
                assert!(
                    operation["responses"].get(status).is_some(),
                    "{at}: no {status}"
                );
            }
        }
        for (status, answer) in operation["responses"].as_object().expect("answers") {
            let described = answer.get("$ref").is_some()
                || answer["description"]
                    .as_str()
                    .is_some_and(|text| !text.is_empty());
            assert!(described, "{at}: {status} has no description");
        }
    }
}

#[test]
fn what_can_be_guarded_says_so() {
    let document = serde_json::to_value(openapi_document()).expect("JSON");
    let mut guarded = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let declares = operation["parameters"]
            .as_array()
            .is_some_and(|list| list.iter().any(|one| one["name"] == "If-Match"));
        assert_eq!(
            declares,
            operation["responses"].get("412").is_some(),
            "{method} {path}"
        );
        if declares {
            guarded.insert(format!("{method} {path}"));
        }
    }
    let expected = [
        "patch /api/meetings/{id}",
        "patch /api/meetings/{id}/actions/{action_id}",
        "patch /api/meetings/{id}/decisions/{decision_id}",
        "patch /api/meetings/{id}/summary",
        "patch /api/meetings/{id}/transcript/{segment_id}",
        "put /api/agents/{id}",
        "put /api/meetings/{id}",
    ];
    assert_eq!(guarded, expected.map(str::to_owned).into());
}

#[test]
fn curl_lines_can_be_pasted() {
    let document = serde_json::to_value(openapi_document()).expect("JSON");
    let line = |path: &str, method: &str| {
        document["paths"][path][method]["description"]
            .as_str()
            .expect("text")
            .to_owned()
    };
    assert!(line("/api/webhooks", "post").contains(
        r#"curl -X POST "$URL/api/webhooks" -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '{"events":["meeting.ended","summary.updated"],"url":"https://example.com/meetmind"}'"#
    ), "{}", line("/api/webhooks", "post"));
    assert!(line("/api/meetings/{id}", "get").contains(r#"curl "$URL/api/meetings/mtg_01k9zq8v7w8r3t5y6h2j4n6p8q" -H "Authorization: Bearer $TOKEN""#));
    assert!(line("/api/meetings", "post").contains(r#"-d '{"title":""#));
}

#[test]
fn the_stream_is_documented_as_one() {
    let document = serde_json::to_value(openapi_document()).expect("JSON");
    assert!(
        document["paths"]["/api/meetings/{id}/events"]["get"]["responses"]["200"]["content"]
            .get("text/event-stream")
            .is_some()
    );
}

#[test]
fn every_event_has_a_message_and_every_reference_an_end() {
    let document = asyncapi_document();
    assert_eq!(document["asyncapi"], "3.0.0");
    assert_eq!(dangling(&document), Vec::<String>::new());
    for kind in EventKind::ALL {
        let message = &document["components"]["messages"][kind.as_str()];
        assert_eq!(
            message["payload"]["allOf"][1]["properties"]["type"]["const"],
            kind.as_str()
        );
        for channel in ["socket", "stream"] {
            assert!(
                document["channels"][channel]["messages"]
                    .get(kind.as_str())
                    .is_some(),
                "{kind} in {channel}"
            );
        }
    }
    let of = |kind: &str| {
        document["components"]["messages"][kind]["payload"]["allOf"][1]["properties"]["data"]["anyOf"].clone()
    };
    let either = |schema: &str| json!([{ "$ref": format!("#/components/schemas/{schema}") }, { "$ref": "#/components/schemas/Erased" }]);
    assert_eq!(of("segment.finalized"), either("Segment"));
    assert_eq!(of("meeting.started"), either("Meeting"));
    assert_eq!(of("agent.state_changed"), either("RunChange"));
}

#[test]
fn the_documents_are_the_same_each_time() {
    assert_eq!(
        openapi_document().to_json().expect("JSON"),
        openapi_document().to_json().expect("JSON")
    );
    assert_eq!(asyncapi_document(), asyncapi_document());
}

#[tokio::test]
async fn documents_are_served_and_not_sent_twice() {
    let server = TestServer::new().await;
    for path in ["/openapi.json", "/asyncapi.json"] {
        let first = server.get(&Actor::Anonymous, path).await;
        assert_eq!(
            (first.status, first.headers["content-type"].to_str().ok()),
            (StatusCode::OK, Some("application/json"))
        );
        assert!(first.json().is_object());
        let again = Request::get(path)
            .header("if-none-match", &first.headers["etag"])
            .body(Body::empty())
            .expect("a request");
        let again = server.send(&Actor::Anonymous, again).await;
        assert_eq!(
            (again.status, again.bytes.len()),
            (StatusCode::NOT_MODIFIED, 0)
        );
        let other = Request::get(path)
            .header("if-none-match", "\"other\"")
            .body(Body::empty())
            .expect("a request");
        assert_eq!(
            server.send(&Actor::Anonymous, other).await.status,
            StatusCode::OK
        );
    }
}

#[tokio::test]
async fn the_page_works_without_a_network() {
    let server = TestServer::new().await;
    let moved = server.get(&Actor::Anonymous, "/docs").await;
    assert_eq!(
        (moved.status, moved.headers["location"].to_str().ok()),
        (StatusCode::PERMANENT_REDIRECT, Some("/docs/"))
    );
    let page = server.get(&Actor::Anonymous, "/docs/").await;
    let html = String::from_utf8(page.bytes.to_vec()).expect("text");
    assert!(
        page.headers["content-type"]
            .to_str()
            .expect("text")
            .starts_with("text/html")
    );
    let policy = page.headers["content-security-policy"]
        .to_str()
        .expect("text");
    assert!(
        policy.contains("script-src 'self'") && !policy.contains("unsafe"),
        "{policy}"
    );
    let mut files = 0;
    for part in html.split('"').filter(|part| {
        [".js", ".css", ".svg"]
            .iter()
            .any(|end| part.ends_with(end))
    }) {
        assert!(!part.contains("//"), "{part} comes from elsewhere");
        let path = if part.starts_with('/') {
            part.to_owned()
        } else {
            format!("/docs/{part}")
        };
        let file = server.get(&Actor::Anonymous, &path).await;
        assert_eq!(file.status, StatusCode::OK, "{part}");
        assert!(file.bytes.len() > 200, "{part} is empty");
        files += 1;
    }
    assert_eq!(files, 6);
    for path in ["/docs/../Cargo.toml", "/docs/nowhere.js", "/docs/%2e%2e/x"] {
        assert_eq!(
            server.get(&Actor::Anonymous, path).await.code(),
            "NOT_FOUND",
            "{path}"
        );
    }
}
