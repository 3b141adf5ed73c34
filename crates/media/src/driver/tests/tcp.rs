use std::io::{Read, Write};
use std::net::TcpStream;

use super::super::TcpLimits;
use super::super::tcp::write_frame;
use super::*;

/// A TCP peer, without a check yet.
fn connect(driver: &Driver<Ask>) -> TcpStream {
    let stream = TcpStream::connect(address(driver, Protocol::Tcp)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn send(stream: &mut TcpStream, packet: &[u8]) {
    let mut frame = Vec::new();
    assert!(write_frame(packet, &mut frame));
    stream.write_all(&frame).unwrap();
}

fn receive(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut packet = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut packet).unwrap();
    packet
}

/// Registers a peer and makes sure that it is known: UDP asks again, TCP has one try.
fn register(driver: &Driver<Ask>, shard: usize, ufrag: &'static str, peer: u64) {
    ask(driver, shard, Ask::Register(ufrag, peer));
    Client::joined(address(driver, Protocol::Udp), ufrag);
}

fn joined(driver: &Driver<Ask>, ufrag: &str) -> TcpStream {
    let mut stream = connect(driver);
    let request = check(ufrag, b"transaction0");
    send(&mut stream, &request);
    assert_eq!(receive(&mut stream), request);
    stream
}

fn is_closed(stream: &mut TcpStream) -> bool {
    // A reset counts: the server may close with bytes unread.
    !matches!(stream.read(&mut [0; 16]), Ok(n) if n > 0)
}

#[test]
fn frames_in_frames_out() {
    let driver = start(&config(2));
    register(&driver, 1, "frag", 7);
    let mut stream = joined(&driver, "frag");
    for size in [1, 100, 1200, 2048] {
        let packet = vec![0x80; size];
        send(&mut stream, &packet);
        assert_eq!(receive(&mut stream), packet);
    }
    assert_eq!(driver.shards()[1].stats().tcp_connections, 1);
    driver.stop(PATIENCE).unwrap();
}

#[test]
fn a_frame_may_come_byte_by_byte_and_many_at_once() {
    let driver = start(&config(1));
    register(&driver, 0, "frag", 7);
    let mut stream = connect(&driver);
    stream.set_nodelay(true).unwrap();
    let mut bytes = Vec::new();
    write_frame(&check("frag", b"transaction0"), &mut bytes);
    for byte in &bytes {
        stream.write_all(&[*byte]).unwrap();
    }
    assert_eq!(receive(&mut stream), check("frag", b"transaction0"));
    let mut many = Vec::new();
    for n in 0..50 {
        write_frame(&[0x80, n], &mut many);
    }
    stream.write_all(&many).unwrap();
    for n in 0..50 {
        assert_eq!(receive(&mut stream), [0x80, n]);
    }
    driver.stop(PATIENCE).unwrap();
}

#[test]
fn a_connection_must_begin_with_a_check_for_a_known_peer() {
    let driver = start(&config(1));
    register(&driver, 0, "frag", 7);
    for first in [
        &check("nobody", b"transaction0")[..],
        b"\x80rtp",
        b"GET / HTTP/1.1\r\n\r\n",
        &[0; 100],
    ] {
        let mut stream = connect(&driver);
        send(&mut stream, first);
        assert!(is_closed(&mut stream), "{first:?}");
    }
    let mut raw = connect(&driver);
    raw.write_all(b"\xff\xfftoo long a frame").unwrap();
    assert!(is_closed(&mut raw));
    joined(&driver, "frag");
    driver.stop(PATIENCE).unwrap();
}

#[test]
fn a_silent_and_an_idle_connection_are_closed() {
    let short = Duration::from_millis(50);
    let tcp = TcpLimits {
        first_frame: short,
        idle: short,
        ..TcpLimits::default()
    };
    let driver = start(&DriverConfig { tcp, ..config(1) });
    register(&driver, 0, "frag", 7);
    assert!(is_closed(&mut connect(&driver)));
    assert!(is_closed(&mut joined(&driver, "frag")));
    until("it is forgotten", || {
        driver.shards()[0].stats().tcp_connections == 0
    });
    driver.stop(PATIENCE).unwrap();
}

#[test]
fn an_oversized_frame_closes_the_connection() {
    let driver = start(&config(1));
    register(&driver, 0, "frag", 7);
    let mut stream = joined(&driver, "frag");
    stream.write_all(&[0x08, 0x01, 0x80]).unwrap();
    assert!(is_closed(&mut stream));
    driver.stop(PATIENCE).unwrap();
}

#[test]
fn a_slow_reader_loses_packets_and_nobody_else_does() {
    let tcp = TcpLimits {
        queue_bytes: 20_000,
        ..TcpLimits::default()
    };
    let driver = start(&DriverConfig { tcp, ..config(1) });
    register(&driver, 0, "slow", 7);
    let mut slow = joined(&driver, "slow");
    until("its queue is full", || {
        let _sent = driver.shards()[0].send(Ask::Flood(7, 20, 1200));
        driver.shards()[0].stats().dropped.tcp_full > 100
    });
    register(&driver, 0, "fast", 8);
    let mut fast = joined(&driver, "fast");
    send(&mut fast, b"\x80prompt");
    assert_eq!(receive(&mut fast), b"\x80prompt");
    // What arrives is whole.
    for _ in 0..100 {
        assert_eq!(receive(&mut slow).len(), 1200);
    }
    drop(slow);
    driver.stop(PATIENCE).unwrap();
}

#[test]
fn a_reader_that_stands_still_is_cut_off() {
    let tcp = TcpLimits {
        stalled_write: Duration::from_millis(50),
        ..TcpLimits::default()
    };
    let driver = start(&DriverConfig { tcp, ..config(1) });
    register(&driver, 0, "slow", 7);
    let _slow = joined(&driver, "slow");
    until("it is cut off", || {
        let _sent = driver.shards()[0].send(Ask::Flood(7, 20, 1200));
        driver.shards()[0].stats().tcp_connections == 0
    });
    driver.stop(PATIENCE).unwrap();
}

#[test]
fn one_address_gets_its_share_of_connections_and_no_more() {
    let tcp = TcpLimits {
        per_address: 2,
        ..TcpLimits::default()
    };
    let driver = start(&DriverConfig { tcp, ..config(1) });
    register(&driver, 0, "frag", 7);
    let (first, _second) = (joined(&driver, "frag"), joined(&driver, "frag"));
    assert!(is_closed(&mut connect(&driver)));
    drop(first);
    until("there is room again", || {
        let mut third = connect(&driver);
        third.write_all(&[0]).is_ok() && {
            third
                .set_read_timeout(Some(Duration::from_millis(20)))
                .unwrap();
            matches!(third.read(&mut [0]), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock)
        }
    });
    driver.stop(PATIENCE).unwrap();
}

#[test]
fn a_forgotten_peer_is_hung_up_after_its_last_packets() {
    let driver = start(&config(1));
    register(&driver, 0, "frag", 7);
    let mut stream = joined(&driver, "frag");
    ask(&driver, 0, Ask::Flood(7, 30, 1000));
    ask(&driver, 0, Ask::Forget(7));
    for _ in 0..30 {
        assert_eq!(receive(&mut stream).len(), 1000);
    }
    assert!(is_closed(&mut stream));
    driver.stop(PATIENCE).unwrap();
}

#[test]
fn many_connections_come_and_go() {
    let tcp = TcpLimits {
        per_address: 1000,
        ..TcpLimits::default()
    };
    let driver = start(&DriverConfig { tcp, ..config(2) });
    let count = 150;
    for n in 0..count {
        ask(
            &driver,
            n % 2,
            Ask::RegisterNamed(format!("peer{n}"), n as u64),
        );
    }
    for n in [count - 2, count - 1] {
        Client::joined(address(&driver, Protocol::Udp), &format!("peer{n}"));
    }
    let mut streams: Vec<_> = (0..count)
        .map(|n| joined(&driver, &format!("peer{n}")))
        .collect();
    let connections = || -> u64 {
        driver
            .shards()
            .iter()
            .map(|s| s.stats().tcp_connections)
            .sum()
    };
    assert_eq!(connections(), count as u64);
    for stream in &mut streams {
        send(stream, b"\x80hello");
    }
    for stream in &mut streams {
        assert_eq!(receive(stream), b"\x80hello");
    }
    drop(streams);
    until("all are gone", || connections() == 0);
    driver.stop(PATIENCE).unwrap();
}

#[test]
fn a_stop_writes_out_what_was_asked_before() {
    let driver = start(&config(1));
    register(&driver, 0, "frag", 7);
    let mut stream = joined(&driver, "frag");
    ask(&driver, 0, Ask::Flood(7, 100, 1000));
    driver.stop(PATIENCE).unwrap();
    for _ in 0..100 {
        assert_eq!(receive(&mut stream).len(), 1000);
    }
}
