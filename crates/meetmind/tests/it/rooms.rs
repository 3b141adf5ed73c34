//! A meeting goes on through a restart: tokens hold, the room comes back, who does not has left.

#[path = "../../../server/tests/it/rooms/peer.rs"]
#[expect(dead_code, reason = "the tests of the wires use the rest of it")]
mod peer;

use std::path::Path;
use std::time::{Duration, Instant};

use peer::Peer;
use serde_json::{Value, json};

use crate::program::{Http, Serving};

fn start(folder: &Path) -> Serving {
    Serving::with(folder, |command| {
        command
            // Tokens name the address of who made them, so it must not change with the port.
            .env("MEETMIND_PUBLIC_URL", "https://meet.example.com")
            .env("MEETMIND_MEDIA_RECONNECT_WINDOW_S", "3");
    })
}

fn account(http: &mut Http, name: &str) -> String {
    let account = json!({"email": format!("{name}@example.com"), "name": name, "password": "kestrel yard bottling"});
    let session = http.post("/auth/register", &account);
    session["access_token"]
        .as_str()
        .expect("a token")
        .to_owned()
}

/// Waits until a participant's state is this one.
fn until_state(http: &mut Http, meeting: &str, participant: &str, state: &str) {
    let path = format!("/api/meetings/{meeting}/participants/{participant}");
    let started = Instant::now();
    loop {
        let found = http.data(&path);
        if found["state"] == state {
            return;
        }
        assert!(started.elapsed() < peer::PATIENCE, "{found} is not {state}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

async fn in_a_room(address: &str, token: &str) -> (Peer, Value) {
    let url = format!("ws://{address}");
    let peer = Peer::join(&url, token).await;
    let peer = peer.expect("the token opens the room");
    let room = serde_json::from_str(&peer.room.metadata).expect("JSON");
    (peer, room)
}

async fn goes_on_after(end: impl FnOnce(Serving)) {
    let folder = tempfile::tempdir().expect("a folder");
    let serving = start(folder.path());
    let mut http = serving.http();
    let (ada, ben) = (account(&mut http, "ada"), account(&mut http, "ben"));
    http.token.clone_from(&ada);
    let meeting = http.post(
        "/api/meetings",
        &json!({"title": "Restart", "access": "open"}),
    );
    let meeting = meeting["id"].as_str().expect("an id").to_owned();
    let mut seats = Vec::new();
    for token in [&ada, &ben] {
        http.token.clone_from(token);
        let joined = http.post(&format!("/api/meetings/{meeting}/join"), &json!({}));
        let id = joined["participant"]["id"]
            .as_str()
            .expect("an id")
            .to_owned();
        let token = joined["livekit"]["token"]
            .as_str()
            .expect("a token")
            .to_owned();
        // Out and in again: the state tells that the room's word has arrived.
        let (mut peer, _) = in_a_room(&serving.address, &token).await;
        peer.until_active(&id).await;
        peer.leave().await;
        until_state(&mut http, &meeting, &id, "left");
        let (peer, room) = in_a_room(&serving.address, &token).await;
        assert_eq!(room["title"], "Restart");
        until_state(&mut http, &meeting, &id, "joined");
        seats.push((id, token, peer));
    }
    drop(http);
    end(serving);

    let serving = start(folder.path());
    let mut http = serving.http();
    http.token = ada;
    // Both are still in, as far as anybody knows; only one of them comes back.
    until_state(&mut http, &meeting, &seats[1].0, "joined");
    let (mut back, room) = in_a_room(&serving.address, &seats[0].1).await;
    assert_eq!(room["title"], "Restart");
    back.until_active(&seats[0].0).await;
    until_state(&mut http, &meeting, &seats[1].0, "left");
    until_state(&mut http, &meeting, &seats[0].0, "joined");
    // Late, yet with a token that still holds, the other is welcome too.
    let (_late, _) = in_a_room(&serving.address, &seats[1].1).await;
    until_state(&mut http, &meeting, &seats[1].0, "joined");
    assert_eq!(
        http.data(&format!("/api/meetings/{meeting}"))["status"],
        "live"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_goes_on_after_a_kill() {
    goes_on_after(|mut serving| {
        serving.child.kill().expect("it lives");
        serving.child.wait().expect("it died");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_goes_on_after_a_restart_in_good_order() {
    goes_on_after(|serving| assert_eq!(serving.terminate().0, Some(0))).await;
}
