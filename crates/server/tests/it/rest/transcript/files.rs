//! Exports and imports.

use super::*;

#[tokio::test]
async fn what_is_exported_can_be_imported_again() {
    let server = TestServer::new().await;
    let (anna, eve) = (server.app.user("anna").await, server.app.user("eve").await);
    let (_, path) = meeting(&server, &anna, "implied").await;
    let transcript = format!("{path}/transcript");
    let list = json!([
        { "speaker": "Priya Raman", "text": "Right, <b>morning</b> & --> welcome.", "start_ms": 1400, "end_ms": 6263 },
        { "speaker": "Tomasz Zieliński", "text": "It's the chiller: \"quoted\" 😀", "start_ms": 6447, "end_ms": 10467 },
        { "speaker": "Priya Raman", "text": "Over night.", "start_ms": 90_000_000, "end_ms": 90_001_000 }
    ]);
    assert_eq!(
        server.post(&anna, &transcript, list).await.status,
        StatusCode::CREATED
    );
    for (format, media_type) in [
        ("json", "application/json"),
        ("vtt", "text/vtt"),
        ("srt", "application/x-subrip"),
        ("txt", "text/plain"),
        ("md", "text/markdown"),
    ] {
        let file = server
            .get(&anna, &format!("{transcript}?format={format}"))
            .await;
        assert!(
            file.headers["content-type"]
                .to_str()
                .expect("text")
                .starts_with(media_type),
            "{format}"
        );
        assert_eq!(
            file.headers["content-disposition"],
            format!("attachment; filename=\"bottling.{format}\"")
        );
        let made = send(
            &server,
            &anna,
            &format!("/api/meetings/import?file_name=a.{format}"),
            media_type,
            file.bytes.clone(),
        )
        .await;
        assert_eq!(
            made.status,
            StatusCode::CREATED,
            "{format}: {}",
            made.json()
        );
        let data = made.data();
        assert_eq!(
            (data["segments"].as_i64(), data["participants"].as_i64()),
            (Some(3), Some(3)),
            "{format}"
        );
        assert_eq!(
            (
                data["meeting"]["status"].as_str(),
                data["meeting"]["archived_at"].as_str()
            ),
            (Some("ended"), None)
        );
        let copy = made.headers["location"].to_str().expect("text").to_owned();
        assert_eq!(server.get(&eve, &copy).await.code(), "NOT_FOUND");
        let items = server
            .get(&anna, &format!("{copy}/transcript"))
            .await
            .data()["items"]
            .clone();
        assert_eq!(
            (items[1]["speaker"].as_str(), items[1]["text"].as_str()),
            (
                Some("Tomasz Zieliński"),
                Some("It's the chiller: \"quoted\" 😀")
            ),
            "{format}"
        );
        assert_eq!(items[0]["attribution"], "import");
        assert!(items[0]["participant_id"].is_string());
        if format == "json" {
            let again = server
                .get(&anna, &format!("{copy}/transcript?format=json"))
                .await;
            let (mut a, mut b): (Value, Value) = (file.json(), again.json());
            for value in [&mut a, &mut b] {
                for segment in value["segments"].as_array_mut().expect("segments") {
                    segment["id"] = Value::Null;
                }
                value["participants"] = Value::Null;
            }
            assert_eq!(a, b);
            assert_eq!(data["meeting"]["title"], "Bottling");
        }
    }
}

#[tokio::test]
async fn an_import_is_checked_and_belongs_to_its_importer() {
    let server = TestServer::new().await;
    let (anna, ben) = (server.app.user("anna").await, server.app.user("ben").await);
    let vtt = "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Ana>hello there\n";
    let titled = send(
        &server,
        &anna,
        "/api/meetings/import?title=Old%20one&starts_at=2020-01-02T03:04:05Z",
        "text/plain",
        vtt,
    )
    .await
    .data();
    assert_eq!(
        (
            titled["meeting"]["title"].as_str(),
            titled["meeting"]["started_at"].as_str()
        ),
        (Some("Old one"), Some("2020-01-02T03:04:05.000000Z"))
    );
    for (path, kind, body, code) in [
        (
            "/api/meetings/import",
            "application/json",
            "{\"segments\":7}",
            "VALIDATION_FAILED",
        ),
        ("/api/meetings/import", "text/vtt", "", "VALIDATION_FAILED"),
        (
            "/api/meetings/import?format=doc",
            "text/plain",
            vtt,
            "VALIDATION_FAILED",
        ),
        (
            "/api/meetings/import?title=%00",
            "text/plain",
            vtt,
            "VALIDATION_FAILED",
        ),
        (
            "/api/meetings/import?series_id=srs_00000000000000000000000001",
            "text/plain",
            vtt,
            "NOT_FOUND",
        ),
    ] {
        let answer = send(&server, &anna, path, kind, body).await;
        assert_eq!(answer.code(), code, "{path}: {}", answer.json());
    }
    let big = format!("A: {}\n", "x ".repeat(10_000));
    assert_eq!(
        send(&server, &anna, "/api/meetings/import", "text/plain", big)
            .await
            .code(),
        "VALIDATION_FAILED",
        "a turn is no longer than a segment"
    );
    assert_eq!(
        send(
            &server,
            &anna,
            "/api/meetings/import",
            "text/plain",
            vec![b'x'; 21 * 1024 * 1024]
        )
        .await
        .code(),
        "PAYLOAD_TOO_LARGE"
    );
    assert_eq!(
        send(
            &server,
            &Actor::Anonymous,
            "/api/meetings/import",
            "text/plain",
            vtt
        )
        .await
        .code(),
        "UNAUTHENTICATED"
    );
    assert_eq!(
        send(
            &server,
            &key(&anna, &[Scope::MeetingsRead]),
            "/api/meetings/import",
            "text/plain",
            vtt
        )
        .await
        .code(),
        "SCOPE_MISSING"
    );

    let (id, path) = meeting(&server, &anna, "ask").await;
    let ana = participant(&server, id, None, "Ana", MeetingRole::Participant).await;
    participant(&server, id, ben.user_id(), "Ben", MeetingRole::Cohost).await;
    let into = format!("{path}/import");
    assert_eq!(
        send(&server, &ben, &into, "text/vtt", vtt).await.code(),
        "FORBIDDEN"
    );
    assert_eq!(
        send(&server, &anna, &into, "text/vtt", vtt).await.code(),
        "CONSENT_DENIED"
    );
    consent(
        &server,
        id,
        ana,
        ConsentState::Granted,
        ConsentState::Pending,
    )
    .await;
    end(&server, id).await;
    server
        .app
        .clock
        .advance(std::time::Duration::from_secs(3600));
    let done = send(&server, &anna, &into, "text/vtt", vtt).await;
    assert_eq!(done.status, StatusCode::CREATED, "{}", done.json());
    let items = server
        .get(&anna, &format!("{path}/transcript"))
        .await
        .data()["items"]
        .clone();
    assert_eq!(
        items[0]["participant_id"].as_str(),
        Some(ana.to_string().as_str())
    );
}
