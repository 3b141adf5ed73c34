//! Pictures, what cannot be recorded, what everybody is told, and what a killed process leaves.

use std::fs;
use std::sync::Arc;

use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message;

use super::super::kit::World;
use super::{Taping, check, decoded, file_of, speak};
use crate::record::probe;
use crate::record::tap::Tap;
use crate::record::tests::ffmpeg::ffmpeg;
use crate::record::tests::parse;
use crate::recording::KeptIndex;
use crate::service::RoomCall;

#[test]
fn a_picture_is_recorded_in_its_best_layer_though_nobody_watches() {
    let mut world = World::new();
    let ada = world.join("ada", true);
    let layers = [("q", 100_000), ("h", 300_000), ("f", 800_000)];
    let track = world.show(ada, "cam", &layers);
    world.run(7.0);
    // Nobody watched, so the client was told to stop.
    let told = |world: &mut World| -> Option<bool> {
        world
            .client(ada)
            .said
            .iter()
            .rev()
            .find_map(|message| match message {
                Message::SubscribedQualityUpdate(update) => {
                    Some(update.subscribed_codecs[0].qualities[2].enabled)
                }
                _ => None,
            })
    };
    assert_eq!(told(&mut world), Some(false));
    let mut taping = Taping::new(&mut world, &["ada"]);
    assert_eq!(told(&mut world), Some(true));
    taping.pass(&mut world, 5.0);
    // A client that says nothing for 20 s is taken for gone.
    world.signal(ada, Request::Ping(0));
    // A lost packet is repaired by a keyframe that the recording asks for.
    world.client(ada).up.loss = 0.02;
    taping.pass(&mut world, 10.0);
    world.client(ada).up.loss = 0.0;
    taping.pass(&mut world, 3.0);
    let result = taping.finish(&mut world);
    let index = result.kept.index;
    let file = file_of(&index, &track);
    assert!(file.name.ends_with(".webm"), "{}", file.name);
    let parsed = parse::webm(&taping.bytes(&file.name), false);
    assert_eq!(parsed.size, Some((1_280, 720)));
    // 18 s of 30 pictures, few of them lost.
    assert!(
        parsed.blocks.len() > 400,
        "{} pictures",
        parsed.blocks.len()
    );
    let highest = |block: &parse::Block| block.data.last() == Some(&2);
    assert!(parsed.blocks.iter().all(highest), "another layer");
    let mut file = fs::File::open(taping.path(&file.name)).expect("a file");
    let probed = probe::webm(&mut file).expect("a file that can be read");
    assert!((17_000..18_500).contains(&probed.duration_ms), "{probed:?}");
    assert_eq!(probed.whole_bytes, file.metadata().expect("a length").len());
    world.run(6.0);
    assert_eq!(told(&mut world), Some(false), "the recording is over");
}

#[test]
fn everybody_is_told_also_in_the_next_room_of_that_name() {
    let mut world = World::new();
    let ada = world.join("ada", true);
    let taping = Taping::new(&mut world, &[]);
    let told = |world: &mut World, client: usize| -> Option<bool> {
        world
            .client(client)
            .said
            .iter()
            .rev()
            .find_map(|message| match message {
                Message::RoomUpdate(update) => Some(update.room.as_ref()?.active_recording),
                Message::Join(join) => Some(join.room.as_ref()?.active_recording),
                _ => None,
            })
    };
    world.run(0.1);
    assert_eq!(told(&mut world, ada), Some(true));
    let delete = proto::DeleteRoomRequest {
        room: "hall".to_owned(),
    };
    world.call(RoomCall::Delete(delete)).expect("deleted");
    let ben = world.join("ben", true);
    assert_eq!(told(&mut world, ben), Some(true));
    let other = Arc::new(Tap::default());
    world.stop_tap(&other);
    world.run(0.1);
    assert_eq!(
        told(&mut world, ben),
        Some(true),
        "that was another recording"
    );
    world.stop_tap(&taping.tap);
    world.run(0.1);
    assert_eq!(told(&mut world, ben), Some(false));
}

#[test]
fn what_cannot_be_recorded_is_named() {
    let mut world = World::new();
    let ada = world.join("ada", true);
    let ben = world.join("ben", true);
    let mut taping = Taping::new(&mut world, &["ada", "ben"]);
    let Request::AddTrack(mut request) =
        world
            .client(ada)
            .add_track("mic", str0m::media::MediaKind::Audio, &[])
    else {
        unreachable!("a track")
    };
    request.encryption = proto::encryption::Type::Gcm as i32;
    world.say(ada, Request::AddTrack(request));
    let closed = world.speak(ben, "mic");
    let permission = proto::SubscriptionPermission::default();
    world.signal(ben, Request::SubscriptionPermission(permission));
    taping.pass(&mut world, 1.0);
    let encrypted = world.client(ada).track("mic");
    let result = taping.finish(&mut world);
    let mut skipped: Vec<_> = result
        .kept
        .skipped
        .iter()
        .map(|it| {
            (
                it.participant.as_str(),
                it.track.clone(),
                it.reason.as_str(),
            )
        })
        .collect();
    skipped.sort();
    // Ben's first packets may have come before he closed his track; he is not heard after that.
    assert_eq!(skipped[0], ("ada", encrypted, "encrypted"));
    if let Some(second) = skipped.get(1) {
        assert_eq!(*second, ("ben", closed, "restricted"));
    }
}

#[test]
fn what_a_killed_process_leaves_plays_up_to_its_last_second() {
    let mut world = World::new();
    let ada = world.join("ada", true);
    let mut taping = Taping::new(&mut world, &["ada"]);
    let track = speak(&mut world, ada, 300.0);
    world.show(ada, "cam", &[("q", 300_000)]);
    let began = taping.seconds(&world);
    taping.pass(&mut world, 8.0);
    let end = taping.seconds(&world);
    // As `kill -9` does: nothing is finished, and the last write got half-way.
    drop(taping.run.take());
    let kept: KeptIndex =
        serde_json::from_slice(&taping.bytes(crate::recording::INDEX)).expect("an index");
    assert!(
        kept.index
            .files
            .iter()
            .any(|file| file.track.as_deref() == Some(track.as_str()))
    );
    let mut played = 0;
    for entry in fs::read_dir(taping.path("tracks")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let mut bytes = fs::read(&path).expect("a file");
        let whole = bytes.len() as u64;
        bytes.extend_from_slice(b"OggS\0\0\0\0half a page");
        fs::write(&path, &bytes).expect("written");
        let mut file = fs::File::open(&path).expect("a file");
        let is_ogg = path.extension().is_some_and(|it| it == "ogg");
        let probed = if is_ogg {
            probe::ogg(&mut file)
        } else {
            bytes.truncate(bytes.len() - 15);
            probe::webm(&mut file)
        };
        let probed = probed.expect("readable");
        assert_eq!(probed.whole_bytes, whole, "{}", path.display());
        let seconds = probed.duration_ms as f64 / 1_000.0;
        assert!(
            (end - began - 3.0..end - began + 0.5).contains(&seconds),
            "{}: {seconds} s",
            path.display()
        );
        played += 1;
    }
    assert_eq!(played, 2);
    if let Some(ffmpeg) = ffmpeg() {
        let sound = decoded(ffmpeg, &taping.path("mixed.ogg"));
        check(
            "mixed.ogg",
            "ffmpeg",
            &sound,
            &[(300.0, began + 0.5, end - 1.5, true)],
        );
    } else {
        eprintln!(
            "SKIPPED: no ffmpeg on this machine; nothing played the files of a killed process"
        );
    }
}
