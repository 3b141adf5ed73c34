//! Tracks: who may publish them, muting, ending, using sections again.

use livekit_protocol as proto;
use livekit_protocol::request_response::Reason;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message;
use str0m::media::MediaKind;

use super::kit::{Guest, World};
use crate::service::RoomCall;
use crate::signal::sdp;

fn refused(world: &mut World, client: usize) -> Vec<Reason> {
    let said = &world.client(client).said;
    said.iter()
        .filter_map(|it| match it {
            Message::RequestResponse(response) => Some(response.reason()),
            _ => None,
        })
        .collect()
}

#[test]
fn a_track_announced_without_permission_is_refused() {
    let mut world = World::new();
    let mute = Guest::with("mute", true, |grant| grant.can_publish = Some(false));
    let mute = world.enter(mute).expect("let in");
    world.run(1.0);
    let request = world.client(mute).add_track("mic", MediaKind::Audio, &[]);
    world.say(mute, request);
    assert_eq!(refused(&mut world, mute), [Reason::NotAllowed]);
    assert!(world.rooms()[0].num_publishers == 0);
}

#[test]
fn only_the_sources_of_the_grant_may_be_published() {
    let mut world = World::new();
    let ada = Guest::with("ada", true, |grant| {
        grant.can_publish_sources = vec!["microphone".to_owned()];
    });
    let ada = world.enter(ada).expect("let in");
    world.run(1.0);
    world.speak(ada, "mic");
    assert!(refused(&mut world, ada).is_empty());
    let request = world
        .client(ada)
        .add_track("cam", MediaKind::Video, &[("", 300_000)]);
    world.say(ada, request);
    assert_eq!(refused(&mut world, ada), [Reason::NotAllowed]);
}

#[test]
fn permissions_taken_away_end_what_they_allowed() {
    let mut world = World::new();
    let (ada, ben) = (world.join("ada", true), world.join("ben", false));
    let (of_ada, of_ben) = (world.speak(ada, "mic"), world.speak(ben, "mic"));
    world.run(1.0);
    let request = proto::UpdateParticipantRequest {
        room: "hall".to_owned(),
        identity: "ada".to_owned(),
        permission: Some(proto::ParticipantPermission {
            can_publish: false,
            can_subscribe: false,
            ..proto::ParticipantPermission::default()
        }),
        ..proto::UpdateParticipantRequest::default()
    };
    world
        .call(RoomCall::UpdateParticipant(request))
        .expect("updated");
    world.run(0.5);
    let (heard_ada, heard_ben) = (
        world.client(ben).heard(&of_ada).len(),
        world.client(ada).heard(&of_ben).len(),
    );
    world.run(1.0);
    assert_eq!(world.client(ben).heard(&of_ada).len(), heard_ada);
    assert_eq!(world.client(ada).heard(&of_ben).len(), heard_ben);
    assert!(
        world
            .client(ben)
            .sees("ada")
            .expect("seen")
            .tracks
            .is_empty()
    );
}

#[test]
fn a_track_muted_by_the_host_is_silent_for_all_and_its_client_is_told() {
    let mut world = World::new();
    let (ada, ben) = (world.join("ada", true), world.join("ben", false));
    let track = world.speak(ada, "mic");
    world.run(1.0);
    let set = |world: &mut World, muted| {
        let request = proto::MuteRoomTrackRequest {
            room: "hall".to_owned(),
            identity: "ada".to_owned(),
            track_sid: track.clone(),
            muted,
        };
        world.call(RoomCall::MuteTrack(request)).expect("muted");
    };
    set(&mut world, true);
    world.run(0.2);
    let told = world
        .client(ada)
        .said
        .iter()
        .any(|it| matches!(it, Message::Mute(mute) if mute.muted && mute.sid == track));
    assert!(told);
    assert!(world.client(ben).sees("ada").expect("seen").tracks[0].muted);
    // The client goes on sending all the same.
    let before = world.client(ben).heard(&track).len();
    world.run(1.0);
    assert_eq!(world.client(ben).heard(&track).len(), before);
    set(&mut world, false);
    world.run(1.0);
    assert!(world.client(ben).heard(&track).len() > before + 40);
}

/// The sections of a subscriber's descriptions over time: (mid, direction) of those that may send.
fn sections(world: &mut World, client: usize) -> Vec<Vec<(String, sdp::Direction)>> {
    let said = &world.client(client).said;
    said.iter()
        .filter_map(|it| match it {
            Message::Offer(offer) => Some(&offer.sdp),
            _ => None,
        })
        .map(|text| {
            let sections = sdp::sections(text).expect("parses");
            sections
                .into_iter()
                .filter(|it| it.kind == sdp::SectionKind::Audio)
                .map(|it| (it.mid, it.direction))
                .collect()
        })
        .collect()
}

#[test]
fn with_two_connections_a_section_rests_before_the_next_track_takes_it() {
    let mut world = World::new();
    let (ada, ben) = (world.join("ada", true), world.join("ben", false));
    for round in 0..4 {
        let cid = format!("mic{round}");
        let track = world.speak(ada, &cid);
        world.run(1.0);
        assert!(world.client(ben).heard(&track).len() > 40, "round {round}");
        world.stop(ada, &cid);
    }
    let history = sections(&mut world, ben);
    assert!(
        history.iter().all(|it| it.len() <= 1),
        "one section serves all: {history:?}"
    );
    let directions: Vec<_> = history.iter().flatten().map(|it| it.1).collect();
    use sdp::Direction::{Inactive, SendOnly};
    let expected = [SendOnly, Inactive].repeat(4);
    assert_eq!(directions, expected);
}

#[test]
fn a_track_that_follows_at_once_waits_for_the_section_and_is_heard() {
    for single in [true, false] {
        let mut world = World::new();
        let (ada, ben) = (world.join("ada", true), world.join("ben", single));
        world.speak(ada, "one");
        world.run(1.0);
        world.client(ada).stop("one");
        let request = world.client(ada).add_track("two", MediaKind::Audio, &[]);
        world.say(ada, request);
        let track = world.client(ada).track("two");
        world.run(1.0);
        assert!(
            world.client(ben).heard(&track).len() > 40,
            "single: {single}"
        );
    }
}

#[test]
fn with_one_connection_sections_are_used_again_too() {
    let mut world = World::new();
    let (ada, ben) = (world.join("ada", true), world.join("ben", true));
    for round in 0..3 {
        let cid = format!("mic{round}");
        let track = world.speak(ada, &cid);
        world.run(1.0);
        assert!(world.client(ben).heard(&track).len() > 40, "round {round}");
        world.stop(ada, &cid);
    }
    let asked: u32 = world
        .client(ben)
        .said
        .iter()
        .filter_map(|it| match it {
            Message::MediaSectionsRequirement(needed) => Some(needed.num_audios),
            _ => None,
        })
        .sum();
    assert_eq!(asked, 1);
}

#[test]
fn metadata_changes_only_with_permission_and_within_limits() {
    let mut world = World::new();
    let ada = world.join("ada", true);
    let ben = Guest::with("ben", true, |grant| {
        grant.can_update_own_metadata = Some(false)
    });
    let ben = world.enter(ben).expect("let in");
    world.run(1.0);
    let update = |metadata: String| {
        Request::UpdateMetadata(proto::UpdateParticipantMetadata {
            metadata,
            request_id: 7,
            ..proto::UpdateParticipantMetadata::default()
        })
    };
    world.say(ada, update("mine".to_owned()));
    world.say(ada, update("x".repeat(600 * 1024)));
    world.say(ben, update("not mine".to_owned()));
    assert_eq!(
        refused(&mut world, ada),
        [Reason::Ok, Reason::LimitExceeded]
    );
    assert_eq!(refused(&mut world, ben), [Reason::NotAllowed]);
    assert_eq!(
        world.client(ben).sees("ada").expect("seen").metadata,
        "mine"
    );
    assert_eq!(world.client(ada).sees("ben").expect("seen").metadata, "");
}
