//! Drafts, finals, repeats and lists.

use super::*;

#[tokio::test]
async fn the_first_words_start_the_meeting_and_carry_ones_own_name() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let (id, path) = meeting(&server, &anna, "implied").await;
    let said = server
        .post(
            &anna,
            &format!("{path}/transcript"),
            json!({ "text": "Good morning to all of you" }),
        )
        .await;
    assert_eq!(said.status, StatusCode::CREATED, "{}", said.json());
    let data = said.data();
    assert_eq!(
        (
            data["speaker"].as_str(),
            data["start_ms"].as_i64(),
            data["end_ms"].as_i64()
        ),
        (Some("anna@example.com"), Some(0), Some(2400))
    );
    assert_eq!(
        (data["final"].as_bool(), data["attribution"].as_str()),
        (Some(true), Some("declared"))
    );
    let location = said.headers["location"].to_str().expect("text");
    assert_eq!(server.get(&anna, location).await.data(), data);
    assert_eq!(server.get(&anna, &path).await.data()["status"], "live");
    server.app.clock.advance(std::time::Duration::from_secs(60));
    let later = server
        .post(
            &anna,
            &format!("{path}/transcript"),
            json!({ "text": "later" }),
        )
        .await
        .data();
    assert_eq!(later["start_ms"], 60_000);
    let kinds: Vec<EventKind> = events(&server, id)
        .await
        .iter()
        .map(|event| event.kind)
        .collect();
    assert_eq!(
        kinds,
        [
            EventKind::MeetingCreated,
            EventKind::MeetingStarted,
            EventKind::SegmentFinalized,
            EventKind::SegmentFinalized
        ]
    );
}

#[tokio::test]
async fn drafts_become_final_under_one_id_and_repeats_change_nothing() {
    let server = TestServer::new().await;
    let (anna, ben) = (server.app.user("anna").await, server.app.user("ben").await);
    let (id, path) = meeting(&server, &anna, "implied").await;
    participant(&server, id, ben.user_id(), "Ben", MeetingRole::Participant).await;
    let path = format!("{path}/transcript");
    let post = |body: Value| server.post(&anna, &path, body);
    let draft = post(json!({ "external_id": "e1", "final": false, "text": "we", "start_ms": 100, "end_ms": 200 })).await;
    assert_eq!(draft.status, StatusCode::CREATED);
    let longer = post(json!({ "external_id": "e1", "final": false, "text": "we decide" })).await;
    assert_eq!(
        (
            longer.status,
            longer.data()["version"].as_i64(),
            longer.data()["end_ms"].as_i64()
        ),
        (StatusCode::OK, Some(2), Some(900))
    );
    let same = post(json!({ "external_id": "e1", "final": false, "text": "we decide" })).await;
    assert_eq!(same.data()["version"], 2);
    let last = json!({ "external_id": "e1", "text": "we decided" });
    let sealed = post(last.clone()).await.data();
    assert_eq!(
        (&sealed["id"], &sealed["final"], &sealed["version"]),
        (&draft.data()["id"], &json!(true), &json!(3))
    );
    let before = events(&server, id).await.len();
    let again = post(last).await;
    assert_eq!(
        (again.status, again.data()),
        (StatusCode::OK, sealed.clone())
    );
    let overtaken = post(json!({ "external_id": "e1", "final": false, "text": "we dec" })).await;
    assert_eq!(
        (overtaken.status, overtaken.data()),
        (StatusCode::OK, sealed.clone()),
        "a draft that comes after its final"
    );
    assert_eq!(
        post(json!({ "external_id": "e1", "text": "other words" }))
            .await
            .code(),
        "SEGMENT_FINAL"
    );
    let kinds: Vec<EventKind> = events(&server, id)
        .await
        .into_iter()
        .map(|event| event.kind)
        .skip(2)
        .collect();
    assert_eq!(
        kinds,
        [
            EventKind::SegmentDrafted,
            EventKind::SegmentDrafted,
            EventKind::SegmentFinalized
        ]
    );
    assert_eq!(events(&server, id).await.len(), before);

    // In one list: out of order in time, a draft and its final, and another speaker's id.
    let list = post(json!([
        { "external_id": "e2", "final": false, "text": "b", "start_ms": 50 }, { "text": "a", "start_ms": 10 }, { "external_id": "e2", "text": "b!" }
    ])).await;
    assert_eq!(
        (list.status, list.data()["items"].as_array().map(Vec::len)),
        (StatusCode::CREATED, Some(3))
    );
    let texts: Vec<Value> = server.get(&anna, &path).await.data()["items"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|s| s["text"].clone())
        .collect();
    assert_eq!(texts, ["a", "b!", "we decided"]);
    let foreign = post(json!({ "external_id": "e3", "final": false, "text": "anna's" })).await;
    assert_eq!(foreign.status, StatusCode::CREATED);
    let stolen = server
        .post(&ben, &path, json!({ "external_id": "e3", "text": "ben's" }))
        .await;
    assert_eq!(stolen.code(), "CONFLICT", "{}", stolen.json());
}

#[tokio::test]
async fn after_the_end_finals_come_for_ten_minutes() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let (id, path) = meeting(&server, &anna, "implied").await;
    let path = format!("{path}/transcript");
    server
        .post(
            &anna,
            &path,
            json!({ "external_id": "e", "text": "in time" }),
        )
        .await;
    end(&server, id).await;
    assert_eq!(
        server
            .post(&anna, &path, json!({ "text": "draft", "final": false }))
            .await
            .code(),
        "MEETING_ENDED"
    );
    assert_eq!(
        server
            .post(&anna, &path, json!({ "text": "late" }))
            .await
            .status,
        StatusCode::CREATED
    );
    server
        .app
        .clock
        .advance(std::time::Duration::from_secs(601));
    assert_eq!(
        server
            .post(&anna, &path, json!({ "text": "too late" }))
            .await
            .code(),
        "MEETING_ENDED"
    );
    assert_eq!(
        server
            .post(
                &anna,
                &path,
                json!({ "external_id": "e", "text": "in time" })
            )
            .await
            .status,
        StatusCode::OK,
        "a repeat is no new word"
    );
}

#[tokio::test]
async fn two_at_once_under_one_external_id_make_one_row() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let Some(db) = TestDb::new(engine).await.expect("a database") else {
            continue;
        };
        let server = TestServer::over(TestApp::on(db, meetmind_app::Settings::default()).await);
        let anna = server.app.user("anna").await;
        let (_, path) = meeting(&server, &anna, "implied").await;
        let path = format!("{path}/transcript");
        // The first word starts the meeting, from both sides at once.
        let body = json!({ "external_id": "e", "text": "once", "start_ms": 5 });
        let (a, b, c) = tokio::join!(
            server.post(&anna, &path, body.clone()),
            server.post(&anna, &path, body.clone()),
            server.post(&anna, &path, body)
        );
        let statuses = [a.status.as_u16(), b.status.as_u16(), c.status.as_u16()];
        assert_eq!(
            statuses.iter().filter(|status| **status == 201).count(),
            1,
            "{statuses:?} {}",
            a.json()
        );
        assert!(statuses.iter().all(|status| *status < 300), "{statuses:?}");
        assert_eq!(
            (a.data()["id"].clone(), a.data()["id"].clone()),
            (b.data()["id"].clone(), c.data()["id"].clone())
        );
        // Racing drafts: each change counts once, and lists in another order do not block each other.
        let drafts = (0..6).map(|n| {
            let ids = if n % 2 == 0 { ["x", "y"] } else { ["y", "x"] };
            let list: Vec<Value> = ids.iter().map(|id| json!({ "external_id": id, "final": false, "text": format!("draft {n}"), "start_ms": 9 })).collect();
            server.post(&anna, &path, json!(list))
        });
        let answers = futures_util::future::join_all(drafts).await;
        assert!(
            answers.iter().all(|answer| answer.status.is_success()),
            "{:?}",
            answers.iter().map(TestAnswer::json).collect::<Vec<_>>()
        );
        let items = server.get(&anna, &path).await.data()["items"].clone();
        assert_eq!(items.as_array().map(Vec::len), Some(3), "{items}");
        assert_eq!(
            (items[1]["version"].as_i64(), items[2]["version"].as_i64()),
            (Some(6), Some(6))
        );
        let started = server
            .get(&anna, path.trim_end_matches("/transcript"))
            .await
            .data()["version"]
            .clone();
        assert_eq!(started, 2, "it was started once");
    }
}

#[tokio::test]
async fn bad_segments_are_refused_with_the_field() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let (_, path) = meeting(&server, &anna, "implied").await;
    let path = format!("{path}/transcript");
    let long = "x".repeat(1_000_000);
    let many: Vec<Value> = (0..501).map(|_| json!({ "text": "x" })).collect();
    let cases = [
        (json!({}), 422),
        (json!([]), 422),
        (json!(7), 422),
        (json!("x"), 422),
        (json!({ "text": "  " }), 422),
        (json!({ "text": "a\u{0}b" }), 422),
        (json!({ "text": long }), 422),
        (json!({ "text": "x", "start_ms": -1 }), 422),
        (json!({ "text": "x", "start_ms": 604_800_001_i64 }), 422),
        (json!({ "text": "x", "start_ms": 5, "end_ms": 4 }), 422),
        (json!({ "text": "x", "confidence": 1.5 }), 422),
        (json!({ "text": "x", "confidence": "high" }), 422),
        (json!({ "text": "x", "speaker": "" }), 422),
        (json!({ "text": "x", "external_id": "y".repeat(201) }), 422),
        (json!({ "text": "x", "language": "\n" }), 422),
        (json!(many), 422),
        (json!([{ "text": "x" }, { "text": 3 }]), 422),
        (json!({ "text": "x".repeat(16_384) }), 201),
        (json!({ "text": "😀".repeat(16_384) }), 201),
        (json!({ "text": "x", "start_ms": 604_800_000 }), 201),
        (json!({ "text": "x", "end_ms": 0 }), 201),
    ];
    for (number, (body, status)) in cases.into_iter().enumerate() {
        let answer = server.post(&anna, &path, body).await;
        assert_eq!(
            answer.status.as_u16(),
            status,
            "case {number}: {}",
            answer.json()
        );
    }
    let second = server
        .post(&anna, &path, json!([{ "text": "x" }, { "text": "" }]))
        .await;
    assert_eq!(second.json()["error"]["details"][0]["field"], "1.text");
    for query in [
        "from_ms=-1",
        "to_ms=x",
        "final=maybe",
        "format=pdf",
        "cursor=00",
        "cursor=ffff",
        "speaker=",
        "limit=101",
    ] {
        let answer = server.get(&anna, &format!("{path}?{query}")).await;
        assert!(
            matches!(answer.status.as_u16(), 400 | 422),
            "{query}: {}",
            answer.json()
        );
    }
}

#[tokio::test]
async fn a_meeting_of_eight_hours_comes_in_batches_and_pages_well() {
    let server = TestServer::new().await;
    let anna = server.app.user("anna").await;
    let segments: Vec<Value> = (0..6_000_i64)
        .map(|n| json!({ "speaker": format!("S{}", n % 5), "text": format!("turn number {n}"), "start_ms": n / 2 * 9_600, "end_ms": n / 2 * 9_600 + 4_000 }))
        .collect();
    let file = json!({ "format": "meetmind.meeting/1", "title": "All day", "segments": segments })
        .to_string();
    let made = send(
        &server,
        &anna,
        "/api/meetings/import",
        "application/json",
        file,
    )
    .await;
    assert_eq!(
        (made.status, made.data()["segments"].as_i64()),
        (StatusCode::CREATED, Some(6_000)),
        "{}",
        made.json()
    );
    let path = format!(
        "{}/transcript",
        made.headers["location"].to_str().expect("text")
    );
    let (mut seen, mut cursor, mut last) = (
        std::collections::HashSet::new(),
        String::new(),
        (0, String::new()),
    );
    loop {
        let page = server
            .get(&anna, &format!("{path}?limit=100{cursor}"))
            .await
            .data();
        for item in page["items"].as_array().expect("items") {
            let place = (
                item["start_ms"].as_i64().expect("a start"),
                item["id"].as_str().expect("an id").to_owned(),
            );
            assert!(place > last, "in order");
            last = place.clone();
            assert!(seen.insert(place.1), "none twice");
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 6_000);
    let hour = server
        .get(
            &anna,
            &format!("{path}?from_ms=25200000&to_ms=25300000&speaker=s3&limit=100"),
        )
        .await
        .data();
    let items = hour["items"].as_array().expect("items");
    assert!(
        !items.is_empty()
            && items.iter().all(|item| item["speaker"] == "S3"
                && (25_200_000..25_300_000).contains(&item["start_ms"].as_i64().expect("a start")))
    );
    let listed = server.get(&anna, "/api/meetings").await.data();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1));
}
