//! API keys and WebSocket tickets.

use std::time::Duration;

use axum::http::Method;
use meetmind_core::{Actor, Proof, Scope};
use meetmind_server::testing::TestServer;
use serde_json::{Value, json};

use super::{profile, system, text};

async fn key(server: &TestServer, token: &Value, body: Value) -> Value {
    let answer = server
        .call_with(text(token), Method::POST, "/auth/api-keys", body)
        .await;
    assert_eq!(answer.status, 201, "{}", answer.json());
    let location = answer.headers["location"]
        .to_str()
        .expect("text")
        .to_owned();
    assert_eq!(
        server
            .call_with(text(token), Method::GET, &location, Value::Null)
            .await
            .data()["id"],
        answer.data()["id"]
    );
    answer.data()
}

#[tokio::test]
async fn asvs_v5_8_2_1_functions_are_for_those_who_may() {
    let server = TestServer::new().await;
    let (anna, boss) = (server.register("anna").await, server.register("boss").await);
    server
        .app
        .app
        .user_promote(
            &system(&server),
            text(&boss["user"]["id"]).parse().expect("an id"),
        )
        .await
        .expect("promoted");
    let scopes: Vec<_> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
    let all = key(
        &server,
        &boss["access_token"],
        json!({ "name": "all", "scopes": scopes }),
    )
    .await;
    let id = text(&anna["user"]["id"]);
    let admin_only = [
        (Method::GET, "/api/admin/users".to_owned(), Value::Null),
        (
            Method::POST,
            "/api/admin/users".to_owned(),
            json!({ "email": "x@example.com" }),
        ),
        (Method::GET, format!("/api/admin/users/{id}"), Value::Null),
        (
            Method::PATCH,
            format!("/api/admin/users/{id}"),
            json!({ "role": "admin" }),
        ),
        (
            Method::DELETE,
            format!("/api/admin/users/{id}/sessions"),
            Value::Null,
        ),
        (
            Method::POST,
            format!("/api/admin/users/{id}/reset-link"),
            Value::Null,
        ),
        (Method::GET, "/api/admin/audit".to_owned(), Value::Null),
    ];
    for (method, path, body) in admin_only {
        let anonymous = server
            .call(&Actor::Anonymous, method.clone(), &path, body.clone())
            .await;
        let member = server
            .call_with(
                text(&anna["access_token"]),
                method.clone(),
                &path,
                body.clone(),
            )
            .await;
        let by_key = server
            .call_with(text(&all["key"]), method.clone(), &path, body)
            .await;
        let codes = [
            anonymous.status.as_u16(),
            member.status.as_u16(),
            by_key.status.as_u16(),
        ];
        assert_eq!(codes, [401, 403, 403], "{method} {path}");
    }
    let session_only = [
        (Method::GET, "/auth/sessions", Value::Null),
        (Method::GET, "/auth/api-keys", Value::Null),
        (
            Method::POST,
            "/auth/api-keys",
            json!({ "name": "k", "scopes": ["profile"] }),
        ),
        (Method::POST, "/auth/logout", json!({})),
        (
            Method::PATCH,
            "/auth/profile",
            json!({ "password": "a lamp without a shade", "current_password": "x" }),
        ),
        (Method::DELETE, "/api/me", json!({ "password": "x" })),
    ];
    for (method, path, body) in session_only {
        let by_key = server
            .call_with(text(&all["key"]), method.clone(), path, body)
            .await;
        assert_eq!(by_key.code(), "FORBIDDEN", "{method} {path}");
    }
}

#[tokio::test]
async fn asvs_v5_8_2_2_other_peoples_keys_do_not_exist() {
    let server = TestServer::new().await;
    let (anna, ben) = (server.register("anna").await, server.register("ben").await);
    let hers = key(
        &server,
        &anna["access_token"],
        json!({ "name": "hers", "scopes": ["profile"] }),
    )
    .await;
    let path = format!("/auth/api-keys/{}", text(&hers["id"]));
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(
            server
                .call_with(text(&ben["access_token"]), method, &path, Value::Null)
                .await
                .code(),
            "NOT_FOUND"
        );
    }
    assert_eq!(
        server
            .call_with(
                text(&ben["access_token"]),
                Method::GET,
                "/auth/api-keys",
                Value::Null
            )
            .await
            .data()["items"],
        json!([])
    );
    assert_eq!(profile(&server, &hers["key"]).await.status, 200);
}

#[tokio::test]
async fn asvs_v5_8_3_3_a_key_may_what_its_scopes_and_its_owner_may() {
    let server = TestServer::new().await;
    let anna = server.register("anna").await;
    let narrow = key(
        &server,
        &anna["access_token"],
        json!({ "name": "n", "scopes": ["meetings:read"] }),
    )
    .await;
    let use_key = async |method: Method, path: &str, body: Value| {
        server
            .call_with(text(&narrow["key"]), method, path, body)
            .await
    };
    assert_eq!(
        use_key(Method::GET, "/api/meetings", Value::Null)
            .await
            .status,
        200
    );
    assert_eq!(
        use_key(Method::POST, "/api/meetings", json!({ "title": "x" }))
            .await
            .code(),
        "SCOPE_MISSING"
    );
    assert_eq!(
        profile(&server, &narrow["key"]).await.code(),
        "SCOPE_MISSING"
    );
    server
        .app
        .app
        .user_disable(
            &system(&server),
            text(&anna["user"]["id"]).parse().expect("an id"),
        )
        .await
        .expect("disabled");
    assert_eq!(
        use_key(Method::GET, "/api/meetings", Value::Null)
            .await
            .code(),
        "SESSION_REVOKED"
    );
}

#[tokio::test]
async fn a_key_is_shown_once_and_ends_when_it_should() {
    let server = TestServer::new().await;
    let anna = server.register("anna").await;
    let soon = (server.app.app.now().plus(Duration::from_secs(3600))).to_string();
    let made = key(
        &server,
        &anna["access_token"],
        json!({ "name": "k", "scopes": ["profile", "profile"], "expires_at": soon }),
    )
    .await;
    let other = key(
        &server,
        &anna["access_token"],
        json!({ "name": "o", "scopes": ["profile"] }),
    )
    .await;
    assert_eq!(made["scopes"], json!(["profile"]));
    let list = server
        .call_with(
            text(&anna["access_token"]),
            Method::GET,
            "/auth/api-keys?limit=1",
            Value::Null,
        )
        .await
        .data();
    assert_eq!(
        (
            list["items"][0]["id"].clone(),
            list["items"][0].get("key"),
            list["next_cursor"].is_string()
        ),
        (other["id"].clone(), None, true)
    );
    assert_eq!(profile(&server, &made["key"]).await.status, 200);
    let used = server
        .call_with(
            text(&anna["access_token"]),
            Method::GET,
            &format!("/auth/api-keys/{}", text(&made["id"])),
            Value::Null,
        )
        .await
        .data();
    assert_eq!(used["last_used_at"], server.app.app.now().to_string());
    let whole = text(&made["key"]);
    let wrong_end = format!(
        "{}{}",
        &whole[..whole.len() - 1],
        if whole.ends_with('0') { '1' } else { '0' }
    );
    let mixed = format!("{}{}", &whole[..30], &text(&other["key"])[30..]);
    for wrong in [
        wrong_end.as_str(),
        &mixed,
        "mm_",
        "mm_x",
        "mm_x_y",
        &whole[..30],
    ] {
        assert_eq!(
            profile(&server, &json!(wrong)).await.code(),
            "TOKEN_INVALID",
            "{wrong}"
        );
    }
    server.app.clock.advance(Duration::from_secs(3600));
    assert_eq!(profile(&server, &made["key"]).await.code(), "TOKEN_EXPIRED");
    assert_eq!(profile(&server, &other["key"]).await.status, 200);
    let session = super::login(&server, "anna", meetmind_server::testing::PASSWORD)
        .await
        .data();
    let path = format!("/auth/api-keys/{}", text(&other["id"]));
    assert_eq!(
        server
            .call_with(
                text(&session["access_token"]),
                Method::DELETE,
                &path,
                Value::Null
            )
            .await
            .status,
        200
    );
    assert_eq!(
        profile(&server, &other["key"]).await.code(),
        "TOKEN_INVALID"
    );
    assert_eq!(
        server
            .call_with(
                text(&session["access_token"]),
                Method::DELETE,
                &path,
                Value::Null
            )
            .await
            .code(),
        "NOT_FOUND"
    );
}

#[tokio::test]
async fn a_key_needs_a_name_a_scope_and_a_future() {
    let server = TestServer::new().await;
    let anna = server.register("anna").await;
    for body in [
        json!({ "name": "", "scopes": ["profile"] }),
        json!({ "name": "k", "scopes": [] }),
        json!({ "name": "k", "scopes": ["everything"] }),
        json!({ "name": "k" }),
        json!({ "name": "k", "scopes": ["profile"], "expires_at": "2020-01-01T00:00:00Z" }),
        json!({ "name": "a\u{0}b", "scopes": ["profile"] }),
        json!({ "name": "n".repeat(101), "scopes": ["profile"] }),
    ] {
        let answer = server
            .call_with(
                text(&anna["access_token"]),
                Method::POST,
                "/auth/api-keys",
                body.clone(),
            )
            .await;
        assert_eq!(answer.code(), "VALIDATION_FAILED", "{body}");
    }
}

#[tokio::test]
async fn a_ticket_opens_one_socket_within_half_a_minute() {
    let server = TestServer::new().await;
    let app = &server.app.app;
    let anna = server.register("anna").await;
    let made = async |token: &Value| {
        server
            .call_with(text(token), Method::POST, "/auth/ws-ticket", Value::Null)
            .await
            .data()["ticket"]
            .clone()
    };
    let ticket = made(&anna["access_token"]).await;
    let actor = app.ws_ticket_redeem(text(&ticket)).await.expect("good");
    assert_eq!(
        actor,
        app.authenticate(text(&anna["access_token"]))
            .await
            .expect("good")
    );
    assert!(app.ws_ticket_redeem(text(&ticket)).await.is_err(), "used");
    let late = made(&anna["access_token"]).await;
    server.app.clock.advance(Duration::from_secs(30));
    assert!(app.ws_ticket_redeem(text(&late)).await.is_err(), "late");
    let by_key = key(
        &server,
        &anna["access_token"],
        json!({ "name": "k", "scopes": ["meetings:read"] }),
    )
    .await;
    let ticket = made(&by_key["key"]).await;
    let actor = app.ws_ticket_redeem(text(&ticket)).await.expect("good");
    assert!(
        matches!(actor, Actor::User { proof: Proof::ApiKey(_, ref scopes), .. } if scopes == &[Scope::MeetingsRead]),
        "{actor:?}"
    );
    let doomed = made(&anna["access_token"]).await;
    server
        .call_with(
            text(&anna["access_token"]),
            Method::POST,
            "/auth/logout",
            json!({}),
        )
        .await;
    assert!(
        app.ws_ticket_redeem(text(&doomed)).await.is_err(),
        "signed out in between"
    );
    assert_eq!(
        server
            .post(&Actor::Anonymous, "/auth/ws-ticket", Value::Null)
            .await
            .code(),
        "UNAUTHENTICATED"
    );
    let profile = server
        .get(
            &Actor::Anonymous,
            &format!(
                "/auth/profile?access_token={}&token={}",
                text(&anna["access_token"]),
                text(&doomed)
            ),
        )
        .await;
    assert_eq!(profile.code(), "UNAUTHENTICATED", "no credential in a URL");
}

#[tokio::test]
async fn what_is_no_bearer_token_is_refused() {
    let server = TestServer::new().await;
    for value in [
        "Basic YTpi",
        "Bearer",
        "Bearer ",
        "bearer x",
        "mm_x",
        "Bearer a.b.c",
        &format!("Bearer {}", "x".repeat(10_000)),
    ] {
        let request = axum::http::Request::get("/auth/profile").header("authorization", value);
        let answer = server
            .send(
                &Actor::Anonymous,
                request.body(axum::body::Body::empty()).expect("a request"),
            )
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (401, "TOKEN_INVALID"),
            "{value}"
        );
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
}
