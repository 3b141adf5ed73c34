//! Passwords, guessing, set-up and reset links.

use std::time::Duration;

use axum::http::Method;
use meetmind_app::testing::TestApp;
use meetmind_app::{Registration, Settings};
use meetmind_core::{Actor, PageQuery};
use meetmind_server::testing::{PASSWORD, TestAnswer, TestServer};
use serde_json::{Value, json};

use super::{from, login, profile, system, text};

async fn register(server: &TestServer, email: &str, password: &str) -> TestAnswer {
    let body = json!({ "email": email, "password": password });
    server.post(&Actor::Anonymous, "/auth/register", body).await
}

#[tokio::test]
async fn asvs_v5_6_2_1_a_password_has_eight_characters_at_least() {
    let server = TestServer::new().await;
    let short = register(&server, "anna@example.com", "kq7!vZp").await;
    assert_eq!(
        (short.status.as_u16(), short.code().as_str()),
        (422, "WEAK_PASSWORD")
    );
    assert_eq!(
        register(&server, "anna@example.com", "kq7!vZp2")
            .await
            .status,
        201
    );
}

#[tokio::test]
async fn asvs_v5_6_2_3_a_new_password_needs_the_current_one() {
    let server = TestServer::new().await;
    let anna = server.register("anna").await;
    let token = text(&anna["access_token"]);
    let patch = async |body: Value| {
        server
            .call_with(token, Method::PATCH, "/auth/profile", body)
            .await
    };
    let new = "a lamp without a shade";
    assert_eq!(
        patch(json!({ "password": new })).await.code(),
        "VALIDATION_FAILED"
    );
    let wrong = patch(json!({ "password": new, "current_password": "x" })).await;
    assert_eq!(wrong.code(), "INVALID_CREDENTIALS");
    assert_eq!(login(&server, "anna", PASSWORD).await.status, 200);
    let right = patch(json!({ "password": new, "current_password": PASSWORD })).await;
    assert_eq!(right.status, 200, "{}", right.json());
    assert_eq!(login(&server, "anna", PASSWORD).await.status, 401);
    assert_eq!(login(&server, "anna", new).await.status, 200);
}

#[tokio::test]
async fn asvs_v5_6_2_4_common_passwords_and_context_words_are_refused() {
    let server = TestServer::new().await;
    for common in [
        "password",
        "12345678",
        "iloveyou",
        "football",
        "princess",
        "qwertyuiop",
        "sunshine1",
        "trustno1",
        "baseball",
        "letmein1",
        "superman",
        "11111111",
        "asdfghjkl",
        "passw0rd",
        "meetmind",
        "MeetMind1",
        "grace.hopper",
        "gracehopper1",
    ] {
        let body = json!({ "email": "grace.hopper@example.com", "password": common });
        let answer = server.post(&Actor::Anonymous, "/auth/register", body).await;
        assert_eq!(answer.code(), "WEAK_PASSWORD", "{common}");
    }
}

#[tokio::test]
async fn asvs_v5_6_2_5_no_mix_of_characters_is_asked_for() {
    let server = TestServer::new().await;
    for (number, password) in [
        "wolkenkuckucksheimweg",
        "7391840265117",
        "ΟΥΔΕΝ ΟΙΔΑ ΠΛΗΝ",
        "        ~        ^    ",
        "🦉🪁🧭🫖🪵🦔🧶🪐",
    ]
    .iter()
    .enumerate()
    {
        let answer = register(&server, &format!("u{number}@example.com"), password).await;
        assert_eq!(answer.status, 201, "{password}: {}", answer.json());
    }
}

#[tokio::test]
async fn asvs_v5_6_2_8_a_password_is_compared_as_it_was_given() {
    let server = TestServer::new().await;
    let password = " Grüner Tee um 5 ";
    let body = json!({ "email": "anna@example.com", "password": password });
    assert_eq!(
        server
            .post(&Actor::Anonymous, "/auth/register", body)
            .await
            .status,
        201
    );
    for other in [
        password.trim(),
        &password.to_lowercase(),
        &password.replace('ü', "u\u{308}"),
        " Grüner Tee um 5",
    ] {
        assert_eq!(login(&server, "anna", other).await.status, 401, "{other:?}");
    }
    assert_eq!(login(&server, "anna", password).await.status, 200);
}

#[tokio::test]
async fn asvs_v5_6_2_9_long_passwords_are_taken_whole() {
    let server = TestServer::new().await;
    let whole: String = "the quick owl reads 7 books. "
        .chars()
        .cycle()
        .take(256)
        .collect();
    assert_eq!(
        register(&server, "anna@example.com", &whole).await.status,
        201
    );
    assert_eq!(
        register(&server, "ben@example.com", &whole[..64])
            .await
            .status,
        201
    );
    assert_eq!(login(&server, "anna", &whole).await.status, 200);
    assert_eq!(
        login(&server, "anna", &format!("{}!", &whole[..255]))
            .await
            .status,
        401
    );
    let more = format!("{whole}!");
    assert_eq!(login(&server, "anna", &more).await.status, 401);
    assert_eq!(
        register(&server, "cleo@example.com", &more).await.code(),
        "VALIDATION_FAILED"
    );
}

#[tokio::test]
async fn asvs_v5_6_3_1_guessing_slows_down_and_ends_in_waiting() {
    let server = TestServer::new().await;
    server.register("anna").await;
    for _ in 0..10 {
        assert_eq!(
            login(&server, "anna", "wrong").await.code(),
            "INVALID_CREDENTIALS"
        );
    }
    let waiting = login(&server, "anna", PASSWORD).await;
    assert_eq!(
        (waiting.status.as_u16(), waiting.code().as_str()),
        (429, "TOO_MANY_ATTEMPTS")
    );
    assert_eq!(waiting.headers["retry-after"], "1");
    let mut longest = 0;
    for _ in 0..14 {
        let waiting = login(&server, "anna", "wrong").await;
        let seconds: u64 = waiting.headers["retry-after"]
            .to_str()
            .expect("text")
            .parse()
            .expect("seconds");
        assert!(seconds >= longest, "the wait grows");
        longest = seconds;
        server.app.clock.advance(Duration::from_secs(seconds));
        assert_eq!(login(&server, "anna", "wrong").await.status, 401);
    }
    assert_eq!(longest, 900, "never for good");
    server.app.clock.advance(Duration::from_secs(900));
    assert_eq!(login(&server, "anna", PASSWORD).await.status, 200);
    assert_eq!(
        login(&server, "anna", "wrong").await.status,
        401,
        "the count began anew"
    );
    assert_eq!(login(&server, "anna", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn asvs_v5_6_3_1_guessing_at_many_accounts_slows_the_address_down() {
    let server = TestServer::new().await;
    server.register("anna").await;
    let attempt = async |address: &str, name: &str, password: &str| {
        let body = json!({ "email": format!("{name}@example.com"), "password": password });
        let request = from(
            address,
            "/auth/login",
            &body,
            &[("x-forwarded-for", "203.0.113.9")],
        );
        server.send(&Actor::Anonymous, request).await
    };
    // An office signs in from one address: ten times as many as of one account.
    for number in 0..100 {
        assert_eq!(
            attempt("192.0.2.1", &format!("u{number}"), "wrong")
                .await
                .status,
            401
        );
    }
    assert_eq!(
        attempt("192.0.2.1", "anna", PASSWORD).await.code(),
        "TOO_MANY_ATTEMPTS"
    );
    assert_eq!(
        attempt("192.0.2.2", "anna", PASSWORD).await.status,
        200,
        "others are not kept out"
    );
}

#[tokio::test]
async fn asvs_v5_6_3_1_guesses_at_the_current_password_count_too() {
    let server = TestServer::new().await;
    let anna = server.register("anna").await;
    let body = json!({ "password": "a lamp without a shade", "current_password": "guess" });
    let mut codes = Vec::new();
    for _ in 0..11 {
        codes.push(
            server
                .call_with(
                    text(&anna["access_token"]),
                    Method::PATCH,
                    "/auth/me",
                    body.clone(),
                )
                .await
                .code(),
        );
    }
    assert_eq!(
        (codes[9].as_str(), codes[10].as_str()),
        ("INVALID_CREDENTIALS", "TOO_MANY_ATTEMPTS")
    );
}

#[tokio::test]
async fn asvs_v5_6_3_2_there_is_no_account_before_somebody_makes_one() {
    let server = TestServer::new().await;
    let users = server
        .app
        .app
        .user_list(&system(&server), None, &PageQuery::default())
        .await;
    assert!(users.expect("a list").items.is_empty());
    let first = server.register("anna").await;
    assert_eq!(
        first["user"]["role"], "member",
        "the first to register does not administer"
    );
}

#[tokio::test]
async fn asvs_v5_6_3_8_nobody_learns_which_accounts_exist() {
    let server = TestServer::new().await;
    server.register("anna").await;
    let same = |mut left: TestAnswer, mut right: TestAnswer| {
        let strip = |answer: &mut TestAnswer| {
            let mut body = answer.json();
            if let Some(error) = body["error"].as_object_mut() {
                error.remove("request_id");
            }
            answer.headers.remove("x-request-id");
            (answer.status, body, answer.headers.clone())
        };
        assert_eq!(strip(&mut left), strip(&mut right));
    };
    same(
        login(&server, "anna", "wrong").await,
        login(&server, "nobody", "wrong").await,
    );
    let reset = async |email: &str| {
        server
            .post(&Actor::Anonymous, "/auth/reset", json!({ "email": email }))
            .await
    };
    same(
        reset("anna@example.com").await,
        reset("nobody@example.com").await,
    );
    for _ in 0..9 {
        login(&server, "anna", "wrong").await;
        login(&server, "nobody", "wrong").await;
    }
    same(
        login(&server, "anna", "wrong").await,
        login(&server, "nobody", "wrong").await,
    );
}

#[tokio::test]
async fn asvs_v5_6_4_1_a_set_up_link_is_random_works_once_and_expires() {
    let server = TestServer::new().await;
    let app = &server.app.app;
    let token = |link: Option<String>| {
        link.expect("a link")
            .split_once("token=")
            .expect("a token")
            .1
            .to_owned()
    };
    let setup = async |token: &str, name: &str| {
        let body =
            json!({ "token": token, "email": format!("{name}@example.com"), "password": PASSWORD });
        server.post(&Actor::Anonymous, "/auth/setup", body).await
    };
    let replaced = token(app.setup_link().await.expect("an answer"));
    let expired = token(app.setup_link().await.expect("an answer"));
    assert_eq!((replaced.len(), replaced == expired), (64, false));
    assert_eq!(setup(&replaced, "anna").await.code(), "TOKEN_INVALID");
    server.app.clock.advance(Duration::from_secs(24 * 3600));
    assert_eq!(setup(&expired, "anna").await.code(), "TOKEN_INVALID");
    let good = token(app.setup_link().await.expect("an answer"));
    let weak = json!({ "token": good, "email": "anna@example.com", "password": "password" });
    assert_eq!(
        server
            .post(&Actor::Anonymous, "/auth/setup", weak)
            .await
            .code(),
        "WEAK_PASSWORD"
    );
    let (one, two) = tokio::join!(setup(&good, "anna"), setup(&good, "ben"));
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 401], "{} {}", one.json(), two.json());
    let admin = if one.status == 201 { one } else { two };
    assert_eq!(admin.data()["user"]["role"], "admin");
    assert_eq!(app.setup_link().await.expect("an answer"), None);
}

#[tokio::test]
async fn asvs_v5_6_4_1_a_reset_link_works_once_expires_and_ends_the_sessions() {
    let server = TestServer::new().await;
    let anna = server.register("anna").await;
    let id = text(&anna["user"]["id"]).parse().expect("an id");
    let link = async || {
        let link = server
            .app
            .app
            .user_reset_link(&system(&server), id)
            .await
            .expect("a link");
        link.url.split_once("token=").expect("a token").1.to_owned()
    };
    let confirm = async |token: &str, password: &str| {
        let body = json!({ "token": token, "password": password });
        server
            .post(&Actor::Anonymous, "/auth/reset/confirm", body)
            .await
    };
    let new = "a lamp without a shade";
    let (replaced, expired) = (link().await, link().await);
    assert_eq!(confirm(&replaced, new).await.code(), "TOKEN_INVALID");
    server.app.clock.advance(Duration::from_secs(24 * 3600));
    assert_eq!(confirm(&expired, new).await.code(), "TOKEN_INVALID");
    let signed_in = login(&server, "anna", PASSWORD).await.data();
    assert_eq!(
        profile(&server, &signed_in["access_token"]).await.status,
        200
    );
    let good = link().await;
    assert_eq!(confirm(&good, "password").await.code(), "WEAK_PASSWORD");
    assert_eq!(confirm(&good, new).await.status, 200);
    assert_eq!(confirm(&good, new).await.code(), "TOKEN_INVALID");
    assert_eq!(
        profile(&server, &signed_in["access_token"]).await.code(),
        "SESSION_REVOKED"
    );
    assert_eq!(login(&server, "anna", new).await.status, 200);
}

#[tokio::test]
async fn addresses_that_differ_by_case_are_one_account() {
    let server = TestServer::new().await;
    let (one, two) = tokio::join!(
        register(&server, "Anna@Example.com", PASSWORD),
        register(&server, "anna@example.COM", PASSWORD)
    );
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    assert_eq!(
        register(&server, "ANNA@EXAMPLE.COM", PASSWORD).await.code(),
        "EMAIL_TAKEN"
    );
    for wrong in [
        "anna",
        "a@b@c",
        "an na@example.com",
        "@example.com",
        "",
        &format!("{}@x.org", "a".repeat(255)),
    ] {
        assert_eq!(
            register(&server, wrong, PASSWORD).await.code(),
            "VALIDATION_FAILED",
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn registration_follows_the_setting() {
    let with = async |registration| {
        let settings = Settings {
            registration,
            ..Settings::default()
        };
        TestServer::over(TestApp::with(settings).await)
    };
    let closed = with(Registration::Closed).await;
    assert_eq!(
        register(&closed, "anna@example.com", PASSWORD).await.code(),
        "REGISTRATION_CLOSED"
    );
    let invite = with(Registration::Invite).await;
    assert_eq!(
        register(&invite, "anna@example.com", PASSWORD).await.code(),
        "REGISTRATION_CLOSED"
    );
    let host = invite.app.user("host").await;
    let make = async |access: &str| {
        invite
            .post(
                &host,
                "/api/meetings",
                json!({ "title": "x", "access": access }),
            )
            .await
            .data()["id"]
            .clone()
    };
    let (link, closed) = (make("link").await, make("invite").await);
    let mut answers = Vec::new();
    for (meeting, right) in [(&link, false), (&closed, true), (&link, true)] {
        let mut conn = invite.app.db.store.read().await.expect("a connection");
        let (code, _) = conn
            .meeting_secret_get(text(meeting).parse().expect("an id"))
            .await
            .expect("a code");
        let code = if right { code } else { "wrong".to_owned() };
        let body = json!({ "email": "anna@example.com", "password": PASSWORD, "meeting_id": meeting, "invite_code": code });
        answers.push(
            invite
                .post(&Actor::Anonymous, "/auth/register", body)
                .await
                .status
                .as_u16(),
        );
    }
    assert_eq!(answers, [403, 403, 201]);
}

#[tokio::test]
async fn an_old_hash_is_renewed_at_the_next_sign_in() {
    let server = TestServer::new().await;
    let anna = server.register("anna").await;
    let id: meetmind_core::UserId = text(&anna["user"]["id"]).parse().expect("an id");
    let store = &server.app.db.store;
    let stored = async || {
        store
            .read()
            .await
            .expect("a connection")
            .user_password_find(id)
            .await
            .expect("a row")
            .expect("a hash")
    };
    let before = stored().await;
    let mut settings = server.app.app.settings().clone();
    settings.auth.argon2_passes = 2;
    let app = meetmind_app::App::new(
        store.clone(),
        settings,
        Box::new(server.app.clock.clone()),
        meetmind_app::Entropy::seeded(8),
    )
    .await
    .expect("an app");
    let ctx = app.ctx(Actor::Anonymous, app.entropy().id(app.now()));
    app.sign_in(&ctx, "anna@example.com", PASSWORD.to_owned(), None)
        .await
        .expect("signed in");
    let after = stored().await;
    assert!(
        before.contains("t=1") && after.contains("t=2"),
        "{before} {after}"
    );
    app.sign_in(&ctx, "anna@example.com", PASSWORD.to_owned(), None)
        .await
        .expect("signed in");
    assert_eq!(stored().await, after);
}
