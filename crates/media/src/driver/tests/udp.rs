use std::net::Ipv6Addr;

use super::super::demux::Path;
use super::super::udp::{self, PortableReceiver, PortableSender, Tally};
use super::super::{CommandError, PortSharing, StillBusy};
use super::*;

#[test]
fn a_known_peer_gets_its_packets_back() {
    let driver = start(&config(1));
    ask(&driver, 0, Ask::Register("frag", 7));
    let client = Client::joined(address(&driver, Protocol::Udp), "frag");
    client.echo(b"\x80rtp");
    client.echo(b"\x16dtls");
    // Packets are counted after they have left, so a client may be quicker than the count.
    let stats = || driver.shards()[0].stats();
    until("all packets are counted", || {
        stats().packets_in >= 3 && stats().packets_out >= 3 && stats().bytes_out > 9
    });
    assert_eq!(stats().dropped.unknown_path, 0);
    driver.stop(PATIENCE).unwrap();
}

#[test]
fn peers_reach_their_shard_through_every_socket_of_the_port() {
    let driver = start(&config(2));
    ask(&driver, 0, Ask::Register("left", 1));
    ask(&driver, 1, Ask::Register("right", 1));
    let server = address(&driver, Protocol::Udp);
    let clients: Vec<_> = (0..32)
        .map(|n| Client::joined(server, ["left", "right"][n % 2]))
        .collect();
    // A peer keeps sixteen paths, so all of these are still known.
    for client in &clients {
        client.echo(b"\x80to the shard of the room");
    }
    let passed: u64 = driver.shards().iter().map(|s| s.stats().passed_on).sum();
    assert!(
        passed > 0,
        "the kernel put every one of 32 peers to its own shard"
    );
    driver.stop(PATIENCE).unwrap();
}

#[test]
fn one_socket_serves_all_shards_where_the_kernel_does_not_spread() {
    let driver = start(&DriverConfig {
        sharing: PortSharing::Single,
        ..config(3)
    });
    ask(&driver, 2, Ask::Register("third", 1));
    let client = Client::joined(address(&driver, Protocol::Udp), "third");
    client.echo(b"\x80over the first shard's socket");
    let stats = |shard: usize| driver.shards()[shard].stats();
    until("what was passed on and sent is counted", || {
        stats(0).passed_on >= 2 && stats(2).packets_out >= 2
    });
    driver.stop(PATIENCE).unwrap();
}

#[test]
fn hostile_datagrams_are_counted_and_change_nothing() {
    let driver = start(&config(1));
    ask(&driver, 0, Ask::Register("frag", 7));
    let server = address(&driver, Protocol::Udp);
    let client = Client::joined(server, "frag");
    let stranger = Client::new(server);
    stranger.0.send(&check("nobody", b"transaction0")).unwrap();
    stranger.0.send(b"\x80rtp of nobody").unwrap();
    stranger.0.send(b"").unwrap();
    stranger.0.send(b"\xffwhat").unwrap();
    stranger
        .0
        .send(&check("frag", b"transaction0")[..30])
        .unwrap();
    stranger.0.send(&[0x80; 3000]).unwrap();
    until("all are counted", || {
        let d = driver.shards()[0].stats().dropped;
        (d.unknown_ufrag, d.unknown_path, d.malformed, d.oversized)
            == (d.unknown_ufrag.max(1), 1, 3, 1)
    });
    client.echo(b"\x80still here");
    driver.stop(PATIENCE).unwrap();
}

#[test]
fn a_new_address_counts_only_once_its_check_is_accepted() {
    let driver = start(&config(1));
    ask(&driver, 0, Ask::Register("frag", 7));
    let server = address(&driver, Protocol::Udp);
    let before = Client::joined(server, "frag");
    let after = Client::new(server);
    after.0.send(&check("frag", b"BADsaction00")).unwrap();
    after.0.send(b"\x80forged").unwrap();
    until("the forged packet is dropped", || {
        driver.shards()[0].stats().dropped.unknown_path == 1
    });
    before.echo(b"\x80not moved");
    let after = Client::joined(server, "frag");
    after.echo(b"\x80moved");
    driver.stop(PATIENCE).unwrap();
}

#[test]
fn a_forgotten_peer_is_a_stranger() {
    let driver = start(&config(1));
    ask(&driver, 0, Ask::Register("frag", 7));
    let client = Client::joined(address(&driver, Protocol::Udp), "frag");
    ask(&driver, 0, Ask::Forget(7));
    let dropped = || driver.shards()[0].stats().dropped;
    until("its path is unknown", || {
        client.0.send(b"\x80").unwrap();
        dropped().unknown_path > 0
    });
    let before = dropped().unknown_ufrag;
    client.0.send(&check("frag", b"transaction0")).unwrap();
    until("its fragment is unknown", || {
        dropped().unknown_ufrag > before
    });
    driver.stop(PATIENCE).unwrap();
}

#[test]
fn a_flood_arrives_whole_and_in_order() {
    let driver = start(&config(1));
    ask(&driver, 0, Ask::Register("frag", 7));
    let client = Client::joined(address(&driver, Protocol::Udp), "frag");
    ask(&driver, 0, Ask::Flood(7, 100, 200));
    for number in 0..100_u32 {
        let packet = client.receive_now().unwrap();
        assert_eq!(
            (packet.len(), &packet[1..5]),
            (200, &number.to_be_bytes()[..])
        );
    }
    driver.stop(PATIENCE).unwrap();
}

#[test]
fn the_machine_is_called_when_its_time_has_come() {
    let driver = start(&config(1));
    ask(&driver, 0, Ask::Register("frag", 7));
    let client = Client::joined(address(&driver, Protocol::Udp), "frag");
    ask(&driver, 0, Ask::Alarm(Duration::from_millis(3)));
    assert_eq!(client.receive_now().as_deref(), Some(&b"\x80alarm"[..]));
    driver.stop(PATIENCE).unwrap();
}

#[test]
fn both_families_are_served() {
    let v6 = DriverConfig {
        listen: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        ..config(2)
    };
    if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return;
    }
    let driver = start(&v6);
    assert_eq!(driver.candidates().len(), 4);
    ask(&driver, 1, Ask::Register("frag", 7));
    for candidate in driver
        .candidates()
        .iter()
        .filter(|c| c.protocol == Protocol::Udp)
    {
        Client::joined(candidate.address, "frag").echo(b"\x80hello");
    }
    driver.stop(PATIENCE).unwrap();
}

#[test]
fn a_busy_driver_stops_in_time_and_takes_no_more_commands() {
    let driver = start(&config(2));
    ask(&driver, 0, Ask::Register("frag", 7));
    let client = Client::joined(address(&driver, Protocol::Udp), "frag");
    let (end, ended) = mpsc::channel::<()>();
    let flood = std::thread::spawn(move || {
        while ended.try_recv() == Err(mpsc::TryRecvError::Empty) {
            // Refused once the port is closed.
            let _sent = client.0.send(&[0x80; 1000]);
        }
    });
    for _ in 0..1000 {
        ask(&driver, 0, Ask::Flood(7, 10, 1000));
    }
    let handle = driver.shards()[0].clone();
    driver.stop(PATIENCE).unwrap();
    assert!(matches!(
        handle.send(Ask::Forget(7)),
        Err(CommandError::Stopped(_))
    ));
    drop(end);
    flood.join().unwrap();
}

#[test]
fn a_shard_that_does_not_come_back_is_named() {
    let driver = start(&config(2));
    let (release, held) = mpsc::channel();
    ask(&driver, 1, Ask::Hold(held));
    until("the shard holds", || {
        driver.shards()[1].stats().commands_queued == 0
    });
    assert_eq!(
        driver.stop(Duration::from_millis(50)),
        Err(StillBusy { shards: vec![1] })
    );
    drop(release);
}

#[test]
fn a_shard_that_panics_leaves_the_others_alone() {
    let driver = start(&config(2));
    ask(&driver, 1, Ask::Register("frag", 7));
    let client = Client::joined(address(&driver, Protocol::Udp), "frag");
    ask(&driver, 0, Ask::Panic);
    until("the shard is gone", || {
        matches!(
            driver.shards()[0].send(Ask::Forget(1)),
            Err(CommandError::Stopped(_))
        )
    });
    // The kernel may have given this peer to the dead shard's socket, which is closed by now or soon.
    drop(client);
    Client::joined(address(&driver, Protocol::Udp), "frag").echo(b"\x80alive");
    driver.stop(PATIENCE).unwrap();
}

#[test]
fn a_full_command_queue_says_so() {
    let driver = start(&DriverConfig {
        command_queue: 2,
        ..config(1)
    });
    let (release, held) = mpsc::channel();
    ask(&driver, 0, Ask::Hold(held));
    until("the shard holds", || {
        driver.shards()[0].stats().commands_queued == 0
    });
    ask(&driver, 0, Ask::Forget(1));
    ask(&driver, 0, Ask::Forget(1));
    assert!(matches!(
        driver.shards()[0].send(Ask::Forget(1)),
        Err(CommandError::Full(_))
    ));
    drop(release);
    driver.stop(PATIENCE).unwrap();
}

#[test]
fn an_idle_shard_sleeps() {
    let driver = start(&config(1));
    ask(&driver, 0, Ask::Register("frag", 7));
    let client = Client::joined(address(&driver, Protocol::Udp), "frag");
    let before = driver.shards()[0].stats().waits;
    for _ in 0..50 {
        client.echo(b"\x80one wake-up each");
    }
    let waits = driver.shards()[0].stats().waits - before;
    assert!(waits <= 110, "{waits} wake-ups for 50 packets");
    driver.stop(PATIENCE).unwrap();
}

#[test]
fn a_port_in_use_is_refused_although_it_could_be_shared() {
    let first = start(&config(2));
    let taken = address(&first, Protocol::Udp).port();
    let second = Driver::start(
        &DriverConfig {
            udp_port: taken,
            ..config(2)
        },
        |_, _| Echo::default(),
    );
    assert!(second.is_err_and(|e| e.to_string().contains("cannot listen")));
    first.stop(PATIENCE).unwrap();
}

/// Sends runs, single packets and an odd end through `send`; returns what arrives and the tally.
fn sent_through(
    send: impl FnOnce(&UdpSocket, &[u32], &Outbox, &mut Tally),
) -> (Vec<Vec<u8>>, Tally) {
    let (from, to) = (
        UdpSocket::bind("127.0.0.1:0").unwrap(),
        UdpSocket::bind("127.0.0.1:0").unwrap(),
    );
    from.set_nonblocking(true).unwrap();
    let path = Path {
        protocol: Protocol::Udp,
        local: from.local_addr().unwrap(),
        remote: to.local_addr().unwrap(),
    };
    let mut out = Outbox::new();
    for size in [300; 10]
        .into_iter()
        .chain([100, 50, 60, 70])
        .chain([200; 70])
        .chain([1])
    {
        let number = u8::try_from(out.len()).unwrap();
        out.send(path, &vec![number; size]);
    }
    let which: Vec<u32> = (0..u32::try_from(out.len()).unwrap()).collect();
    let mut tally = Tally::default();
    send(&from, &which, &out, &mut tally);
    to.set_read_timeout(Some(PATIENCE)).unwrap();
    let client = Client(to);
    (
        which
            .iter()
            .map(|_| client.receive_now().unwrap())
            .collect(),
        tally,
    )
}

#[test]
fn batches_and_segments_carry_the_same_as_single_sends() {
    let batched = sent_through(|socket, which, out, tally| {
        let (queued, bytes) = out.queued();
        udp::Sender::new().send(socket, which, queued, bytes, tally);
    });
    let single = sent_through(|socket, which, out, tally| {
        let (queued, bytes) = out.queued();
        PortableSender::new().send(socket, which, queued, bytes, tally);
    });
    assert_eq!(batched.0, single.0);
    assert_eq!(
        (batched.1.packets, batched.1.bytes),
        (single.1.packets, single.1.bytes)
    );
    assert_eq!(single.1.calls, single.1.packets);
    #[cfg(target_os = "linux")]
    assert!(batched.1.calls < 10, "{:?}", batched.1);
}

#[test]
fn both_receivers_see_sizes_senders_and_cuts() {
    let mut portable = PortableReceiver::new();
    let mut batched = udp::Receiver::new();
    for which in 0..2 {
        let (from, to) = (
            UdpSocket::bind("127.0.0.1:0").unwrap(),
            UdpSocket::bind("127.0.0.1:0").unwrap(),
        );
        to.set_nonblocking(true).unwrap();
        for size in [0, 1, 1200, udp::DATAGRAM_BYTES, udp::DATAGRAM_BYTES + 1] {
            from.send_to(&vec![9; size], to.local_addr().unwrap())
                .unwrap();
        }
        let seen: Vec<_> = if which == 0 {
            assert_eq!(portable.receive(&to).unwrap(), 5);
            portable
                .batch()
                .map(|(r, bytes)| (r.remote, r.truncated, bytes.len()))
                .collect()
        } else {
            assert_eq!(batched.receive(&to).unwrap(), 5);
            assert_eq!(batched.datagram(2), [9; 1200]);
            batched
                .batch()
                .map(|(r, bytes)| (r.remote, r.truncated, bytes.len()))
                .collect()
        };
        let remote = from.local_addr().unwrap();
        let full = udp::DATAGRAM_BYTES;
        let expected = [
            (0, false),
            (1, false),
            (1200, false),
            (full, false),
            (full, true),
        ];
        assert_eq!(
            seen,
            expected.map(|(len, truncated)| (remote, truncated, len))
        );
        assert!(portable.receive(&to).is_err());
    }
}
