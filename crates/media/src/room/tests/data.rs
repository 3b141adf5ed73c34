//! Data packets: to all, to some, reliably, again after a resume.

use livekit_protocol as proto;
use livekit_protocol::data_packet::Value;
use livekit_protocol::signal_request::Message as Request;

use super::kit::{Guest, World};

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
