//! `/api/meetings/{id}/messages`

use std::time::Duration;

use axum::http::StatusCode;
use meetmind_app::{MessageNew, MessageOrder};
use meetmind_core::{Actor, MessageKind, PageQuery};
use meetmind_server::testing::TestServer;
use serde_json::{Value, json};

use crate::people::{People, events, text};

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
