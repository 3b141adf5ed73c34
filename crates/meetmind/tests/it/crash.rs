//! `kill -9`: what was acknowledged is there after the restart.

use serde_json::{Value, json};

use crate::program::Serving;

/// Writes until the process dies under it; gives the `external_id`s that were acknowledged.
fn write_until_killed(address: &str, token: &str, meeting: &str, writer: usize) -> Vec<String> {
    let mut http = crate::program::Http::connect(address);
    http.token = token.to_owned();
    let mut kept = Vec::new();
    for number in 0.. {
        let id = format!("{writer}-{number}");
        let said = json!({
            "text": format!("Writer {writer} said sentence {number}."),
            "start_ms": number * 10,
            "end_ms": number * 10 + 9,
            "final": true,
            "external_id": id,
        });
        let path = format!("/api/meetings/{meeting}/transcript");
        match http.try_send("POST", &path, &said.to_string()) {
            Ok((code, text)) => {
                assert!((200..300).contains(&code), "{code} {text}");
                kept.push(id);
            }
            Err(_) => break,
        }
    }
    kept
}

#[test]
fn every_acknowledged_write_survives_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut serving = Serving::start(folder.path());
    let mut http = serving.http();
    let account =
        json!({"email": "ada@example.com", "name": "Ada", "password": "kestrel yard bottling"});
    let session = http.post("/auth/register", &account);
    http.token = session["access_token"]
        .as_str()
        .expect("a token")
        .to_owned();
    let meeting = http.post(
        "/api/meetings",
        &json!({"title": "Crash", "consent_policy": "implied"}),
    );
    let meeting = meeting["id"].as_str().expect("an id").to_owned();
    http.post(&format!("/api/meetings/{meeting}/join"), &json!({}));

    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (address, token, meeting) =
                (serving.address.clone(), http.token.clone(), meeting.clone());
            std::thread::spawn(move || write_until_killed(&address, &token, &meeting, writer))
        })
        .collect();
    // In the middle of the writing: once some hundreds are in.
    loop {
        let page = http.data(&format!("/api/meetings/{meeting}/transcript?limit=100"));
        if page["next_cursor"].is_string() {
            break;
        }
    }
    serving.child.kill().expect("it lives");
    serving.child.wait().expect("it died");
    let kept: Vec<String> = writers
        .into_iter()
        .flat_map(|writer| writer.join().expect("a writer"))
        .collect();
    assert!(kept.len() >= 100, "{}", kept.len());

    let serving = Serving::start(folder.path());
    let mut again = serving.http();
    // The restart is on another port, which is another issuer: tokens of before are not for it.
    let session = again.post(
        "/auth/login",
        &json!({"email": account["email"], "password": account["password"]}),
    );
    again.token = session["access_token"]
        .as_str()
        .expect("a token")
        .to_owned();
    let mut found = std::collections::HashSet::new();
    let mut cursor = String::new();
    loop {
        let page = again.data(&format!(
            "/api/meetings/{meeting}/transcript?limit=100{cursor}"
        ));
        for segment in page["items"].as_array().expect("a list") {
            found.insert(
                segment["external_id"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            );
        }
        match &page["next_cursor"] {
            Value::String(next) => cursor = format!("&cursor={next}"),
            _ => break,
        }
    }
    let lost: Vec<&String> = kept.iter().filter(|id| !found.contains(*id)).collect();
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged writes are gone: {lost:?}",
        lost.len(),
        kept.len()
    );
}

#[test]
fn a_recording_survives_a_kill_up_to_its_last_second() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut serving = Serving::start(folder.path());
    let mut http = serving.http();
    let account =
        json!({"email": "ada@example.com", "name": "Ada", "password": "kestrel yard bottling"});
    let session = http.post("/auth/register", &account);
    let token = |session: &Value| {
        session["access_token"]
            .as_str()
            .expect("a token")
            .to_owned()
    };
    http.token = token(&session);
    let meeting = http.post("/api/meetings", &json!({"title": "Crash"}));
    let meeting = format!("/api/meetings/{}", meeting["id"].as_str().expect("an id"));
    http.post(&format!("{meeting}/join"), &json!({}));
    let recording = http.post(&format!("{meeting}/recordings"), &json!({"mode": "mix"}));
    let recording = recording["id"].as_str().expect("an id").to_owned();
    let id = meeting.rsplit('/').next().expect("an id");
    let file = folder
        .path()
        .join("data/recordings")
        .join(id)
        .join(&recording)
        .join("mixed.ogg");
    let pages = || {
        let bytes = std::fs::read(&file).unwrap_or_default();
        bytes.windows(4).filter(|four| four == b"OggS").count()
    };
    // Two pages of headers, and some seconds of sound.
    while pages() < 5 {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    serving.child.kill().expect("it lives");
    serving.child.wait().expect("it died");

    let serving = Serving::start(folder.path());
    let mut again = serving.http();
    let login = json!({"email": account["email"], "password": account["password"]});
    again.token = token(&again.post("/auth/login", &login));
    let path = format!("{meeting}/recordings/{recording}");
    let mut found = again.data(&path);
    while found["status"] == "recording" {
        std::thread::sleep(std::time::Duration::from_millis(20));
        found = again.data(&path);
    }
    assert_eq!(
        (&found["status"], &found["reason"]),
        (&json!("interrupted"), &json!("process_died"))
    );
    let duration = found["duration_ms"].as_i64().expect("a number");
    assert!((3_000..20_000).contains(&duration), "{found}");
    assert_eq!(found["files"][0]["duration_ms"], found["duration_ms"]);
    let length = std::fs::metadata(&file).expect("a file").len();
    assert_eq!(found["size_bytes"], json!(length));
    let name = found["files"][0]["id"].as_str().expect("an id");
    let (code, bytes) = again.get(&format!("{path}/files/{name}"));
    assert!(code == 200 && bytes.starts_with("OggS"), "{code}");
    // The meeting goes on, and can be recorded again.
    again.post(&format!("{meeting}/recordings"), &json!({}));
}
