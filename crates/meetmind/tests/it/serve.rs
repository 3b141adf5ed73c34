//! Start, lines, lock, drain.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use crate::program::{Serving, meetmind, run, stderr, stdout};

#[test]
fn a_start_says_where_it_listens_and_is_ready() {
    let folder = tempfile::tempdir().expect("a folder");
    let serving = Serving::start(folder.path());
    assert!(
        !serving.address.ends_with(":0"),
        "port 0 becomes the real one: {}",
        serving.address
    );
    assert!(
        serving.lines[1].starts_with("media: udp 127.0.0.1:"),
        "{}",
        serving.lines[1]
    );
    let mut http = serving.http();
    assert_eq!(http.get("/readyz"), (200, "ready\n".to_owned()));
    assert_eq!(http.get("/livez").0, 200);
    let health = http.data("/health");
    assert_eq!(health["mode"]["database"], "sqlite");
    let (code, metrics) = http.get("/metrics");
    assert_eq!(code, 200);
    for name in [
        "meetmind_build_info",
        "meetmind_http_requests_total",
        "meetmind_db_pool_open",
        "meetmind_meetings_live 0",
        "meetmind_jobs_oldest_due_seconds{lane=\"deliveries\"} 0",
        "meetmind_jobs_oldest_due_seconds{lane=\"others\"} 0",
    ] {
        assert!(metrics.contains(name), "{name} is missing: {metrics}");
    }
}

#[test]
fn what_it_makes_is_for_its_user_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let serving = Serving::start(folder.path());
    let data = folder.path().join("data");
    let mode = |path: &std::path::Path| {
        std::fs::metadata(path)
            .expect("it is there")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode(&data), 0o700);
    for entry in std::fs::read_dir(&data).expect("a folder") {
        let path = entry.expect("an entry").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    drop(serving);
}

#[test]
fn a_second_process_is_refused_and_told_of_the_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let serving = Serving::start(folder.path());
    let second = run(meetmind(folder.path()).args(["serve", "--listen", "127.0.0.1:0"]));
    assert!(!second.status.success());
    let line = stderr(&second);
    let named = format!("process {}", serving.child.id());
    assert!(line.contains("in use") && line.contains(&named), "{line}");
}

#[test]
fn a_taken_port_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let other = tempfile::tempdir().expect("a folder");
    let serving = Serving::start(folder.path());
    let second = run(meetmind(other.path()).args(["serve", "--listen", &serving.address]));
    assert!(!second.status.success());
    assert!(
        stderr(&second).contains(&serving.address),
        "{}",
        stderr(&second)
    );
}

#[test]
fn the_first_signal_drains_and_ends_with_0_despite_open_connections() {
    let folder = tempfile::tempdir().expect("a folder");
    let serving = Serving::start(folder.path());
    let mut idle = serving.http();
    assert_eq!(idle.get("/livez").0, 200);
    // Half a request: it will never end by itself.
    let mut half = TcpStream::connect(&serving.address).expect("it listens");
    half.write_all(b"GET /livez HTTP/1.1\r\n")
        .expect("a socket");
    let (code, took) = serving.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
    let log = std::fs::read_to_string(folder.path().join("log")).expect("a log");
    assert!(log.contains("drained"), "{log}");
    // Nothing is left for the next start to repair.
    assert!(!folder.path().join("data/meetmind.db-wal").exists());
}

#[test]
fn a_client_that_sends_its_request_by_the_letter_is_cut_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let serving = Serving::with(folder.path(), |command| {
        command.env("MEETMIND_HTTP_HEADER_TIMEOUT_S", "1");
    });
    let mut slow = TcpStream::connect(&serving.address).expect("it listens");
    slow.set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a socket");
    slow.write_all(b"GET /livez HT").expect("a socket");
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).expect("the other side closes");
    assert!(
        !rest.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&rest)
    );
}

#[test]
fn the_log_holds_no_secrets_at_its_finest() {
    let folder = tempfile::tempdir().expect("a folder");
    let serving = Serving::with(folder.path(), |command| {
        command
            .args(["--log", "trace"])
            .env("MEETMIND_LOG_FORMAT", "json")
            .env("MEETMIND_METRICS_TOKEN", "s3cret-metrics")
            .env("LIVEKIT_URL", "wss://livekit.example")
            .env("LIVEKIT_API_KEY", "key")
            .env("LIVEKIT_API_SECRET", "s3cret-livekit")
            .env("OPENAI_API_KEY", "s3cret-openai");
    });
    let mut http = serving.http();
    http.token = "s3cret-bearer".to_owned();
    let body = r#"{"email":"ada@example.com","password":"s3cret-password","title":"s3cret-title"}"#;
    for path in ["/auth/login", "/auth/register", "/api/meetings"] {
        http.try_send("POST", path, body).expect("an answer");
    }
    http.get("/api/search?q=s3cret-words");
    let (code, _) = serving.terminate();
    assert_eq!(code, Some(0));
    let log = std::fs::read_to_string(folder.path().join("log")).expect("a log");
    assert!(!log.contains("s3cret"), "{log}");
    for line in log.lines() {
        serde_json::from_str::<serde_json::Value>(line).expect(line);
    }
    assert!(
        log.contains("request_id") && log.contains("calls no model"),
        "{log}"
    );
}

#[test]
fn links_are_for_the_server_that_runs_whatever_its_flags() {
    let folder = tempfile::tempdir().expect("a folder");
    let serving = Serving::start(folder.path());
    let here = format!("http://{}", serving.address);
    let made = run(meetmind(folder.path()).args(["user", "create", "ada@example.com"]));
    assert!(
        stdout(&made).contains(&format!("{here}/reset?token=")),
        "{}",
        stdout(&made)
    );
    let doctor = stdout(&run(meetmind(folder.path()).arg("doctor")));
    assert!(doctor.contains(&format!("public_url: {here}")), "{doctor}");
    drop(serving);
    let guessed = run(meetmind(folder.path()).args(["user", "reset", "ada@example.com"]));
    assert!(
        stderr(&guessed).contains("no server runs"),
        "{}",
        stderr(&guessed)
    );
}

#[test]
fn a_new_signing_key_signs_nobody_out_unless_the_old_one_is_forgotten() {
    let folder = tempfile::tempdir().expect("a folder");
    // Tokens name the address of who made them, so it must not change with the port.
    let start = || {
        Serving::with(folder.path(), |command| {
            command.env("MEETMIND_PUBLIC_URL", "https://meet.example.com");
        })
    };
    let profile = |token: &str| {
        let serving = start();
        let mut http = serving.http();
        token.clone_into(&mut http.token);
        http.get("/auth/profile").0
    };
    let serving = start();
    let body = serde_json::json!({
        "email": "ada@example.com", "password": "sparrows on the roof at dawn",
    });
    let token = serving.http().post("/auth/register", &body)["access_token"].clone();
    let token = token.as_str().expect("a token");
    let rotate = |arguments: &[&str]| {
        let mut command = meetmind(folder.path());
        let output = run(command.args(["config", "rotate-key"]).args(arguments));
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    assert!(rotate(&[]).contains("restart the server"));
    drop(serving);
    assert_eq!(profile(token), 200);
    rotate(&["--forget"]);
    assert_eq!(profile(token), 401);
}
