//! Coming, coming back, going.

use livekit_protocol as proto;
use livekit_protocol::DisconnectReason;
use livekit_protocol::participant_info::State;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message;
use livekit_protocol::simulate_scenario::Scenario;

use super::kit::{Guest, World};
use crate::room::{Refusal, RoomEventKind};
use crate::service::RoomCall;

fn reason(world: &mut World, client: usize) -> Option<DisconnectReason> {
    world.client(client).left().map(|leave| leave.reason())
}

#[test]
fn two_who_join_hear_each_other_in_every_pairing_of_modes() {
    for (first, second) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut world = World::new();
        let (ada, ben) = (world.join("ada", first), world.join("ben", second));
        let (of_ada, of_ben) = (world.speak(ada, "mic"), world.speak(ben, "mic"));
        world.run(2.0);
        for (listener, track) in [(ben, &of_ada), (ada, &of_ben)] {
            let heard = world.client(listener).heard(track).len();
            assert!(heard > 80, "{first} {second}: {heard} of about 100 packets");
        }
        for (viewer, other) in [(ada, "ben"), (ben, "ada")] {
            let seen = world.client(viewer).sees(other).expect("seen");
            assert_eq!(seen.state(), State::Active);
        }
    }
}

#[test]
fn who_goes_is_gone_for_the_others_and_its_tracks_with_it() {
    let mut world = World::new();
    let (ada, ben) = (world.join("ada", true), world.join("ben", false));
    world.speak(ada, "mic");
    world.say(ada, Request::Leave(proto::LeaveRequest::default()));
    let seen = world.client(ben).sees("ada").expect("seen");
    assert_eq!(seen.state(), State::Disconnected);
    assert_eq!(seen.disconnect_reason(), DisconnectReason::ClientInitiated);
    assert!(seen.tracks.is_empty());
    assert_eq!(world.rooms()[0].num_participants, 1);
}

#[test]
fn the_same_identity_again_puts_the_first_out() {
    let mut world = World::new();
    let (first, ben) = (world.join("ada", true), world.join("ben", true));
    let second = world.join("ada", false);
    assert_eq!(
        reason(&mut world, first),
        Some(DisconnectReason::DuplicateIdentity)
    );
    assert_eq!(reason(&mut world, second), None);
    let sid = world.client(second).sid();
    let seen = world.client(ben).sees("ada").expect("seen");
    assert_eq!((seen.state(), &seen.sid), (State::Active, &sid));
}

#[test]
fn a_full_room_refuses_and_lets_in_again_when_somebody_went() {
    let mut world = World::new();
    let guest = |identity| {
        let mut guest = Guest::new(identity, true);
        guest.join.room_settings.max_participants = 2;
        guest
    };
    world.enter(guest("ada")).expect("let in");
    let ben = world.enter(guest("ben")).expect("let in");
    assert_eq!(world.enter(guest("cyd")).err(), Some(Refusal::Full));
    world.say(ben, Request::Leave(proto::LeaveRequest::default()));
    assert!(world.enter(guest("cyd")).is_ok());
}

#[test]
fn nobody_sees_or_counts_who_is_hidden() {
    let mut world = World::new();
    let ada = world.join("ada", true);
    let spy = Guest::with("spy", true, |grant| grant.hidden = true);
    let spy = world.enter(spy).expect("let in");
    world.run(1.0);
    let track = world.speak(ada, "mic");
    world.run(1.0);
    assert!(world.client(ada).sees("spy").is_none());
    assert_eq!(world.rooms()[0].num_participants, 1);
    assert!(world.client(spy).heard(&track).len() > 30);
    world.say(spy, Request::Leave(proto::LeaveRequest::default()));
    assert!(world.client(ada).sees("spy").is_none());
}

#[test]
fn a_resumed_signal_keeps_the_media_and_tells_what_was_missed() {
    for single in [true, false] {
        let mut world = World::new();
        let (ada, ben) = (world.join("ada", single), world.join("ben", true));
        let track = world.speak(ben, "mic");
        world.run(1.0);
        world.cut(ada);
        let late = world.join("late", true);
        let before = world.client(ada).heard(&track).len();
        world.run(1.0);
        let during = world.client(ada).heard(&track).len() - before;
        assert!(during > 40, "media went on: {during}");
        world.client(ada).said.clear();
        world.resume(ada);
        let said = &world.client(ada).said;
        assert!(matches!(said[0], Message::Reconnect(_)), "{:?}", said[0]);
        assert!(said.iter().any(|it| matches!(it, Message::RefreshToken(_))));
        assert!(world.client(ada).sees("late").is_some());
        let new = world.speak(late, "mic");
        world.run(1.0);
        assert!(world.client(ada).heard(&new).len() > 30, "single: {single}");
    }
}

#[test]
fn an_offer_that_was_lost_with_the_signal_is_made_again_after_the_resume() {
    let mut world = World::new();
    let (ada, ben) = (world.join("ada", false), world.join("ben", true));
    world.client(ada).answers = false;
    let track = world.speak(ben, "mic");
    world.cut(ada);
    world.client(ada).answers = true;
    world.resume(ada);
    world.run(1.0);
    assert!(world.client(ada).heard(&track).len() > 30);
}

#[test]
fn a_resume_of_what_is_not_there_is_told_to_join_anew() {
    let mut world = World::new();
    let ada = world.join("ada", true);
    world.cut(ada);
    world.run(17.0);
    world.resume(ada);
    let leave = world.client(ada).left().expect("told");
    assert_eq!(leave.action(), proto::leave_request::Action::Reconnect);
    assert_eq!(leave.reason(), DisconnectReason::StateMismatch);
}

#[test]
fn who_stays_away_too_long_has_left() {
    let mut world = World::new();
    let (ada, ben) = (world.join("ada", true), world.join("ben", true));
    world.cut(ada);
    world.run(14.0);
    let state = |world: &mut World| world.client(ben).sees("ada").map(|it| it.state());
    assert_eq!(state(&mut world), Some(State::Active));
    world.run(2.5);
    assert_eq!(state(&mut world), Some(State::Disconnected));
}

#[test]
fn the_facts_of_a_visit_are_told_once_and_in_order() {
    let mut world = World::new();
    let ada = world.join("ada", true);
    world.speak(ada, "mic");
    world.stop(ada, "mic");
    world.say(ada, Request::Leave(proto::LeaveRequest::default()));
    world.run(25.0);
    let mut names = Vec::new();
    while let Ok(event) = world.events.try_recv() {
        names.push(match event.kind {
            RoomEventKind::Started(_) => "started",
            RoomEventKind::Finished => "finished",
            RoomEventKind::Joined(_) => "joined",
            RoomEventKind::Left(_) => "left",
            RoomEventKind::Aborted(_) => "aborted",
            RoomEventKind::Published(..) => "published",
            RoomEventKind::Unpublished(..) => "unpublished",
            RoomEventKind::Muted(..) => "muted",
            RoomEventKind::Speaking(_) | RoomEventKind::Quality(..) => continue,
        });
    }
    let expected = [
        "started",
        "joined",
        "published",
        "unpublished",
        "left",
        "finished",
    ];
    assert_eq!(names, expected);
    assert!(world.rooms().is_empty());
}

#[test]
fn removing_a_participant_and_deleting_the_room_tell_their_reasons() {
    let mut world = World::new();
    let (ada, ben) = (world.join("ada", true), world.join("ben", false));
    let identity = proto::RoomParticipantIdentity {
        room: "hall".to_owned(),
        identity: "ada".to_owned(),
        ..proto::RoomParticipantIdentity::default()
    };
    world
        .call(RoomCall::RemoveParticipant(identity))
        .expect("removed");
    assert_eq!(
        reason(&mut world, ada),
        Some(DisconnectReason::ParticipantRemoved)
    );
    let room = proto::DeleteRoomRequest {
        room: "hall".to_owned(),
    };
    world.call(RoomCall::Delete(room)).expect("deleted");
    assert_eq!(reason(&mut world, ben), Some(DisconnectReason::RoomDeleted));
    assert!(world.rooms().is_empty());
}

#[test]
fn simulated_faults_do_what_their_names_say() {
    let mut world = World::new();
    let ada = world.join("ada", true);
    let fault = |scenario| {
        Request::Simulate(proto::SimulateScenario {
            scenario: Some(scenario),
        })
    };
    world.say(ada, fault(Scenario::SpeakerUpdate(3)));
    let speakers = |it: &Message| matches!(it, Message::SpeakersChanged(_));
    assert!(world.client(ada).said.iter().any(speakers));
    world.say(ada, fault(Scenario::Migration(true)));
    let action = world.client(ada).left().map(|it| it.action());
    assert_eq!(action, Some(proto::leave_request::Action::Reconnect));
    world.say(ada, fault(Scenario::NodeFailure(true)));
    world.resume(ada);
    world
        .client(ada)
        .said
        .iter()
        .rev()
        .find(|it| matches!(it, Message::Reconnect(_)))
        .expect("resumed");
    world.say(ada, fault(Scenario::ServerLeave(true)));
    assert_eq!(
        reason(&mut world, ada),
        Some(DisconnectReason::ServerShutdown)
    );
}
