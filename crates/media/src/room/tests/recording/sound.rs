//! What is heard of whom, and when.

use std::fs;
use std::time::Duration;

use livekit_protocol as proto;

use super::super::kit::World;
use super::{Taping, file_of, mute, seconds_of, speak};
use crate::service::RoomCall;

#[test]
fn two_who_speak_at_once_a_pause_and_a_late_one_are_where_they_belong() {
    let mut world = World::new();
    let (ada, ben) = (world.join("ada", true), world.join("ben", false));
    let mut taping = Taping::new(&mut world, &["ada", "ben", "cy"]);
    let first = speak(&mut world, ada, 300.0);
    let second = speak(&mut world, ben, 700.0);
    taping.pass(&mut world, 0.4);
    let both = taping.seconds(&world);
    taping.pass(&mut world, 3.0);
    // Ada holds her tongue.
    let silent = taping.seconds(&world);
    mute(&mut world, ada, &first, true);
    world
        .client(ada)
        .sources
        .get_mut("mic")
        .expect("a mic")
        .muted = true;
    taping.pass(&mut world, 3.0);
    let again = taping.seconds(&world);
    mute(&mut world, ada, &first, false);
    world
        .client(ada)
        .sources
        .get_mut("mic")
        .expect("a mic")
        .muted = false;
    taping.pass(&mut world, 2.0);
    let cy = world.join("cy", true);
    let third = speak(&mut world, cy, 1_100.0);
    taping.pass(&mut world, 0.4);
    let late = taping.seconds(&world);
    taping.pass(&mut world, 3.0);
    let end = taping.seconds(&world);
    let result = taping.finish(&mut world);
    let index = &result.kept.index;

    assert!((seconds_of(index) - end).abs() < 0.3, "{index:?}");
    assert_eq!(result.kept.dropped_packets, 0);
    let edge = 0.5;
    taping.sound(
        "mixed.ogg",
        &[
            (300.0, both, silent, true),
            (700.0, both, end - edge, true),
            (300.0, silent + edge, again, false),
            (300.0, again + edge, end - edge, true),
            (1_100.0, 0.0, late - 2.0, false),
            (1_100.0, late, end - edge, true),
        ],
    );
    let file = |track: &str| {
        let file = file_of(index, track);
        (file.name.clone(), file.start_ms as f64 / 1_000.0)
    };
    // Each track has its own voice alone, at its own time.
    let (name, start) = file(&first);
    taping.sound(
        &name,
        &[
            (300.0, both - start, silent - start, true),
            (300.0, silent - start + edge, again - start - edge, false),
            (300.0, again - start + edge, end - start - edge, true),
            (700.0, both - start, end - start - edge, false),
        ],
    );
    let (name, start) = file(&second);
    let span = (both - start, end - start - edge);
    taping.sound(
        &name,
        &[
            (700.0, span.0, span.1, true),
            (300.0, span.0, span.1, false),
        ],
    );
    let (name, start) = file(&third);
    assert!(
        (late - 1.5..late).contains(&start),
        "begins at {start}, heard from {late}"
    );
    taping.sound(&name, &[(1_100.0, late - start, end - start - edge, true)]);
}

#[test]
fn nobody_is_recorded_without_consent_or_after_its_withdrawal() {
    let mut world = World::new();
    let (ada, ben) = (world.join("ada", true), world.join("ben", true));
    let mut taping = Taping::new(&mut world, &["ada"]);
    speak(&mut world, ada, 300.0);
    let never = speak(&mut world, ben, 700.0);
    taping.pass(&mut world, 2.0);
    let granted = taping.seconds(&world);
    taping.consent(&world, "ben", true);
    taping.pass(&mut world, 3.0);
    let withdrawn = taping.seconds(&world);
    taping.consent(&world, "ben", false);
    taping.pass(&mut world, 3.0);
    let end = taping.seconds(&world);
    let result = taping.finish(&mut world);
    taping.sound(
        "mixed.ogg",
        &[
            (300.0, 1.0, end - 0.5, true),
            (700.0, 0.0, granted - 0.02, false),
            (700.0, granted + 0.5, withdrawn - 0.3, true),
            (700.0, withdrawn + 0.02, end, false),
        ],
    );
    let index = result.kept.index;
    let file = file_of(&index, &never);
    let length = file.duration_ms as f64 / 1_000.0;
    assert!(
        (file.start_ms as f64 / 1_000.0 - granted).abs() < 0.1,
        "{file:?}"
    );
    assert!(length < withdrawn - granted + 0.1, "{file:?}");
    let ben = index
        .participants
        .iter()
        .find(|it| it.identity == "ben")
        .expect("ben");
    let [span] = &ben.consent[..] else {
        panic!("{ben:?}")
    };
    let at = |ms: u64| ms as f64 / 1_000.0;
    assert!((at(span.from_ms) - granted).abs() < 0.01);
    assert!((at(span.to_ms.expect("an end")) - withdrawn).abs() < 0.01);
}

#[test]
fn who_never_agreed_leaves_no_trace_in_any_file() {
    let mut world = World::new();
    let ada = world.join("ada", true);
    let mut taping = Taping::new(&mut world, &[]);
    speak(&mut world, ada, 300.0);
    world.show(ada, "cam", &[("q", 300_000)]);
    taping.pass(&mut world, 3.0);
    let end = taping.seconds(&world);
    let result = taping.finish(&mut world);
    let names: Vec<_> = result
        .kept
        .index
        .files
        .iter()
        .map(|it| it.name.clone())
        .collect();
    assert_eq!(names, ["mixed.ogg"]);
    assert_eq!(
        fs::read_dir(taping.path("tracks"))
            .expect("a folder")
            .count(),
        0
    );
    taping.sound("mixed.ogg", &[(300.0, 0.0, end - 0.1, false)]);
}

#[test]
fn a_muted_track_is_not_recorded_whatever_its_client_still_sends() {
    for by_server in [false, true] {
        let mut world = World::new();
        let ada = world.join("ada", true);
        let mut taping = Taping::new(&mut world, &["ada"]);
        let track = speak(&mut world, ada, 300.0);
        taping.pass(&mut world, 2.0);
        let muted = taping.seconds(&world);
        if by_server {
            let request = proto::MuteRoomTrackRequest {
                room: "hall".to_owned(),
                identity: "ada".to_owned(),
                track_sid: track,
                muted: true,
            };
            world.call(RoomCall::MuteTrack(request)).expect("muted");
        } else {
            mute(&mut world, ada, &track, true);
        }
        taping.pass(&mut world, 2.0);
        let end = taping.seconds(&world);
        taping.finish(&mut world);
        taping.sound(
            "mixed.ogg",
            &[
                (300.0, 1.0, muted, true),
                (300.0, muted + 0.3, end - 0.2, false),
            ],
        );
    }
}

#[test]
fn a_bad_line_costs_no_time() {
    let mut world = World::new();
    let ada = world.join("ada", true);
    let mut taping = Taping::new(&mut world, &["ada"]);
    let track = speak(&mut world, ada, 300.0);
    world.client(ada).up.loss = 0.1;
    world.client(ada).up.jitter = Duration::from_millis(80);
    let began = taping.seconds(&world);
    taping.pass(&mut world, 10.0);
    let end = taping.seconds(&world);
    world.client(ada).up.loss = 0.0;
    let result = taping.finish(&mut world);
    taping.sound("mixed.ogg", &[(300.0, began + 0.5, end - 0.5, true)]);
    let index = result.kept.index;
    let file = file_of(&index, &track);
    let length = file.duration_ms as f64 / 1_000.0;
    assert!(
        (length - (end - began)).abs() < 0.6,
        "{length} s of {}",
        end - began
    );
    assert!((seconds_of(&index) - end).abs() < 0.3);
}
