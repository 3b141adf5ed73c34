//! The door: joining, the lobby, the lock, removals.

use std::collections::HashSet;

use axum::http::Method;
use meetmind_core::{Actor, Scope};
use meetmind_server::testing::TestServer;
use serde_json::{Value, json};

use crate::people::{Gathering, People, by_key, events, outcome, patch, servers, text, user_id};

pub(super) async fn join(
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

pub(super) async fn invite_code(
    server: &TestServer,
    people: &People,
    gathering: &Gathering,
) -> String {
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
        let listed = server.get(&people.stranger, "/api/meetings").await.data();
        assert_eq!(listed["items"], json!([]));
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
async fn a_body_at_the_door_may_be_absent_or_null_but_not_wrong() {
    let server = TestServer::new().await;
    let people = People::new(&server).await;
    let gathering = people.gather(&server, json!({})).await;
    let send = async |kind: &str, body: &'static str| {
        let request = axum::http::Request::post(format!("{}/join", gathering.path))
            .header("content-type", kind)
            .body(axum::body::Body::from(body))
            .expect("a request");
        server
            .send(&people.participant, request)
            .await
            .status
            .as_u16()
    };
    for (kind, body, status) in [
        ("application/json", "", 200),
        ("application/json", "null", 200),
        ("application/json", "{}", 200),
        ("application/json", "{", 400),
        ("application/json", "7", 422),
        ("application/json", r#"{"name":7}"#, 422),
        ("text/plain", "{}", 415),
    ] {
        assert_eq!(send(kind, body).await, status, "{kind} {body}");
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
        let mut ids = HashSet::new();
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
