//! What events carry, held against the AsyncAPI document.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use axum::http::Method;
use meetmind_app::Settings;
use meetmind_core::EventKind;
use meetmind_media::driver::DriverConfig;
use meetmind_server::asyncapi_document;
use meetmind_server::testing::TestServer;
use serde_json::{Value, json};

use crate::people::{People, events, recording_server, text, user_id};

/// Why a value is not what a schema says; the keywords that our schemas of records use, but for
/// patterns and formats.
fn faults(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(target) = schema["$ref"].as_str() {
        let found = document.pointer(target.trim_start_matches('#'));
        return faults(document, found.expect("a schema"), value, at);
    }
    let mut wrong = Vec::new();
    for part in schema["allOf"].as_array().into_iter().flatten() {
        wrong.extend(faults(document, part, value, at));
    }
    for keyword in ["oneOf", "anyOf"] {
        if let Some(ways) = schema[keyword].as_array() {
            let fits = |way: &Value| faults(document, way, value, at).is_empty();
            if !ways.iter().any(fits) {
                wrong.push(format!("{at}: {value} is none of {keyword}"));
            }
        }
    }
    if let Some(constant) = schema.get("const").filter(|constant| *constant != value) {
        wrong.push(format!("{at}: {value} is not {constant}"));
    }
    if let Some(words) = schema["enum"]
        .as_array()
        .filter(|words| !words.contains(value))
    {
        wrong.push(format!("{at}: {value} is not one of {words:?}"));
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    };
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        _ => false,
    };
    if !kinds.is_empty() && !kinds.iter().any(|kind| is(kind)) {
        wrong.push(format!("{at}: {value} is no {kinds:?}"));
    }
    if value.is_object() {
        for name in schema["required"].as_array().into_iter().flatten() {
            let name = name.as_str().expect("a name");
            if value.get(name).is_none() {
                wrong.push(format!("{at}: has no {name}"));
            }
        }
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            if let Some(value) = value.get(name) {
                wrong.extend(faults(document, schema, value, &format!("{at}.{name}")));
            }
        }
    }
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
        for value in values {
            wrong.extend(faults(document, items, value, &format!("{at}[]")));
        }
    }
    wrong
}

/// Calls as told and gives the answers' data.
async fn done(
    server: &TestServer,
    who: &meetmind_core::Actor,
    method: Method,
    path: &str,
    body: Value,
) -> Value {
    // No two changes are of one moment.
    server.app.clock.advance(Duration::from_millis(1));
    let answer = server.call(who, method.clone(), path, body).await;
    assert!(
        answer.status.is_success(),
        "{method} {path}: {}",
        answer.json()
    );
    answer.data()
}

#[tokio::test]
async fn events_carry_what_the_document_says() {
    let server = recording_server(Settings::default()).await;
    let people = People::new(&server).await;
    let (host, ben) = (&people.host, &people.participant);
    let room = people
        .gather(
            &server,
            json!({ "consent_policy": "implied", "access": "open", "lobby": true }),
        )
        .await;
    let at = |rest: &str| format!("{}{rest}", room.path);
    let post = |who, path: String, body: Value| {
        let server = &server;
        async move { done(server, who, Method::POST, &path, body).await }
    };
    let patch = |path: String, body: Value| {
        let server = &server;
        async move { done(server, host, Method::PATCH, &path, body).await }
    };

    // People come, wait, are let in, change, consent, leave and are removed.
    post(host, at("/join"), json!({})).await;
    post(ben, at("/join"), json!({})).await;
    let eve = post(&people.stranger, at("/join"), json!({})).await;
    let eve = at(&format!(
        "/participants/{}",
        text(&eve["participant"]["id"])
    ));
    patch(eve.clone(), json!({ "admit": true })).await;
    patch(eve.clone(), json!({ "name": "Eve" })).await;
    done(&server, host, Method::DELETE, &eve, Value::Null).await;
    let own = room.participant_path(&server, ben).await;
    let word = json!({ "transcript": "granted", "memory": "granted" });
    done(&server, ben, Method::PUT, &format!("{own}/consent"), word).await;

    // They speak, and are corrected.
    let draft = json!({ "external_id": "x", "text": "I will", "start_ms": 0, "end_ms": 900, "final": false });
    post(ben, at("/transcript"), draft).await;
    let lines = [
        "I will send the landlord our offer for the lease by Friday.",
        "We decided to keep the harbour office for one more year.",
        "The battery of the charger lasts only four hours in the cold.",
    ];
    for (number, line) in lines.iter().enumerate() {
        let start = number * 10_000;
        let mut said =
            json!({ "text": line, "start_ms": start, "end_ms": start + 9_000, "final": true });
        if number == 0 {
            said["external_id"] = json!("x");
        }
        post(ben, at("/transcript"), said).await;
    }
    let said = done(&server, host, Method::GET, &at("/transcript"), Value::Null).await;
    let segment = |number: usize| {
        at(&format!(
            "/transcript/{}",
            text(&said["items"][number]["id"])
        ))
    };
    patch(
        segment(1),
        json!({ "text": "We decided to keep the office." }),
    )
    .await;
    post(ben, at("/messages"), json!({ "text": "Hello" })).await;

    // Notes grow.
    post(host, at("/summary"), Value::Null).await;
    let topics = done(&server, host, Method::GET, &at("/topics"), Value::Null).await;
    let topic = at(&format!("/topics/{}", text(&topics["items"][0]["id"])));
    patch(topic, json!({ "label": "lease" })).await;
    let highlights = done(&server, host, Method::GET, &at("/highlights"), Value::Null).await;
    let highlight = at(&format!(
        "/highlights/{}",
        text(&highlights["items"][0]["id"])
    ));
    patch(highlight, json!({ "status": "confirmed" })).await;
    for kind in ["actions", "decisions"] {
        let made = post(
            ben,
            at(&format!("/{kind}")),
            json!({ "text": "Call the lawyer" }),
        )
        .await;
        let path = at(&format!("/{kind}/{}", text(&made["id"])));
        patch(path, json!({ "status": "confirmed" })).await;
    }
    let context = json!({ "meeting_id": room.meeting_id, "context": { "phase": "a" } });
    post(ben, "/api/mcp/context".to_owned(), context).await;

    // An agent is asked in and sent away; a memory, a webhook.
    let agent = post(host, "/api/agents".to_owned(), json!({ "name": "Max" })).await;
    let run = post(host, at("/agents"), json!({ "agent_id": agent["id"] })).await;
    let ctx = server.app.ctx(&meetmind_core::Actor::System);
    server.app.app.tick_runs(&ctx).await.expect("a turn");
    let say = format!("/api/runs/{}/say", text(&run["id"]));
    post(host, say, json!({ "text": "Hello all" })).await;
    let stop = format!("/api/runs/{}/stop", text(&run["id"]));
    post(host, stop, Value::Null).await;
    let path = format!("/api/agents/{}", text(&agent["id"]));
    done(&server, host, Method::PUT, &path, json!({ "name": "Eva" })).await;
    let tool = json!({ "tool": "memory_save", "arguments": { "content": "Fridays", "meeting_id": room.meeting_id } });
    let saved = post(host, "/api/mcp/tools".to_owned(), tool).await;
    let memory = text(&saved["result"]["memory"]["id"]);
    let path = format!("/api/mem0/memories/{memory}");
    done(
        &server,
        host,
        Method::PUT,
        &path,
        json!({ "content": "Mondays" }),
    )
    .await;
    done(&server, host, Method::DELETE, &path, Value::Null).await;

    // It is recorded twice; the second one is deleted.
    let driver = DriverConfig {
        listen: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        udp_port: 0,
        tcp_port: None,
        shards: 1,
        ..DriverConfig::default()
    };
    let app = &server.app.app;
    let rooms = app.rooms_open(driver, None).await.expect("a media server");
    let recording = post(host, at("/recordings"), Value::Null).await;
    let folder = app.settings().recordings.directory.clone();
    // Nothing can be written down of what is not there any more.
    std::fs::remove_dir_all(&folder).expect("a folder");
    let failed = at(&format!("/recordings/{}", text(&recording["id"])));
    while done(&server, host, Method::GET, &failed, Value::Null).await["status"] == "recording" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let recording = post(host, at("/recordings"), Value::Null).await;
    let path = at(&format!("/recordings/{}", text(&recording["id"])));
    post(host, format!("{path}/stop"), Value::Null).await;
    done(&server, host, Method::DELETE, &path, Value::Null).await;
    rooms.stop(Duration::from_secs(1)).await;

    // The end.
    done(
        &server,
        host,
        Method::PUT,
        &room.path,
        json!({ "title": "New" }),
    )
    .await;
    done(&server, host, Method::DELETE, &segment(2), Value::Null).await;
    post(ben, at("/leave"), Value::Null).await;
    post(host, at("/end"), Value::Null).await;
    done(&server, host, Method::DELETE, &room.path, Value::Null).await;
    post(host, at("/restore"), Value::Null).await;
    let hook = json!({ "url": "https://93.184.215.14/hook", "events": ["meeting.ended"] });
    let hook = post(host, "/api/webhooks".to_owned(), hook).await;
    let test = format!("/api/webhooks/{}/test", text(&hook["id"]));
    post(host, test, Value::Null).await;
    let other = people.gather(&server, json!({})).await;
    let erase = format!("{}?erase=true", other.path);
    done(&server, host, Method::DELETE, &erase, Value::Null).await;

    let document = asyncapi_document();
    let mut wrong = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut blanked = BTreeSet::new();
    let topics = [
        format!("meeting:{}", room.meeting_id),
        format!("run:{}", text(&run["id"])),
        format!("user:{}", user_id(host)),
        format!("user:{}", user_id(ben)),
    ];
    for topic in topics {
        for (kind, data) in events(&server, &topic).await {
            let schema = &document["components"]["messages"][&kind]["payload"]["allOf"][1]["properties"]
                ["data"];
            assert!(schema.is_object(), "{kind} has no schema");
            seen.insert(kind.clone());
            if data["erased"] == true {
                blanked.insert(kind.clone());
            }
            let faults = faults(&document, schema, &data, &kind);
            if !faults.is_empty() {
                wrong.insert(format!("{kind} in {topic}"), (faults, data));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(blanked.contains("segment.finalized"), "{blanked:?}");
    let unseen: Vec<&str> = EventKind::ALL
        .iter()
        .map(|kind| kind.as_str())
        .filter(|kind| !seen.contains(*kind))
        .collect();
    assert_eq!(unseen, [""; 0]);
}

#[test]
fn what_is_not_as_a_schema_says_is_noticed() {
    let document = json!({ "schemas": { "Id": { "type": "string" } } });
    let schema = json!({ "allOf": [{ "type": "object", "required": ["id", "kind"], "properties": {
        "id": { "$ref": "#/schemas/Id" },
        "kind": { "enum": ["a", "b"] },
        "size": { "oneOf": [{ "type": "null" }, { "type": "integer" }] },
        "list": { "type": ["array", "null"], "items": { "const": true } },
    } }] });
    let fits = |value: Value| faults(&document, &schema, &value, "it").len();
    assert_eq!(
        fits(json!({ "id": "x", "kind": "a", "size": null, "list": [true] })),
        0
    );
    for value in [
        json!({ "kind": "a" }),
        json!({ "id": 1, "kind": "a" }),
        json!({ "id": "x", "kind": "c" }),
        json!({ "id": "x", "kind": "a", "size": "1" }),
        json!({ "id": "x", "kind": "a", "list": [true, false] }),
        json!([]),
    ] {
        assert_eq!(fits(value.clone()), 1, "{value}");
    }
}
