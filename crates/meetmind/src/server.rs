//! A running server: the data directory, the store, the use cases, the background work, the socket.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use meetmind_app::{App, BackgroundTasks, Entropy, Rooms, SystemClock};
use meetmind_store::Store;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::accept::{DRAIN_REQUESTS, Port, accept};
use crate::config::{Config, reachable};
use crate::data_dir::{self, Lock};
use crate::tls::Tls;

/// Agents say goodbye and events are written within this time.
const DRAIN_WORK: Duration = Duration::from_secs(5);
/// Rooms send everybody off within this time.
const DRAIN_ROOMS: Duration = Duration::from_secs(1);
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
    tls: Option<Arc<Tls>>,
    renewing: Option<JoinHandle<()>>,
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
        let listener = TcpListener::bind(config.listen).await.with_context(|| {
            format!(
                "{} cannot be listened on; another one: listen (--listen, MEETMIND_LISTEN)",
                config.listen
            )
        })?;
        let listen = listener.local_addr()?;
        let tls = match config.tls_files(data_dir) {
            Some(files) => {
                let url = config.public_url(listen);
                Some(Arc::new(Tls::open(
                    files,
                    &url,
                    config.http.max_connections,
                )?))
            }
            None => None,
        };
        let app = open_app(config, data_dir, store, listen).await?;
        lock.tell(&app.settings().public_url)?;
        let rooms = match config.media_driver(listen) {
            Some(driver) => Some(
                app.rooms_open(driver, config.livekit_pair())
                    .await
                    .context(
                        "sound and picture cannot be served; other ports: media.udp_port and media.tcp_port \
                         (MEETMIND_MEDIA_UDP_PORT, MEETMIND_MEDIA_TCP_PORT), turn.udp_port \
                         (MEETMIND_TURN_UDP_PORT)",
                    )?,
            ),
            None => {
                app.rooms_connect().await?;
                None
            }
        };
        let background = app.start();
        let router = meetmind_server::router(app.clone(), &config.server());
        let (stop, stopped) = watch::channel(false);
        let port = Port {
            listener,
            router,
            places: Arc::new(Semaphore::new(config.http.max_connections)),
            header_timeout: Duration::from_secs(config.http.header_timeout_s),
            tls: tls.clone(),
            relay: rooms.as_ref().and_then(Rooms::relay),
        };
        let accepting = tokio::spawn(accept(port, stopped));
        let renewing = tls.clone().map(|tls| tokio::spawn(tls.watch()));
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
            tls,
            renewing,
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
        format!("{}://{}", self.scheme(), reachable(self.listen))
    }

    /// What the port speaks: http or https.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// TLS on the port, if it is on.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.tls.as_deref()
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
        match self.rooms {
            Some(rooms) => rooms.stop(DRAIN_ROOMS).await,
            None => self.app.rooms_disconnect(),
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
        if let Some(renewing) = self.renewing {
            renewing.abort();
        }
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
