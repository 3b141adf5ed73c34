//! Cookies, forgery across sites, other origins, proxies, pages.

use std::collections::HashMap;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use meetmind_app::testing::TestApp;
use meetmind_core::Actor;
use meetmind_server::Settings;
use meetmind_server::testing::{PASSWORD, TestAnswer, TestServer};
use serde_json::{Value, json};

use super::{from, login, text};

/// The cookies an answer set, as a browser would send them back, and each with its attributes.
fn cookies(answer: &TestAnswer) -> (String, HashMap<String, String>) {
    let lines = answer
        .headers
        .get_all("set-cookie")
        .iter()
        .map(|line| line.to_str().expect("text"));
    let all: HashMap<_, _> = lines
        .map(|line| {
            let (pair, attributes) = line.split_once(';').expect("attributes");
            (pair.to_owned(), attributes.to_owned())
        })
        .collect();
    (all.keys().cloned().collect::<Vec<_>>().join("; "), all)
}

async fn send(
    server: &TestServer,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Value,
) -> TestAnswer {
    let mut request = Request::builder().method(method).uri(path);
    if headers.iter().all(|(name, _)| *name != "host") {
        request = request.header("host", "127.0.0.1:8000");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = match body {
        Value::Null => request.body(Body::empty()),
        body => request
            .header("content-type", "application/json")
            .body(Body::from(body.to_string())),
    };
    server
        .send(&Actor::Anonymous, request.expect("a request"))
        .await
}

async fn page_login(server: &TestServer) -> (String, String) {
    server.register("anna").await;
    let body = json!({ "email": "anna@example.com", "password": PASSWORD });
    let answer = send(
        server,
        Method::POST,
        "/auth/login?cookie=true",
        &[("origin", "http://127.0.0.1:8000")],
        body,
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    assert!(
        answer.data().get("access_token").is_none() && answer.data().get("refresh_token").is_none(),
        "no token for scripts"
    );
    let csrf = text(&answer.data()["csrf_token"]).to_owned();
    (cookies(&answer).0, csrf)
}

#[tokio::test]
async fn a_page_signs_in_with_cookies_that_scripts_cannot_read() {
    for (public_url, prefix, secure) in [
        ("http://127.0.0.1:8000", "mm_", false),
        ("https://meet.example.com", "__Host-mm_", true),
    ] {
        let settings = meetmind_app::Settings {
            public_url: public_url.to_owned(),
            ..meetmind_app::Settings::default()
        };
        let server = TestServer::over(TestApp::with(settings).await);
        server.register("anna").await;
        let body = json!({ "email": "anna@example.com", "password": PASSWORD });
        let answer = send(&server, Method::POST, "/auth/login?cookie=true", &[], body).await;
        let (_, all) = cookies(&answer);
        assert_eq!(all.len(), 3);
        for (pair, attributes) in all {
            assert!(pair.starts_with(prefix), "{pair}");
            assert_eq!(attributes.contains("Secure"), secure);
            assert_eq!(
                attributes.contains("HttpOnly"),
                !pair.contains("mm_csrf"),
                "{pair}"
            );
            assert!(
                attributes.contains("SameSite=Lax")
                    && attributes.contains("Path=/")
                    && !attributes.contains("Domain")
            );
        }
        assert_eq!(
            answer.headers.contains_key("strict-transport-security"),
            secure
        );
    }
}

#[tokio::test]
async fn a_cookie_reads_but_changes_only_with_the_header_and_from_our_page() {
    let server = TestServer::new().await;
    let (cookie, csrf) = page_login(&server).await;
    let ours = ("origin", "http://127.0.0.1:8000");
    let theirs = ("origin", "https://attacker.example");
    let cookie = ("cookie", cookie.as_str());
    assert_eq!(
        send(
            &server,
            Method::GET,
            "/auth/profile",
            &[cookie],
            Value::Null
        )
        .await
        .status,
        200
    );
    let patch = async |headers: &[(&str, &str)]| {
        send(
            &server,
            Method::PATCH,
            "/auth/profile",
            headers,
            json!({ "name": "Ann" }),
        )
        .await
    };
    let good = ("x-csrf-token", csrf.as_str());
    let other_session = login(&server, "anna", PASSWORD).await.data()["session_id"].clone();
    let foreign = server
        .app
        .app
        .csrf_token(text(&other_session).parse().expect("an id"));
    for headers in [
        &[cookie][..],
        &[cookie, ours],
        &[cookie, good, theirs],
        &[cookie, good, ("origin", "null")],
        &[cookie, ours, ("x-csrf-token", "00")],
        &[cookie, ours, ("x-csrf-token", &foreign)],
        &[cookie, good, ("sec-fetch-site", "cross-site")],
        &[
            cookie,
            good,
            ("origin", "http://127.0.0.1:8000.attacker.example"),
        ],
    ] {
        let answer = patch(headers).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (403, "CSRF_FAILED"),
            "{headers:?}"
        );
    }
    assert_eq!(patch(&[cookie, ours, good]).await.status, 200);
    assert_eq!(
        patch(&[cookie, good, ("sec-fetch-site", "same-origin")])
            .await
            .status,
        200
    );
    let bearer = format!(
        "Bearer {}",
        text(&login(&server, "anna", PASSWORD).await.data()["access_token"])
    );
    assert_eq!(
        patch(&[cookie, theirs, ("authorization", &bearer)])
            .await
            .status,
        200,
        "a token of one's own wins"
    );
    let wrong = patch(&[cookie, ours, good, ("authorization", "Bearer x")]).await;
    assert_eq!(wrong.code(), "TOKEN_INVALID", "a wrong one too");
}

#[tokio::test]
async fn a_page_refreshes_and_signs_out_by_cookie() {
    let server = TestServer::new().await;
    let (cookie, csrf) = page_login(&server).await;
    let (held, good) = (("cookie", cookie.as_str()), ("x-csrf-token", csrf.as_str()));
    assert_eq!(
        send(&server, Method::POST, "/auth/refresh", &[held], json!({}))
            .await
            .code(),
        "CSRF_FAILED"
    );
    let evil = [held, good, ("origin", "https://attacker.example")];
    assert_eq!(
        send(&server, Method::POST, "/auth/refresh", &evil, json!({}))
            .await
            .code(),
        "CSRF_FAILED"
    );
    server
        .app
        .clock
        .advance(std::time::Duration::from_secs(901));
    assert_eq!(
        send(&server, Method::GET, "/auth/profile", &[held], Value::Null)
            .await
            .code(),
        "TOKEN_EXPIRED"
    );
    let refreshed = send(
        &server,
        Method::POST,
        "/auth/refresh",
        &[held, good],
        json!({}),
    )
    .await;
    assert_eq!(refreshed.status, 200, "{}", refreshed.json());
    let (cookie, _) = cookies(&refreshed);
    let held = ("cookie", cookie.as_str());
    assert_eq!(
        send(&server, Method::GET, "/auth/profile", &[held], Value::Null)
            .await
            .status,
        200
    );
    assert_eq!(
        send(&server, Method::POST, "/auth/logout", &[held], json!({}))
            .await
            .code(),
        "CSRF_FAILED"
    );
    let out = send(
        &server,
        Method::POST,
        "/auth/logout",
        &[held, good],
        json!({}),
    )
    .await;
    assert_eq!(out.data()["sessions_ended"], 1, "{}", out.json());
    assert!(
        cookies(&out)
            .1
            .values()
            .all(|attributes| attributes.contains("Max-Age=0"))
    );
    assert_eq!(
        send(&server, Method::GET, "/auth/profile", &[held], Value::Null)
            .await
            .code(),
        "SESSION_REVOKED"
    );
}

#[tokio::test]
async fn another_site_cannot_ask_for_cookies() {
    let server = TestServer::new().await;
    server.register("anna").await;
    let body = json!({ "email": "anna@example.com", "password": PASSWORD });
    let answer = send(
        &server,
        Method::POST,
        "/auth/login?cookie=true",
        &[("origin", "https://attacker.example")],
        body,
    )
    .await;
    assert_eq!(answer.code(), "CSRF_FAILED");
    assert!(!answer.headers.contains_key("set-cookie"));
}

#[tokio::test]
async fn a_page_under_a_name_that_is_not_ours_is_turned_away() {
    let server = TestServer::new().await;
    let reached_as = async |host: &str, origin: Option<&str>| {
        let mut headers = vec![("host", host)];
        headers.extend(origin.map(|origin| ("origin", origin)));
        let answer = send(&server, Method::GET, "/health", &headers, Value::Null).await;
        answer.status
    };
    // The name of a foreign page that was pointed at this machine.
    let rebound = Some("http://attacker.example:8000");
    assert_eq!(
        reached_as("attacker.example:8000", rebound).await,
        StatusCode::FORBIDDEN
    );
    for host in [
        "127.0.0.1:8000",
        "localhost:8000",
        "app.localhost:3000",
        "[::1]:8000",
        "192.168.1.5:8000",
    ] {
        let origin = format!("http://{host}");
        assert_eq!(
            reached_as(host, Some(&origin)).await,
            StatusCode::OK,
            "{host}"
        );
    }
    assert_eq!(
        reached_as("meetmind.internal", None).await,
        StatusCode::OK,
        "a program"
    );
}

#[tokio::test]
async fn other_origins_are_let_in_only_when_listed() {
    let preflight = [
        ("origin", "https://app.example.com"),
        ("access-control-request-method", "PATCH"),
        ("access-control-request-headers", "authorization"),
    ];
    let closed = TestServer::new().await;
    let answer = send(
        &closed,
        Method::OPTIONS,
        "/auth/profile",
        &preflight,
        Value::Null,
    )
    .await;
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
    let settings = Settings {
        cors_origins: vec!["https://app.example.com".to_owned(), "*".to_owned()],
        ..Settings::default()
    };
    let open = TestServer::with(TestApp::new().await, &settings);
    let answer = send(
        &open,
        Method::OPTIONS,
        "/auth/profile",
        &preflight,
        Value::Null,
    )
    .await;
    assert_eq!(
        answer.headers["access-control-allow-origin"],
        "https://app.example.com"
    );
    assert_eq!(answer.headers["access-control-allow-credentials"], "true");
    let answer = send(
        &open,
        Method::GET,
        "/auth/profile",
        &[("origin", "https://attacker.example")],
        Value::Null,
    )
    .await;
    assert!(
        !answer.headers.contains_key("access-control-allow-origin"),
        "never everybody"
    );
    let answer = send(
        &open,
        Method::GET,
        "/auth/profile",
        &[("origin", "https://app.example.com")],
        Value::Null,
    )
    .await;
    assert_eq!(
        (
            answer.status.as_u16(),
            answer.headers["access-control-allow-origin"]
                .to_str()
                .expect("text")
        ),
        (401, "https://app.example.com"),
        "errors can be read too"
    );
}

#[tokio::test]
async fn a_forwarded_address_counts_only_from_a_trusted_proxy() {
    let settings = Settings {
        trusted_proxies: vec!["10.0.0.0/8".to_owned(), "2001:db8::1".to_owned()],
        ..Settings::default()
    };
    let server = TestServer::with(TestApp::new().await, &settings);
    let cases = [
        ("192.0.2.7", "203.0.113.9", "192.0.2.7"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        (
            "10.0.0.1",
            "198.51.100.1, 203.0.113.9, 10.9.9.9",
            "203.0.113.9",
        ),
        ("10.0.0.1", "203.0.113.9, nonsense", "10.0.0.1"),
        ("[2001:db8::1]", "203.0.113.9", "203.0.113.9"),
        ("[::ffff:10.0.0.1]", "203.0.113.9", "203.0.113.9"),
    ];
    for (number, (peer, forwarded, expected)) in cases.iter().enumerate() {
        let name = format!("u{number}");
        let body = json!({ "email": format!("{name}@example.com"), "password": PASSWORD });
        let answer = server
            .send(
                &Actor::Anonymous,
                from(
                    peer,
                    "/auth/register",
                    &body,
                    &[("x-forwarded-for", forwarded)],
                ),
            )
            .await;
        let token = answer.data()["access_token"].clone();
        let sessions = server
            .call_with(text(&token), Method::GET, "/auth/sessions", Value::Null)
            .await
            .data();
        assert_eq!(
            sessions["items"][0]["address"], *expected,
            "{peer} {forwarded}"
        );
    }
}

#[tokio::test]
async fn the_pages_work_without_scripts_and_escape_what_they_show() {
    let server = TestServer::new().await;
    let start = server.get(&Actor::Anonymous, "/").await;
    assert!(String::from_utf8_lossy(&start.bytes).contains("Nobody administers this server"));
    let link = server
        .app
        .app
        .setup_link()
        .await
        .expect("an answer")
        .expect("a link");
    let path = link
        .strip_prefix("http://127.0.0.1:8000")
        .expect("our address");
    let token = link.split_once("token=").expect("a token").1;
    let form = server.get(&Actor::Anonymous, path).await;
    let html = String::from_utf8(form.bytes.to_vec()).expect("text");
    assert!(html.contains(token) && !html.contains("<script"));
    let policy = form.headers["content-security-policy"]
        .to_str()
        .expect("text");
    assert!(
        policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    let evil = server
        .get(
            &Actor::Anonymous,
            "/setup?token=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
        )
        .await;
    let evil = String::from_utf8_lossy(&evil.bytes).into_owned();
    assert!(!evil.contains("<script") && evil.contains("not valid") && !evil.contains("<form"));
    let post = async |password: &str| {
        let body = format!(
            "token={token}&name=Anna&email=anna%40example.com&password={}",
            password.replace(' ', "+")
        );
        let request =
            Request::post("/setup").header("content-type", "application/x-www-form-urlencoded");
        server
            .send(
                &Actor::Anonymous,
                request.body(Body::from(body)).expect("a request"),
            )
            .await
    };
    let weak = post("password").await;
    assert_eq!(weak.status, 422);
    let html = String::from_utf8_lossy(&weak.bytes).into_owned();
    assert!(html.contains("too easy to guess") && html.contains("anna@example.com"));
    let done = post(PASSWORD).await;
    assert_eq!(
        (done.status.as_u16(), &done.headers["location"]),
        (303, &"/".parse().expect("a path"))
    );
    assert_eq!(cookies(&done).1.len(), 3);
    assert_eq!(post(PASSWORD).await.status, 401, "the link works once");
    let used = server.get(&Actor::Anonymous, path).await;
    assert!(
        !String::from_utf8_lossy(&used.bytes).contains("<form"),
        "nobody fills in a form in vain"
    );
    assert_eq!(
        login(&server, "anna", PASSWORD).await.data()["user"]["role"],
        "admin"
    );
}

#[tokio::test]
async fn a_person_sets_a_new_password_on_the_page_of_the_link() {
    let server = TestServer::new().await;
    let anna = server.register("anna").await;
    let id = text(&anna["user"]["id"]).parse().expect("an id");
    let link = server
        .app
        .app
        .user_reset_link(&server.app.app.system_ctx(), id)
        .await
        .expect("a link")
        .url;
    let token = link.split_once("token=").expect("a token").1;
    let path = format!("/reset?token={token}");
    let form = server.get(&Actor::Anonymous, &path).await;
    assert_eq!(form.status, 200);
    assert!(String::from_utf8_lossy(&form.bytes).contains("anna@example.com"));
    let request =
        Request::post("/reset").header("content-type", "application/x-www-form-urlencoded");
    let body = Body::from(format!("token={token}&password=a+lamp+without+a+shade"));
    assert_eq!(
        server
            .send(&Actor::Anonymous, request.body(body).expect("a request"))
            .await
            .status,
        200
    );
    assert_eq!(server.get(&Actor::Anonymous, &path).await.status, 401);
    assert_eq!(
        login(&server, "anna", "a lamp without a shade")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn the_public_keys_are_published() {
    let server = TestServer::new().await;
    let answer = server
        .get(&Actor::Anonymous, "/.well-known/jwks.json")
        .await;
    assert_eq!(answer.json()["keys"][0]["alg"], "ES256");
    assert_eq!(answer.headers["cache-control"], "public, max-age=600");
}
