//! The listening port: connections, with TLS or without, until the end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use meetmind_media::driver::RelayHandle;
use meetmind_server::Place;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;
use tower::ServiceExt as _;

use crate::streams::{Counted, Rewound};
use crate::tls::{Arrival, Tls};

/// Open requests end within this time after the stop; sockets are cut then.
pub(crate) const DRAIN_REQUESTS: Duration = Duration::from_secs(2);

/// What the port needs.
pub(crate) struct Port {
    pub(crate) listener: TcpListener,
    pub(crate) router: Router,
    /// One per connection, half-open ones and WebSockets included.
    pub(crate) places: Arc<Semaphore>,
    /// How long a client may take to send the head of a request.
    pub(crate) header_timeout: Duration,
    pub(crate) tls: Option<Arc<Tls>>,
    /// Takes the connections that speak TURN.
    pub(crate) relay: Option<RelayHandle>,
}

/// Takes connections until told to stop, then lets the open ones end.
pub(crate) async fn accept(port: Port, mut stopped: watch::Receiver<bool>) {
    // Each connection holds a sender; when the last is gone, all have ended.
    let (open, mut all_ended) = mpsc::channel::<()>(1);
    let mut http = http1::Builder::new();
    // A client that sends its head by the letter would hold a place for ever.
    http.timer(TokioTimer::new())
        .header_read_timeout(port.header_timeout);
    loop {
        let place = tokio::select! {
            place = Arc::clone(&port.places).acquire_owned() => place,
            _ = stopped.changed() => break,
        };
        let Ok(place) = place.map(Arc::new) else {
            break;
        };
        let (stream, peer) = tokio::select! {
            accepted = port.listener.accept() => match accepted {
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
        let http = http.clone();
        let stopped = stopped.clone();
        let open = open.clone();
        let place_of = Place::new(place.clone());
        match &port.tls {
            None => {
                let service = service(port.router.clone(), peer, place_of);
                let relay = port.relay.clone();
                let header_timeout = port.header_timeout;
                tokio::spawn(async move {
                    if let Some(relay) = relay {
                        let mut first = [0];
                        let peeked = timeout(header_timeout, stream.peek(&mut first)).await;
                        if matches!(peeked, Ok(Ok(1))) && is_turn(first[0]) {
                            relay.serve(Counted::new(stream, place), peer);
                            return;
                        }
                    }
                    serve(&http, TokioIo::new(stream), service, stopped).await;
                    drop((place, open));
                });
            }
            Some(tls) => {
                // Beyond the limits the connection is closed at once.
                let Some(greeting) = tls.admit(peer.ip()) else {
                    continue;
                };
                let tls = Arc::clone(tls);
                let router = port.router.clone();
                let relay = port.relay.clone();
                let header_timeout = port.header_timeout;
                tokio::spawn(async move {
                    let mut ending = stopped.clone();
                    let arrival = tokio::select! {
                        arrival = tls.greet(stream) => arrival,
                        _ = ending.changed() => return,
                    };
                    drop(greeting);
                    match arrival {
                        Ok(Arrival::Secure(stream)) => {
                            let mut stream = Rewound::new(*stream);
                            if let Some(relay) = relay {
                                let first = timeout(header_timeout, stream.first()).await;
                                if matches!(first, Ok(Ok(Some(first))) if is_turn(first)) {
                                    relay.serve(Counted::new(stream, place), peer);
                                    return;
                                }
                            }
                            let service = service(router, peer, place_of);
                            serve(&http, TokioIo::new(stream), service, stopped).await;
                        }
                        Ok(Arrival::Plain(stream)) => {
                            // No client takes a self-signed certificate for the relay: it asks without TLS.
                            let mut first = [0];
                            if let Some(relay) = relay
                                && stream.peek(&mut first).await.is_ok()
                                && is_turn(first[0])
                            {
                                relay.serve(Counted::new(stream, place), peer);
                                return;
                            }
                            let service = service(tls.plain(), peer, place_of);
                            serve(&http, TokioIo::new(stream), service, stopped).await;
                        }
                        // Port scanners, mostly, and browsers that do not trust a new certificate yet.
                        Err(error) => tracing::debug!(%error, %peer, "no TLS with a client"),
                    }
                    drop((place, open));
                });
            }
        }
    }
    drop((port.listener, open));
    let _ = tokio::time::timeout(DRAIN_REQUESTS, all_ended.recv()).await;
}

/// The first byte of a TURN message; every HTTP method begins with a letter.
fn is_turn(first: u8) -> bool {
    first <= 3
}

/// One connection to its end.
async fn serve<I, S>(http: &http1::Builder, io: I, service: S, mut stopped: watch::Receiver<bool>)
where
    I: Read + Write + Unpin + Send + 'static,
    S: hyper::service::Service<
            hyper::Request<Incoming>,
            Response = axum::response::Response,
            Error = Infallible,
            Future: Send,
        > + Send,
{
    let connection = http.serve_connection(io, service).with_upgrades();
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
    Error = Infallible,
    Future: Send,
> + Send {
    hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(place.clone());
        router.clone().oneshot(request)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use meetmind_app::testing::TestApp;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

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
        let port = Port {
            listener,
            router,
            places: places.clone(),
            header_timeout: timeout,
            tls: None,
            relay: None,
        };
        let accepting = tokio::spawn(accept(port, stopped));

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
