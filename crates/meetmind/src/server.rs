//! A running server: the data directory, the store, the use cases, the background work, the socket.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use meetmind_app::{App, BackgroundTasks, Entropy, Rooms, SystemClock};
use meetmind_server::Place;
use meetmind_store::Store;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::config::{Config, reachable};
use crate::data_dir::{self, Lock};

/// Agents say goodbye and events are written within this time.
const DRAIN_WORK: Duration = Duration::from_secs(5);
/// Rooms send everybody off within this time.
const DRAIN_ROOMS: Duration = Duration::from_secs(1);
/// Open requests end within this time after that; sockets are cut then.
const DRAIN_REQUESTS: Duration = Duration::from_secs(2);
/// Recordings are completed within this time.
const DRAIN_RECORDINGS: Duration = Duration::from_secs(2);
/// The folder of recordings in the data directory.
pub(crate) const RECORDINGS: &str = "recordings";
/// How often the metrics are folded together.
const UPKEEP: Duration = Duration::from_secs(5);

/// A server that takes requests.
#[derive(Debug)]
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// What is behind it.
    pub(crate) app: App,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    upkeep: JoinHandle<()>,
    background: BackgroundTasks,
    rooms: Option<Rooms>,
    _lock: Lock,
}

/// Opens the store of a data directory and brings its schema up to date.
pub(crate) async fn open_store(config: &Config, data_dir: &Path) -> Result<Store> {
    let settings = config.store(data_dir);
    if let Some(path) = sqlite_path(&settings.url) {
        // Made before SQLite makes it, so that it and its log belong to this user alone.
        data_dir::private_file(Path::new(path))
            .with_context(|| format!("the database {path} cannot be opened"))?;
    }
    let store = Store::open(&settings).await.with_context(|| {
        format!(
            "the database {} cannot be opened",
            crate::config::without_password(&settings.url)
        )
    })?;
    store.migrate(env!("CARGO_PKG_VERSION")).await?;
    Ok(store)
}

/// The file of a SQLite address.
pub(crate) fn sqlite_path(url: &str) -> Option<&str> {
    let path = url.strip_prefix("sqlite:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    Some(path.split('?').next().unwrap_or(path))
}

/// The use cases over an open store.
pub(crate) async fn open_app(
    config: &Config,
    data_dir: &Path,
    store: Store,
    listen: SocketAddr,
) -> Result<App> {
    let mut settings = config.app(listen);
    settings.recordings.directory = data_dir.join(RECORDINGS);
    App::new(store, settings, Box::new(SystemClock), Entropy::system())
        .await
        .map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            anyhow::anyhow!("{error}{}", cause.unwrap_or_default())
        })
}

impl Server {
    /// Starts to serve what the configuration means, on the data in `data_dir`.
    ///
    /// # Errors
    /// When the directory is in use, the database cannot be opened, or the port is taken.
    pub(crate) async fn start(config: &Config, data_dir: &Path) -> Result<Self> {
        let mut lock = data_dir::lock(data_dir)?;
        let store = open_store(config, data_dir).await?;
        let listener = TcpListener::bind(config.listen)
            .await
            .with_context(|| format!("{} cannot be listened on", config.listen))?;
        let listen = listener.local_addr()?;
        let app = open_app(config, data_dir, store, listen).await?;
        lock.tell(&app.settings().public_url)?;
        let rooms = match config.media_driver() {
            Some(driver) => Some(
                app.rooms_open(driver, config.livekit_pair())
                    .await
                    .context("sound and picture cannot be served")?,
            ),
            None => None,
        };
        let background = app.start();
        let router = meetmind_server::router(app.clone(), &config.server());
        let (stop, stopped) = watch::channel(false);
        let accepting = tokio::spawn(accept(
            listener,
            router,
            stopped,
            Arc::new(Semaphore::new(config.http.max_connections)),
            Duration::from_secs(config.http.header_timeout_s),
        ));
        let upkeep = tokio::spawn(async {
            let mut ticks = tokio::time::interval(UPKEEP);
            loop {
                ticks.tick().await;
                meetmind_server::metrics_upkeep();
            }
        });
        Ok(Self {
            listen,
            app,
            stop,
            accepting,
            upkeep,
            background,
            rooms,
            _lock: lock,
        })
    }

    /// Where sound and picture go, for the second line of output.
    pub(crate) fn media(&self, config: &Config) -> String {
        match &self.rooms {
            Some(rooms) => format!("media: {}", rooms.describe()),
            None => format!("media: {}", config.livekit.url),
        }
    }

    /// The address for a client on this machine.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", reachable(self.listen))
    }

    /// Says that it is not ready, lets agents and open requests end, and closes the store. Takes
    /// no longer than the two limits above and a moment for the store.
    pub(crate) async fn stop(self) {
        let started = Instant::now();
        self.app.drain_begin();
        tracing::info!("draining: not ready from now on");
        self.app.recordings_end(DRAIN_RECORDINGS).await;
        if !self.background.drain(DRAIN_WORK).await {
            tracing::warn!("some background work did not end in time");
        }
        if let Some(rooms) = self.rooms {
            rooms.stop(DRAIN_ROOMS).await;
        }
        let _ = self.stop.send(true);
        let ended = async {
            let _ = self.accepting.await;
            // Sockets are no requests any more: each says why it closes.
            self.app.streams_ended().await;
        };
        if tokio::time::timeout(DRAIN_REQUESTS + Duration::from_millis(500), ended)
            .await
            .is_err()
        {
            tracing::warn!("some requests did not end in time");
        }
        self.upkeep.abort();
        let close = self.app.store().close();
        if tokio::time::timeout(Duration::from_secs(1), close)
            .await
            .is_err()
        {
            // Nothing is lost: the next start reads the log.
            tracing::warn!("the database was still busy");
        }
        tracing::info!(after_ms = started.elapsed().as_millis() as u64, "drained");
    }
}

/// Takes connections until told to stop, then lets the open ones end.
async fn accept(
    listener: TcpListener,
    router: Router,
    mut stopped: watch::Receiver<bool>,
    places: Arc<Semaphore>,
    header_timeout: Duration,
) {
    // Each connection holds a sender; when the last is gone, all have ended.
    let (open, mut all_ended) = mpsc::channel::<()>(1);
    let mut http = http1::Builder::new();
    // A client that sends its head by the letter would hold a place for ever.
    http.timer(TokioTimer::new())
        .header_read_timeout(header_timeout);
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            _ = stopped.changed() => break,
        };
        let Ok(place) = place.map(Arc::new) else {
            break;
        };
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    // Out of file descriptors, most likely: the next try would fail at once.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            _ = stopped.changed() => break,
        };
        // Answers are small and wanted at once.
        let _ = stream.set_nodelay(true);
        let connection = http
            .serve_connection(
                TokioIo::new(stream),
                service(router.clone(), peer, Place::new(place.clone())),
            )
            .with_upgrades();
        let mut stopped = stopped.clone();
        let open = open.clone();
        tokio::spawn(async move {
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                _ = stopped.changed() => {
                    // The answer under way is finished, and no further request taken.
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection broke");
            }
            drop((place, open));
        });
    }
    drop((listener, open));
    let _ = tokio::time::timeout(DRAIN_REQUESTS, all_ended.recv()).await;
}

/// The router as hyper wants it, with the address of the peer and the place of its connection in
/// every request.
fn service(
    router: Router,
    peer: SocketAddr,
    place: Place,
) -> impl hyper::service::Service<
    hyper::Request<Incoming>,
    Response = axum::response::Response,
    Error = std::convert::Infallible,
    Future: Send,
> + Send {
    hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(place.clone());
        router.clone().oneshot(request)
    })
}

/// Whether nobody listens on the address.
pub(crate) async fn is_free(listen: SocketAddr) -> bool {
    TcpListener::bind(listen).await.is_ok()
}

/// Whether somebody answers at host and port.
pub(crate) async fn answers(host: &str, port: u16) -> std::io::Result<()> {
    let connect = TcpStream::connect((host, port));
    match tokio::time::timeout(Duration::from_secs(5), connect).await {
        Ok(connected) => connected.map(drop),
        Err(_) => Err(std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            "no answer within 5 s",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meetmind_app::testing::TestApp;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn an_open_websocket_holds_its_place_among_the_connections() {
        let test = TestApp::new().await;
        let router =
            meetmind_server::router(test.app.clone(), &meetmind_server::Settings::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        // One for the socket; the other is taken ahead, for the next connection.
        let places = Arc::new(Semaphore::new(2));
        let (stop, stopped) = watch::channel(false);
        let timeout = Duration::from_secs(10);
        let accepting = tokio::spawn(accept(listener, router, stopped, places.clone(), timeout));

        let mut socket = TcpStream::connect(address).await.expect("a connection");
        let head = format!(
            "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).await.expect("a request");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(socket.read_u8().await.expect("an answer"));
        }
        assert!(answer.starts_with(b"HTTP/1.1 101"));
        // Ping and pong: HTTP is over for this connection, and the socket is served.
        let ping = [0x89, 0x80, 0, 0, 0, 0];
        socket.write_all(&ping).await.expect("a ping");
        let mut pong = [0; 2];
        socket.read_exact(&mut pong).await.expect("a pong");
        assert_eq!(pong, [0x8a, 0]);
        assert_eq!(places.available_permits(), 0);
        drop(socket);
        drop(places.acquire().await.expect("the place is free again"));
        stop.send(true).expect("the listener");
        accepting.await.expect("an end");
    }
}
