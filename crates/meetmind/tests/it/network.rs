//! TLS, the relay, media ports and load, with the built program.

use std::net::UdpSocket;
use std::process::Command;

use serde_json::Value;

use crate::program::{Serving, meetmind, run, stderr, stdout};

/// A server that speaks TLS, with the relay on.
fn secure(command: &mut Command) {
    command
        .env("MEETMIND_TLS_MODE", "self-signed")
        .env("MEETMIND_TURN_ENABLED", "true")
        .env("MEETMIND_MEDIA_THREADS", "1");
}

#[test]
fn the_doctor_goes_a_clients_way_hop_by_hop() {
    let folder = tempfile::tempdir().expect("a folder");
    let serving = Serving::with(folder.path(), secure);
    assert!(serving.lines[0].starts_with("listening on https://127.0.0.1:"));
    let mut command = meetmind(folder.path());
    secure(&mut command);
    let doctor = run(command.args(["doctor", "--network", "--json"]));
    let report: Value = serde_json::from_str(&stdout(&doctor)).expect("JSON");
    let lines: Vec<String> = report["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .map(|line| format!("{} {}", line["state"], line["what"]))
        .collect();
    let lines = lines.join("\n");
    for hop in [
        "TLS is agreed",
        "/rtc/validate answers",
        "a join is answered",
        "media: UDP 127.0.0.1:",
        "media: TCP 127.0.0.1:",
        "relay: turn:127.0.0.1:",
        "transport=tcp gives the address",
    ] {
        let line = lines.lines().find(|line| line.contains(hop));
        assert!(
            line.is_some_and(|line| line.starts_with("\"good\"")),
            "{hop}: {lines}"
        );
    }
    assert!(doctor.status.success() && report["ok"] == true, "{lines}");

    // From elsewhere: nobody vouches for the certificate, and the report says so.
    let url = format!("https://{}", serving.address);
    let other = tempfile::tempdir().expect("a folder");
    let doctor = run(meetmind(other.path()).args(["doctor", "--network", "--url", &url]));
    assert!(!doctor.status.success());
    let said = stdout(&doctor);
    assert!(
        said.contains("✗ signal: no TLS") && said.contains("self-signed"),
        "{said}"
    );
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port")
        .port();
    let url = format!("http://127.0.0.1:{port}");
    let doctor = run(meetmind(folder.path()).args(["doctor", "--network", "--url", &url]));
    let said = stdout(&doctor);
    assert!(
        said.contains("does not answer") && said.contains(&port.to_string()),
        "{said}"
    );
    let doctor = run(meetmind(folder.path()).args([
        "doctor",
        "--network",
        "--url",
        "http://nowhere.invalid",
    ]));
    assert!(stdout(&doctor).contains("address: the name nowhere.invalid is not known"));
}

#[test]
fn a_taken_media_port_is_named_with_its_setting() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let udp = taken.local_addr().expect("an address").port().to_string();
    let listen = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port")
        .to_string();
    let failed = run(meetmind(folder.path())
        .args(["serve", "--listen", &listen])
        .env("MEETMIND_MEDIA_UDP_PORT", &udp)
        .env("MEETMIND_MEDIA_TCP_PORT", "0"));
    assert!(!failed.status.success());
    let line = stderr(&failed);
    for part in [
        "MEETMIND_MEDIA_UDP_PORT",
        "cannot listen on",
        &format!("127.0.0.1:{udp}"),
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[test]
fn a_load_of_sound_and_picture_arrives_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let figures = folder.path().join("figures.json");
    let load = run(meetmind(folder.path())
        .args([
            "loadtest",
            "media",
            "--publishers",
            "2",
            "--subscribers",
            "1",
        ])
        .args(["--seconds", "2", "--server-threads", "1", "--json"])
        .arg(&figures));
    let said = format!("{}{}", stdout(&load), stderr(&load));
    assert!(load.status.success(), "{said}");
    let text = std::fs::read_to_string(figures).expect("figures");
    let figures: Value = serde_json::from_str(&text).expect("JSON");
    let figure = |name: &str| figures[name].as_f64().unwrap_or(f64::NAN);
    assert_eq!(
        figure("participants that received everything at the start"),
        3.0,
        "{said}"
    );
    assert_eq!(figure("tracks that never arrived"), 0.0, "{said}");
    assert!(figure("packets/s forwarded") > 200.0, "{said}");
    assert!(
        figure("server CPU per forwarded packet, µs") > 0.0,
        "{said}"
    );
    assert!(figure("signal resume p50, ms") > 0.0, "{said}");
}
