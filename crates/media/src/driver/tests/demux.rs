use super::super::demux::{Change, Demux, Owner, Verdict};
use super::*;

const RTP: &[u8] = b"\x80\x60";

fn path(port: u16) -> Path {
    let ip = Ipv4Addr::LOCALHOST;
    Path {
        protocol: Protocol::Udp,
        local: (ip, 1).into(),
        remote: (ip, port).into(),
    }
}

fn register(demux: &Demux, shard: usize, ufrag: &str, peer: u64) {
    demux.apply(
        shard,
        [Change::Register {
            ufrag: ufrag.into(),
            peer,
        }],
    );
}

fn accept(demux: &Demux, shard: usize, port: u16, peer: u64) {
    demux.apply(
        shard,
        [Change::Accept {
            path: path(port),
            peer,
        }],
    );
}

fn owner(demux: &Demux, port: u16, bytes: &[u8]) -> Option<(usize, u64)> {
    match demux.view().find(&path(port), bytes) {
        Verdict::Owner(Owner { shard, peer }) => Some((shard, peer)),
        _ => None,
    }
}

#[test]
fn a_path_moves_to_whoever_proved_it_last() {
    let demux = Demux::default();
    register(&demux, 0, "aaaa", 1);
    register(&demux, 1, "bbbb", 1);
    accept(&demux, 0, 100, 1);
    assert_eq!(owner(&demux, 100, RTP), Some((0, 1)));
    accept(&demux, 1, 100, 1);
    assert_eq!(owner(&demux, 100, RTP), Some((1, 1)));
    // The former owner's end takes nothing from the new one.
    demux.apply(0, [Change::Forget { peer: 1 }]);
    assert_eq!(owner(&demux, 100, RTP), Some((1, 1)));
    assert_eq!(owner(&demux, 100, &check("aaaa", b"transaction0")), None);
}

#[test]
fn a_peer_leaves_nothing_behind() {
    let demux = Demux::default();
    for round in 0..10 {
        register(&demux, 0, &format!("frag{round}"), 1);
        for port in 0..100 {
            accept(&demux, 0, 1000 * round + port, 1);
        }
    }
    let (peers, ufrags, paths) = demux.sizes();
    assert_eq!((peers, ufrags, paths), (1, 4, 16));
    demux.close(&path(9099));
    assert_eq!(demux.sizes().2, 15);
    demux.apply(0, [Change::Forget { peer: 1 }]);
    assert_eq!(demux.sizes(), (0, 0, 0));
    // Late news of a peer that is gone.
    accept(&demux, 0, 5, 1);
    assert_eq!(demux.sizes(), (0, 0, 0));
}

#[test]
fn a_fragment_stays_with_its_first_owner() {
    let demux = Demux::default();
    register(&demux, 0, "frag", 1);
    register(&demux, 0, "frag", 2);
    let request = check("frag", b"transaction0");
    assert_eq!(owner(&demux, 9, &request), Some((0, 1)));
    demux.apply(0, [Change::Forget { peer: 2 }]);
    assert_eq!(owner(&demux, 9, &request), Some((0, 1)));
}

#[test]
fn the_same_remote_address_over_tcp_is_another_path() {
    let demux = Demux::default();
    register(&demux, 0, "frag", 1);
    accept(&demux, 0, 100, 1);
    let tcp = Path {
        protocol: Protocol::Tcp,
        ..path(100)
    };
    assert_eq!(demux.view().find(&tcp, RTP), Verdict::UnknownPath);
}
