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
