//! Editing the summary.

use axum::body::Body;
use axum::http::Request;

use super::*;

#[tokio::test]
async fn an_edited_summary_stays_until_it_is_given_back() {
    let room = Room::new().await;
    let early = room
        .patch(&room.ben, "/summary", json!({ "headline": "x" }))
        .await;
    assert_eq!(early.code(), "NOT_FOUND", "nothing was written yet");
    let remake = || {
        let path = room.path("/summary");
        let room = &room;
        async move { room.server.post(&room.ben, &path, Value::Null).await }
    };
    let first = remake().await.data()["summary"].clone();
    assert_eq!(first["edited"], false);
    let quoted = json!({ "text": TALK[1].1, "segment_ids": [room.segments[1]] });
    let own =
        json!({ "text": "The rent goes up.", "segment_ids": [room.segments[2], room.segments[1]] });
    let body = json!({ "headline": "The lease", "lines": [own, quoted] });
    let edited = room.patch(&room.ben, "/summary", body.clone()).await;
    assert_eq!(edited.status, StatusCode::OK, "{}", edited.json());
    assert_eq!(
        edited.headers["etag"],
        format!("\"{}\"", first["version"].as_i64().expect("a number") + 1)
    );
    let edited = edited.data()["summary"].clone();
    assert_eq!(
        (&edited["headline"], &edited["edited"]),
        (&json!("The lease"), &json!(true))
    );
    let lines = &edited["lines"];
    assert_eq!(
        (&lines[0]["speaker"], &lines[0]["start_ms"]),
        (&Value::Null, &json!(20_000))
    );
    assert_eq!(
        lines[1]["speaker"], TALK[1].0,
        "its words are the segment's own"
    );

    // Another pass leaves it alone; a correction marks it.
    let segment = format!("/transcript/{}", room.segments[1]);
    let fix = json!({ "text": "Nothing of the kind." });
    assert_eq!(
        room.patch(&room.anna, &segment, fix).await.status,
        StatusCode::OK
    );
    let again = remake().await.data()["summary"].clone();
    assert_eq!(
        (&again["lines"], &again["headline"]),
        (lines, &json!("The lease"))
    );
    assert_eq!(again["stale"], true);
    let guarded = Request::patch(room.path("/summary"))
        .header("content-type", "application/json")
        .header("if-match", "\"1\"")
        .body(Body::from(r#"{"headline":"y"}"#))
        .expect("a request");
    assert_eq!(
        room.server.send(&room.ben, guarded).await.code(),
        "PRECONDITION_FAILED"
    );
    for (who, code) in [(&room.vera, "FORBIDDEN"), (&room.eve, "NOT_FOUND")] {
        assert_eq!(room.patch(who, "/summary", body.clone()).await.code(), code);
    }
    for bad in [
        json!({ "headline": " " }),
        json!({ "lines": [{ "text": "x", "segment_ids": [] }] }),
        json!({ "lines": [{ "text": "x", "segment_ids": ["seg_00000000000000000000000001"] }] }),
        json!({ "lines": vec![body["lines"][0].clone(); 51] }),
        json!({ "headline": "x", "edited": false }),
    ] {
        assert_eq!(
            room.patch(&room.ben, "/summary", bad.clone()).await.code(),
            "VALIDATION_FAILED",
            "{bad}"
        );
    }

    // Erased words leave it too; given back, it is made anew.
    let erased = room
        .server
        .call(
            &room.anna,
            Method::DELETE,
            &room.path(&segment),
            Value::Null,
        )
        .await;
    assert_eq!(erased.status, StatusCode::OK);
    assert!(!remake().await.json().to_string().contains(TALK[1].1));
    let body = json!({ "headline": "Mine" });
    room.patch(&room.ben, "/summary", body).await;
    let back = room
        .patch(&room.ben, "/summary", json!({ "edited": false }))
        .await
        .data();
    assert_eq!(back["summary"]["edited"], false);
    assert_ne!(back["summary"]["headline"], "Mine");
}
