//! `/api/meetings`

use axum::http::{Method, StatusCode};
use meetmind_core::Actor;
use meetmind_server::testing::TestServer;
use serde_json::{Value, json};

use crate::people::{People, events, servers, text, user_id};

#[tokio::test]
async fn a_meeting_lives_from_creation_to_restoration() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let made = server
        .post(
            &anna,
            "/api/meetings",
            json!({ "name": "Weekly", "access": "link" }),
        )
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.json());
    let path = made.headers["location"].to_str().expect("text").to_owned();
    assert_eq!(made.data()["title"], "Weekly");
    assert_eq!(made.headers["etag"], "\"1\"");

    let guarded = axum::http::Request::put(&path)
        .header("content-type", "application/json")
        .header("if-match", "\"7\"")
        .body(axum::body::Body::from(r#"{"title":"x"}"#))
        .expect("a request");
    assert_eq!(
        server.send(&anna, guarded).await.code(),
        "PRECONDITION_FAILED"
    );
    let changed = server
        .call(
            &anna,
            Method::PUT,
            &path,
            json!({ "title": "Monthly", "description": null }),
        )
        .await;
    assert_eq!(
        (changed.status, changed.data()["version"].clone()),
        (StatusCode::OK, json!(2))
    );

    assert_eq!(
        server
            .call(&anna, Method::DELETE, &path, Value::Null)
            .await
            .status,
        StatusCode::OK
    );
    assert_eq!(server.get(&anna, &path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        server
            .post(&anna, &format!("{path}/restore"), Value::Null)
            .await
            .status,
        StatusCode::OK
    );
    assert_eq!(server.get(&anna, &path).await.data()["role"], "host");
}

#[tokio::test]
async fn strangers_see_nothing_and_lists_page() {
    let server = TestServer::new().await;
    let (anna, ben) = (server.app.user("anna").await, server.app.user("ben").await);
    for number in 0..3 {
        server
            .post(
                &anna,
                "/api/meetings",
                json!({ "title": format!("m{number}") }),
            )
            .await;
    }
    let first = server.get(&anna, "/api/meetings?limit=2").await.data();
    let cursor = first["next_cursor"].as_str().expect("more").to_owned();
    let second = server
        .get(&anna, &format!("/api/meetings?limit=2&cursor={cursor}"))
        .await
        .data();
    assert_eq!(
        (
            first["items"].as_array().map(Vec::len),
            second["items"].as_array().map(Vec::len)
        ),
        (Some(2), Some(1))
    );
    let path = format!(
        "/api/meetings/{}",
        first["items"][0]["id"].as_str().expect("an id")
    );
    assert_eq!(server.get(&ben, &path).await.code(), "NOT_FOUND");
    assert_eq!(
        server.get(&Actor::Anonymous, &path).await.code(),
        "UNAUTHENTICATED"
    );
    assert_eq!(
        server.get(&ben, "/api/meetings").await.data()["items"],
        json!([])
    );
}

#[tokio::test]
async fn erasing_leaves_a_receipt_and_nothing_else() {
    for server in servers().await {
        let people = People::new(&server).await;
        let gathering = people.gather(&server, json!({ "title": "Merger" })).await;
        server
            .post(
                &people.host,
                &format!("{}/join", gathering.path),
                Value::Null,
            )
            .await;
        let messages = format!("{}/messages", gathering.path);
        server
            .post(&people.host, &messages, json!({ "text": "hush" }))
            .await;
        // Also what was deleted for now can be erased.
        server
            .call(&people.host, Method::DELETE, &gathering.path, Value::Null)
            .await;
        let erase = format!("{}?erase=true", gathering.path);
        assert_eq!(
            server
                .call(&people.cohost, Method::DELETE, &erase, Value::Null)
                .await
                .code(),
            "FORBIDDEN"
        );
        let receipt = server
            .call(&people.host, Method::DELETE, &erase, Value::Null)
            .await;
        assert_eq!(receipt.status, StatusCode::OK, "{}", receipt.json());
        let erased = receipt.data()["erased"].clone();
        assert_eq!(
            (
                &erased["meetings"],
                &erased["participants"],
                &erased["messages"]
            ),
            (&json!(1), &json!(6), &json!(1))
        );
        for store in [
            "citations",
            "consents",
            "segments",
            "topics",
            "highlights",
            "summaries",
            "actions",
            "decisions",
            "memories",
            "runs",
            "events",
            "webhook_deliveries",
        ] {
            assert!(erased[store].is_u64(), "{store} in {erased}");
        }
        assert_eq!(
            server
                .post(
                    &people.host,
                    &format!("{}/restore", gathering.path),
                    Value::Null
                )
                .await
                .code(),
            "NOT_FOUND"
        );
        assert_eq!(
            server
                .call(&people.host, Method::DELETE, &erase, Value::Null)
                .await
                .code(),
            "NOT_FOUND"
        );
        assert_eq!(
            events(&server, &format!("meeting:{}", gathering.meeting_id)).await,
            []
        );
        let told = events(&server, &format!("user:{}", user_id(&people.viewer))).await;
        assert_eq!(
            told.last(),
            Some(&(
                "meeting.erased".to_owned(),
                json!({ "meeting_id": gathering.meeting_id })
            ))
        );
        assert!(
            !told
                .iter()
                .any(|(_, data)| data.to_string().contains("Merger")),
            "{told:?}"
        );
    }
}

#[tokio::test]
async fn a_configured_livekit_server_gives_room_tokens() {
    use base64::Engine as _;
    let livekit = meetmind_app::LiveKitSettings {
        url: "wss://sfu.example.com".to_owned(),
        api_key: "devkey".to_owned(),
        api_secret: "a secret of at least thirty-two bytes".to_owned(),
    };
    let settings = meetmind_app::Settings {
        livekit: Some(livekit),
        ..meetmind_app::Settings::default()
    };
    let server = TestServer::over(meetmind_app::testing::TestApp::with(settings).await);
    let people = People::new(&server).await;
    let gathering = people.gather(&server, json!({})).await;
    for (actor, publishes) in [(&people.host, true), (&people.viewer, false)] {
        let joined = server
            .post(actor, &format!("{}/join", gathering.path), Value::Null)
            .await
            .data();
        assert_eq!(joined["livekit"]["url"], "wss://sfu.example.com");
        let token = text(&joined["livekit"]["token"]);
        let payload = token.split('.').nth(1).expect("three parts");
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(payload)
            .expect("base64");
        let claims: Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(claims["video"]["room"], json!(gathering.meeting_id));
        assert_eq!(claims["video"]["canPublish"], publishes);
        assert_eq!(claims["sub"], joined["participant"]["id"]);
        let lifetime = claims["exp"].as_i64().zip(claims["nbf"].as_i64());
        assert_eq!(lifetime.map(|(end, begin)| end - begin), Some(600));
    }
}

#[tokio::test]
async fn an_invitation_can_be_renewed_and_the_calendar_file_is_one() {
    let server = TestServer::new().await;
    let people = People::new(&server).await;
    let gathering = people.gather(&server, json!({ "access": "link" })).await;
    let invite = format!("{}/invite", gathering.path);
    let old = server.get(&people.host, &invite).await.data();
    assert!(text(&old["url"]).ends_with(&format!(
        "/app/join/{}#{}",
        gathering.meeting_id,
        text(&old["invite_code"])
    )));
    let kept = server
        .post(&people.host, &invite, json!({ "regenerate": false }))
        .await
        .data();
    assert_eq!(kept, old);
    let new = server
        .post(&people.host, &invite, json!({ "regenerate": true }))
        .await
        .data();
    assert_ne!(new["invite_code"], old["invite_code"]);
    let join = format!("{}/join", gathering.path);
    let code = |invite: &Value| json!({ "invite_code": invite["invite_code"] });
    assert_eq!(
        server
            .post(&people.stranger, &join, code(&old))
            .await
            .status,
        404
    );
    assert_eq!(
        server
            .post(&people.stranger, &join, code(&new))
            .await
            .status,
        200
    );

    let file = server
        .get(&people.viewer, &format!("{}/ics", gathering.path))
        .await;
    assert_eq!(file.headers["content-type"], "text/calendar; charset=utf-8");
    let content = String::from_utf8(file.bytes.to_vec()).expect("UTF-8");
    assert!(
        content.starts_with("BEGIN:VCALENDAR\r\n") && content.ends_with("END:VCALENDAR\r\n"),
        "{content}"
    );
}

#[tokio::test]
async fn a_time_zone_is_a_name() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    for (zone, status) in [
        ("Europe/Stockholm", 201),
        ("Etc/GMT+5", 201),
        ("America/Argentina/Buenos_Aires", 201),
        ("UTC", 201),
        ("+02:00", 422),
        ("Europe/Stock holm", 422),
        ("Öst/Väst", 422),
        ("", 422),
    ] {
        let answer = server
            .post(
                &anna,
                "/api/meetings",
                json!({ "title": "x", "time_zone": zone }),
            )
            .await;
        assert_eq!(answer.status.as_u16(), status, "{zone}");
    }
}
