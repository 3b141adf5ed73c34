//! Sessions and what they may do.

use std::time::Duration;

use axum::http::Method;
use meetmind_core::{Actor, PageQuery};
use meetmind_server::testing::{PASSWORD, TestServer};
use serde_json::{Value, json};

use super::{login, profile, refresh, system, text};

const DAY: u64 = 86_400;

#[tokio::test]
async fn asvs_v5_7_2_3_refresh_tokens_have_256_random_bits() {
    let server = TestServer::new().await;
    let mut seen = std::collections::HashSet::new();
    let mut token = server.register("anna").await["refresh_token"].clone();
    for _ in 0..20 {
        let secret = text(&token)
            .rsplit('_')
            .next()
            .expect("a secret")
            .to_owned();
        assert!(secret.len() == 64 && secret.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert!(seen.insert(secret));
        token = refresh(&server, &token).await.data()["refresh_token"].clone();
    }
}

#[tokio::test]
async fn asvs_v5_7_2_4_each_sign_in_and_refresh_gives_new_tokens() {
    let server = TestServer::new().await;
    let first = server.register("anna").await;
    let second = login(&server, "anna", PASSWORD).await.data();
    assert_ne!(first["session_id"], second["session_id"]);
    let third = refresh(&server, &second["refresh_token"]).await.data();
    assert_eq!(second["session_id"], third["session_id"]);
    for name in ["access_token", "refresh_token"] {
        assert_ne!(second[name], third[name], "{name}");
    }
    assert_eq!(
        (&third["token_type"], &third["expires_in"]),
        (&json!("bearer"), &json!(900))
    );
}

#[tokio::test]
async fn asvs_v5_7_3_1_a_session_that_is_not_used_ends() {
    let server = TestServer::new().await;
    let anna = server.register("anna").await;
    server.app.clock.advance(Duration::from_secs(900));
    assert_eq!(
        profile(&server, &anna["access_token"]).await.code(),
        "TOKEN_EXPIRED"
    );
    server.app.clock.advance(Duration::from_secs(29 * DAY));
    let next = refresh(&server, &anna["refresh_token"]).await.data();
    server.app.clock.advance(Duration::from_secs(30 * DAY));
    assert_eq!(
        refresh(&server, &next["refresh_token"]).await.code(),
        "TOKEN_EXPIRED"
    );
}

#[tokio::test]
async fn asvs_v5_7_3_2_a_session_ends_even_when_it_is_used() {
    let server = TestServer::new().await;
    let mut tokens = server.register("anna").await;
    for _ in 0..4 {
        server.app.clock.advance(Duration::from_secs(20 * DAY));
        tokens = refresh(&server, &tokens["refresh_token"]).await.data();
        assert_eq!(profile(&server, &tokens["access_token"]).await.status, 200);
    }
    server.app.clock.advance(Duration::from_secs(10 * DAY));
    assert_eq!(
        refresh(&server, &tokens["refresh_token"]).await.code(),
        "TOKEN_EXPIRED"
    );
}

#[tokio::test]
async fn asvs_v5_7_4_1_signing_out_acts_on_the_next_request() {
    let server = TestServer::new().await;
    let (one, two) = (
        server.register("anna").await,
        login(&server, "anna", PASSWORD).await.data(),
    );
    let three = login(&server, "anna", PASSWORD).await.data();
    let logout = async |token: &Value, body: Value| {
        server
            .call_with(text(token), Method::POST, "/auth/logout", body)
            .await
    };
    for tokens in [&one, &two, &three] {
        assert_eq!(profile(&server, &tokens["access_token"]).await.status, 200);
    }
    assert_eq!(
        logout(&one["access_token"], json!({})).await.data()["sessions_ended"],
        1
    );
    assert_eq!(
        profile(&server, &one["access_token"]).await.code(),
        "SESSION_REVOKED"
    );
    assert_eq!(
        refresh(&server, &one["refresh_token"]).await.code(),
        "SESSION_REVOKED"
    );
    assert_eq!(
        logout(&two["access_token"], json!({ "scope": "others" }))
            .await
            .data()["sessions_ended"],
        1
    );
    assert_eq!(profile(&server, &two["access_token"]).await.status, 200);
    assert_eq!(profile(&server, &three["access_token"]).await.status, 401);
    let four = login(&server, "anna", PASSWORD).await.data();
    assert_eq!(
        logout(&four["access_token"], json!({ "scope": "global" }))
            .await
            .data()["sessions_ended"],
        2
    );
    assert_eq!(profile(&server, &two["access_token"]).await.status, 401);
    // With an access token that has expired, the refresh token says which session.
    let five = login(&server, "anna", PASSWORD).await.data();
    server.app.clock.advance(Duration::from_secs(1000));
    let body = json!({ "refresh_token": five["refresh_token"] });
    assert_eq!(
        logout(&five["access_token"], body.clone()).await.status,
        200
    );
    assert_eq!(
        refresh(&server, &five["refresh_token"]).await.code(),
        "SESSION_REVOKED"
    );
    assert_eq!(
        server
            .post(&Actor::Anonymous, "/auth/logout", json!({}))
            .await
            .code(),
        "UNAUTHENTICATED"
    );
    let ben = server.register("ben").await;
    assert_eq!(
        logout(&ben["access_token"], body).await.code(),
        "TOKEN_INVALID",
        "somebody else's"
    );
}

#[tokio::test]
async fn asvs_v5_7_4_2_disabling_an_account_ends_its_sessions_at_once() {
    let server = TestServer::new().await;
    let anna = server.register("anna").await;
    let id = text(&anna["user"]["id"]).parse().expect("an id");
    assert_eq!(profile(&server, &anna["access_token"]).await.status, 200);
    let app = &server.app.app;
    app.user_disable(&system(&server), id)
        .await
        .expect("disabled");
    assert_eq!(
        profile(&server, &anna["access_token"]).await.code(),
        "SESSION_REVOKED"
    );
    assert_eq!(refresh(&server, &anna["refresh_token"]).await.status, 401);
    assert_eq!(
        login(&server, "anna", "wrong").await.code(),
        "INVALID_CREDENTIALS"
    );
    assert_eq!(login(&server, "anna", PASSWORD).await.code(), "FORBIDDEN");
    app.user_enable(&system(&server), id)
        .await
        .expect("enabled");
    assert_eq!(
        profile(&server, &anna["access_token"]).await.code(),
        "SESSION_REVOKED",
        "old sessions stay ended"
    );
    let again = login(&server, "anna", PASSWORD).await.data();
    let gone = server
        .call_with(
            text(&again["access_token"]),
            Method::DELETE,
            "/api/me",
            json!({ "password": PASSWORD }),
        )
        .await;
    assert_eq!(gone.status, 200, "{}", gone.json());
    assert_eq!(profile(&server, &again["access_token"]).await.status, 401);
    assert_eq!(refresh(&server, &again["refresh_token"]).await.status, 401);
}

#[tokio::test]
async fn asvs_v5_7_4_3_a_new_password_ends_the_other_sessions() {
    let server = TestServer::new().await;
    let (one, two) = (
        server.register("anna").await,
        login(&server, "anna", PASSWORD).await.data(),
    );
    assert_eq!(profile(&server, &one["access_token"]).await.status, 200);
    let body = json!({ "password": "a lamp without a shade", "current_password": PASSWORD });
    assert_eq!(
        server
            .call_with(
                text(&two["access_token"]),
                Method::PATCH,
                "/auth/profile",
                body
            )
            .await
            .status,
        200
    );
    assert_eq!(
        profile(&server, &one["access_token"]).await.code(),
        "SESSION_REVOKED"
    );
    assert_eq!(
        refresh(&server, &one["refresh_token"]).await.code(),
        "SESSION_REVOKED"
    );
    assert_eq!(profile(&server, &two["access_token"]).await.status, 200);
    assert_eq!(refresh(&server, &two["refresh_token"]).await.status, 200);
}

#[tokio::test]
async fn asvs_v5_7_4_5_an_administrator_can_end_the_sessions_of_an_account() {
    let server = TestServer::new().await;
    let (anna, boss) = (server.register("anna").await, server.register("boss").await);
    let app = &server.app.app;
    app.user_promote(
        &system(&server),
        text(&boss["user"]["id"]).parse().expect("an id"),
    )
    .await
    .expect("promoted");
    let path = format!("/api/admin/users/{}/sessions", text(&anna["user"]["id"]));
    let by_anna = server
        .call_with(
            text(&anna["access_token"]),
            Method::DELETE,
            &path,
            Value::Null,
        )
        .await;
    assert_eq!(by_anna.code(), "FORBIDDEN");
    let by_boss = server
        .call_with(
            text(&boss["access_token"]),
            Method::DELETE,
            &path,
            Value::Null,
        )
        .await;
    assert_eq!(by_boss.data()["sessions_ended"], 1);
    assert_eq!(
        profile(&server, &anna["access_token"]).await.code(),
        "SESSION_REVOKED"
    );
}

#[tokio::test]
async fn asvs_v5_7_5_1_what_cannot_be_undone_asks_for_the_password_again() {
    let server = TestServer::new().await;
    let anna = server.register("anna").await;
    let token = text(&anna["access_token"]);
    let erase = async |body: Value| {
        server
            .call_with(token, Method::DELETE, "/api/me", body)
            .await
    };
    assert_eq!(erase(json!({})).await.code(), "VALIDATION_FAILED");
    assert_eq!(
        erase(json!({ "password": "guess" })).await.code(),
        "INVALID_CREDENTIALS"
    );
    assert_eq!(profile(&server, &anna["access_token"]).await.status, 200);
}

#[tokio::test]
async fn asvs_v5_7_5_2_one_sees_and_ends_ones_own_sessions() {
    let server = TestServer::new().await;
    let (one, two) = (
        server.register("anna").await,
        login(&server, "anna", PASSWORD).await.data(),
    );
    let (mine, theirs) = (text(&two["access_token"]), server.register("ben").await);
    let list = server
        .call_with(mine, Method::GET, "/auth/sessions", Value::Null)
        .await
        .data();
    let items = list["items"].as_array().expect("a list").clone();
    let shown: Vec<_> = items
        .iter()
        .map(|item| (item["id"].clone(), item["current"].clone()))
        .collect();
    assert_eq!(
        shown,
        [
            (two["session_id"].clone(), json!(true)),
            (one["session_id"].clone(), json!(false))
        ]
    );
    let path = format!("/auth/sessions/{}", text(&one["session_id"]));
    let stranger = server
        .call_with(
            text(&theirs["access_token"]),
            Method::DELETE,
            &path,
            Value::Null,
        )
        .await;
    assert_eq!(stranger.code(), "NOT_FOUND");
    assert_eq!(
        server
            .call_with(mine, Method::DELETE, &path, Value::Null)
            .await
            .status,
        200
    );
    assert_eq!(
        profile(&server, &one["access_token"]).await.code(),
        "SESSION_REVOKED"
    );
    assert_eq!(
        server
            .call_with(mine, Method::DELETE, &path, Value::Null)
            .await
            .code(),
        "NOT_FOUND"
    );
}

#[tokio::test]
async fn asvs_v5_8_2_3_nobody_writes_fields_that_are_not_theirs() {
    let server = TestServer::new().await;
    let body = json!({ "email": "eve@example.com", "password": PASSWORD, "role": "admin", "id": "usr_00000000000000000000000001", "disabled_at": null });
    let eve = server
        .post(&Actor::Anonymous, "/auth/register", body)
        .await
        .data();
    assert_eq!(eve["user"]["role"], "member");
    let patch = json!({ "role": "admin", "email": "boss@example.com", "name": "Eve", "preferences": { "theme": "dark" } });
    let changed = server
        .call_with(
            text(&eve["access_token"]),
            Method::PATCH,
            "/auth/profile",
            patch,
        )
        .await
        .data();
    assert_eq!(
        (&changed["role"], &changed["email"], &changed["name"]),
        (&json!("member"), &json!("eve@example.com"), &json!("Eve"))
    );
    assert_eq!(changed["preferences"], json!({ "theme": "dark" }));
    assert!(changed.get("password_hash").is_none());
    let cleared = server
        .call_with(
            text(&eve["access_token"]),
            Method::PATCH,
            "/auth/me",
            json!({ "preferences": null }),
        )
        .await
        .data();
    assert_eq!(cleared["preferences"], json!({}));
    let large = json!({ "preferences": { "x": "y".repeat(17 * 1024) } });
    assert_eq!(
        server
            .call_with(text(&eve["access_token"]), Method::PATCH, "/auth/me", large)
            .await
            .code(),
        "VALIDATION_FAILED"
    );
}

#[tokio::test]
async fn asvs_v5_8_3_2_a_changed_role_acts_at_once() {
    let server = TestServer::new().await;
    let boss = server.register("boss").await;
    server.app.app.setup_link().await.expect("an answer");
    let id = text(&boss["user"]["id"]).parse().expect("an id");
    let list = async || {
        server
            .call_with(
                text(&boss["access_token"]),
                Method::GET,
                "/api/admin/users",
                Value::Null,
            )
            .await
            .status
            .as_u16()
    };
    assert_eq!(list().await, 403);
    let app = &server.app.app;
    app.user_promote(&system(&server), id)
        .await
        .expect("promoted");
    assert_eq!(list().await, 200);
    let other = server.register("other").await;
    app.user_promote(
        &system(&server),
        text(&other["user"]["id"]).parse().expect("an id"),
    )
    .await
    .expect("promoted");
    app.user_demote(&system(&server), id)
        .await
        .expect("demoted");
    assert_eq!(list().await, 403, "although the token still says admin");
}

#[tokio::test]
async fn a_refresh_token_works_once_and_a_little_longer_for_lost_answers() {
    let server = TestServer::new().await;
    let anna = server.register("anna").await;
    let first = refresh(&server, &anna["refresh_token"]).await.data();
    server.app.clock.advance(Duration::from_secs(10));
    let again = refresh(&server, &anna["refresh_token"]).await;
    assert_eq!(again.status, 200, "the first answer may have been lost");
    for tokens in [&first, &again.data()] {
        assert_eq!(profile(&server, &tokens["access_token"]).await.status, 200);
    }
    server.app.clock.advance(Duration::from_secs(1));
    assert_eq!(
        refresh(&server, &anna["refresh_token"]).await.code(),
        "REFRESH_TOKEN_REUSED"
    );
    assert_eq!(
        profile(&server, &first["access_token"]).await.code(),
        "SESSION_REVOKED"
    );
    assert_eq!(
        refresh(&server, &first["refresh_token"]).await.code(),
        "SESSION_REVOKED"
    );
    assert_eq!(
        refresh(&server, &json!("mmr_x_y")).await.code(),
        "TOKEN_INVALID"
    );
    let audit = server
        .app
        .app
        .audit_list(&system(&server), &PageQuery::default())
        .await
        .expect("a list");
    assert!(
        audit
            .items
            .iter()
            .any(|entry| entry.action == "session.refresh_reused")
    );
}

#[tokio::test]
async fn asvs_v5_16_2_5_and_16_3_3_the_audit_log_tells_what_happened_without_secrets() {
    let server = TestServer::new().await;
    let anna = server.register("anna").await;
    let token = text(&anna["access_token"]);
    let key = server
        .call_with(
            token,
            Method::POST,
            "/auth/api-keys",
            json!({ "name": "k", "scopes": ["profile"] }),
        )
        .await
        .data();
    server
        .call_with(
            token,
            Method::DELETE,
            &format!("/auth/api-keys/{}", text(&key["id"])),
            Value::Null,
        )
        .await;
    let id = text(&anna["user"]["id"]).parse().expect("an id");
    let link = server
        .app
        .app
        .user_reset_link(&system(&server), id)
        .await
        .expect("a link")
        .url;
    let body = json!({ "password": "a lamp without a shade", "current_password": PASSWORD });
    server
        .call_with(token, Method::PATCH, "/auth/profile", body)
        .await;
    server
        .app
        .app
        .user_promote(&system(&server), id)
        .await
        .expect("promoted");
    for _ in 0..10 {
        login(&server, "anna", "wrong password").await;
    }
    let audit = server
        .app
        .app
        .audit_list(&system(&server), &PageQuery::default())
        .await
        .expect("a list");
    let log = serde_json::to_string(&audit).expect("JSON");
    for action in [
        "api_key.created",
        "api_key.revoked",
        "password.reset_link_made",
        "password.changed",
        "user.role_changed",
        "sign_in.slowed",
    ] {
        assert!(log.contains(action), "{action} is missing in {log}");
    }
    let secret = link.split_once("token=").expect("a token").1;
    for secret in [
        PASSWORD,
        "a lamp without",
        "wrong password",
        token,
        text(&key["key"]),
        secret,
    ] {
        assert!(!log.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn asvs_v5_16_5_3_what_cannot_be_checked_is_refused() {
    let server = TestServer::new().await;
    let anna = server.register("anna").await;
    assert_eq!(profile(&server, &anna["access_token"]).await.status, 200);
    server.app.db.store.close().await;
    server.app.clock.advance(Duration::from_secs(5));
    let answer = profile(&server, &anna["access_token"]).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (503, "UNAVAILABLE")
    );
    assert!(
        !answer.json().to_string().contains("pool"),
        "no inner cause: {}",
        answer.json()
    );
}

#[tokio::test]
async fn a_second_process_learns_of_a_revocation_within_seconds() {
    let server = TestServer::new().await;
    let anna = server.register("anna").await;
    let other = meetmind_app::App::new(
        server.app.db.store.clone(),
        server.app.app.settings().clone(),
        Box::new(server.app.clock.clone()),
        meetmind_app::Entropy::seeded(9),
    )
    .await
    .expect("an app");
    let token = text(&anna["access_token"]);
    other
        .authenticate(token)
        .await
        .expect("both processes have the same key");
    server
        .call_with(token, Method::POST, "/auth/logout", json!({}))
        .await;
    server.app.clock.advance(meetmind_app::RECHECK);
    let refused = other.authenticate(token).await.expect_err("revoked");
    assert_eq!(refused.code, meetmind_core::Code::SessionRevoked);
}
