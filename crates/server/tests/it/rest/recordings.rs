//! `/api/meetings/{id}/recordings`

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use meetmind_app::Settings;
use meetmind_core::{Actor, Scope};
use meetmind_media::driver::DriverConfig;
use meetmind_server::testing::{TestAnswer, TestServer};
use serde_json::{Value, json};

use crate::people::{
    Gathering, People, RECORDED, by_key, events, recording, recording_server, text,
};

async fn fetch(
    server: &TestServer,
    who: &Actor,
    method: Method,
    path: &str,
    headers: &[(header::HeaderName, &str)],
) -> TestAnswer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    server
        .send(who, request.body(Body::empty()).expect("a request"))
        .await
}

fn head(answer: &TestAnswer, name: header::HeaderName) -> &str {
    let value = answer.headers.get(name);
    value.map_or("", |value| value.to_str().expect("text"))
}

/// A live meeting with one recording, and the path of its file.
async fn recorded(server: &TestServer) -> (People, Gathering, String, String) {
    let people = People::new(server).await;
    let gathering = people.gather(server, json!({})).await;
    let (id, file) = recording(&server.app, gathering.meeting_id).await;
    let path = format!("{}/recordings/{id}", gathering.path);
    let file = format!("{path}/files/{file}");
    (people, gathering, path, file)
}

#[tokio::test]
async fn a_file_is_served_whole_in_part_and_not_again() {
    let server = recording_server(Settings::default()).await;
    let (people, _, path, file) = recorded(&server).await;
    let viewer = &people.viewer;
    let length = RECORDED.len();
    let whole = fetch(&server, viewer, Method::GET, &file, &[]).await;
    assert_eq!((whole.status, &whole.bytes[..]), (StatusCode::OK, RECORDED));
    let tag = head(&whole, header::ETAG).to_owned();
    let shown = server.get(viewer, &path).await.data();
    assert_eq!(tag, format!("\"{}\"", text(&shown["files"][0]["sha256"])));
    assert_eq!(head(&whole, header::CONTENT_TYPE), "audio/ogg");
    assert_eq!(head(&whole, header::CONTENT_LENGTH), length.to_string());
    assert_eq!(head(&whole, header::ACCEPT_RANGES), "bytes");
    assert_eq!(head(&whole, header::CACHE_CONTROL), "private, no-cache");
    let name = format!(
        "attachment; filename=\"{}.ogg\"",
        text(&shown["files"][0]["id"])
    );
    assert_eq!(head(&whole, header::CONTENT_DISPOSITION), name);

    let only = fetch(&server, viewer, Method::HEAD, &file, &[]).await;
    assert_eq!((only.status, only.bytes.len()), (StatusCode::OK, 0));
    assert_eq!(head(&only, header::CONTENT_LENGTH), length.to_string());
    assert_eq!(head(&only, header::CONTENT_TYPE), "audio/ogg");

    let range = |range| (header::RANGE, range);
    let part = fetch(&server, viewer, Method::GET, &file, &[range("bytes=5-8")]).await;
    assert_eq!(
        (part.status, &part.bytes[..]),
        (StatusCode::PARTIAL_CONTENT, &RECORDED[5..9])
    );
    assert_eq!(
        head(&part, header::CONTENT_RANGE),
        format!("bytes 5-8/{length}")
    );
    assert_eq!(head(&part, header::CONTENT_LENGTH), "4");
    let end = fetch(&server, viewer, Method::GET, &file, &[range("bytes=-3")]).await;
    assert_eq!(
        (end.status, &end.bytes[..]),
        (StatusCode::PARTIAL_CONTENT, &RECORDED[length - 3..])
    );

    let same = [range("bytes=0-0"), (header::IF_RANGE, tag.as_str())];
    let same = fetch(&server, viewer, Method::GET, &file, &same).await;
    assert_eq!(same.status, StatusCode::PARTIAL_CONTENT);
    let other = [range("bytes=0-0"), (header::IF_RANGE, "\"other\"")];
    let other = fetch(&server, viewer, Method::GET, &file, &other).await;
    assert_eq!((other.status, other.bytes.len()), (StatusCode::OK, length));

    let beyond = fetch(&server, viewer, Method::GET, &file, &[range("bytes=900-")]).await;
    assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(beyond.code(), "RANGE_NOT_SATISFIABLE");
    assert_eq!(
        head(&beyond, header::CONTENT_RANGE),
        format!("bytes */{length}")
    );

    let known = [(header::IF_NONE_MATCH, tag.as_str())];
    let known = fetch(&server, viewer, Method::GET, &file, &known).await;
    assert_eq!(
        (known.status, known.bytes.len()),
        (StatusCode::NOT_MODIFIED, 0)
    );
    assert_eq!(head(&known, header::ETAG), tag);
}

#[tokio::test]
async fn files_are_for_who_may_read_what_was_said() {
    let server = recording_server(Settings::default()).await;
    let (people, gathering, path, file) = recorded(&server).await;
    let blind = by_key(&people.host, &[Scope::MeetingsRead]);
    let seeing = by_key(&people.host, &[Scope::TranscriptsRead]);
    assert_eq!(server.get(&blind, &path).await.status, StatusCode::OK);
    assert_eq!(server.get(&blind, &file).await.code(), "SCOPE_MISSING");
    assert_eq!(server.get(&seeing, &file).await.status, StatusCode::OK);
    assert_eq!(
        server.get(&people.stranger, &file).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        server.get(&Actor::Anonymous, &file).await.status,
        StatusCode::UNAUTHORIZED
    );
    // Another meeting's recording is none of this one.
    let other = people.gather(&server, json!({})).await;
    let elsewhere = file.replace(&gathering.path, &other.path);
    assert_eq!(
        server.get(&people.host, &elsewhere).await.status,
        StatusCode::NOT_FOUND
    );
    // Who deleted the file by hand finds nothing.
    let folder = server.app.app.settings().recordings.directory.clone();
    std::fs::remove_dir_all(folder).expect("a folder");
    assert_eq!(server.get(&people.host, &file).await.code(), "NOT_FOUND");
}

#[tokio::test]
async fn recordings_are_listed_newest_first_and_deleted_by_the_host_with_their_files() {
    let server = recording_server(Settings::default()).await;
    let (people, gathering, path, file) = recorded(&server).await;
    server.app.clock.advance(Duration::from_millis(1));
    let (newer, _) = recording(&server.app, gathering.meeting_id).await;
    let list = format!("{}/recordings", gathering.path);
    let page = server
        .get(&people.viewer, &format!("{list}?limit=1"))
        .await
        .data();
    assert_eq!(page["items"][0]["id"], json!(newer));
    let rest = format!("{list}?limit=1&cursor={}", text(&page["next_cursor"]));
    let rest = server.get(&people.viewer, &rest).await.data();
    assert!(path.ends_with(&text(&rest["items"][0]["id"])));
    assert_eq!(rest["next_cursor"], Value::Null);

    let folder = server
        .app
        .app
        .settings()
        .recordings
        .directory
        .join(gathering.meeting_id.to_string());
    let count = || std::fs::read_dir(&folder).map_or(0, Iterator::count);
    assert_eq!(count(), 2);
    let refused = server
        .call(&people.cohost, Method::DELETE, &path, Value::Null)
        .await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let gone = server
        .call(&people.host, Method::DELETE, &path, Value::Null)
        .await;
    assert_eq!(gone.status, StatusCode::OK, "{}", gone.json());
    assert_eq!(
        server.get(&people.host, &path).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        server.get(&people.host, &file).await.status,
        StatusCode::NOT_FOUND
    );
    let again = server
        .call(&people.host, Method::DELETE, &path, Value::Null)
        .await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    let ctx = server.app.app.system_ctx();
    server.app.app.run_due_jobs(&ctx).await.expect("the jobs");
    assert_eq!(count(), 1);
    let told = events(&server, &format!("meeting:{}", gathering.meeting_id)).await;
    assert!(told.iter().any(|(kind, _)| kind == "recording.deleted"));
}

#[tokio::test]
async fn what_cannot_be_recorded_says_why() {
    let server = recording_server(Settings::default()).await;
    let people = People::new(&server).await;
    let start = async |gathering: &Gathering, who: &Actor, body: Value| {
        let path = format!("{}/recordings", gathering.path);
        server.post(who, &path, body).await
    };
    let gathering = people.gather(&server, json!({})).await;
    let planned = start(&gathering, &people.host, Value::Null).await;
    assert_eq!(
        (planned.status, planned.code()),
        (StatusCode::CONFLICT, "CONFLICT".to_owned())
    );
    let join = format!("{}/join", gathering.path);
    server.post(&people.host, &join, json!({})).await;
    let viewer = start(&gathering, &people.viewer, Value::Null).await;
    assert_eq!(viewer.status, StatusCode::FORBIDDEN);
    let wrong = start(&gathering, &people.host, json!({ "mode": "film" })).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    // No media server runs in this process.
    let elsewhere = start(&gathering, &people.host, Value::Null).await;
    assert_eq!(
        elsewhere.status,
        StatusCode::CONFLICT,
        "{}",
        elsewhere.json()
    );
    let off = people
        .gather(&server, json!({ "consent_policy": "off" }))
        .await;
    server
        .post(&people.host, &format!("{}/join", off.path), json!({}))
        .await;
    assert_eq!(
        start(&off, &people.host, Value::Null).await.code(),
        "CONSENT_DENIED"
    );
    server
        .post(&people.host, &format!("{}/end", gathering.path), json!({}))
        .await;
    assert_eq!(
        start(&gathering, &people.host, Value::Null).await.code(),
        "MEETING_ENDED"
    );
}

#[tokio::test]
async fn one_recording_at_a_time_until_it_is_stopped_or_the_meeting_ends() {
    let server = recording_server(Settings::default()).await;
    let app = &server.app.app;
    let driver = DriverConfig {
        listen: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        udp_port: 0,
        tcp_port: None,
        shards: 1,
        ..DriverConfig::default()
    };
    let rooms = app.rooms_open(driver, None).await.expect("a media server");
    let people = People::new(&server).await;
    let gathering = people.gather(&server, json!({})).await;
    let path = |rest: &str| format!("{}{rest}", gathering.path);
    server.post(&people.host, &path("/join"), json!({})).await;
    let started = server
        .post(
            &people.participant,
            &path("/recordings"),
            json!({ "mode": "both" }),
        )
        .await;
    assert_eq!(started.status, StatusCode::CREATED, "{}", started.json());
    let id = text(&started.data()["id"]);
    let own = path(&format!("/recordings/{id}"));
    assert_eq!(head(&started, header::LOCATION), own);
    assert_eq!(started.data()["status"], "recording");

    server.app.clock.advance(Duration::from_millis(1));
    let second = server
        .post(&people.host, &path("/recordings"), Value::Null)
        .await;
    assert_eq!(second.code(), "CONFLICT");
    assert_eq!(second.json()["error"]["details"]["recording_id"], json!(id));

    let stopped = server
        .post(&people.cohost, &format!("{own}/stop"), Value::Null)
        .await;
    assert_eq!(stopped.status, StatusCode::OK, "{}", stopped.json());
    let stopped = stopped.data();
    assert_eq!(
        (&stopped["status"], &stopped["reason"]),
        (&json!("completed"), &json!("requested"))
    );
    assert_eq!(stopped["stopped_by"], json!(people.cohost.key()));
    let again = server
        .post(&people.host, &format!("{own}/stop"), Value::Null)
        .await
        .data();
    assert_eq!(again, stopped, "stopping again is no change");
    let shown = server.get(&people.viewer, &own).await.data();
    let names: Vec<_> = shown["files"]
        .as_array()
        .expect("files")
        .iter()
        .map(|file| text(&file["name"]))
        .collect();
    assert_eq!(names, ["mixed.ogg"]);
    let file = format!("{own}/files/{}", text(&shown["files"][0]["id"]));
    let bytes = server.get(&people.viewer, &file).await.bytes;
    assert!(bytes.starts_with(b"OggS"));
    assert_eq!(json!(bytes.len()), shown["size_bytes"]);

    // The next one ends with the meeting.
    server.app.clock.advance(Duration::from_millis(1));
    let third = server
        .post(&people.host, &path("/recordings"), Value::Null)
        .await;
    assert_eq!(third.status, StatusCode::CREATED, "{}", third.json());
    let third = path(&format!("/recordings/{}", text(&third.data()["id"])));
    server.post(&people.host, &path("/end"), json!({})).await;
    let mut ended = Value::Null;
    for _ in 0..500 {
        ended = server.get(&people.host, &third).await.data();
        if ended["status"] != "recording" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        (&ended["status"], &ended["reason"]),
        (&json!("completed"), &json!("meeting_ended"))
    );
    let kinds: Vec<String> = events(&server, &format!("meeting:{}", gathering.meeting_id))
        .await
        .into_iter()
        .map(|(kind, _)| kind)
        .filter(|kind| kind.starts_with("recording."))
        .collect();
    let pair = ["recording.started", "recording.stopped"];
    assert_eq!(kinds, [pair, pair].concat());
    rooms.stop(Duration::from_secs(1)).await;
}
