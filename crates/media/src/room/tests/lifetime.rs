//! What happens by the mere passing of time.

use livekit_protocol as proto;
use livekit_protocol::DisconnectReason;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message;

use super::kit::{Guest, World};
use crate::room::Refusal;
use crate::service::{RoomAnswer, RoomCall};

fn create(world: &mut World, empty_timeout: u32) -> proto::Room {
    let request = proto::CreateRoomRequest {
        name: "hall".to_owned(),
        empty_timeout,
        departure_timeout: 7,
        ..proto::CreateRoomRequest::default()
    };
    match world.call(RoomCall::Create(request)) {
        Ok(RoomAnswer::Create(room)) => room,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_room_nobody_enters_closes_after_its_time() {
    let mut world = World::new();
    create(&mut world, 30);
    world.run(29.0);
    assert_eq!(world.rooms().len(), 1);
    world.run(2.0);
    assert_eq!(world.rooms().len(), 0);
}

#[test]
fn a_room_everybody_left_closes_after_its_other_time_unless_somebody_comes() {
    let mut world = World::new();
    let sid = create(&mut world, 300).sid;
    for name in ["ada", "ben"] {
        let client = world.join(name, true);
        assert_eq!(world.rooms()[0].sid, sid);
        world.say(client, Request::Leave(proto::LeaveRequest::default()));
        world.run(5.0);
    }
    assert_eq!(world.rooms().len(), 1);
    world.run(3.0);
    assert_eq!(world.rooms().len(), 0);
    let _ada = world.join("ada", true);
    assert_ne!(world.rooms()[0].sid, sid);
}

#[test]
fn a_fresh_token_comes_well_before_the_old_one_ends() {
    let mut world = World::new();
    let ada = world.join("ada", true);
    let tokens = |world: &mut World| {
        let said = &world.client(ada).said;
        said.iter()
            .filter(|it| matches!(it, Message::RefreshToken(_)))
            .count()
    };
    for n in 0..610 {
        world.signal(ada, Request::Ping(n));
        world.run(1.0);
    }
    assert_eq!(tokens(&mut world), 2);
}

#[test]
fn pings_are_answered_and_silence_ends_the_signal() {
    let mut world = World::new();
    let ada = world.join("ada", true);
    let ping = proto::Ping {
        timestamp: 42,
        rtt: 0,
    };
    world.say(ada, Request::PingReq(ping));
    world.say(ada, Request::Ping(42));
    let said = &world.client(ada).said;
    assert!(
        said.iter()
            .any(|it| matches!(it, Message::PongResp(pong) if pong.last_ping_timestamp == 42))
    );
    assert!(said.iter().any(|it| matches!(it, Message::Pong(_))));
    world.run(22.0);
    world.run(16.0);
    assert_eq!(world.rooms()[0].num_participants, 0);
}

#[test]
fn a_draining_server_sends_everybody_elsewhere_and_lets_nobody_in() {
    let mut world = World::new();
    let ada = world.join("ada", false);
    world.drain();
    let leave = world.client(ada).left().expect("told");
    assert_eq!(leave.reason(), DisconnectReason::ServerShutdown);
    assert_eq!(leave.action(), proto::leave_request::Action::Reconnect);
    let late = world.enter(Guest::new("late", true));
    assert_eq!(late.err(), Some(Refusal::Draining));
}

#[test]
fn who_speaks_is_told_and_that_it_stopped_too() {
    let mut world = World::new();
    let (ada, ben) = (world.join("ada", true), world.join("ben", false));
    world.speak(ada, "mic");
    world.run(2.0);
    let sid = world.client(ada).sid();
    let newest = |world: &mut World| {
        let said = &world.client(ben).said;
        said.iter().rev().find_map(|it| match it {
            Message::SpeakersChanged(changed) => changed
                .speakers
                .iter()
                .find(|it| it.sid == sid)
                .map(|it| it.active),
            _ => None,
        })
    };
    assert_eq!(newest(&mut world), Some(true));
    world
        .client(ada)
        .sources
        .get_mut("mic")
        .expect("a source")
        .muted = true;
    world.run(3.0);
    assert_eq!(newest(&mut world), Some(false));
}

#[test]
fn the_quality_of_a_good_line_is_excellent_and_of_a_cut_one_lost() {
    let mut world = World::new();
    let (ada, ben) = (world.join("ada", true), world.join("ben", true));
    world.speak(ada, "mic");
    let newest = |world: &mut World| {
        let sid = world.client(ada).sid();
        let said = &world.client(ben).said;
        said.iter().rev().find_map(|it| match it {
            Message::ConnectionQuality(quality) => {
                let of = quality.updates.iter().find(|it| it.participant_sid == sid);
                of.map(|it| it.quality())
            }
            _ => None,
        })
    };
    world.run(12.0);
    assert_eq!(
        newest(&mut world),
        Some(proto::ConnectionQuality::Excellent)
    );
    world.cut(ada);
    world.run(6.0);
    assert_eq!(newest(&mut world), Some(proto::ConnectionQuality::Lost));
}
