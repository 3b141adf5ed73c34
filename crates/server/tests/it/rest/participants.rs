//! `/api/meetings/{id}/participants`, the door, and consent.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use meetmind_core::{
    Actor, Attribution, Id, MeetingRole, Participant, ParticipantId, ParticipantState, Scope,
    Segment, SegmentId, uuid_v7,
};
use meetmind_server::testing::TestServer;
use serde_json::{Value, json};

use crate::people::{
    Gathering, People, by_key, events, guest, outcome, patch, servers, text, user_id,
};

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

async fn join(
    server: &TestServer,
    actor: &Actor,
    gathering: &Gathering,
    body: Value,
) -> (u16, String, Value) {
    let answer = server
        .post(actor, &format!("{}/join", gathering.path), body)
        .await;
    let (status, code) = outcome(&answer);
    (status, code, answer.data())
}

async fn invite_code(server: &TestServer, people: &People, gathering: &Gathering) -> String {
    let path = format!("{}/invite", gathering.path);
    text(&server.get(&people.host, &path).await.data()["invite_code"])
}

#[tokio::test]
async fn the_first_join_starts_the_meeting_and_joining_again_changes_nothing() {
    let server = TestServer::new().await;
    let people = People::new(&server).await;
    let gathering = people.gather(&server, json!({})).await;
    let (status, _, first) = join(&server, &people.participant, &gathering, Value::Null).await;
    assert_eq!(
        (status, first["meeting"]["status"].clone()),
        (200, json!("live"))
    );
    assert_eq!(first["participant"]["state"], "joined");
    assert_eq!(
        (first["livekit"].clone(), first.get("guest_token")),
        (Value::Null, None)
    );
    let (_, _, again) = join(&server, &people.participant, &gathering, json!({})).await;
    assert_eq!(again["participant"], first["participant"]);
    let kinds: Vec<String> = events(&server, &format!("meeting:{}", gathering.meeting_id))
        .await
        .into_iter()
        .map(|(kind, _)| kind)
        .filter(|kind| kind != "participant.invited")
        .collect();
    assert_eq!(
        kinds,
        ["meeting.created", "participant.joined", "meeting.started"]
    );

    let left = server
        .post(
            &people.participant,
            &format!("{}/leave", gathering.path),
            Value::Null,
        )
        .await;
    assert_eq!(left.data()["state"], "left");
    assert_eq!(
        join(&server, &people.participant, &gathering, Value::Null)
            .await
            .2["participant"]["state"],
        "joined"
    );

    let end = format!("{}/end", gathering.path);
    let ended = server.post(&people.cohost, &end, Value::Null).await;
    let again = server.post(&people.host, &end, Value::Null).await;
    assert_eq!((again.status.as_u16(), again.data()), (200, ended.data()));
    let late = join(&server, &people.participant, &gathering, Value::Null).await;
    assert_eq!((late.0, late.1.as_str()), (409, "MEETING_ENDED"));
    let lock = server
        .post(
            &people.host,
            &format!("{}/lock", gathering.path),
            json!({ "locked": true }),
        )
        .await;
    assert_eq!(lock.code(), "MEETING_ENDED");
}

#[tokio::test]
async fn access_decides_who_comes_in_uninvited() {
    let server = TestServer::new().await;
    let people = People::new(&server).await;
    for (access, with_code, without_code) in
        [("invite", 404, 404), ("link", 200, 404), ("open", 200, 200)]
    {
        let gathering = people.gather(&server, json!({ "access": access })).await;
        let code = invite_code(&server, &people, &gathering).await;
        let wrong = json!({ "invite_code": "aaaaaaaaaaaaaaaa" });
        let expected_wrong = if access == "open" { 200 } else { 404 };
        let late = server.app.user(&format!("late-{access}")).await;
        assert_eq!(
            join(&server, &late, &gathering, wrong).await.0,
            expected_wrong,
            "{access}"
        );
        let bare = server.app.user(&format!("bare-{access}")).await;
        assert_eq!(
            join(&server, &bare, &gathering, Value::Null).await.0,
            without_code,
            "{access}"
        );
        let new = server.app.user(&format!("new-{access}")).await;
        let no_scope = by_key(&new, &[Scope::MeetingsRead]);
        assert_eq!(
            join(
                &server,
                &no_scope,
                &gathering,
                json!({ "invite_code": code })
            )
            .await
            .1,
            "SCOPE_MISSING"
        );
        let joined = join(&server, &new, &gathering, json!({ "invite_code": code })).await;
        assert_eq!(joined.0, with_code, "{access}");
        if joined.0 == 200 {
            assert_eq!(joined.2["participant"]["role"], "participant");
        }
    }
}

#[tokio::test]
async fn nobody_learns_of_a_meeting_at_its_door() {
    let server = TestServer::new().await;
    let people = People::new(&server).await;
    let gathering = people.gather(&server, json!({})).await;
    let nowhere = Gathering {
        meeting_id: gathering.meeting_id,
        path: "/api/meetings/mtg_00000000000000000000000001".to_owned(),
        guest: gathering.guest.clone(),
    };
    let guess = json!({ "name": "Eve", "invite_code": "aaaaaaaaaaaaaaaa" });
    for actor in [&people.stranger, &Actor::Anonymous] {
        assert_eq!(
            join(&server, actor, &gathering, guess.clone()).await,
            join(&server, actor, &nowhere, guess.clone()).await
        );
    }
    assert_eq!(
        join(&server, &Actor::Anonymous, &gathering, Value::Null)
            .await
            .1,
        "UNAUTHENTICATED"
    );
    let elsewhere = people.gather(&server, json!({})).await;
    assert_eq!(
        join(&server, &elsewhere.guest, &gathering, Value::Null)
            .await
            .0,
        404
    );
    let lost = server.get(&elsewhere.guest, &gathering.path).await;
    assert_eq!(lost.code(), "NOT_FOUND");
}

#[tokio::test]
async fn who_waits_in_the_lobby_sees_nothing_until_admitted() {
    for server in servers().await {
        let people = People::new(&server).await;
        let gathering = people
            .gather(&server, json!({ "access": "open", "lobby": true }))
            .await;
        let (status, _, waiting) = join(&server, &people.stranger, &gathering, Value::Null).await;
        assert_eq!(
            (status, &waiting["participant"]["state"]),
            (200, &json!("waiting"))
        );
        assert_eq!(
            (&waiting["meeting"], &waiting["livekit"], &waiting["title"]),
            (&Value::Null, &Value::Null, &json!("Weekly"))
        );
        assert_eq!(
            server.get(&people.host, &gathering.path).await.data()["status"],
            "scheduled"
        );
        for path in ["", "/participants", "/messages", "/ics"] {
            assert_eq!(
                server
                    .get(&people.stranger, &format!("{}{path}", gathering.path))
                    .await
                    .status
                    .as_u16(),
                404,
                "{path}"
            );
        }
        let own = format!(
            "{}/participants/{}",
            gathering.path,
            text(&waiting["participant"]["id"])
        );
        assert_eq!(
            patch(&server, &people.stranger, &own, json!({ "admit": true }))
                .await
                .status
                .as_u16(),
            404
        );
        assert_eq!(
            server.get(&people.participant, &own).await.status.as_u16(),
            404
        );
        let seen = server
            .get(
                &people.participant,
                &format!("{}/participants", gathering.path),
            )
            .await
            .data();
        let seen_by_host = server
            .get(&people.host, &format!("{}/participants", gathering.path))
            .await
            .data();
        let count = |page: &Value| page["items"].as_array().expect("items").len();
        assert_eq!((count(&seen), count(&seen_by_host)), (6, 7));
        assert_eq!(
            patch(&server, &people.participant, &own, json!({ "admit": true }))
                .await
                .status
                .as_u16(),
            404
        );

        let admitted = patch(&server, &people.cohost, &own, json!({ "admit": true })).await;
        assert_eq!(admitted.data()["state"], "joined", "{}", admitted.json());
        let (_, _, inside) = join(&server, &people.stranger, &gathering, Value::Null).await;
        assert_eq!(inside["participant"]["id"], waiting["participant"]["id"]);
        assert_eq!(inside["meeting"]["status"], "live");
        let again = patch(&server, &people.cohost, &own, json!({ "admit": true })).await;
        assert_eq!(again.status.as_u16(), 200);

        // Who is on the list does not wait, whatever the lobby.
        assert_eq!(
            join(&server, &people.viewer, &gathering, Value::Null)
                .await
                .2["participant"]["state"],
            "joined"
        );
    }
}

#[tokio::test]
async fn waiting_and_going_away_opens_no_door() {
    for server in servers().await {
        let people = People::new(&server).await;
        let gathering = people
            .gather(&server, json!({ "access": "open", "lobby": true }))
            .await;
        join(&server, &people.stranger, &gathering, Value::Null).await;
        let leave = format!("{}/leave", gathering.path);
        assert_eq!(
            server
                .post(&people.stranger, &leave, Value::Null)
                .await
                .data()["state"],
            "left"
        );
        assert_eq!(
            server.get(&people.stranger, &gathering.path).await.code(),
            "NOT_FOUND"
        );
        assert_eq!(
            join(&server, &people.stranger, &gathering, Value::Null)
                .await
                .2["participant"]["state"],
            "waiting"
        );
        server
            .post(
                &people.host,
                &format!("{}/end", gathering.path),
                Value::Null,
            )
            .await;
        assert_eq!(
            server.get(&people.stranger, &gathering.path).await.code(),
            "NOT_FOUND"
        );

        let other = people
            .gather(&server, json!({ "access": "open", "lobby": true }))
            .await;
        let waiting = join(&server, &people.stranger, &other, Value::Null).await.2;
        let own = format!(
            "{}/participants/{}",
            other.path,
            text(&waiting["participant"]["id"])
        );
        assert_eq!(
            patch(&server, &people.host, &own, json!({ "admit": false }))
                .await
                .data()["state"],
            "removed"
        );
        assert_eq!(
            join(&server, &people.stranger, &other, Value::Null).await.0,
            404
        );
    }
}

#[tokio::test]
async fn a_lock_keeps_out_who_was_never_in() {
    let server = TestServer::new().await;
    let people = People::new(&server).await;
    let gathering = people.gather(&server, json!({ "access": "open" })).await;
    join(&server, &people.participant, &gathering, Value::Null).await;
    server
        .post(
            &people.participant,
            &format!("{}/leave", gathering.path),
            Value::Null,
        )
        .await;
    let lock = format!("{}/lock", gathering.path);
    assert_eq!(
        server
            .post(&people.cohost, &lock, json!({ "locked": true }))
            .await
            .data()["locked"],
        true
    );
    for (actor, status) in [
        (&people.host, 200),
        (&people.cohost, 200),
        (&people.participant, 200),
        (&people.viewer, 403),
        (&people.stranger, 403),
    ] {
        let (got, code, _) = join(&server, actor, &gathering, Value::Null).await;
        assert_eq!(
            (got, code.as_str()),
            (status, if status == 403 { "MEETING_LOCKED" } else { "" })
        );
    }
    server
        .post(&people.host, &lock, json!({ "locked": false }))
        .await;
    assert_eq!(
        join(&server, &people.viewer, &gathering, Value::Null)
            .await
            .0,
        200
    );
}

#[tokio::test]
async fn who_was_removed_comes_back_only_when_invited_again() {
    for server in servers().await {
        let people = People::new(&server).await;
        let gathering = people.gather(&server, json!({ "access": "link" })).await;
        let code = json!({ "invite_code": invite_code(&server, &people, &gathering).await });
        let target = gathering.participant_path(&server, &people.other).await;
        for _ in 0..2 {
            let removed = server
                .call(&people.cohost, Method::DELETE, &target, Value::Null)
                .await;
            assert_eq!(
                (removed.status.as_u16(), removed.data()["state"].clone()),
                (200, json!("removed"))
            );
        }
        assert_eq!(
            join(&server, &people.other, &gathering, code.clone())
                .await
                .0,
            404
        );
        assert_eq!(
            server.get(&people.other, &gathering.path).await.code(),
            "NOT_FOUND"
        );
        let told = events(&server, &format!("user:{}", user_id(&people.other))).await;
        assert_eq!(
            told.last().map(|(kind, _)| kind.as_str()),
            Some("participant.removed")
        );

        let participants = format!("{}/participants", gathering.path);
        let back = server
            .post(
                &people.host,
                &participants,
                json!({ "email": "OTHER@example.com", "role": "viewer" }),
            )
            .await;
        assert_eq!(
            (back.status.as_u16(), back.data()["state"].clone()),
            (201, json!("invited"))
        );
        assert_eq!(
            back.headers["location"].to_str().ok(),
            Some(target.as_str())
        );
        let told = events(&server, &format!("user:{}", user_id(&people.other))).await;
        assert_eq!(
            told.last()
                .map(|(kind, data)| (kind.as_str(), data["title"].clone())),
            Some(("participant.invited", json!("Weekly")))
        );
        assert_eq!(
            join(&server, &people.other, &gathering, Value::Null)
                .await
                .2["participant"]["role"],
            "viewer"
        );
        let host = gathering.participant_path(&server, &people.host).await;
        assert_eq!(
            server
                .call(&people.host, Method::DELETE, &host, Value::Null)
                .await
                .code(),
            "FORBIDDEN"
        );
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
async fn ten_joins_of_one_person_at_once_make_one_participant() {
    for server in servers().await {
        let people = People::new(&server).await;
        let gathering = people.gather(&server, json!({ "access": "open" })).await;
        let calls: Vec<_> = (0..10)
            .map(|_| {
                let (server, actor) = (server.clone(), people.stranger.clone());
                let path = format!("{}/join", gathering.path);
                tokio::spawn(async move { server.post(&actor, &path, Value::Null).await })
            })
            .collect();
        let mut ids = std::collections::HashSet::new();
        for call in calls {
            let answer = call.await.expect("an answer");
            assert_eq!(answer.status.as_u16(), 200, "{}", answer.json());
            ids.insert(text(&answer.data()["participant"]["id"]));
        }
        assert_eq!(ids.len(), 1);
        let told = events(&server, &format!("meeting:{}", gathering.meeting_id)).await;
        for kind in ["participant.joined", "meeting.started"] {
            assert_eq!(
                told.iter().filter(|(told, _)| told == kind).count(),
                1,
                "{kind}"
            );
        }
    }
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
    let (mut seen, mut cursor) = (std::collections::HashSet::new(), String::new());
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
async fn consent_is_ones_own_and_the_ledger_only_grows() {
    for server in servers().await {
        let people = People::new(&server).await;
        let gathering = people.gather(&server, json!({})).await;
        let consent = format!(
            "{}/consent",
            gathering
                .participant_path(&server, &people.participant)
                .await
        );
        let nothing = server.get(&people.participant, &consent).await.data();
        assert_eq!(
            nothing,
            json!({ "transcript": "pending", "recording": "pending", "memory": "pending", "at": null, "erasure_offered": false, "erasure_url": null })
        );
        let put = async |actor: &Actor, path: &str, body: Value| {
            server.call(actor, Method::PUT, path, body).await
        };
        let given = put(
            &people.participant,
            &consent,
            json!({ "transcript": "granted", "memory": "granted" }),
        )
        .await
        .data();
        assert_eq!(
            (&given["recording"], &given["erasure_offered"]),
            (&json!("pending"), &json!(false))
        );
        put(
            &people.participant,
            &consent,
            json!({ "memory": "granted" }),
        )
        .await;
        let withdrawn = put(&people.participant, &consent, json!({ "memory": "denied" }))
            .await
            .data();
        assert_eq!(
            (
                &withdrawn["transcript"],
                &withdrawn["memory"],
                &withdrawn["erasure_offered"]
            ),
            (&json!("granted"), &json!("denied"), &json!(true))
        );
        let offered = server
            .post(
                &people.participant,
                &text(&withdrawn["erasure_url"]),
                Value::Null,
            )
            .await;
        assert_eq!(offered.status.as_u16(), 200, "{}", offered.json());

        let Actor::Guest { participant_id, .. } = &gathering.guest else {
            panic!("not a guest");
        };
        let guests = format!("{}/participants/{participant_id}/consent", gathering.path);
        assert_eq!(
            put(&gathering.guest, &guests, json!({ "recording": "denied" }))
                .await
                .status
                .as_u16(),
            200
        );
        assert_eq!(
            put(&people.host, &guests, json!({ "recording": "granted" }))
                .await
                .code(),
            "FORBIDDEN"
        );
        assert_eq!(
            put(
                &people.participant,
                &consent,
                json!({ "memory": "pending" })
            )
            .await
            .code(),
            "VALIDATION_FAILED"
        );

        let ledger = format!("{}/consents?limit=2", gathering.path);
        let first = server.get(&people.cohost, &ledger).await.data();
        let next = format!("{ledger}&cursor={}", text(&first["next_cursor"]));
        let second = server.get(&people.cohost, &next).await.data();
        let words: Vec<&Value> = first["items"]
            .as_array()
            .into_iter()
            .chain(second["items"].as_array())
            .flatten()
            .map(|entry| &entry["memory"])
            .collect();
        assert_eq!(words.len(), 3);
        let told = events(&server, &format!("meeting:{}", gathering.meeting_id)).await;
        assert_eq!(
            told.iter()
                .filter(|(kind, _)| kind == "consent.changed")
                .count(),
            3
        );
    }
}

fn segment(
    server: &TestServer,
    gathering: &Gathering,
    who: ParticipantId,
    start_ms: i64,
) -> Segment {
    let now = server.app.app.now();
    let id: SegmentId = server.app.app.entropy().id(now);
    Segment {
        id,
        meeting_id: gathering.meeting_id,
        participant_id: Some(who),
        speaker: "Other".to_owned(),
        text: "the secret word".to_owned(),
        start_ms,
        end_ms: start_ms + 10,
        confidence: None,
        language: None,
        is_final: true,
        external_id: None,
        attribution: Attribution::Declared,
        version: 1,
        corrected_at: None,
        created_at: now,
        updated_at: now,
    }
}

#[tokio::test]
async fn erasing_words_takes_only_ones_own_and_leaves_no_copy() {
    for server in servers().await {
        let people = People::new(&server).await;
        let gathering = people.gather(&server, json!({})).await;
        let topic = format!("meeting:{}", gathering.meeting_id);
        let (mine, kept) = (
            gathering.participant_id(&server, &people.other).await,
            gathering.participant_id(&server, &people.participant).await,
        );
        let mut tx = server.app.db.store.begin().await.expect("a transaction");
        for (who, start_ms) in [(mine, 0), (mine, 10), (kept, 20)] {
            let segment = segment(&server, &gathering, who, start_ms);
            tx.segment_insert(&segment).await.expect("a segment");
            let data = serde_json::to_value(&segment).expect("JSON");
            tx.event_append(
                topic.parse().expect("a topic"),
                meetmind_core::EventKind::SegmentFinalized,
                segment.created_at,
                data,
            )
            .await
            .expect("an event");
            let cited =
                json!({ "id": "act_1", "text": "the secret word", "segment_ids": [segment.id] });
            tx.event_append(
                topic.parse().expect("a topic"),
                meetmind_core::EventKind::ActionProposed,
                segment.created_at,
                cited,
            )
            .await
            .expect("an event");
        }
        tx.commit().await.expect("a commit");

        let path = format!("{}/participants/{mine}/erase-words", gathering.path);
        assert_eq!(
            server.post(&people.cohost, &path, Value::Null).await.code(),
            "FORBIDDEN"
        );
        let receipt = server.post(&people.other, &path, Value::Null).await;
        assert_eq!(receipt.status.as_u16(), 200, "{}", receipt.json());
        assert_eq!(
            (
                &receipt.data()["erased"]["segments"],
                &receipt.data()["erased"]["events"]
            ),
            (&json!(2), &json!(4))
        );
        let mut conn = server.app.db.store.read().await.expect("a connection");
        let left = conn
            .segment_finals(gathering.meeting_id)
            .await
            .expect("segments");
        assert_eq!(
            left.iter()
                .map(|segment| segment.participant_id)
                .collect::<Vec<_>>(),
            [Some(kept)]
        );
        let told = events(&server, &topic).await;
        assert_eq!(
            told.iter()
                .filter(|(_, data)| data.to_string().contains("secret"))
                .count(),
            2
        );
        assert_eq!(
            told.iter()
                .filter(|(kind, _)| kind == "segment.erased")
                .count(),
            2
        );
        let again = server.post(&people.host, &path, Value::Null).await.data();
        assert_eq!(again["erased"]["segments"], 0);
    }
}

/// The whole way of somebody without an account: the code, a token, and all that it opens.
#[tokio::test]
async fn a_guest_comes_by_link_and_acts_with_the_token() {
    let server = TestServer::new().await;
    let people = People::new(&server).await;
    let gathering = people
        .gather(&server, json!({ "access": "link", "lobby": true }))
        .await;
    let code = invite_code(&server, &people, &gathering).await;
    let nameless = join(
        &server,
        &Actor::Anonymous,
        &gathering,
        json!({ "invite_code": code }),
    )
    .await;
    assert_eq!(nameless.1, "VALIDATION_FAILED");
    let (status, _, waiting) = join(
        &server,
        &Actor::Anonymous,
        &gathering,
        json!({ "name": "Gunilla", "invite_code": code }),
    )
    .await;
    assert_eq!(
        (status, &waiting["participant"]["state"]),
        (200, &json!("waiting"))
    );
    assert_eq!(waiting["participant"]["user_id"], Value::Null);
    let token = text(&waiting["guest_token"]);
    let as_guest = async |method: Method, path: &str| {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {token}"))
            .body(Body::empty())
            .expect("a request");
        server.send(&Actor::Anonymous, request).await
    };
    assert_eq!(
        as_guest(Method::GET, &gathering.path).await.status.as_u16(),
        404
    );
    let own = format!(
        "{}/participants/{}",
        gathering.path,
        text(&waiting["participant"]["id"])
    );
    patch(&server, &people.host, &own, json!({ "admit": true })).await;
    assert_eq!(
        as_guest(Method::GET, &gathering.path).await.data()["role"],
        "participant"
    );
    let inside = as_guest(Method::POST, &format!("{}/join", gathering.path))
        .await
        .data();
    assert_eq!(inside["participant"]["id"], waiting["participant"]["id"]);
    let elsewhere = people.gather(&server, json!({ "access": "open" })).await;
    assert_eq!(
        as_guest(Method::GET, &elsewhere.path).await.status.as_u16(),
        404
    );
    server
        .call(&people.host, Method::DELETE, &own, Value::Null)
        .await;
    // The token is refused at the gate, or the meeting is not there for it any more.
    let refused = as_guest(Method::GET, &gathering.path).await.status;
    assert!(matches!(refused.as_u16(), 401 | 404), "{refused}");
}

#[tokio::test]
async fn a_removed_guest_sees_nothing_more() {
    let server = TestServer::new().await;
    let people = People::new(&server).await;
    let gathering = people.gather(&server, json!({ "access": "link" })).await;
    let eve = guest(&server, gathering.meeting_id, "Eve").await;
    let Actor::Guest { participant_id, .. } = &eve else {
        panic!("not a guest");
    };
    let path = format!("{}/participants/{participant_id}", gathering.path);
    assert_eq!(server.get(&eve, &gathering.path).await.status.as_u16(), 200);
    server
        .call(&people.cohost, Method::DELETE, &path, Value::Null)
        .await;
    for path in ["", "/messages", "/participants"] {
        assert_eq!(
            server
                .get(&eve, &format!("{}{path}", gathering.path))
                .await
                .code(),
            "NOT_FOUND"
        );
    }
    assert_eq!(join(&server, &eve, &gathering, Value::Null).await.0, 404);
}
