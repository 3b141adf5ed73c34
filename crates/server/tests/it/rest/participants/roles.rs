//! Roles: who may do what, hand-over, inviting, large lists.

use std::collections::HashSet;
use std::time::Duration;

use axum::http::Method;
use meetmind_core::{
    Actor, Id, MeetingRole, Participant, ParticipantId, ParticipantState, Scope, uuid_v7,
};
use meetmind_server::testing::TestServer;
use serde_json::{Value, json};

use crate::people::{People, by_key, outcome, patch, servers, text, user_id};

const READ: [u16; 9] = [200, 200, 200, 200, 200, 404, 401, 200, 403];
const MANAGE: [u16; 9] = [200, 200, 403, 403, 403, 404, 401, 200, 403];
const HOST: [u16; 9] = [200, 403, 403, 403, 403, 404, 401, 200, 403];
const ADD: [u16; 9] = [201, 201, 403, 403, 403, 404, 401, 201, 403];
const SPEAK: [u16; 9] = [201, 201, 201, 403, 201, 404, 401, 201, 403];
const OTHERS_CONSENT: [u16; 9] = [403, 403, 403, 403, 403, 404, 401, 403, 403];

/// Each operation for: host, cohost, participant, viewer, guest, stranger, anonymous, the host's
/// key with the scopes for meetings, the host's key without them.
#[tokio::test]
async fn every_role_may_do_what_the_table_says_and_nothing_else() {
    let server = TestServer::new().await;
    let people = People::new(&server).await;
    let invited = server.app.user("invited").await;
    let add = json!({ "user_id": user_id(&invited) });
    let get = Method::GET;
    let rows: Vec<(Method, &str, Value, [u16; 9])> = vec![
        (get.clone(), "", Value::Null, READ),
        (get.clone(), "/ics", Value::Null, READ),
        (get.clone(), "/invite", Value::Null, MANAGE),
        (
            Method::POST,
            "/invite",
            json!({ "regenerate": true }),
            MANAGE,
        ),
        (Method::POST, "/lock", json!({ "locked": true }), MANAGE),
        (Method::POST, "/end", Value::Null, MANAGE),
        (Method::POST, "/leave", Value::Null, READ),
        (Method::PUT, "", json!({ "title": "Monthly" }), MANAGE),
        (Method::PATCH, "", json!({ "title": "Monthly" }), MANAGE),
        (Method::DELETE, "", Value::Null, HOST),
        (Method::DELETE, "?erase=true", Value::Null, HOST),
        (get.clone(), "/participants", Value::Null, READ),
        (Method::POST, "/participants", add, ADD),
        (get.clone(), "/participants/{other}", Value::Null, READ),
        (
            Method::PATCH,
            "/participants/{other}",
            json!({ "muted": true }),
            MANAGE,
        ),
        (
            Method::PATCH,
            "/participants/{other}",
            json!({ "name": "Otter" }),
            MANAGE,
        ),
        (
            Method::PATCH,
            "/participants/{other}",
            json!({ "role": "viewer" }),
            MANAGE,
        ),
        (
            Method::PATCH,
            "/participants/{other}",
            json!({ "role": "host" }),
            HOST,
        ),
        (Method::DELETE, "/participants/{other}", Value::Null, MANAGE),
        (
            get.clone(),
            "/participants/{other}/consent",
            Value::Null,
            MANAGE,
        ),
        (
            Method::PUT,
            "/participants/{other}/consent",
            json!({ "memory": "granted" }),
            OTHERS_CONSENT,
        ),
        (
            Method::POST,
            "/participants/{other}/erase-words",
            Value::Null,
            HOST,
        ),
        (get.clone(), "/consents", Value::Null, MANAGE),
        (get.clone(), "/messages", Value::Null, READ),
        (Method::POST, "/messages", json!({ "text": "Hello" }), SPEAK),
    ];
    for (method, path, body, expected) in rows {
        for (column, status) in expected.into_iter().enumerate() {
            let gathering = people.gather(&server, json!({})).await;
            let other = gathering.participant_id(&server, &people.other).await;
            let actors = [
                people.host.clone(),
                people.cohost.clone(),
                people.participant.clone(),
                people.viewer.clone(),
                gathering.guest.clone(),
                people.stranger.clone(),
                Actor::Anonymous,
                by_key(&people.host, &[Scope::MeetingsRead, Scope::MeetingsWrite]),
                by_key(&people.host, &[Scope::MemoryRead]),
            ];
            let path = format!("{}{path}", gathering.path).replace("{other}", &other.to_string());
            let answer = server
                .call(&actors[column], method.clone(), &path, body.clone())
                .await;
            assert_eq!(
                answer.status.as_u16(),
                status,
                "{method} {path} as column {column}: {}",
                answer.json()
            );
            if column == 8 {
                assert_eq!(answer.code(), "SCOPE_MISSING", "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn inviting_tells_nothing_about_accounts() {
    let server = TestServer::new().await;
    let people = People::new(&server).await;
    let gathering = people.gather(&server, json!({})).await;
    let participants = format!("{}/participants", gathering.path);
    let by_address = server
        .post(
            &people.host,
            &participants,
            json!({ "email": "nobody@example.com" }),
        )
        .await;
    let by_id = server
        .post(
            &people.host,
            &participants,
            json!({ "user_id": "usr_00000000000000000000000001" }),
        )
        .await;
    assert_eq!(outcome(&by_address), (422, "VALIDATION_FAILED".to_owned()));
    assert_eq!(
        by_address.json()["error"]["details"][0]["message"],
        by_id.json()["error"]["details"][0]["message"]
    );
    for body in [
        json!({}),
        json!({ "email": "a@b", "user_id": user_id(&people.other) }),
        json!({ "user_id": user_id(&people.stranger), "role": "host" }),
        json!({ "user_id": user_id(&people.stranger), "role": "agent" }),
        json!({ "email": "a\u{0}b@example.com" }),
        json!({ "email": "x".repeat(255) }),
    ] {
        assert_eq!(
            server
                .post(&people.host, &participants, body.clone())
                .await
                .code(),
            "VALIDATION_FAILED",
            "{body}"
        );
    }
    let twice = server
        .post(
            &people.host,
            &participants,
            json!({ "user_id": user_id(&people.other) }),
        )
        .await;
    assert_eq!(twice.code(), "CONFLICT");
}

#[tokio::test]
async fn the_host_hands_over_and_there_is_always_exactly_one() {
    let server = TestServer::new().await;
    let people = People::new(&server).await;
    let gathering = people.gather(&server, json!({})).await;
    let host = gathering.participant_path(&server, &people.host).await;
    let other = gathering.participant_path(&server, &people.other).await;
    let Actor::Guest { participant_id, .. } = &gathering.guest else {
        panic!("not a guest");
    };
    let guest_path = format!("{}/participants/{participant_id}", gathering.path);
    let refused = [
        (&people.host, &host, json!({ "role": "cohost" }), "CONFLICT"),
        (
            &people.cohost,
            &host,
            json!({ "role": "viewer" }),
            "FORBIDDEN",
        ),
        (
            &people.cohost,
            &other,
            json!({ "role": "host" }),
            "FORBIDDEN",
        ),
        (
            &people.host,
            &guest_path,
            json!({ "role": "host" }),
            "CONFLICT",
        ),
        (
            &people.host,
            &other,
            json!({ "role": "agent" }),
            "VALIDATION_FAILED",
        ),
        (&people.host, &other, json!({ "admit": true }), "CONFLICT"),
        (
            &people.host,
            &other,
            json!({ "name": " \n " }),
            "VALIDATION_FAILED",
        ),
    ];
    for (actor, path, body, code) in refused {
        assert_eq!(
            patch(&server, actor, path, body.clone()).await.code(),
            code,
            "{body}"
        );
    }
    assert_eq!(
        patch(&server, &people.host, &host, json!({ "role": "host" }))
            .await
            .status
            .as_u16(),
        200
    );
    assert_eq!(
        patch(&server, &people.host, &other, json!({ "role": "host" }))
            .await
            .data()["role"],
        "host"
    );
    assert_eq!(
        server.get(&people.host, &host).await.data()["role"],
        "cohost"
    );
    assert_eq!(
        patch(&server, &people.host, &other, json!({ "role": "viewer" }))
            .await
            .code(),
        "FORBIDDEN"
    );
    assert_eq!(
        patch(&server, &people.other, &host, json!({ "role": "viewer" }))
            .await
            .status
            .as_u16(),
        200
    );
}

#[tokio::test]
async fn people_rename_themselves_and_nobody_else() {
    let server = TestServer::new().await;
    let people = People::new(&server).await;
    let gathering = people.gather(&server, json!({})).await;
    let own = gathering.participant_path(&server, &people.viewer).await;
    let renamed = patch(&server, &people.viewer, &own, json!({ "name": "  Vera  " })).await;
    assert_eq!(renamed.data()["name"], "Vera");
    assert_eq!(
        patch(
            &server,
            &people.viewer,
            &own,
            json!({ "name": "Vera", "role": "host" })
        )
        .await
        .code(),
        "FORBIDDEN"
    );
    assert_eq!(
        patch(&server, &people.viewer, &own, json!({ "muted": false }))
            .await
            .code(),
        "FORBIDDEN"
    );
    assert_eq!(
        patch(
            &server,
            &people.viewer,
            &own,
            json!({ "name": "x".repeat(101) })
        )
        .await
        .code(),
        "VALIDATION_FAILED"
    );
    assert_eq!(
        patch(&server, &people.participant, &own, json!({ "name": "Eve" }))
            .await
            .code(),
        "FORBIDDEN"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_hand_overs_at_once_one_wins() {
    for server in servers().await {
        let people = People::new(&server).await;
        let gathering = people.gather(&server, json!({})).await;
        let mut calls = Vec::new();
        for target in [&people.other, &people.participant] {
            let path = gathering.participant_path(&server, target).await;
            let (server, host) = (server.clone(), people.host.clone());
            calls.push(tokio::spawn(async move {
                patch(&server, &host, &path, json!({ "role": "host" }))
                    .await
                    .status
                    .as_u16()
            }));
        }
        let mut statuses = Vec::new();
        for call in calls {
            statuses.push(call.await.expect("an answer"));
        }
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 403]);
        let list = server
            .get(&people.cohost, &format!("{}/participants", gathering.path))
            .await
            .data();
        let hosts = list["items"]
            .as_array()
            .expect("items")
            .iter()
            .filter(|one| one["role"] == "host")
            .count();
        assert_eq!(hosts, 1);
    }
}

#[tokio::test]
async fn ten_thousand_participants_page_without_gap() {
    let server = TestServer::new().await;
    let people = People::new(&server).await;
    let gathering = people.gather(&server, json!({})).await;
    let now = server.app.app.now();
    let mut tx = server.app.db.store.begin().await.expect("a transaction");
    for number in 0..10_000u64 {
        let later = now.plus(Duration::from_millis(number));
        let participant = Participant {
            id: ParticipantId::from_uuid(uuid_v7(later, number)),
            meeting_id: gathering.meeting_id,
            user_id: None,
            agent_id: None,
            name: format!("Guest {number}"),
            role: MeetingRole::Viewer,
            state: ParticipantState::Joined,
            muted: false,
            joined_at: Some(later),
            left_at: None,
            created_at: later,
            updated_at: later,
        };
        tx.participant_insert(&participant).await.expect("a guest");
    }
    tx.commit().await.expect("a commit");
    let (mut seen, mut cursor) = (HashSet::new(), String::new());
    loop {
        let path = format!("{}/participants?limit=100{cursor}", gathering.path);
        let page = server.get(&people.viewer, &path).await.data();
        for item in page["items"].as_array().expect("items") {
            assert!(seen.insert(text(&item["id"])), "twice: {item}");
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 10_006);
    assert_eq!(
        server
            .post(
                &people.host,
                &format!("{}/end", gathering.path),
                Value::Null
            )
            .await
            .status
            .as_u16(),
        200
    );
}

#[tokio::test]
async fn a_role_acts_on_roles_below_its_own() {
    let server = TestServer::new().await;
    let people = People::new(&server).await;
    let gathering = people.gather(&server, json!({})).await;
    let second = server.app.user("second").await;
    let body = json!({ "user_id": user_id(&second), "role": "cohost" });
    let path = format!("{}/participants", gathering.path);
    server.post(&people.host, &path, body).await;
    for above in [&people.host, &second] {
        let path = gathering.participant_path(&server, above).await;
        for body in [
            json!({ "name": "Clown" }),
            json!({ "muted": true }),
            json!({ "role": "viewer" }),
            json!({ "admit": false }),
        ] {
            let refused = patch(&server, &people.cohost, &path, body.clone()).await;
            assert_eq!(outcome(&refused), (403, "FORBIDDEN".to_owned()), "{body}");
        }
        let removed = server
            .call(&people.cohost, Method::DELETE, &path, Value::Null)
            .await;
        assert_eq!(outcome(&removed), (403, "FORBIDDEN".to_owned()));
    }
    let place = gathering.participant_path(&server, &second).await;
    for (who, path, body) in [
        (
            &people.host,
            &place,
            json!({ "name": "Deputy", "muted": true }),
        ),
        (&second, &place, json!({ "name": "Second", "muted": false })),
        (&people.host, &place, json!({ "role": "participant" })),
        (&people.cohost, &place, json!({ "muted": true })),
    ] {
        let done = patch(&server, who, path, body.clone()).await;
        assert_eq!(done.status.as_u16(), 200, "{body}: {}", done.json());
    }
}

#[tokio::test]
async fn what_is_hidden_is_hidden_however_wrong_the_request_is() {
    let server = TestServer::new().await;
    let people = People::new(&server).await;
    let gathering = people.gather(&server, json!({})).await;
    let wrong = json!({ "text": 7, "label": 7, "title": 7, "user_id": 7, "start_ms": "x" });
    for (method, path) in [
        (Method::POST, "/actions"),
        (Method::POST, "/decisions"),
        (Method::PATCH, "/topics/top_00000000000000000000000001"),
        (Method::PATCH, "/actions/act_00000000000000000000000001"),
        (Method::POST, "/messages"),
        (Method::POST, "/transcript"),
        (Method::POST, "/participants"),
        (Method::PUT, ""),
        (Method::GET, "/transcript?limit=0"),
    ] {
        let path = format!("{}{path}", gathering.path);
        let body = match method {
            Method::GET => Value::Null,
            _ => wrong.clone(),
        };
        let call = async |who: &Actor| {
            let answer = server.call(who, method.clone(), &path, body.clone()).await;
            outcome(&answer)
        };
        let stranger = call(&people.stranger).await;
        assert_eq!(stranger, (404, "NOT_FOUND".to_owned()), "{method} {path}");
        let host = call(&people.host).await;
        assert_eq!(
            host,
            (422, "VALIDATION_FAILED".to_owned()),
            "{method} {path}"
        );
    }
}
