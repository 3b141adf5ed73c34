//! Listening: who may, who wants, and what the publisher hears of it.

use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message;

use super::kit::{Guest, World};

fn subscription(sids: &[&str], subscribe: bool) -> Request {
    Request::Subscription(proto::UpdateSubscription {
        track_sids: sids.iter().map(|it| (*it).to_owned()).collect(),
        subscribe,
        ..proto::UpdateSubscription::default()
    })
}

#[test]
fn who_may_not_subscribe_hears_nothing() {
    let mut world = World::new();
    let ada = world.join("ada", true);
    let ben = Guest::with("ben", true, |grant| grant.can_subscribe = Some(false));
    let ben = world.enter(ben).expect("let in");
    world.run(1.0);
    let track = world.speak(ada, "mic");
    world.say(ben, subscription(&[&track], true));
    world.run(1.0);
    assert_eq!(world.client(ben).got.len(), 0);
}

#[test]
fn the_publisher_hears_of_its_first_listener_before_it_sends_anything() {
    for single in [true, false] {
        let mut world = World::new();
        let (ada, _) = (world.join("ada", true), world.join("ben", single));
        let request = world
            .client(ada)
            .add_track("mic", str0m::media::MediaKind::Audio, &[]);
        world.signal(ada, request);
        world.run(0.0);
        world
            .client(ada)
            .sources
            .get_mut("mic")
            .expect("a source")
            .muted = true;
        world.run(0.5);
        let track = world.client(ada).track("mic");
        let told = world.client(ada).said.iter().any(|it| {
            matches!(it, Message::TrackSubscribed(subscribed) if subscribed.track_sid == track)
        });
        assert!(told, "single: {single}");
    }
}

#[test]
fn a_client_that_chooses_gets_what_it_names_and_stops_when_it_says_so() {
    for single in [true, false] {
        let mut world = World::new();
        let ada = world.join("ada", true);
        let mut guest = Guest::new("ben", single);
        guest.join.auto_subscribe = false;
        let ben = world.enter(guest).expect("let in");
        world.run(1.0);
        let track = world.speak(ada, "mic");
        world.run(1.0);
        assert_eq!(world.client(ben).got.len(), 0);
        world.say(ben, subscription(&[&track, "TR_nothing"], true));
        let missing = world.client(ben).said.iter().any(
            |it| matches!(it, Message::SubscriptionResponse(no) if no.track_sid == "TR_nothing"),
        );
        assert!(missing);
        world.run(1.0);
        assert!(world.client(ben).heard(&track).len() > 40);
        world.say(ben, subscription(&[&track], false));
        let before = world.client(ben).got.len();
        world.run(1.0);
        assert_eq!(world.client(ben).got.len(), before);
        world.say(ben, subscription(&[&track], true));
        world.run(1.0);
        assert!(
            world.client(ben).got.len() > before + 30,
            "single: {single}"
        );
    }
}

#[test]
fn a_publisher_decides_who_may_listen() {
    let mut world = World::new();
    let (ada, ben, cyd) = (
        world.join("ada", true),
        world.join("ben", true),
        world.join("cyd", false),
    );
    let track = world.speak(ada, "mic");
    world.run(1.0);
    let only = |identity: &str| {
        Request::SubscriptionPermission(proto::SubscriptionPermission {
            all_participants: false,
            track_permissions: vec![proto::TrackPermission {
                participant_identity: identity.to_owned(),
                all_tracks: true,
                ..proto::TrackPermission::default()
            }],
        })
    };
    world.say(ada, only("ben"));
    let told = |world: &mut World, client: usize| {
        let said = &world.client(client).said;
        said.iter().rev().find_map(|it| match it {
            Message::SubscriptionPermissionUpdate(update) => Some(update.allowed),
            _ => None,
        })
    };
    assert_eq!(told(&mut world, cyd), Some(false));
    assert_eq!(told(&mut world, ben), None);
    let counts =
        |world: &mut World| [ben, cyd].map(|client| world.client(client).heard(&track).len());
    let before = counts(&mut world);
    world.run(1.0);
    let after = counts(&mut world);
    assert!(after[0] > before[0] + 40);
    assert_eq!(after[1], before[1]);
    world.say(ada, only("cyd"));
    world.run(1.0);
    assert_eq!(told(&mut world, cyd), Some(true));
    let last = counts(&mut world);
    assert!(last[1] > after[1] + 20, "{after:?} {last:?}");
}

#[test]
fn a_disabled_picture_stops_and_a_small_one_is_the_low_layer() {
    let mut world = World::new();
    let (ada, ben) = (world.join("ada", true), world.join("ben", false));
    let layers = [("q", 150_000), ("h", 400_000), ("f", 1_200_000)];
    let track = world.show(ada, "cam", &layers);
    world.run(6.0);
    let newest = |world: &mut World| {
        let heard = world.client(ben).heard(&track);
        heard.last().map(|it| it.layer())
    };
    assert_eq!(newest(&mut world), Some(2));
    let setting = |quality: proto::VideoQuality, disabled| {
        Request::TrackSetting(proto::UpdateTrackSettings {
            track_sids: vec![track.clone()],
            quality: quality as i32,
            disabled,
            ..proto::UpdateTrackSettings::default()
        })
    };
    world.say(ben, setting(proto::VideoQuality::Low, false));
    world.run(1.0);
    assert_eq!(newest(&mut world), Some(0));
    world.say(ben, setting(proto::VideoQuality::Low, true));
    let before = world.client(ben).got.len();
    world.run(1.0);
    assert_eq!(world.client(ben).got.len(), before);
    // Nobody wants it any more, which the publisher hears after a while.
    world.run(10.0);
    let wanted = world.client(ada).said.iter().rev().find_map(|it| match it {
        Message::SubscribedQualityUpdate(update) => Some(update.clone()),
        _ => None,
    });
    let wanted = wanted.expect("told");
    let qualities = &wanted.subscribed_codecs[0].qualities;
    assert!(qualities.iter().all(|it| !it.enabled), "{qualities:?}");
    // It comes back at once. How high depends on the estimate, which fell with what was sent.
    let before = world.client(ben).got.len();
    world.say(ben, setting(proto::VideoQuality::High, false));
    world.run(2.0);
    let after = world.client(ben).got.len() - before;
    assert!(after > 50, "{after} packets in two seconds");
}

#[test]
fn fewer_pictures_per_second_leave_out_temporal_layers() {
    let mut world = World::new();
    let (ada, ben) = (world.join("ada", true), world.join("ben", true));
    let track = world.show(ada, "cam", &[("", 200_000)]);
    world.run(3.0);
    let rate = |world: &mut World| {
        let before = world.client(ben).heard(&track).len();
        world.run(2.0);
        world.client(ben).heard(&track).len() - before
    };
    let all = rate(&mut world);
    assert!((55..=65).contains(&all), "{all} pictures in two seconds");
    let setting = proto::UpdateTrackSettings {
        track_sids: vec![track.clone()],
        quality: proto::VideoQuality::High as i32,
        fps: 8,
        ..proto::UpdateTrackSettings::default()
    };
    world.say(ben, Request::TrackSetting(setting));
    let few = rate(&mut world);
    assert!((12..=18).contains(&few), "{few} pictures in two seconds");
}

#[test]
fn a_keyframe_asked_by_many_is_asked_of_the_publisher_seldom() {
    let mut world = World::new();
    let ada = world.join("ada", true);
    let viewers: Vec<_> = ["b", "c", "d", "e"].map(|it| world.join(it, false)).into();
    let track = world.show(ada, "cam", &[("", 200_000)]);
    world.run(3.0);
    let before = world.client(ada).sources["cam"].keyframes()[0];
    for _ in 0..10 {
        for viewer in &viewers {
            world.client(*viewer).ask_keyframe(&track);
        }
        world.run(0.1);
    }
    let after = world.client(ada).sources["cam"].keyframes()[0];
    assert!(
        (1..=3).contains(&(after - before)),
        "{} keyframes",
        after - before
    );
}
