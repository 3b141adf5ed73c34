//! Clients that do harm or nothing: they are closed with a reason, and the others do not notice.

use std::net::SocketAddr;

use livekit_protocol as proto;
use livekit_protocol::DisconnectReason;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message;
use str0m::media::MediaKind;

use super::kit::World;
use crate::room::limits;

/// Ada speaks to ben while the third does what it does; answers why the third was closed.
fn beside(single: bool, harm: impl FnOnce(&mut World, usize)) -> Option<DisconnectReason> {
    let mut world = World::new();
    let (ada, ben) = (world.join("ada", true), world.join("ben", false));
    let track = world.speak(ada, "mic");
    let eve = world.join("eve", single);
    world.run(1.0);
    let (began, before) = (world.seconds(), world.client(ben).heard(&track).len());
    harm(&mut world, eve);
    world.run(1.0);
    let frames = (world.seconds() - began) * 50.0;
    let heard = world.client(ben).heard(&track).len() - before;
    assert!(heard as f64 > frames - 3.0, "{heard} of {frames} frames");
    for other in [ada, ben] {
        assert!(world.client(other).left().is_none());
    }
    world.client(eve).left().map(|it| it.reason())
}

fn offer(sdp: String) -> Request {
    Request::Offer(proto::SessionDescription {
        r#type: "offer".to_owned(),
        sdp,
        id: 99,
        ..proto::SessionDescription::default()
    })
}

#[test]
fn a_flood_of_requests_ends_the_session() {
    let reason = beside(true, |world, eve| {
        for n in 0..2_000 {
            world.signal(eve, Request::Ping(n));
        }
    });
    assert_eq!(reason, Some(DisconnectReason::StateMismatch));
}

#[test]
fn a_flood_of_offers_ends_the_session() {
    for single in [true, false] {
        let reason = beside(single, |world, eve| {
            let sdp = world.client(eve).first_offer.clone();
            for _ in 0..200 {
                world.signal(eve, offer(sdp.clone()));
            }
        });
        assert_eq!(reason, Some(DisconnectReason::StateMismatch));
    }
}

#[test]
fn a_busy_client_within_its_budget_stays() {
    let reason = beside(true, |world, eve| {
        for n in 0..400 {
            world.signal(eve, Request::Ping(n));
        }
    });
    assert_eq!(reason, None);
}

#[test]
fn an_oversized_or_malformed_offer_ends_the_session() {
    let garbage = [
        "x".repeat(limits::SDP_BYTES + 1),
        "v=0\r\n".to_owned(),
        String::new(),
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
            .to_owned(),
        "m=".repeat(50_000),
    ];
    for sdp in garbage {
        let reason = beside(true, |world, eve| world.signal(eve, offer(sdp)));
        assert_eq!(reason, Some(DisconnectReason::StateMismatch));
    }
}

#[test]
fn a_foreign_answer_ends_the_session_of_who_gave_it() {
    let reason = beside(false, |world, eve| {
        world.client(eve).answers = false;
        let bob = world.join("bob", true);
        world.speak(bob, "mic");
        let id = world
            .client(eve)
            .said
            .iter()
            .rev()
            .find_map(|it| match it {
                Message::Offer(offer) => Some(offer.id),
                _ => None,
            })
            .expect("an offer");
        let answer = proto::SessionDescription {
            r#type: "answer".to_owned(),
            sdp: "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n".to_owned(),
            id,
            ..proto::SessionDescription::default()
        };
        world.signal(eve, Request::Answer(answer));
    });
    assert_eq!(reason, Some(DisconnectReason::StateMismatch));
}

#[test]
fn answers_and_names_that_nobody_asked_for_are_ignored() {
    let reason = beside(false, |world, eve| {
        let answer = proto::SessionDescription {
            id: 4_000,
            ..proto::SessionDescription::default()
        };
        world.signal(eve, Request::Answer(answer));
        let unknown = || vec!["TR_unknown".to_owned(); 1_000];
        world.signal(
            eve,
            Request::Subscription(proto::UpdateSubscription {
                track_sids: unknown(),
                ..proto::UpdateSubscription::default()
            }),
        );
        world.signal(
            eve,
            Request::TrackSetting(proto::UpdateTrackSettings {
                track_sids: unknown(),
                ..proto::UpdateTrackSettings::default()
            }),
        );
        world.signal(
            eve,
            Request::Mute(proto::MuteTrackRequest {
                sid: "TR_unknown".to_owned(),
                muted: true,
            }),
        );
        for text in ["", "{", "{\"candidate\":\"nonsense\"}"] {
            world.signal(
                eve,
                Request::Trickle(proto::TrickleRequest {
                    candidate_init: text.to_owned(),
                    ..proto::TrickleRequest::default()
                }),
            );
        }
    });
    assert_eq!(reason, None);
}

#[test]
fn more_tracks_than_allowed_are_refused_one_by_one() {
    let mut world = World::new();
    let eve = world.join("eve", true);
    for n in 0..limits::TRACKS + 5 {
        let cid = format!("t{n}");
        let request = proto::AddTrackRequest {
            cid,
            ..proto::AddTrackRequest::default()
        };
        world.signal(eve, Request::AddTrack(request));
    }
    world.run(0.1);
    let said = &world.client(eve).said;
    let count = |of: fn(&Message) -> bool| said.iter().filter(|it| of(it)).count();
    assert_eq!(
        count(|it| matches!(it, Message::TrackPublished(_))),
        limits::TRACKS
    );
    assert_eq!(count(|it| matches!(it, Message::RequestResponse(_))), 5);
}

#[test]
fn who_never_answers_an_offer_is_closed_with_a_reason() {
    let reason = beside(false, |world, eve| {
        world.client(eve).answers = false;
        let bob = world.join("bob", true);
        world.speak(bob, "mic");
        for n in 0..25 {
            for client in 0..4 {
                world.signal(client, Request::Ping(n));
            }
            world.run(1.0);
        }
    });
    assert_eq!(reason, Some(DisconnectReason::MediaFailure));
}

#[test]
fn who_never_connects_its_media_is_closed_with_a_reason() {
    let mut world = World::new();
    let ada = world.join("ada", true);
    for single in [true, false] {
        let name = if single { "one" } else { "two" };
        let eve = world
            .enter(super::kit::Guest::new(name, single))
            .expect("let in");
        world.client(eve).up.loss = 1.0;
        for n in 0..25 {
            for client in [ada, eve] {
                world.signal(client, Request::Ping(n));
            }
            world.run(1.0);
        }
        let reason = world.client(eve).left().map(|it| it.reason());
        assert_eq!(reason, Some(DisconnectReason::ConnectionTimeout));
    }
    assert!(world.client(ada).left().is_none());
}

#[test]
fn datagrams_of_strangers_change_nothing() {
    let reason = beside(true, |world, _| {
        let stranger = SocketAddr::from(([192, 0, 2, 1], 1234));
        // From where ada is, too: a forged source address.
        let forged = SocketAddr::from(([10, 1, 0, 1], 5000));
        for from in [stranger, forged] {
            for first in [0_u8, 1, 20, 23, 64, 128, 144, 255] {
                for size in [0, 1, 12, 20, 100, 1_500] {
                    world.inject(from, &vec![first; size]);
                }
            }
        }
    });
    assert_eq!(reason, None);
}

#[test]
fn a_client_that_does_not_read_its_signal_loses_it_and_nobody_waits() {
    let mut world = World::new();
    let (ada, ben) = (world.join("ada", true), world.join("ben", true));
    let unread = world.stall(ben);
    for n in 0..3_000 {
        world.broadcast_metadata(&n.to_string());
    }
    world.run(17.0);
    let seen = world.client(ada).sees("ben").expect("seen");
    assert_eq!(seen.state(), proto::participant_info::State::Disconnected);
    drop(unread);
    let request = world.client(ada).add_track("mic", MediaKind::Audio, &[]);
    world.say(ada, request);
}
