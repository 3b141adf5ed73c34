//! `PATCH /api/meetings/{id}/highlights/{highlight_id}`

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::Room;

async fn listed(room: &Room, query: &str) -> Vec<Value> {
    let path = room.path(&format!("/highlights{query}"));
    let answer = room.server.get(&room.vera, &path).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json());
    answer.data()["items"].as_array().expect("items").clone()
}

fn path(highlight: &Value) -> String {
    format!("/highlights/{}", highlight["id"].as_str().expect("an id"))
}

async fn summary_lines(room: &Room) -> Vec<String> {
    let answer = room.server.get(&room.vera, &room.path("/summary")).await;
    let data = answer.data();
    let lines = data["summary"]["lines"].as_array().expect("lines").iter();
    lines
        .map(|line| line["text"].as_str().expect("words").to_owned())
        .collect()
}

#[tokio::test]
async fn a_dismissed_highlight_leaves_the_lists_and_is_not_chosen_again() {
    let room = Room::new().await;
    room.server
        .post(&room.ben, &room.path("/highlights"), Value::Null)
        .await;
    let before = listed(&room, "").await;
    let gone = &before[0];
    assert_eq!(gone["status"], "proposed");
    let text = gone["text"].as_str().expect("words").to_owned();
    assert!(summary_lines(&room).await.contains(&text));

    let done = room
        .patch(&room.ben, &path(gone), json!({ "status": "dismissed" }))
        .await;
    assert_eq!(
        (done.status, &done.data()["status"]),
        (StatusCode::OK, &json!("dismissed"))
    );
    for again in [false, true] {
        if again {
            room.server
                .post(&room.ben, &room.path("/highlights"), Value::Null)
                .await;
        }
        let left = listed(&room, "").await;
        assert!(left.iter().all(|it| it["id"] != gone["id"]), "{left:?}");
        assert!(left.iter().all(|it| it["text"] != gone["text"]), "{left:?}");
        assert!(!summary_lines(&room).await.contains(&text));
        let dismissed = listed(&room, "?status=dismissed").await;
        assert_eq!(dismissed.len(), 1);
        assert_eq!(dismissed[0]["id"], gone["id"]);
    }

    room.patch(&room.ben, &path(gone), json!({ "status": "proposed" }))
        .await;
    assert!(summary_lines(&room).await.contains(&text));
}

#[tokio::test]
async fn an_edited_highlight_stays_as_written_and_says_whose_words_it_has() {
    let room = Room::new().await;
    room.server
        .post(&room.ben, &room.path("/highlights"), Value::Null)
        .await;
    let before = listed(&room, "").await;
    let lease = before
        .iter()
        .find(|it| it["segment_ids"][0] == json!(room.segments[2]))
        .expect("the decision is a highlight");

    let quoted = room
        .patch(
            &room.ben,
            &path(lease),
            json!({ "text": "keep the harbour office" }),
        )
        .await
        .data();
    assert_eq!(
        (&quoted["speaker"], &quoted["status"]),
        (&json!("Anna"), &json!("confirmed"))
    );
    let own = room
        .patch(
            &room.ben,
            &path(lease),
            json!({ "text": "The office stays for a year" }),
        )
        .await
        .data();
    assert_eq!(own["speaker"], "Ben");

    room.server
        .post(&room.ben, &room.path("/highlights"), Value::Null)
        .await;
    let after = listed(&room, "").await;
    assert_eq!(after.len(), before.len(), "{after:?}");
    assert!(after.contains(&own), "{after:?}");
    assert!(
        summary_lines(&room)
            .await
            .contains(&"The office stays for a year".to_owned())
    );
}

#[tokio::test]
async fn what_a_change_of_a_highlight_may_not_say() {
    let room = Room::new().await;
    room.server
        .post(&room.ben, &room.path("/highlights"), Value::Null)
        .await;
    let highlight = path(&listed(&room, "").await[0]);
    for body in [
        json!({ "status": "eaten" }),
        json!({ "text": "" }),
        json!({ "text": "x".repeat(1_001) }),
        json!({ "text": "a\u{0}b" }),
    ] {
        let answer = room.patch(&room.ben, &highlight, body.clone()).await;
        assert_eq!(answer.code(), "VALIDATION_FAILED", "{body}");
    }
    let topics = room.server.get(&room.ben, &room.path("/topics")).await;
    let topic = topics.data()["items"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let wrong = room
        .patch(&room.ben, &format!("/highlights/{topic}"), json!({}))
        .await;
    assert_eq!(wrong.status, StatusCode::NOT_FOUND);
    let viewer = room.patch(&room.vera, &highlight, json!({})).await;
    assert_eq!(viewer.code(), "FORBIDDEN");
    let stranger = room.patch(&room.eve, &highlight, json!({})).await;
    assert_eq!(stranger.code(), "NOT_FOUND");
}
