//! Health, readiness, version, metrics.

use axum::http::StatusCode;
use meetmind_app::testing::TestApp;
use meetmind_core::Actor;
use meetmind_server::testing::TestServer;
use meetmind_store::Engine;
use meetmind_store::testing::TestDb;
use std::time::Duration;

#[tokio::test]
async fn health_is_public_small_and_in_the_envelope() {
    let server = TestServer::new().await;
    let answer = server.get(&Actor::Anonymous, "/health").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["success"], true);
    assert_eq!(answer.data()["mode"]["database"], "sqlite");
    assert_eq!(answer.data()["mode"]["model"], "none");
    assert_eq!(answer.data()["mode"]["livekit"], false);
}

#[tokio::test]
async fn the_process_is_live_and_ready() {
    let server = TestServer::new().await;
    assert_eq!(
        server.get(&Actor::Anonymous, "/livez").await.bytes.as_ref(),
        b"ok\n"
    );
    let answer = server.get(&Actor::Anonymous, "/readyz").await;
    assert_eq!(
        (answer.status, answer.bytes.as_ref()),
        (StatusCode::OK, &b"ready\n"[..])
    );
    let checks = server
        .get(&Actor::Anonymous, "/readyz?verbose")
        .await
        .json();
    let names: Vec<&str> = checks["checks"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|check| check["name"].as_str())
        .collect();
    assert_eq!(names, ["draining", "database", "migrations"]);
    let version = server.get(&Actor::Anonymous, "/version").await.json();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn a_draining_process_is_live_but_not_ready() {
    let server = TestServer::new().await;
    server.app.app.drain_begin();
    let answer = server.get(&Actor::Anonymous, "/readyz").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(String::from_utf8_lossy(&answer.bytes).contains("shutting down"));
    assert_eq!(
        server.get(&Actor::Anonymous, "/livez").await.status,
        StatusCode::OK
    );
    assert_eq!(
        server.get(&Actor::Anonymous, "/health").await.data()["status"],
        "draining"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_takes_nothing_turns_readiness_off_and_it_recovers_by_itself() {
    let db = TestDb::new(Engine::Sqlite)
        .await
        .expect("a test database")
        .expect("SQLite is always there");
    let directory = db.settings.url.trim_start_matches("sqlite:").to_owned();
    let server = TestServer::over(TestApp::on(db, meetmind_app::Settings::default()).await);
    assert_eq!(
        server.get(&Actor::Anonymous, "/readyz").await.status,
        StatusCode::OK
    );
    // Another process holds the file's write lock: the database is there and takes nothing.
    let blocker = meetmind_store::Store::open(&meetmind_store::Settings::sqlite(directory))
        .await
        .expect("the same file");
    let held = blocker.begin().await.expect("the lock");
    server.app.clock.advance(Duration::from_secs(2));
    let answer = server.get(&Actor::Anonymous, "/readyz").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let text = String::from_utf8_lossy(&answer.bytes).into_owned();
    assert!(text.contains("not ready: the database"), "{text}");
    drop(held);
    server.app.clock.advance(Duration::from_secs(2));
    // The lock goes with the connection, a moment after the transaction is dropped.
    blocker.close().await;
    let answer = server.get(&Actor::Anonymous, "/readyz").await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.bytes);
}

#[tokio::test]
async fn metrics_are_closed_to_other_machines() {
    let server = TestServer::new().await;
    // In-process calls have no address: they count as coming from elsewhere.
    let answer = server.get(&Actor::Anonymous, "/metrics").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}
