//! `/api/admin`

use axum::http::Method;
use meetmind_core::Actor;
use meetmind_server::testing::{PASSWORD, TestServer};
use serde_json::{Value, json};

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

/// A server with an administrator; gives the access token and the id.
async fn with_boss() -> (TestServer, String, String) {
    let server = TestServer::new().await;
    let boss = server.register("boss").await;
    let id = text(&boss["user"]["id"]).to_owned();
    let app = &server.app.app;
    app.user_promote(&app.system_ctx(), id.parse().expect("an id"))
        .await
        .expect("promoted");
    let token = text(&boss["access_token"]).to_owned();
    (server, token, id)
}

#[tokio::test]
async fn an_administrator_makes_finds_and_changes_accounts() {
    let (server, boss, _) = with_boss().await;
    let made = server
        .call_with(
            &boss,
            Method::POST,
            "/api/admin/users",
            json!({ "email": "Ben@Example.com", "name": "Ben 100%" }),
        )
        .await;
    assert_eq!(made.status, 201, "{}", made.json());
    assert!(
        text(&made.data()["reset_link"]["url"]).starts_with("http://127.0.0.1:8000/reset?token=")
    );
    let path = made.headers["location"].to_str().expect("text").to_owned();
    let direct = json!({ "email": "cleo@example.com", "role": "admin", "password": PASSWORD });
    assert_eq!(
        server
            .call_with(&boss, Method::POST, "/api/admin/users", direct.clone())
            .await
            .data()["reset_link"],
        Value::Null
    );
    assert_eq!(
        server
            .call_with(&boss, Method::POST, "/api/admin/users", direct)
            .await
            .code(),
        "EMAIL_TAKEN"
    );
    let list = async |query: &str| {
        let list = server
            .call_with(
                &boss,
                Method::GET,
                &format!("/api/admin/users{query}"),
                Value::Null,
            )
            .await
            .data();
        let emails: Vec<_> = list["items"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|user| text(&user["email"]).to_owned())
            .collect();
        (emails, list["next_cursor"].clone())
    };
    assert_eq!(list("?q=100%25").await.0, ["ben@example.com"]);
    assert_eq!(list("?q=CLEO").await.0, ["cleo@example.com"]);
    let (first, cursor) = list("?limit=2").await;
    let (second, end) = list(&format!("?limit=2&cursor={}", text(&cursor))).await;
    assert_eq!((first.len(), second.len(), end), (2, 1, Value::Null));
    let clock = &server.app.clock;
    clock.advance(std::time::Duration::from_secs(1));
    let changed = server
        .call_with(
            &boss,
            Method::PATCH,
            &path,
            json!({ "name": "Benno", "disabled": true }),
        )
        .await
        .data();
    assert_eq!(
        (&changed["name"], changed["disabled_at"].is_string()),
        (&json!("Benno"), true)
    );
    clock.advance(std::time::Duration::from_secs(1));
    let again = server
        .call_with(&boss, Method::PATCH, &path, json!({ "disabled": false }))
        .await
        .data();
    assert_eq!(
        (&again["name"], &again["disabled_at"]),
        (&json!("Benno"), &Value::Null)
    );
    let missing = "/api/admin/users/usr_00000000000000000000000001";
    for (method, path) in [
        (Method::GET, missing.to_owned()),
        (Method::PATCH, missing.to_owned()),
        (Method::POST, format!("{missing}/reset-link")),
        (Method::DELETE, format!("{missing}/sessions")),
    ] {
        assert_eq!(
            server
                .call_with(&boss, method, &path, json!({}))
                .await
                .code(),
            "NOT_FOUND",
            "{path}"
        );
    }
    let audit = server
        .call_with(&boss, Method::GET, "/api/admin/audit?limit=1", Value::Null)
        .await
        .data();
    assert_eq!(
        (
            &audit["items"][0]["action"],
            audit["next_cursor"].is_string()
        ),
        (&json!("user.enabled"), true)
    );
    let next = format!(
        "/api/admin/audit?limit=1&cursor={}",
        text(&audit["next_cursor"])
    );
    assert_eq!(
        server
            .call_with(&boss, Method::GET, &next, Value::Null)
            .await
            .data()["items"][0]["action"],
        "user.disabled"
    );
}

#[tokio::test]
async fn somebody_always_administers() {
    let (server, boss, id) = with_boss().await;
    let path = format!("/api/admin/users/{id}");
    for body in [json!({ "role": "member" }), json!({ "disabled": true })] {
        assert_eq!(
            server
                .call_with(&boss, Method::PATCH, &path, body)
                .await
                .code(),
            "CONFLICT"
        );
    }
    let gone = server
        .call_with(
            &boss,
            Method::DELETE,
            "/api/me",
            json!({ "password": PASSWORD }),
        )
        .await;
    assert_eq!(gone.code(), "CONFLICT");
    assert_eq!(
        server
            .call_with(&boss, Method::GET, &path, Value::Null)
            .await
            .data()["role"],
        "admin",
        "nothing happened"
    );
    let second = server
        .call_with(
            &boss,
            Method::POST,
            "/api/admin/users",
            json!({ "email": "two@example.com", "role": "admin", "password": PASSWORD }),
        )
        .await;
    let login = json!({ "email": "two@example.com", "password": PASSWORD });
    let two = server
        .post(&Actor::Anonymous, "/auth/login", login)
        .await
        .data();
    let (one_path, two_path) = (
        path,
        format!("/api/admin/users/{}", text(&second.data()["id"])),
    );
    let demote = json!({ "role": "member" });
    let (a, b) = tokio::join!(
        server.call_with(&boss, Method::PATCH, &two_path, demote.clone()),
        server.call_with(
            text(&two["access_token"]),
            Method::PATCH,
            &one_path,
            demote.clone()
        )
    );
    let done = [a.status.as_u16(), b.status.as_u16()]
        .iter()
        .filter(|status| **status == 200)
        .count();
    assert_eq!(done, 1, "{} {}", a.json(), b.json());
}
