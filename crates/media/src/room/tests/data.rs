//! Data packets: to all, to some, reliably, again after a resume.

use livekit_protocol as proto;
use livekit_protocol::data_packet::Value;
use livekit_protocol::signal_request::Message as Request;

use super::kit::{Guest, World};
use crate::service::RoomCall;

fn packet(text: &str, sequence: u32, to: &[&str]) -> proto::DataPacket {
    proto::DataPacket {
        destination_identities: to.iter().map(|it| (*it).to_owned()).collect(),
        sequence,
        value: Some(Value::User(proto::UserPacket {
            payload: text.as_bytes().to_vec(),
            ..proto::UserPacket::default()
        })),
        ..proto::DataPacket::default()
    }
}

fn texts(world: &mut World, client: usize) -> Vec<String> {
    let data = &world.client(client).data;
    data.iter()
        .filter_map(|(_, packet)| match &packet.value {
            Some(Value::User(user)) => String::from_utf8(user.payload.clone()).ok(),
            _ => None,
        })
        .collect()
}

#[test]
fn a_packet_goes_to_all_others_or_to_those_it_names_and_says_who_sent_it() {
    for single in [true, false] {
        let mut world = World::new();
        let ada = world.join("ada", single);
        let (ben, cyd) = (world.join("ben", true), world.join("cyd", false));
        world
            .client(ada)
            .send_data("_reliable", &packet("all", 1, &[]));
        world
            .client(ada)
            .send_data("_reliable", &packet("some", 2, &["cyd"]));
        world
            .client(ada)
            .send_data("_lossy", &packet("lossy", 0, &[]));
        world.run(0.5);
        let mut heard = texts(&mut world, cyd);
        heard.sort();
        assert_eq!(heard, ["all", "lossy", "some"]);
        let mut heard = texts(&mut world, ben);
        heard.sort();
        assert_eq!(heard, ["all", "lossy"]);
        assert_eq!(texts(&mut world, ada), [""; 0]);
        let sid = world.client(ada).sid();
        for (label, packet) in &world.client(cyd).data {
            assert_eq!(packet.participant_identity, "ada");
            assert_eq!(packet.participant_sid, sid);
            assert!(packet.destination_identities.is_empty());
            let lossy = matches!(&packet.value, Some(Value::User(it)) if it.payload == b"lossy");
            assert_eq!(label, if lossy { "_lossy" } else { "_reliable" });
        }
    }
}

#[test]
fn who_may_not_send_data_sends_none_and_a_false_name_is_replaced() {
    let mut world = World::new();
    let ada = world.join("ada", true);
    let mute = Guest::with("mute", true, |grant| grant.can_publish_data = Some(false));
    let mute = world.enter(mute).expect("let in");
    let ben = world.join("ben", true);
    world
        .client(mute)
        .send_data("_reliable", &packet("no", 1, &[]));
    let mut forged = packet("forged", 1, &[]);
    forged.participant_identity = "ben".to_owned();
    world.client(ada).send_data("_reliable", &forged);
    world.run(0.5);
    assert_eq!(texts(&mut world, ben), ["forged"]);
    assert_eq!(world.client(ben).data[0].1.participant_identity, "ada");
}

#[test]
fn reliable_packets_all_arrive_in_order_over_a_line_that_loses() {
    let mut world = World::new();
    let (ada, ben) = (world.join("ada", true), world.join("ben", false));
    world.client(ben).down.loss = 0.1;
    world.client(ada).up.loss = 0.1;
    let sent: Vec<String> = (1..=100).map(|n| format!("{n}")).collect();
    for (n, text) in sent.iter().enumerate() {
        let packet = packet(text, n as u32 + 1, &[]);
        world.client(ada).send_data("_reliable", &packet);
        world.run(0.02);
    }
    world.run(20.0);
    assert_eq!(texts(&mut world, ben), sent);
}

#[test]
fn after_a_resume_what_was_not_received_comes_again() {
    let mut world = World::new();
    let (ada, ben) = (world.join("ada", true), world.join("ben", true));
    for n in 1..=5 {
        let packet = packet(&n.to_string(), n, &[]);
        world.client(ada).send_data("_reliable", &packet);
    }
    world.run(0.5);
    assert_eq!(texts(&mut world, ben).len(), 5);
    world.cut(ben);
    world.resume(ben);
    let publisher_sid = world.client(ada).sid();
    world.client(ben).data.clear();
    let state = proto::SyncState {
        datachannel_receive_states: vec![proto::DataChannelReceiveState {
            publisher_sid,
            last_seq: 3,
        }],
        ..proto::SyncState::default()
    };
    world.say(ben, Request::SyncState(state));
    assert_eq!(texts(&mut world, ben), ["4", "5"]);
}

#[test]
fn the_server_sends_data_in_its_own_name() {
    let mut world = World::new();
    let (ada, ben) = (world.join("ada", true), world.join("ben", false));
    let request = proto::SendDataRequest {
        room: "hall".to_owned(),
        data: b"hello".to_vec(),
        destination_identities: vec!["ben".to_owned()],
        ..proto::SendDataRequest::default()
    };
    world.call(RoomCall::SendData(request)).expect("sent");
    world.run(0.3);
    assert_eq!(texts(&mut world, ben), ["hello"]);
    assert_eq!(texts(&mut world, ada), [""; 0]);
}
