//! Media over bad lines.

use std::time::Duration;

use livekit_protocol as proto;
use livekit_protocol::signal_response::Message;

use super::kit::World;

const LAYERS: [(&str, u64); 3] = [("q", 150_000), ("h", 450_000), ("f", 1_500_000)];

fn states(world: &mut World, client: usize) -> Vec<proto::StreamState> {
    let said = &world.client(client).said;
    said.iter()
        .filter_map(|it| match it {
            Message::StreamStateUpdate(update) => Some(update.stream_states.iter()),
            _ => None,
        })
        .flatten()
        .map(|it| it.state())
        .collect()
}

#[test]
fn five_percent_loss_costs_sound_five_percent_and_a_picture_nothing() {
    for single in [true, false] {
        let mut world = World::new();
        let (ada, ben) = (world.join("ada", true), world.join("ben", single));
        let (sound, picture) = (
            world.speak(ada, "mic"),
            world.show(ada, "cam", &[("", 300_000)]),
        );
        world.run(2.0);
        world.client(ben).down.loss = 0.05;
        world.client(ada).up.loss = 0.05;
        world.client(ben).got.clear();
        world.run(10.0);
        world.client(ben).down.loss = 0.0;
        world.client(ada).up.loss = 0.0;
        world.run(1.0);
        let sounds = world.client(ben).heard(&sound).len();
        assert!((460..=535).contains(&sounds), "{sounds} of 550");
        let mut numbers: Vec<u64> = world
            .client(ben)
            .heard(&picture)
            .iter()
            .map(|it| *it.packet.seq_no)
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        let span = numbers[numbers.len() - 1] - numbers[0] + 1;
        let missing = span - numbers.len() as u64;
        assert!(missing * 100 < span, "{missing} of {span} never came");
    }
}

#[test]
fn jitter_of_200_ms_that_changes_the_order_loses_nothing() {
    let mut world = World::new();
    let (ada, ben) = (world.join("ada", false), world.join("ben", true));
    let sound = world.speak(ada, "mic");
    world.run(1.0);
    for (client, up) in [(ada, true), (ben, false)] {
        let client = world.client(client);
        let link = if up { &mut client.up } else { &mut client.down };
        link.jitter = Duration::from_millis(200);
    }
    world.run(10.0);
    world
        .client(ada)
        .sources
        .get_mut("mic")
        .expect("a source")
        .muted = true;
    world.run(2.0);
    let heard = world.client(ben).heard(&sound);
    let arrived: Vec<u64> = heard.iter().map(|it| *it.packet.seq_no).collect();
    let mut numbers = arrived.clone();
    numbers.sort_unstable();
    assert_ne!(numbers, arrived, "the order changed on the way");
    numbers.dedup();
    let span = numbers[numbers.len() - 1] - numbers[0] + 1;
    assert_eq!(span, numbers.len() as u64);
    // Each packet kept its own moment.
    let mut pairs: Vec<_> = heard
        .iter()
        .map(|it| (*it.packet.seq_no, it.packet.header.timestamp))
        .collect();
    pairs.sort_unstable();
    pairs.dedup();
    for pair in pairs.windows(2) {
        assert_eq!(pair[1].1.wrapping_sub(pair[0].1) % 960, 0);
    }
}

#[test]
fn a_viewer_behind_300_kbits_gets_the_low_layer_and_the_others_the_high_one() {
    let mut world = World::new();
    let ada = world.join("ada", true);
    let (thin, wide) = (world.join("thin", false), world.join("wide", true));
    world.client(thin).down.bps = Some(300_000);
    let track = world.show(ada, "cam", &LAYERS);
    world.run(20.0);
    for (client, layer) in [(thin, 0), (wide, 2)] {
        let now = world.now;
        let heard = world.client(client).heard(&track);
        let newest: Vec<u8> = heard
            .iter()
            .filter(|it| now - it.at < Duration::from_secs(5))
            .map(|it| it.layer())
            .collect();
        let right = newest.iter().filter(|it| **it == layer).count();
        assert!(newest.len() > 100, "{} packets", newest.len());
        assert!(
            right * 10 > newest.len() * 9,
            "{right} of {} on {layer}",
            newest.len()
        );
    }
}

#[test]
fn a_picture_that_does_not_fit_at_all_is_paused_and_told_and_sound_goes_on() {
    let mut world = World::new();
    let (ada, ben) = (world.join("ada", true), world.join("ben", false));
    let sound = world.speak(ada, "mic");
    let picture = world.show(ada, "cam", &[("", 900_000)]);
    world.run(4.0);
    world.client(ben).down.bps = Some(300_000);
    world.run(20.0);
    assert!(states(&mut world, ben).contains(&proto::StreamState::Paused));
    let sounds = world.client(ben).heard(&sound).len();
    world.run(4.0);
    let sounds = world.client(ben).heard(&sound).len() - sounds;
    assert!(sounds > 170, "{sounds} of 200");
    assert!(!world.client(ben).heard(&picture).is_empty());
}

#[test]
fn a_limit_set_for_a_test_lowers_the_layer_and_its_end_raises_it() {
    use livekit_protocol::signal_request::Message as Request;
    use livekit_protocol::simulate_scenario::Scenario;
    let mut world = World::new();
    let (ada, ben) = (world.join("ada", true), world.join("ben", false));
    let track = world.show(ada, "cam", &LAYERS);
    world.run(8.0);
    let newest = |world: &mut World| world.client(ben).heard(&track).last().map(|it| it.layer());
    assert_eq!(newest(&mut world), Some(2));
    let limit = |bps| {
        Request::Simulate(proto::SimulateScenario {
            scenario: Some(Scenario::SubscriberBandwidth(bps)),
        })
    };
    world.say(ben, limit(250_000));
    world.run(3.0);
    assert_eq!(newest(&mut world), Some(0));
    world.say(ben, limit(0));
    world.run(30.0);
    assert_eq!(newest(&mut world), Some(2));
}

#[test]
fn a_new_viewer_begins_with_what_its_line_carries() {
    let mut world = World::new();
    let ada = world.join("ada", true);
    let track = world.show(ada, "cam", &LAYERS);
    world.run(3.0);
    let ben = world.join("ben", true);
    world.run(3.0);
    let heard = world.client(ben).heard(&track);
    let layers: Vec<u8> = heard.iter().map(|it| it.layer()).collect();
    let mut rising = layers.clone();
    rising.sort_unstable();
    assert_eq!(layers, rising, "it never falls on a good line");
}

#[test]
fn a_client_that_moves_to_another_address_is_heard_on() {
    for single in [true, false] {
        let mut world = World::new();
        let (ada, ben) = (world.join("ada", single), world.join("ben", single));
        let (of_ada, of_ben) = (world.speak(ada, "mic"), world.speak(ben, "mic"));
        world.run(2.0);
        world.client(ada).rebind();
        world.run(8.0);
        let before = [
            world.client(ben).heard(&of_ada).len(),
            world.client(ada).heard(&of_ben).len(),
        ];
        world.run(2.0);
        let after = [
            world.client(ben).heard(&of_ada).len(),
            world.client(ada).heard(&of_ben).len(),
        ];
        for (before, after) in before.into_iter().zip(after) {
            assert!(after > before + 90, "{before} to {after}, single: {single}");
        }
    }
}

#[test]
fn a_viewer_that_changes_the_size_again_and_again_sees_no_freeze() {
    use livekit_protocol::VideoQuality;
    use livekit_protocol::signal_request::Message as Request;
    for single in [true, false] {
        let mut world = World::new();
        let (ada, ben) = (world.join("ada", true), world.join("ben", single));
        let track = world.show(ada, "cam", &LAYERS);
        world.run(8.0);
        world.client(ben).got.clear();
        let qualities = [VideoQuality::Low, VideoQuality::High, VideoQuality::Medium];
        for quality in qualities.repeat(4) {
            let setting = proto::UpdateTrackSettings {
                track_sids: vec![track.clone()],
                quality: quality as i32,
                ..proto::UpdateTrackSettings::default()
            };
            world.say(ben, Request::TrackSetting(setting));
            world.run(1.7);
        }
        let heard = world.client(ben).heard(&track);
        let seen: std::collections::BTreeSet<u8> = heard.iter().map(|it| it.layer()).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 2]);
        let longest = heard.windows(2).map(|it| it[1].at - it[0].at).max();
        let longest = longest.expect("pictures");
        assert!(
            longest < Duration::from_millis(100),
            "frozen for {longest:?}"
        );
        for pair in heard.windows(2) {
            let (one, next) = (&pair[0].packet, &pair[1].packet);
            assert_eq!(
                *next.seq_no,
                *one.seq_no + 1,
                "a hole that asks for a packet"
            );
            let passed = next.header.timestamp.wrapping_sub(one.header.timestamp);
            assert!(passed <= 9_000, "the picture's time jumps by {passed}");
            // The first packet of another layer begins a keyframe: its partition's lowest bit is 0.
            if pair[0].layer() != pair[1].layer() {
                assert_eq!(next.payload[6] & 1, 0, "another layer without a keyframe");
            }
        }
    }
}

#[test]
fn keyframes_whose_packets_overtake_each_other_still_begin_the_picture() {
    let mut world = World::new();
    let (ada, ben) = (world.join("ada", true), world.join("ben", true));
    world.client(ada).up.jitter = Duration::from_millis(30);
    let track = world.show(ada, "cam", &[("", 1_000_000)]);
    world.run(3.0);
    let heard = world.client(ben).heard(&track);
    let mut numbers: Vec<u64> = heard.iter().map(|it| *it.packet.seq_no).collect();
    numbers.sort_unstable();
    let span = numbers[numbers.len() - 1] - numbers[0] + 1;
    assert!(
        numbers.len() as u64 * 100 > span * 98,
        "{} of {span}",
        numbers.len()
    );
    let made = world.client(ada).sources["cam"].keyframes()[0];
    assert!(made <= 3, "{made} keyframes");
}
