//! `/api/meetings/{id}/messages`

use std::time::Duration;

use axum::http::StatusCode;
use meetmind_app::{MessageNew, MessageOrder};
use meetmind_core::{Actor, MessageKind, PageQuery, Scope};
use meetmind_server::testing::TestServer;
use serde_json::{Value, json};

use crate::people::{Gathering, People, by_key, events, text};

#[tokio::test]
async fn chat_is_read_from_both_ends_and_stays_after_the_end() {
    let server = TestServer::new().await;
    let people = People::new(&server).await;
    let gathering = people.gather(&server, json!({})).await;
    let path = format!("{}/messages", gathering.path);
    let mut first = Value::Null;
    for number in 0..3 {
        server.app.clock.advance(Duration::from_millis(1));
        let body = json!({ "text": format!("m{number}"), "reply_to": first });
        let posted = server.post(&people.participant, &path, body).await;
        assert_eq!(posted.status, StatusCode::CREATED, "{}", posted.json());
        if first.is_null() {
            first = posted.data()["id"].clone();
        }
        assert_eq!(posted.data()["kind"], "text");
    }
    let texts = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().expect("items");
        items.iter().map(|item| text(&item["text"])).collect()
    };
    let page = server
        .get(&people.viewer, &format!("{path}?limit=2"))
        .await
        .data();
    assert_eq!(texts(&page), ["m0", "m1"]);
    let rest = format!("{path}?limit=2&cursor={}", text(&page["next_cursor"]));
    assert_eq!(
        texts(&server.get(&people.viewer, &rest).await.data()),
        ["m2"]
    );
    let newest = server
        .get(&people.viewer, &format!("{path}?limit=2&order=desc"))
        .await
        .data();
    assert_eq!(texts(&newest), ["m2", "m1"]);
    let rest = format!(
        "{path}?limit=2&order=desc&cursor={}",
        text(&newest["next_cursor"])
    );
    assert_eq!(
        texts(&server.get(&people.viewer, &rest).await.data()),
        ["m0"]
    );

    let told = events(&server, &format!("meeting:{}", gathering.meeting_id)).await;
    let posted: Vec<&Value> = told
        .iter()
        .filter(|(kind, _)| kind == "message.posted")
        .map(|(_, data)| &data["text"])
        .collect();
    assert_eq!(posted, ["m0", "m1", "m2"]);

    server
        .post(
            &people.host,
            &format!("{}/end", gathering.path),
            Value::Null,
        )
        .await;
    assert_eq!(
        texts(&server.get(&people.viewer, &path).await.data()).len(),
        3
    );
    let late = server
        .post(&people.host, &path, json!({ "text": "late" }))
        .await;
    assert_eq!(
        (late.status, late.code().as_str()),
        (StatusCode::CONFLICT, "MEETING_ENDED")
    );
}

#[tokio::test]
async fn what_is_no_message_is_refused() {
    let server = TestServer::new().await;
    let people = People::new(&server).await;
    let gathering = people.gather(&server, json!({})).await;
    let elsewhere = people.gather(&server, json!({})).await;
    let path = format!("{}/messages", gathering.path);
    let foreign = server
        .post(
            &people.host,
            &format!("{}/messages", elsewhere.path),
            json!({ "text": "x" }),
        )
        .await
        .data();
    for body in [
        json!({}),
        json!({ "text": "" }),
        json!({ "text": " \n" }),
        json!({ "text": "a\u{0}b" }),
        json!({ "text": "ö".repeat(8001) }),
        json!({ "text": "x", "reply_to": foreign["id"] }),
        json!({ "text": "x", "reply_to": "mtg_00000000000000000000000001" }),
    ] {
        assert_eq!(
            server.post(&people.host, &path, body.clone()).await.code(),
            "VALIDATION_FAILED",
            "{body}"
        );
    }
    let longest = server
        .post(&people.host, &path, json!({ "text": "ö".repeat(8000) }))
        .await;
    assert_eq!(longest.status, StatusCode::CREATED);
    assert_eq!(
        server
            .get(&people.host, &format!("{path}?order=up"))
            .await
            .code(),
        "VALIDATION_FAILED"
    );
}

#[tokio::test]
async fn only_the_system_notifies_and_only_agents_answer() {
    let server = TestServer::new().await;
    let people = People::new(&server).await;
    let gathering = people.gather(&server, json!({})).await;
    let post = async |actor: &Actor, kind: MessageKind| {
        let new = MessageNew {
            kind,
            text: "x".to_owned(),
            reply_to: None,
            segment_ids: Vec::new(),
        };
        let ctx = server.app.ctx(actor);
        let posted = server
            .app
            .app
            .message_post(&ctx, gathering.meeting_id, new)
            .await;
        posted
            .map(|message| message.author)
            .map_err(|error| error.code.as_str())
    };
    assert_eq!(
        post(&people.host, MessageKind::Notice).await,
        Err("FORBIDDEN")
    );
    assert_eq!(
        post(&people.host, MessageKind::Answer).await,
        Err("FORBIDDEN")
    );
    assert_eq!(
        post(&gathering.guest, MessageKind::Text).await,
        Ok("Gast".to_owned())
    );
    assert_eq!(
        post(&Actor::System, MessageKind::Notice).await,
        Ok("MeetMind".to_owned())
    );
    assert_eq!(
        post(&Actor::System, MessageKind::Text).await,
        Err("FORBIDDEN")
    );
    let ctx = server.app.ctx(&people.host);
    let list = server
        .app
        .app
        .message_list(
            &ctx,
            gathering.meeting_id,
            MessageOrder::OldestFirst,
            &PageQuery::default(),
        )
        .await;
    assert_eq!(list.expect("a list").items.len(), 2);
}

/// A meeting in which something was said and quoted in chat: a notice and an agent's answer.
async fn quoted(server: &TestServer, people: &People) -> Gathering {
    let fields = json!({ "consent_policy": "implied" });
    let gathering = people.gather(server, fields).await;
    let words = json!({ "text": "We decided to buy the red kiln.", "start_ms": 0, "end_ms": 900, "final": true });
    let path = format!("{}/transcript", gathering.path);
    let said = server.post(&people.participant, &path, words).await;
    assert_eq!(said.status, StatusCode::CREATED, "{}", said.json());
    server.app.clock.advance(Duration::from_secs(1));
    let path = format!("{}/messages", gathering.path);
    let asked = json!({ "text": "/summary" });
    assert_eq!(
        server.post(&people.host, &path, asked).await.status,
        StatusCode::CREATED
    );
    let new = json!({ "name": "Max", "role": "assistant" });
    let agent = server.post(&people.host, "/api/agents", new).await.data();
    let body = json!({ "agent_id": agent["id"] });
    let path = format!("{}/agents", gathering.path);
    let run = server.post(&people.host, &path, body).await;
    assert_eq!(run.status, StatusCode::CREATED, "{}", run.json());
    gathering
}

#[tokio::test]
async fn a_key_without_the_transcript_reads_no_quotation_in_chat() {
    let server = TestServer::new().await;
    let people = People::new(&server).await;
    let gathering = quoted(&server, &people).await;
    let path = format!("{}/messages", gathering.path);
    let chat = by_key(
        &people.participant,
        &[Scope::MeetingsRead, Scope::MeetingsWrite],
    );
    let seen = server.get(&people.viewer, &path).await.data().to_string();
    assert!(seen.contains("red kiln"), "{seen}");
    let page = server.get(&chat, &path).await.data();
    assert!(!page.to_string().contains("kiln"), "{page}");
    let notice = &page["items"][1];
    assert_eq!(
        (notice["kind"].as_str(), notice["segment_ids"].clone()),
        (Some("notice"), json!([]))
    );
    assert!(text(&notice["text"]).contains("transcripts:read"));
    assert_eq!(page["items"][0]["text"], "/summary");
}

#[tokio::test]
async fn a_key_without_the_transcript_cannot_have_it_quoted() {
    let server = TestServer::new().await;
    let people = People::new(&server).await;
    let gathering = quoted(&server, &people).await;
    let path = format!("{}/messages", gathering.path);
    let chat = by_key(
        &people.participant,
        &[Scope::MeetingsRead, Scope::MeetingsWrite],
    );
    let count = async || {
        let page = server.get(&people.host, &path).await.data();
        page["items"].as_array().map(Vec::len)
    };
    let before = count().await;
    for asking in [
        "/summary",
        "/topics",
        "/decisions",
        "next topic",
        "what did we decide about the kiln?",
        "@Max what did we decide about the kiln?",
    ] {
        let body = json!({ "text": asking });
        let refused = server.post(&chat, &path, body).await;
        assert_eq!(refused.code(), "SCOPE_MISSING", "{asking}");
        let by_tool = json!({ "tool": "post_message", "arguments": { "meeting_id": gathering.meeting_id, "text": asking } });
        let refused = server.post(&chat, "/api/mcp/tools", by_tool).await;
        assert_eq!(refused.code(), "SCOPE_MISSING", "{asking} by tool");
    }
    let next = json!({ "tool": "topic_navigation", "arguments": { "meeting_id": gathering.meeting_id, "direction": "next" } });
    let refused = server.post(&chat, "/api/mcp/tools", next).await;
    assert_eq!(refused.code(), "SCOPE_MISSING");
    assert_eq!(count().await, before, "a refused question was posted");
    for talk in [
        "Hello",
        "@Ben, see you at four",
        "/task Call the kiln maker",
    ] {
        let body = json!({ "text": talk });
        let posted = server.post(&chat, &path, body).await;
        assert_eq!(posted.status, StatusCode::CREATED, "{talk}");
    }
}
