//! A port with TLS, as its clients see it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use meetmind_app::testing::TestApp;
use meetmind_app::{Clock as _, SystemClock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::*;
use crate::accept::{Port, accept};
use crate::dial;

/// Writes a certificate for this machine; gives its fingerprint.
fn write_certificate(files: &TlsFiles) -> String {
    let names = BTreeSet::from(["localhost", "127.0.0.1"].map(str::to_owned));
    let (cert, key) = self_signed::make(names).expect("a certificate");
    self_signed::write(&files.key, &self_signed::pem("PRIVATE KEY", &key)).expect("a file");
    self_signed::write(&files.cert, &self_signed::pem("CERTIFICATE", &cert)).expect("a file");
    let der = CertificateDer::from(cert);
    Certificate::read(&der).expect("a certificate").fingerprint
}

fn files(folder: &Path) -> TlsFiles {
    TlsFiles {
        cert: folder.join("cert.pem"),
        key: folder.join("key.pem"),
        self_signed: false,
    }
}

struct Serving {
    address: SocketAddr,
    tls: Arc<Tls>,
    files: TlsFiles,
    stop: watch::Sender<bool>,
    accepting: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
    _app: TestApp,
}

impl Serving {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let files = files(folder.path());
        write_certificate(&files);
        let tls = Tls::open(files.clone(), "https://meet.example", 100).expect("TLS");
        let tls = Arc::new(tls);
        let app = TestApp::new().await;
        let settings = meetmind_server::Settings::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = watch::channel(false);
        let port = Port {
            listener,
            router: meetmind_server::router(app.app.clone(), &settings),
            places: Arc::new(Semaphore::new(100)),
            header_timeout: Duration::from_secs(10),
            tls: Some(tls.clone()),
            relay: None,
        };
        let accepting = tokio::spawn(accept(port, stopped));
        Self {
            address,
            tls,
            files,
            stop,
            accepting,
            _folder: folder,
            _app: app,
        }
    }

    async fn secure(&self) -> Box<dyn dial::Wire> {
        let stream = TcpStream::connect(self.address).await.expect("a port");
        dial::tls(stream, "127.0.0.1", Some(&self.files.cert))
            .await
            .expect("TLS")
    }

    /// What a plain request gets.
    async fn plain(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("a port");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    }
}

/// One request on an open connection; gives the head of the answer.
async fn get(wire: &mut Box<dyn dial::Wire>, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    wire.write_all(request.as_bytes()).await.expect("a request");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(wire.read_u8().await.expect("an answer"));
    }
    let head = String::from_utf8(head).expect("text");
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    wire.read_exact(&mut body).await.expect("a body");
    head
}

#[tokio::test]
async fn a_new_certificate_is_taken_while_a_connection_stays_open() {
    let serving = Serving::start().await;
    let mut before = serving.secure().await;
    assert!(get(&mut before, "/livez").await.starts_with("HTTP/1.1 200"));
    let fingerprint = write_certificate(&serving.files);
    let taken = serving.tls.reload().expect("a good pair");
    assert_eq!(taken.fingerprint, fingerprint);
    // The client trusts the file, which is the new one by now: only the new certificate passes.
    let mut after = serving.secure().await;
    assert!(get(&mut after, "/livez").await.starts_with("HTTP/1.1 200"));
    assert!(get(&mut before, "/livez").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn half_replaced_files_change_nothing() {
    let serving = Serving::start().await;
    let in_use = serving.tls.certificate().expect("one").fingerprint;
    let other = tempfile::tempdir().expect("a folder");
    let other = files(other.path());
    write_certificate(&other);
    let old_key = std::fs::read(&serving.files.key).expect("a key");
    std::fs::copy(&other.key, &serving.files.key).expect("a copy");
    let error = serving.tls.reload().expect_err("two that do not fit");
    assert!(error.to_string().contains("another certificate"), "{error}");
    assert_eq!(serving.tls.certificate().expect("one").fingerprint, in_use);
    std::fs::write(&serving.files.key, old_key).expect("a file");
    let mut wire = serving.secure().await;
    assert!(get(&mut wire, "/livez").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_websocket_opens_over_tls() {
    let serving = Serving::start().await;
    let wire = serving.secure().await;
    let url = format!("wss://{}/ws", serving.address)
        .parse()
        .expect("a URL");
    dial::upgrade(wire, &url).await.expect("a WebSocket");
}

#[tokio::test]
async fn plain_requests_are_sent_to_https_or_told() {
    let serving = Serving::start().await;
    let page = serving
        .plain("GET /app/join/x?y=1 HTTP/1.1\r\nHost: meet.lan:8000\r\n\r\n")
        .await;
    assert!(page.starts_with("HTTP/1.1 307"), "{page}");
    assert!(
        page.contains("location: https://meet.lan:8000/app/join/x?y=1"),
        "{page}"
    );
    // No host, or one that smuggles a name in: the address that we know.
    let page = serving.plain("GET / HTTP/1.0\r\n\r\n").await;
    assert!(page.contains("location: https://meet.example/"), "{page}");
    let page = serving
        .plain("GET / HTTP/1.1\r\nHost: good@evil.example\r\n\r\n")
        .await;
    assert!(!page.contains("evil"), "{page}");
    for request in [
        "POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "GET /api/meetings HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\n\r\n",
        "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ] {
        let told = serving.plain(request).await;
        assert!(told.starts_with("HTTP/1.1 400"), "{told}");
        assert!(
            told.contains("speaks HTTPS") && !told.contains("location:"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn silent_connections_do_not_hold_up_the_end() {
    let serving = Serving::start().await;
    let _silent = TcpStream::connect(serving.address).await.expect("a port");
    let mut open = serving.secure().await;
    assert!(get(&mut open, "/livez").await.starts_with("HTTP/1.1 200"));
    serving.stop.send(true).expect("the port");
    let ended = tokio::time::timeout(Duration::from_secs(5), serving.accepting).await;
    ended.expect("it ends").expect("without a panic");
    // The open one is closed in order, not cut off.
    let mut rest = Vec::new();
    open.read_to_end(&mut rest).await.expect("a clean end");
}

#[test]
fn files_that_do_not_fit_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = files(folder.path());
    let error = |files: &TlsFiles| {
        let opened = Tls::open(files.clone(), "https://a.example", 10);
        format!("{:#}", opened.expect_err("no TLS"))
    };
    assert!(error(&files).contains("tls.cert: ") && error(&files).contains("cert.pem"));
    write_certificate(&files);
    std::fs::write(&files.key, "no key").expect("a file");
    assert!(error(&files).contains("tls.key: "), "{}", error(&files));
}

#[test]
fn the_self_signed_certificate_is_made_once_for_this_machine() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = TlsFiles {
        self_signed: true,
        ..files(folder.path())
    };
    let open = || Tls::open(files.clone(), "https://meet.lan:8000", 10).expect("TLS");
    let first = open().certificate().expect("one");
    assert!(first.self_signed);
    for host in ["localhost", "127.0.0.1", "[::1]", "meet.lan"] {
        assert!(first.is_for(host), "{host}");
    }
    assert!(!first.is_for("elsewhere.example"));
    let days = first.days_left(SystemClock.now());
    assert!((800..=825).contains(&days), "{days}");
    assert_eq!(
        open().certificate().expect("one").fingerprint,
        first.fingerprint
    );
    for path in [&files.cert, &files.key] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(path)
            .expect("a file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
