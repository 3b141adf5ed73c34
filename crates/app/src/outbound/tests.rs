//! The rule against forged targets.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn settings(allow_private: bool) -> OutboundSettings {
    OutboundSettings {
        allow_private,
        timeout: Duration::from_secs(5),
    }
}

fn naming(allow_private: bool, addresses: &'static [&'static str]) -> Client {
    let lookup: Arc<Lookup> = Arc::new(move |_| {
        let found = addresses
            .iter()
            .map(|text| SocketAddr::new(text.parse().expect("an address"), 0))
            .collect();
        Box::pin(async move { Ok(found) })
    });
    Client::with_lookup(&settings(allow_private), lookup)
}

/// A server that gives the same answer to everybody, and counts.
async fn answering(answer: &'static [u8]) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                let _ = socket.read(&mut buffer).await;
                let _ = socket.write_all(answer).await;
                let _ = socket.shutdown().await;
            });
        }
    });
    (address, calls)
}

#[test]
fn every_class_of_inner_address_is_refused() {
    let inner = [
        "127.0.0.1",
        "127.255.255.254",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.127.255.255",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ];
    for text in inner {
        assert!(
            !is_allowed(text.parse().expect("an address"), false),
            "{text}"
        );
    }
    for text in [
        "8.8.8.8",
        "1.1.1.1",
        "172.32.0.1",
        "172.15.0.1",
        "100.63.0.1",
        "100.128.0.1",
        "192.167.0.1",
        "198.20.0.1",
        "223.255.255.254",
        "2606:4700::1111",
        "2001:4860:4860::8888",
        "2a00::1",
    ] {
        assert!(
            is_allowed(text.parse().expect("an address"), false),
            "{text}"
        );
    }
}

#[test]
fn allowing_private_addresses_does_not_open_metadata_nor_nothing() {
    for text in [
        "127.0.0.1",
        "10.0.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.1.1",
        "::1",
        "fc00::1",
        "fe80::1",
        "::ffff:127.0.0.1",
    ] {
        assert!(
            is_allowed(text.parse().expect("an address"), true),
            "{text}"
        );
    }
    for text in [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "168.63.129.16",
        "100.100.100.200",
        "fd00:ec2::254",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
    ] {
        assert!(
            !is_allowed(text.parse().expect("an address"), true),
            "{text}"
        );
    }
}

#[test]
fn odd_forms_of_addresses_are_seen_through() {
    let client = naming(false, &[]);
    let refused = [
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://017700000001/",
        "http://127.1/",
        "http://[::1]/",
        "http://[::ffff:7f00:1]/",
        "http://[0:0:0:0:0:ffff:127.0.0.1]/",
        "http://0/",
        "http://169.254.169.254/latest/meta-data",
        "http://１２７.0.0.1/",
        "http://127.0.0.1./",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "http://user@example.com/",
        "http://user:word@example.com/",
        "http://",
        "example.com",
        "",
        "http://exa mple.com/",
        "javascript:alert(1)",
    ];
    for text in refused {
        assert_eq!(
            client
                .url("url", text)
                .map(|url| url.to_string())
                .map_err(|e| e.code),
            Err(Code::ValidationFailed),
            "{text}"
        );
    }
    assert!(
        client
            .url("url", &format!("http://example.com/{}", "a".repeat(2048)))
            .is_err()
    );
    for text in [
        "https://example.com/hook?x=1",
        "http://example.com:8080/",
        "https://8.8.8.8/",
    ] {
        assert!(client.url("url", text).is_ok(), "{text}");
    }
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_called() {
    let (address, calls) = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let client = naming(false, &["127.0.0.1"]);
    let url = format!("http://rebinding.example:{}/", address.port());
    let error = client
        .post(&url, &[], String::new())
        .await
        .expect_err("a refusal");
    assert_eq!(error.code, Code::ProviderFailed);
    assert!(error.message.contains("may not be called"), "{error}");
    assert_eq!(calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_that_changes_its_address_is_checked_at_each_connection() {
    let (address, calls) = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    // First a documentation address that may not be called either, then the inner one.
    let lookup: Arc<Lookup> = Arc::new(move |_| {
        let turn = counter.fetch_add(1, Ordering::SeqCst);
        let text = if turn == 0 {
            "203.0.113.9"
        } else {
            "127.0.0.1"
        };
        let found: io::Result<Vec<SocketAddr>> =
            Ok(vec![SocketAddr::new(text.parse().expect("an address"), 0)]);
        Box::pin(async move { found })
    });
    let client = Client::with_lookup(&settings(false), lookup);
    let url = format!("http://rebinding.example:{}/", address.port());
    for _ in 0..3 {
        assert!(client.post(&url, &[], String::new()).await.is_err());
    }
    assert_eq!(
        (asked.load(Ordering::SeqCst), calls.load(Ordering::SeqCst)),
        (3, 0)
    );
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let (inner, inner_calls) = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let answer =
        format!("HTTP/1.1 302 Found\r\nlocation: http://{inner}/\r\ncontent-length: 0\r\n\r\n");
    let (address, _) = answering(answer.leak().as_bytes()).await;
    let client = naming(true, &["127.0.0.1"]);
    let answer = client
        .post(
            &format!("http://named.example:{}/", address.port()),
            &[],
            String::new(),
        )
        .await
        .expect("an answer");
    assert_eq!(
        (answer.status, inner_calls.load(Ordering::SeqCst)),
        (302, 0)
    );
}

#[tokio::test]
async fn an_endless_answer_is_cut() {
    let body = format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}",
        "x".repeat(1_000_000)
    );
    let (address, _) = answering(body.leak().as_bytes()).await;
    let client = naming(true, &[]);
    let answer = client
        .post(&format!("http://{address}/"), &[], String::new())
        .await
        .expect("an answer");
    assert_eq!((answer.status, answer.body.len()), (200, ANSWER_MAX));
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let lookup: Arc<Lookup> = Arc::new(|_| Box::pin(async { Ok(vec![]) }));
    let short = OutboundSettings {
        allow_private: true,
        timeout: Duration::from_millis(50),
    };
    let client = Client::with_lookup(&short, lookup);
    let error = client
        .post(&format!("http://{address}/"), &[], String::new())
        .await
        .expect_err("no answer");
    assert_eq!(error.message, "no answer in time");
}
