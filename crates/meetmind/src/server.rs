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
use meetmind_app::{App, BackgroundTasks, Entropy, SystemClock};
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
/// Open requests end within this time after that; sockets are cut then.
const DRAIN_REQUESTS: Duration = Duration::from_secs(2);
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
pub(crate) async fn open_app(config: &Config, store: Store, listen: SocketAddr) -> Result<App> {
    let settings = config.app(listen);
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
        let app = open_app(config, store, listen).await?;
        lock.tell(&app.settings().public_url)?;
        let background = app.start();
        let router = meetmind_server::router(app.clone(), &config.server());
        let (stop, stopped) = watch::channel(false);
        let accepting = tokio::spawn(accept(
            listener,
            router,
            stopped,
            config.http.max_connections,
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
            _lock: lock,
        })
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
        if !self.background.drain(DRAIN_WORK).await {
            tracing::warn!("some background work did not end in time");
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
    max_connections: usize,
    header_timeout: Duration,
) {
    let places = Arc::new(Semaphore::new(max_connections));
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
        let Ok(place) = place else { break };
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
            .serve_connection(TokioIo::new(stream), service(router.clone(), peer))
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

/// The router as hyper wants it, with the address of the peer in every request.
fn service(
    router: Router,
    peer: SocketAddr,
) -> impl hyper::service::Service<
    hyper::Request<Incoming>,
    Response = axum::response::Response,
    Error = std::convert::Infallible,
    Future: Send,
> + Send {
    hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
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
