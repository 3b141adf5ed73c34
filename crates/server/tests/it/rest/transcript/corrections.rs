//! Corrections, their history, and erasure.

use super::*;

#[tokio::test]
async fn a_correction_is_guarded_told_and_marked() {
    let server = TestServer::new().await;
    let (anna, vera, eve) = (
        server.app.user("anna").await,
        server.app.user("vera").await,
        server.app.user("eve").await,
    );
    let (id, path) = meeting(&server, &anna, "implied").await;
    participant(&server, id, vera.user_id(), "Vera", MeetingRole::Viewer).await;
    let said = server
        .post(
            &anna,
            &format!("{path}/transcript"),
            json!({ "text": "Hallburg" }),
        )
        .await
        .data();
    let one = format!("{path}/transcript/{}", said["id"].as_str().expect("an id"));
    assert_eq!(
        server
            .call(&vera, Method::PATCH, &one, json!({ "text": "y" }))
            .await
            .code(),
        "FORBIDDEN"
    );
    assert_eq!(
        server
            .call(&vera, Method::DELETE, &one, Value::Null)
            .await
            .code(),
        "FORBIDDEN"
    );
    assert_eq!(
        server
            .call(&eve, Method::PATCH, &one, json!({ "text": "y" }))
            .await
            .code(),
        "NOT_FOUND"
    );
    assert_eq!(
        server
            .call(
                &anna,
                Method::PATCH,
                &one,
                json!({ "end_ms": 0, "start_ms": 9 })
            )
            .await
            .code(),
        "VALIDATION_FAILED"
    );
    let guarded = |version: &str| {
        Request::patch(&one)
            .header("content-type", "application/json")
            .header("if-match", version)
            .body(Body::from(r#"{"text":"Hallberg","speaker":"vera"}"#))
            .expect("a request")
    };
    assert_eq!(
        server.send(&anna, guarded("\"9\"")).await.code(),
        "PRECONDITION_FAILED"
    );
    let corrected = server.send(&anna, guarded("\"1\"")).await;
    assert_eq!(
        (corrected.status, &corrected.headers["etag"]),
        (
            StatusCode::OK,
            &axum::http::HeaderValue::from_static("\"2\"")
        ),
        "{}",
        corrected.json()
    );
    let data = corrected.data();
    assert_eq!(
        (
            data["text"].as_str(),
            data["speaker"].as_str(),
            data["version"].as_i64()
        ),
        (Some("Hallberg"), Some("Vera"), Some(2))
    );
    assert!(data["corrected_at"].is_string());
    assert_eq!(
        server
            .call(&anna, Method::PATCH, &one, json!({ "text": "Hallberg" }))
            .await
            .data(),
        data,
        "nothing changed"
    );
    let kinds: Vec<EventKind> = events(&server, id)
        .await
        .into_iter()
        .map(|event| event.kind)
        .collect();
    assert_eq!(
        kinds
            .iter()
            .filter(|kind| **kind == EventKind::SegmentCorrected)
            .count(),
        1
    );
    // The same segment under another meeting's address is not there.
    let (_, other) = meeting(&server, &eve, "implied").await;
    let strayed = format!("{other}/transcript/{}", said["id"].as_str().expect("an id"));
    for method in [Method::GET, Method::PATCH, Method::DELETE] {
        let body = if method == Method::PATCH {
            json!({ "text": "z" })
        } else {
            Value::Null
        };
        assert_eq!(
            server.call(&eve, method, &strayed, body).await.code(),
            "NOT_FOUND"
        );
    }
}

#[tokio::test]
async fn an_erased_segment_is_gone_from_everywhere() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let (id, path) = meeting(&server, &anna, "implied").await;
    let transcript = format!("{path}/transcript");
    let said = server
        .post(
            &anna,
            &transcript,
            json!({ "text": "my password is walrus", "external_id": "e" }),
        )
        .await
        .data();
    server
        .post(&anna, &transcript, json!({ "text": "harmless words" }))
        .await;
    let one = format!("{transcript}/{}", said["id"].as_str().expect("an id"));
    server
        .call(
            &anna,
            Method::PATCH,
            &one,
            json!({ "text": "my password is a walrus" }),
        )
        .await;
    let receipt = server.call(&anna, Method::DELETE, &one, Value::Null).await;
    assert_eq!(
        (receipt.status, receipt.data()["events"].as_i64()),
        (StatusCode::OK, Some(2)),
        "{}",
        receipt.json()
    );
    assert_eq!(server.get(&anna, &one).await.code(), "NOT_FOUND");
    assert_eq!(
        server
            .call(&anna, Method::DELETE, &one, Value::Null)
            .await
            .code(),
        "NOT_FOUND"
    );
    assert_eq!(
        server.get(&anna, "/api/search?q=walrus").await.data()["items"],
        json!([])
    );
    for format in ["json", "vtt", "srt", "txt", "md"] {
        let file = server
            .get(&anna, &format!("{transcript}?format={format}"))
            .await;
        let text = String::from_utf8_lossy(&file.bytes).into_owned();
        assert!(
            !text.contains("walrus") && text.contains("harmless"),
            "{format}: {text}"
        );
    }
    let stored = events(&server, id).await;
    let text = serde_json::to_string(&stored).expect("JSON");
    assert!(
        !text.contains("walrus") && text.contains("harmless"),
        "{text}"
    );
    assert_eq!(
        stored.last().map(|event| event.kind),
        Some(EventKind::SegmentErased)
    );
}

#[tokio::test]
async fn the_history_of_a_segment_says_who_corrected_what_and_goes_with_its_words() {
    let server = TestServer::new().await;
    let (anna, ben, vera) = (
        server.app.user("anna").await,
        server.app.user("ben").await,
        server.app.user("vera").await,
    );
    let (id, path) = meeting(&server, &anna, "implied").await;
    let bens = participant(&server, id, ben.user_id(), "Ben", MeetingRole::Participant).await;
    participant(
        &server,
        id,
        vera.user_id(),
        "Vera",
        MeetingRole::Participant,
    )
    .await;
    let transcript = format!("{path}/transcript");
    let said = server
        .post(&ben, &transcript, json!({ "text": "my pin is walrus" }))
        .await
        .data();
    let one = format!("{transcript}/{}", said["id"].as_str().expect("an id"));
    let history = format!("{one}/history");
    assert_eq!(server.get(&anna, &history).await.data()["items"], json!([]));
    let correct = |who: &Actor, body: Value| {
        let (server, who, one) = (&server, who.clone(), one.clone());
        async move {
            server
                .app
                .clock
                .advance(std::time::Duration::from_millis(1));
            let answer = server.call(&who, Method::PATCH, &one, body).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.json());
        }
    };
    correct(&ben, json!({ "text": "my pin is secret" })).await;
    correct(
        &anna,
        json!({ "speaker": "Vera", "start_ms": 0, "end_ms": 900 }),
    )
    .await;

    let items = server.get(&anna, &history).await.data()["items"].clone();
    let shown = |at: usize| {
        let row = &items[at];
        (
            row["version"].as_i64(),
            row["speaker"].as_str(),
            row["text"].as_str(),
        )
    };
    assert_eq!(shown(0), (Some(1), Some("Ben"), Some("my pin is walrus")));
    assert_eq!(shown(1), (Some(2), Some("Ben"), Some("my pin is secret")));
    assert_eq!(
        [&items[0]["actor"], &items[1]["actor"]],
        [&json!(ben.key()), &json!(anna.key())]
    );
    assert!(items[0]["at"].as_str() < items[1]["at"].as_str());
    let first = server
        .get(&anna, &format!("{history}?limit=1"))
        .await
        .data();
    let cursor = first["next_cursor"].as_str().expect("more");
    let rest = server
        .get(&anna, &format!("{history}?cursor={cursor}"))
        .await;
    assert_eq!(rest.data()["items"], json!([items[1]]));
    // They are Vera's words now.
    assert_eq!(server.get(&vera, &history).await.status, StatusCode::OK);
    assert_eq!(server.get(&ben, &history).await.code(), "FORBIDDEN");

    let mut conn = server.app.db.store.read().await.expect("a connection");
    let log = conn.audit_list(None, 10).await.expect("the audit log");
    let told: Vec<&AuditEntry> = log
        .iter()
        .filter(|entry| entry.action == "segment.corrected")
        .collect();
    assert_eq!(told.len(), 2);
    assert_eq!((&told[0].actor, &told[1].actor), (&anna.key(), &ben.key()));
    assert!(
        told.iter()
            .all(|entry| !entry.details.to_string().contains("pin"))
    );
    drop(conn);

    // Ben's words are erased, also where they are ascribed to Vera by now.
    let erase = format!("{path}/participants/{bens}/erase-words");
    let receipt = server.post(&ben, &erase, Value::Null).await.data();
    assert_eq!(receipt["erased"]["segment_changes"], 2);
    assert_eq!(server.get(&anna, &history).await.data()["items"], json!([]));
    correct(&anna, json!({ "text": "nothing" })).await;
    assert_eq!(
        server.get(&anna, &history).await.data()["items"][0]["text"],
        "my pin is secret"
    );
    let erased = server.call(&anna, Method::DELETE, &one, Value::Null).await;
    assert_eq!(erased.status, StatusCode::OK);
    assert_eq!(server.get(&anna, &history).await.code(), "NOT_FOUND");
    let left = server
        .app
        .db
        .store
        .read()
        .await
        .expect("a connection")
        .segment_change_list(
            said["id"].as_str().expect("an id").parse().expect("an id"),
            None,
            10,
        )
        .await
        .expect("rows");
    assert_eq!(left, []);
}
